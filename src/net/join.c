#include "net/join.h"

#include <errno.h>
#include <stdlib.h>

#include "net/driver.h"
#include "net/portmap.h"

/* Is it the network of its NetworkMode? */
static bool is_main(const struct container *c, const struct network *n)
{
	const char *mode = c && c->spec->host.network_mode ? c->spec->host.network_mode : "default";
	if (!n)
		return false;
	return streq(n->name, mode) || streq(n->id, mode) || (n->is_default && streq(mode, "default")) ||
	       (strlen(mode) >= 12 && str_starts(n->id, mode));
}

/* Has another endpoint of the container this interface name, or asked for it? */
static bool ifname_taken(const struct endpoint *const *eps, size_t n, const struct endpoint *self, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!streq(eps[i]->network, self->network) &&
			(streq(eps[i]->want_ifname, name) || (eps[i]->joined && streq(eps[i]->ifname, name))))
			return true;
	return false;
}

static int name_interface(const struct world *fork, const struct network *n, struct endpoint *ep, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	size_t count;
	const struct endpoint **eps = world_endpoints_of_container(fork, &a, ep->container, &count);
	const char *prefix = kvs_get(&n->options, "com.docker.network.container_iface_prefix");
	if (!eps)
		return err_nomem(e);
	if (ep->want_ifname[0]) {
		STR_COPY(ep->ifname, ep->want_ifname);
		if (ifname_taken(eps, count, ep, ep->ifname))
			return err_set(e, -EEXIST, "error renaming interface to \"%s\": file exists", ep->ifname);
		return 0;
	}
	for (size_t i = 0; i <= count; i++) { /* one of these is free: there are count - 1 others */
		int len = snprintf(ep->ifname, sizeof(ep->ifname), "%s%zu", str_empty(prefix) ? "eth" : prefix, i);
		if (len < 0 || (size_t)len >= sizeof(ep->ifname))
			return err_as(e, ERR_INVALID, "the interface prefix \"%s\" is too long", prefix);
		if (!ifname_taken(eps, count, ep, ep->ifname))
			return 0;
	}
	return err_set(e, -EEXIST, "no interface name is free");
}

/* The configured one; else from the IPv4 address, so that a stable address keeps a stable MAC; else, IPv6 only, from
 * the endpoint's id, which is random. */
