/* steer: one listening socket for a long run of ports. Descriptors are the caller's. Any thread. */
#pragma once

#include "net/kstate.h"

/* Leads connections to every port of the run o (TCP) that no NAT has led elsewhere to `listener`, which is bound to the run's first port, in the calling thread's
 * network namespace. They are in force as long as a descriptor of what is given back is open, in any process, and the listener is. -errno: the kernel cannot. */
int steer_run(int listener, const struct kobj *o, struct err *e);
