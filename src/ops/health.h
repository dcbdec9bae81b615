/* health: health checks of running containers, and what they found. One thread for all, LIMIT_PROBES probes at once. What was found lives in memory: a new
 * daemon begins with "starting" again, as dockerd does. Any thread. */
#pragma once

#include "model/health.h"
#include "ops/core.h"

#define HEALTH_LOG 5

struct health_entry {
	int64_t start, end; /* ns */
	int code;
	const char *output;
};
struct health_view {
	struct health health;
	struct health_entry log[HEALTH_LOG]; /* oldest first */
	size_t n;
};

int health_open(struct core *c, struct err *e); /* starts the thread; the running containers of the world are checked from now on */
void health_close(struct core *c);
/* Containers that start, pause, end or go; called before the world changes, under its lock. */
void health_note(struct core *c, const struct change *ch, size_t n);
enum health_status health_of(struct core *c, const char *id); /* NONE: not checked */
void health_look(struct core *c, const char *id, struct arena *a, struct health_view *out);
