#include "fixture.h"

static const struct network *by_name(const struct world *w, const char *name)
{
	return world_network_by_name(w, name);
}

/* Puts a joined endpoint with this address. */
static void occupy(struct world *w, const struct network *n, unsigned number, const char *ip)
{
	char id[ID_TEXT];
	snprintf(id, sizeof(id), "%064x", number);
	struct endpoint *ep = endpoint_new(id, n->id);
	ep->joined = true;
	if (strchr(ip, ':'))
		ep->ip6 = fix_ip(ip);
	else
		ep->ip4 = fix_ip(ip);
	fix_put(w, ep);
}

static void release(struct world *w, const struct network *n, unsigned number)
{
	char id[ID_TEXT], key[THING_KEY];
	struct err e = {0};
	snprintf(id, sizeof(id), "%064x", number);
	endpoint_key(key, id, n->id);
	if (world_del(w, NOUN_ENDPOINT, key, &e) < 0)
		abort();
}

static const char *pick(const struct world *w, const struct network *n, const char *hint)
{
	static char text[2100];
	struct ip want = {0}, got;
	struct err e = {0};
	bool six = hint ? strchr(hint, ':') != NULL : !n->enable_v4;
	if (hint)
		want = fix_ip(hint);
	if (ipam_pick_address(w, n, six ? AF_INET6 : AF_INET, hint ? &want : NULL, &got, &e) < 0)
		snprintf(text, sizeof(text), "%s", e.msg);
	else
		ip_format(&got, text);
	return text;
}

TEST(lowest_free)
{
	struct world *w = fix_world();
	const struct network *n = by_name(w, "bridge");
	CHECK_STR(pick(w, n, NULL), "172.17.0.2");
	occupy(w, n, 1, "172.17.0.2");
	occupy(w, n, 2, "172.17.0.3");
	occupy(w, n, 3, "172.17.0.5");
	CHECK_STR(pick(w, n, NULL), "172.17.0.4");
	release(w, n, 1);
	CHECK_STR(pick(w, n, NULL), "172.17.0.2"); /* free again at once */
	world_free(w);
}

TEST(hints)
{
	struct world *w = fix_world();
	const struct network *n = by_name(w, "bridge");
	occupy(w, n, 1, "172.17.0.2");
	CHECK_STR(pick(w, n, "172.17.9.9"), "172.17.9.9");
	CHECK_STR(pick(w, n, "172.17.0.2"), "Address already in use");
	CHECK_STR(pick(w, n, "172.17.0.1"), "Address already in use"); /* the gateway */
	CHECK_STR(pick(w, n, "172.17.0.0"), "Address already in use");
	CHECK_STR(pick(w, n, "172.17.255.255"), "Address already in use");
	CHECK_STR(pick(w, n, "10.1.1.1"),
		"invalid address 10.1.1.1: It does not belong to any of this network's subnets");
	CHECK_STR(pick(w, n, "fd00::1"), "network bridge has no IPv6 subnet");
	world_free(w);
}

/* A small range: full, one freed, reused. */
TEST(exhaustion)
{
	struct world *w = fix_world();
	struct network *d = fix_docker0();
	d->v4.range = fix_prefix("172.17.5.0/30");
	d->v4.has_range = true;
	fix_put(w, d);
	const struct network *n = by_name(w, "bridge");
	char want[512];
	const char *in_range[] = {
		"172.17.5.0", "172.17.5.1", "172.17.5.2", "172.17.5.3"}; /* first and last of a range are no subnet's */
	for (unsigned i = 0; i < 4; i++) {
		CHECK_STR(pick(w, n, NULL), in_range[i]);
		occupy(w, n, i, in_range[i]);
	}
	snprintf(want, sizeof(want), "no available IPv4 addresses on this network's address pools: bridge (%s)", n->id);
	CHECK_STR(pick(w, n, NULL), want);
	CHECK_STR(pick(w, n, "172.17.7.7"), "172.17.7.7"); /* a hint may lie outside of the range */
	release(w, n, 2);
	CHECK_STR(pick(w, n, NULL), "172.17.5.2");
	struct ip got = fix_ip("192.0.2.1");
	struct err e = {0};
	occupy(w, n, 2, "172.17.5.2");
	CHECK_INT(ipam_pick_address(w, n, AF_INET, NULL, &got, &e), -EADDRNOTAVAIL);
	CHECK(e.kind == ERR_INTERNAL && ip4_host(&got) == 0xc0000201); /* outputs untouched */
	world_free(w);
}

