#include "fixture.h"

struct lab {
	struct world *w;
	struct netconf c;
	struct arena mem;
	struct container_spec *s;
	struct endpoint_settings all[70];
	size_t n;
};

static void open_lab(struct lab *l, const char *mode)
{
	*l = (struct lab){.w = fix_world(), .c = fix_conf()};
	fix_put(l->w, fix_network('a', "n1", "10.1.0.0/24", 10));
	fix_put(l->w, fix_network('b', "n2", "10.2.0.0/24", 11));
	struct network *n = fix_network('e', "inside", "10.3.0.0/24", 12);
	n->internal = true;
	fix_put(l->w, n);
	fix_put(l->w, fix_network('6', "six", "fd00:1::/64", 13));
	l->s = fix_spec(&l->mem, mode);
}

static struct endpoint_settings *settings(struct lab *l, const char *network)
{
	struct endpoint_settings *s = &l->all[l->n++];
	s->network = network;
	return s;
}

/* Configures; "" or the error. */
static const char *configure(struct lab *l, int api)
{
	static struct err e;
	e = (struct err){0};
	l->s->endpoints = (struct json_vec){.v = arena_new(&l->mem, struct endpoint_settings, l->n + 1), .n = l->n};
	memcpy((void *)(uintptr_t)l->s->endpoints.v, l->all, l->n * sizeof(l->all[0]));
	const struct container *ct = fix_container(l->w, 'c', "web", l->s, &l->mem);
	int r = join_configure(l->w, ct, api, &e);
	return r < 0 ? e.msg : "";
}

static const char *join(struct lab *l)
{
	static struct err e;
	char ids[8][ID_TEXT], id[ID_TEXT];
	e = (struct err){0};
	for (int i = 0; i < 8; i++)
		fix_id(ids[i], (char)('1' + i));
	fix_id(id, 'c');
	return join_all(l->w, &l->c, id, ids, 8, &e) < 0 ? e.msg : "";
}

static void close_lab(struct lab *l)
{
	arena_free(&l->mem);
	world_free(l->w);
}

static const struct endpoint *at(const struct lab *l, const char *network)
{
	char id[ID_TEXT];
	fix_id(id, 'c');
	return world_endpoint(l->w, id, world_network_by_name(l->w, network)->id);
}

/* "n1=eth0/10.1.0.2/02:42:... n2=..." in the order of joining */
static const char *joined(const struct lab *l)
{
	static char text[1024];
	struct arena a = {0};
	char id[ID_TEXT], t[IP_TEXT], m[MAC_TEXT];
	size_t n;
	fix_id(id, 'c');
	text[0] = '\0';
	const struct endpoint **eps = world_endpoints_of_container(l->w, &a, id, &n);
	for (size_t seq = 0; seq < n; seq++)
		for (size_t i = 0; i < n; i++)
			if (eps[i]->joined && (size_t)eps[i]->seq == seq)
				snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s=%s/%s/%s",
					*text ? " " : "", world_network(l->w, eps[i]->network)->name, eps[i]->ifname,
					ip_format(ip_is_set(&eps[i]->ip4) ? &eps[i]->ip4 : &eps[i]->ip6, t),
					mac_is_set(&eps[i]->mac) ? mac_format(&eps[i]->mac, m) : "");
	arena_free(&a);
	return text;
}

TEST(default_network)
{
	struct lab l;
	open_lab(&l, "bridge");
	CHECK_STR(configure(&l, 41), "");
	CHECK(at(&l, "bridge") && !at(&l, "bridge")->joined);
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "bridge=eth0/172.17.0.2/02:42:ac:11:00:02");
	const struct endpoint *ep = at(&l, "bridge");
	CHECK_STR(ep->veth, "veth1111111");
	CHECK_INT(strlen(ep->id), 64);
	struct err e = {0};
	char id[ID_TEXT];
	fix_id(id, 'c');
	CHECK(join_leave_all(l.w, id, &e) == 0);
	ep = at(&l, "bridge");
	CHECK(ep && !ep->joined && !ip_is_set(&ep->ip4) && !ep->veth[0] && !ep->ifname[0] && !ep->id[0] &&
		!mac_is_set(&ep->mac));
	struct ip ip;
	CHECK(ipam_pick_address(l.w, world_network_by_name(l.w, "bridge"), AF_INET, NULL, &ip, &e) == 0 &&
		ip4_host(&ip) == 0xac110002);
	close_lab(&l);
}

