/* Theory of operation
 *
 * `<runtime> exec --detach` starts the process in the container and ends. The process's parent is then gone; since we are a subreaper it
 * becomes our child, and watch.c tells its status by pidfd. No monitor stands beside it: an exec session belongs to the client that asked
 * for it, and a daemon that ends takes the session's pipes along. Without a terminal the process has three pipes of ours; with one the
 * runtime makes the terminal inside the container and hands us its other end over a socket (--console-socket). */
#include "engine/exec.h"
#include "engine/user.h"
#include "engine/caps.h"
#include "engine/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"

#define X(m) offsetof(struct exec_spec, m)
const struct json_field exec_spec_table[] = {
	{"AttachStdin", J_BOOL, X(attach_stdin), 0, NULL, 0},
	{"AttachStdout", J_BOOL, X(attach_stdout), 0, NULL, 0},
	{"AttachStderr", J_BOOL, X(attach_stderr), 0, NULL, 0},
	{"Tty", J_BOOL, X(tty), 0, NULL, 0},
	{"Privileged", J_BOOL, X(privileged), 0, NULL, 0},
	{"Cmd", J_STRV, X(cmd), J_STRING_OK, NULL, 0},
	{"Env", J_STRV, X(env), 0, NULL, 0},
	{"WorkingDir", J_STR, X(working_dir), 0, NULL, 0},
	{"User", J_STR, X(user), 0, NULL, 0},
	{"DetachKeys", J_STR, X(detach_keys), 0, NULL, 0},
	{"ConsoleSize", J_PAIR, X(console_h), 0, NULL, 0},
	J_END};

/* What only a session that runs needs. */
static void close_files(struct exec *x)
{
	if (x->ended_fd >= 0)
		close(STEAL_FD(x->ended_fd));
	if (x->master >= 0)
		close(STEAL_FD(x->master));
}

static void exec_unref(struct exec *x)
{
	if (--x->refs == 1 && x->ended && !x->probe)
		close_files(x); /* it is only kept to be asked for its exit code; a probe's are still waited on */
	if (x->refs)
		return;
	close_files(x);
	arena_free(&x->mem);
	free(x);
}

static struct exec *find(struct engine *en, const char *id)
{
	for (struct exec *x = en->execs; x; x = x->next)
		if (streq(x->id, id))
			return x;
	return NULL;
}

/* With a reference; exec_put gives it back. */
static struct exec *exec_get(struct engine *en, const char *id)
{
	pthread_mutex_lock(&en->lock);
	struct exec *x = find(en, id);
	if (x)
		x->refs++;
	pthread_mutex_unlock(&en->lock);
	return x;
}

static void exec_put(struct engine *en, struct exec *x)
{
	pthread_mutex_lock(&en->lock);
	exec_unref(x);
	pthread_mutex_unlock(&en->lock);
}

static void copy_spec(struct arena *a, const struct exec_spec *s, struct exec_spec *out)
{
	*out = *s;
	out->cmd = strv_copy(a, &s->cmd);
	out->env = strv_copy(a, &s->env);
	out->working_dir = arena_dup(a, s->working_dir);
	out->user = arena_dup(a, s->user);
	out->detach_keys = arena_dup(a, s->detach_keys);
}

/* The oldest session of the container that has ended, or was never started, makes room for a new one. */
static bool drop_oldest(struct engine *en, const char *container, bool ended)
{
	struct exec **oldest = NULL;
	for (struct exec **p = &en->execs; *p; p = &(*p)->next)
		if (streq((*p)->container, container) && ((*p)->ended || (!ended && !(*p)->started)))
			oldest = p;
	if (!oldest)
		return false;
	struct exec *x = *oldest;
	*oldest = x->next;
	exec_unref(x);
	return true;
}

