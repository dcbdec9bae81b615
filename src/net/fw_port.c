/* Published ports: what leads there, what opens the way, and whom a scope keeps out.
 *
 * They stand before what closes a network's part, oldest network first, so that one that comes moves none (class 1 of DOCKER, class 3
 * of nat's DOCKER, after the RETURNs). Their place follows from the text alone, since a listing says no more.
 *
 * A publish scope is kept in table raw, before NAT and before the proxy's listener: what comes from elsewhere is dropped there. */
#include "net/fw_shape.h"

#include <errno.h>

#include "net/fw_nft.h"

static const struct shape shapes[] = {
	{F4 | F6, FW_FILTER, "DOCKER", "-d %A ! -i %D -o %D -p %Q -m %Q --dport %P -j ACCEPT", 1, 0, false, PORT_OPEN},
	{F4, FW_FILTER, "DOCKER", "-s %H -d %A -i %D -o %D -p %Q -m %Q --dport %P -j ACCEPT", 1, 0, false, LINK},
	{F4, FW_FILTER, "DOCKER", "-s %A -d %H -i %D -o %D -p %Q -m %Q --sport %P -j ACCEPT", 1, 0, false, LINK},
	{F4, FW_NAT, "DOCKER", "! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE},
	{F4, FW_NAT, "DOCKER", "-d %H ! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT},
	{F4, FW_NAT, "DOCKER", "-p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE_OFF},
	{F4, FW_NAT, "DOCKER", "-d %H -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT_OFF},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 ! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 -d %H ! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE_OFF},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 -d %H -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT_OFF},
	{F4, FW_RAW, "PREROUTING", "-d %H ! -i lo -p %Q -m %Q --dport %O -j DROP", 3, 0, false, PORT_LOOPBACK},
	/* Publish scopes. What comes from the container's own network reaches it anyway. */
	{F4 | F6, FW_RAW, "PREROUTING", "! -i %D -p %Q -m %Q --dport %O -m addrtype ! --src-type LOCAL --dst-type LOCAL -j DROP", 3, 0, false, PORT_LOCAL},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %H ! -i %D -p %Q -m %Q --dport %O -m addrtype ! --src-type LOCAL -j DROP", 3, 0, false, PORT_LOCAL_AT},
	{F4 | F6, FW_RAW, "PREROUTING", "! -i %D -p %Q -m %Q --dport %O -m addrtype --dst-type LOCAL -j " FW_LAN, 3, 0, false, PORT_LAN},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %H ! -i %D -p %Q -m %Q --dport %O -j " FW_LAN, 3, 0, false, PORT_LAN_AT},
	{F4 | F6, FW_RAW, FW_LAN, "-m addrtype --src-type LOCAL -j RETURN", 1, 0, true, ON_LIMITED},
	{F6, FW_RAW, FW_LAN, "-s fe80::/10 -j RETURN", 1, 1, true, ON_LIMITED},
	{F4 | F6, FW_RAW, FW_LAN, "-s %N -i %D -j RETURN", 2, 0, true, ON_LINK_FROM},
	{F4 | F6, FW_RAW, FW_LAN, "-j DROP", 9, 0, true, ON_LIMITED},
};

const struct shape *fw_port_shapes(size_t *n)
{
	*n = ARRAY_LEN(shapes);
	return shapes;
}

/* Which subnets are on-link at which interface: what those with scope lan are judged by. */
static int want_on_link(const struct world *w, const struct netconf *c, enum fw_family f, const struct shape *s, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_HOST, ""};
	struct fw_rank rank = {.cls = s->cls, .k = s->k};
	const struct network *n;
	for (size_t i = 0; i < c->naddrs; i++) {
		struct blanks v = {.subnet = prefix_masked(&c->addrs[i].addr)};
		bool one = v.subnet.len == ip_bits(v.subnet.ip.family);
		if (!one && v.subnet.ip.family == (f == FW_V6 ? AF_INET6 : AF_INET) && STR_COPY(v.device, c->addrs[i].link))
			try(fw_shape_want(s, f, u, rank, &v, out, e));
	}
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));) {
		struct blanks v = fw_blanks_of(n, f);
		if (fw_has_family(c, n, f))
			try(fw_shape_want(s, f, u, rank, &v, out, e));
	}
	return 0;
}

int fw_port_want_host(const struct world *w, const struct netconf *c, enum fw_family f, struct kstate *out, struct err *e)
{
	static const struct blanks none;
	struct unit u = {UNIT_HOST, ""};
	for (size_t i = 0; world_limited_ports(w) && i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (!s->host || !(s->families & (1 << f)))
			continue;
		if (s->when == ON_LINK_FROM)
			try(want_on_link(w, c, f, s, out, e));
		else
			try(fw_shape_want(s, f, u, (struct fw_rank){.cls = s->cls, .k = s->k}, &none, out, e));
	}
	return 0;
}

