/* pontoond: the order of starting and stopping, on one page. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "api/server.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
#include "daemon/reload.h"
#include "ops/takedown.h"

#define ARENAS 2

struct daemon {
	struct config_daemon config;
	struct core *core;
	struct server *server;
	struct reload *reload;
	struct listeners listeners;
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

/* Programs that we start take them over; who asks for nothing keeps what is there. */
static int set_proxies(const struct config_daemon *c, struct err *e)
{
	const char *const v[][2] = {{"http_proxy", c->http_proxy}, {"https_proxy", c->https_proxy}, {"no_proxy", c->no_proxy}};
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		if (!str_empty(v[i][1]) && setenv(v[i][0], v[i][1], 1) < 0)
			return err_nomem(e);
	return 0;
}

static int set_oom_score(const struct config_daemon *c, struct err *e)
{
	char text[16];
	if (!c->oom_score_set)
		return 0;
	snprintf(text, sizeof(text), "%d", (int)c->oom_score);
	return write_file("/proc/self/oom_score_adj", text, strlen(text), 0644, e);
}

static int start(struct daemon *d, struct err *e)
{
	for (size_t i = 0; i < d->config.passed_over.n; i++)
		log_warn("%s", d->config.passed_over.v[i]);
	try(set_proxies(&d->config, e));
	try(set_oom_score(&d->config, e));
	try(listen_prepare(&d->listeners, &d->config, e));
	try(write_pidfile(d, e));
	try(kernel_foreign_dockerd(e));
	try(core_open(&d->config.core, NULL, &d->core, e));
	try(listen_open(&d->listeners, &d->config, e));
	try(server_start(d->core, d->listeners.at, d->listeners.n, &d->server, e));
	log_info("pontoond " PONTOON_VERSION " is ready host=%s", d->config.hosts.v[0]);
	notify_ready();
	return 0;
}

static void stop(struct daemon *d)
{
	if (d->core && d->server)
		core_shutdown(d->core);
	server_stop(d->server);
	core_close(d->core);
	listen_close(&d->listeners);
	if (d->has_pidfile)
		unlink(d->config.pidfile);
}

static void wait_for_end(struct daemon *d, const sigset_t *set)
{
	for (;;) {
		int sig;
		if (sigwait(set, &sig) != 0)
			continue;
		if (sig != SIGHUP) {
			log_info("signal %d: stopping", sig);
			notify_stopping();
			return;
		}
		notify_reloading();
		reload_run(d->reload, d->core);
		notify_ready();
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
		for (size_t i = 0; i < d->config.passed_over.n; i++)
			printf("%s\n", d->config.passed_over.v[i]);
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
	if (d.config.take_down) {
		r = take_down(&d.config.core, &e);
		if (r < 0)
			fprintf(stderr, "pontoond: %s\n", e.msg);
		config_free(&d.config);
		return r < 0;
	}
	/* A thread a connection, each short: with an arena for each of them (the C library makes up to 8 a core) memory that nobody uses stays resident. */
	(void)mallopt(M_ARENA_MAX, ARENAS);
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 10); /* long answers are given back to the system; fixed, or the library raises it at the first one */
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigset_t blocked = set;
	sigaddset(&blocked, SIGCHLD); /* the engine reads it from a descriptor */
	pthread_sigmask(SIG_BLOCK, &blocked, NULL); /* every thread inherits it: only this one takes them */
	umask(022);
	notify_open();
	d.reload = reload_new(argc, argv, &d.config);
	r = d.reload ? start(&d, &e) : err_nomem(&e);
	if (r < 0)
		log_at(LOG_L_FATAL, "failed to start daemon: %s", e.msg);
	else
		wait_for_end(&d, &set);
	stop(&d);
	reload_free(d.reload);
	config_free(&d.config);
	return r < 0;
}