int engine_exec_create(struct engine *en, const struct container *c, const struct exec_spec *s, char out_id[static ID_TEXT], struct err *e)
{
	struct keys keys;
	size_t n = 0, idle = 0;
	if (s->cmd.n == 0)
		return err_as(e, ERR_INVALID, "No exec command specified");
	try(keys_parse(s->detach_keys, &keys, e));
	struct exec *x = calloc(1, sizeof(*x));
	if (!x)
		return err_nomem(e);
	x->refs = 1;
	x->master = -1;
	random_id(x->id);
	STR_COPY(x->container, c->id);
	copy_spec(&x->mem, s, &x->spec);
	x->ended_fd = -1;
	pthread_mutex_lock(&en->lock);
	for (const struct exec *y = en->execs; y; y = y->next) {
		n += streq(y->container, c->id);
		idle += streq(y->container, c->id) && y->ended;
	}
	if (idle >= LIMIT_EXECS_KEPT)
		n -= drop_oldest(en, c->id, true);
	int r = x->mem.bad ? err_nomem(e) : 0;
	if (r >= 0 && n >= LIMIT_EXECS_PER_CONTAINER && !drop_oldest(en, c->id, false))
		r = err_as(e, ERR_UNAVAILABLE, "%d exec sessions run in container %s: let some end first", LIMIT_EXECS_PER_CONTAINER, c->id);
	if (r < 0) {
		exec_unref(x);
	} else {
		x->next = en->execs;
		en->execs = x;
		memcpy(out_id, x->id, ID_TEXT);
	}
	pthread_mutex_unlock(&en->lock);
	return r;
}

int engine_exec_info(struct engine *en, const char *exec_id, struct arena *a, struct exec_info *out, struct err *e)
{
	struct exec *x = exec_get(en, exec_id);
	if (!x)
		return err_as(e, ERR_NOT_FOUND, "No such exec instance: %s", exec_id);
	pthread_mutex_lock(&en->lock);
	*out = (struct exec_info){.started = x->started, .running = x->started && !x->ended, .ended = x->ended, .exit_code = x->exit_code, .pid = x->pid};
	STR_COPY(out->id, x->id);
	STR_COPY(out->container, x->container);
	copy_spec(a, &x->spec, &out->spec);
	pthread_mutex_unlock(&en->lock);
	exec_put(en, x);
	return a->bad ? err_nomem(e) : 0;
}

size_t engine_exec_ids(struct engine *en, const char *container, struct arena *a, const char ***out)
{
	struct strv ids = {0};
	pthread_mutex_lock(&en->lock);
	for (const struct exec *x = en->execs; x; x = x->next)
		if (streq(x->container, container) && !x->ended && strv_add(a, &ids, x->id) < 0)
			break;
	pthread_mutex_unlock(&en->lock);
	*out = ids.v;
	return ids.n;
}

void engine_exec_forget(struct engine *en, const char *container)
{
	pthread_mutex_lock(&en->lock);
	for (struct exec **p = &en->execs; *p;) {
		struct exec *x = *p;
		if (!streq(x->container, container)) {
			p = &x->next;
			continue;
		}
		*p = x->next;
		x->ended = true;
		if (x->ended_fd >= 0)
			eventfd_write(x->ended_fd, 1);
		exec_unref(x);
	}
	pthread_mutex_unlock(&en->lock);
}

void exec_free_all(struct engine *en)
{
	while (en->execs) {
		struct exec *x = en->execs;
		en->execs = x->next;
		x->refs = 1; /* the watch has stopped, and so have those who held it */
		exec_unref(x);
	}
}

/* The event, of a process that there was, comes first: a client that has seen the end of its session finds it. */
static void mark_ended(struct engine *en, struct exec *x, bool ran, int code)
{
	pthread_mutex_lock(&en->lock);
	x->ended = true;
	x->exit_code = code;
	x->pid = 0;
	pthread_mutex_unlock(&en->lock);
	if (ran && en->conf.on_exec && !x->probe)
		en->conf.on_exec(en->conf.arg, x->container, x->id, "exec_die", code);
	pthread_mutex_lock(&en->lock);
	if (x->ended_fd >= 0)
		eventfd_write(x->ended_fd, 1);
	pthread_mutex_unlock(&en->lock);
}

static void process_ended(struct engine *en, struct watched *w, int status)
{
	struct exec *x = w->arg;
	mark_ended(en, x, true, status < 0 ? 137 : status);
	exec_put(en, x);
}