TEST(aux_addresses_and_gateway_in_range)
{
	struct world *w = fix_world();
	struct network *d = fix_network('a', "n", "10.0.0.0/29", 10);
	d->v4.gateway = fix_ip("10.0.0.3");
	d->v4.aux = arena_new(&d->thing.mem, struct aux_address, 2);
	d->v4.aux[0] = (struct aux_address){.name = "a", .ip = fix_ip("10.0.0.1")};
	d->v4.aux[1] = (struct aux_address){.name = "b", .ip = fix_ip("10.0.0.4")};
	d->v4.naux = 2;
	fix_put(w, d);
	const struct network *n = by_name(w, "n");
	const char *in_order[] = {"10.0.0.2", "10.0.0.5", "10.0.0.6"};
	for (unsigned i = 0; i < 3; i++) {
		CHECK_STR(pick(w, n, NULL), in_order[i]);
		occupy(w, n, i, in_order[i]);
	}
	CHECK(strncmp(pick(w, n, NULL), "no available", 12) == 0);
	CHECK_STR(pick(w, n, "10.0.0.4"), "Address already in use");
	world_free(w);
}

static void check_all(const char *subnet, const char *gateway, const char *const *want)
{
	struct world *w = fix_world();
	struct network *d = fix_network('a', "n", subnet, 10);
	if (strchr(subnet, ':'))
		d->v6.gateway = gateway ? fix_ip(gateway) : (struct ip){0};
	else
		d->v4.gateway = gateway ? fix_ip(gateway) : (struct ip){0};
	fix_put(w, d);
	const struct network *n = by_name(w, "n");
	unsigned i = 0;
	for (; want[i]; i++) {
		CHECK_STR(pick(w, n, NULL), want[i]);
		occupy(w, n, i, want[i]);
	}
	CHECK(strncmp(pick(w, n, NULL), "no available", 12) == 0);
	world_free(w);
}

TEST(small_subnets)
{
	check_all("10.0.0.0/30", "10.0.0.1", (const char *[]){"10.0.0.2", NULL});
	check_all("10.0.0.0/31", "10.0.0.1", (const char *[]){"10.0.0.0", NULL});
	check_all("10.0.0.0/31", NULL, (const char *[]){"10.0.0.0", "10.0.0.1", NULL}); /* isolated: no gateway */
	check_all("10.0.0.7/32", NULL, (const char *[]){"10.0.0.7", NULL});
	check_all("255.255.255.252/30", "255.255.255.253", (const char *[]){"255.255.255.254", NULL});
	check_all("fd00::/126", "fd00::1",
		(const char *[]){"fd00::2", "fd00::3", NULL}); /* the first is the routers' anycast address */
	check_all("fd00::/127", NULL, (const char *[]){"fd00::", "fd00::1", NULL});
	check_all("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", NULL,
		(const char *[]){
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL});
}

/* In one operation that frees an address and takes one: the fork counts. */
TEST(forks)
{
	struct world *w = fix_world();
	const struct network *n = by_name(w, "bridge");
	occupy(w, n, 1, "172.17.0.2");
	struct world *fork = world_fork(w);
	release(fork, n, 1);
	CHECK_STR(pick(fork, n, NULL), "172.17.0.2");
	CHECK_STR(pick(w, n, NULL), "172.17.0.3");
	occupy(fork, n, 2, "172.17.0.2");
	CHECK_STR(pick(fork, n, NULL), "172.17.0.3");
	world_free(fork);
	world_free(w);
}

/* --- subnets --- */

static const char *subnet(const struct world *w, const struct netconf *c)
{
	static char text[2100];
	struct prefix p;
	struct err e = {0};
	if (ipam_pick_subnet(w, c, AF_INET, 0, NULL, &p, &e) < 0)
		snprintf(text, sizeof(text), "%s", e.msg);
	else
		prefix_format(&p, text);
	return text;
}

TEST(pools)
{
	static const char *const want[] = {"172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16",
		"172.21.0.0/16", "172.22.0.0/16", "172.23.0.0/16", "172.24.0.0/16", "172.25.0.0/16", "172.26.0.0/16",
		"172.27.0.0/16", "172.28.0.0/16", "172.29.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.168.0.0/20",
		"192.168.16.0/20"};
	struct world *w = world_new();
	struct netconf c = fix_conf();
	for (int i = 0; i < 31; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", i);
		const char *p = subnet(w, &c);
		if (i < (int)ARRAY_LEN(want))
			CHECK_STR(p, want[i]);
		if (i == 30)
			CHECK_STR(p, "192.168.240.0/20");
		fix_put(w, fix_network((char)('A' + i), name, p, i + 1));
	}
	CHECK_STR(subnet(w, &c), "all predefined address pools have been fully subnetted");
	char id[ID_TEXT];
	struct err e = {0};
	fix_id(id, 'A' + 4);
	REQUIRE(world_del(w, NOUN_NETWORK, id, &e) == 0);
	CHECK_STR(subnet(w, &c), "172.21.0.0/16");
	world_free(w);
}

