#include "net/ipam.h"

#include <errno.h>

/* Network and broadcast addresses are nobody's, except in /31 and /32 (RFC 3021); of IPv6 the first is the routers'
 * (RFC 4291, 2.6.1). */
bool ipam_reserved(const struct subnet *s, const struct ip *a)
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

static int check_hint(
	const struct world *w, const struct network *n, const struct subnet *s, const struct ip *hint, struct err *e)
{
	char t[IP_TEXT];
	if (!prefix_has(&s->net, hint))
		return err_as(e, ERR_INVALID, "invalid address %s: It does not belong to any of this network's subnets",
			ip_format(hint, t));
	if (ipam_reserved(s, hint) || world_address_used(w, n->id, hint))
		return err_as(e, ERR_FORBIDDEN, "Address already in use");
	return 0;
}

int ipam_pick_address(const struct world *w, const struct network *n, uint8_t family, const struct ip *hint,
	struct ip *out, struct err *e)
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
		if (!ipam_reserved(s, &a)) {
			*out = a;
			return 0;
		}
		from = a;
		if (!ip_next(&from))
			break;
	}
	return err_set(e, -EADDRNOTAVAIL, "no available %s addresses on this network's address pools: %s (%s)", name,
		n->name, n->id);
}

static const char aux_gateway4[] = "DefaultGatewayIPv4", aux_gateway6[] = "DefaultGatewayIPv6";

struct ip ipam_default_gateway(const struct subnet *s)
{
	for (size_t i = 0; i < s->naux; i++)
		if (streq(s->aux[i].name, s->net.ip.family == AF_INET6 ? aux_gateway6 : aux_gateway4))
			return s->aux[i].ip;
	return s->gateway;
}

static int apply_fixed_cidr(const struct netconf *c, struct subnet *s, struct err *e)
{
	char t[PREFIX_TEXT], u[PREFIX_TEXT];
	if (!c->fixed_cidr.ip.family)
		return 0;
	struct prefix r = prefix_masked(&c->fixed_cidr);
	if (r.len < s->net.len || !prefix_has(&s->net, &r.ip))
		return err_as(e, ERR_INVALID, "invalid fixed-cidr %s: parent subnet %s doesn't contain it",
			prefix_format(&r, t), prefix_format(&s->net, u));
	s->range = r;
	s->has_range = !prefix_eq(&r, &s->net);
	return 0;
}

static int apply_default_gateway(const struct netconf *c, struct network *n, struct subnet *s, struct err *e)
{
	if (!ip_is_set(&c->default_gateway))
		return 0;
	if (!prefix_has(&s->net, &c->default_gateway))
		return err_as(e, ERR_INVALID, "default gateway ip must be part of the network");
	s->aux = arena_new(&n->thing.mem, struct aux_address, 1);
	if (!s->aux)
		return err_nomem(e);
	s->aux[0] = (struct aux_address){.name = aux_gateway4, .ip = c->default_gateway};
	s->naux = 1;
	return 0;
}

/* A bridge's own address must be one that a host can have. */
static int check_bip(const struct prefix *bip, struct err *e)
{
	char t[PREFIX_TEXT];
	struct ip first = prefix_first(bip), last = prefix_last(bip);
	if (bip->ip.family == AF_INET && bip->len < ip_bits(AF_INET) - 1u &&
		(ip_eq(&bip->ip, &first) || ip_eq(&bip->ip, &last)))
		return err_as(e, ERR_INVALID, "bip %s: a network's first and last address are no host's",
			prefix_format(bip, t));
	return 0;
}

static int choose_default_net(
	const struct world *w, const struct netconf *c, const struct network *n, struct subnet *s, struct err *e)
{
	const struct subnet *now = &n->v4;
	struct prefix fixed = prefix_masked(&c->fixed_cidr);
	if (c->bip.ip.family) {
		s->net = prefix_masked(&c->bip);
		s->gateway = c->bip.ip;
		return check_bip(&c->bip, e);
	}
	if (now->net.ip.family &&
		(!fixed.ip.family || (fixed.len >= now->net.len && prefix_has(&now->net, &fixed.ip)))) {
		s->net = now->net;
		s->gateway = now->gateway;
		s->from_pool = now->from_pool;
		return 0;
	}
	if (fixed.ip.family) {
		s->net = fixed; /* as dockerd: without --bip the range is the subnet */
		return 0;
	}
	s->from_pool = true;
	return ipam_pick_subnet(w, c, AF_INET, 0, n->id, &s->net, e);
}

int ipam_default_bridge(const struct world *w, const struct netconf *c, struct network *n, struct err *e)
{
	struct subnet s = {0};
	char t[PREFIX_TEXT];
	try(choose_default_net(w, c, n, &s, e));
	if (s.net.ip.family != AF_INET || s.net.len > 31)
		return err_as(e, ERR_INVALID,
			"the default bridge's subnet %s has no room for a gateway and containers: give an IPv4 subnet "
			"of at most /31",
			prefix_format(&s.net, t));
	if (world_subnet_overlapping(w, &s.net, n->id))
		return err_as(e, ERR_FORBIDDEN,
			"invalid pool request: Pool overlaps with other one on this address space");
	if (!ip_is_set(&s.gateway)) {
		s.gateway = prefix_first(&s.net);
		(void)ip_next(&s.gateway);
	}
	s.range = s.net;
	try(apply_fixed_cidr(c, &s, e));
	try(apply_default_gateway(c, n, &s, e));
	n->v4 = s;
	return 0;
}
