/* restart: the restart policies: whether a container that ended starts again, and after how long. Pure: the moment and the
 * reasons are arguments. */
#pragma once

#include "model/container.h"

#define RESTART_WAIT_FIRST_NS 100000000LL  /* then doubled at every end */
#define RESTART_WAIT_MAX_NS 60000000000LL
#define RESTART_STEADY_NS 10000000000LL /* having run this long, it begins anew */

/* At its end. stopped: by the user, or the daemon is ending. */
bool restart_after_exit(const struct container *c, int64_t exit_code, bool stopped);
/* At the daemon's start, for one that does not run. */
bool restart_at_boot(const struct container *c);
/* How long to wait, given the last wait (0 = none yet) and how long it ran. */
int64_t restart_wait(int64_t last_ns, int64_t ran_ns);