TEST(pools_avoid_routes)
{
	struct world *w = world_new();
	struct netconf c = fix_conf();
	const struct prefix routes[] = {fix_prefix("172.17.3.0/24"), fix_prefix("172.18.0.1/32"),
		fix_prefix("fd00::/8"), fix_prefix("172.16.0.0/13")};
	c.host_routes = routes;
	c.nhost_routes = 3;
	CHECK_STR(subnet(w, &c), "172.19.0.0/16");
	c.nhost_routes = 4;
	CHECK_STR(subnet(w, &c), "172.24.0.0/16");
	fix_put(w, fix_network('a', "big", "172.24.0.0/13", 1));
	CHECK_STR(subnet(w, &c), "192.168.0.0/20");
	world_free(w);
}

/* --- the default bridge --- */

struct bridge_case {
	const char *name, *bip, *fixed, *gateway;
	const char *now, *now_gateway; /* what it has; NULL: it is new */
	bool six;                      /* all that of IPv6 */
	const char *want;              /* "subnet gateway range [default gateway]" or the error */
};
static const struct bridge_case bridges[] = {
	{.name = "default", .want = "172.17.0.0/16 172.17.0.1 172.17.0.0/16"},
	{.name = "bip", .bip = "10.1.2.3/24", .want = "10.1.2.0/24 10.1.2.3 10.1.2.0/24"},
	{.name = "bip, kept from pool",
		.bip = "10.1.2.3/24",
		.now = "172.17.0.0/16",
		.now_gateway = "172.17.0.1",
		.want = "10.1.2.0/24 10.1.2.3 10.1.2.0/24"},
	{.name = "bip with fixed-cidr",
		.bip = "10.1.0.1/16",
		.fixed = "10.1.5.0/24",
		.want = "10.1.0.0/16 10.1.0.1 10.1.5.0/24"},
	{.name = "fixed-cidr elsewhere",
		.bip = "10.1.0.1/16",
		.fixed = "10.2.0.0/24",
		.want = "invalid fixed-cidr 10.2.0.0/24: parent subnet 10.1.0.0/16 doesn't contain it"},
	{.name = "fixed-cidr too large",
		.bip = "10.1.0.1/24",
		.fixed = "10.1.0.0/16",
		.want = "invalid fixed-cidr 10.1.0.0/16: parent subnet 10.1.0.0/24 doesn't contain it"},
	{.name = "fixed-cidr alone", .fixed = "10.3.0.0/24", .want = "10.3.0.0/24 10.3.0.1 10.3.0.0/24"},
	{.name = "fixed-cidr in what it has",
		.fixed = "172.17.9.0/24",
		.now = "172.17.0.0/16",
		.now_gateway = "172.17.0.1",
		.want = "172.17.0.0/16 172.17.0.1 172.17.9.0/24"},
	{.name = "fixed-cidr not in what it has",
		.fixed = "10.3.0.0/24",
		.now = "172.17.0.0/16",
		.now_gateway = "172.17.0.1",
		.want = "10.3.0.0/24 10.3.0.1 10.3.0.0/24"},
	{.name = "what it has stays",
		.now = "10.9.0.0/24",
		.now_gateway = "10.9.0.254",
		.want = "10.9.0.0/24 10.9.0.254 10.9.0.0/24"},
	{.name = "/31", .bip = "10.0.0.0/31", .want = "10.0.0.0/31 10.0.0.0 10.0.0.0/31"},
	{.name = "/32",
		.bip = "10.0.0.1/32",
		.want = "the default bridge's subnet 10.0.0.1/32 has no room for a gateway and containers: give "
			"one of at most /31"},
	{.name = "fixed /32",
		.fixed = "10.0.0.1/32",
		.want = "the default bridge's subnet 10.0.0.1/32 has no room for a gateway and containers: give "
			"one of at most /31"},
	{.name = "network address",
		.bip = "10.0.0.0/24",
		.want = "bip 10.0.0.0/24: a network's first and last address are no host's"},
	{.name = "broadcast address",
		.bip = "10.0.0.255/24",
		.want = "bip 10.0.0.255/24: a network's first and last address are no host's"},
	{.name = "default gateway",
		.gateway = "172.17.0.254",
		.want = "172.17.0.0/16 172.17.0.1 172.17.0.0/16 172.17.0.254"},
	{.name = "default gateway elsewhere",
		.gateway = "10.0.0.1",
		.want = "default gateway ip must be part of the network"},
	{.name = "overlap with another network",
		.bip = "192.0.2.129/25",
		.want = "invalid pool request: Pool overlaps with other one on this address space"},
	{.name = "IPv6", .six = true, .want = "fd12:3456:789a::/64 fd12:3456:789a::1 fd12:3456:789a::/64"},
	{.name = "bip6", .six = true, .bip = "fd00:17::5/64", .want = "fd00:17::/64 fd00:17::5 fd00:17::/64"},
	{.name = "bip6 and fixed-cidr-v6", .six = true, .bip = "fd00:17::5/64", .fixed = "fd00:17::8000/120", .want = "fd00:17::/64 fd00:17::5 fd00:17::8000/120"},
	{.name = "fixed-cidr-v6", .six = true, .fixed = "fd00:18::/80", .want = "fd00:18::/80 fd00:18::1 fd00:18::/80"},
	{.name = "link-local", .six = true, .fixed = "fe80::/64", .want = "fe80::/64 fe80::1 fe80::/64"},
	{.name = "other fixed-cidr-v6 than it has",
		.six = true,
		.fixed = "fe80::/64",
		.now = "fd00:18::/80",
		.now_gateway = "fd00:18::1",
		.want = "fe80::/64 fe80::1 fe80::/64"},
	{.name = "part of link-local", .six = true, .fixed = "fe80::/80", .want = "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'"},
	{.name = "multicast", .six = true, .fixed = "ff00::/64", .want = "multicast subnet 'ff00::/64' is not allowed"},
	{.name = "routers' anycast address", .six = true, .bip = "fd00:17::/64", .want = "bip6 fd00:17::/64: a network's first and last address are no host's"},
	{.name = "fixed-cidr-v6 elsewhere",
		.six = true,
		.bip = "fd00:17::5/64",
		.fixed = "fd00:18::/80",
		.want = "invalid fixed-cidr-v6 fd00:18::/80: parent subnet fd00:17::/64 doesn't contain it"},
	{.name = "default-gateway-v6",
		.six = true,
		.gateway = "fd12:3456:789a::99",
		.want = "fd12:3456:789a::/64 fd12:3456:789a::1 fd12:3456:789a::/64 fd12:3456:789a::99"},
};

