/* Theory of operation
 *
 * The end of a process is recorded in one transaction (ops/stop.c), and it is there that the policy is asked: the container becomes
 * "restarting" instead of "exited", and its turn comes after a wait that doubles from 100 ms to a minute. A stop, kill or removal in
 * between makes it "exited" under the life lock; the thread takes the same lock and looks at the state again, so a container that the
 * user has stopped never comes back. At the daemon's start the store says which ones were waiting.
 *
 * tests/scenario/test_restart.py, tests/model/test_restart.c. */
#include "ops/restart.h"

#include <errno.h>
#include <stdlib.h>

#include "base/due.h"
#include "base/log.h"
#include "model/restart.h"
#include "ops/container.h"

struct restart {
	struct due due;
	char id[ID_TEXT];
};

bool restarts_waits(struct core *c, const char *id)
{
	const struct container *ct = world_container(core_read(c), id);
	bool yes = ct && ct->state == STATE_RESTARTING;
	core_read_end(c);
	return yes;
}

static void start_again(struct core *c, const char *id)
{
	struct err e = {0};
	if (life_lock(c, id, &e) < 0) {
		log_error("restart of %.12s: %s", id, e.msg);
		return;
	}
	if (restarts_waits(c, id) && container_start_locked(c, id, &e) < 0)
		log_error("restart of %.12s failed: %s", id, e.msg);
	life_unlock(c, id);
}

static bool act(void *arg, struct due *d)
{
	start_again(arg, ((struct restart *)d)->id);
	return false;
}

int restarts_open(struct core *c, struct err *e)
{
	return due_open("the restart policies", act, c, &c->restarts, e);
}

void restarts_stop(struct core *c)
{
	due_stop(c->restarts);
}

void restarts_free(struct core *c)
{
	due_free(c->restarts);
	c->restarts = NULL;
}

void restarts_put(struct core *c, const char *id, int64_t wait)
{
	struct restart *x = c->restarts ? calloc(1, sizeof(*x)) : NULL;
	if (!x) {
		log_error("the restart of %.12s waits for the next start of the daemon: %s", id, c->restarts ? "out of memory" : "the daemon ends");
		return;
	}
	STR_COPY(x->id, id);
	x->due.when = clock_mono_ns() + wait;
	due_put(c->restarts, &x->due);
}

/* Its state becomes `state`, in a transaction. */
static int set_state(struct core *c, const char *id, enum container_state state, bool stopped, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	try(op_begin(c, "restart", &op, e));
	op.about = id;
	try(container_edit(&op, id, &next, e));
	next->state = state;
	next->stopped_by_user = stopped;
	try(world_put(op.next, next, e));
	return op_commit(&op, e);
}

void restarts_boot(struct core *c)
{
	OWN(arena_free) struct arena a = {0};
	struct strv ids = {0};
	const struct container *ct;
	const struct world *w = core_read(c);
	for (size_t i = 0; (ct = world_next(w, NOUN_CONTAINER, &i));)
		if (restart_at_boot(ct))
			(void)strv_add(&a, &ids, ct->id);
	core_read_end(c);
	if (a.bad)
		log_error("not every container could be started by its restart policy: out of memory");
	for (size_t i = 0; i < ids.n; i++) {
		struct err e = {0};
		if (set_state(c, ids.v[i], STATE_RESTARTING, false, &e) < 0)
			log_error("restart of %.12s: %s", ids.v[i], e.msg);
		else
			restarts_put(c, ids.v[i], 0);
	}
}

int restarts_cancel(struct core *c, const char *id, struct err *e)
{
	if (!restarts_waits(c, id))
		return 0;
	try(life_lock(c, id, e));
	int r = restarts_waits(c, id) ? 1 : 0; /* it may have been started before we had the lock */
	if (r) {
		int s = set_state(c, id, STATE_EXITED, !c->ending, e);
		r = s < 0 ? s : 1;
	}
	life_unlock(c, id);
	return r;
}
