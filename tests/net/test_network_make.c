/* A request for a network becomes one, or is refused with Docker's text. */
#include "model/tree.h"
#include "net/fixture.h"
#include "net/network_make.h"

struct make_case {
	const char *body, *want; /* "v4 gateway range [aux-gateway] v6 gateway" or the error */
};

static const char *made(const struct world *w, const struct netconf *c, const char *body, struct network **out, struct arena *a)
{
	struct err e = {0};
	struct network_spec s;
	char id[ID_TEXT], t[PREFIX_TEXT], u[PREFIX_TEXT], g[IP_TEXT], t6[PREFIX_TEXT], g6[IP_TEXT];
	OWN(own_json) json_t *j = NULL;
	struct network *n;
	fix_id(id, '9');
	struct network_facts f = {.id = id, .created = 7};
	if (json_parse(body, strlen(body), &j, &e) < 0 || network_spec_parse(j, a, &s, &e) < 0 || network_make(w, c, &s, &f, &n, &e) < 0)
		return arena_dup(a, e.msg);
	const char *text = arena_printf(a, "%s %s %s|%s %s", prefix_format(&n->v4.net, t), ip_format(&n->v4.gateway, g), prefix_format(&n->v4.range, u), prefix_format(&n->v6.net, t6),
		ip_format(&n->v6.gateway, g6));
	if (out)
		*out = n;
	else
		thing_unref(n);
	return text;
}

#define SUBNET(s, more) "{\"Name\":\"n\",\"IPAM\":{\"Config\":[{\"Subnet\":\"" s "\"" more "}]}}"
#define OPTION(k, v)    "{\"Name\":\"n\",\"Options\":{\"" k "\":\"" v "\"}}"

