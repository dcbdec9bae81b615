/* happen: events that go with no change of the world: they are published at once. Any thread.
 * One that depends on the world's state (it runs, it is there) is published while the world is held for reading: so it cannot come after the event that says
 * that this is over. */
#pragma once

#include "ops/core.h"

/* With the attributes that every container event has, and up to two more (NULL: none). */
void event_of_container(struct core *c, const struct container *ct, const char *action, const char *k1, const char *v1, const char *k2, const char *v2);
/* With its id as its name, and its labels. */
void event_of_image(struct core *c, const struct image *img, const char *action);
/* The objects of a type that nobody used were removed, and so many bytes are free again. */
void event_of_prune(struct core *c, const char *type, int64_t freed);
/* struct engine_conf.on_exec */
void exec_happened(void *core, const char *container, const char *exec, const char *what, int code);
/* "exec_create: sh -c x" */
const char *exec_action(const char *what, const struct strv *cmd, struct arena *a);