static struct mac choose_mac(const struct endpoint *ep)
{
	if (mac_is_set(&ep->want_mac))
		return ep->want_mac;
	if (ip_is_set(&ep->ip4))
		return mac_from_ip4(&ep->ip4);
	uint32_t v = (uint32_t)strtoul(ep->id + strlen(ep->id) - 8, NULL, 16);
	return (struct mac){.b = {0x02, 0x42, (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}};
}

/* Does a sysctl of the endpoint, or of the whole container, switch IPv6 off? */
static bool refuses_v6(const struct world *w, const struct endpoint *ep)
{
	static const char *const keys[] = {"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"};
	OWN(arena_free) struct arena a = {0};
	const struct container *c = world_container(w, ep->container);
	const char *wishes = kvs_get(&ep->driver_opts, ENDPOINT_SYSCTLS), *path, *value;
	bool off = false;
	for (size_t i = 0; c && i < ARRAY_LEN(keys); i++) {
		const char *v = kvs_get(&c->spec->host.sysctls, keys[i]);
		off |= v && strtol(v, NULL, 10);
	}
	while (wishes && endpoint_next_sysctl(&wishes, "X", &a, &path, &value, NULL) > 0)
		if (streq(path, "net/ipv6/conf/X/disable_ipv6"))
			off = strtol(value, NULL, 10);
	return off;
}

static int fill_live(struct world *fork, const struct network *n, struct endpoint *ep, struct err *e)
{
	if (n->driver != DRIVER_BRIDGE)
		return 0;
	if (world_joined_in_network(fork, n->id) >= LIMIT_BRIDGE_PORTS)
		return err_as(e, ERR_UNAVAILABLE, "network %s is full: a Linux bridge holds 1,023 ports", n->name);
	endpoint_veth_name(ep->id, ep->veth);
	try(name_interface(fork, n, ep, e));
	if (n->enable_v4)
		try(ipam_pick_address(fork, n, AF_INET, &ep->want_ip4, &ep->ip4, e));
	if (n->enable_v6 && !refuses_v6(fork, ep))
		try(ipam_pick_address(fork, n, AF_INET6, &ep->want_ip6, &ep->ip6, e));
	ep->mac = choose_mac(ep);
	return 0;
}

static int join_one(struct world *fork, const struct endpoint *ep, size_t index, const char *id, struct err *e)
{
	const struct network *n = world_network(fork, ep->network);
	if (!n)
		return err_as(e, ERR_NOT_FOUND, "network %s not found", ep->network);
	if (strlen(id) != ID_TEXT - 1)
		return err_set(e, -EINVAL, "join: \"%s\" is no endpoint id", id);
	struct endpoint *c = endpoint_copy(ep);
	if (!c)
		return err_nomem(e);
	c->joined = true;
	c->seq = (int64_t)index;
	c->ip4 = c->ip6 = (struct ip){0};
	STR_COPY(c->id, id);
	int r = fill_live(fork, n, c, e);
	if (r < 0) {
		thing_unref(c);
		return r;
	}
	return world_put(fork, c, e);
}

int join_all(struct world *fork, const struct netconf *c, const char *container, char (*ids)[ID_TEXT], size_t nids,
	struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const struct container *ct = world_container(fork, container);
	size_t n, index = 0;
	(void)c;
	const struct endpoint **eps = world_endpoints_of_container(fork, &a, container, &n);
	if (!eps)
		return err_nomem(e);
	if (nids < n)
		return err_set(e, -EINVAL, "join: %zu ids for %zu endpoints", nids, n);
	const struct endpoint **order = arena_new(&a, const struct endpoint *, n + 1);
	if (!order)
		return err_nomem(e);
	/* Decided before the first put, which may free the endpoint that it replaces. */
	for (int main = 1; main >= 0; main--)
		for (size_t i = 0; i < n; i++)
			if (is_main(ct, world_network(fork, eps[i]->network)) == (main == 1))
				order[index++] = eps[i];
	for (size_t i = 0; i < n; i++)
		try(join_one(fork, order[i], i, ids[i], e));
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
	return portmap_release(fork, container, e);
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
			return err_as(
				e, ERR_INVALID, "user-specified IP address is supported on user-defined networks only");
		const struct subnet *s = network_subnet(n, ips[i]->family);
		if (!s || !prefix_has(&s->net, ips[i]))
			return err_as(e, ERR_INVALID,
				"invalid config for network %s: invalid endpoint settings:\nno configured subnet "
				"contains IP address %s",
				n->name, ip_format(ips[i], t));
	}
	if (ep->aliases.n && n->predefined)
		return err_as(e, ERR_INVALID, "network-scoped aliases are only supported for user-defined networks");
	return 0;
}

static int fill(
	struct endpoint *ep, const struct container *c, const struct endpoint_settings *s, bool main, struct err *e)
{
	struct arena *a = &ep->thing.mem;
	const char *mac = s && !str_empty(s->mac_address) ? s->mac_address : main ? c->spec->config.mac_address : NULL;
	if (!str_empty(mac) && mac_parse(mac, &ep->want_mac) < 0)
		return err_as(e, ERR_INVALID, "invalid MAC address: %s", mac);
	if (!str_empty(mac) && !mac_is_station(&ep->want_mac))
		return err_as(e, ERR_INVALID, "invalid MAC address: %s: it is no single interface's", mac);
	if (!s)
		return 0;
	try(read_address(s->ip4, AF_INET, &ep->want_ip4, e));
	try(read_address(s->ip6, AF_INET6, &ep->want_ip6, e));
	ep->aliases = strv_copy(a, &s->aliases);
	ep->links = strv_copy(a, &s->links);
	ep->link_local = strv_copy(a, &s->link_local);
	ep->driver_opts = kvs_copy(a, &s->driver_opts);
	ep->gw_priority = s->gw_priority;
	const char *wishes = kvs_get(&s->driver_opts, ENDPOINT_SYSCTLS), *path, *value;
	int r = 0;
	while (wishes && (r = endpoint_next_sysctl(&wishes, "eth0", a, &path, &value, e)) > 0)
		;
	try(r);
	for (size_t i = 0; i < s->link_local.n; i++) {
		struct ip ip;
		if (ip_parse(s->link_local.v[i], &ip) < 0 || !ip_is_linklocal(&ip))
			return err_as(e, ERR_INVALID, "invalid link local IP address: %s", s->link_local.v[i]);
	}
	const char *ifname = kvs_get(&s->driver_opts, "com.docker.network.endpoint.ifname");
	if (ifname && (!device_name_ok(ifname) || !STR_COPY(ep->want_ifname, ifname)))
		return err_as(e, ERR_INVALID, "invalid interface name \"%s\": it has " DEVICE_NAME_RULE, ifname);
	return a->bad ? err_nomem(e) : 0;
}

