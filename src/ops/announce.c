#include "ops/announce.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "kernel/announce.h"
#include "net/driver.h"

struct announcing {
	struct announcing *next;
	char container[ID_TEXT], network[ID_TEXT], endpoint[ID_TEXT];
	int left;
	int64_t pause, when; /* ns; monotonic */
};

struct announcements {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct announcing *first; /* soonest first */
	bool stop;
	pthread_t thread;
};

/* With the lock held. */
static void insert(struct announcements *q, struct announcing *x)
{
	struct announcing **p = &q->first;
	while (*p && (*p)->when <= x->when)
		p = &(*p)->next;
	x->next = *p;
	*p = x;
}

/* Sleeps until the first is due; NULL: the end. With the lock held. */
static struct announcing *next_due(struct announcements *q)
{
	while (!q->stop) {
		struct announcing *x = q->first;
		if (!x) {
			pthread_cond_wait(&q->cond, &q->lock);
		} else if (x->when <= clock_mono_ns()) {
			q->first = x->next;
			return x;
		} else {
			struct timespec ts = {.tv_sec = x->when / 1000000000, .tv_nsec = x->when % 1000000000};
			pthread_cond_timedwait(&q->cond, &q->lock, &ts);
		}
	}
	return NULL;
}

/* False: nothing is to be announced any more. */
static bool announce_now(struct core *c, const struct announcing *x)
{
	OWN(arena_free) struct arena a = {0};
	struct err e = {0};
	char link[IFNAME];
	struct mac mac = {0};
	struct ip ips[2] = {0};
	const struct endpoint *ep = world_endpoint(core_read(c), x->container, x->network);
	bool there = ep && ep->joined && streq(ep->id, x->endpoint);
	if (there) {
		STR_COPY(link, ep->ifname);
		mac = ep->mac;
		ips[0] = ep->ip4;
		ips[1] = ep->ip6;
	}
	core_read_end(c);
	const char *path = there ? want_netns_path(&c->conf->net, x->container, &a) : NULL;
	if (!path)
		return false;
	int r = kernel_announce(path, link, &mac, ips, ARRAY_LEN(ips), &e);
	if (r < 0) /* it may be leaving at this moment */
		log_debug("%.12s: %s", x->container, e.msg);
	return r >= 0;
}

static void *run(void *arg)
{
	struct core *c = arg;
	struct announcements *q = c->announcements;
	struct announcing *x;
	pthread_mutex_lock(&q->lock);
	while ((x = next_due(q))) {
		pthread_mutex_unlock(&q->lock);
		bool again = announce_now(c, x) && --x->left > 0;
		pthread_mutex_lock(&q->lock);
		if (again) {
			x->when += x->pause;
			insert(q, x);
		} else {
			free(x);
		}
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void announcements_free(struct announcements *q)
{
	while (q->first) {
		struct announcing *x = q->first;
		q->first = x->next;
		free(x);
	}
	pthread_cond_destroy(&q->cond);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

int announce_open(struct core *c, struct err *e)
{
	struct announcements *q = calloc(1, sizeof(*q));
	if (!q)
		return err_nomem(e);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, &attr);
	pthread_condattr_destroy(&attr);
	c->announcements = q;
	int r = pthread_create(&q->thread, NULL, run, c);
	if (r == 0)
		return 0;
	announcements_free(q);
	c->announcements = NULL;
	return err_errno(e, -r, "start the thread of the announcements");
}

void announce_close(struct core *c)
{
	struct announcements *q = c->announcements;
	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	announcements_free(q);
	c->announcements = NULL;
}

static void put(struct announcements *q, const struct endpoint *ep, int count, int pause_ms)
{
	struct announcing *x = calloc(1, sizeof(*x));
	if (!x)
		return; /* the first announcement has been made */
	STR_COPY(x->container, ep->container);
	STR_COPY(x->network, ep->network);
	STR_COPY(x->endpoint, ep->id);
	x->left = count;
	x->pause = pause_ms * INT64_C(1000000);
	x->when = clock_mono_ns() + x->pause;
	pthread_mutex_lock(&q->lock);
	insert(q, x);
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

void announce_note(struct core *c, const struct world *fork, const struct change *ch, size_t n)
{
	for (size_t i = 0; c->announcements && i < n; i++) {
		const struct endpoint *was = ch[i].before, *is = ch[i].after;
		if (ch[i].noun != NOUN_ENDPOINT || !is || !is->joined || (was && was->joined && streq(was->id, is->id)))
			continue;
		const struct network *net = world_network(fork, is->network);
		int pause, count = net && net->driver == DRIVER_BRIDGE ? network_announcements(net, &pause) : 0;
		if (count > 1)
			put(c->announcements, is, count - 1, pause);
	}
}
