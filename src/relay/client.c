/* client: TCP connections of containers to their DNS server. Questions may be pipelined, answers come in the order they are found (RFC 7766). What a client can hold
 * is bounded: connections, questions under way, answers it does not read; beyond that it is not read any more, and TCP slows it down. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "relay/relay.h"

struct conn {
	struct source source;
	struct sandbox *sandbox;
	struct conn *prev, *next;
	struct timer idle;
	unsigned under_way;
	bool ended;     /* the client sends no more */
	bool busy;      /* conn_work is running: it ends the connection itself, if need be */
	bool dead;
	uint32_t events;
	size_t have;    /* bytes of in */
	struct buf out;
	uint8_t in[2 + LIMIT_RELAY_QUERY];
};

static void conn_free(struct conn *c)
{
	struct sandbox *s = c->sandbox;
	*(c->prev ? &c->prev->next : &s->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->nconns--;
	if (c->under_way)
		forward_forget_client(c, s);
	loop_disarm(&c->idle);
	loop_close_source(&s->relay->loop, &c->source);
	buf_free(&c->out);
	free(c);
}

void client_close(struct conn *c)
{
	if (c->busy)
		c->dead = true;
	else
		conn_free(c);
}

static void silent(struct timer *t)
{
	conn_free(CONTAINER(t, struct conn, idle));
}

void client_under_way(struct conn *c)
{
	c->under_way++;
}

static void put_frame(struct conn *c, const uint8_t *p, size_t n)
{
	const uint8_t head[2] = {(uint8_t)(n >> 8), (uint8_t)n};
	buf_put(&c->out, head, sizeof(head));
	buf_put(&c->out, p, n);
}

static bool flush(struct conn *c)
{
	while (c->out.len) {
		ssize_t n = send(c->source.fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_drop(&c->out, (size_t)n);
	}
	buf_free(&c->out); /* an idle connection holds no memory for answers */
	return true;
}

static bool has_room(const struct conn *c)
{
	return c->under_way < LIMIT_RELAY_PIPELINE && c->out.len < LIMIT_RELAY_UNSENT;
}

/* Asks what is there in whole questions. */
static bool take_questions(struct conn *c)
{
	static uint8_t out[DNS_MAX];
	while (has_room(c) && c->have >= 2) {
		size_t n = (size_t)c->in[0] << 8 | c->in[1];
		if (n < DNS_HEAD || n > LIMIT_RELAY_QUERY)
			return false;
		if (c->have < n + 2)
			break;
		size_t len = sandbox_ask(c->sandbox, c, NULL, c->in + 2, n, out);
		if (len)
			put_frame(c, out, len);
		c->have -= n + 2;
		memmove(c->in, c->in + n + 2, c->have);
	}
	return true;
}

static bool receive(struct conn *c)
{
	while (!c->ended && has_room(c) && c->have < sizeof(c->in)) {
		ssize_t n = recv(c->source.fd, c->in + c->have, sizeof(c->in) - c->have, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->ended = n == 0;
		c->have += (size_t)n;
		if (!take_questions(c))
			return false;
	}
	return true;
}

/* Whatever happened: sends, asks and reads what can be, and ends the connection or waits for more. */
static void conn_work(struct conn *c)
{
	if (c->busy)
		return;
	c->busy = true;
	bool good = flush(c) && take_questions(c) && receive(c) && flush(c) && !c->out.bad && !c->dead;
	c->busy = false;
	if (!good || (c->ended && !c->under_way && !c->out.len)) {
		conn_free(c);
		return;
	}
	uint32_t events = (!c->ended && has_room(c) ? (uint32_t)EPOLLIN : 0) | (c->out.len ? (uint32_t)EPOLLOUT : 0);
	if (events != c->events && loop_change(&c->sandbox->relay->loop, &c->source, events) < 0) {
		conn_free(c);
		return;
	}
	c->events = events;
	if (c->under_way) /* those end by themselves */
		loop_disarm(&c->idle);
	else
		loop_arm(&c->sandbox->relay->loop, &c->idle, TIMER_CLIENT, silent);
}

static void conn_ready(struct source *src, uint32_t events)
{
	struct conn *c = CONTAINER(src, struct conn, source);
	if (events & (EPOLLERR | EPOLLHUP))
		conn_free(c);
	else
		conn_work(c);
}

void client_reply(struct conn *c, const uint8_t *p, size_t n)
{
	c->under_way--;
	put_frame(c, p, n);
	conn_work(c);
}

void client_accept(struct source *src, uint32_t events)
{
	struct sandbox *s = CONTAINER(src, struct sandbox, tcp);
	(void)events;
	for (unsigned i = 0; i < LIMIT_RELAY_CLIENTS; i++) {
		int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		struct conn *c = s->nconns < LIMIT_RELAY_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
		if (!c) { /* too many: this one is refused, those that are there go on */
			close(fd);
			continue;
		}
		*c = (struct conn){.source = {fd, conn_ready}, .sandbox = s, .next = s->conns, .events = EPOLLIN};
		if (s->conns)
			s->conns->prev = c;
		s->conns = c;
		s->nconns++;
		if (loop_add(&s->relay->loop, &c->source, EPOLLIN) < 0)
			conn_free(c);
		else
			loop_arm(&s->relay->loop, &c->idle, TIMER_CLIENT, silent);
	}
}
