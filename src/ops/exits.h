/* exits: containers whose process has ended, on their way to the workers that record it. */
#pragma once

#include "ops/core.h"

int exits_start(struct core *c, struct err *e); /* starts the workers */
void exits_stop(struct core *c);                /* waits until the queue is empty, then ends them */
/* struct engine_conf.on_exit: never blocks for long, never fails (an exit that cannot be queued is recorded by the calling thread). */
void exits_put(void *core, const char *container, int code, bool oom, int64_t when);
