/* tcpq: one question over one TCP connection to an upstream. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "relay/relay.h"

#define HOST_LIMIT (16 * LIMIT_RELAY_TCP_UPSTREAM) /* the host's namespace serves all containers */

struct tcpq {
	struct source source; /* -1: the daemon opens it */
	struct attempt *attempt;
	struct tcpq *next;    /* of those asked for */
	uint32_t request;
	size_t sent;          /* of length and query */
	uint8_t head[2];
	size_t got;           /* of length and answer */
	uint8_t *in;
};

static size_t in_length(const struct tcpq *t)
{
	return (size_t)t->head[0] << 8 | t->head[1];
}

/* false: the connection is of no use. */
static bool push(struct tcpq *t)
{
	const struct query *q = t->attempt->query;
	struct relay *r = q->sandbox->relay;
	size_t total = q->n + 2;
	uint8_t head[4] = {(uint8_t)(q->n >> 8), (uint8_t)q->n, (uint8_t)(t->attempt->id >> 8), (uint8_t)t->attempt->id};
	while (t->sent < total) {
		size_t a = t->sent < 4 ? 4 - t->sent : 0, b = t->sent < 4 ? 2 : t->sent - 2;
		struct iovec iov[2] = {{head + 4 - a, a}, {(uint8_t *)t->attempt->query->msg + b, q->n - b}};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t n = sendmsg(t->source.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		t->sent += (size_t)n;
	}
	return loop_change(&r->loop, &t->source, EPOLLIN) == 0;
}

/* 1: all is there; 0: not yet; -1: of no use. */
static int pull(struct tcpq *t)
{
	for (;;) {
		uint8_t *to = t->got < 2 ? t->head + t->got : t->in + t->got - 2;
		size_t want = t->got < 2 ? 2 - t->got : in_length(t) + 2 - t->got;
		ssize_t n = recv(t->source.fd, to, want, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
		t->got += (size_t)n;
		if (t->got == 2 && (in_length(t) < DNS_HEAD || !(t->in = malloc(in_length(t)))))
			return -1;
		if (t->got > 2 && t->got == in_length(t) + 2)
			return 1;
	}
}

static void tcpq_ready(struct source *s, uint32_t events)
{
	struct tcpq *t = CONTAINER(s, struct tcpq, source);
	struct attempt *a = t->attempt;
	bool good = true;
	int r = 0;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) && t->sent < a->query->n + 2)
		good = push(t);
	if (good && t->sent == a->query->n + 2)
		r = pull(t);
	if (r == 1 && dns_id(t->in) == a->id && dns_answers(t->in, in_length(t), a->query->msg, &a->query->q)) {
		OWN(own_free) uint8_t *in = STEAL(t->in); /* the attempt goes, and this with it */
		forward_answer(a, in, in_length(t));
	} else if (!good || r) {
		forward_failed(a);
	}
}

static int watch(struct tcpq *t, int fd)
{
	t->source.fd = fd;
	return loop_add(&t->attempt->query->sandbox->relay->loop, &t->source, EPOLLOUT);
}

static int connect_here(struct tcpq *t, const struct upstream *u)
{
	OWN(own_fd) int fd = socket(u->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (connect(fd, (const struct sockaddr *)&u->addr, u->addr_len) < 0 && errno != EINPROGRESS))
		return -errno;
	return watch(t, STEAL_FD(fd));
}

static int ask_daemon(struct tcpq *t, const struct upstream *u)
{
	struct relay *r = t->attempt->owner->relay;
	struct relay_msg m = {.type = RELAY_NEED_TCP, .need = {.sandbox = t->attempt->owner->sandbox->id, .family = (uint8_t)u->addr.ss_family}};
	if (u->addr.ss_family == AF_INET) {
		const struct sockaddr_in *a = (const struct sockaddr_in *)&u->addr;
		m.need.ip.family = AF_INET;
		memcpy(m.need.ip.b, &a->sin_addr, 4);
		m.need.port = ntohs(a->sin_port);
	} else {
		const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&u->addr;
		m.need.ip.family = AF_INET6;
		memcpy(m.need.ip.b, &a->sin6_addr, 16);
		m.need.port = ntohs(a->sin6_port);
	}
	m.need.request = t->request = ++r->tcp_request;
	try(control_need(r, &m));
	t->next = r->tcp_asked;
	r->tcp_asked = t;
	return 0;
}

int tcpq_start(struct attempt *a)
{
	struct owner *o = a->owner;
	const struct upstream *u = &a->query->upstreams->v[a->server];
	if (o->ntcp >= (o->sandbox ? LIMIT_RELAY_TCP_UPSTREAM : HOST_LIMIT))
		return -EAGAIN;
	struct tcpq *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct tcpq){.source = {-1, tcpq_ready}, .attempt = a};
	int r = o->sandbox ? ask_daemon(t, u) : connect_here(t, u);
	if (r < 0) {
		loop_close_source(&o->relay->loop, &t->source);
		free(t);
		return r;
	}
	a->tcpq = t;
	o->ntcp++;
	return 0;
}

void tcpq_forget(struct attempt *a)
{
	struct tcpq *t = a->tcpq;
	struct relay *r = a->owner->relay;
	for (struct tcpq **p = &r->tcp_asked; *p; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	loop_close_source(&r->loop, &t->source);
	a->owner->ntcp--;
	a->tcpq = NULL;
	free(t->in);
	free(t);
}

void tcpq_socket(struct relay *r, uint32_t request, int fd)
{
	struct tcpq **p = &r->tcp_asked, *t;
	while (*p && (*p)->request != request)
		p = &(*p)->next;
	t = *p;
	if (!t) { /* nobody waits for it any more */
		if (fd >= 0)
			close(fd);
		return;
	}
	*p = t->next;
	t->next = NULL;
	if (fd < 0 || watch(t, fd) < 0)
		forward_failed(t->attempt);
}
