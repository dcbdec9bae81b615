/* cache: upstream answers, kept as long as their TTLs say and within a bound of bytes; the one used longest ago goes first. Pure: the time is an argument.
 * An answer is found only for the same upstream set and the same wishes (see cache_key), so containers with different upstreams never share one. */
#pragma once

#include "base/map.h"
#include "relay/dns.h"

struct cache_entry;
struct cache {
	struct map entries;
	struct cache_entry *newest, *oldest;
	size_t bytes;
};

void cache_free(struct cache *c);
/* The length of the answer for this query, written with its id and spelling and aged TTLs; 0 = none. */
size_t cache_get(struct cache *c, uint64_t upstreams, const uint8_t *query, const struct dns_query *q, int64_t now_ms, uint8_t *out, size_t max);
/* Keeps an answer if it may be kept. */
void cache_put(struct cache *c, uint64_t upstreams, const struct dns_query *q, int64_t now_ms, const uint8_t *p, size_t n);
