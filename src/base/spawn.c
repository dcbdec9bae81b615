/* Theory of operation
 *
 * The child shares our memory until exec (CLONE_VM | CLONE_VFORK), so starting one costs the same however large we are, and the failure
 * of its exec comes back through that memory. It runs on a stack of its own with all signals blocked, uses only what was prepared before,
 * and makes plain system calls. Descriptors are first moved out of the way of every target number, then put in place, so that the lists
 * may overlap in any order. */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/sanitized.h"
#if SANITIZED
#include <sanitizer/asan_interface.h>
#endif

#define CHILD_STACK  (64u << 10)
#define SPAWN_FDS    32

extern char **environ;

/* Processes whose status somebody will ask for. Listed before clone, where the kernel writes the pid before the child runs (CLONE_PARENT_SETTID): none is
 * taken for an orphan, and no start waits for another's exec. */
static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static struct own {
	struct own *next;
	_Atomic pid_t pid; /* 0: about to start */
} *own_list;

static void own_add(struct own *o)
{
	pthread_mutex_lock(&own_lock);
	o->next = own_list;
	own_list = o;
	pthread_mutex_unlock(&own_lock);
}

static void own_del(struct own *o)
{
	pthread_mutex_lock(&own_lock);
	struct own **p = &own_list;
	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	pthread_mutex_unlock(&own_lock);
	free(o);
}

static void own_forget(pid_t pid)
{
	pthread_mutex_lock(&own_lock);
	for (struct own **p = &own_list; *p; p = &(*p)->next) {
		if ((*p)->pid == pid) {
			struct own *o = *p;
			*p = o->next;
			free(o);
			break;
		}
	}
	pthread_mutex_unlock(&own_lock);
}

static bool is_own(pid_t pid)
{
	for (const struct own *o = own_list; o; o = o->next)
		if (o->pid == pid)
			return true;
	return false;
}

/* The child's frames are never left, so their poison would stay behind for whoever gets this memory next. */
static void free_stack(void *stack)
{
#if SANITIZED
	__asan_unpoison_memory_region(stack, CHILD_STACK);
#endif
	munmap(stack, CHILD_STACK);
}

struct child {
	const struct spawn *s;
	const char *path;
	char *const *argv, *const *env;
	struct spawn_fd fds[SPAWN_FDS];
	size_t nfds;
	sigset_t mask; /* of the new program */
	pid_t parent;
	int failed;    /* errno of what failed */
	const char *what;
};

static int child_fail(struct child *c, const char *what)
{
	c->failed = errno;
	c->what = what;
	_exit(127);
}

static void place_fds(struct child *c)
{
	int above = 3;
	for (size_t i = 0; i < c->nfds; i++)
		if (c->fds[i].child >= above)
			above = c->fds[i].child + 1;
	for (size_t i = 0; i < c->nfds; i++) {
		int fd = fcntl(c->fds[i].parent, F_DUPFD_CLOEXEC, above);
		if (fd < 0)
			child_fail(c, "dup");
		c->fds[i].parent = fd;
	}
	for (size_t i = 0; i < c->nfds; i++)
		if (dup2(c->fds[i].parent, c->fds[i].child) < 0)
			child_fail(c, "dup2");
	/* Everything else above 2 goes at exec; what was put in place is not CLOEXEC after dup2, so mark all, then clear those. */
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(c, "close_range");
	for (size_t i = 0; i < c->nfds; i++)
		if (c->fds[i].child > 2 && fcntl(c->fds[i].child, F_SETFD, 0) < 0)
			child_fail(c, "fcntl");
}

/* The kernel lets a child of vfork have one of its own. */
static int set_oom_score(const char *text)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -1; /* the child ends */
	return close(fd);
}

static int child_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;
	static const unsigned long dfl[8]; /* the kernel's struct sigaction: zeros are SIG_DFL */
	for (int sig = 1; sig < NSIG; sig++)
		(void)syscall(SYS_rt_sigaction, sig, dfl, NULL, sizeof(uint64_t)); /* not sigaction(3), which keeps two signals for itself; KILL and STOP refuse */
	if (s->netns_fd > 0 && setns(s->netns_fd, CLONE_NEWNET) < 0)
		child_fail(c, "enter the network namespace");
	if (s->new_session && setsid() < 0)
		child_fail(c, "setsid");
	if (s->die_signal && prctl(PR_SET_PDEATHSIG, s->die_signal) < 0)
		child_fail(c, "prctl");
	if (s->die_signal && getppid() != c->parent) { /* killed before the line above: nobody would send the signal any more */
		errno = ESRCH;
		child_fail(c, "its parent");
	}
	if (s->oom_score_adj && set_oom_score(s->oom_score_adj) < 0)
		child_fail(c, "set oom_score_adj");
	if (s->cwd && chdir(s->cwd) < 0)
		child_fail(c, "chdir");
	place_fds(c);
	(void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execve(c->path, c->argv, c->env);
	return child_fail(c, "exec");
}

