/* op: the transaction of every operation. A fork of the world is changed, the plan that follows from the difference is applied to the
 * kernel between the intent's COMMIT and the final COMMIT; all or nothing (tests/ops/test_fault.c). */
#pragma once

#include "ops/core.h"
#include "ops/events.h"

struct op {
	struct core *core;
	const char *verb;
	struct arena mem;
	struct netconf conf;  /* with the host's facts of this moment */
	struct world *next;   /* the fork to change */
	bool durable;         /* survive power loss before the reply */
	int64_t *keep_intent; /* not NULL: leave the intent row in place and tell its id: a later operation ends it */
	int64_t end_intent;   /* delete this one too */
	const char *about;    /* for the intent: the container's or network's id */
	struct event *events; /* published after the commit */
	size_t nevents;
};

int op_begin(struct core *c, const char *verb, struct op *op, struct err *e); /* takes op_lock */
int op_commit(struct op *op, struct err *e);                                  /* want, diff, intent, apply, save, COMMIT, merge, publish */
void op_end(struct op *op);                                                   /* rolls back what was not committed, frees, gives op_lock back; an unbegun op is fine */
/* Adds an event to publish; attributes as key, value, ..., NULL. */
void op_event(struct op *op, const char *type, const char *action, const char *id, ...);
/* The attributes that every container event has (image, name, labels) come by themselves. */
void op_container_event(struct op *op, const struct container *c, const char *action, ...);
/* Of an image: its labels, and the name that is told. img NULL: it has gone, and its labels with it. */
void op_image_event(struct op *op, const struct image *img, const char *action, const char *id, const char *name);
