#include "ops/exits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "ops/container.h"

#define WORKERS_MAX 8

struct gone {
	struct gone *next;
	char id[ID_TEXT];
	struct exit_record rec;
};

struct exit_queue {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct gone *first, **last;
	bool stop;
	pthread_t workers[WORKERS_MAX];
	unsigned n;
};

static void *worker(void *arg)
{
	struct core *c = arg;
	struct exit_queue *q = c->exits;
	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (!q->first && !q->stop)
			pthread_cond_wait(&q->cond, &q->lock);
		struct gone *g = q->first;
		if (!g)
			break;
		q->first = g->next;
		if (!q->first)
			q->last = &q->first;
		pthread_mutex_unlock(&q->lock);
		container_exited(c, g->id, &g->rec);
		free(g);
		pthread_mutex_lock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

int exits_start(struct core *c, struct err *e)
{
	struct exit_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return err_nomem(e);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, NULL);
	q->last = &q->first;
	c->exits = q;
	unsigned want = (unsigned)get_nprocs() * 2;
	if (want > WORKERS_MAX)
		want = WORKERS_MAX;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	int r = 0;
	while (r == 0 && q->n < want) {
		r = pthread_create(&q->workers[q->n], &attr, worker, c);
		if (r == 0)
			q->n++;
	}
	pthread_attr_destroy(&attr);
	return q->n ? 0 : err_errno(e, -r, "start the exit workers");
}

void exits_stop(struct core *c)
{
	struct exit_queue *q = c->exits;
	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->cond);
	pthread_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->n; i++)
		pthread_join(q->workers[i], NULL);
	pthread_cond_destroy(&q->cond);
	pthread_mutex_destroy(&q->lock);
	free(q);
	c->exits = NULL;
}

void exits_put(void *core, const char *container, int code, bool oom, int64_t when)
{
	struct core *c = core;
	struct exit_queue *q = c->exits;
	struct exit_record rec = {.code = code, .oom_killed = oom, .when = when};
	struct gone *g = q ? calloc(1, sizeof(*g)) : NULL;
	if (!g) {
		container_exited(c, container, &rec);
		return;
	}
	STR_COPY(g->id, container);
	g->rec = rec;
	pthread_mutex_lock(&q->lock);
	*q->last = g;
	q->last = &g->next;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}