/* Configured and joined in one fork: what a put replaces there is freed at once. */
TEST(in_one_fork)
{
	struct lab l;
	open_lab(&l, "n2");
	struct world *base = l.w;
	settings(&l, "n1");
	settings(&l, "n2");
	settings(&l, "inside");
	l.w = world_fork(base);
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "n2=eth0/10.2.0.2/02:42:0a:02:00:02 inside=eth1/10.3.0.2/02:42:0a:03:00:02 "
			      "n1=eth2/10.1.0.2/02:42:0a:01:00:02");
	world_free(l.w);
	l.w = base;
	close_lab(&l);
}

TEST(host_and_none)
{
	static const char *const modes[] = {"host", "none"};
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct lab l;
		open_lab(&l, modes[i]);
		settings(&l, modes[i]); /* as docker CLI 28 sends it */
		CHECK_STR(configure(&l, 51), "");
		CHECK_STR(join(&l), "");
		const struct endpoint *ep = at(&l, modes[i]);
		CHECK(ep && ep->joined && !ip_is_set(&ep->ip4) && !ep->veth[0]);
		close_lab(&l);
	}
}

TEST(container_mode_has_none)
{
	struct lab l;
	struct arena a = {0};
	char id[ID_TEXT];
	size_t n;
	open_lab(&l, "container:other");
	settings(&l, "container:other");
	CHECK_STR(configure(&l, 51), "");
	fix_id(id, 'c');
	(void)world_endpoints_of_container(l.w, &a, id, &n);
	CHECK_INT(n, 0);
	arena_free(&a);
	close_lab(&l);
}

TEST(network_disabled)
{
	struct lab l;
	open_lab(&l, "bridge");
	l.s->config.network_disabled = true;
	CHECK_STR(configure(&l, 51), "");
	CHECK(at(&l, "none") && !at(&l, "bridge"));
	close_lab(&l);
}

/* One wrong thing each, and its sentence. */
static const char *refused(
	const char *mode, const char *network, int api, void (*change)(struct lab *, struct endpoint_settings *))
{
	static char text[2100];
	struct lab l;
	open_lab(&l, mode);
	struct endpoint_settings *s = settings(&l, network);
	if (change)
		change(&l, s);
	snprintf(text, sizeof(text), "%s", configure(&l, api));
	close_lab(&l);
	return text;
}

static void static_ip(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->ip4 = "10.1.0.9";
}
static void bad_ip(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->ip4 = "10.1.0";
}
static void six_as_four(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->ip4 = "fd00::1";
}
static void outside(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->ip4 = "10.9.0.9";
}
static void alias(struct lab *l, struct endpoint_settings *s)
{
	strv_add(&l->mem, &s->aliases, "db");
}
static void bad_mac(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->mac_address = "02:42";
}
static void two_macs(struct lab *l, struct endpoint_settings *s)
{
	l->s->config.mac_address = "02:42:00:00:00:01";
	s->mac_address = "02:42:00:00:00:02";
}
static void same_macs(struct lab *l, struct endpoint_settings *s)
{
	l->s->config.mac_address = "02:42:00:00:00:0a";
	s->mac_address = "02:42:00:00:00:0A";
}
static void second(struct lab *l, struct endpoint_settings *s)
{
	(void)s;
	settings(l, "n2");
}
static void long_ifname(struct lab *l, struct endpoint_settings *s)
{
	kvs_set(&l->mem, &s->driver_opts, "com.docker.network.endpoint.ifname", "sixteen_bytes_xx");
}
static void slash_ifname(struct lab *l, struct endpoint_settings *s)
{
	kvs_set(&l->mem, &s->driver_opts, "com.docker.network.endpoint.ifname", "../x");
}
static void counted_ifname(struct lab *l, struct endpoint_settings *s)
{
	kvs_set(&l->mem, &s->driver_opts, "com.docker.network.endpoint.ifname", "e%d");
}
static void group_mac(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->mac_address = "01:00:5e:00:00:01";
}
static void zero_mac(struct lab *l, struct endpoint_settings *s)
{
	(void)l;
	s->mac_address = "00:00:00:00:00:00";
}

