#include "fixture.h"

static const char *state(const struct world *w, const struct netconf *c, struct arena *a)
{
	struct kstate s = {.mem = a};
	struct err e = {0};
	if (want_all(w, c, &s, &e) < 0)
		return arena_dup(a, e.msg);
	kstate_sort(&s);
	return fix_state_text(&s, a);
}

/* The main scene: two containers on docker0. */
TEST(two_on_docker0)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	fix_joined(w, &c, 'a', "a-in-docker0", "bridge");
	fix_joined(w, &c, 'b', "b-in-docker0", "bridge");
	GOLDEN("net/want_two_on_docker0.txt", state(w, &c, &a));
	arena_free(&a);
	world_free(w);
}

TEST(other_modes)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	fix_joined(w, &c, 'a', "on-host", "host");
	fix_joined(w, &c, 'b', "on-none", "none");
	fix_joined(w, &c, 'c', "with-a", "container:a");
	GOLDEN("net/want_host_and_none.txt", state(w, &c, &a));
	arena_free(&a);
	world_free(w);
}

/* mtu, IPv6, internal, isolated, a device of the user's, no address on the bridge. */
TEST(sorts_of_networks)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	struct network *n = fix_network('5', "dual", "10.5.0.0/24", 10);
	n->mtu = 1400;
	n->enable_v6 = true;
	n->v6.net = n->v6.range = fix_prefix("fd00:5::/64");
	n->v6.gateway = fix_ip("fd00:5::1");
	fix_put(w, n);
	n = fix_network('6', "six", "fd00:6::/64", 11);
	fix_put(w, n);
	n = fix_network('4', "inside", "10.4.0.0/24", 12);
	n->internal = true;
	n->inhibit_v4 = true;
	fix_put(w, n);
	n = fix_network('3', "isolated", "10.3.0.0/31", 13);
	n->internal = true;
	n->gw_mode4 = n->gw_mode6 = GW_ISOLATED;
	n->v4.gateway = (struct ip){0};
	fix_put(w, n);
	n = fix_network('2', "adopted", "10.2.0.0/24", 14);
	STR_COPY(n->bridge, "mybridge");
	n->user_device = true;
	fix_put(w, n);
	c.iptables = false;
	fix_joined(w, &c, 'a', "a", "dual");
	fix_joined(w, &c, 'b', "b", "six");
	fix_joined(w, &c, 'c', "c", "inside");
	fix_joined(w, &c, 'd', "d", "isolated");
	GOLDEN("net/want_networks.txt", state(w, &c, &a));
	arena_free(&a);
	world_free(w);
}

/* The plan of an operation: a container starts, and stops. */
TEST(plan_of_start_and_stop)
{
	struct arena a = {0};
	struct world *w = fix_world(), *before = fix_world();
	struct netconf c = fix_conf();
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	struct plan p;
	struct err e = {0};
	struct buf text = {0};
	fix_joined(w, &c, 'a', "a", "bridge");
	REQUIRE(want_all(before, &c, &have, &e) == 0 && want_all(w, &c, &want, &e) == 0);
	REQUIRE(plan_diff(&a, &have, &want, &p, &e) == 0);
	plan_text(&p, &a, &text);
	GOLDEN("net/plan_start.txt", buf_str(&text));
	buf_free(&text);
	REQUIRE(plan_diff(&a, &want, &have, &p, &e) == 0);
	plan_text(&p, &a, &text);
	GOLDEN("net/plan_stop.txt", buf_str(&text));
	buf_free(&text);
	struct kstate nothing = {.mem = &a};
	REQUIRE(plan_diff(&a, &nothing, &want, &p, &e) == 0);
	plan_text(&p, &a, &text);
	GOLDEN("net/plan_from_nothing.txt", buf_str(&text));
	buf_free(&text);
	arena_free(&a);
	world_free(w);
	world_free(before);
}

TEST(daemon_options)
{
	struct arena a = {0};
	struct world *w = world_new();
	struct netconf c = fix_conf();
	c.iptables = false;
	c.bridge_none = true;
	CHECK_STR(state(w, &c, &a), "sysctl net/ipv4/ip_forward = 1\n");
	c.ip_forward = false;
	CHECK_STR(state(w, &c, &a), "");
	arena_free(&a);
	world_free(w);
}

TEST(default_gateway)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	struct err e = {0};
	struct network *n = fix_docker0();
	c.default_gateway = fix_ip("172.17.0.254");
	REQUIRE(ipam_default_bridge(w, &c, n, &e) == 0);
	fix_put(w, n);
	fix_joined(w, &c, 'a', "a", "bridge");
	const char *t = state(w, &c, &a);
	CHECK(strstr(t, "route default via 172.17.0.254 dev eth0") && strstr(t, "address 172.17.0.1/16 on docker0"));
	arena_free(&a);
	world_free(w);
}

/* --- the units that an operation touches --- */

static const char *touched(struct world *fork, struct arena *a)
{
	static const char *const kinds[] = {"host", "network", "sandbox", "endpoint"};
	struct unit *u;
	struct err e = {0};
	struct buf b = {0};
	size_t n;
	if (want_touched(fork, a, &u, &n, &e) < 0)
		abort();
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s%s%.2s%s%.2s", b.len ? " " : "", kinds[u[i].kind], *u[i].id ? ":" : "", u[i].id,
			strchr(u[i].id, '/') ? "/" : "", strchr(u[i].id, '/') ? strchr(u[i].id, '/') + 1 : "");
	const char *t = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return t;
}

