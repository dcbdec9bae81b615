/* rotate: logs that may not grow without bound. Private to engine/. */
#pragma once

#include "engine/engine_int.h"

#define ROTATE_MS  500 /* how often sizes are looked at */
#define ROTATE_MIN 5   /* and of logs that grow fast, or are new */

void rotate_watch(struct engine *en, const struct container *c); /* one that runs; without a bound nothing is done */
void rotate_forget(struct engine *en, const char *id);
void rotate_free(struct engine *en);
void rotate_look(struct engine *en); /* on the watching thread */
/* When to look again at a log that has grown by so much in the last ms and may grow by `left` bytes more. Pure. */
int rotate_pause(int64_t ms, int64_t grown, int64_t left);
