/* Theory of operation
 *
 * A client of a published UDP port is an address that has sent something, and the address of this host that it sent to: a session. Each has a socket of its own,
 * connected to the target, so that answers find their way back; they leave through the port's socket, from the address that the client knows. A session ends when
 * neither side has said anything for TIMER_SESSION. Places are limited; a new client takes that of the one silent longest, first of the same port.
 *
 * Of a run of ports that has one socket, datagrams tell which port they were sent to (IP_RECVORIGDSTADDR), and that belongs to a session too. Answers must come from there:
 * its session has a second socket, bound to that port, which is only sent from; what comes to it is led to the port's socket all the same (src/kernel/steer.c).
 *
 * Datagrams come and go in batches. What cannot be sent is lost, like any datagram; what ICMP says of a target is no client's concern and is passed over: a server that
 * is not there now may be there for the next question.
 *
 * Proven by tests/relay/test_datagram_real.c. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "base/log.h"
#include "relay/relay.h"

#define BATCH 16
#define BYTES 65536 /* no datagram is longer */

struct key { /* compared as bytes */
	union address client;
	struct in6_addr here; /* IPv4 mapped */
	uint32_t number;      /* the port that it sent to */
};

struct session {
	struct port *port;
	struct source source;
	int from; /* answers leave by it; -1: by the port's socket */
	struct task task;
	struct timer idle;
	struct session *newer, *older; /* of the port, by when a client spoke */
	struct key key;
};

/* What a batch is read into: one for all, since every batch is used up before the next. */
static struct {
	struct mmsghdr m[BATCH];
	struct iovec iov[BATCH];
	union address from[BATCH];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct sockaddr_in)) + CMSG_SPACE(sizeof(struct sockaddr_in6))];
	} ctl[BATCH];
	uint8_t bytes[BATCH][BYTES];
} batch;

/* The number of datagrams; 0: none. syscalls: recvmmsg */
static unsigned receive(int fd)
{
	for (unsigned i = 0; i < BATCH; i++) {
		memset(&batch.from[i], 0, sizeof(batch.from[i]));
		batch.iov[i] = (struct iovec){batch.bytes[i], BYTES};
		batch.m[i].msg_hdr = (struct msghdr){.msg_name = &batch.from[i], .msg_namelen = sizeof(batch.from[i]), .msg_iov = &batch.iov[i], .msg_iovlen = 1,
			.msg_control = batch.ctl[i].space, .msg_controllen = sizeof(batch.ctl[i].space)};
	}
	int n, errors = 0;
	do
		n = recvmmsg(fd, batch.m, BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno != EAGAIN && ++errors < BATCH); /* each ICMP error is told once */
	return n > 0 ? (unsigned)n : 0;
}

/* syscalls: sendmmsg */
static void send_some(int fd, struct mmsghdr *m, unsigned n)
{
	bool again = false;
	while (n) {
		int k = sendmmsg(fd, m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k < 0 && errno == EAGAIN)
			return;
		if (k < 0 && !again) { /* it may have been an ICMP error of an earlier one */
			again = true;
			continue;
		}
		again = false;
		m += k < 0 ? 1 : k;
		n -= k < 0 ? 1 : (unsigned)k;
	}
}

/* --- sessions --- */

static void list_out(struct session *s)
{
	struct port *p = s->port;
	*(s->newer ? &s->newer->older : &p->newest) = s->older;
	*(s->older ? &s->older->newer : &p->oldest) = s->newer;
	s->newer = s->older = NULL;
}

static void list_in(struct session *s)
{
	struct port *p = s->port;
	s->older = p->newest;
	*(p->newest ? &p->newest->newer : &p->oldest) = s;
	p->newest = s;
}

static void session_free(struct session *s)
{
	struct relay *r = s->port->relay;
	map_del(&s->port->sessions, &s->key, sizeof(s->key));
	list_out(s);
	loop_forget(&r->loop, &s->task);
	loop_disarm(&s->idle);
	loop_close_source(&r->loop, &s->source);
	own_fd(&s->from);
	r->proxy.nsessions--;
	free(s);
}

void sessions_close(struct port *p)
{
	while (p->oldest)
		session_free(p->oldest);
	map_free(&p->sessions);
}

static void silent(struct timer *t)
{
	session_free(CONTAINER(t, struct session, idle));
}

