/* The nouns: copies are independent, the stored form is read back as it was, and nothing is lost when memory runs out.
 */
#include "model/world.h"
#include "oom.h"
#include "test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct network *full_network(void)
{
	struct network *n = network_new(ID, "mine", DRIVER_BRIDGE);
	struct arena *a = &n->thing.mem;
	n->is_default = n->predefined = n->user_device = n->enable_v4 = n->enable_v6 = n->internal = n->attachable =
		n->inhibit_v4 = true;
	n->icc = n->masquerade = false;
	n->gw_mode4 = GW_ROUTED;
	n->gw_mode6 = GW_ISOLATED;
	n->mtu = 9000;
	prefix_parse("10.1.0.0/16", &n->v4.net);
	prefix_parse("10.1.2.0/24", &n->v4.range);
	ip_parse("10.1.2.1", &n->v4.gateway);
	n->v4.has_range = true;
	n->v4.naux = 1;
	n->v4.aux = arena_new(a, struct aux_address, 1);
	n->v4.aux[0].name = arena_dup(a, "router");
	ip_parse("10.1.2.9", &n->v4.aux[0].ip);
	prefix_parse("fd00:1::/64", &n->v6.net);
	n->v6.range = n->v6.net;
	n->v6.from_pool = n->v4.gateway_users = true;
	kvs_set(a, &n->options, "o", "1");
	kvs_set(a, &n->ipam_options, "i", "2");
	kvs_set(a, &n->labels, "l", "\303\274");
	return n;
}

static struct endpoint *full_endpoint(void)
{
	struct endpoint *ep = endpoint_new(ID, ID);
	struct arena *a = &ep->thing.mem;
	ip_parse("10.0.0.9", &ep->want_ip4);
	ip_parse("fd00::9", &ep->want_ip6);
	mac_parse("02:00:00:00:00:09", &ep->want_mac);
	strv_add(a, &ep->aliases, "al");
	strv_add(a, &ep->links, "a:b");
	strv_add(a, &ep->link_local, "169.254.0.1");
	kvs_set(a, &ep->driver_opts, "k", "v");
	ep->gw_priority = -3;
	STR_COPY(ep->want_ifname, "lan0");
	ep->joined = true;
	STR_COPY(ep->id, ID);
	ep->seq = 2;
	ep->ip4 = ep->want_ip4;
	ep->ip6 = ep->want_ip6;
	ep->mac = ep->want_mac;
	STR_COPY(ep->ifname, "lan0");
	endpoint_veth_name(ep->id, ep->veth);
	return ep;
}

static char *text(json_t *j)
{
	char *s = j ? json_text(j) : NULL;
	json_decref(j);
	return s;
}

TEST(networks)
{
	struct err e = {0};
	struct network *n = full_network(), *copy = network_copy(n), *back = network_new(ID, "mine", DRIVER_BRIDGE);
	OWN(own_json) json_t *j = network_to_json(n);
	OWN(own_free) char *want = text(json_incref(j));
	thing_unref(n); /* the copy needs nothing of it */
	OWN(own_free) char *copied = text(network_to_json(copy));
	CHECK_STR(copied, want);
	REQUIRE(network_from_json(back, j, &e) == 0);
	OWN(own_free) char *read = text(network_to_json(back));
	CHECK_STR(read, want);
	struct ip gw;
	ip_parse("10.1.2.1", &gw);
	CHECK(back->mtu == 9000 && back->gw_mode4 == GW_ROUTED && back->gw_mode6 == GW_ISOLATED && !back->icc &&
		!back->masquerade);
	CHECK(back->user_device && back->inhibit_v4 && ip_eq(&back->v4.gateway, &gw) && back->v4.naux == 1 &&
		back->v6.from_pool && back->v4.gateway_users && !back->v6.gateway_users);
	CHECK(prefix_eq(&back->v6.range, &back->v6.net) && !ip_is_set(&back->v6.gateway));
	CHECK_STR(copy->bridge, "br-0123456789ab");
	CHECK(streq(copy->thing.key, ID) && network_subnet(copy, AF_INET6) == &copy->v6);
	static const char *const bad[] = {"{\"v4\":{\"net\":\"x\"}}", "{\"mode4\":9}",
		"{\"v4\":{\"net\":\"10.0.0.0/8\",\"aux\":[{\"name\":\"a\"}]}}", "[]"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN(own_json) json_t *b = NULL;
		REQUIRE(json_parse(bad[i], strlen(bad[i]), &b, &e) == 0);
		CHECK(network_from_json(back, b, &e) < 0);
	}
	thing_unref(copy);
	thing_unref(back);
}

TEST(endpoints)
{
	struct err e = {0};
	struct endpoint *ep = full_endpoint(), *copy = endpoint_copy(ep), *back = endpoint_new(ID, ID);
	char alias[64];
	OWN(own_json) json_t *j = endpoint_to_json(ep);
	OWN(own_free) char *want = text(json_incref(j));
	thing_unref(ep);
	OWN(own_free) char *copied = text(endpoint_to_json(copy));
	CHECK_STR(copied, want);
	REQUIRE(endpoint_from_json(back, j, &e) == 0);
	OWN(own_free) char *read = text(endpoint_to_json(back));
	CHECK_STR(read, want);
	CHECK(back->joined && ip_eq(&back->ip6, &back->want_ip6) && back->gw_priority == -3 &&
		streq(back->ifname, "lan0") && back->seq == 2);
	CHECK_STR(copy->veth, "veth0123456");
	endpoint_alias(copy, alias);
	CHECK_STR(alias, "pontoon:0123456789ab/0123456789ab");
	CHECK_STR(copy->thing.key, ID "/" ID);
	json_object_set_new(j, "ifname", json_string("longer-than-any-interface"));
	CHECK(endpoint_from_json(back, j, &e) < 0);
	thing_unref(copy);
	thing_unref(back);
}

TEST(no_memory)
{
	struct network *n = full_network();
	struct endpoint *ep = full_endpoint();
	OWN(own_free) char *want_n = text(network_to_json(n));
	OWN(own_free) char *want_ep = text(endpoint_to_json(ep));
	bool failed = true;
	for (unsigned k = 1; failed && !test_failed; k++) {
		oom_after = k;
		struct network *c = network_copy(n);
		struct endpoint *d = endpoint_copy(ep);
		OWN(own_free) char *a = c ? text(network_to_json(c)) : NULL;
		OWN(own_free) char *b = d ? text(endpoint_to_json(d)) : NULL;
		failed = !oom_after;
		oom_after = 0;
		CHECK(!a || streq(a, want_n));
		CHECK(!b || streq(b, want_ep));
		CHECK(failed || (a && b));
		thing_unref(c);
		thing_unref(d);
	}
	thing_unref(n);
	thing_unref(ep);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {T(networks), T(endpoints), T(no_memory)};
	oom_setup();
	return test_main(tests, ARRAY_LEN(tests), argc, argv);
}
