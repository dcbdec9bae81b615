/* Theory of operation
 *
 * Everything the relay should know is kept here too, as encoded messages and duplicated descriptors: what is put is noted first and then sent if a relay is there. So a
 * relay that dies, or one that is silent and is killed, is followed by another that gets all of it: sandboxes, zones, views, in this order.
 *
 * One thread reads what the relay says: acknowledgements (relay_sync waits for its number), wishes for sockets in a container's namespace, and its end. Sending happens
 * on the caller's thread, under the lock; the socket has a time-out, so a relay that does not read is treated like one that does not answer.
 *
 * The control socket is made and bound here and handed down (the relay has no file system), so a new daemon finds the relay at its path. On connecting the relay tells
 * what it holds; the descriptors are kept, and what nobody claims until relay_settle goes. */
#include "engine/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "base/spawn.h"
#include "kernel/netns.h"

#define ACK_MS       1000
#define SEND_MS      1000
#define END_MS       2000 /* for a relay that is told to end */
#define BACKOFF_MIN  100 /* ms between starts of relays that die */
#define BACKOFF_MAX  10000
#define SOCKETS_MOST 16 /* a wish's */

struct box { /* one sandbox */
	char id[ID_TEXT];
	int udp, tcp;
	char *netns; /* path; NULL: not told since relay_open */
	void *view;  /* encoded */
	size_t view_len;
	bool claimed;
};

struct note { /* a zone */
	char id[ID_TEXT];
	void *bytes; /* encoded; NULL: only known to be held */
	size_t len;
	bool claimed;
};

struct relay {
	struct relay_conf conf;
	char *program, *path;
	pthread_mutex_t lock;
	pthread_cond_t acked;
	pthread_t thread;
	int sock, wake;
	pid_t pid, child; /* child: pid if we started it */
	bool ending;
	uint64_t asked, answered;
	int64_t started; /* ms */
	int backoff;
	struct map boxes, zones;
};

/* --- what is known --- */

static void box_free(struct box *b)
{
	if (b->udp >= 0)
		close(b->udp);
	if (b->tcp >= 0)
		close(b->tcp);
	free(b->netns);
	free(b->view);
	free(b);
}

static struct box *box_new(struct relay *r, const char *id)
{
	struct box *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	STR_COPY(b->id, id);
	b->udp = b->tcp = -1;
	if (map_puts(&r->boxes, b->id, b) >= 0)
		return b;
	free(b);
	return NULL;
}

/* A sandbox whose container nobody knows goes by 12 letters. */
static struct box *find_box(struct relay *r, const char *id)
{
	struct box *b = map_gets(&r->boxes, id);
	struct map_entry *m;
	for (size_t i = 0; !b && strlen(id) == 12 && (m = map_next(&r->boxes, &i));)
		if (str_starts(((struct box *)m->value)->id, id))
			b = m->value;
	return b;
}

static struct note *note_of(struct relay *r, const char *id)
{
	struct note *n = map_gets(&r->zones, id);
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	STR_COPY(n->id, id);
	if (map_puts(&r->zones, n->id, n) >= 0)
		return n;
	free(n);
	return NULL;
}

static void note_free(struct note *n)
{
	free(n->bytes);
	free(n);
}

/* --- sending; the lock is held --- */

static void drop_peer(struct relay *r)
{
	if (r->sock >= 0)
		close(r->sock);
	r->sock = -1;
	eventfd_write(r->wake, 1);
}

static void send_bytes(struct relay *r, const void *p, size_t n, const int *fds, size_t nfds)
{
	struct err e = {0};
	if (r->sock < 0 || relay_proto_send_bytes(r->sock, p, n, fds, nfds, &e) >= 0)
		return;
	log_debug("to the relay: %s", e.msg);
	if (r->pid > 0)
		kill(r->pid, SIGKILL); /* it does not read, or has gone: the next one gets everything */
	drop_peer(r);
}

static void send_msg(struct relay *r, const struct relay_msg *m, const int *fds, size_t nfds)
{
	OWN(own_buf) struct buf b = {0};
	if (relay_proto_encode(m, &b, NULL) >= 0)
		send_bytes(r, b.data, b.len, fds, nfds);
}