/* What the session's process gets: the container's own environment and directory unless told otherwise. */
static int write_process(struct engine *en, const struct exec *x, const struct container *c, const char *path, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	char root[PATH_SIZE];
	struct user_found user;
	struct engine_run run = {.c = c, .uts_hostname = ""};
	struct strv env = strv_copy(&a, &c->spec->config.env);
	char short_id[13];
	snprintf(short_id, sizeof(short_id), "%.12s", c->id);
	run.uts_hostname = str_empty(c->spec->config.hostname) ? short_id : c->spec->config.hostname;
	for (size_t i = 0; i < x->spec.env.n; i++)
		strv_add(&a, &env, x->spec.env.v[i]);
	path_root(en, c->id, root);
	try(user_resolve(root, str_empty(x->spec.user) ? c->spec->config.user : x->spec.user, &c->spec->host.group_add, &user, e));
	struct oci_in in = {.run = &run, .uid = user.uid, .gid = user.gid, .groups = user.groups, .ngroups = user.ngroups, .home = user.home, .terminal = x->spec.tty ? "xterm" : NULL};
	const char *cwd = str_empty(x->spec.working_dir) ? c->spec->config.working_dir : x->spec.working_dir;
	OWN(own_json) json_t *p = oci_process(&in, &x->spec.cmd, &env, cwd, x->spec.tty, x->spec.privileged || c->spec->host.privileged, &a);
	if (p && oci_wants_all_caps(&c->spec->host, x->spec.privileged || c->spec->host.privileged))
		caps_keep_own(p);
	if (p && x->spec.console_h > 0 && x->spec.console_w > 0)
		json_object_set_new(p, "consoleSize", json_pack("{s:I, s:I}", "height", (json_int_t)x->spec.console_h, "width", (json_int_t)x->spec.console_w));
	OWN(own_free) char *text = p ? oci_text(p) : NULL;
	return text && !a.bad ? write_file(path, text, strlen(text), 0600, e) : err_nomem(e);
}

struct console {
	int listen;
	char path[PATH_SIZE];
};

static void own_console(struct console *c)
{
	if (c->listen < 0)
		return;
	close(c->listen);
	unlink(c->path);
}

static int console_listen(const struct engine *en, const char *id, struct console *c, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	snprintf(c->path, sizeof(c->path), "%s/x-%.16s.sock", en->conf.exec_root, id);
	if (!STR_COPY(sa.sun_path, c->path))
		return err_errno(e, -ENAMETOOLONG, "%s", c->path);
	c->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->listen < 0 || bind(c->listen, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(c->listen, 1) < 0)
		return err_errno(e, -errno, "listen at %s", c->path);
	return 0;
}

/* The runtime has ended well: its connection with the terminal waits. */
static int console_take(struct console *c, int *master, struct err *e)
{
	struct pollfd p = {.fd = c->listen, .events = POLLIN};
	char name[256];
	size_t n = 1;
	if (poll(&p, 1, 5000) != 1)
		return err_set(e, -EIO, "the runtime did not hand over the terminal");
	OWN(own_fd) int conn = accept4(c->listen, NULL, NULL, SOCK_CLOEXEC);
	if (conn < 0)
		return err_errno(e, -errno, "accept");
	ssize_t r = fd_recv(conn, name, sizeof(name), master, &n);
	return r < 0 ? err_errno(e, (int)r, "receive the terminal") : n != 1 ? err_set(e, -EPROTO, "the runtime handed over no terminal") : 0;
}

struct io { /* our ends */
	int in, out, err;
};

