#include "net/join.h"

#include <errno.h>
#include <stdlib.h>

#include "net/driver.h"

static int join_one(struct world *fork, const struct endpoint *ep, size_t index, const char *id, struct err *e)
{
	const struct network *n = world_network(fork, ep->network);
	struct endpoint *c;
	if (!n)
		return err_as(e, ERR_NOT_FOUND, "network %s not found", ep->network);
	if (n->driver == DRIVER_BRIDGE && world_joined_in_network(fork, n->id) >= LIMIT_BRIDGE_PORTS)
		return err_as(e, ERR_UNAVAILABLE, "network %s is full: a Linux bridge holds 1,023 ports", n->name);
	c = endpoint_copy(ep);
	if (!c)
		return err_nomem(e);
	c->joined = true;
	c->seq = (int64_t)index;
	STR_COPY(c->id, id);
	int r = 0;
	if (n->driver == DRIVER_BRIDGE) {
		endpoint_veth_name(id, c->veth);
		if (c->want_ifname[0])
			STR_COPY(c->ifname, c->want_ifname);
		else
			snprintf(c->ifname, sizeof(c->ifname), "eth%zu", index);
		if (n->enable_v4)
			r = ipam_pick_address(fork, n, AF_INET, &ep->want_ip4, &c->ip4, e);
		if (r >= 0 && n->enable_v6)
			r = ipam_pick_address(fork, n, AF_INET6, &ep->want_ip6, &c->ip6, e);
		if (mac_is_set(&ep->want_mac)) {
			c->mac = ep->want_mac;
		} else if (ip_is_set(&c->ip4)) {
			c->mac = mac_from_ip4(&c->ip4);
		} else {
			/* IPv6 only: from the endpoint's id, which is random */
			unsigned v = (unsigned)strtoul(id + 56, NULL, 16);
			c->mac = (struct mac){.b = {0x02, 0x42, (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}};
		}
	}
	if (r < 0) {
		thing_unref(c);
		return r;
	}
	return world_put(fork, c, e);
}

int join_all(struct world *fork, const struct netconf *c, const char *container, char (*ids)[ID_TEXT], size_t nids, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	size_t n;
	(void)c;
	const struct endpoint **eps = world_endpoints_of_container(fork, &a, container, &n);
	if (!eps)
		return err_nomem(e);
	if (nids < n)
		return err_set(e, -EINVAL, "join: %zu ids for %zu endpoints", nids, n);
	for (size_t i = 0; i < n; i++)
		try(join_one(fork, eps[i], i, ids[i], e));
	return 0;
}

int join_leave_all(struct world *fork, const char *container, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(fork, &a, container, &n);
	if (!eps)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		struct endpoint *c;
		if (!eps[i]->joined)
			continue;
		c = endpoint_copy(eps[i]);
		if (!c)
			return err_nomem(e);
		c->joined = false;
		c->id[0] = c->ifname[0] = c->veth[0] = '\0';
		c->ip4 = c->ip6 = (struct ip){0};
		c->mac = (struct mac){0};
		try(world_put(fork, c, e));
	}
	return 0;
}

static int read_address(const char *s, uint8_t family, struct ip *out, struct err *e)
{
	if (str_empty(s))
		return 0;
	if (ip_parse(s, out) < 0 || out->family != family)
		return err_as(e, ERR_INVALID, "invalid %s address: %s", family == AF_INET ? "IPv4" : "IPv6", s);
	return 0;
}

static int check_static(const struct network *n, const struct endpoint *ep, struct err *e)
{
	const struct ip *ips[] = {&ep->want_ip4, &ep->want_ip6};
	char t[IP_TEXT];
	for (size_t i = 0; i < 2; i++) {
		if (!ip_is_set(ips[i]))
			continue;
		if (n->predefined)
			return err_as(e, ERR_INVALID, "user-specified IP address is supported on user-defined networks only");
		const struct subnet *s = network_subnet(n, ips[i]->family);
		if (!s || !prefix_has(&s->net, ips[i]))
			return err_as(e, ERR_INVALID, "invalid config for network %s: invalid endpoint settings:\nno configured subnet contains IP address %s", n->name, ip_format(ips[i], t));
	}
	if (ep->aliases.n && n->predefined)
		return err_as(e, ERR_INVALID, "network-scoped aliases are only supported for user-defined networks");
	return 0;
}

