/* life: one lock a container for its start, exit and removal, and one a volume: whoever came first has it first. A row exists only while somebody holds or awaits it, so the table is as
 * long as there are verbs under way, not as there are containers. */
#include <stdlib.h>

#include "ops/core.h"

struct life {
	struct life *next;
	char id[THING_KEY]; /* a container's, or "volume/<name>" */
	unsigned users; /* holder and those who wait */
	unsigned turns, turn; /* handed out; whose it is */
};

static struct life *life_find(struct core *c, const char *id)
{
	for (struct life *l = c->lives; l; l = l->next)
		if (streq(l->id, id))
			return l;
	return NULL;
}

int life_lock(struct core *c, const char *container, struct err *e)
{
	pthread_mutex_lock(&c->life_mutex);
	struct life *l = life_find(c, container);
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l) {
			pthread_mutex_unlock(&c->life_mutex);
			return err_nomem(e);
		}
		STR_COPY(l->id, container);
		l->next = c->lives;
		c->lives = l;
	}
	l->users++;
	for (unsigned mine = l->turns++; l->turn != mine;)
		pthread_cond_wait(&c->life_cond, &c->life_mutex);
	pthread_mutex_unlock(&c->life_mutex);
	return 0;
}

void life_unlock(struct core *c, const char *container)
{
	pthread_mutex_lock(&c->life_mutex);
	struct life *l = life_find(c, container);
	assert(l && l->turn != l->turns);
	l->turn++;
	if (--l->users == 0) {
		struct life **p = &c->lives;
		while (*p != l)
			p = &(*p)->next;
		*p = l->next;
		free(l);
	} else {
		pthread_cond_broadcast(&c->life_cond);
	}
	pthread_mutex_unlock(&c->life_mutex);
}