static void own_io(struct io *io)
{
	int fds[] = {io->in, io->out, io->err};
	for (size_t i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int run_runtime(struct engine *en, const struct container *c, const struct exec *x, const struct console *con, const int child[3], const char *process, const char *pidfile, struct err *e)
{
	char log[PATH_SIZE + 32], runtime[PATH_SIZE], score[16];
	OWN(own_buf) struct buf text = {0};
	const char *argv[20] = {runtime_of(en, c->id, runtime), "--root", en->root_rt, "--log", log, "exec", "--detach", "--process", process, "--pid-file", pidfile};
	size_t n = 11;
	pid_t pid;
	int status;
	snprintf(log, sizeof(log), "%s.log", process);
	if (x->spec.tty) {
		argv[n++] = "--console-socket";
		argv[n++] = con->path;
	}
	argv[n++] = c->id;
	argv[n] = NULL;
	struct spawn_fd fds[3];
	snprintf(score, sizeof(score), "%d", (int)c->spec->host.oom_score_adj);
	struct spawn s = {.argv = argv, .fds = fds, .oom_score_adj = score}; /* crun leaves the process what it has itself: ours */
	for (int i = 0; i < 3; i++)
		if (child[i] >= 0)
			fds[s.nfds++] = (struct spawn_fd){child[i], i};
	try(spawn_start(&s, &pid, e));
	try(spawn_wait(pid, &status, e));
	int r = 0;
	if (status != 0) {
		(void)read_file(log, 65536, &text, NULL); /* its words; absent: the status must do */
		r = runtime_error("OCI runtime exec failed: exec failed: unable to start container process", x->spec.cmd.v[0], text.len ? buf_str(&text) : "the runtime failed without a word", e);
	}
	unlink(log);
	return r;
}

/* Both outputs of a probe go into one pipe. */
static int open_one_pipe(struct io *ours, int child[3], struct err *e)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(e, -errno, "pipe");
	ours->out = p[0];
	child[1] = p[1];
	child[2] = fcntl(p[1], F_DUPFD_CLOEXEC, 0);
	return child[2] < 0 ? err_errno(e, -errno, "dup") : 0;
}

static int open_pipes(const struct exec_spec *s, bool detach, struct io *ours, int child[3], struct err *e)
{
	int p[2];
	bool want[3] = {s->attach_stdin && !detach, s->attach_stdout && !detach, s->attach_stderr && !detach};
	int *mine[3] = {&ours->in, &ours->out, &ours->err};
	for (int i = 0; i < 3; i++) {
		if (!want[i])
			continue;
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_errno(e, -errno, "pipe");
		*mine[i] = i == 0 ? p[1] : p[0];
		child[i] = i == 0 ? p[0] : p[1];
	}
	return 0;
}

static void close_children(int child[3])
{
	for (int i = 0; i < 3; i++)
		if (child[i] >= 0)
			close(child[i]);
}

static int take_terminal(struct engine *en, struct exec *x, struct console *con, struct err *e)
{
	int master;
	try(console_take(con, &master, e));
	pthread_mutex_lock(&en->lock);
	x->master = master;
	if (x->size.ws_row || x->size.ws_col)
		(void)ioctl(master, TIOCSWINSZ, &x->size);
	pthread_mutex_unlock(&en->lock);
	return 0;
}

/* Starts the process; ours holds our ends of its pipes or terminal. */
static int launch_watched(struct engine *en, struct exec *x, const struct container *c, bool detach, struct io *ours, struct err *e)
{
	OWN(own_console) struct console con = {.listen = -1};
	OWN(own_buf) struct buf b = {0};
	char bundle[PATH_SIZE], process[PATH_SIZE + 32], pidfile[PATH_SIZE + 32];
	int child[3] = {-1, -1, -1};
	snprintf(process, sizeof(process), "%s/exec-%.16s", path_bundle(en, c->id, bundle), x->id);
	snprintf(pidfile, sizeof(pidfile), "%s.pid", process);
	int r = write_process(en, x, c, process, e);
	if (r >= 0 && x->spec.tty)
		r = console_listen(en, x->id, &con, e);
	else if (r >= 0)
		r = x->probe ? open_one_pipe(ours, child, e) : open_pipes(&x->spec, detach, ours, child, e);
	if (r >= 0)
		r = run_runtime(en, c, x, &con, child, process, pidfile, e);
	close_children(child);
	if (r >= 0 && x->spec.tty)
		r = take_terminal(en, x, &con, e);
	if (r >= 0)
		r = read_file(pidfile, 64, &b, e);
	unlink(process);
	unlink(pidfile);
	if (r < 0)
		return r;
	x->pid = atoll(buf_str(&b));
	pthread_mutex_lock(&en->lock);
	x->refs++; /* the watch's */
	pthread_mutex_unlock(&en->lock);
	r = watch_pid(en, (pid_t)x->pid, x->id, process_ended, x, e);
	if (r < 0)
		exec_put(en, x);
	return r;
}

static int launch(struct engine *en, struct exec *x, const struct container *c, bool detach, struct io *ours, struct err *e)
{
	watch_launch_begin(en);
	int r = launch_watched(en, x, c, detach, ours, e);
	watch_launch_end(en);
	return r;
}

int engine_exec_start(struct engine *en, const char *exec_id, const struct container *c, bool detach, bool (*ready)(void *arg, struct engine_stream *s), void *arg, struct err *e)
{
	OWN(own_io) struct io io = {-1, -1, -1};
	struct exec *x = exec_get(en, exec_id);
	if (!x)
		return err_as(e, ERR_NOT_FOUND, "No such exec instance: %s", exec_id);
	pthread_mutex_lock(&en->lock);
	bool again = x->started;
	x->started = true;
	if (!again)
		x->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = again ? err_as(e, ERR_CONFLICT, "exec %s has already run", exec_id) : x->ended_fd < 0 ? err_errno(e, -errno, "eventfd") : 0;
	pthread_mutex_unlock(&en->lock);
	if (r >= 0 && en->conf.on_exec) /* before there is a process: it may end at once */
		en->conf.on_exec(en->conf.arg, x->container, x->id, "exec_start", 0);
	if (r >= 0)
		r = launch(en, x, c, detach, &io, e);
	if (r < 0 && !again)
		mark_ended(en, x, false, e && (strstr(e->msg, "executable file not found") || strstr(e->msg, "no such file or directory")) ? 127 : 126);
	struct engine_stream s = {.sock = -1};
	if (r >= 0 && !detach && ready(arg, &s)) {
		s.detach_keys = x->spec.detach_keys;
		if (x->spec.tty) {
			io.in = dup(x->master);
			io.out = dup(x->master);
		}
		exec_pump(x, &s, &io.in, &io.out, &io.err);
	}
	exec_put(en, x);
	return r;
}

int engine_exec_resize(struct engine *en, const char *exec_id, int h, int w, struct err *e)
{
	struct exec *x = exec_get(en, exec_id);
	if (!x)
		return err_as(e, ERR_NOT_FOUND, "No such exec instance: %s", exec_id);
	struct winsize ws = {.ws_row = (unsigned short)h, .ws_col = (unsigned short)w};
	int r = 0;
	pthread_mutex_lock(&en->lock);
	if (x->master >= 0)
		r = ioctl(x->master, TIOCSWINSZ, &ws) < 0 ? err_errno(e, -errno, "resize the terminal of exec %.12s", exec_id) : 0;
	else if (!x->started)
		r = err_as(e, ERR_CONFLICT, "exec %s is not running", exec_id);
	else
		x->size = ws; /* it is being started */
	pthread_mutex_unlock(&en->lock);
	exec_put(en, x);
	return r;
}

int engine_probe_start(struct engine *en, const struct container *c, const struct exec_spec *s, struct engine_probe *out, struct err *e)
{
	OWN(own_io) struct io io = {-1, -1, -1};
	struct exec *x = calloc(1, sizeof(*x));
	if (!x)
		return err_nomem(e);
	x->refs = 1;
	x->master = -1;
	x->probe = x->started = true;
	random_id(x->id);
	STR_COPY(x->container, c->id);
	copy_spec(&x->mem, s, &x->spec);
	x->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = x->ended_fd < 0 ? err_errno(e, -errno, "eventfd") : x->mem.bad ? err_nomem(e) : launch(en, x, c, false, &io, e);
	if (r >= 0 && fcntl(io.out, F_SETFL, O_NONBLOCK) < 0)
		r = err_errno(e, -errno, "fcntl");
	if (r < 0) {
		exec_put(en, x);
		return r;
	}
	*out = (struct engine_probe){.x = x, .out = STEAL_FD(io.out), .ended = x->ended_fd};
	return 0;
}

bool engine_probe_ended(struct engine *en, const struct engine_probe *p, int *code)
{
	pthread_mutex_lock(&en->lock);
	bool ended = p->x->ended;
	*code = p->x->exit_code;
	pthread_mutex_unlock(&en->lock);
	return ended;
}

void engine_probe_close(struct engine *en, struct engine_probe *p)
{
	pthread_mutex_lock(&en->lock);
	/* While it is watched it has not been waited for, so the pid is still its own. */
	if (!p->x->ended && p->x->pid > 0)
		(void)kill((pid_t)p->x->pid, SIGKILL);
	pthread_mutex_unlock(&en->lock);
	if (p->out >= 0)
		close(p->out);
	exec_put(en, p->x);
	*p = (struct engine_probe){.out = -1, .ended = -1};
}