TEST(refusals)
{
	CHECK_STR(refused("zz", "zz", 51, NULL), "network zz not found");
	CHECK_STR(refused("bridge", "bridge", 51, static_ip),
		"user-specified IP address is supported on user-defined networks only");
	CHECK_STR(refused("default", "default", 51, static_ip),
		"user-specified IP address is supported on user-defined networks only");
	CHECK_STR(refused("n1", "n1", 51, static_ip), "");
	CHECK_STR(refused("n1", "n1", 51, bad_ip), "invalid IPv4 address: 10.1.0");
	CHECK_STR(refused("n1", "n1", 51, six_as_four), "invalid IPv4 address: fd00::1");
	CHECK_STR(refused("n1", "n1", 51, outside), "invalid config for network n1: invalid endpoint settings:\nno "
						    "configured subnet contains IP address 10.9.0.9");
	CHECK_STR(refused("bridge", "bridge", 51, alias),
		"network-scoped aliases are only supported for user-defined networks");
	CHECK_STR(refused("n1", "n1", 51, alias), "");
	CHECK_STR(refused("n1", "n1", 51, bad_mac), "invalid MAC address: 02:42");
	CHECK_STR(refused("n1", "n1", 51, two_macs), "the container-wide MAC address must match the endpoint-specific "
						     "MAC address for the main network, or be left empty");
	CHECK_STR(refused("n1", "n1", 51, same_macs), "");
	CHECK_STR(
		refused("n1", "n1", 43, second), "Container cannot be created with multiple network endpoints: n1, n2");
	CHECK_STR(refused("n1", "n1", 44, second), "");
	CHECK_STR(refused("none", "none", 51, second),
		"container cannot be connected to multiple networks with one of the networks in private (none) mode");
	CHECK_STR(refused("host", "host", 51, second), "container sharing network namespace with another container or "
						       "host cannot be connected to any other network");
	CHECK_STR(refused("container:x", "n1", 51, NULL), "container sharing network namespace with another container "
							  "or host cannot be connected to any other network");
	CHECK_STR(refused("n1", "n1", 51, long_ifname),
		"invalid interface name \"sixteen_bytes_xx\": it has " DEVICE_NAME_RULE);
	CHECK_STR(refused("n1", "n1", 51, slash_ifname), "invalid interface name \"../x\": it has " DEVICE_NAME_RULE);
	CHECK_STR(refused("n1", "n1", 51, counted_ifname), "invalid interface name \"e%d\": it has " DEVICE_NAME_RULE);
	CHECK_STR(refused("n1", "n1", 51, group_mac), "invalid MAC address: 01:00:5e:00:00:01: it is no single interface's");
	CHECK_STR(refused("n1", "n1", 51, zero_mac), "invalid MAC address: 00:00:00:00:00:00: it is no single interface's");
}

TEST(too_many)
{
	struct lab l;
	open_lab(&l, "n1");
	for (int i = 0; i < 65; i++)
		settings(&l, "n1");
	CHECK_STR(configure(&l, 51), "a container joins at most 64 networks");
	close_lab(&l);
}

TEST(configured_things_are_used)
{
	struct lab l;
	open_lab(&l, "n1");
	struct endpoint_settings *s = settings(&l, "n1");
	s->ip4 = "10.1.0.9";
	s->mac_address = "02:42:00:00:00:09";
	kvs_set(&l.mem, &s->driver_opts, "com.docker.network.endpoint.ifname", "lan");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "n1=lan/10.1.0.9/02:42:00:00:00:09");
	close_lab(&l);
}

/* docker-compose 1.29 takes a new container off its network and puts it on again, with aliases. */
TEST(the_main_network_has_the_containers_mac_again)
{
	struct lab l;
	struct err e = {0};
	char id[ID_TEXT];
	fix_id(id, 'c');
	open_lab(&l, "n1");
	l.s->config.mac_address = "02:42:00:00:00:0a";
	CHECK_STR(configure(&l, 41), "");
	const struct network *n1 = world_network_by_name(l.w, "n1"), *n2 = world_network_by_name(l.w, "n2");
	CHECK_INT(join_disconnect(l.w, world_container(l.w, id), n1, &e), 0);
	CHECK_INT(join_connect(l.w, world_container(l.w, id), n2, NULL, &e), 0);
	CHECK_INT(join_connect(l.w, world_container(l.w, id), n1, NULL, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "n1=eth0/10.1.0.2/02:42:00:00:00:0a n2=eth1/10.2.0.2/02:42:0a:02:00:02");
	close_lab(&l);
}

TEST(settings_by_id_are_not_lost)
{
	struct lab l;
	char id[ID_TEXT];
	fix_id(id, 'a');
	open_lab(&l, "n1");
	settings(&l, id)->ip4 = "10.1.0.9";
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "n1=eth0/10.1.0.9/02:42:0a:01:00:09");
	close_lab(&l);
}

