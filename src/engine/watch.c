/* Theory of operation
 *
 * One thread for all containers. conmon writes a container's exit code to a file of its name (a rename: one inotify event), and conmon
 * itself and the processes of exec sessions are watched by pidfd: a pidfd becomes readable when its process ends, whether it is our child
 * or not, and for our own children waitid(P_PIDFD) tells the status and lets the kernel forget the process. Nothing ever waits for "any
 * child", so nobody's status is taken away from base/spawn.c. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "engine/follow.h"
#include "engine/rotate.h"

#define WATCH_STACK   (256u << 10)
#define REAP_PAUSE_MS 20

/* The exit of a container, from its file. */
static void tell_exit(struct engine *en, const char *id)
{
	OWN(own_buf) struct buf b = {0};
	char path[PATH_SIZE], oom[PATH_SIZE + 8], bundle[PATH_SIZE];
	struct stat st;
	if (strlen(id) != 64 || read_file(path_exit(en, id, path), 64, &b, NULL) < 0 || stat(path, &st) < 0)
		return; /* not one of ours, or taken away meanwhile: then its end has been told already */
	snprintf(oom, sizeof(oom), "%s/oom", path_bundle(en, id, bundle));
	en->conf.on_exit(en->conf.arg, id, atoi(buf_str(&b)), access(oom, F_OK) == 0, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
}

/* Events were lost: all exit files that are there. Who gets one told twice looks whether it is still there (engine_has_exit). */
static void tell_all_exits(struct engine *en)
{
	OWN(own_dir) DIR *d = opendir(en->root_exit);
	const struct dirent *x;
	if (!d)
		log_error("exits of containers may be recorded at the next start only: open %s: %s", en->root_exit, strerror(errno));
	while (d && (x = readdir(d)))
		tell_exit(en, x->d_name);
}

bool engine_has_exit(const struct engine *en, const char *id)
{
	char path[PATH_SIZE];
	return access(path_exit(en, id, path), F_OK) == 0;
}

static void read_inotify(struct engine *en)
{
	_Alignas(struct inotify_event) char buf[8192];
	ssize_t n;
	while ((n = read(en->inotify, buf, sizeof(buf))) > 0) {
		for (const char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;
			if (ev->mask & IN_Q_OVERFLOW) {
				tell_all_exits(en);
			} else if (ev->len && ev->name[0] != '.') {
				follow_wake(en, ev->name);
				tell_exit(en, ev->name);
			}
			p += sizeof(*ev) + ev->len;
		}
	}
}

static struct watched *by_pid(const struct tree_node *n)
{
	return (struct watched *)(uintptr_t)((const char *)n - offsetof(struct watched, of_pid));
}

static struct watched *by_id(const struct tree_node *n)
{
	return (struct watched *)(uintptr_t)((const char *)n - offsetof(struct watched, of_id));
}

/* Two of one pid: the first has ended, its end is still to be told. A probe without a descriptor means any of them. */
static int cmp_pid(const void *probe, const struct tree_node *n)
{
	const struct watched *a = probe, *b = by_pid(n);
	return a->pid != b->pid ? (a->pid < b->pid ? -1 : 1) : a->pidfd < 0 ? 0 : (a->pidfd > b->pidfd) - (a->pidfd < b->pidfd);
}

static int cmp_id(const void *probe, const struct tree_node *n)
{
	const struct watched *a = probe, *b = by_id(n);
	int r = strcmp(a->id, b->id);
	return r ? r : (a->pidfd > b->pidfd) - (a->pidfd < b->pidfd);
}

/* With the lock held. */
static void unlist(struct engine *en, struct watched *w)
{
	tree_del(&en->watched, cmp_pid, w);
	tree_del(&en->watched_ids, cmp_id, w);
}

static void process_ended(struct engine *en, struct watched *w)
{
	siginfo_t si = {0};
	int status = -1;
	if (waitid(P_PIDFD, (id_t)w->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid)
		status = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
	epoll_ctl(en->epoll, EPOLL_CTL_DEL, w->pidfd, NULL);
	if (w->ended)
		w->ended(en, w, status);
	pthread_mutex_lock(&en->lock);
	unlist(en, w);
	pthread_mutex_unlock(&en->lock);
	close(w->pidfd);
	free(w);
}

static bool is_watched(void *arg, pid_t pid)
{
	struct engine *en = arg;
	pthread_mutex_lock(&en->lock);
	bool yes = tree_find(&en->watched, cmp_pid, &(struct watched){.pid = pid, .pidfd = -1});
	pthread_mutex_unlock(&en->lock);
	return yes;
}

/* With a thousand monitors as children a look at each would cost every start and exit more than all else: so only at those that have ended. If one of
 * them is somebody's who has not fetched it yet, there may be orphans behind it: when that lasts, there is a look at each. */
static void reap(struct engine *en, int64_t *since)
{
	pthread_mutex_lock(&en->lock);
	bool wait = en->launching > 0;
	pthread_mutex_unlock(&en->lock);
	int64_t now = clock_mono_ns();
	if (wait || spawn_reap_first(is_watched, en)) {
		*since = 0;
	} else if (!*since) {
		*since = now;
	} else if (now - *since >= REAP_PAUSE_MS * 1000000ll) {
		spawn_reap_orphans(is_watched, en);
		*since = 0;
	}
}

void watch_launch_begin(struct engine *en)
{
	pthread_mutex_lock(&en->lock);
	en->launching++;
	pthread_mutex_unlock(&en->lock);
}

void watch_launch_end(struct engine *en)
{
	pthread_mutex_lock(&en->lock);
	bool last = --en->launching == 0;
	pthread_mutex_unlock(&en->lock);
	if (last)
		eventfd_write(en->wake, 1);
}

static void *watch_main(void *arg)
{
	struct engine *en = arg;
	struct epoll_event ev[32];
	for (int64_t since = 0;;) { /* since when somebody's ended process has been in the way of reaping */
		int n = epoll_wait(en->epoll, ev, ARRAY_LEN(ev), since ? REAP_PAUSE_MS : en->rotate_ms ? en->rotate_ms : -1);
		bool look = n == 0 && since;
		if (en->rotate_ms && clock_mono_ns() - en->rotate_looked >= en->rotate_ms * 1000000ll)
			rotate_look(en);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &en->wake) {
				eventfd_t v;
				(void)eventfd_read(en->wake, &v);
				if (en->stop)
					return NULL;
				look = true;
			} else if (ev[i].data.ptr == &en->child_signal) {
				struct signalfd_siginfo si;
				while (read(en->child_signal, &si, sizeof(si)) > 0)
					;
				look = true;
			} else if (ev[i].data.ptr == &en->inotify) {
				read_inotify(en);
			} else if (ev[i].data.ptr == &en->growth) {
				follow_read(en);
			} else {
				process_ended(en, ev[i].data.ptr);
			}
		}
		if (look)
			reap(en, &since);
	}
}