static bool port_applies(enum when when, const struct netconf *c, const struct network *n, const struct port *p)
{
	enum gw_mode mode = p->ip.family == AF_INET6 ? n->gw_mode6 : n->gw_mode4;
	bool nat = port_is_nat(p), any = ip_is_unspecified(&p->host_ip);
	if (when == PORT_OPEN)
		return nat ? mode == GW_NAT : !p->host_port;
	if (when == PORT_LOOPBACK)
		return nat && ip_is_loopback(&p->host_ip);
	if (when == PORT_LOCAL || when == PORT_LOCAL_AT)
		return nat && p->scope == SCOPE_LOCAL && any == (when == PORT_LOCAL);
	if (when == PORT_LAN || when == PORT_LAN_AT)
		return nat && p->scope == SCOPE_LAN && any == (when == PORT_LAN);
	/* Without the proxy, the container's own network is led to the port, too; but it is not this host. */
	bool others_only = c->userland_proxy || p->scope == SCOPE_LOCAL;
	if (when == PORT_ANYWHERE || when == PORT_ANYWHERE_OFF)
		return nat && any && others_only == (when == PORT_ANYWHERE);
	return (when == PORT_AT || when == PORT_AT_OFF) && nat && !any && others_only == (when == PORT_AT);
}

/* The higher number first, as dockerd's. */
struct fw_rank fw_port_rank(const struct shape *s, const struct network *n, const struct blanks *v)
{
	unsigned port = s->when == PORT_OPEN || s->when == LINK ? v->port : v->host_port;
	return (struct fw_rank){.cls = s->cls, .seq = n && s->when != PORT_LOOPBACK ? n->seq : 0, .k = 65535 - (int)port};
}

int fw_want_port(const struct world *w, const struct netconf *c, const struct port *p, struct kstate *out, struct err *e)
{
	const struct network *n = world_network(w, p->network);
	enum fw_family f = p->ip.family == AF_INET6 ? FW_V6 : FW_V4;
	unsigned step = p->count > LIMIT_PORT_RUN ? p->count : 1;
	struct unit u = {UNIT_SANDBOX, p->container};
	if (!n || !fw_has_family(c, n, f))
		return 0;
	if (c->nftables)
		return fw_nft_want_port(w, n, p, out, e);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (!(s->families & (1 << f)) || !port_applies(s->when, c, n, p))
			continue;
		struct blanks v = fw_blanks_of(n, f);
		STR_COPY(v.proto, port_proto_name(p->proto));
		v.ip = p->ip;
		v.host = p->host_ip;
		v.count = step;
		for (unsigned k = 0; k < p->count; k += step) {
			v.port = p->port + k;
			v.host_port = p->host_port ? p->host_port + k : 0;
			try(fw_shape_want(s, f, u, fw_port_rank(s, n, &v), &v, out, e));
		}
	}
	return 0;
}

static int want_link(const struct netconf *c, const struct network *n, const struct endpoint *own, const struct endpoint *target, const struct link_port *p,
	struct kstate *out, struct err *e)
{
	struct blanks v = fw_blanks_of(n, FW_V4);
	struct unit u = {UNIT_ENDPOINT, own->thing.key};
	v.host = own->ip4;
	v.ip = target->ip4;
	v.port = p->first;
	v.count = p->count;
	STR_COPY(v.proto, port_proto_name(p->proto));
	if (!fw_has_family(c, n, FW_V4) || !ip_is_set(&v.host) || !ip_is_set(&v.ip))
		return 0;
	if (c->nftables)
		return fw_nft_want_link(own->thing.key, &v.host, &v.ip, p, out, e);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (s->when == LINK)
			try(fw_shape_want(s, FW_V4, u, fw_port_rank(s, n, &v), &v, out, e));
	}
	return 0;
}

int fw_want_links(const struct world *w, const struct netconf *c, const struct endpoint *ep, struct kstate *out, struct err *e)
{
	const struct network *n = world_network(w, ep->network);
	const struct container *ct = world_container(w, ep->container);
	struct link *links;
	struct link_port *ports;
	size_t count, nports;
	if (!n || !n->is_default || n->icc || !ct)
		return 0;
	if (links_of(w, ct, out->mem, &links, &count) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < count; i++) {
		const struct endpoint *target = links[i].target ? links_endpoint(w, links[i].target->id) : NULL;
		bool again = false; /* by another alias */
		for (size_t k = 0; k < i; k++)
			again |= links[k].target == links[i].target;
		if (!target || again)
			continue;
		if (links_ports(links[i].target, out->mem, &ports, &nports) < 0)
			return err_nomem(e);
		for (size_t k = 0; k < nports; k++)
			try(want_link(c, n, ep, target, &ports[k], out, e));
	}
	return 0;
}

static const char *claim_text(struct arena *a, const char *proto, const struct ip *host, unsigned first, unsigned count)
{
	char ip[IP_TEXT];
	return arena_printf(a, "%s/%s/%u+%u", proto, ip_format(host, ip), first, count);
}

int fw_port_claims(const struct port *p, struct arena *a, struct strv *out)
{
	unsigned step = p->count > LIMIT_PORT_RUN ? p->count : 1;
	if (!p->host_port || !ip_is_loopback(&p->host_ip))
		return 0;
	for (unsigned k = 0; k < p->count; k += step) {
		const char *t = claim_text(a, port_proto_name(p->proto), &p->host_ip, p->host_port + k, step);
		if (!t || strv_add(a, out, t) < 0)
			return -ENOMEM;
	}
	return 0;
}

bool fw_port_is_known(const struct world *known, const struct strv *marked, const struct blanks *v, struct arena *a)
{
	uint8_t proto;
	const char *claim = marked ? claim_text(a, v->proto, &v->host, v->host_port, v->count) : NULL;
	if (claim && strv_has(marked, claim))
		return true;
	return known && port_proto_parse(v->proto, &proto) >= 0 && world_port_overlapping(known, proto, &v->host, (uint16_t)v->host_port, v->count);
}