static int put_config(struct world *fork, const struct container *c, const struct network *n,
	const struct endpoint_settings *s, bool main, struct err *e)
{
	struct endpoint *ep = endpoint_new(c->id, n->id);
	if (!ep)
		return err_nomem(e);
	int r = n->config_only ? err_as(e, ERR_FORBIDDEN, "cannot create endpoint on configuration-only network")
			       : fill(ep, c, s, main, e);
	if (r >= 0)
		r = check_static(n, ep, e);
	if (r < 0) {
		thing_unref(ep);
		return r;
	}
	return world_put(fork, ep, e);
}

static int configure_one(struct world *fork, const struct container *c, const char *term,
	const struct endpoint_settings *s, bool main, struct err *e)
{
	const struct network *n;
	/* 400, not 404: a 404 to `create` makes clients pull the image. */
	int found = world_find_network(fork, streq(term, "default") ? "bridge" : term, &n, e);
	if (found == -ENOENT)
		return err_as(e, ERR_INVALID, "network %s not found", term);
	try(found);
	if (world_endpoint(fork, c->id, n->id))
		return 0; /* named twice: by name and by id */
	return put_config(fork, c, n, s, main, e);
}

/* May the container join one more network, and this one? */
static int check_connect(const struct world *w, const struct container *c, const struct network *n, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *mode = c->spec->host.network_mode;
	size_t count;
	const struct endpoint **eps = world_endpoints_of_container(w, &a, c->id, &count);
	if (!eps)
		return err_nomem(e);
	if (c->state == STATE_REMOVING || c->state == STATE_DEAD)
		return err_set(e, -EBUSY,
			"Container %s is marked for removal and cannot be connected or disconnected to the network", c->id);
	if (n->config_only)
		return err_as(e, ERR_FORBIDDEN, "cannot create endpoint on configuration-only network");
	if (n->driver == DRIVER_HOST)
		return err_as(e, ERR_INVALID,
			"cannot connect container to host network - container must be created in host network mode");
	if (mode && (streq(mode, "host") || str_starts(mode, "container:")))
		return err_as(e, ERR_INVALID,
			"container sharing network namespace with another container or host cannot be connected to any "
			"other network");
	if (world_endpoint(w, c->id, n->id))
		return err_as(e, ERR_FORBIDDEN, "endpoint with name %s already exists in network %s", c->name, n->name);
	for (size_t i = 0; i < count; i++) {
		const struct network *other = world_network(w, eps[i]->network);
		if (n->driver == DRIVER_NULL || (other && other->driver == DRIVER_NULL))
			return err_as(e, ERR_INVALID,
				"container cannot be connected to multiple networks with one of the networks in private "
				"(none) mode");
	}
	if (count >= LIMIT_ENDPOINTS_PER_CONTAINER)
		return err_as(e, ERR_INVALID, "a container joins at most %d networks", LIMIT_ENDPOINTS_PER_CONTAINER);
	return 0;
}

int join_connect(struct world *fork, const struct container *c, const struct network *n,
	const struct endpoint_settings *s, struct err *e)
{
	try(check_connect(fork, c, n, e));
	return put_config(fork, c, n, s, is_main(c, n), e); /* the main one again, too: it keeps the container's MAC */
}

int join_add(struct world *fork, const char *container, const char *network, const char *id, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	size_t n, index = 0;
	const struct endpoint **eps = world_endpoints_of_container(fork, &a, container, &n);
	const struct endpoint *ep = world_endpoint(fork, container, network);
	if (!eps || !ep)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		if (eps[i]->joined && (size_t)eps[i]->seq >= index)
			index = (size_t)eps[i]->seq + 1;
	return join_one(fork, ep, index, id, e);
}

int join_disconnect(struct world *fork, const struct container *c, const struct network *n, struct err *e)
{
	char key[2 * ID_TEXT];
	if (n->driver == DRIVER_HOST)
		return err_as(e, ERR_INVALID,
			"cannot disconnect container from host network - container was created in host network mode");
	if (!world_endpoint(fork, c->id, n->id))
		return err_set(e, -ENOTCONN, "container %s is not connected to %snetwork %s", c->id,
			container_is_running(c) ? "" : "the ", n->name);
	endpoint_key(key, c->id, n->id);
	return world_del(fork, NOUN_ENDPOINT, key, e);
}

