/* Theory of operation
 *
 * A lane is a UDP socket connected to one upstream: the kernel then delivers only what comes from there, and tells ICMP errors. Connecting an unbound socket gives it
 * a random port, and dissolving the association (AF_UNSPEC) takes the port away again; so a socket can be used for query after query, each from a new port, without
 * being opened again. That matters most for sockets in a container's namespace, which only the daemon can open. While there are idle sockets every query has one for
 * itself; beyond the limit queries share, told apart by id and question. A dissolved socket is emptied before it is used again: nothing can reach it in between. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "relay/relay.h"

#define IDLE_HOST 16 /* idle sockets kept in the host's namespace */
#define BATCH     8  /* sockets the daemon is asked for at once */

struct lane {
	struct source source;
	struct owner *owner;
	struct lane *next;
	struct attempt *attempts; /* none: idle */
	unsigned load;
	uint8_t family;
	struct sockaddr_storage dest;
};

static void lane_free(struct lane *l)
{
	struct owner *o = l->owner;
	for (struct lane **p = &o->lanes; *p; p = &(*p)->next) {
		if (*p == l) {
			*p = l->next;
			break;
		}
	}
	o->nlanes--;
	loop_close_source(&o->relay->loop, &l->source);
	free(l);
}

static void go_idle(struct lane *l)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	unsigned idle = 0;
	char byte;
	for (const struct lane *i = l->owner->lanes; i; i = i->next)
		idle += !i->attempts;
	if (connect(l->source.fd, &none, sizeof(none)) < 0 || (!l->owner->sandbox && idle > IDLE_HOST)) {
		lane_free(l);
		return;
	}
	while (recv(l->source.fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) >= 0 || (errno != EAGAIN && errno != EINTR))
		;
}

static struct attempt *by_id(struct lane *l, uint16_t id)
{
	struct attempt *a = l->attempts;
	while (a && a->id != id)
		a = a->next;
	return a;
}

/* All that is under way there has failed, e.g. the port is closed. */
static void lane_broken(struct lane *l)
{
	const struct owner *o = l->owner;
	for (unsigned n = l->load; n; n--) {
		const struct lane *i = o->lanes;
		while (i && i != l)
			i = i->next;
		if (!i || !l->attempts) /* gone with the last of them, or idle */
			return;
		forward_failed(l->attempts);
	}
}

