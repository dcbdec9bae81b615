/* ip: addresses, prefixes and MACs as values, their arithmetic and their text. Pure. */
#pragma once

#include <netinet/in.h>

#include "base/err.h"

struct ip {
	uint8_t family; /* 0 = none, AF_INET, AF_INET6 */
	uint8_t b[16];  /* network order; IPv4 uses the first four, the rest is zero */
};

struct prefix {
	struct ip ip; /* as written: may have host bits set */
	uint8_t len;
};

struct mac {
	uint8_t b[6];
};

#define IP_TEXT     48 /* fits any address text */
#define PREFIX_TEXT 52
#define MAC_TEXT    18

static inline bool ip_is_set(const struct ip *a)
{
	return a->family != 0;
}
unsigned ip_bits(uint8_t family);                     /* 32 or 128 */
int ip_parse(const char *s, struct ip *out);          /* inet_pton rules, no zone; -EINVAL */
const char *ip_format(const struct ip *a, char out[static IP_TEXT]); /* "" when not set; returns out */
struct ip ip4(uint32_t host_order);
uint32_t ip4_host(const struct ip *a); /* host order; 0 when not IPv4 */
int ip_cmp(const struct ip *a, const struct ip *b); /* family first, then numeric */
bool ip_eq(const struct ip *a, const struct ip *b);
bool ip_next(struct ip *a); /* adds one; false on wrap around (value is then all zero) */
bool ip_prev(struct ip *a); /* false on wrap around */
bool ip_is_unspecified(const struct ip *a);
bool ip_is_loopback(const struct ip *a);
bool ip_is_linklocal(const struct ip *a);
bool ip_is_multicast(const struct ip *a);

int prefix_parse(const char *s, struct prefix *out); /* "a/len"; host bits kept; -EINVAL */
const char *prefix_format(const struct prefix *p, char out[static PREFIX_TEXT]);
struct prefix prefix_masked(const struct prefix *p); /* host bits cleared */
struct ip prefix_first(const struct prefix *p);      /* network address */
struct ip prefix_last(const struct prefix *p);       /* broadcast address for IPv4 */
bool prefix_has(const struct prefix *p, const struct ip *a);
bool prefix_overlap(const struct prefix *a, const struct prefix *b);
bool prefix_eq(const struct prefix *a, const struct prefix *b); /* same network and length */

int mac_parse(const char *s, struct mac *out); /* aa:bb:cc:dd:ee:ff or with '-'; -EINVAL */
const char *mac_format(const struct mac *m, char out[static MAC_TEXT]);
bool mac_is_set(const struct mac *m);
bool mac_is_station(const struct mac *m); /* one interface can have it: not a group's, not all zero */
struct mac mac_from_ip4(const struct ip *a); /* 02:42 + the four bytes */
