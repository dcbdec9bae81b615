/* Theory of operation
 *
 * /etc/resolv.conf is written in place by some programs, renamed over by others, and is often a link whose target, or whose target's
 * directory, comes and goes. So everything on the way is watched: every directory that exists, with the name that is passed in it or
 * expected to come, and the file itself. After any event on one of those names the way is found again, watched first and read then, so
 * that no change falls in between. The real list of systemd-resolved is watched too, since its stub alone
 * in /etc/resolv.conf means that one (ops/host.c).
 *
 * What has changed goes to the name server as views. The resolv.conf of a running container follows, unless somebody has edited it since we
 * wrote it: then it is not touched until the container starts again (kernel/files.c).
 *
 * tests/scenario/test_names.py changes the file in all these ways. */
#include "ops/resolvers.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/fd.h"
#include "base/log.h"
#include "ops/host.h"
#include "ops/publish.h"

#define WATCHES_MAX 64
#define LINKS_MAX   32  /* as the kernel follows at most 40 */
#define SETTLE_MS   50  /* an editor's rename is several events */
#define SETTLE_MAX  20  /* rounds of that */
#define DIR_EVENTS  (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF)
#define FILE_EVENTS (IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)

struct watch {
	int wd;
	char name[NAME_MAX + 1]; /* in that directory; "": the thing itself */
};

struct resolvers {
	pthread_t thread;
	int stop; /* eventfd */
	int fd;   /* inotify */
	struct watch v[WATCHES_MAX];
	size_t n;
	char *seen; /* what host_facts said last: path and text */
};

static void add(struct resolvers *r, const char *path, uint32_t mask, const char *name)
{
	int wd = r->n < WATCHES_MAX ? inotify_add_watch(r->fd, path, mask | IN_MASK_ADD) : -1;
	if (wd < 0)
		return; /* it goes or comes at this moment: what is above it is watched */
	r->v[r->n].wd = wd;
	STR_COPY(r->v[r->n].name, name);
	r->n++;
}

/* Every directory on the way that exists, with the name that is passed there or expected to come. */
static void watch_name(struct resolvers *r, const char *path)
{
	char dir[PATH_MAX], name[NAME_MAX + 1];
	for (const char *p = path; p; p = strchr(p + 1, '/')) {
		const char *next = p + 1;
		if (*p != '/' || strcspn(next, "/") > NAME_MAX)
			return;
		snprintf(dir, sizeof(dir), "%.*s", p == path ? 1 : (int)(p - path), path);
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(next, "/"), next);
		add(r, dir, DIR_EVENTS, name);
	}
}

/* Where a link leads; false when it is none. */
static bool follow(char path[static PATH_MAX])
{
	char target[PATH_MAX], next[2 * PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	char *slash = strrchr(path, '/');
	if (*target == '/')
		return str_copy(path, PATH_MAX, target);
	snprintf(next, sizeof(next), "%.*s/%s", (int)(slash ? slash - path : 0), path, target);
	return str_copy(path, PATH_MAX, next);
}

static void watch_way(struct resolvers *r, const char *start)
{
	char path[PATH_MAX];
	if (!STR_COPY(path, start))
		return;
	watch_name(r, path);
	for (int i = 0; i < LINKS_MAX && follow(path); i++)
		watch_name(r, path);
	add(r, path, FILE_EVENTS, "");
}

static void watch_all(struct core *c, struct resolvers *r, struct err *e)
{
	if (r->fd >= 0)
		close(r->fd);
	r->n = 0;
	r->fd = fd_inotify(e);
	if (r->fd < 0)
		return;
	watch_way(r, str_empty(c->conf->resolv_conf) ? "/etc/resolv.conf" : c->conf->resolv_conf);
	if (str_empty(c->conf->resolv_conf))
		watch_way(r, HOST_RESOLVED);
}

/* Is one of the events about a name on the way? All are taken. */
static bool take_events(const struct resolvers *r)
{
	_Alignas(struct inotify_event) char buf[4096];
	bool ours = false;
	for (ssize_t n; (n = read(r->fd, buf, sizeof(buf))) > 0;) {
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)(void *)p;
			const char *name = ev->len ? ev->name : "";
			ours |= (ev->mask & IN_Q_OVERFLOW) != 0;
			for (size_t i = 0; !ours && i < r->n; i++)
				ours = r->v[i].wd == ev->wd && (!*name || streq(r->v[i].name, name));
			p += sizeof(*ev) + ev->len;
		}
	}
	return ours;
}