static void lane_ready(struct source *s, uint32_t events)
{
	static uint8_t p[DNS_MAX];
	struct lane *l = CONTAINER(s, struct lane, source);
	(void)events;
	for (unsigned i = 0; i < 32; i++) {
		ssize_t n = recv(s->fd, p, sizeof(p), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			lane_broken(l);
		if (n < 0)
			return;
		struct attempt *a = n >= DNS_HEAD ? by_id(l, dns_id(p)) : NULL;
		if (!a)
			continue;
		if (dns_answers(p, (size_t)n, a->query->msg, &a->query->q))
			forward_answer(a, p, (size_t)n);
		else if (n == DNS_HEAD && p[2] & 0x80 && dns_rcode(p)) /* some say what is wrong without the question */
			forward_failed(a);
		else
			continue;
		return; /* the lane may be gone; what else is there wakes us again */
	}
}

static struct lane *lane_add(struct owner *o, int fd, uint8_t family)
{
	struct lane *l = calloc(1, sizeof(*l));
	if (!l) {
		close(fd);
		return NULL;
	}
	*l = (struct lane){.source = {fd, lane_ready}, .owner = o, .next = o->lanes, .family = family};
	if (loop_add(&o->relay->loop, &l->source, EPOLLIN) < 0) {
		close(fd);
		free(l);
		return NULL;
	}
	o->lanes = l;
	o->nlanes++;
	return l;
}

static struct lane *find_idle(const struct owner *o, uint8_t family)
{
	struct lane *l = o->lanes;
	while (l && (l->attempts || l->family != family))
		l = l->next;
	return l;
}

/* The one with the least load toward this upstream. */
static struct lane *find_shared(const struct owner *o, const struct upstream *u)
{
	struct lane *best = NULL;
	for (struct lane *l = o->lanes; l; l = l->next)
		if (l->attempts && l->load < LIMIT_RELAY_LANE_LOAD && l->family == u->addr.ss_family && memcmp(&l->dest, &u->addr, u->addr_len) == 0 && (!best || l->load < best->load))
			best = l;
	return best;
}

static int put_bytes(const struct lane *l, const struct attempt *a)
{
	uint8_t id[2] = {(uint8_t)(a->id >> 8), (uint8_t)a->id};
	struct iovec iov[2] = {{id, sizeof(id)}, {a->query->msg + 2, a->query->n - 2}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	return sendmsg(l->source.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int lane_use(struct lane *l, struct attempt *a, const struct upstream *u)
{
	if (!l->attempts) {
		if (connect(l->source.fd, (const struct sockaddr *)&u->addr, u->addr_len) < 0) {
			int r = -errno;
			go_idle(l);
			return r;
		}
		memcpy(&l->dest, &u->addr, sizeof(l->dest));
	}
	while (by_id(l, a->id))
		a->id++;
	int r = put_bytes(l, a);
	if (r < 0 && r != -EAGAIN) { /* a full buffer is a lost datagram: it is sent again */
		if (!l->attempts)
			go_idle(l);
		return r;
	}
	a->lane = l;
	a->next = l->attempts;
	l->attempts = a;
	l->load++;
	return 0;
}

static int wait_for_socket(struct attempt *a, uint8_t family)
{
	struct owner *o = a->owner;
	bool *asked = &o->asked[family == AF_INET6];
	if (!*asked) {
		struct relay_msg m = {.type = RELAY_NEED_SOCKETS, .need = {.sandbox = o->sandbox->id, .family = family, .count = BATCH}};
		int r = control_need(o->relay, &m);
		if (r < 0)
			return r;
		*asked = true;
	}
	a->waiting = true;
	struct attempt **p = &o->waiting;
	while (*p)
		p = &(*p)->next;
	*p = a;
	a->next = NULL;
	return 0;
}

int lane_send(struct attempt *a)
{
	struct owner *o = a->owner;
	const struct upstream *u = &a->query->upstreams->v[a->server];
	uint8_t family = (uint8_t)u->addr.ss_family;
	unsigned limit = o->sandbox ? LIMIT_RELAY_LANES_SANDBOX : LIMIT_RELAY_LANES;
	struct lane *l = find_idle(o, family);
	if (!l && o->nlanes < limit && !o->sandbox) {
		int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		l = fd < 0 ? NULL : lane_add(o, fd, family);
	}
	if (!l && (!o->sandbox || o->nlanes >= limit || o->asked[family == AF_INET6]))
		l = find_shared(o, u);
	if (l)
		return lane_use(l, a, u);
	if (o->sandbox && o->nlanes < limit)
		return wait_for_socket(a, family);
	for (l = o->lanes; l && l->attempts; l = l->next)
		;
	if (!l)
		return -EAGAIN;
	lane_free(l); /* all are in use or of the other family, which has an idle one: it makes place */
	return o->sandbox ? wait_for_socket(a, family) : lane_send(a);
}

void lane_resend(struct attempt *a)
{
	(void)put_bytes(a->lane, a); /* an error comes back through lane_ready */
}

static void list_remove(struct attempt **p, const struct attempt *a)
{
	while (*p && *p != a)
		p = &(*p)->next;
	if (*p)
		*p = a->next;
}

void lane_forget(struct attempt *a)
{
	struct lane *l = a->lane;
	if (a->waiting)
		list_remove(&a->owner->waiting, a);
	a->waiting = false;
	if (!l)
		return;
	a->lane = NULL;
	list_remove(&l->attempts, a);
	if (--l->load == 0)
		go_idle(l);
}

static struct attempt *take_waiting(struct owner *o, uint8_t family)
{
	for (struct attempt **p = &o->waiting; *p; p = &(*p)->next) {
		struct attempt *a = *p;
		if (a->query->upstreams->v[a->server].addr.ss_family != family)
			continue;
		*p = a->next;
		a->waiting = false;
		return a;
	}
	return NULL;
}

void lane_sockets(struct owner *o, uint8_t family, const int *fds, size_t n)
{
	unsigned rounds = 0;
	struct attempt *a;
	o->asked[family == AF_INET6] = false;
	for (size_t i = 0; i < n; i++) {
		if (o->nlanes < LIMIT_RELAY_LANES_SANDBOX)
			(void)lane_add(o, fds[i], family);
		else
			close(fds[i]);
	}
	for (a = o->waiting; a; a = a->next)
		rounds++;
	while (rounds-- && (a = take_waiting(o, family)))
		if (!n || lane_send(a) < 0)
			forward_failed(a);
}

void lanes_close(struct owner *o)
{
	while (o->lanes)
		lane_free(o->lanes);
}
