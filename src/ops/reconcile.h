/* reconcile: start-up, crash recovery, doctor and repair are one thing: the difference between what the world wants and what is there. */
#pragma once

#include "ops/op.h"
#include "ops/ops.h"

/* At start: settles leftover intents and containers against what the engine finds, makes the predefined networks, then repairs. Damage to one part does not keep the daemon
 * from starting: it is logged and `doctor` shows it. */
int reconcile_start(struct core *c, struct err *e);
/* The difference in these parts of the kernel, under op_lock: have and want in the arena, and the plan between them. */
int reconcile_plan(struct core *c, unsigned parts, struct arena *a, struct plan *out, struct err *e);
/* What the plan changes, for people. */
int doctor_list(struct core *c, const struct plan *p, struct arena *a, struct difference **out, size_t *n, struct err *e);
/* Applies it step by step under op_lock: one that fails does not keep the others from being done. The first error. */
int reconcile_repair(struct core *c, struct arena *a, const struct plan *p, struct err *e);
