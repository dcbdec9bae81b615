/* Theory of operation
 *
 * conmon (2.1) is started once a container. It makes the pipes or the terminal, runs `<runtime> create`, and tells over a pipe (the sync
 * pipe, _OCI_SYNCPIPE) the process id, or -1 with the runtime's words. It then stays: it copies output to the log and to whoever is
 * connected to <bundle>/attach, and when the process ends it writes <exec-root>/exit/<id>. It forks away from us at once; being a
 * subreaper we become its parent again, and watch.c forgets it when it ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "engine/journal.h"
#include "engine/room.h"

#define SYNC_FD       3
#define SYNC_MAX      65536
#define LOG_MAX_ARG   32

/* Reads the sync pipe's one line. */
static int read_sync(int fd, const char *program, int64_t *pid, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = NULL;
	struct err bad = {0};
	char c[512];
	ssize_t n;
	while (b.len < SYNC_MAX && !memchr(buf_str(&b), '\n', b.len)) {
		n = read(fd, c, sizeof(c));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_put(&b, c, (size_t)n);
	}
	if (!b.len)
		return err_set(e, -EIO, "conmon ended without a word");
	if (json_parse(b.data, strcspn(b.data, "\n"), &j, &bad) < 0)
		return err_set(e, -EPROTO, "conmon said what is not understood: %.200s", b.data);
	*pid = json_integer_value(json_object_get(j, "data"));
	if (*pid > 0)
		return 0;
	const char *text = json_string_value(json_object_get(j, "message"));
	return runtime_error("failed to create task for container: failed to create shim task: OCI runtime create failed", program, text ? text : "the runtime failed without a word", e);
}

static int read_pid(const char *path, int64_t *pid)
{
	OWN(own_buf) struct buf b = {0};
	try(read_file(path, 64, &b, NULL));
	*pid = atoll(buf_str(&b));
	return *pid > 0 ? 0 : -EINVAL;
}

static void own_fds(int (*p)[2])
{
	for (int i = 0; i < 2; i++)
		if ((*p)[i] >= 0)
			close((*p)[i]);
}

static int start_conmon(struct engine *en, const struct engine_run *r, const char *bundle, int sync, pid_t *pid, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const struct config *cf = &r->c->spec->config;
	const struct host_config *h = &r->c->spec->host;
	const char *id = r->c->id, *log = engine_log_path(en, id, &a), *argv[64], *command[ROOM_WORDS + 3];
	const char *tag;
	char runtime[PATH_SIZE], root[PATH_SIZE];
	size_t n = 0, words;
	const char *own_netns = r->netns_path && !str_starts(r->netns_path, "/proc/") ? r->netns_path : NULL;
	const char *const fixed[] = {en->conmon, "--api-version", "1", "-c", id, "-u", id, "-n", r->c->name, "-b", bundle, "-p", arena_printf(&a, "%s/pid", bundle), "-P",
		arena_printf(&a, "%s/conmon.pid", bundle), "--exit-dir", en->root_exit, "--persist-dir", bundle, "--full-attach", "--log-level", "error", "-l", streq(h->log_type, "none") ? "none" : streq(h->log_type, "journald") ? "journald" : arena_printf(&a, "k8s-file:%s", log)};
	for (; n < ARRAY_LEN(fixed); n++)
		argv[n] = fixed[n];
	words = room_words(en, (const char *[]){path_root(en, id, root), own_netns, NULL}, &a, command);
	command[words++] = runtime_of(en, id, runtime);
	command[words++] = "--root";
	command[words++] = en->root_rt;
	for (size_t i = 0; i < words; i++) {
		argv[n++] = i ? "--runtime-arg" : "-r";
		argv[n++] = command[i];
	}
	if (streq(h->log_type, "journald")) {
		try(journal_tag(r->c, &a, &tag, e));
		argv[n++] = "--log-tag";
		argv[n++] = tag;
	}
	if (cf->tty)
		argv[n++] = "-t";
	if (cf->open_stdin) {
		argv[n++] = "-i";
		if (!cf->stdin_once || cf->tty) /* a detached terminal is attached again */
			argv[n++] = "--leave-stdin-open";
	}
	argv[n] = NULL;
	if (a.bad)
		return err_nomem(e);
	const char *path = getenv("PATH");
	const char *env[] = {arena_printf(&a, "PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"), "_OCI_SYNCPIPE=3", "LANG=C", NULL};
	struct spawn_fd fds[] = {{sync, SYNC_FD}};
	struct spawn s = {.argv = argv, .env = env, .fds = fds, .nfds = 1, .cwd = "/"};
	return spawn_start(&s, pid, e);
}

/* The monitor has gone without an exit file only if somebody killed it: engine_adopt's watch covers both. */
static int create_watched(struct engine *en, const struct engine_run *r, const char *bundle, int64_t *pid, int64_t *monitor, struct err *e)
{
	OWN(own_fds) int sync[2] = {-1, -1};
	char path[PATH_SIZE + 16];
	pid_t parent;
	int64_t child = 0;
	if (pipe2(sync, O_CLOEXEC) < 0)
		return err_errno(e, -errno, "pipe");
	try(start_conmon(en, r, bundle, sync[1], &parent, e));
	close(STEAL_FD(sync[1]));
	int rc = read_sync(sync[0], r->c->args->n ? r->c->args->v[0] : NULL, &child, e);
	int status;
	try(spawn_wait(parent, &status, e)); /* the first process of conmon ends as soon as it has forked */
	snprintf(path, sizeof(path), "%s/conmon.pid", bundle);
	int64_t mon = 0;
	bool has_monitor = read_pid(path, &mon) >= 0;
	if (rc < 0) {
		if (has_monitor)
			(void)watch_pid(en, (pid_t)mon, r->c->id, NULL, NULL, NULL); /* it ends by itself; this forgets it */
		return rc;
	}
	if (!has_monitor)
		return err_set(e, -EIO, "conmon did not write %s", path);
	struct container adopted = {.monitor_pid = mon};
	STR_COPY(adopted.id, r->c->id);
	try(engine_adopt(en, &adopted, e));
	*pid = child;
	*monitor = mon;
	return 0;
}

int monitor_create(struct engine *en, const struct engine_run *r, const char *bundle, int64_t *pid, int64_t *monitor, struct err *e)
{
	watch_launch_begin(en);
	int rc = create_watched(en, r, bundle, pid, monitor, e);
	watch_launch_end(en);
	return rc;
}

/* Socket paths are limited to 107 bytes: through a descriptor of the directory any bundle will do. */
int monitor_connect(struct engine *en, const char *id, struct err *e)
{
	char bundle[PATH_SIZE];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	OWN(own_fd) int dir = open(path_bundle(en, id, bundle), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(e, -errno, "open %s", bundle);
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, -errno, "socket");
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/attach", dir);
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_errno(e, -errno, "attach to container %.12s", id);
	return STEAL_FD(fd);
}

int engine_resize(struct engine *en, const char *id, int h, int w, struct err *e)
{
	char bundle[PATH_SIZE], path[PATH_SIZE + 8], line[64];
	snprintf(path, sizeof(path), "%s/ctl", path_bundle(en, id, bundle));
	OWN(own_fd) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? err_as(e, ERR_CONFLICT, "cannot resize a stopped container: unknown") : err_errno(e, -errno, "open %s", path);
	int n = snprintf(line, sizeof(line), "1 %d %d\n", h, w);
	int r = write_all(fd, line, (size_t)n);
	return r < 0 ? err_errno(e, r, "resize the terminal of container %.12s", id) : 0;
}