static int update_files(struct core *c, const struct netconf *conf)
{
	const struct container *ct;
	int failed = 0;
	for (size_t i = 0; (ct = world_next(c->world, NOUN_CONTAINER, &i));) {
		OWN(arena_free) struct arena a = {0};
		struct kstate files = {.mem = &a};
		struct err e = {0};
		int r = container_is_running(ct) ? want_resolv(c->world, conf, ct, &files, &e) : 0;
		for (size_t k = 0; r >= 0 && k < files.n; k++) {
			struct step s = {.op = STEP_CHANGE, .before = &files.v[k], .after = &files.v[k]};
			struct plan p = {.v = &s, .n = 1};
			r = kernel_apply(c->kernel, &p, &e);
		}
		if (r < 0) {
			log_error("resolv.conf of %.12s: %s", ct->id, e.msg);
			failed = r;
		}
	}
	return failed;
}

static void tell(struct core *c, struct resolvers *r)
{
	OWN(arena_free) struct arena a = {0};
	struct netconf conf;
	struct err e = {0};
	pthread_mutex_lock(&c->op_lock);
	int rc = host_facts(c, &a, &conf, &e);
	char *now = NULL;
	if (rc >= 0 && asprintf(&now, "%s\n%s", conf.host_resolv_path, conf.host_resolv) < 0)
		now = NULL;
	if (!now) {
		log_error("the host's resolvers: %s", rc < 0 ? e.msg : "out of memory");
	} else if (!r->seen || !streq(now, r->seen)) {
		bool first = !r->seen;
		free(r->seen);
		r->seen = now;
		now = NULL;
		if (!first) {
			log_info("the host's resolvers have changed path=%s", conf.host_resolv_path);
			publish_views(c, &conf);
			(void)update_files(c, &conf); /* logged */
		}
	}
	free(now);
	pthread_mutex_unlock(&c->op_lock);
}

/* Waits for a change, then for it to be over; false: the end. */
static bool wait_change(const struct resolvers *r)
{
	struct pollfd fds[] = {{.fd = r->stop, .events = POLLIN}, {.fd = r->fd, .events = POLLIN}};
	bool changed = false;
	for (int rounds = 0; rounds < SETTLE_MAX;) {
		int n = poll(fds, ARRAY_LEN(fds), changed ? SETTLE_MS : -1);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0 && fds[0].revents)
			return false;
		if (n == 0)
			return true;
		changed |= n > 0 && take_events(r);
		rounds += changed;
	}
	return true;
}

static void *run(void *arg)
{
	struct core *c = arg;
	struct resolvers *r = c->resolvers;
	do {
		struct err e = {0};
		watch_all(c, r, &e);
		if (r->fd < 0)
			log_warn("the host's resolv.conf is not watched: %s", e.msg);
		tell(c, r);
	} while (r->fd >= 0 && wait_change(r));
	return NULL;
}

static void resolvers_free(struct resolvers *r)
{
	if (r->fd >= 0)
		close(r->fd);
	if (r->stop >= 0)
		close(r->stop);
	free(r->seen);
	free(r);
}

int resolvers_open(struct core *c, struct err *e)
{
	struct resolvers *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	r->fd = -1;
	r->stop = eventfd(0, EFD_CLOEXEC);
	c->resolvers = r;
	int rc = r->stop < 0 ? errno : pthread_create(&r->thread, NULL, run, c);
	if (rc == 0)
		return 0;
	resolvers_free(r);
	c->resolvers = NULL;
	return err_errno(e, -rc, "start the thread that watches resolv.conf");
}

void resolvers_close(struct core *c)
{
	static const uint64_t one = 1;
	struct resolvers *r = c->resolvers;
	if (!r)
		return;
	if (write(r->stop, &one, sizeof(one)) == sizeof(one)) /* cannot fail: the counter is 0 */
		pthread_join(r->thread, NULL);
	resolvers_free(r);
	c->resolvers = NULL;
}
