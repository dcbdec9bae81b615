/* pontoond: the order of starting and stopping, on one page. */
#include <errno.h>
#include <malloc.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/server.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/config.h"

#define ARENAS      2
#define SOCKETS_MAX 16

struct daemon {
	struct config_daemon config;
	struct core *core;
	struct server *server;
	int sockets[SOCKETS_MAX];
	size_t nsockets;
	bool has_pidfile;
};

/* Another pontoond that is alive holds the file; a stale one is taken over. */
static int write_pidfile(struct daemon *d, struct err *e)
{
	OWN(own_buf) struct buf old = {0};
	char text[32], proc[64], self[4096], other[4096];
	const char *path = d->config.pidfile;
	if (str_empty(path))
		return 0;
	if (read_file(path, 64, &old, NULL) >= 0) {
		long pid = strtol(buf_str(&old), NULL, 10);
		snprintf(proc, sizeof(proc), "/proc/%ld/exe", pid);
		ssize_t a = readlink("/proc/self/exe", self, sizeof(self)), b = readlink(proc, other, sizeof(other));
		if (pid > 1 && pid != getpid() && a > 0 && a == b && memcmp(self, other, (size_t)a) == 0)
			return err_as(e, ERR_CONFLICT, "pid file found, ensure pontoond is not running or delete %s (process %ld)", path, pid);
	}
	char dir[4096];
	STR_COPY(dir, path);
	char *slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		try(mkdir_p(dir, 0755, e));
	}
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	try(write_file_atomic(path, text, (size_t)n, 0644, false, e));
	d->has_pidfile = true;
	return 0;
}

/* 0660 for the group if it exists, else for root alone: whoever may open it is root. */
static int set_owner(const struct daemon *d, const char *path, struct err *e)
{
	const struct group *g = str_empty(d->config.group) ? NULL : getgrnam(d->config.group);
	if (g && chown(path, 0, g->gr_gid) < 0)
		return err_errno(e, -errno, "chown %s", path);
	return chmod(path, g ? 0660 : 0600) < 0 ? err_errno(e, -errno, "chmod %s", path) : 0;
}

static bool somebody_listens(const struct sockaddr_un *sa)
{
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
}

static int listen_unix(struct daemon *d, const char *path, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char dir[256];
	if (!STR_COPY(sa.sun_path, path))
		return err_as(e, ERR_INVALID, "the socket path %s is longer than %zu bytes", path, sizeof(sa.sun_path) - 1);
	STR_COPY(dir, path);
	char *slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		try(mkdir_p(dir, 0755, e));
	}
	if (somebody_listens(&sa))
		return err_as(e, ERR_CONFLICT, "another process listens on %s: stop it, or choose another socket with -H", path);
	/* It gets its name when it listens: whoever sees the socket can connect. */
	char made[sizeof(sa.sun_path) + 8];
	snprintf(made, sizeof(made), "%s.new", path);
	if (!STR_COPY(sa.sun_path, made))
		return err_as(e, ERR_INVALID, "the socket path %s is longer than %zu bytes", path, sizeof(sa.sun_path) - 5);
	if (unlink(made) < 0 && errno != ENOENT)
		return err_errno(e, -errno, "remove %s", made);
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, -errno, "socket");
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? err_errno(e, -errno, "bind %s", made) : 0;
	umask(old);
	if (r >= 0)
		r = set_owner(d, made, e);
	if (r >= 0 && listen(fd, 512) < 0)
		r = err_errno(e, -errno, "listen on %s", path);
	if (r >= 0 && rename(made, path) < 0)
		r = err_errno(e, -errno, "rename %s to %s", made, path);
	if (r >= 0)
		d->sockets[d->nsockets++] = STEAL_FD(fd);
	return r;
}

static int open_sockets(struct daemon *d, struct err *e)
{
	for (size_t i = 0; i < d->config.hosts.n; i++) {
		if (d->nsockets == SOCKETS_MAX)
			return err_as(e, ERR_INVALID, "more than %d sockets", SOCKETS_MAX);
		try(listen_unix(d, d->config.hosts.v[i] + strlen("unix://"), e));
	}
	return 0;
}

static int start(struct daemon *d, struct err *e)
{
	try(write_pidfile(d, e));
	try(kernel_foreign_dockerd(e));
	try(core_open(&d->config.core, NULL, &d->core, e));
	try(open_sockets(d, e));
	try(server_start(d->core, d->sockets, d->nsockets, &d->server, e));
	log_info("pontoond " PONTOON_VERSION " is ready host=%s", d->config.hosts.v[0]);
	return 0;
}

static void stop(struct daemon *d)
{
	if (d->core && d->server)
		core_shutdown(d->core);
	server_stop(d->server);
	core_close(d->core);
	for (size_t i = 0; i < d->nsockets; i++) {
		close(d->sockets[i]);
		unlink(d->config.hosts.v[i] + strlen("unix://"));
	}
	if (d->has_pidfile)
		unlink(d->config.pidfile);
}

static void wait_for_end(const sigset_t *set)
{
	for (;;) {
		int sig;
		if (sigwait(set, &sig) == 0 && sig != SIGHUP) {
			log_info("signal %d: stopping", sig);
			return;
		}
		log_info("SIGHUP: nothing of this configuration can change while running");
	}
}

static int read_config(struct daemon *d, int argc, char **argv)
{
	OWN(own_buf) struct buf usage = {0};
	int r = config_read(&d->config, argc, argv);
	if (d->config.help) {
		config_usage(&usage);
		fputs(buf_str(&usage), stdout);
		return 1;
	}
	if (d->config.version) {
		puts("Pontoon version " PONTOON_VERSION);
		return 1;
	}
	for (size_t i = 0; i < d->config.errors.n; i++)
		fprintf(stderr, "pontoond: %s\n", d->config.errors.v[i]);
	if (r < 0) {
		fprintf(stderr, "See 'pontoond --help'.\n");
		return r;
	}
	if (d->config.validate) {
		puts("configuration OK");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon d = {0};
	struct err e = {0};
	sigset_t set;
	enum log_level level = LOG_L_INFO;
	int r = read_config(&d, argc, argv);
	if (r != 0) {
		config_free(&d.config);
		return r < 0;
	}
	(void)log_level_parse(d.config.log_level, &level); /* config_read has judged it */
	log_set_level(d.config.core.debug ? LOG_L_DEBUG : level);
	if (geteuid() != 0) {
		fprintf(stderr, "pontoond: must be started as root\n");
		return 1;
	}
	/* A thread a connection, each short: with an arena for each of them (the C library makes up to 8 a core) memory that nobody uses stays resident. */
	(void)mallopt(M_ARENA_MAX, ARENAS);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigset_t blocked = set;
	sigaddset(&blocked, SIGCHLD); /* the engine reads it from a descriptor */
	pthread_sigmask(SIG_BLOCK, &blocked, NULL); /* every thread inherits it: only this one takes them */
	umask(022);
	r = start(&d, &e);
	if (r < 0)
		log_at(LOG_L_FATAL, "failed to start daemon: %s", e.msg);
	else
		wait_for_end(&set);
	stop(&d);
	config_free(&d.config);
	return r < 0;
}
