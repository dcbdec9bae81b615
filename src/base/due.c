#include "base/due.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

struct due_queue {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct due *first; /* soonest first; of equal times the one that was put first */
	bool stop;
	pthread_t thread;
	bool (*act)(void *arg, struct due *d);
	void *arg;
};

/* With the lock held, as the next one. */
static void insert(struct due_queue *q, struct due *d)
{
	struct due **p = &q->first;
	while (*p && (*p)->when <= d->when)
		p = &(*p)->next;
	d->next = *p;
	*p = d;
}

/* Sleeps until the first is due; NULL: the end. */
static struct due *next_due(struct due_queue *q)
{
	while (!q->stop) {
		struct due *d = q->first;
		if (!d) {
			pthread_cond_wait(&q->cond, &q->lock);
		} else if (d->when <= clock_mono_ns()) {
			q->first = d->next;
			return d;
		} else {
			struct timespec ts = {.tv_sec = d->when / 1000000000, .tv_nsec = d->when % 1000000000};
			pthread_cond_timedwait(&q->cond, &q->lock, &ts);
		}
	}
	return NULL;
}

static void *run(void *arg)
{
	struct due_queue *q = arg;
	struct due *d;
	pthread_mutex_lock(&q->lock);
	while ((d = next_due(q))) {
		pthread_mutex_unlock(&q->lock);
		bool again = q->act(q->arg, d);
		if (!again)
			free(d);
		pthread_mutex_lock(&q->lock);
		if (again)
			insert(q, d);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void destroy(struct due_queue *q)
{
	while (q->first) {
		struct due *d = q->first;
		q->first = d->next;
		free(d);
	}
	pthread_cond_destroy(&q->cond);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

int due_open(const char *what, bool (*act)(void *arg, struct due *d), void *arg, struct due_queue **out, struct err *e)
{
	struct due_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return err_nomem(e);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, &attr);
	pthread_condattr_destroy(&attr);
	q->act = act;
	q->arg = arg;
	int r = pthread_create(&q->thread, NULL, run, q);
	if (r != 0) {
		destroy(q);
		return err_errno(e, -r, "start the thread of %s", what);
	}
	*out = q;
	return 0;
}

void due_put(struct due_queue *q, struct due *d)
{
	pthread_mutex_lock(&q->lock);
	insert(q, d);
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

struct due *due_take(struct due_queue *q, bool (*is)(const void *arg, const struct due *d), const void *arg)
{
	pthread_mutex_lock(&q->lock);
	struct due **p = &q->first;
	while (*p && !is(arg, *p))
		p = &(*p)->next;
	struct due *d = *p;
	if (d)
		*p = d->next;
	pthread_mutex_unlock(&q->lock);
	return d;
}

void due_stop(struct due_queue *q)
{
	if (!q || q->stop)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
}

void due_free(struct due_queue *q)
{
	due_stop(q);
	if (q)
		destroy(q);
}