static int fill(struct endpoint *ep, const struct container *c, const struct endpoint_settings *s, bool main, struct err *e)
{
	struct arena *a = &ep->thing.mem;
	const char *mac = s && !str_empty(s->mac_address) ? s->mac_address : main ? c->spec->config.mac_address : NULL;
	if (!str_empty(mac) && mac_parse(mac, &ep->want_mac) < 0)
		return err_as(e, ERR_INVALID, "invalid MAC address: %s", mac);
	if (!s)
		return 0;
	try(read_address(s->ip4, AF_INET, &ep->want_ip4, e));
	try(read_address(s->ip6, AF_INET6, &ep->want_ip6, e));
	ep->aliases = strv_copy(a, &s->aliases);
	ep->links = strv_copy(a, &s->links);
	ep->link_local = strv_copy(a, &s->link_local);
	ep->driver_opts = kvs_copy(a, &s->driver_opts);
	ep->gw_priority = s->gw_priority;
	const char *ifname = kvs_get(&s->driver_opts, "com.docker.network.endpoint.ifname");
	if (ifname && (!*ifname || !STR_COPY(ep->want_ifname, ifname) || strpbrk(ifname, "/ \t")))
		return err_as(e, ERR_INVALID, "invalid interface name \"%s\": 1 to 15 bytes without blanks and slashes", ifname);
	return a->bad ? err_nomem(e) : 0;
}

static int configure_one(struct world *fork, const struct container *c, const char *term, const struct endpoint_settings *s, bool main, struct err *e)
{
	const struct network *n;
	/* 400, not 404: a 404 to `create` makes clients pull the image. */
	if (world_find_network(fork, term, &n, e) < 0)
		return err_as(e, ERR_INVALID, "network %s not found", term);
	if (world_endpoint(fork, c->id, n->id))
		return 0; /* named twice: by name and by id */
	struct endpoint *ep = endpoint_new(c->id, n->id);
	if (!ep)
		return err_nomem(e);
	int r = fill(ep, c, s, main, e);
	if (r >= 0)
		r = check_static(n, ep, e);
	if (r < 0) {
		thing_unref(ep);
		return r;
	}
	return world_put(fork, ep, e);
}

int join_configure(struct world *fork, const struct container *c, int api_minor, struct err *e)
{
	const char *mode = c->spec->host.network_mode;
	const struct endpoint_settings *all = c->spec->endpoints.v, *main = NULL;
	size_t n = c->spec->endpoints.n;
	if (str_starts(mode, "container:"))
		return 0;
	if (n > 1 && api_minor < 44)
		return err_as(e, ERR_INVALID, "Container cannot be created with multiple network endpoints: %s, %s", all[0].network, all[1].network);
	for (size_t i = 0; i < n; i++)
		if (streq(all[i].network, mode) || (streq(mode, "bridge") && streq(all[i].network, "default")))
			main = &all[i];
	try(configure_one(fork, c, mode, main, true, e));
	for (size_t i = 0; i < n; i++)
		if (&all[i] != main)
			try(configure_one(fork, c, all[i].network, &all[i], false, e));
	return 0;
}

static bool gateway_better(const struct world *w, const struct endpoint *a, const struct endpoint *b)
{
	const struct network *m = world_network(w, a->network), *n = world_network(w, b->network);
	if (a->gw_priority != b->gw_priority)
		return a->gw_priority > b->gw_priority;
	if (m->internal != n->internal)
		return n->internal;
	bool both_a = ip_is_set(&a->ip4) && ip_is_set(&a->ip6), both_b = ip_is_set(&b->ip4) && ip_is_set(&b->ip6);
	if (both_a != both_b)
		return both_a;
	return strcmp(m->name, n->name) < 0;
}

const struct endpoint *join_gateway(const struct world *w, struct arena *a, const char *container, uint8_t family)
{
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(w, a, container, &n), *best = NULL;
	for (size_t i = 0; eps && i < n; i++) {
		const struct network *net = world_network(w, eps[i]->network);
		const struct ip *ip = family == AF_INET6 ? &eps[i]->ip6 : &eps[i]->ip4;
		if (!net || !eps[i]->joined || !ip_is_set(ip) || net->internal || net->driver != DRIVER_BRIDGE)
			continue;
		if (!best || gateway_better(w, eps[i], best))
			best = eps[i];
	}
	return best;
}
