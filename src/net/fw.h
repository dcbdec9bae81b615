/* fw: the firewall as the classic iptables layout (facts: docker.md 2.7, with the raw protection of 2.2). Pure.
 *
 * One table of shapes (fw.c) says which rules there are. Wanting a rule fills a shape; recognising one in a listing matches a shape: so what
 * is ours is exactly what we would write, on a device that is ours. fw_iptables.c reads iptables-save and writes for iptables-restore. */
#pragma once

#include "net/plan.h"
#include "net/want.h"

/* The host's skeleton: chains, jumps, RETURNs, policy. A bridge network's rules. */
int fw_want_host(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e);
int fw_want_network(const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e);

/* A table as it is: chains and rules in kernel order, foreign ones included. */
struct fw_line {
	const char *chain;
	const char *text;        /* as iptables-save prints it, without "-A CHAIN " and counters */
	const struct kobj *ours; /* the K_RULE, or NULL: foreign */
};
struct fw_chain {
	const char *name;
	const char *policy; /* "-": a user's chain */
};
struct fw_listing {
	enum fw_family family;
	enum fw_table table;
	struct fw_line *lines;
	size_t n, cap;
	struct fw_chain *chains;
	size_t nchains, ccap;
};

/* Parses iptables-save output (any tables); only raw, nat and filter are kept. out[t].n == 0 for a table that it does not hold. INVALID for text that is not its output. */
int fw_parse(const char *text, enum fw_family family, struct arena *a, struct fw_listing out[static FW_TABLE_N], struct err *e);
/* Finds our rules among the lines (line.ours) and appends them, our chains, and the policy of FORWARD to `out`. `known` tells which devices are ours and whose;
 * a rule out of order among ours gets a rank that equals no wanted one. */
int fw_recognise(struct fw_listing *l, const struct world *known, const struct netconf *c, struct kstate *out, struct err *e);
/* The input of one iptables-restore --noflush run for a STEP_FW, given the table as it is now (recognised). Rules are placed by rank among ours; foreign rules keep their places. */
int fw_render(const struct step *s, const struct fw_listing *now, struct buf *out, struct err *e);
