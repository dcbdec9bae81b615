/* stamp: tells whether the host's firewall rules have changed since somebody looked. For nf_tables (and iptables on top of it) it is the
 * generation that each transaction counts up; the legacy tables count nothing, there it is what they tell about their sizes and, when an
 * exact answer is wanted, a hash of all they hold but counters (measured: 0.2 ms at 100 networks, 2.2 ms at 1,000; iptables-legacy-save 1.7
 * and 8 ms). Belongs to the namespace in which it was opened; not thread safe. */
#pragma once

#include "kernel/nl.h"
#include "net/kstate.h"

struct stamper {
	struct nl nf;
	int raw[FW_FAMILY_N];
	bool used[FW_FAMILY_N]; /* legacy tables that exist: asking for others would make them */
	bool iptables;          /* else only nf_tables counts */
};

struct stamp_sizes { /* struct ipt_getinfo and struct ip6t_getinfo, include/uapi/linux/netfilter_ipv4/ip_tables.h */
	char name[32];
	unsigned valid_hooks, hook_entry[5], underflow[5], num_entries, size;
};

struct stamp {
	bool known, legacy;
	uint32_t gen;
	uint64_t hash; /* of legacy tables; 0: not asked for, equals any */
	struct stamp_sizes info[FW_FAMILY_N][FW_TABLE_N];
};

#define STAMPER_NONE {.nf = NL_NONE, .raw = {-1, -1}}
/* iptables: its rules are ours to watch, not only those of nf_tables. */
int stamper_open(struct stamper *s, bool iptables, struct err *e);
void stamper_close(struct stamper *s);
/* Is the host's `iptables` the legacy one? Asked each time: the host's administrator may choose anew. */
bool stamper_is_legacy(const struct stamper *s);
/* *out stays unknown when the kernel does not tell. */
void stamp_read(struct stamper *s, bool exact, struct stamp *out);
bool stamp_same(const struct stamp *a, const struct stamp *b);
/* Is `after` what `before` became by n transactions, and by nobody else's? Legacy tables cannot tell: no. */
bool stamp_follows(const struct stamp *before, const struct stamp *after, unsigned n);