static void send_box(struct relay *r, const struct box *b)
{
	struct relay_msg m = {.type = RELAY_SANDBOX, .id = b->id};
	send_msg(r, &m, (int[]){b->udp, b->tcp}, 2);
}

static void send_all(struct relay *r)
{
	struct map_entry *m;
	for (size_t i = 0; (m = map_next(&r->boxes, &i));)
		send_box(r, m->value);
	for (size_t i = 0; (m = map_next(&r->zones, &i));) {
		const struct note *n = m->value;
		if (n->bytes)
			send_bytes(r, n->bytes, n->len, NULL, 0);
	}
	for (size_t i = 0; (m = map_next(&r->boxes, &i));) {
		const struct box *b = m->value;
		if (b->view)
			send_bytes(r, b->view, b->view_len, NULL, 0);
	}
}

/* --- starting one; the lock is held --- */

static int set_timeouts(int fd)
{
	struct timeval t = {.tv_sec = SEND_MS / 1000};
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int address(const struct relay *r, struct sockaddr_un *a, struct err *e)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	return str_copy(a->sun_path, sizeof(a->sun_path), r->path) ? 0 : err_set(e, -ENAMETOOLONG, "the path %s is too long for a socket: choose a shorter --exec-root", r->path);
}

static int listen_at_path(struct relay *r, struct err *e)
{
	struct sockaddr_un a;
	try(address(r, &a, e));
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(r->path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(r->path, 0600) < 0 || listen(fd, 4) < 0)
		return err_errno(e, -errno, "listen at %s", r->path);
	return STEAL_FD(fd);
}