static int add(struct engine *en, int fd, void *ptr, struct err *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};
	return epoll_ctl(en->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? err_errno(e, -errno, "epoll_ctl") : 0;
}

int watch_start(struct engine *en, struct err *e)
{
	en->epoll = epoll_create1(EPOLL_CLOEXEC);
	en->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Only a signal that every thread blocks gets here: daemon/main.c does that before the first thread. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	en->child_signal = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (en->epoll < 0 || en->wake < 0 || en->child_signal < 0)
		return err_errno(e, -errno, "watch processes");
	en->inotify = fd_inotify(e);
	if (en->inotify < 0)
		return en->inotify;
	if (inotify_add_watch(en->inotify, en->root_exit, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) < 0)
		return err_errno(e, -errno, "watch %s", en->root_exit);
	try(add(en, en->wake, &en->wake, e));
	try(add(en, en->inotify, &en->inotify, e));
	try(add(en, en->child_signal, &en->child_signal, e));
	try(follow_open(en, e));
	try(add(en, en->growth, &en->growth, e));
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WATCH_STACK);
	int r = pthread_create(&en->thread, &attr, watch_main, en);
	pthread_attr_destroy(&attr);
	en->has_thread = r == 0;
	return r ? err_errno(e, -r, "start a thread") : 0;
}

