/* fw: the firewall as the classic iptables layout that dockerd 20.10 to 27 wrote, with a protection in table raw. Pure.
 *
 * Tables of shapes (fw.c, fw_port.c) say which rules there are. Wanting a rule fills a shape; recognising one in a listing
 * matches a shape: so what is ours is exactly what we would write, on a device that is ours. fw_iptables.c reads
 * iptables-save and writes for iptables-restore. */
#pragma once

#include "base/map.h"
#include "net/links.h"
#include "net/plan.h"
#include "net/want.h"

/* The host's skeleton: chains, jumps, RETURNs, policy; of IPv6 only when a network has IPv6. A network's rules. */
int fw_want_host(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e);
int fw_want_network(
	const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e);
/* The rules of a published port. */
int fw_want_port(const struct world *w, const struct netconf *c, const struct port *p, struct kstate *out, struct err *e);
/* What the links of an endpoint of the default bridge open in spite of --icc=false: IPv4 alone, because without icc
 * neighbours do not find each other by IPv6 either. */
int fw_want_links(const struct world *w, const struct netconf *c, const struct endpoint *ep, struct kstate *out, struct err *e);
/* Texts by which the rules of the run that name neither device nor container (on the host's loopback) are claimed: among `marked` of fw_recognise
 * they make such a rule ours although the port is published no more. */
int fw_port_claims(const struct port *p, struct arena *a, struct strv *out);
/* Has the network this family, and is it ours to guard? Does what leaves it get an address of the host? */
bool fw_has_family(const struct netconf *c, const struct network *n, enum fw_family f);
bool fw_masquerades(const struct netconf *c, const struct network *n, enum fw_family f);
/* May a published port be reached at the container's own address? */
bool fw_opens_directly(const struct netconf *c, const struct network *n, enum fw_family f);
int fw_rank_cmp(const struct fw_rank *a, const struct fw_rank *b);

/* A table as it is: chains and rules in kernel order, foreign ones included. Its memory is the arena's that it was parsed
 * into, but for the index: fw_listing_free. */
struct fw_line {
	const char *chain;
	const char *text;        /* as iptables-save prints it, without "-A CHAIN " and counters */
	const struct kobj *ours; /* the K_RULE, or NULL: foreign */
	struct fw_line *next;    /* the next one of the same chain and text */
};
struct fw_chain {
	const char *name;
	const char *policy; /* "-": a user's chain */
};
struct fw_listing {
	enum fw_family family;
	enum fw_table table;
	struct fw_line **lines;
	size_t n, cap;
	struct fw_chain *chains;
	size_t nchains, ccap;
	struct arena *mem;
	struct map index; /* "CHAIN text" -> its first line; made when it is needed */
	bool indexed;
};
void fw_listing_free(struct fw_listing l[static FW_TABLE_N]);

/* Parses iptables-save output (any tables); only raw, nat and filter are kept. out[t].n == 0 for a table that it does
 * not hold. -EPROTO for text that is not its output. */
int fw_parse(const char *text, enum fw_family family, struct arena *a, struct fw_listing out[static FW_TABLE_N],
	struct err *e);
/* Finds our rules among the lines (line.ours) and appends them, our chains, and the policy of FORWARD to `out`. A
 * device is ours if it is the default bridge's, a bridge of `known` (networks of the store and of intents; may be
 * NULL), or one of `marked` (links on the host that carry our alias; may be NULL). Of several copies of a rule the
 * first is ours, the others are somebody's own. A rule that does not stand where its rank wants it gets rank.k ==
 * FW_MISPLACED, which equals no wanted one. */
#define FW_MISPLACED (-1)
int fw_recognise(struct fw_listing *l, const struct world *known, const struct strv *marked, const struct netconf *c,
	struct kstate *out, struct err *e);
/* The input of one iptables-restore --noflush run for a STEP_FW, given the tables as they are now (recognised). Rules
 * are placed by rank among ours; foreign rules keep their places. What is there already is not made again, and what has
 * gone already is not deleted: either would fail the run. Nothing to do is an empty text. The listing is then what the
 * tables are after the run. */
int fw_render(const struct step *s, struct fw_listing now[static FW_TABLE_N], struct buf *out, struct err *e);