/* Finds argv[0] in PATH, as execvp would, but in the parent. */
int spawn_find(const char *name, char out[static PATH_MAX], struct err *e)
{
	if (strchr(name, '/'))
		return str_copy(out, PATH_MAX, name) ? 0 : err_errno(e, -ENAMETOOLONG, "%s", name);
	const char *path = getenv("PATH");
	if (!path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	for (; *path; path += strcspn(path, ":"), path += *path == ':') {
		int n = (int)strcspn(path, ":");
		struct stat st; /* a directory passes access() too */
		if (n && snprintf(out, PATH_MAX, "%.*s/%s", n, path, name) < PATH_MAX && access(out, X_OK) == 0 && stat(out, &st) == 0 && S_ISREG(st.st_mode))
			return 0;
	}
	return err_set(e, -ENOENT, "%s: not found in PATH", name);
}

static int add_fds(struct child *c, const struct spawn *s, int null_fd, struct err *e)
{
	bool std[3] = {false};
	if (s->nfds + 3 > SPAWN_FDS)
		return err_set(e, -EINVAL, "too many descriptors for a child");
	for (size_t i = 0; i < s->nfds; i++) {
		c->fds[c->nfds++] = s->fds[i];
		if (s->fds[i].child < 3)
			std[s->fds[i].child] = true;
	}
	for (int i = 0; i < 3; i++)
		if (!std[i])
			c->fds[c->nfds++] = (struct spawn_fd){.parent = null_fd, .child = i};
	return 0;
}

int spawn_start(const struct spawn *s, pid_t *out, struct err *e)
{
	union { /* exec takes pointers to non-const that it does not write through */
		const char *const *in;
		char *const *out;
	} argv = {.in = s->argv}, env = {.in = s->env};
	char path[PATH_MAX];
	struct child c = {.s = s, .path = path, .argv = argv.out, .env = s->env ? env.out : environ, .parent = getpid()};
	sigset_t all, old;
	try(spawn_find(s->argv[0], path, e));
	OWN(own_fd) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return err_errno(e, -errno, "open /dev/null");
	try(add_fds(&c, s, null_fd, e));
	sigemptyset(&c.mask);
	void *stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return err_errno(e, -errno, "mmap");
	struct own *own = calloc(1, sizeof(*own));
	if (!own) {
		free_stack(stack);
		return err_nomem(e);
	}
	own_add(own);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = clone(child_main, (char *)stack + CHILD_STACK, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD, &c, &own->pid);
	int r = pid < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	free_stack(stack);
	if (r < 0)
		own_del(own);
	if (r < 0)
		return err_errno(e, r, "start %s", s->argv[0]);
	if (c.failed) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		own_forget(pid);
		return err_errno(e, -c.failed, "%s: %s", s->argv[0], c.what);
	}
	*out = pid;
	return 0;
}

int spawn_wait(pid_t pid, int *status, struct err *e)
{
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return err_errno(e, -errno, "wait for process %d", (int)pid);
	own_forget(pid);
	return 0;
}

/* With the lock held. */
static bool is_claimed(pid_t pid, bool (*keep)(void *arg, pid_t pid), void *arg)
{
	return is_own(pid) || keep(arg, pid);
}

/* The children of one thread; the kernel gives orphans to any thread of the subreaper. */
static void reap_children_of(const char *tid, bool (*keep)(void *arg, pid_t pid), void *arg)
{
	char path[64];
	int pid;
	snprintf(path, sizeof(path), "/proc/self/task/%.16s/children", tid);
	OWN(own_file) FILE *f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1) {
		siginfo_t si;
		pthread_mutex_lock(&own_lock);
		if (!is_claimed(pid, keep, arg))
			(void)waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG); /* still alive: nothing happens */
		pthread_mutex_unlock(&own_lock);
	}
}

bool spawn_reap_first(bool (*keep)(void *arg, pid_t pid), void *arg)
{
	for (;;) {
		siginfo_t si = {0};
		pthread_mutex_lock(&own_lock);
		bool none = waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || !si.si_pid, claimed = !none && is_claimed(si.si_pid, keep, arg);
		if (!none && !claimed)
			(void)waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
		pthread_mutex_unlock(&own_lock);
		if (none || claimed)
			return none;
	}
}

void spawn_reap_orphans(bool (*keep)(void *arg, pid_t pid), void *arg)
{
	OWN(own_dir) DIR *d = opendir("/proc/self/task");
	struct dirent *entry;
	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			reap_children_of(entry->d_name, keep, arg);
}

struct pipes {
	int in[2], out[2], err[2];
};

static void own_pipes(struct pipes *p)
{
	int *all[] = {p->in, p->out, p->err};
	for (size_t i = 0; i < 3; i++)
		for (int k = 0; k < 2; k++)
			if (all[i][k] >= 0)
				close(all[i][k]);
}

