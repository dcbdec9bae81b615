/* addrset: the used addresses of one network as sorted, disjoint, non-touching intervals. Search O(log n), insertion a binary search and a memmove. */
#pragma once

#include "base/ip.h"

struct addr_range {
	struct ip lo, hi; /* both included */
};
struct addrset {
	struct addr_range *v;
	size_t n, cap;
};

void addrset_free(struct addrset *s);
int addrset_add(struct addrset *s, const struct ip *a); /* present: nothing happens. -ENOMEM */
int addrset_del(struct addrset *s, const struct ip *a); /* absent: nothing happens. -ENOMEM (an interval may split) */
bool addrset_has(const struct addrset *s, const struct ip *a);
/* The lowest address in [from, to] that is not in the set. */
bool addrset_first_gap(const struct addrset *s, const struct ip *from, const struct ip *to, struct ip *out);
