/* heal: what others damage in the kernel's network is mended at once, by the same difference as start-up and `pontoon doctor`. */
#pragma once

#include "ops/core.h"

/* Listens from now on; before reconcile, so that nothing is missed. */
int heal_open(struct core *c, struct err *e);
int heal_start(struct core *c, struct err *e); /* the thread */
void heal_stop(struct core *c);
/* Under op_lock: compares these parts of the kernel, mends, tells (log, event). How many objects differed; negative: not all could be mended. */
int heal_now(struct core *c, unsigned parts, struct err *e);
