#include "net/ipam.h"

#include <errno.h>

/* Docker's default pools (facts: IPAM): ranges cut into subnets of one size, in this order. */
static const struct {
	uint32_t base;
	uint8_t base_len, size;
} pools[] = {
	{0xac110000, 16, 16}, /* 172.17.0.0/16 */
	{0xac120000, 16, 16}, /* 172.18.0.0/16 */
	{0xac130000, 16, 16}, /* 172.19.0.0/16 */
	{0xac140000, 14, 16}, /* 172.20.0.0/14 */
	{0xac180000, 14, 16}, /* 172.24.0.0/14 */
	{0xac1c0000, 14, 16}, /* 172.28.0.0/14 */
	{0xc0a80000, 16, 20}, /* 192.168.0.0/16 */
};

static bool subnet_taken(const struct world *w, const struct netconf *c, const struct prefix *p, const char *except)
{
	const struct network *n;
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));)
		if (n->v4.net.ip.family && (!except || !streq(n->id, except)) && prefix_overlap(&n->v4.net, p))
			return true;
	for (size_t i = 0; i < c->nhost_routes; i++)
		if (c->host_routes[i].ip.family == AF_INET && prefix_overlap(&c->host_routes[i], p))
			return true;
	return false;
}

static int pick_subnet(const struct world *w, const struct netconf *c, const char *except, struct prefix *out, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(pools); i++) {
		uint32_t count = 1u << (pools[i].size - pools[i].base_len), size = 1u << (32 - pools[i].size);
		for (uint32_t k = 0; k < count; k++) {
			struct prefix p = {.ip = ip4(pools[i].base + k * size), .len = pools[i].size};
			if (!subnet_taken(w, c, &p, except)) {
				*out = p;
				return 0;
			}
		}
	}
	return err_as(e, ERR_INVALID, "all predefined address pools have been fully subnetted");
}

int ipam_pick_subnet(const struct world *w, const struct netconf *c, struct prefix *out, struct err *e)
{
	return pick_subnet(w, c, NULL, out, e);
}

/* Network and broadcast addresses are nobody's, except in /31 and /32 (RFC 3021); of IPv6 the first is the routers' (RFC 4291, 2.6.1). */
static bool is_reserved(const struct subnet *s, const struct ip *a)
{
	struct ip first = prefix_first(&s->net), last = prefix_last(&s->net);
	unsigned host_bits = ip_bits(a->family) - s->net.len;
	if (host_bits > 1 && ip_eq(a, &first))
		return true;
	if (host_bits > 1 && a->family == AF_INET && ip_eq(a, &last))
		return true;
	if (ip_eq(a, &s->gateway))
		return true;
	for (size_t i = 0; i < s->naux; i++)
		if (ip_eq(a, &s->aux[i].ip))
			return true;
	return false;
}

static int check_hint(const struct world *w, const struct network *n, const struct subnet *s, const struct ip *hint, struct err *e)
{
	char t[IP_TEXT];
	if (!prefix_has(&s->net, hint))
		return err_as(e, ERR_INVALID, "invalid address %s: It does not belong to any of this network's subnets", ip_format(hint, t));
	if (is_reserved(s, hint) || world_address_used(w, n->id, hint))
		return err_as(e, ERR_FORBIDDEN, "Address already in use");
	return 0;
}

int ipam_pick_address(const struct world *w, const struct network *n, uint8_t family, const struct ip *hint, struct ip *out, struct err *e)
{
	const struct subnet *s = network_subnet(n, family);
	const char *name = family == AF_INET6 ? "IPv6" : "IPv4";
	if (!s)
		return err_as(e, ERR_INVALID, "network %s has no %s subnet", n->name, name);
	if (hint && ip_is_set(hint)) {
		try(check_hint(w, n, s, hint, e));
		*out = *hint;
		return 0;
	}
	struct ip from = prefix_first(&s->range), to = prefix_last(&s->range), a;
	/* Each round passes one reserved address, and there are few. */
	while (world_address_free(w, n->id, &from, &to, &a)) {
		if (!is_reserved(s, &a)) {
			*out = a;
			return 0;
		}
		from = a;
		if (!ip_next(&from))
			break;
	}
	return err_set(e, -EADDRNOTAVAIL, "no available %s addresses on this network's address pools: %s (%s)", name, n->name, n->id);
}

static int apply_fixed_cidr(const struct netconf *c, struct subnet *s, struct err *e)
{
	char t[PREFIX_TEXT], u[PREFIX_TEXT];
	if (!c->fixed_cidr.ip.family)
		return 0;
	struct prefix r = prefix_masked(&c->fixed_cidr);
	if (r.len < s->net.len || !prefix_has(&s->net, &r.ip))
		return err_as(e, ERR_INVALID, "invalid fixed-cidr %s: parent subnet %s doesn't contain it", prefix_format(&r, t), prefix_format(&s->net, u));
	s->range = r;
	s->has_range = !prefix_eq(&r, &s->net);
	return 0;
}

int ipam_default_bridge(const struct world *w, const struct netconf *c, struct network *n, struct err *e)
{
	struct subnet s = {0};
	struct prefix fixed = c->fixed_cidr;
	if (c->bip.ip.family) {
		s.net = prefix_masked(&c->bip);
		s.gateway = c->bip.ip;
		if (ip_bits(AF_INET) - s.net.len < 2)
			return err_as(e, ERR_INVALID, "bip: a /%d has no room for a gateway and containers", s.net.len);
		if (ip_eq(&s.gateway, &s.net.ip))
			return err_as(e, ERR_INVALID, "bip: the address is the network's own: give a host's address, such as the first one");
	} else if (n->v4.net.ip.family && n->v4.from_pool && !fixed.ip.family) {
		return 0; /* keeps what it has */
	} else if (fixed.ip.family && !n->v4.net.ip.family) {
		s.net = prefix_masked(&fixed); /* as dockerd: without --bip the range is the subnet */
	} else if (n->v4.net.ip.family && (!fixed.ip.family || prefix_has(&n->v4.net, &fixed.ip))) {
		s.net = n->v4.net;
		s.gateway = n->v4.gateway;
		s.from_pool = n->v4.from_pool;
	} else {
		try(pick_subnet(w, c, n->id, &s.net, e));
		s.from_pool = true;
	}
	if (!c->bip.ip.family && !n->v4.net.ip.family && !fixed.ip.family)
		s.from_pool = true;
	if (!ip_is_set(&s.gateway)) {
		s.gateway = prefix_first(&s.net);
		(void)ip_next(&s.gateway);
	}
	s.range = s.net;
	try(apply_fixed_cidr(c, &s, e));
	if (ip_is_set(&c->default_gateway)) {
		if (!prefix_has(&s.net, &c->default_gateway))
			return err_as(e, ERR_INVALID, "default gateway ip must be part of the network");
	}
	n->v4 = s;
	return 0;
}