void watch_stop(struct engine *en)
{
	if (en->has_thread) {
		en->stop = true;
		eventfd_write(en->wake, 1);
		pthread_join(en->thread, NULL);
	}
	for (struct tree_node *n; (n = tree_at(&en->watched, 0));) {
		struct watched *w = by_pid(n);
		unlist(en, w);
		close(w->pidfd);
		free(w);
	}
	int fds[] = {en->epoll, en->wake, en->inotify, en->child_signal};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	follow_close(en);
}

int watch_pid(struct engine *en, pid_t pid, const char *id, void (*ended)(struct engine *, struct watched *, int), void *arg, struct err *e)
{
	struct watched *w = calloc(1, sizeof(*w));
	if (!w)
		return err_nomem(e);
	w->pidfd = pidfd_open(pid, 0);
	if (w->pidfd < 0) {
		int r = err_errno(e, -errno, "watch process %d", (int)pid);
		free(w);
		return r;
	}
	w->pid = pid;
	w->ended = ended;
	w->arg = arg;
	STR_COPY(w->id, id);
	pthread_mutex_lock(&en->lock);
	tree_add(&en->watched, cmp_pid, w, &w->of_pid);
	tree_add(&en->watched_ids, cmp_id, w, &w->of_id);
	pthread_mutex_unlock(&en->lock);
	int r = add(en, w->pidfd, w, e);
	if (r >= 0)
		return 0;
	pthread_mutex_lock(&en->lock);
	unlist(en, w);
	pthread_mutex_unlock(&en->lock);
	close(w->pidfd);
	free(w);
	return r;
}

/* conmon is the container's monitor: when it goes without an exit file, it was killed, and the container with it is beyond control. */
static void monitor_ended(struct engine *en, struct watched *w, int status)
{
	char path[PATH_SIZE], bundle[PATH_SIZE];
	struct err e = {0};
	(void)status;
	pthread_mutex_lock(&en->lock);
	/* told by the file, or taken away on purpose, or of a run before this one */
	bool expected = w->of_the_past || access(path_exit(en, w->id, path), F_OK) == 0 || access(path_bundle(en, w->id, bundle), F_OK) < 0;
	pthread_mutex_unlock(&en->lock);
	if (expected)
		return;
	log_warn("the monitor of container %.12s was killed: the container is ended", w->id);
	(void)runtime_delete(en, w->id, true, NULL);
	if (write_file_atomic(path, "137", 3, 0600, false, &e) < 0) /* what conmon would have done; read_inotify tells it */
		log_error("the end of %.12s is recorded at the next start: %s", w->id, e.msg);
}

void watch_new_run(struct engine *en, const char *id)
{
	struct watched first = {.pidfd = -1}; /* before all of that id */
	STR_COPY(first.id, id);
	pthread_mutex_lock(&en->lock);
	for (size_t i = tree_rank(&en->watched_ids, cmp_id, &first);; i++) {
		const struct tree_node *n = tree_at(&en->watched_ids, i);
		if (!n || !streq(by_id(n)->id, id))
			break;
		if (by_id(n)->ended == monitor_ended)
			by_id(n)->of_the_past = true;
	}
	pthread_mutex_unlock(&en->lock);
}

int engine_adopt(struct engine *en, const struct container *c, struct err *e)
{
	char path[PATH_SIZE];
	try(watch_pid(en, (pid_t)c->monitor_pid, c->id, monitor_ended, NULL, e));
	rotate_watch(en, c);
	if (access(path_exit(en, c->id, path), F_OK) == 0)
		tell_exit(en, c->id); /* it ended between the scan and the watch */
	return 0;
}
