/* steer: one listening socket for a long run of ports. Descriptors are the caller's. Any thread. */
#pragma once

#include "net/kstate.h"

/* Leads what comes to any port of the run o (TCP, UDP), and was led elsewhere by no NAT, to its socket `listener`, which is bound to the run's first port, in the calling thread's
 * network namespace. They are in force as long as a descriptor of what is given back is open, in any process, and the listener is. -errno: the kernel cannot. */
int steer_run(int listener, const struct kobj *o, struct err *e);
/* Takes the place of such a run, and leads nothing: could one more be led? */
int steer_nothing(struct err *e);
