/* restart: starts containers again as their restart policies say. One thread, which sleeps until the next one is due. The state
 * "restarting" in the store is what counts: the list only says when. Any thread. */
#pragma once

#include "ops/core.h"

int restarts_open(struct core *c, struct err *e);
void restarts_stop(struct core *c); /* ends the thread; what was due stays "restarting" in the store */
void restarts_free(struct core *c); /* after restarts_stop, and when no exit can come any more */
/* Starts the container after `wait` ns if it is still "restarting" then. */
void restarts_put(struct core *c, const char *id, int64_t wait);
/* After reconcile: queues those that the policies start together with the daemon. */
void restarts_boot(struct core *c);
/* Its process has ended, and it waits to be started again. */
bool restarts_waits(struct core *c, const char *id);
/* Takes a waiting restart back, as the user's or the ending daemon's stop: 1 = it is stopped now, 0 = none was waiting. Takes the life lock. */
int restarts_cancel(struct core *c, const char *id, struct err *e);
