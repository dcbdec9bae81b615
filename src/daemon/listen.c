#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/log.h"

#define FIRST_PASSED 3 /* sd_listen_fds(3) */
#define BACKLOG      512
#define PEM_MAX      (1u << 20)

struct passed {
	size_t n;
	char names[SOCKETS_MAX][64];
};

static int make_tls(const struct listeners *l, struct tls_server **out, struct err *e)
{
	return tls_new(&(struct tls_conf){.cert = buf_str(&l->cert), .key = buf_str(&l->key), .ca = l->ca.len ? buf_str(&l->ca) : NULL}, out, e);
}

static int add(struct listeners *l, int fd, const char *path, bool tls, struct err *e)
{
	if (l->n == SOCKETS_MAX)
		return err_as(e, ERR_INVALID, "more than %d sockets", SOCKETS_MAX);
	l->at[l->n] = (struct server_socket){.fd = fd};
	if (tls)
		try(make_tls(l, &l->at[l->n].tls, e));
	l->path[l->n++] = path;
	return 0;
}

/* --- passed by systemd: LISTEN_PID is this process, LISTEN_FDS how many from 3 on, LISTEN_FDNAMES their names --- */

static void read_names(struct passed *p, const char *names)
{
	for (size_t i = 0; names && i < p->n; i++) {
		size_t n = strcspn(names, ":");
		snprintf(p->names[i], sizeof(p->names[i]), "%.*s", (int)n, names);
		names += n;
		names += *names == ':';
	}
}

static int take_passed(struct listeners *l, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	bool ours = pid && count && strtol(pid, NULL, 10) == (long)getpid();
	long n = ours ? strtol(count, NULL, 10) : 0;
	if (n < 0 || n > SOCKETS_MAX)
		return err_as(e, ERR_INVALID, "LISTEN_FDS=%.20s: from 0 to %d sockets can be passed", count, SOCKETS_MAX);
	l->passed = calloc(1, sizeof(*l->passed));
	if (!l->passed)
		return err_nomem(e);
	l->passed->n = (size_t)n;
	if (ours)
		read_names(l->passed, getenv("LISTEN_FDNAMES"));
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = FIRST_PASSED; fd < FIRST_PASSED + n; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_as(e, ERR_INVALID, "the passed descriptor %d is not open", fd);
	return 0;
}

/* Like one that is opened here: over the network only with TLS, unless the configuration says otherwise. */
static int take(struct listeners *l, int fd, const struct config_daemon *c, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int listens = 0;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_as(e, ERR_INVALID, "the passed descriptor %d is no socket", fd);
	len = sizeof(listens);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
		return err_as(e, ERR_INVALID, "the passed socket %d does not listen: Accept=no and ListenStream= are what the socket unit needs", fd);
	bool net = sa.ss_family != AF_UNIX;
	if (net && !c->tls)
		try(config_allow_plain(c, "the passed socket", e));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(e, -errno, "fcntl");
	return add(l, fd, NULL, net && c->tls, e);
}

static int open_passed(struct listeners *l, const char *which, const struct config_daemon *c, struct err *e)
{
	bool all = !*which || streq(which, "*");
	char *end;
	long number = strtol(which, &end, 10);
	size_t taken = 0;
	for (size_t i = 0; i < l->passed->n; i++) {
		if (!all && (*end ? !streq(l->passed->names[i], which) : number != FIRST_PASSED + (long)i))
			continue;
		try(take(l, FIRST_PASSED + (int)i, c, e));
		taken++;
	}
	if (!l->passed->n)
		return err_as(e, ERR_INVALID, "no sockets found via socket activation: make sure the service was started by systemd");
	return taken ? 0 : err_as(e, ERR_INVALID, "failed to find the specified socket activation file: fd://%s", which);
}

/* --- unix --- */

/* 0660 for the group, else for root alone: whoever may open it is root. Only the default group may be missing. */
static int set_owner(const struct config_daemon *c, const char *path, struct err *e)
{
	const struct group *g = str_empty(c->group) ? NULL : getgrnam(c->group);
	char *end;
	gid_t gid = g ? g->gr_gid : (gid_t)strtoul(str_empty(c->group) ? "" : c->group, &end, 10);
	bool known = g || (!str_empty(c->group) && !*end);
	if (!known && !str_empty(c->group) && c->group_set)
		return err_as(e, ERR_INVALID, "the group %s (--group) does not exist", c->group);
	if (known && chown(path, 0, gid) < 0)
		return err_errno(e, -errno, "chown %s", path);
	return chmod(path, known ? 0660 : 0600) < 0 ? err_errno(e, -errno, "chmod %s", path) : 0;
}