/* A reply's source: where the client has sent to. */
static void set_source(struct msghdr *m, const struct key *k, char *space)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)space;
	m->msg_control = space;
	if (k->client.any.sa_family == AF_INET) {
		struct in_pktinfo info = {0};
		memcpy(&info.ipi_spec_dst, k->here.s6_addr + 12, 4);
		m->msg_controllen = CMSG_SPACE(sizeof(info));
		*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = {.ipi6_addr = k->here, .ipi6_ifindex = k->client.v6.sin6_scope_id};
		m->msg_controllen = CMSG_SPACE(sizeof(info));
		*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

static void session_reply(struct task *t)
{
	struct session *s = CONTAINER(t, struct session, task);
	struct port *p = s->port;
	unsigned n = receive(s->source.fd);
	for (unsigned i = 0; i < n; i++) {
		struct msghdr *m = &batch.m[i].msg_hdr;
		batch.iov[i].iov_len = batch.m[i].msg_len;
		m->msg_name = &s->key.client;
		m->msg_namelen = address_len(&s->key.client);
		set_source(m, &s->key, batch.ctl[i].space);
	}
	if (n)
		loop_arm(&p->relay->loop, &s->idle, TIMER_SESSION, silent);
	send_some(s->from >= 0 ? s->from : p->source.fd, batch.m, n);
	if (n == BATCH)
		loop_later(&p->relay->loop, t);
}

static void session_ready(struct source *src, uint32_t events)
{
	struct session *s = CONTAINER(src, struct session, source);
	(void)events;
	loop_later(&s->port->relay->loop, &s->task);
}

/* syscalls: socket setsockopt bind */
static int answer_from(struct session *s)
{
	const struct key *k = &s->key;
	int family = k->client.any.sa_family, on = 1, off = 0;
	union address a = {.any.sa_family = (sa_family_t)family};
	a.v4.sin_port = htons((uint16_t)k->number); /* where IPv6 has it too */
	if (family == AF_INET) {
		memcpy(&a.v4.sin_addr, k->here.s6_addr + 12, 4);
	} else {
		a.v6.sin6_addr = k->here;
		a.v6.sin6_scope_id = k->client.v6.sin6_scope_id;
	}
	s->from = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->from < 0 || setsockopt(s->from, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || (family == AF_INET6 && setsockopt(s->from, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
		bind(s->from, &a.any, address_len(&a)) < 0)
		return -errno;
	return 0;
}

/* syscalls: socket connect */
static int reach_out(struct session *s)
{
	const struct port *p = s->port;
	union address target = p->target;
	uint16_t offset = (uint16_t)(s->key.number - p->first);
	target.v4.sin_port = htons((uint16_t)(ntohs(target.v4.sin_port) + offset)); /* where IPv6 has it too */
	if (offset)
		try(answer_from(s));
	s->source.fd = socket(target.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->source.fd < 0 || connect(s->source.fd, &target.any, address_len(&target)) < 0)
		return -errno;
	return loop_add(&p->relay->loop, &s->source, EPOLLIN | EPOLLET);
}

static struct session *session_new(struct port *p, const struct key *k)
{
	struct proxy *x = &p->relay->proxy;
	struct timer *first = loop_first(&p->relay->loop, TIMER_SESSION);
	if (p->sessions.n >= x->max_sessions_port)
		session_free(p->oldest);
	else if (x->nsessions >= x->max_sessions && first)
		session_free(CONTAINER(first, struct session, idle));
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct session){.port = p, .source = {-1, session_ready}, .from = -1, .task = {.run = session_reply}, .key = *k};
	if (map_put(&p->sessions, &s->key, sizeof(s->key), s) < 0) {
		free(s);
		return NULL;
	}
	x->nsessions++;
	list_in(s);
	int r = reach_out(s);
	if (r >= 0)
		return s;
	log_debug("port %s: no socket toward the target: %s", p->id, strerror(-r));
	session_free(s);
	return NULL;
}

static struct session *session_of(struct port *p, const struct key *k)
{
	struct session *s = map_get(&p->sessions, k, sizeof(*k));
	if (s) {
		list_out(s);
		list_in(s);
	} else {
		s = session_new(p, k);
	}
	if (s)
		loop_arm(&p->relay->loop, &s->idle, TIMER_SESSION, silent);
	return s;
}

/* Where a datagram was sent to, and the interface it came in by; the port, when the kernel tells it. */
static struct in6_addr find_here(struct msghdr *m, uint32_t *ifindex, uint32_t *number)
{
	struct in6_addr here = IN6ADDR_ANY_INIT;
	struct sockaddr_in at; /* where IPv6 has the port too */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			here.s6_addr[10] = here.s6_addr[11] = 0xff;
			memcpy(here.s6_addr + 12, &info.ipi_spec_dst, 4); /* of a broadcast: our own address */
			*ifindex = (uint32_t)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr) && !IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr))
				here = info.ipi6_addr;
			*ifindex = info.ipi6_ifindex;
		} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR)) {
			memcpy(&at, CMSG_DATA(c), sizeof(at));
			*number = ntohs(at.sin_port);
		}
	}
	return here;
}

/* Runs of datagrams of one client are sent at once; before another session is looked for, since that may take the place of this one. */
void datagram_receive(struct task *t)
{
	struct port *p = CONTAINER(t, struct port, task);
	struct session *s = NULL;
	struct key last = {0};
	unsigned n = receive(p->source.fd), first = 0;
	for (unsigned i = 0; i < n; i++) {
		struct key k = {.client = batch.from[i], .number = p->first};
		uint32_t ifindex = 0;
		k.here = find_here(&batch.m[i].msg_hdr, &ifindex, &k.number);
		batch.m[i].msg_hdr = (struct msghdr){.msg_iov = &batch.iov[i], .msg_iovlen = 1};
		batch.iov[i].iov_len = batch.m[i].msg_len;
		bool good = port_admits(p, &k.client, ifindex);
		if (s && good && memcmp(&k, &last, sizeof(k)) == 0)
			continue;
		if (s)
			send_some(s->source.fd, batch.m + first, i - first);
		s = good ? session_of(p, &k) : NULL;
		last = k;
		first = i;
	}
	if (s)
		send_some(s->source.fd, batch.m + first, n - first);
	if (n == BATCH)
		loop_later(&p->relay->loop, t);
}