static int make_pipe(int p[2], struct err *e)
{
	return pipe2(p, O_CLOEXEC) < 0 ? err_errno(e, -errno, "pipe") : 0;
}

/* Takes what is there. False at end of file (the descriptor is closed then). */
static bool drain(int *fd, struct buf *to, size_t max, int *result)
{
	char chunk[16384];
	ssize_t n = read(*fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0) {
		close(STEAL_FD(*fd));
		return false;
	}
	if (to && to->len + (size_t)n > max)
		*result = -EFBIG;
	else if (to)
		buf_put(to, chunk, (size_t)n);
	return true;
}

static void feed(int *fd, const struct spawn_io *io, size_t *done)
{
	ssize_t n = write(*fd, (const char *)io->in + *done, io->in_len - *done);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		*done += (size_t)n;
	if (n < 0 || *done == io->in_len)
		close(STEAL_FD(*fd)); /* a child that does not read its input says so by its status */
}

/* Milliseconds until `end` for poll, rounded up so that none of them is spent spinning; -1 without an end. */
static int time_left(int64_t end)
{
	int64_t ms = end ? (end - clock_mono_ns() + 999999) / 1000000 : -1;
	return !end ? -1 : ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Moves bytes until both outputs are at their end and the input is fed: a child may close the first and still read. */
static int pump(struct pipes *p, const struct spawn_io *io, int64_t end)
{
	size_t max = io->max ? io->max : LIMIT_CHILD_OUTPUT, done = 0;
	int result = 0;
	if (!io->in_len)
		close(STEAL_FD(p->in[1]));
	while ((p->out[0] >= 0 || p->err[0] >= 0 || p->in[1] >= 0) && result == 0) {
		struct pollfd f[3] = {{.fd = p->out[0], .events = POLLIN}, {.fd = p->err[0], .events = POLLIN}, {.fd = p->in[1], .events = POLLOUT}};
		int n = poll(f, 3, time_left(end));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0)
			continue;
		if (f[0].revents)
			drain(&p->out[0], io->out, max, &result);
		if (f[1].revents)
			drain(&p->err[0], io->err, max, &result);
		if (f[2].revents)
			feed(&p->in[1], io, &done);
		if (end && result == 0 && clock_mono_ns() > end)
			return -ETIMEDOUT; /* an endless talker never lets poll run out of time */
	}
	return result;
}

/* The outputs may be closed long before the child is done: the time limit is for the child. */
static int wait_until(pid_t pid, int64_t end)
{
	if (!end)
		return 0;
	OWN(own_fd) int fd = (int)syscall(SYS_pidfd_open, pid, 0u);
	struct pollfd f = {.fd = fd, .events = POLLIN};
	int n;
	if (fd < 0)
		return -errno;
	while ((n = poll(&f, 1, time_left(end))) < 0)
		if (errno != EINTR)
			return -errno;
	return n ? 0 : -ETIMEDOUT;
}

int spawn_run(const struct spawn *s, const struct spawn_io *io, int *status, struct err *e)
{
	OWN(own_pipes) struct pipes p = {{-1, -1}, {-1, -1}, {-1, -1}};
	struct spawn_fd fds[SPAWN_FDS];
	struct spawn with = *s;
	pid_t pid;
	size_t n = 0;
	try(make_pipe(p.in, e));
	try(make_pipe(p.out, e));
	try(make_pipe(p.err, e));
	if (s->nfds + 6 > SPAWN_FDS)
		return err_set(e, -EINVAL, "too many descriptors for a child");
	for (; n < s->nfds; n++)
		fds[n] = s->fds[n];
	fds[n++] = (struct spawn_fd){p.in[0], 0};
	fds[n++] = (struct spawn_fd){p.out[1], 1};
	fds[n++] = (struct spawn_fd){p.err[1], 2};
	with.fds = fds;
	with.nfds = n;
	try(spawn_start(&with, &pid, e));
	close(STEAL_FD(p.in[0]));
	close(STEAL_FD(p.out[1]));
	close(STEAL_FD(p.err[1]));
	(void)fcntl(p.in[1], F_SETFL, O_NONBLOCK);
	sigset_t pipe_set, old;
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old); /* a child that closes its input early must not kill us */
	int64_t end = io->timeout_ms ? clock_mono_ns() + (int64_t)io->timeout_ms * 1000000 : 0;
	int r = pump(&p, io, end);
	struct timespec none = {0};
	while (sigtimedwait(&pipe_set, NULL, &none) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r >= 0)
		r = wait_until(pid, end);
	if (r < 0)
		kill(pid, SIGKILL);
	try(spawn_wait(pid, status, e));
	if (r == -ETIMEDOUT)
		return err_set(e, r, "%s: did not finish within %d ms", s->argv[0], io->timeout_ms);
	if (r < 0)
		return err_errno(e, r, "%s: its input and output", s->argv[0]);
	return (io->out && io->out->bad) || (io->err && io->err->bad) ? err_nomem(e) : 0;
}