TEST(requests)
{
	static const struct make_case cases[] = {
		{"{\"Name\":\"n\"}", "172.18.0.0/16 172.18.0.1 172.18.0.0/16| "},
		{"{\"Name\":\"n\",\"EnableIPv6\":true}", "172.18.0.0/16 172.18.0.1 172.18.0.0/16|fd01:203:405::/64 fd01:203:405::1"},
		{"{\"Name\":\"n\",\"EnableIPv4\":false,\"EnableIPv6\":true}", "  |fd01:203:405::/64 fd01:203:405::1"},
		{SUBNET("10.9.0.0/24", ""), "10.9.0.0/24 10.9.0.1 10.9.0.0/24| "},
		{SUBNET("10.9.0.0/24", ",\"IPRange\":\"10.9.0.128/25\""), "10.9.0.0/24 10.9.0.128 10.9.0.128/25| "},
		{SUBNET("10.9.0.0/24", ",\"IPRange\":\"10.9.0.0/25\",\"AuxiliaryAddresses\":{\"x\":\"10.9.0.1\"}"), "10.9.0.0/24 10.9.0.2 10.9.0.0/25| "},
		{SUBNET("10.9.0.0/24", ",\"Gateway\":\"10.9.0.77\""), "10.9.0.0/24 10.9.0.77 10.9.0.0/24| "},
		{SUBNET("10.9.0.0/31", ""), "10.9.0.0/31 10.9.0.0 10.9.0.0/31| "},
		{SUBNET("0.0.0.0/24", ""), "172.18.0.0/24 172.18.0.1 172.18.0.0/24| "},
		{SUBNET("fd77::/64", ""), "172.18.0.0/16 172.18.0.1 172.18.0.0/16| "}, /* without IPv6 it is not used */
		{"{\"Name\":\"n\",\"Internal\":true,\"Options\":{\"com.docker.network.bridge.gateway_mode_ipv4\":\"isolated\"}}", "172.18.0.0/16  172.18.0.0/16| "},
		{"{\"Name\":\"  \"}", "invalid name: name is empty"},
		{"{\"Name\":\"bridge\"}", "operation is not permitted on predefined bridge network "},
		{"{\"Name\":\"there\"}", "network with name there already exists"},
		{"{\"Name\":\"n\",\"Driver\":\"macvlan\"}", "plugin \"macvlan\" not found"},
		{"{\"Name\":\"n\",\"IPAM\":{\"Driver\":\"odd\"}}", "plugin \"odd\" not found"},
		{"{\"Name\":\"n\",\"EnableIPv4\":false}", "IPv4 or IPv6 must be enabled"},
		{SUBNET("10.9.0.1/24", ""), "invalid network config:\ninvalid subnet 10.9.0.1/24: it should be 10.9.0.0/24"},
		{SUBNET("odd", ""), "invalid network config:\ninvalid subnet odd: invalid CIDR block notation"},
		{SUBNET("10.9.0.0/24", ",\"IPRange\":\"10.8.0.0/25\",\"Gateway\":\"10.7.0.1\""),
			"invalid network config:\ninvalid ip-range 10.8.0.0/25: parent subnet 10.9.0.0/24 doesn't contain ip-range\ninvalid gateway 10.7.0.1: parent subnet 10.9.0.0/24 doesn't "
			"contain this address"},
		{SUBNET("10.9.0.0/24", ",\"IPRange\":\"10.0.0.0/8\""), "invalid network config:\ninvalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.9.0.0/24"},
		{SUBNET("10.9.0.0/24", ",\"Gateway\":\"fd00::1\""), "invalid network config:\ninvalid gateway fd00::1: parent subnet is an IPv4 block"},
		{SUBNET("10.9.0.0/24", ",\"Gateway\":\"10.9.0.5\",\"AuxiliaryAddresses\":{\"x\":\"10.9.0.5\"}"), "failed to allocate gateway (10.9.0.5): Address already in use"},
		{SUBNET("10.9.0.0/24", ",\"Gateway\":\"10.9.0.0\""), "failed to allocate gateway (10.9.0.0): Address already in use"},
		{SUBNET("10.9.0.0/24", ",\"Gateway\":\"10.9.0.255\""), "failed to allocate gateway (10.9.0.255): Address already in use"},
		{SUBNET("10.9.0.0/31", ",\"Gateway\":\"10.9.0.1\""), "10.9.0.0/31 10.9.0.1 10.9.0.0/31| "},
		{SUBNET("10.9.0.0/24", ",\"AuxiliaryAddresses\":{\"x\":\"10.9.0.5\",\"y\":\"10.9.0.5\"}"), "failed to allocate secondary ip address (y:10.9.0.5): Address already in use"},
		{SUBNET("10.9.0.0/24", ",\"AuxiliaryAddresses\":{\"x\":\"10.9.0.255\"}"), "failed to allocate secondary ip address (x:10.9.0.255): Address already in use"},
		{SUBNET("127.0.0.0/24", ""), "loopback subnet '127.0.0.0/24' is not allowed"},
		{SUBNET("64.0.0.0/2", ""), "loopback subnet '64.0.0.0/2' is not allowed"},
		{SUBNET("224.1.0.0/16", ""), "multicast subnet '224.1.0.0/16' is not allowed"},
		{SUBNET("255.255.255.0/24", ""), "broadcast subnet '255.255.255.0/24' is not allowed"},
		{SUBNET("240.1.0.0/16", ""), "240.1.0.0/16 240.1.0.1 240.1.0.0/16| "},
		{OPTION("com.docker.network.driver.mtu", "67"), "invalid MTU number: 67 (68 to 65535, or 0 for the default)"},
		{OPTION("com.docker.network.driver.mtu", "65536"), "invalid MTU number: 65536 (68 to 65535, or 0 for the default)"},
		{"{\"Name\":\"n\",\"EnableIPv6\":true,\"Options\":{\"com.docker.network.driver.mtu\":\"1279\"}}", "invalid MTU number: 1279 (IPv6 needs 1280)"},
		{SUBNET("10.9.0.0/24", ",\"AuxiliaryAddresses\":{\"x\":\"10.8.0.5\"}"),
			"invalid network config:\ninvalid auxiliary address x 10.8.0.5: parent subnet 10.9.0.0/24 doesn't contain this address"},
		{SUBNET("172.17.0.0/24", ""), "invalid pool request: Pool overlaps with other one on this address space"},
		{"{\"Name\":\"n\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.1.0.0/24\"},{\"Subnet\":\"10.2.0.0/24\"}]}}", "bridge driver doesn't support multiple subnets"},
		{OPTION("com.docker.network.driver.mtu", "abc"), "failed to parse com.docker.network.driver.mtu value: abc (expected a number)"},
		{OPTION("com.docker.network.driver.mtu", "-1"), "invalid MTU number: -1"},
		{OPTION("com.docker.network.bridge.enable_icc", "maybe"), "failed to parse com.docker.network.bridge.enable_icc value: maybe (expected true or false)"},
		{OPTION("com.docker.network.bridge.name", "../x"), "failed to parse com.docker.network.bridge.name value: ../x (a device name has " DEVICE_NAME_RULE ")"},
		{OPTION("com.docker.network.unknown", "x"), "172.18.0.0/16 172.18.0.1 172.18.0.0/16| "},
		{"{\"Name\":\"n\",\"ConfigOnly\":true,\"Internal\":true}",
			"configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported."},
		{"{\"Name\":\"n\",\"ConfigFrom\":{\"Network\":\"there\"}}", "configuration network \"there\" does not exist"},
	};
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	c.ula = fix_prefix("fd01:203:405::/48");
	fix_put(w, fix_network('5', "there", "10.55.0.0/24", 20));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_STR(made(w, &c, cases[i].body, NULL, &a), cases[i].want);
	world_free(w);
	arena_free(&a);
}

