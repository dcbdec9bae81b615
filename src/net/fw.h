/* fw: firewall intents and their rendering as the classic iptables layout (facts/docker.md 2.7 with the raw protections of 2.2). Pure.
 * fw_iptables.c: intents -> K_CHAIN/K_RULE/K_POLICY objects, and STEP_FW -> text for iptables-restore --noflush. */
#pragma once

#include "net/plan.h"
#include "net/want.h"

/* The host's skeleton: chains, jumps, RETURNs, policy. */
int fw_want_host(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e);
/* A bridge network's rules. */
int fw_want_network(const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e);

/* Text of one run of iptables-restore --noflush (ip6tables-restore) for a STEP_FW: design section 5 has what that program really does. `have` is what observe saw of
 * that table, foreign rules included (for positions), or NULL when the caller knows that only appends and head insertions are needed. */
int fw_iptables_render(const struct step *s, const struct kstate *have, struct buf *out, struct err *e);

/* Parses the output of iptables-save for one table: chains, policies and rules, ours and foreign, in kernel order. */
struct fw_line {
	const char *chain;
	const char *text; /* canonical: quoting and spacing as we render them */
	int pos;          /* 1-based position in its chain */
};
struct fw_listing {
	enum fw_family family;
	enum fw_table table;
	struct fw_line *lines;
	size_t n;
	struct { const char *name; const char *policy; /* "-" = user chain */ } *chains;
	size_t nchains;
};
int fw_iptables_parse(const char *text, enum fw_family family, struct arena *a, struct fw_listing **out, size_t *n, struct err *e);
/* Which lines are ours by the shapes of design section 5: turned into K_CHAIN/K_RULE/K_POLICY with rank and unit recovered. `ours` says whether a device is ours
 * (docker0, or a br-<12 hex> of the world or of `pending`); unit_id_of gives the network id for a device. A rule of ours that stands in the wrong order among ours is reported with an impossible
 * rank, so that the diff replaces it. */
struct fw_owner {
	const char *(*network_of)(const struct fw_owner *o, const char *device); /* network id or NULL: not ours */
	const void *arg;
};
int fw_iptables_observe(const struct fw_listing *l, size_t n, const struct fw_owner *own, struct kstate *out, struct err *e);