/* A name that one endpoint asks for is not given to another; the same name twice fails. */
TEST(interface_names)
{
	struct lab l;
	open_lab(&l, "n1");
	settings(&l, "n1");
	kvs_set(&l.mem, &settings(&l, "n2")->driver_opts, "com.docker.network.endpoint.ifname", "eth0");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "n1=eth1/10.1.0.2/02:42:0a:01:00:02 n2=eth0/10.2.0.2/02:42:0a:02:00:02");
	close_lab(&l);

	open_lab(&l, "n1");
	kvs_set(&l.mem, &settings(&l, "n1")->driver_opts, "com.docker.network.endpoint.ifname", "lan");
	kvs_set(&l.mem, &settings(&l, "n2")->driver_opts, "com.docker.network.endpoint.ifname", "lan");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "error renaming interface to \"lan\": file exists");
	close_lab(&l);

	open_lab(&l, "own");
	struct network *n = fix_network('7', "own", "10.7.0.0/24", 20);
	kvs_set(&n->thing.mem, &n->options, "com.docker.network.container_iface_prefix", "net");
	fix_put(l.w, n);
	settings(&l, "own");
	settings(&l, "n1");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "own=net0/10.7.0.2/02:42:0a:07:00:02 n1=eth0/10.1.0.2/02:42:0a:01:00:02");
	close_lab(&l);
}

TEST(v6_only_mac_is_of_the_id)
{
	struct lab l;
	open_lab(&l, "six");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(joined(&l), "six=eth0/fd00:1::2/02:42:11:11:11:11");
	close_lab(&l);
}

TEST(full_bridge)
{
	struct lab l;
	open_lab(&l, "bridge");
	const char *net = world_network_by_name(l.w, "bridge")->id;
	for (unsigned i = 0; i < LIMIT_BRIDGE_PORTS; i++) {
		char id[ID_TEXT];
		snprintf(id, sizeof(id), "%064x", i + 1);
		struct endpoint *ep = endpoint_new(id, net);
		ep->joined = true;
		ep->ip4 = ip4(0xac110002u + i);
		fix_put(l.w, ep);
	}
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "network bridge is full: a Linux bridge holds 1,023 ports");
	close_lab(&l);
}

static const char *gateway(struct lab *l, uint8_t family)
{
	struct arena a = {0};
	char id[ID_TEXT];
	fix_id(id, 'c');
	const struct endpoint *ep = join_gateway(l->w, &a, id, family);
	const char *name = ep ? world_network(l->w, ep->network)->name : "none";
	arena_free(&a);
	return name;
}

TEST(gateway_choice)
{
	struct lab l;
	open_lab(&l, "n2");
	settings(&l, "n1");
	settings(&l, "n2");
	settings(&l, "inside")->gw_priority = 9;
	settings(&l, "six");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(gateway(&l, AF_INET), "none"); /* not joined */
	CHECK_STR(join(&l), "");
	CHECK_STR(gateway(&l, AF_INET), "n1"); /* by name; an internal network gives none, whatever its priority */
	CHECK_STR(gateway(&l, AF_INET6), "six");
	close_lab(&l);

	open_lab(&l, "n1");
	settings(&l, "n1");
	settings(&l, "n2")->gw_priority = 1;
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(gateway(&l, AF_INET), "n2");
	close_lab(&l);

	open_lab(&l, "n1");
	struct network *dual = fix_network('7', "zdual", "10.7.0.0/24", 20);
	dual->enable_v6 = true;
	dual->v6.net = dual->v6.range = fix_prefix("fd00:7::/64");
	dual->v6.gateway = fix_ip("fd00:7::1");
	fix_put(l.w, dual);
	settings(&l, "n1");
	settings(&l, "zdual");
	CHECK_STR(configure(&l, 51), "");
	CHECK_STR(join(&l), "");
	CHECK_STR(gateway(&l, AF_INET), "zdual"); /* both families come before the name */
	close_lab(&l);
}

TESTS(T(default_network), T(in_one_fork), T(host_and_none), T(container_mode_has_none), T(network_disabled),
	T(refusals), T(too_many), T(configured_things_are_used), T(the_main_network_has_the_containers_mac_again), T(settings_by_id_are_not_lost), T(interface_names),
	T(v6_only_mac_is_of_the_id), T(full_bridge), T(gateway_choice))
