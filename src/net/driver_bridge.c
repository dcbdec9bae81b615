/* Theory of operation
 *
 * A network is a bridge with the gateway's address; an endpoint is a veth pair whose host end is a port of that bridge
 * and whose other end is made inside the sandbox. Both ends stay down until the address is there.
 *
 * Peers that knew the address at another MAC must learn at once. With arp_notify (IPv6: ndisc_notify) the kernel
 * announces addresses by itself, but when the link comes up that is for nothing: the bridge learns of the carrier
 * later, from a work queue (net/core/link_watch.c), and drops what comes in until then. So the sandbox's K_UP names its
 * port: the port is put into the forwarding state, which takes effect at once, and then, with those settings on for that
 * moment, the MAC is set to what it is, which is announced too (net/ipv4/devinet.c, inetdev_event, NETDEV_CHANGEADDR).
 * tests/kernel/test_scene.c listens for it. So no packet of a new container is lost, and nobody has to wait and poll.
 *
 * That is the first announcement; the others, as many as the network's options say, are sent by ops/announce.c.
 *
 * Without icc the firewall has to see what goes from port to port: the bridge itself says so (IFLA_BR_NF_CALL_IPTABLES),
 * so that no other bridge of the host is touched, as the sysctl bridge-nf-call-iptables would.
 *
 * Where the kernel alone leads a container to its own published port (nftables, or without the proxy), its port of the bridge
 * must send back what came from it: with br_netfilter such a packet is translated and bridged, not routed.
 *
 * accept_ra is off on bridges: a container must not configure its host. A bridge that the user made keeps its settings:
 * it gets the gateway's address, unless it has it already, and is set up, and only the address that we put there is taken
 * away again. */
#include <errno.h>
#include <stdlib.h>

#include "net/driver.h"
#include "net/fw.h"

#define MTU_LEAST  68 /* of IPv4 (RFC 791) and of an Ethernet device */
#define MTU_LEAST6 1280
#define MTU_MOST   65535

static int add(struct kstate *out, const struct kobj *o, struct err *e)
{
	return kstate_add(out, o) < 0 ? err_nomem(e) : 0;
}

static int add_ctl(
	struct kstate *out, struct unit u, const char *ns, const char *path, const char *value, struct err *e)
{
	struct kobj o = {.kind = K_NSCTL, .unit = u, .ns = ns, .ctl = {.path = path, .value = value}};
	return path ? add(out, &o, e) : err_nomem(e);
}

static int add_addr(struct kstate *out, struct unit u, const char *ns, const char *link, const struct ip *ip,
	uint8_t len, struct err *e)
{
	struct kobj o = {.kind = K_ADDR,
		.unit = u,
		.ns = ns,
		.addr = {.link = link, .addr = {.ip = *ip, .len = len}, .nodad = ns && ip->family == AF_INET6}};
	return ip_is_set(ip) ? add(out, &o, e) : 0;
}

static int add_up(struct kstate *out, struct unit u, const char *link, bool keep, struct err *e)
{
	struct kobj o = {.kind = K_UP, .unit = u, .up = {.link = link, .keep = keep}};
	return add(out, &o, e);
}

static int bridge_check(const struct network *n, struct err *e)
{
	if (!n->enable_v4 && !n->enable_v6)
		return err_as(e, ERR_INVALID, "IPv4 or IPv6 must be enabled");
	if (n->mtu < 0)
		return err_as(e, ERR_INVALID, "invalid MTU number: %d", n->mtu);
	if (n->mtu && (n->mtu < MTU_LEAST || n->mtu > MTU_MOST))
		return err_as(e, ERR_INVALID, "invalid MTU number: %d (68 to 65535, or 0 for the default)", n->mtu);
	if (n->mtu && n->mtu < MTU_LEAST6 && n->enable_v6)
		return err_as(e, ERR_INVALID, "invalid MTU number: %d (IPv6 needs 1280)", n->mtu);
	if ((n->gw_mode4 == GW_ISOLATED || n->gw_mode6 == GW_ISOLATED) && !n->internal)
		return err_set(e, -EINVAL, "gateway mode 'isolated' can only be used for an internal network");
	return 0;
}

int network_announcements(const struct network *n, int *pause_ms)
{
	const char *count = kvs_get(&n->options, NETWORK_ANNOUNCEMENTS), *pause = kvs_get(&n->options, NETWORK_PAUSE);
	*pause_ms = str_empty(pause) ? 1000 : atoi(pause); /* judged by network_options.c */
	return str_empty(count) ? 3 : atoi(count);
}

