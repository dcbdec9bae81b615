/* plan: ordered, reversible steps from one kstate to another. Pure. */
#pragma once

#include "base/buf.h"
#include "net/kstate.h"

enum step_op {
	STEP_ADD,
	STEP_DEL,
	STEP_CHANGE, /* same key, other value; in place */
	STEP_FW,     /* all changes to one family's tables, one run of the firewall program */
};

struct fw_change {
	bool add;               /* else delete */
	const struct kobj *o;   /* K_CHAIN, K_RULE or K_POLICY */
	const struct kobj *old; /* K_POLICY: what it was */
};

struct step {
	enum step_op op;
	const struct kobj *before, *after; /* DEL: before; ADD: after; CHANGE: both */
	const struct kobj *
		*implied; /* DEL of a namespace or link: objects that vanish with it, in making order, for the undo */
	size_t nimplied;
	bool box_goes; /* DEL of K_DNS: its sandbox goes, too */
	enum fw_family family; /* STEP_FW */
	struct fw_change *fw;
	size_t nfw;
};

struct plan {
	struct step *v;
	size_t n;
};

/* Steps that turn `have` into `want`. Deletions of things contained in a deleted namespace or link are implied by it.
 * Order: additions by kind, but whatever must go first (same key with an immutable difference, an address that moves)
 * goes first; deletions last, firewall before links before namespaces. The arena must outlive the plan; so must both
 * states. */
int plan_diff(struct arena *a, struct kstate *have, struct kstate *want, struct plan *out, struct err *e);
/* The step that takes `s` back (an array: undoing the deletion of a namespace makes everything in it again). */
int plan_inverse(struct arena *a, const struct step *s, struct step **out, size_t *n, struct err *e);
/* Text of a plan, one step a line, "+ ", "- ", "~ ", for golden files, `doctor` and --debug. */
void plan_text(const struct plan *p, struct arena *a, struct buf *out);