static bool somebody_listens(const struct sockaddr_un *sa)
{
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
}

static int make_directory(const char *path, struct err *e)
{
	char dir[256];
	STR_COPY(dir, path);
	char *slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	return mkdir_p(dir, 0755, e);
}

static int open_unix(struct listeners *l, const char *path, const struct config_daemon *c, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!STR_COPY(sa.sun_path, path))
		return err_as(e, ERR_INVALID, "the socket path %s is longer than %zu bytes", path, sizeof(sa.sun_path) - 1);
	try(make_directory(path, e));
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
		r = set_owner(c, made, e);
	if (r >= 0 && listen(fd, BACKLOG) < 0)
		r = err_errno(e, -errno, "listen on %s", path);
	if (r >= 0 && rename(made, path) < 0)
		r = err_errno(e, -errno, "rename %s to %s", made, path);
	if (r >= 0)
		r = add(l, fd, path, false, e);
	if (r >= 0)
		(void)STEAL_FD(fd);
	return r;
}

/* --- TCP --- */

static int read_pem(const char *path, const char *flag, struct buf *out, struct err *e)
{
	if (out->len)
		return 0;
	if (read_file(path, PEM_MAX, out, e) < 0)
		return err_ctx(e, "%s", flag);
	if (!out->len || strlen(buf_str(out)) != out->len)
		return err_as(e, ERR_INVALID, "%s: %s is no PEM file", flag, path);
	return 0;
}

static int read_tls(struct listeners *l, const struct config_daemon *c, struct err *e)
{
	if (c->tls_clients)
		try(read_pem(c->tlscacert, "--tlscacert", &l->ca, e));
	try(read_pem(c->tlscert, "--tlscert", &l->cert, e));
	try(read_pem(c->tlskey, "--tlskey", &l->key, e));
	struct tls_server *t; /* what is wrong with the files shows before anything has begun */
	try(make_tls(l, &t, e));
	tls_free(t);
	return 0;
}

int listen_prepare(struct listeners *l, const struct config_daemon *c, struct err *e)
{
	try(take_passed(l, e));
	return c->tls ? read_tls(l, c, e) : 0;
}

static int open_one_tcp(struct listeners *l, const struct host *h, const struct addrinfo *a, bool tls, struct err *e)
{
	static const int on = 1;
	OWN(own_fd) int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, -errno, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || (a->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return err_errno(e, -errno, "setsockopt");
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(e, -errno, "listen on tcp://%s:%s", h->name, h->port);
	try(add(l, fd, NULL, tls, e));
	(void)STEAL_FD(fd);
	return 0;
}

/* All addresses of the name; a family that this host has not is left out as long as one is there. */
static int open_tcp(struct listeners *l, const struct host *h, bool tls, struct err *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	size_t before = l->n;
	int r = getaddrinfo(h->name, h->port, &hints, &list);
	if (r != 0)
		return err_as(e, ERR_INVALID, "invalid bind address (tcp://%s:%s): %s", h->name, h->port, gai_strerror(r));
	r = 0;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		struct err one = {0};
		r = open_one_tcp(l, h, a, tls, &one);
		if (r < 0 && r != -EADDRNOTAVAIL && r != -EAFNOSUPPORT) {
			*e = one;
			break;
		}
		if (r < 0 && l->n == before)
			*e = one;
		else
			r = 0;
	}
	freeaddrinfo(list);
	return r;
}

int listen_open(struct listeners *l, const struct config_daemon *c, struct err *e)
{
	for (size_t i = 0; i < c->nlisten; i++) {
		const struct host *h = &c->listen[i];
		if (h->kind == HOST_UNIX)
			try(open_unix(l, h->name, c, e));
		else if (h->kind == HOST_FD)
			try(open_passed(l, h->name, c, e));
		else
			try(open_tcp(l, h, c->tls, e));
		if (h->kind == HOST_TCP && !c->tls)
			log_warn("whoever reaches tcp://%s:%s is root on this host: it is served without TLS, as --tls=false says", h->name, h->port);
		else if (h->kind == HOST_TCP && !c->tls_clients)
			log_warn("whoever reaches tcp://%s:%s is root on this host: clients need no certificate, as --tlsverify=false says", h->name, h->port);
	}
	return 0;
}

void listen_close(struct listeners *l)
{
	for (size_t i = 0; i < l->n; i++) {
		tls_free(l->at[i].tls);
		close(l->at[i].fd);
		if (l->path[i])
			unlink(l->path[i]);
	}
	buf_free(&l->ca);
	buf_free(&l->cert);
	buf_free(&l->key);
	free(l->passed);
	*l = (struct listeners){0};
}