TEST(default_bridge)
{
	for (size_t i = 0; i < ARRAY_LEN(bridges); i++) {
		const struct bridge_case *t = &bridges[i];
		struct world *w = world_new();
		struct netconf c = fix_conf();
		struct err e = {0};
		char got[2100], a[PREFIX_TEXT], b[IP_TEXT], r[PREFIX_TEXT], g[IP_TEXT];
		fix_put(w, fix_network('a', "other", "192.0.2.0/24", 5));
		struct network *n = fix_docker0();
		struct subnet *of = t->six ? &n->v6 : &n->v4;
		*of = (struct subnet){0};
		c.ipv6 = t->six;
		c.ula = fix_prefix("fd12:3456:789a::/48");
		if (t->now) {
			of->net = of->range = fix_prefix(t->now);
			of->gateway = fix_ip(t->now_gateway);
		}
		if (t->bip)
			*(t->six ? &c.bip6 : &c.bip) = fix_prefix(t->bip);
		if (t->fixed)
			*(t->six ? &c.fixed_cidr6 : &c.fixed_cidr) = fix_prefix(t->fixed);
		if (t->gateway)
			*(t->six ? &c.default_gateway6 : &c.default_gateway) = fix_ip(t->gateway);
		struct subnet before[] = {n->v4, n->v6};
		if (ipam_default_bridge(w, &c, n, &e) < 0) {
			snprintf(got, sizeof(got), "%s", e.msg);
			CHECK(memcmp(&before[0], &n->v4, sizeof(n->v4)) == 0 && memcmp(&before[1], &n->v6, sizeof(n->v6)) == 0);
		} else {
			struct ip via = ipam_default_gateway(of);
			bool own = !ip_eq(&via, &of->gateway);
			snprintf(got, sizeof(got), "%s %s %s%s%s", prefix_format(&of->net, a),
				ip_format(&of->gateway, b), prefix_format(&of->range, r), own ? " " : "",
				own ? ip_format(&via, g) : "");
			CHECK(n->enable_v4 && n->enable_v6 == t->six && n->v4.net.ip.family == AF_INET);
		}
		if (!streq(got, t->want))
			printf("# %s\n", t->name);
		CHECK_STR(got, t->want);
		thing_unref(n);
		world_free(w);
	}
}

TESTS(T(lowest_free), T(hints), T(exhaustion), T(aux_addresses_and_gateway_in_range), T(small_subnets), T(forks),
	T(pools), T(pools_avoid_routes), T(default_bridge))