static int start_relay(struct relay *r, struct err *e)
{
	int pair[2];
	char uid[16], gid[16];
	snprintf(uid, sizeof(uid), "%u", r->conf.uid);
	snprintf(gid, sizeof(gid), "%u", r->conf.gid);
	OWN(own_fd) int listener = listen_at_path(r, e);
	if (listener < 0)
		return listener;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, -errno, "socketpair");
	OWN(own_fd) int ours = pair[0];
	OWN(own_fd) int theirs = pair[1];
	const char *argv[] = {r->program, "--uid", uid, "--gid", gid, r->conf.debug ? "--debug" : NULL, NULL};
	struct spawn_fd fds[] = {{2, 2}, {listener, 3}, {theirs, 4}};
	struct spawn s = {.argv = argv, .fds = fds, .nfds = ARRAY_LEN(fds), .new_session = true};
	if (set_timeouts(ours) < 0 || fcntl(theirs, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(e, -errno, "prepare the relay's socket");
	int result = spawn_start(&s, &r->child, e);
	if (result < 0)
		return err_as(e, ERR_UNAVAILABLE, "the name server %s could not be started: %s", r->program, strerror(-result));
	r->pid = r->child;
	r->sock = STEAL_FD(ours);
	r->started = clock_mono_ns() / 1000000;
	struct relay_msg hello = {.type = RELAY_HELLO, .hello = {RELAY_PROTO_VERSION, PONTOON_VERSION}};
	send_msg(r, &hello, NULL, 0);
	send_all(r);
	eventfd_write(r->wake, 1);
	return 0;
}

static bool is_needed(const struct relay *r)
{
	return r->boxes.n > 0;
}

static int need_relay(struct relay *r, struct err *e)
{
	return r->sock >= 0 ? 0 : start_relay(r, e);
}

/* --- the thread --- */

struct wish {
	const struct relay_need *need;
	int type;
	int fds[SOCKETS_MOST];
	size_t n;
};

static void own_wish(struct wish *w)
{
	while (w->n)
		close(w->fds[--w->n]);
}

static int connect_to(int fd, const struct relay_need *need)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(need->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(need->port)};
	memcpy(&v4.sin_addr, need->ip.b, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, need->ip.b, sizeof(v6.sin6_addr));
	bool six = need->ip.family == AF_INET6;
	int r = connect(fd, six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, six ? sizeof(v6) : sizeof(v4));
	return r < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int open_inside(void *arg, struct err *e)
{
	struct wish *w = arg;
	int family = w->type == SOCK_STREAM ? w->need->ip.family : w->need->family;
	size_t count = w->type == SOCK_STREAM ? 1 : w->need->count < SOCKETS_MOST ? w->need->count : SOCKETS_MOST;
	if (family != AF_INET && family != AF_INET6)
		return err_set(e, -EINVAL, "no such family");
	while (w->n < count) {
		int fd = socket(family, w->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return err_errno(e, -errno, "socket");
		w->fds[w->n++] = fd;
	}
	return w->type == SOCK_STREAM ? connect_to(w->fds[0], w->need) : 0;
}

/* Sockets toward --dns servers: only in a namespace that we gave sockets of, and only unbound ones or one that connects to an upstream of its view. */
static void grant(struct relay *r, const struct relay_msg *m)
{
	OWN(own_wish) struct wish w = {.need = &m->need, .type = m->type == RELAY_NEED_TCP ? SOCK_STREAM : SOCK_DGRAM};
	struct err e = {0};
	const struct box *b = map_gets(&r->boxes, m->need.sandbox);
	OWN(own_fd) int ns = b && b->netns ? netns_open(b->netns, &e) : -1;
	if (ns < 0 || netns_run(ns, open_inside, &w, &e) < 0) {
		log_debug("sockets for the relay in %.12s: %s", m->need.sandbox, e.msg);
		own_wish(&w);
	}
	struct relay_msg answer = {.type = m->type == RELAY_NEED_TCP ? RELAY_TCP_SOCKET : RELAY_SOCKETS, .need = m->need};
	send_msg(r, &answer, w.fds, w.n);
}

static void hear(struct relay *r, const struct relay_msg *m)
{
	if (m->type == RELAY_ACK && m->number > r->answered) {
		r->answered = m->number;
		pthread_cond_broadcast(&r->acked);
	} else if (m->type == RELAY_NEED_SOCKETS || m->type == RELAY_NEED_TCP) {
		grant(r, m);
	}
	/* A relay that has just started tells what it holds: nothing. */
}

static void listen_to(struct relay *r)
{
	OWN(arena_free) struct arena a = {0};
	struct relay_fds fds = {.n = 0};
	struct relay_msg m;
	struct err e = {0};
	int got = relay_proto_recv(r->sock, &a, &m, &fds, &e);
	if (got > 0)
		hear(r, &m);
	else if (got != -EAGAIN)
		drop_peer(r);
	relay_fds_close(&fds);
}

static void reap(struct relay *r)
{
	int status;
	if (r->child > 0 && spawn_wait(r->child, &status, NULL) >= 0)
		log_debug("the relay has ended status=%d", status);
	r->child = r->pid = 0;
}

/* It has gone: another one, unless it has nothing to do. Those that die at once are started ever more slowly. */
static int revive(struct relay *r)
{
	struct err e = {0};
	int64_t lived = clock_mono_ns() / 1000000 - r->started;
	if (r->child > 0) /* of any other nothing is known once its connection has ended */
		kill(r->child, SIGKILL);
	reap(r);
	pthread_cond_broadcast(&r->acked);
	if (!is_needed(r))
		return -1;
	r->backoff = lived > BACKOFF_MAX ? 0 : r->backoff ? r->backoff * 2 : BACKOFF_MIN;
	if (r->backoff > BACKOFF_MAX)
		r->backoff = BACKOFF_MAX;
	if (r->backoff <= BACKOFF_MIN && start_relay(r, &e) >= 0)
		return -1;
	if (e.msg[0])
		log_error("%s", e.msg);
	return r->backoff ? r->backoff : BACKOFF_MIN;
}

static void *run(void *arg)
{
	struct relay *r = arg;
	int wait = -1;
	pthread_mutex_lock(&r->lock);
	while (!r->ending) {
		struct pollfd p[2] = {{.fd = r->wake, .events = POLLIN}, {.fd = r->sock, .events = POLLIN}};
		eventfd_t n;
		pthread_mutex_unlock(&r->lock);
		int ready = poll(p, 2, wait);
		pthread_mutex_lock(&r->lock);
		if (p[0].revents)
			(void)eventfd_read(r->wake, &n);
		bool was = p[1].fd >= 0;
		if (ready > 0 && p[1].revents && r->sock == p[1].fd && r->sock >= 0)
			listen_to(r);
		if (r->sock >= 0) {
			wait = -1;
		} else if (ready == 0) { /* the pause is over */
			struct err e = {0};
			wait = is_needed(r) && start_relay(r, &e) < 0 ? BACKOFF_MAX : -1;
			if (wait > 0)
				log_error("%s", e.msg);
		} else if (was || r->pid > 0) {
			wait = revive(r);
		}
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* --- opening --- */

static void take_held(struct relay *r, const struct relay_msg *m, struct relay_fds *fds)
{
	if (m->type == RELAY_SANDBOX && fds->n == 2) {
		struct box *b = box_new(r, m->id);
		if (!b)
			return;
		b->udp = fds->v[0];
		b->tcp = fds->v[1];
		fds->n = 0;
	} else if (m->type == RELAY_ZONE_GONE) {
		(void)note_of(r, m->id);
	}
}

/* A relay that lives on from an earlier daemon tells what it holds. One that speaks another version gives its descriptors and ends. */
static int take_over(struct relay *r)
{
	struct sockaddr_un a;
	struct timeval limit = {.tv_sec = 1};
	struct ucred cred;
	socklen_t n = sizeof(cred);
	bool same = false, done = false;
	if (address(r, &a, NULL) < 0)
		return -1;
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || set_timeouts(fd) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -1;
	while (!done) {
		OWN(arena_free) struct arena mem = {0};
		struct relay_fds fds = {.n = 0};
		struct relay_msg m;
		if (relay_proto_recv(fd, &mem, &m, &fds, NULL) <= 0)
			return -1;
		if (m.type == RELAY_HELLO)
			same = m.hello.version == RELAY_PROTO_VERSION;
		done = m.type == RELAY_READY;
		take_held(r, &m, &fds);
		relay_fds_close(&fds);
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0)
		r->pid = cred.pid;
	r->sock = STEAL_FD(fd);
	struct relay_msg hello = {.type = RELAY_HELLO, .hello = {RELAY_PROTO_VERSION, PONTOON_VERSION}}, stop = {.type = RELAY_STOP};
	if (same) {
		send_msg(r, &hello, NULL, 0);
	} else { /* it would hang up on our HELLO and never read STOP */
		send_msg(r, &stop, NULL, 0);
		close(r->sock);
		r->sock = -1;
		r->pid = 0;
	}
	return 0;
}

static char *find_program(const char *given)
{
	char self[PATH_MAX];
	if (!str_empty(given))
		return strdup(given);
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - sizeof("/pontoon-relay"));
	char *slash = n > 0 ? (self[n] = '\0', strrchr(self, '/')) : NULL;
	if (slash) {
		strcpy(slash, "/pontoon-relay");
		if (access(self, X_OK) == 0)
			return strdup(self);
	}
	return strdup("pontoon-relay");
}

int relay_open(const struct relay_conf *conf, struct relay **out, struct err *e)
{
	struct relay *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->acked, &attr);
	pthread_condattr_destroy(&attr);
	r->conf = *conf;
	r->sock = -1;
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->program = find_program(conf->program);
	if (asprintf(&r->path, "%s/relay.sock", conf->exec_root) < 0)
		r->path = NULL;
	int result = r->wake < 0 ? -errno : !r->program || !r->path ? -ENOMEM : 0;
	if (result >= 0 && take_over(r) < 0)
		log_debug("no relay lives at %s", r->path);
	if (result >= 0)
		result = -pthread_create(&r->thread, NULL, run, r);
	if (result < 0) {
		r->ending = true;
		relay_close(r, false);
		return err_errno(e, result, "start the relay's thread");
	}
	*out = r;
	return 0;
}

/* Has it become a zombie within END_MS? It is not reaped. */
static bool ends_soon(pid_t pid)
{
	static const struct timespec pause = {.tv_nsec = 5000000};
	for (int i = 0; i < END_MS / 5; i++) {
		siginfo_t info = {.si_pid = 0};
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid)
			return true;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

void relay_close(struct relay *r, bool stop)
{
	struct map_entry *m;
	struct relay_msg bye = {.type = RELAY_STOP};
	pthread_mutex_lock(&r->lock);
	bool runs = !r->ending;
	r->ending = true;
	if (stop)
		send_msg(r, &bye, NULL, 0);
	eventfd_write(r->wake, 1);
	pthread_mutex_unlock(&r->lock);
	if (runs)
		pthread_join(r->thread, NULL);
	if (r->sock >= 0)
		close(r->sock);
	if (stop && runs && r->child > 0) {
		if (!ends_soon(r->child)) {
			log_warn("the relay does not end when told to: it is killed");
			kill(r->child, SIGKILL);
		}
		reap(r);
	}
	for (size_t i = 0; (m = map_next(&r->boxes, &i));)
		box_free(m->value);
	for (size_t i = 0; (m = map_next(&r->zones, &i));)
		note_free(m->value);
	map_free(&r->boxes);
	map_free(&r->zones);
	if (r->wake >= 0)
		close(r->wake);
	pthread_cond_destroy(&r->acked);
	pthread_mutex_destroy(&r->lock);
	free(r->program);
	free(r->path);
	free(r);
}

/* --- what the daemon says --- */

static int duplicate(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int put_box(struct relay *r, const char *id, int udp, int tcp, const char *netns_path, struct err *e)
{
	struct box *b = map_gets(&r->boxes, id);
	char *path = strdup(netns_path);
	if (!b && udp >= 0)
		b = box_new(r, id);
	if (!b || !path) {
		free(path);
		return !path || udp >= 0 ? err_nomem(e) : err_set(e, -ENOENT, "the relay does not hold %.12s", id);
	}
	free(b->netns);
	b->netns = path;
	b->claimed = true;
	if (udp < 0)
		return need_relay(r, e);
	if (b->udp >= 0)
		close(b->udp);
	if (b->tcp >= 0)
		close(b->tcp);
	b->udp = duplicate(udp);
	b->tcp = duplicate(tcp);
	if (b->udp < 0 || b->tcp < 0)
		return err_errno(e, -errno, "duplicate the name server's sockets");
	if (r->sock < 0)
		return need_relay(r, e); /* it gets everything, this too */
	send_box(r, b);
	return 0;
}

int relay_sandbox(struct relay *r, const char *id, int udp, int tcp, const char *netns_path, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	int result = put_box(r, id, udp, tcp, netns_path, e);
	if (result < 0 && udp >= 0) {
		struct box *b = map_dels(&r->boxes, id);
		if (b)
			box_free(b);
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

static void box_gone(struct relay *r, const char *id)
{
	struct box *b = find_box(r, id);
	if (!b)
		return;
	struct relay_msg m = {.type = RELAY_SANDBOX_GONE, .id = b->id};
	map_dels(&r->boxes, b->id);
	send_msg(r, &m, NULL, 0);
	box_free(b);
}

void relay_sandbox_gone(struct relay *r, const char *id)
{
	pthread_mutex_lock(&r->lock);
	box_gone(r, id);
	pthread_mutex_unlock(&r->lock);
}

static int ioctl_get_netns(int sock)
{
	int ns = ioctl(sock, SIOCGSKNS);
	if (ns >= 0)
		(void)fcntl(ns, F_SETFD, FD_CLOEXEC);
	return ns;
}

/* The namespace that a socket belongs to, by SIOCGSKNS, is the one bound at path. */
static bool in_namespace(int sock, const char *path)
{
	struct stat a, b;
	OWN(own_fd) int ns = ioctl_get_netns(sock);
	return ns >= 0 && fstat(ns, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool relay_holds(struct relay *r, const char *id, const char *netns_path)
{
	pthread_mutex_lock(&r->lock);
	struct box *b = find_box(r, id);
	bool there = b && b->udp >= 0 && b->tcp >= 0 && (!netns_path || in_namespace(b->udp, netns_path));
	if (there && netns_path && !b->netns) { /* held since an earlier daemon */
		b->netns = strdup(netns_path);
		b->claimed = true;
	}
	pthread_mutex_unlock(&r->lock);
	return there;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	return getsockname(fd, (struct sockaddr *)&a, &n) < 0 ? 0 : ntohs(a.sin_port);
}

int relay_sandbox_ports(struct relay *r, const char *id, uint16_t *udp, uint16_t *tcp, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	const struct box *b = find_box(r, id);
	if (b) {
		*udp = port_of(b->udp);
		*tcp = port_of(b->tcp);
	}
	pthread_mutex_unlock(&r->lock);
	return b ? 0 : err_set(e, -ENOENT, "the relay does not hold %.12s", id);
}

/* Encodes and keeps; *bytes is replaced. */
static int keep(const struct relay_msg *m, void **bytes, size_t *len, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	try(relay_proto_encode(m, &b, e));
	*len = b.len;
	free(*bytes);
	*bytes = buf_steal(&b);
	return *bytes ? 0 : err_nomem(e);
}

int relay_zone(struct relay *r, const struct relay_zone *z, struct err *e)
{
	struct relay_msg m = {.type = RELAY_ZONE, .zone = *z};
	pthread_mutex_lock(&r->lock);
	struct note *n = note_of(r, z->network);
	int result = n ? keep(&m, &n->bytes, &n->len, e) : err_nomem(e);
	if (result >= 0) {
		n->claimed = true;
		send_bytes(r, n->bytes, n->len, NULL, 0);
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

static void zone_gone(struct relay *r, const char *network)
{
	struct relay_msg m = {.type = RELAY_ZONE_GONE, .id = network};
	struct note *n = map_dels(&r->zones, network);
	if (!n)
		return;
	send_msg(r, &m, NULL, 0);
	note_free(n);
}

void relay_zone_gone(struct relay *r, const char *network)
{
	pthread_mutex_lock(&r->lock);
	zone_gone(r, network);
	pthread_mutex_unlock(&r->lock);
}

int relay_view(struct relay *r, const struct relay_view *v, struct err *e)
{
	struct relay_msg m = {.type = RELAY_VIEW, .view = *v};
	pthread_mutex_lock(&r->lock);
	struct box *b = map_gets(&r->boxes, v->sandbox);
	int result = b ? keep(&m, &b->view, &b->view_len, e) : err_set(e, -ENOENT, "the relay does not hold %.12s", v->sandbox);
	if (result >= 0)
		send_bytes(r, b->view, b->view_len, NULL, 0);
	pthread_mutex_unlock(&r->lock);
	return result;
}

static struct timespec in_ms(int ms)
{
	int64_t t = clock_mono_ns() + (int64_t)ms * 1000000;
	return (struct timespec){.tv_sec = t / 1000000000, .tv_nsec = t % 1000000000};
}

/* true: everything sent so far is in force. */
static bool wait_ack(struct relay *r)
{
	struct relay_msg m = {.type = RELAY_SYNC, .number = ++r->asked};
	struct timespec end = in_ms(ACK_MS);
	uint64_t number = m.number;
	send_msg(r, &m, NULL, 0);
	while (r->answered < number && r->sock >= 0)
		if (pthread_cond_timedwait(&r->acked, &r->lock, &end) == ETIMEDOUT)
			break;
	return r->answered >= number;
}

int relay_sync(struct relay *r, struct err *e)
{
	int result = 0;
	pthread_mutex_lock(&r->lock);
	if ((r->sock >= 0 || is_needed(r)) && !(r->sock >= 0 && wait_ack(r))) {
		log_warn("the relay does not answer: it is started anew");
		if (r->pid > 0)
			kill(r->pid, SIGKILL);
		if (r->sock >= 0)
			close(r->sock);
		r->sock = -1;
		reap(r);
		if (is_needed(r))
			result = start_relay(r, e);
		if (result >= 0 && r->sock >= 0 && !wait_ack(r))
			result = err_as(e, ERR_UNAVAILABLE, "the name server was started anew and does not answer");
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

int relay_settle(struct relay *r, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv boxes = {0}, zones = {0};
	struct map_entry *m;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; (m = map_next(&r->boxes, &i));) {
		const struct box *b = m->value;
		if (!b->claimed)
			(void)strv_add(&a, &boxes, b->id);
	}
	for (size_t i = 0; (m = map_next(&r->zones, &i));) {
		const struct note *n = m->value;
		if (!n->claimed)
			(void)strv_add(&a, &zones, n->id);
	}
	for (size_t i = 0; i < boxes.n; i++)
		box_gone(r, boxes.v[i]);
	for (size_t i = 0; i < zones.n; i++)
		zone_gone(r, zones.v[i]);
	int result = a.bad ? err_nomem(e) : is_needed(r) ? need_relay(r, e) : 0;
	pthread_mutex_unlock(&r->lock);
	return result < 0 ? result : relay_sync(r, e);
}

pid_t relay_pid(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	pid_t pid = r->sock >= 0 ? r->pid : 0;
	pthread_mutex_unlock(&r->lock);
	return pid;
}