TEST(options_and_where_they_come_from)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	struct network *n = NULL, *from = NULL;
	REQUIRE(kvs_set(&a, &c.default_opts, "com.docker.network.driver.mtu", "1400") == 0 && kvs_set(&a, &c.default_opts, "com.docker.network.bridge.enable_icc", "false") == 0);
	(void)made(w, &c, OPTION("com.docker.network.driver.mtu", "1300"), &n, &a);
	REQUIRE(n);
	CHECK(n->mtu == 1300 && !n->icc && n->masquerade);
	thing_unref(n);
	(void)made(w, &c, "{\"Name\":\"conf\",\"ConfigOnly\":true,\"Labels\":{\"k\":\"v\"},\"Options\":{\"com.docker.network.driver.mtu\":\"1200\"},\"IPAM\":{\"Config\":[{\"Subnet\":\"10.66.0.0/24\"}]}}", &from, &a);
	REQUIRE(from);
	CHECK(from->driver == DRIVER_NULL && from->config_only);
	fix_id(from->id, '6');
	fix_put(w, from);
	n = NULL;
	CHECK_STR(made(w, &c, "{\"Name\":\"n\",\"ConfigFrom\":{\"Network\":\"conf\"},\"Options\":{\"x\":\"y\"}}", NULL, &a),
		"network driver options are not supported if the network depends on a configuration network");
	CHECK_STR(made(w, &c, "{\"Name\":\"n\",\"ConfigFrom\":{\"Network\":\"conf\"}}", &n, &a), "10.66.0.0/24 10.66.0.1 10.66.0.0/24| ");
	REQUIRE(n);
	CHECK(n->mtu == 1200 && kvs_get(&n->labels, "k"));
	CHECK_STR(n->config_from, "conf");
	thing_unref(n);
	world_free(w);
	arena_free(&a);
}

/* Cost is counted in visits of tree nodes, not in time. */
TEST(two_thousand_networks)
{
	static const struct pool pool = {{{AF_INET, {10}}, 8}, 24};
	struct world *w = world_new();
	struct netconf c = fix_conf();
	unsigned long most = 0;
	c.pools = &pool;
	c.npools = 1;
	for (int i = 0; i < 2000; i++) {
		struct prefix p;
		struct err e = {0};
		char id[ID_TEXT], name[16], t[PREFIX_TEXT];
		unsigned long before = tree_steps;
		REQUIRE(ipam_pick_subnet(w, &c, AF_INET, 0, NULL, &p, &e) == 0);
		most = tree_steps - before > most ? tree_steps - before : most;
		CHECK(ip4_host(&p.ip) == (10u << 24) + ((unsigned)i << 8));
		snprintf(name, sizeof(name), "n%d", i);
		snprintf(id, sizeof(id), "%064d", i);
		struct network *n = network_new(id, name, DRIVER_BRIDGE);
		n->seq = i + 1;
		n->enable_v4 = true;
		REQUIRE(prefix_parse(prefix_format(&p, t), &n->v4.net) == 0);
		fix_put(w, n);
	}
	printf("# at most %lu visits a choice\n", most);
	CHECK(most < 1500);
	struct prefix p;
	struct err e = {0};
	char id[ID_TEXT];
	snprintf(id, sizeof(id), "%064d", 700);
	REQUIRE(world_del(w, NOUN_NETWORK, id, &e) == 0 && ipam_pick_subnet(w, &c, AF_INET, 0, NULL, &p, &e) == 0);
	CHECK(ip4_host(&p.ip) == (10u << 24) + (700u << 8));
	world_free(w);
}

TESTS(T(requests), T(options_and_where_they_come_from), T(two_thousand_networks))
