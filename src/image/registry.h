/* registry: a job's connection to one registry: the fetcher (fetcher.h), which runs as a process of its own, and the errands it is sent on. Not thread safe. */
#pragma once

#include "image/errand.h"
#include "image/fetcher.h"

struct registry;

/* Starts the fetcher, which confines itself; before the job's own confinement. *sock is moved to descriptor `at`, which the confinement must keep. */
int registry_open(const struct fetcher_conf *c, const char *dir, int at, struct registry **out, struct err *e);
void registry_close(struct registry *r); /* NULL is fine; the fetcher ends */
static inline void own_registry(struct registry **r)
{
	registry_close(*r);
}
/* Sends it on its way; m->id is set. fd: the file that a body goes to or comes from, -1 = none; stays the caller's. At most FETCHER_ACTIVE at once. */
int registry_send(struct registry *r, struct errand *m, int fd, struct err *e);
/* The next word of the fetcher: 1, or 0 when none came for `ms`. Text of *o lives in a. */
int registry_next(struct registry *r, int ms, struct arena *a, struct outcome *o, struct err *e);
/* One errand from beginning to end, while no other is under way. heard: told of what comes before the end, may be NULL. An outcome without an answer is an error. */
int registry_call(struct registry *r, struct errand *m, int fd, void (*heard)(void *arg, const struct outcome *o), void *arg, struct arena *a, struct outcome *o, struct err *e);

/* Why there was no answer that can be used; 0 when there was one. */
int outcome_failed(const struct outcome *o, struct err *e);
/* An answer of 400 or more as an error in Docker's words. repo: familiar name; ref: what of it was asked for. */
int outcome_refused(const struct outcome *o, const char *repo, const char *ref, struct err *e);