/* The networks that a request names, "a, b", for the sentence that refuses several. */
static int refuse_several(const struct endpoint_settings *all, size_t n, struct err *e)
{
	OWN(own_buf) struct buf names = {0};
	for (size_t i = 0; i < n; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", all[i].network);
	return names.bad
		       ? err_nomem(e)
		       : err_as(e, ERR_INVALID, "Container cannot be created with multiple network endpoints: %.1500s",
				 buf_str(&names));
}

/* host, none and container: stand alone. */
static int check_alone(const char *mode, const struct endpoint_settings *main, size_t others, struct err *e)
{
	if (main && !str_empty(main->mac_address) && (streq(mode, "host") || str_starts(mode, "container:")))
		return err_as(e, ERR_INVALID, "conflicting options: mac-address and the network mode");
	if (others && streq(mode, "none"))
		return err_as(e, ERR_INVALID,
			"container cannot be connected to multiple networks with one of the networks in private (none) "
			"mode");
	if (others && (streq(mode, "host") || str_starts(mode, "container:")))
		return err_as(e, ERR_INVALID,
			"container sharing network namespace with another container or host cannot be connected to any "
			"other network");
	return 0;
}

/* And nobody stands beside another as one of them. */
static int check_beside(const struct world *w, const char *term, struct err *e)
{
	const struct network *n;
	if (world_find_network(w, term, &n, NULL) < 0)
		return 0; /* told later */
	if (n->driver == DRIVER_NULL && !n->config_only)
		return err_as(e, ERR_INVALID,
			"container cannot be connected to multiple networks with one of the networks in private (none) "
			"mode");
	if (n->driver == DRIVER_HOST)
		return err_as(e, ERR_INVALID,
			"cannot connect container to host network - container must be created in host network mode");
	return 0;
}

static int check_main_mac(const struct container *c, const struct endpoint_settings *main, struct err *e)
{
	const char *own = c->spec->config.mac_address, *at = main ? main->mac_address : NULL;
	struct mac a, b;
	if (str_empty(own) || str_empty(at) || mac_parse(own, &a) < 0 || mac_parse(at, &b) < 0 ||
		memcmp(&a, &b, sizeof(a)) == 0)
		return 0;
	return err_as(e, ERR_INVALID,
		"the container-wide MAC address must match the endpoint-specific MAC address for the main network, or "
		"be left empty");
}

/* Two terms, name or id, for one network? */
static bool same_network(const struct world *w, const char *a, const char *b)
{
	const struct network *m, *n;
	if (streq(a, b) || (streq(a, "default") && streq(b, "bridge")))
		return true;
	return world_find_network(w, a, &m, NULL) >= 0 && world_find_network(w, b, &n, NULL) >= 0 && m == n;
}

int join_configure(struct world *fork, const struct container *c, int api_minor, struct err *e)
{
	const char *mode = str_empty(c->spec->host.network_mode) ? "bridge" : c->spec->host.network_mode;
	const struct endpoint_settings *all = c->spec->endpoints.v, *main = NULL;
	size_t n = c->spec->endpoints.n;
	if (c->spec->config.network_disabled && !streq(mode, "host"))
		mode = "none";
	else if (streq(mode, "default"))
		mode = "bridge";
	if (n > 1 && api_minor < 44)
		return refuse_several(all, n, e);
	if (n > LIMIT_ENDPOINTS_PER_CONTAINER)
		return err_as(e, ERR_INVALID, "a container joins at most %d networks", LIMIT_ENDPOINTS_PER_CONTAINER);
	for (size_t i = 0; i < n; i++)
		if (same_network(fork, all[i].network, mode))
			main = &all[i];
	try(check_alone(mode, main, n - (main != NULL), e));
	for (size_t i = 0; i < n; i++)
		if (&all[i] != main)
			try(check_beside(fork, all[i].network, e));
	if (str_starts(mode, "container:"))
		return 0;
	try(check_main_mac(c, main, e));
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
		const struct subnet *s = net ? network_subnet(net, family) : NULL;
		struct ip via = s ? ipam_default_gateway(s) : (struct ip){0};
		if (!eps[i]->joined || !ip_is_set(ip) || !ip_is_set(&via) || net->internal)
			continue;
		if (!best || gateway_better(w, eps[i], best))
			best = eps[i];
	}
	return best;
}

const struct endpoint **join_order(const struct world *w, struct arena *a, const char *container, size_t *n)
{
	size_t all, k = 0;
	const struct endpoint **eps = world_endpoints_of_container(w, a, container, &all);
	for (size_t i = 0; eps && i < all; i++) { /* few: by insertion */
		const struct endpoint *ep = eps[i];
		if (!ep->joined || !world_network(w, ep->network))
			continue;
		size_t at = k++;
		for (; at > 0 && gateway_better(w, ep, eps[at - 1]); at--)
			eps[at] = eps[at - 1];
		eps[at] = ep;
	}
	*n = k;
	return eps;
}