static int bridge_want_network(
	const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_NETWORK, n->id};
	struct arena *a = out->mem;
	struct kobj br = {.kind = K_BRIDGE,
		.unit = u,
		.bridge = {.name = n->bridge,
			.mtu = n->mtu,
			.adopt = n->user_device,
			.filter = !n->icc && c->iptables,
			.alias = arena_printf(a, "pontoon:%.12s", n->id)}};
	try(add(out, &br, e));
	if (!n->user_device)
		try(add_ctl(out, u, NULL, arena_printf(a, "net/ipv6/conf/%s/accept_ra", n->bridge), "0", e));
	/* Without the proxy, the host's own packets from 127.0.0.1 are led to containers. */
	if (n->enable_v4 && !n->user_device)
		try(add_ctl(out, u, NULL, arena_printf(a, "net/ipv4/conf/%s/route_localnet", n->bridge), c->userland_proxy ? "0" : "1", e));
	if (n->enable_v6 && !n->user_device)
		try(add_ctl(out, u, NULL, arena_printf(a, "net/ipv6/conf/%s/disable_ipv6", n->bridge),
			n->gw_mode6 == GW_ISOLATED ? "1" : "0", e));
	/* Pontoon gives out all addresses of its bridges: to look for duplicates would silence IPv6 for a second after the first container came. */
	if (n->enable_v6 && !n->user_device)
		try(add_ctl(out, u, NULL, arena_printf(a, "net/ipv6/conf/%s/accept_dad", n->bridge), "0", e));
	if (n->gw_mode4 != GW_ISOLATED && !n->inhibit_v4 && !n->v4.gateway_users)
		try(add_addr(out, u, NULL, n->bridge, &n->v4.gateway, n->v4.net.len, e));
	if (n->gw_mode6 != GW_ISOLATED && !n->v6.gateway_users)
		try(add_addr(out, u, NULL, n->bridge, &n->v6.gateway, n->v6.net.len, e));
	try(add_up(out, u, n->bridge, n->user_device, e));
	return fw_want_network(w, c, n, out, e);
}

int endpoint_next_sysctl(const char **s, const char *ifname, struct arena *a, const char **path, const char **value, struct err *e)
{
	static const char *const kinds[] = {"net.ipv4.", "net.ipv6.", "net.mpls."};
	size_t n = strcspn(*s, ",");
	if (!n)
		return 0;
	char *one = arena_dupn(a, *s, n), *eq = one ? strchr(one, '=') : NULL;
	*s += n + ((*s)[n] == ',');
	if (!one)
		return err_nomem(e);
	const char *whole = arena_dup(a, one);
	char *part[6] = {NULL}, *save = NULL;
	bool known = false;
	size_t parts = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		known |= str_starts(one, kinds[i]);
	if (eq)
		*eq++ = '\0';
	for (char *p = strtok_r(one, ".", &save); p && parts < ARRAY_LEN(part); p = strtok_r(NULL, ".", &save))
		part[parts++] = p;
	bool named = parts == 5 && (streq(part[3], "IFNAME") || streq(part[3], "ifname"));
	for (size_t i = 0; i < parts; i++)
		named &= !strchr(part[i], '/');
	if (!eq || !known || !named)
		return err_as(e, ERR_INVALID,
			"unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'", whole ? whole : "");
	*path = arena_printf(a, "net/%s/%s/%s/%s", part[1], part[2], ifname, part[4]);
	*value = eq;
	return *path ? 1 : err_nomem(e);
}

static int want_wishes(const struct endpoint *ep, struct unit u, struct kstate *out, struct err *e)
{
	const char *s = kvs_get(&ep->driver_opts, ENDPOINT_SYSCTLS), *path, *value;
	int r = 0;
	while (s && (r = endpoint_next_sysctl(&s, ep->ifname, out->mem, &path, &value, e)) > 0)
		try(add_ctl(out, u, ep->container, path, value, e));
	try(r);
	for (size_t i = 0; i < ep->link_local.n; i++) {
		struct ip ip = {0};
		if (ip_parse(ep->link_local.v[i], &ip) >= 0) /* judged when it was asked for */
			try(add_addr(out, u, ep->container, ep->ifname, &ip, ip.family == AF_INET6 ? 64 : 16, e));
	}
	return 0;
}

static int bridge_want_endpoint(
	const struct world *w, const struct netconf *c, const struct endpoint *ep, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_ENDPOINT, ep->thing.key};
	struct arena *a = out->mem;
	const struct network *n = world_network(w, ep->network);
	char alias[64];
	int pause;
	if (!n)
		return err_as(e, ERR_NOT_FOUND, "network %s not found", ep->network);
	endpoint_alias(ep, alias);
	bool announced = network_announcements(n, &pause) > 0;
	struct kobj veth = {.kind = K_VETH,
		.unit = u,
		.ns = ep->container,
		.veth = {.name = ep->veth,
			.inner = ep->ifname,
			.mac = ep->mac,
			.mtu = n->mtu,
			.master = n->bridge,
			.hairpin = c->nftables || !c->userland_proxy,
			.alias = arena_dup(a, alias)}};
	try(add(out, &veth, e));
	try(add_ctl(out, u, ep->container, arena_printf(a, "net/ipv6/conf/%s/disable_ipv6", ep->ifname),
		ip_is_set(&ep->ip6) ? "0" : "1", e));
	try(add_addr(out, u, ep->container, ep->ifname, &ep->ip4, n->v4.net.len, e));
	try(add_addr(out, u, ep->container, ep->ifname, &ep->ip6, n->v6.net.len, e));
	try(want_wishes(ep, u, out, e));
	try(fw_want_links(w, c, ep, out, e));
	struct kobj up = {.kind = K_UP,
		.unit = u,
		.ns = ep->container,
		.up = {.link = ep->ifname, .port = ep->veth}};
	if (announced)
		up.up.mac = ep->mac;
	try(add_up(out, u, ep->veth, false, e));
	return add(out, &up, e);
}

const struct driver driver_bridge = {.name = "bridge",
	.check = bridge_check,
	.want_network = bridge_want_network,
	.want_endpoint = bridge_want_endpoint};