TEST(touched_units)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	struct err e = {0};
	char id[ID_TEXT];
	fix_put(w, fix_network('7', "n", "10.7.0.0/24", 20));
	fix_joined(w, &c, 'a', "a", "bridge");
	fix_joined(w, &c, 'b', "b", "n");

	struct world *fork = world_fork(w);
	CHECK_STR(touched(fork, &a), "");
	fix_id(id, 'a');
	REQUIRE(join_leave_all(fork, id, &e) == 0);
	CHECK_STR(touched(fork, &a), "sandbox:aa endpoint:aa/dd");
	world_free(fork);

	fork = world_fork(w); /* a second network: the gateway may change, so the first endpoint counts too */
	char net[ID_TEXT];
	fix_id(net, '7');
	fix_put(fork, endpoint_new(id, net));
	CHECK_STR(touched(fork, &a), "sandbox:aa endpoint:aa/77 endpoint:aa/dd");
	world_free(fork);

	fork = world_fork(w);
	fix_put(fork, fix_network('5', "m", "10.5.0.0/24", 21));
	CHECK_STR(touched(fork, &a), "network:55");
	fix_put(fork, fix_network('6', "six", "fd00::/64", 22));
	CHECK_STR(touched(fork, &a), "network:55 network:66 host");
	world_free(fork);

	fork = world_fork(w); /* a process keeps its sandbox, whatever networks it leaves */
	struct container *ct = container_copy(world_container(fork, id));
	ct->state = STATE_RUNNING;
	fix_put(fork, ct);
	CHECK_STR(touched(fork, &a), "sandbox:aa");
	world_free(fork);

	fork = world_fork(w); /* other states are nothing of the network's */
	ct = container_copy(world_container(fork, id));
	ct->state = STATE_EXITED;
	fix_put(fork, ct);
	CHECK_STR(touched(fork, &a), "");
	world_free(fork);
	arena_free(&a);
	world_free(w);
}

/* The parts make the whole: all units one by one are want_all. */
TEST(units_make_the_whole)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	struct err e = {0};
	struct kstate all = {.mem = &a}, sum = {.mem = &a};
	struct plan p;
	fix_joined(w, &c, 'a', "a", "bridge");
	REQUIRE(want_all(w, &c, &all, &e) == 0);
	for (size_t i = 0; i < all.n; i++) { /* every object is found again under the unit that it names */
		struct kstate one = {.mem = &a};
		bool found = false;
		REQUIRE(want_unit(w, &c, &all.v[i].unit, &one, &e) == 0);
		for (size_t k = 0; k < one.n; k++)
			found |= kobj_cmp_key(&one.v[k], &all.v[i]) == 0;
		CHECK(found);
	}
	struct unit host = {UNIT_HOST, ""};
	const struct thing *t;
	REQUIRE(want_unit(w, &c, &host, &sum, &e) == 0);
	for (int k = 0; k < 3; k++) {
		static const enum noun nouns[] = {NOUN_NETWORK, NOUN_CONTAINER, NOUN_ENDPOINT};
		static const enum unit_kind kinds[] = {UNIT_NETWORK, UNIT_SANDBOX, UNIT_ENDPOINT};
		for (size_t i = 0; (t = world_next(w, nouns[k], &i));) {
			struct unit u = {kinds[k], t->key};
			REQUIRE(want_unit(w, &c, &u, &sum, &e) == 0);
		}
	}
	REQUIRE(plan_diff(&a, &all, &sum, &p, &e) == 0);
	CHECK_INT(p.n, 0);
	CHECK_INT(sum.n, all.n);
	struct unit gone = {UNIT_NETWORK, "nope"};
	size_t before = sum.n;
	CHECK(want_unit(w, &c, &gone, &sum, &e) == 0 && sum.n == before);
	arena_free(&a);
	world_free(w);
}

TEST(bridge_check)
{
	static const struct {
		bool v4, internal;
		int mtu;
		enum gw_mode mode;
		const char *error;
	} t[] = {
		{true, false, 0, GW_NAT, ""},
		{true, false, 65535, GW_ROUTED, ""},
		{true, false, 65536, GW_ROUTED, "invalid MTU number: 65536 (68 to 65535, or 0 for the default)"},
		{false, false, 0, GW_NAT, "IPv4 or IPv6 must be enabled"},
		{true, false, -1, GW_NAT, "invalid MTU number: -1"},
		{true, false, 0, GW_ISOLATED, "gateway mode 'isolated' can only be used for an internal network"},
		{true, true, 0, GW_ISOLATED, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct err e = {0};
		struct network *n = fix_network('a', "n", "10.0.0.0/24", 1);
		n->enable_v4 = t[i].v4;
		n->internal = t[i].internal;
		n->mtu = t[i].mtu;
		n->gw_mode4 = t[i].mode;
		(void)driver_of(DRIVER_BRIDGE)->check(n, &e);
		CHECK_STR(e.msg, t[i].error);
		thing_unref(n);
	}
	for (int k = 0; k < DRIVER_N; k++)
		CHECK_STR(driver_of((enum driver_kind)k)->name, driver_kind_name((enum driver_kind)k));
}

TESTS(T(two_on_docker0), T(other_modes), T(sorts_of_networks), T(plan_of_start_and_stop), T(daemon_options),
	T(default_gateway), T(touched_units), T(units_make_the_whole), T(bridge_check))
