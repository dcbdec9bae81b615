#include "net/ipam.h"

#include <errno.h>

/* Network and broadcast addresses are nobody's, except in /31 and /32 (RFC 3021); of IPv6 the first is the routers'
 * (RFC 4291, 2.6.1). */
bool ipam_is_edge(const struct subnet *s, const struct ip *a)
{
	struct ip first = prefix_first(&s->net), last = prefix_last(&s->net);
	unsigned host_bits = ip_bits(a->family) - s->net.len;
	return host_bits > 1 && (ip_eq(a, &first) || (a->family == AF_INET && ip_eq(a, &last)));
}

bool ipam_reserved(const struct subnet *s, const struct ip *a)
{
	if (ipam_is_edge(s, a))
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

/* What the daemon's options say of the default bridge in one family. */
struct default_conf {
	uint8_t family;
	const struct prefix *bip, *fixed;
	const struct ip *gateway;
	const char *bip_name, *fixed_name, *aux_gateway;
};

static int apply_fixed_cidr(const struct default_conf *d, struct subnet *s, struct err *e)
{
	char t[PREFIX_TEXT], u[PREFIX_TEXT];
	if (!d->fixed->ip.family)
		return 0;
	struct prefix r = prefix_masked(d->fixed);
	if (r.len < s->net.len || !prefix_has(&s->net, &r.ip))
		return err_as(e, ERR_INVALID, "invalid %s %s: parent subnet %s doesn't contain it", d->fixed_name,
			prefix_format(&r, t), prefix_format(&s->net, u));
	s->range = r;
	s->has_range = !prefix_eq(&r, &s->net);
	return 0;
}

static int apply_default_gateway(const struct default_conf *d, struct network *n, struct subnet *s, struct err *e)
{
	if (!ip_is_set(d->gateway))
		return 0;
	if (!prefix_has(&s->net, d->gateway))
		return err_as(e, ERR_INVALID, "default gateway ip must be part of the network");
	s->aux = arena_new(&n->thing.mem, struct aux_address, 1);
	if (!s->aux)
		return err_nomem(e);
	s->aux[0] = (struct aux_address){.name = d->aux_gateway, .ip = *d->gateway};
	s->naux = 1;
	return 0;
}

/* A bridge's own address must be one that a host can have. */
static int check_bip(const struct default_conf *d, struct err *e)
{
	char t[PREFIX_TEXT];
	struct ip first = prefix_first(d->bip), last = prefix_last(d->bip);
	if (d->bip->len < ip_bits(d->family) - 1u &&
		(ip_eq(&d->bip->ip, &first) || (d->family == AF_INET && ip_eq(&d->bip->ip, &last))))
		return err_as(e, ERR_INVALID, "%s %s: a network's first and last address are no host's", d->bip_name,
			prefix_format(d->bip, t));
	return 0;
}

static int choose_default_net(const struct world *w, const struct netconf *c, const struct default_conf *d,
	const struct network *n, const struct subnet *now, struct subnet *s, struct err *e)
{
	struct prefix fixed = prefix_masked(d->fixed);
	if (d->bip->ip.family) {
		s->net = prefix_masked(d->bip);
		s->gateway = d->bip->ip;
		return check_bip(d, e);
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
	return ipam_pick_subnet(w, c, d->family, 0, n->id, &s->net, e);
}

static int default_subnet(const struct world *w, const struct netconf *c, const struct default_conf *d,
	struct network *n, struct subnet *out, struct err *e)
{
	struct subnet s = {0};
	char t[PREFIX_TEXT];
	try(choose_default_net(w, c, d, n, out, &s, e));
	if (s.net.len > ip_bits(d->family) - 1)
		return err_as(e, ERR_INVALID,
			"the default bridge's subnet %s has no room for a gateway and containers: give one of at most /%u",
			prefix_format(&s.net, t), ip_bits(d->family) - 1);
	try(ipam_check_subnet(&s.net, e));
	if (world_subnet_overlapping(w, &s.net, n->id))
		return err_as(e, ERR_FORBIDDEN,
			"invalid pool request: Pool overlaps with other one on this address space");
	if (!ip_is_set(&s.gateway)) {
		s.gateway = prefix_first(&s.net);
		(void)ip_next(&s.gateway);
	}
	s.range = s.net;
	try(apply_fixed_cidr(d, &s, e));
	try(apply_default_gateway(d, n, &s, e));
	*out = s;
	return 0;
}

int ipam_default_bridge(const struct world *w, const struct netconf *c, struct network *n, struct err *e)
{
	const struct default_conf
		four = {AF_INET, &c->bip, &c->fixed_cidr, &c->default_gateway, "bip", "fixed-cidr", aux_gateway4},
		six = {AF_INET6, &c->bip6, &c->fixed_cidr6, &c->default_gateway6, "bip6", "fixed-cidr-v6", aux_gateway6};
	struct subnet v4 = n->v4, v6 = n->v6;
	try(default_subnet(w, c, &four, n, &v4, e));
	if (c->ipv6)
		try(default_subnet(w, c, &six, n, &v6, e));
	n->v4 = v4;
	n->v6 = c->ipv6 ? v6 : (struct subnet){0};
	n->enable_v4 = true;
	n->enable_v6 = c->ipv6;
	return 0;
}

int ipam_check_subnet(const struct prefix *p, struct err *e)
{
	static const struct prefix link_local = {{AF_INET6, {0xfe, 0x80}}, 64};
	static const struct {
		struct prefix net;
		const char *what;
	} no_hosts[] = {
		{{{AF_INET, {224}}, 4}, "multicast"},
		{{{AF_INET6, {0xff}}, 8}, "multicast"},
		{{{AF_INET, {127}}, 8}, "loopback"},
		{{{AF_INET6, {[15] = 1}}, 128}, "loopback"},
		{{{AF_INET, {255, 255, 255, 255}}, 32}, "broadcast"},
		{{{AF_INET6, {[10] = 0xff, [11] = 0xff}}, 96}, "IPv4-mapped"},
	};
	char t[PREFIX_TEXT];
	for (size_t i = 0; i < ARRAY_LEN(no_hosts); i++)
		if (no_hosts[i].net.ip.family == p->ip.family && prefix_overlap(p, &no_hosts[i].net))
			return err_as(e, ERR_INVALID, "%s subnet '%s' is not allowed", no_hosts[i].what, prefix_format(p, t));
	if (p->ip.family == AF_INET6 && prefix_overlap(p, &link_local) && !prefix_eq(p, &link_local))
		return err_as(e, ERR_INVALID, "'%s' clashes with the Link-Local prefix 'fe80::/64'", prefix_format(p, t));
	return 0;
}
