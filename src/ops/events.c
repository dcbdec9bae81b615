#include "ops/events.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/limits.h"
#include "base/own.h"

#define QUEUE_MAX 4096 /* events a slow subscriber may lag behind */

struct held { /* one published event, shared by the ring and the queues */
	unsigned refs;
	struct arena mem;
	struct event event;
};

struct events_sub {
	struct events *owner;
	struct events_sub *next;
	struct held **queue; /* of `room`, as long as something waits */
	size_t head, n, room;
	bool overflow;
	int fd;
};

struct events {
	pthread_mutex_t lock;
	struct held *ring[LIMIT_EVENTS_KEPT];
	size_t head, n;
	struct events_sub *subs;
};

static void held_unref(struct held *h)
{
	if (h && --h->refs == 0) {
		arena_free(&h->mem);
		free(h);
	}
}

struct events *events_new(void)
{
	struct events *ev = calloc(1, sizeof(*ev));
	if (ev)
		pthread_mutex_init(&ev->lock, NULL);
	return ev;
}

void events_free(struct events *ev)
{
	if (!ev)
		return;
	assert(!ev->subs);
	for (size_t i = 0; i < ev->n; i++)
		held_unref(ev->ring[(ev->head + i) % LIMIT_EVENTS_KEPT]);
	pthread_mutex_destroy(&ev->lock);
	free(ev);
}

static struct held *held_new(const struct event *e)
{
	struct held *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->refs = 1;
	h->event.type = arena_dup(&h->mem, e->type);
	h->event.action = arena_dup(&h->mem, e->action);
	h->event.id = arena_dup(&h->mem, e->id);
	h->event.attributes = kvs_copy(&h->mem, &e->attributes);
	h->event.time = e->time;
	if (h->mem.bad) {
		held_unref(h);
		return NULL;
	}
	return h;
}

static struct held *at(const struct events_sub *s, size_t i)
{
	return s->queue[(s->head + i) % s->room];
}

/* Most subscribers are never behind: their queue is small, and none while nothing waits. False: full, or out of memory. */
static bool make_room(struct events_sub *s)
{
	size_t room = s->room ? s->room * 2 : 16;
	struct held **queue;
	if (s->n < s->room)
		return true;
	if (room > QUEUE_MAX || !(queue = calloc(room, sizeof(struct held *))))
		return false;
	for (size_t i = 0; i < s->n; i++)
		queue[i] = at(s, i);
	free(s->queue);
	s->queue = queue;
	s->head = 0;
	s->room = room;
	return true;
}

static struct held *pop(struct events_sub *s)
{
	struct held *h = at(s, 0);
	s->head = (s->head + 1) % s->room;
	if (--s->n == 0) {
		free(STEAL(s->queue));
		s->head = s->room = 0;
	}
	return h;
}

static void sub_push(struct events_sub *s, struct held *h)
{
	if (s->overflow)
		return;
	if (make_room(s)) {
		s->queue[(s->head + s->n++) % s->room] = h;
		h->refs++;
	} else {
		s->overflow = true;
	}
	eventfd_write(s->fd, 1);
}

void events_publish(struct events *ev, const struct event *e)
{
	struct held *h = held_new(e);
	if (!h)
		return; /* out of memory: an event is a courtesy, the state it tells of is in the store */
	pthread_mutex_lock(&ev->lock);
	if (ev->n == LIMIT_EVENTS_KEPT) {
		held_unref(ev->ring[ev->head]);
		ev->head = (ev->head + 1) % LIMIT_EVENTS_KEPT;
		ev->n--;
	}
	ev->ring[(ev->head + ev->n++) % LIMIT_EVENTS_KEPT] = h;
	for (struct events_sub *s = ev->subs; s; s = s->next)
		sub_push(s, h);
	pthread_mutex_unlock(&ev->lock);
}

int events_subscribe(struct events *ev, int64_t since, struct events_sub **out, struct err *e)
{
	struct events_sub *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->owner = ev;
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0) {
		int r = -errno;
		free(s);
		return err_errno(e, r, "eventfd");
	}
	pthread_mutex_lock(&ev->lock);
	for (size_t i = 0; since && i < ev->n; i++) {
		struct held *h = ev->ring[(ev->head + i) % LIMIT_EVENTS_KEPT];
		if (h->event.time >= since)
			sub_push(s, h);
	}
	s->next = ev->subs;
	ev->subs = s;
	pthread_mutex_unlock(&ev->lock);
	*out = s;
	return 0;
}

void events_unsubscribe(struct events_sub *s)
{
	if (!s)
		return;
	struct events *ev = s->owner;
	pthread_mutex_lock(&ev->lock);
	for (struct events_sub **p = &ev->subs; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
	while (s->n)
		held_unref(pop(s));
	pthread_mutex_unlock(&ev->lock);
	close(s->fd);
	free(s);
}

size_t events_subscribers(struct events *ev)
{
	size_t n = 0;
	pthread_mutex_lock(&ev->lock);
	for (const struct events_sub *s = ev->subs; s; s = s->next)
		n++;
	pthread_mutex_unlock(&ev->lock);
	return n;
}

int events_fd(const struct events_sub *s)
{
	return s->fd;
}

int events_next(struct events_sub *s, struct arena *a, struct event *out)
{
	struct events *ev = s->owner;
	int r = 0;
	pthread_mutex_lock(&ev->lock);
	if (s->n) {
		struct held *h = pop(s);
		out->type = arena_dup(a, h->event.type);
		out->action = arena_dup(a, h->event.action);
		out->id = arena_dup(a, h->event.id);
		out->attributes = kvs_copy(a, &h->event.attributes);
		out->time = h->event.time;
		held_unref(h);
		r = a->bad ? -ENOMEM : 1;
	} else if (s->overflow) {
		r = -EOVERFLOW;
	} else {
		eventfd_t v;
		(void)eventfd_read(s->fd, &v); /* nothing waits: the descriptor must say so */
	}
	pthread_mutex_unlock(&ev->lock);
	return r;
}
