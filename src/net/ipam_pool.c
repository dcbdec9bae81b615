/* Theory of operation
 *
 * A pool is a range cut into blocks of one size, and a new network gets the lowest block that neither a network nor the
 * host uses. Networks usually fill a pool from its start without holes, so the first guess is found by bisection: as
 * long as the first m blocks hold m subnets, they are taken to be full. From there on block after block is tried, each
 * in O(log n), what overlaps being passed as a whole. Where networks of other sizes lie in the pool the guess may be
 * too high; then, before the pool counts as exhausted, it is searched from its start. */
#include <errno.h>
#include <string.h>

#include "net/ipam.h"

/* Docker's default pools (its documentation of default-address-pools), in this order. */
static const struct pool defaults[] = {
	{{{AF_INET, {172, 17}}, 16}, 16},
	{{{AF_INET, {172, 18}}, 16}, 16},
	{{{AF_INET, {172, 19}}, 16}, 16},
	{{{AF_INET, {172, 20}}, 14}, 16},
	{{{AF_INET, {172, 24}}, 14}, 16},
	{{{AF_INET, {172, 28}}, 14}, 16},
	{{{AF_INET, {192, 168}}, 16}, 20},
};

#define ULA_SIZE 64
#define MANY     (1ull << 40) /* blocks of a pool that are looked at */

/* a += n << shift; false when that leaves the family's addresses. */
static bool add_shifted(struct ip *a, uint64_t n, unsigned shift)
{
	unsigned i = ip_bits(a->family) / 8;
	unsigned __int128 carry = (unsigned __int128)n << (shift % 8);
	if (shift / 8 >= i)
		return n == 0;
	for (i -= shift / 8; carry && i--;) {
		carry += a->b[i];
		a->b[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return carry == 0;
}

static struct prefix block(const struct pool *p, uint64_t k)
{
	struct prefix out = {.ip = p->base.ip, .len = p->size};
	(void)add_shifted(&out.ip, k, ip_bits(p->base.ip.family) - p->size);
	return out;
}

static uint64_t blocks(const struct pool *p)
{
	unsigned bits = p->size - p->base.len;
	return bits >= 40 ? MANY : 1ull << bits;
}

/* The block that holds the address, which is in the pool: counted from its start. */
static uint64_t block_of(const struct pool *p, const struct ip *a)
{
	uint64_t k = 0;
	for (unsigned i = p->base.len; i < p->size; i++)
		k = k << 1 | (a->b[i / 8] >> (7 - i % 8) & 1);
	return k;
}

static uint64_t guess(const struct world *w, const struct pool *p)
{
	uint64_t low = 0, high = blocks(p);
	while (low < high) {
		uint64_t m = low + (high - low + 1) / 2;
		struct prefix end = block(p, m - 1);
		struct ip last = prefix_last(&end);
		if (world_subnets_within(w, &p->base.ip, &last) >= m)
			low = m;
		else
			high = m - 1;
	}
	return low;
}

static const struct prefix *taken(
	const struct world *w, const struct netconf *c, const struct prefix *p, const char *except)
{
	const struct network *n = world_subnet_overlapping(w, p, except);
	if (n)
		return &network_subnet(n, p->ip.family)->net;
	for (size_t i = 0; i < c->nhost_routes; i++)
		if (c->host_routes[i].ip.family == p->ip.family && prefix_overlap(&c->host_routes[i], p))
			return &c->host_routes[i];
	return NULL;
}

static bool search(const struct world *w, const struct netconf *c, const struct pool *p, uint64_t k, const char *except,
	struct prefix *out)
{
	for (uint64_t n = blocks(p); k < n;) {
		struct prefix b = block(p, k);
		const struct prefix *other = taken(w, c, &b, except);
		if (!other) {
			*out = b;
			return true;
		}
		struct ip last = prefix_last(other);
		if (!prefix_has(&p->base, &last))
			return false;
		k = block_of(p, &last) + 1;
	}
	return false;
}

static bool pick(const struct world *w, const struct netconf *c, const struct pool *pool, int size, const char *except,
	struct prefix *out)
{
	struct pool p = *pool;
	if (size && (size < p.base.len || size > (int)ip_bits(p.base.ip.family)))
		return false;
	if (size)
		p.size = (uint8_t)size;
	uint64_t k = guess(w, &p);
	return search(w, c, &p, k, except, out) || (k && search(w, c, &p, 0, except, out));
}

int ipam_pick_subnet(const struct world *w, const struct netconf *c, uint8_t family, int size, const char *except,
	struct prefix *out, struct err *e)
{
	struct pool ula = {.base = c->ula, .size = ULA_SIZE};
	bool own = false, holds = false;
	if (c->routes_unasked)
		return err_set(e, -EAGAIN, "the host's routes are not known yet");
	for (size_t i = 0; i < c->npools; i++) {
		if (c->pools[i].base.ip.family != family)
			continue;
		own = true;
		holds |= !size || size >= c->pools[i].base.len;
		if (pick(w, c, &c->pools[i], size, except, out))
			return 0;
	}
	for (size_t i = 0; !own && family == AF_INET && i < ARRAY_LEN(defaults); i++) {
		holds |= !size || size >= defaults[i].base.len;
		if (pick(w, c, &defaults[i], size, except, out))
			return 0;
	}
	if (!own && family == AF_INET6 && ula.base.ip.family) {
		holds |= !size || size >= ula.base.len;
		if (pick(w, c, &ula, size, except, out))
			return 0;
	}
	if (size && !holds)
		return err_as(e, ERR_INVALID, "invalid address pool");
	return err_as(e, ERR_INVALID, "all predefined address pools have been fully subnetted");
}
