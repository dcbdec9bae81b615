/* monitor: notices what others change in the kernel's network of this namespace. Notifications are only a trigger: they are collected
 * without a lock by one thread, and judged by it under the network lock, when our own operations have ended. */
#pragma once

#include "kernel/kernel.h"

struct monitor;

/* From now on; of the real kernel only. */
int monitor_new(struct kernel *k, struct monitor **out, struct err *e);
void monitor_free(struct monitor *m);
/* Waits until something has changed. 1: so it is, 0: time-out (ms, -1: none), -ECANCELED: the descriptor `stop` is readable. */
int monitor_wait(struct monitor *m, int stop, int timeout);
/* Under the network lock: the parts of the kernel (KERNEL_RULES, KERNEL_ALL) that are to be compared with what this world wants, 0: none. What
 * was collected is forgotten. */
unsigned monitor_take(struct monitor *m, const struct world *w);
