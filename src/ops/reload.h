/* reload: settings that change in a running daemon. */
#pragma once

#include "ops/core.h"

/* Makes `next` the configuration from now on, tells the engine, and publishes `daemon reload`. next must live as long as the core, and so must the one before: somebody may be
 * reading it. Only what dockerd reloads may differ: debug, labels, live-restore, shutdown-timeout, runtimes, insecure registries, transfers at once. */
int core_reload(struct core *c, const struct core_conf *next, struct err *e);
