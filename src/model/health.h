/* health: the rules of HEALTHCHECK: what is run and when, and what a result means. Pure: times are arguments. */
#pragma once

#include "model/container.h"

enum health_status { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY, HEALTH_N };
const char *health_status_name(enum health_status s); /* "none", "starting", ... */

struct health_plan { /* with Docker's defaults filled in; ns */
	int64_t interval, timeout, start_period, start_interval, retries;
};
/* False: the container is not checked (no test, or NONE). */
bool health_plan(const struct config *c, struct health_plan *out);
/* What is run. */
struct strv health_command(const struct config *c, struct arena *a);

struct health {
	enum health_status status;
	int64_t streak; /* of failures */
};
/* A probe that began at `begun` in a run that began at `started` ended with the code. True: the status changed. */
bool health_result(struct health *h, const struct health_plan *p, int64_t started, int64_t begun, int code);
/* How long to wait for the next one. */
int64_t health_wait(const struct health *h, const struct health_plan *p, int64_t started, int64_t now);
/* What a container's own settings leave open is its image's. */
int health_merge(struct config *own, const struct config *img, struct arena *a);
