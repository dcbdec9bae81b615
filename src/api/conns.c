#include "api/conns.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"

/* A list in the order of the last word, the idlest first; busy ones stand in none. */
struct conn {
	struct conn *prev, *next;
	int fd;
	bool busy, ended;
};

struct conns {
	pthread_mutex_t lock;
	struct conn head;
	size_t n, limit;
};

struct conns *conns_new(size_t limit)
{
	struct conns *cs = calloc(1, sizeof(*cs));
	if (!cs)
		return NULL;
	pthread_mutex_init(&cs->lock, NULL);
	cs->head.prev = cs->head.next = &cs->head;
	cs->limit = limit;
	return cs;
}

void conns_free(struct conns *cs)
{
	if (!cs)
		return;
	pthread_mutex_destroy(&cs->lock);
	free(cs);
}

static void take_out(struct conn *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
	c->prev = c->next = c;
}

static void put_last(struct conns *cs, struct conn *c)
{
	c->prev = cs->head.prev;
	c->next = &cs->head;
	c->prev->next = c;
	cs->head.prev = c;
}

/* Its thread sees the end of the stream and takes it away. */
static void end_idlest(struct conns *cs)
{
	struct conn *c = cs->head.next;
	while (c != &cs->head && c->ended)
		c = c->next;
	if (c == &cs->head)
		return;
	c->ended = true;
	(void)shutdown(c->fd, SHUT_RDWR);
}

struct conn *conns_add(struct conns *cs, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->fd = fd;
	pthread_mutex_lock(&cs->lock);
	if (++cs->n > cs->limit)
		end_idlest(cs);
	put_last(cs, c);
	pthread_mutex_unlock(&cs->lock);
	return c;
}

void conns_remove(struct conns *cs, struct conn *c)
{
	pthread_mutex_lock(&cs->lock);
	take_out(c);
	cs->n--;
	pthread_mutex_unlock(&cs->lock);
	free(c);
	mem_settle();
}

void conns_touch(struct conns *cs, struct conn *c)
{
	pthread_mutex_lock(&cs->lock);
	if (!c->busy) {
		take_out(c);
		put_last(cs, c);
	}
	pthread_mutex_unlock(&cs->lock);
}

void conns_busy(struct conns *cs, struct conn *c)
{
	pthread_mutex_lock(&cs->lock);
	c->busy = true;
	take_out(c);
	pthread_mutex_unlock(&cs->lock);
}

void conns_idle(struct conns *cs, struct conn *c)
{
	pthread_mutex_lock(&cs->lock);
	if (c->busy) {
		c->busy = false;
		put_last(cs, c);
	}
	pthread_mutex_unlock(&cs->lock);
}
