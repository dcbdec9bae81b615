/* Theory of operation
 *
 * The socket to the relay: made when it is started, or connected to one that lives. One thread reads what the relay says: acknowledgements (relay_sync waits for its
 * number), wishes for sockets in a container's namespace, and its end. Sending happens on the caller's thread, under the lock; the socket has a time-out, so a relay
 * that does not read is treated like one that does not answer.
 *
 * The control socket is made and bound here and handed down (the relay has no file system), so a new daemon finds the relay at its path. On connecting the relay tells
 * what it holds; the descriptors are kept, and what nobody claims until relay_settle goes. A relay of another version gives its descriptors, too, and is told to give
 * way: it lets connections under way end, while another one serves what comes. */
#include "engine/relay_own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/spawn.h"
#include "kernel/netns.h"

#define SEND_MS      1000
#define END_MS       2000 /* for a relay that is told to end */
#define BACKOFF_MIN  100 /* ms between starts of relays that die */
#define BACKOFF_MAX  10000
#define SOCKETS_MOST 16 /* a wish's */

/* --- sending; the lock is held --- */

static void drop_peer(struct relay *r)
{
	if (r->sock >= 0)
		close(r->sock);
	r->sock = -1;
	eventfd_write(r->wake, 1);
}

void link_send_bytes(struct relay *r, const void *p, size_t n, const int *fds, size_t nfds)
{
	struct err e = {0};
	r->said++;
	if (r->sock < 0 || relay_proto_send_bytes(r->sock, p, n, fds, nfds, &e) >= 0)
		return;
	log_debug("to the relay: %s", e.msg);
	if (r->pid > 0)
		kill(r->pid, SIGKILL); /* it does not read, or has gone: the next one gets everything */
	drop_peer(r);
}

void link_send(struct relay *r, const struct relay_msg *m, const int *fds, size_t nfds)
{
	OWN(own_buf) struct buf b = {0};
	if (relay_proto_encode(m, &b, NULL) >= 0)
		link_send_bytes(r, b.data, b.len, fds, nfds);
}

void link_send_box(struct relay *r, const struct box *b)
{
	struct relay_msg m = {.type = RELAY_SANDBOX, .id = b->id};
	link_send(r, &m, (int[]){b->udp, b->tcp}, 2);
}

static void send_all(struct relay *r)
{
	struct map_entry *m;
	for (size_t i = 0; (m = map_next(&r->boxes, &i));)
		link_send_box(r, m->value);
	for (size_t i = 0; (m = map_next(&r->ports, &i));)
		hold_send(r, m->value, true);
	for (size_t i = 0; (m = map_next(&r->zones, &i));) {
		const struct note *n = m->value;
		if (n->bytes)
			link_send_bytes(r, n->bytes, n->len, NULL, 0);
	}
	for (size_t i = 0; (m = map_next(&r->boxes, &i));) {
		const struct box *b = m->value;
		if (b->view)
			link_send_bytes(r, b->view, b->view_len, NULL, 0);
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

int link_start(struct relay *r, struct err *e)
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
	link_send(r, &hello, NULL, 0);
	send_all(r);
	eventfd_write(r->wake, 1);
	return 0;
}

bool link_is_needed(const struct relay *r)
{
	return r->boxes.n > 0 || r->ports.n > 0;
}

int link_need(struct relay *r, struct err *e)
{
	return r->sock >= 0 ? 0 : link_start(r, e);
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
	link_send(r, &answer, w.fds, w.n);
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

void link_reap(struct relay *r)
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
	link_reap(r);
	pthread_cond_broadcast(&r->acked);
	if (r->ending || !link_is_needed(r)) /* it has only done what it was told */
		return -1;
	r->backoff = lived > BACKOFF_MAX ? 0 : r->backoff ? r->backoff * 2 : BACKOFF_MIN;
	if (r->backoff > BACKOFF_MAX)
		r->backoff = BACKOFF_MAX;
	if (r->backoff <= BACKOFF_MIN && link_start(r, &e) >= 0)
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
			wait = link_is_needed(r) && link_start(r, &e) < 0 ? BACKOFF_MAX : -1;
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
		struct box *b = relay_box_new(r, m->id);
		if (!b)
			return;
		b->udp = fds->v[0];
		b->tcp = fds->v[1];
		fds->n = 0;
	} else if (m->type == RELAY_PORT && fds->n == 1 && hold_adopt(r, &m->port, fds->v[0])) {
		fds->n = 0;
	} else if (m->type == RELAY_STEER && fds->n == 1 && hold_adopt_steer(r, m->id, fds->v[0])) {
		fds->n = 0;
	} else if (m->type == RELAY_ZONE_GONE) {
		(void)relay_note_of(r, m->id);
	}
}

/* A relay that lives on from an earlier daemon tells what it holds. */
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
		link_send(r, &hello, NULL, 0);
	} else { /* it would hang up on our HELLO and never read STOP */
		link_send(r, &stop, NULL, 0);
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
	struct relay_msg bye = {.type = RELAY_END};
	pthread_mutex_lock(&r->lock);
	bool runs = !r->ending;
	r->ending = true;
	if (stop)
		link_send(r, &bye, NULL, 0);
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
		link_reap(r);
	}
	for (size_t i = 0; (m = map_next(&r->boxes, &i));)
		relay_box_free(m->value);
	for (size_t i = 0; (m = map_next(&r->zones, &i));)
		relay_note_free(m->value);
	for (size_t i = 0; (m = map_next(&r->ports, &i));)
		hold_free(m->value);
	map_free(&r->boxes);
	map_free(&r->ports);
	map_free(&r->zones);
	if (r->wake >= 0)
		close(r->wake);
	pthread_cond_destroy(&r->acked);
	pthread_mutex_destroy(&r->lock);
	free(r->program);
	free(r->path);
	free(r);
}

