/* TCP connections of containers to their name server (RFC 7766): several questions may be under way on one, answers come in any order. A client that does not read
 * is not read either once it has LIMIT_RELAY_UNSENT bytes of answers; one that says nothing for TIMER_CLIENT is closed, unless it waits for answers. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/limits.h"
#include "relay/relay.h"

struct conn {
	struct source source;
	struct sandbox *sandbox;
	struct conn *next;
	struct timer idle;
	unsigned under_way;
	bool eof; /* the client asks no more, but may still read */
	size_t got;
	uint8_t in[2 + LIMIT_RELAY_QUERY];
	struct buf out;
};

void client_close(struct conn *c)
{
	struct sandbox *s = c->sandbox;
	for (struct conn **p = &s->conns; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	s->nconns--;
	forward_forget_client(c, s);
	loop_disarm(&c->idle);
	loop_close_source(&s->relay->loop, &c->source);
	buf_free(&c->out);
	free(c);
}

static void idle(struct timer *t)
{
	struct conn *c = CONTAINER(t, struct conn, idle);
	if (c->under_way)
		loop_arm(&c->sandbox->relay->loop, t, TIMER_CLIENT, idle);
	else
		client_close(c);
}

static bool may_read(const struct conn *c)
{
	return !c->eof && c->under_way < LIMIT_RELAY_PIPELINE && c->out.len < LIMIT_RELAY_UNSENT;
}

/* What the connection waits for now; false: it is over and closed. */
static bool settle(struct conn *c)
{
	uint32_t events = (may_read(c) ? EPOLLIN : 0u) | (c->out.len ? EPOLLOUT : 0u);
	bool over = c->eof && !c->under_way && !c->out.len;
	if (over || loop_change(&c->sandbox->relay->loop, &c->source, events) < 0) {
		client_close(c);
		return false;
	}
	return true;
}

/* -1: broken */
static int flush(struct conn *c)
{
	while (c->out.len) {
		ssize_t n = send(c->source.fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		buf_drop(&c->out, (size_t)n);
	}
	return 0;
}

static void put(struct conn *c, const uint8_t *p, size_t n)
{
	uint8_t head[2] = {(uint8_t)(n >> 8), (uint8_t)n};
	buf_put(&c->out, head, sizeof(head));
	buf_put(&c->out, p, n);
}

void client_reply(struct conn *c, const uint8_t *p, size_t n)
{
	c->under_way--;
	if (n)
		put(c, p, n);
	if (c->out.bad || flush(c) < 0)
		client_close(c);
	else
		(void)settle(c);
}

void client_under_way(struct conn *c)
{
	c->under_way++;
}

/* Every whole question that has been read. false: the connection is of no use. */
static bool ask(struct conn *c)
{
	static uint8_t out[DNS_MAX];
	while (c->got >= 2 && may_read(c)) {
		size_t n = (size_t)c->in[0] << 8 | c->in[1];
		if (n > LIMIT_RELAY_QUERY || n < DNS_HEAD)
			return false;
		if (c->got < n + 2)
			break;
		unsigned before = c->under_way;
		size_t len = sandbox_ask(c->sandbox, c, NULL, c->in + 2, n, out);
		if (len)
			put(c, out, len);
		else if (c->under_way == before)
			return false; /* not a question */
		c->got -= n + 2;
		memmove(c->in, c->in + n + 2, c->got);
	}
	return !c->out.bad;
}

static void ready(struct source *s, uint32_t events)
{
	struct conn *c = CONTAINER(s, struct conn, source);
	if (events & (EPOLLERR | EPOLLHUP)) {
		client_close(c);
		return;
	}
	if (events & EPOLLIN && may_read(c) && c->got < sizeof(c->in)) {
		ssize_t n = recv(s->fd, c->in + c->got, sizeof(c->in) - c->got, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			client_close(c);
			return;
		}
		c->eof = n == 0;
		c->got += n > 0 ? (size_t)n : 0;
		loop_arm(&c->sandbox->relay->loop, &c->idle, TIMER_CLIENT, idle);
	}
	if (!ask(c) || flush(c) < 0)
		client_close(c);
	else
		(void)settle(c);
}

/* The one that has been silent longest makes place. */
static void make_place(struct sandbox *s)
{
	struct conn *last = s->conns;
	while (last && last->next)
		last = last->next;
	if (s->nconns >= LIMIT_RELAY_CLIENTS && last)
		client_close(last);
}

void client_accept(struct source *listener, uint32_t events)
{
	struct sandbox *s = CONTAINER(listener, struct sandbox, tcp);
	(void)events;
	OWN(own_fd) int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	make_place(s);
	struct conn *c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->source = (struct source){fd, ready};
	c->sandbox = s;
	if (loop_add(&s->relay->loop, &c->source, EPOLLIN) < 0) {
		free(c);
		return;
	}
	(void)STEAL_FD(fd);
	c->next = s->conns;
	s->conns = c;
	s->nconns++;
	loop_arm(&s->relay->loop, &c->idle, TIMER_CLIENT, idle);
}
