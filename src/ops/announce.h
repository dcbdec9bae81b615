/* announce: the repeated announcements of new endpoints' addresses: the kernel makes the first one when the interface comes up (net/driver_bridge.c), a thread
 * the others, as often and as far apart as the network's options say. One that has left, or whose MAC has been changed, is not announced again. */
#pragma once

#include "ops/core.h"

int announce_open(struct core *c, struct err *e);
void announce_close(struct core *c);
/* Notes the endpoints that the changes of the fork have joined, right before it is merged. */
void announce_note(struct core *c, const struct world *fork, const struct change *ch, size_t n);
