#include "firewall.h"

static char *listing(struct toy_fw *k)
{
	return toy_fw_save(k, false, FW_RAW);
}

struct lab {
	struct toy_fw *k[FW_FAMILY_N];
	struct fw_host h;
	struct arena a;
	struct netconf c;
};

static void lab_open(struct lab *l)
{
	*l = (struct lab){.k = {toy_fw_new(), toy_fw_new()}, .c = fix_conf()};
	l->h = (struct fw_host){.save = toy_host_save, .run = toy_host_run, .arg = l->k};
}

static void lab_close(struct lab *l)
{
	toy_fw_free(l->k[0]);
	toy_fw_free(l->k[1]);
	arena_free(&l->a);
}

/* Mends what there is to what the world wants; true when nothing differs afterwards. */
static bool mend(struct lab *l, const struct world *w, const struct strv *marked)
{
	struct kstate want = fw_want(w, &l->c, &l->a);
	struct kstate have = fw_observe(&l->h, w, marked, &l->c, &l->a);
	struct plan p;
	struct err e = {0};
	if (!fw_apply(&l->h, &have, &want, w, &l->c, false, &l->a))
		return false;
	have = fw_observe(&l->h, w, marked, &l->c, &l->a);
	if (plan_diff(&l->a, &have, &want, &p, &e) < 0)
		return false;
	struct buf text = {0};
	plan_text(&p, &l->a, &text);
	if (p.n)
		printf("# still differs:\n# %s\n", buf_str(&text));
	buf_free(&text);
	return p.n == 0;
}

TEST(empty_daemon)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world();
	CHECK(mend(&l, w, NULL));
	char *text = listing(l.k[FW_V4]);
	GOLDEN("net/fw_empty_daemon.txt", text);
	free(text);
	text = listing(l.k[FW_V6]);
	CHECK(!strstr(text, "DOCKER"));
	free(text);
	world_free(w);
	lab_close(&l);
}

/* In all modes, both families. */
TEST(all_sorts_of_networks)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fw_world();
	CHECK(mend(&l, w, NULL));
	char *text = listing(l.k[FW_V4]);
	GOLDEN("net/fw_networks4.txt", text);
	free(text);
	text = listing(l.k[FW_V6]);
	GOLDEN("net/fw_networks6.txt", text);
	free(text);
	world_free(w);
	lab_close(&l);
}

TEST(options_of_the_daemon)
{
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	c.iptables = false;
	CHECK_INT(fw_want(w, &c, &a).n, 0);
	c = fix_conf();
	c.policy_drop = false;
	struct kstate s = fw_want(w, &c, &a);
	for (size_t i = 0; i < s.n; i++)
		CHECK(s.v[i].kind != K_POLICY);
	c.ip_masq = false;
	s = fw_want(w, &c, &a);
	for (size_t i = 0; i < s.n; i++)
		CHECK(s.v[i].kind != K_RULE || !strstr(s.v[i].rule.text, "MASQUERADE"));
	c.no_raw = true;
	s = fw_want(w, &c, &a);
	for (size_t i = 0; i < s.n; i++)
		CHECK(s.v[i].kind != K_RULE || s.v[i].rule.table != FW_RAW);
	c.no_raw = false;
	c.direct_routing = true;
	struct kstate direct = fw_want(w, &c, &a);
	REQUIRE(direct.n == s.n);
	for (size_t i = 0; i < s.n; i++)
		CHECK(kobj_cmp_key(&s.v[i], &direct.v[i]) == 0);
	arena_free(&a);
	world_free(w);
}

/* The text of one run for a new network, with foreign rules about. */
TEST(new_network_text)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world();
	CHECK(mend(&l, w, NULL));
	toy_fw_run(l.k[FW_V4], "*filter\n-I FORWARD 2 -s 198.51.100.1/32 -j DROP\n-I FORWARD 4 -s 198.51.100.2/32 -j "
			       "DROP\n-I FORWARD 5 -s 198.51.100.3/32 -j DROP\nCOMMIT\n");
	struct kstate before = fw_want(w, &l.c, &l.a);
	struct network *n = fix_network('a', "plain", "172.18.0.0/16", 10);
	fix_put(w, n);
	struct kstate after = fw_want(w, &l.c, &l.a);
	struct plan p;
	struct err e = {0};
	struct buf text = {0};
	REQUIRE(plan_diff(&l.a, &before, &after, &p, &e) == 0);
	for (size_t i = 0; i < p.n; i++)
		buf_puts(&text, fw_step_text(&l.h, &p.v[i], w, &l.c, &l.a, NULL));
	GOLDEN("net/fw_new_network.txt", buf_str(&text));
	buf_free(&text);
	world_free(w);
	lab_close(&l);
}

/* iptables looks for a rule to delete from the top of its chain on: in another order than the chain's, ten thousand take minutes. */
TEST(deleted_in_the_order_of_the_chain)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world();
	struct kstate none = fw_want(w, &l.c, &l.a);
	fw_publish(w, '1', 'd', IPPROTO_TCP, "", 19900, 200, "172.17.0.2", 9900);
	fw_publish(w, '2', 'd', IPPROTO_TCP, "", 900, 200, "172.17.0.3", 900);
	CHECK(mend(&l, w, NULL));
	struct kstate all = fw_want(w, &l.c, &l.a);
	struct plan p;
	struct err e = {0};
	REQUIRE(plan_diff(&l.a, &all, &none, &p, &e) == 0);
	char *text = listing(l.k[FW_V4]), *at = text;
	unsigned n = 0;
	for (size_t i = 0; i < p.n; i++) {
		char *run = arena_dup(&l.a, fw_step_text(&l.h, &p.v[i], w, &l.c, &l.a, NULL));
		for (char *line = strtok(run, "\n"); line; line = strtok(NULL, "\n")) {
			if (!str_starts(line, "-D DOCKER "))
				continue;
			const char *rule = arena_printf(&l.a, "-A%s\n", line + 2);
			at = at ? strstr(at, rule) : NULL;
			CHECK(at);
			n++;
		}
	}
	CHECK_INT(n, 800);
	free(text);
	world_free(w);
	lab_close(&l);
}

/* A foreign rule at every place of every chain; then a network comes and goes, and the listing is as before. */
TEST(foreign_rules_at_every_place)
{
	static const struct {
		enum fw_table t;
		const char *chain;
	} chains[] = {{FW_FILTER, "FORWARD"}, {FW_FILTER, "DOCKER"}, {FW_FILTER, "DOCKER-ISOLATION-STAGE-1"},
		{FW_FILTER, "DOCKER-ISOLATION-STAGE-2"}, {FW_FILTER, "DOCKER-USER"}, {FW_NAT, "PREROUTING"},
		{FW_NAT, "OUTPUT"}, {FW_NAT, "POSTROUTING"}, {FW_NAT, "DOCKER"}, {FW_RAW, "PREROUTING"}};
	struct world *with = fw_world(), *without = fw_world();
	struct err e = {0};
	char id[ID_TEXT];
	fix_id(id, 'c'); /* one in the middle */
	REQUIRE(world_del(without, NOUN_NETWORK, id, &e) == 0);
	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		for (int place = 1; place < 40; place++) {
			struct lab l;
			char text[256];
			lab_open(&l);
			struct kstate none = {.mem = &l.a}, small = fw_want(without, &l.c, &l.a),
				      big = fw_want(with, &l.c, &l.a);
			REQUIRE(fw_apply(&l.h, &none, &small, without, &l.c, false, &l.a));
			snprintf(text, sizeof(text), "*%s\n-I %s %d -s 198.51.100.1/32 -j LOG\nCOMMIT\n",
				fw_table_name(chains[c].t), chains[c].chain, place);
			toy_fw_run(l.k[FW_V4], text);
			bool beyond = l.k[FW_V4]->error[0];
			l.k[FW_V4]->error[0] = '\0';
			char *before = listing(l.k[FW_V4]);
			bool ok = fw_apply(&l.h, &small, &big, with, &l.c, false, &l.a) && mend(&l, with, NULL);
			/* mend may move the jump to DOCKER-USER to the top: then the foreign rule alone is compared */
			ok = ok && fw_apply(&l.h, &big, &small, with, &l.c, false, &l.a);
			char *after = listing(l.k[FW_V4]);
			bool on_top = streq(chains[c].chain, "FORWARD") && place == 1;
			if (!ok || (!on_top && !streq(before, after)) ||
				(!beyond && !strstr(after, "198.51.100.1/32 -j LOG"))) {
				printf("# %s %d:\n%s", chains[c].chain, place, after);
				test_failed = true;
			}
			free(before);
			free(after);
			lab_close(&l);
			if (beyond || test_failed)
				break;
		}
	}
	world_free(with);
	world_free(without);
}

/* Every step's undo puts the tables back. */
TEST(undo)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fw_world();
	struct kstate none = fw_observe(&l.h, w, NULL, &l.c, &l.a), all = fw_want(w, &l.c, &l.a);
	char *before4 = listing(l.k[FW_V4]), *before6 = listing(l.k[FW_V6]);
	CHECK(fw_apply(&l.h, &none, &all, w, &l.c, false, &l.a));
	CHECK(fw_apply(&l.h, &none, &all, w, &l.c, true, &l.a));
	char *after4 = listing(l.k[FW_V4]), *after6 = listing(l.k[FW_V6]);
	CHECK_STR(after4, before4);
	CHECK_STR(after6, before6);
	free(before4);
	free(before6);
	free(after4);
	free(after6);
	world_free(w);
	lab_close(&l);
}

TEST(drift_is_mended)
{
	static const char *const drifts[] = {
		"*filter\n-F FORWARD\nCOMMIT\n",
		"*filter\n-F FORWARD\n-F DOCKER-ISOLATION-STAGE-1\n-F DOCKER-ISOLATION-STAGE-2\n-X "
		"DOCKER-ISOLATION-STAGE-2\nCOMMIT\n",
		"*filter\n-P FORWARD ACCEPT\nCOMMIT\n",
		"*filter\n-D FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-USER\nCOMMIT\n",
		"*filter\n-I FORWARD 1 -s 198.51.100.1/32 -j LOG\nCOMMIT\n",
		"*filter\n-D FORWARD -i docker0 -o docker0 -j ACCEPT\n-I FORWARD 1 -i docker0 -o docker0 -j "
		"ACCEPT\nCOMMIT\n",
		"*filter\n-D FORWARD -j DOCKER-ISOLATION-STAGE-1\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\nCOMMIT\n",
		"*filter\n-D DOCKER-ISOLATION-STAGE-1 -j RETURN\n-I DOCKER-ISOLATION-STAGE-1 1 -j RETURN\nCOMMIT\n",
		"*nat\n-F POSTROUTING\n-F PREROUTING\n-F DOCKER\nCOMMIT\n",
		"*raw\n-F PREROUTING\nCOMMIT\n",
	};
	struct world *w = fw_world();
	for (size_t i = 0; i < ARRAY_LEN(drifts); i++) {
		struct lab l;
		lab_open(&l);
		REQUIRE(mend(&l, w, NULL));
		char *before = listing(l.k[FW_V4]);
		toy_fw_run(l.k[FW_V4], drifts[i]);
		CHECK_STR(l.k[FW_V4]->error, "");
		CHECK(mend(&l, w, NULL));
		if (!strstr(drifts[i], "LOG") && !strstr(drifts[i], "-X ")) { /* a chain made anew is listed last */
			char *after = listing(l.k[FW_V4]);
			CHECK_STR(after, before);
			free(after);
		}
		free(before);
		lab_close(&l);
	}
	world_free(w);
}

/* Ours is what has our shape on our device, once; what looks like it on another device is a stranger's. */
TEST(what_is_ours)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world();
	REQUIRE(mend(&l, w, NULL));
	toy_fw_run(l.k[FW_V4], "*filter\n-A FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT\n-A FORWARD -i "
			       "docker0 -o docker0 -j ACCEPT\n-A FORWARD -i eth0 -o eth0 -j DROP\n"
			       "-A DOCKER-USER -s 198.51.100.9/32 -j DROP\nCOMMIT\n*nat\n-A POSTROUTING -s 10.1.0.0/16 "
			       "! -o br-0123456789ab -j MASQUERADE\nCOMMIT\n");
	char *before = listing(l.k[FW_V4]);
	CHECK(mend(&l, w, NULL));
	char *after = listing(l.k[FW_V4]);
	CHECK_STR(after, before);
	free(after);
	free(before);
	/* the same, when the link carries our alias: left over by a crash */
	struct strv marked = {0};
	strv_add(&l.a, &marked, "br-0123456789ab");
	CHECK(mend(&l, w, &marked));
	after = listing(l.k[FW_V4]);
	CHECK(!strstr(after, "br-0123456789ab"));
	CHECK(strstr(after, "-i eth0 -o eth0 -j DROP") && strstr(after, "198.51.100.9"));
	free(after);
	world_free(w);
	lab_close(&l);
}

/* A docker0 whose subnet has changed: the old subnet's rules are ours and go. */
TEST(subnet_of_docker0_changes)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world();
	REQUIRE(mend(&l, w, NULL));
	struct network *n = fix_docker0();
	n->v4.net = n->v4.range = fix_prefix("10.9.0.0/24");
	fix_put(w, n);
	CHECK(mend(&l, w, NULL));
	char *text = listing(l.k[FW_V4]);
	CHECK(!strstr(text, "172.17") && strstr(text, "-s 10.9.0.0/24 ! -o docker0 -j MASQUERADE"));
	free(text);
	world_free(w);
	lab_close(&l);
}

/* Rules flushed by somebody must not keep a network from being removed, nor ones already there from being added. */
TEST(races_with_others)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world(), *big = fw_world();
	struct kstate none = {.mem = &l.a}, all = fw_want(big, &l.c, &l.a), small = fw_want(w, &l.c, &l.a);
	REQUIRE(fw_apply(&l.h, &none, &all, big, &l.c, false, &l.a));
	CHECK(fw_apply(&l.h, &none, &all, big, &l.c, false, &l.a)); /* again: nothing twice */
	char *text = listing(l.k[FW_V4]);
	const char *first = strstr(text, "-A FORWARD -j DOCKER-USER");
	CHECK(first && !strstr(first + 1, "-A FORWARD -j DOCKER-USER"));
	free(text);
	toy_fw_run(l.k[FW_V4], "*filter\n-F FORWARD\n-F DOCKER-ISOLATION-STAGE-1\nCOMMIT\n*nat\n-F "
			       "DOCKER\nCOMMIT\n*raw\n-F PREROUTING\nCOMMIT\n");
	CHECK(fw_apply(&l.h, &all, &small, big, &l.c, false, &l.a));
	world_free(w);
	world_free(big);
	lab_close(&l);
}

TEST(parse)
{
	static const struct {
		const char *text;
		bool ok;
		size_t rules; /* of filter */
	} t[] = {
		{"", true, 0},
		{"# only a comment\n", true, 0},
		{"*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j X\nCOMMIT\n", true, 1},
		{"*filter\n:FORWARD DROP\n[3:180] -A FORWARD -j X\nCOMMIT\n", true, 1},
		{"*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j X\nCOMMIT\n", true, 0},
		{"*filter\n-A FORWARD -m comment --comment \"two\nlines \\\" of it\" -j X\n-A FORWARD -j Y\nCOMMIT\n",
			true, 2},
		{"*filter\n-A FORWARD -j X\n", false, 0},
		{"*filter\nsurprise\nCOMMIT\n", false, 0},
		{"-A FORWARD -j X\n", false, 0},
		{"*filter\n*nat\nCOMMIT\n", false, 0},
		{"*filter\n:\n-A \nCOMMIT\n", true, 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct arena a = {0};
		struct fw_listing l[FW_TABLE_N];
		struct err e = {0};
		int r = fw_parse(t[i].text, FW_V4, &a, l, &e);
		CHECK_INT(r >= 0, t[i].ok);
		if (r >= 0)
			CHECK_INT(l[FW_FILTER].n, t[i].rules);
		arena_free(&a);
	}
}

/* Nearly ours is not ours. */
TEST(near_misses)
{
	static const char *const t[] = {"-i docker0 -o docker1 -j ACCEPT", "-i docker0 -o docker0 -j ACCEPT -m comment",
		"-i docker0 -o docker0 -j  ACCEPT", "-i  -o  -j ACCEPT", "-j DOCKER-USER2", "-j DOCKER-USE",
		"-o docker0 -j DOCKER2", "-i 0123456789abcdef -o 0123456789abcdef -j ACCEPT", ""};
	struct arena a = {0};
	struct world *w = fix_world();
	struct netconf c = fix_conf();
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct fw_line line = {.chain = "FORWARD", .text = t[i]}, *lines = &line;
		struct fw_listing l = {.family = FW_V4, .table = FW_FILTER, .lines = &lines, .n = 1};
		struct kstate s = {.mem = &a};
		struct err e = {0};
		CHECK(fw_recognise(&l, w, NULL, &c, &s, &e) == 0 && s.n == 0 && !line.ours);
	}
	arena_free(&a);
	world_free(w);
}

/* 300 networks at once, one more, and away: the cost must not be quadratic enough to be felt. */
TEST(many_networks)
{
	struct lab l;
	lab_open(&l);
	struct world *w = fix_world();
	for (int i = 0; i < 300; i++) {
		char id[ID_TEXT];
		snprintf(id, sizeof(id), "%064x", i + 1);
		struct network *n = network_new(id, id, DRIVER_BRIDGE);
		snprintf(n->bridge, sizeof(n->bridge), "br-%012x", i + 1);
		n->enable_v4 = true;
		n->seq = 100 + i;
		n->v4.net = n->v4.range = (struct prefix){.ip = ip4(0x0a000000u + 256u * (unsigned)i), .len = 24};
		fix_put(w, n);
	}
	CHECK(mend(&l, w, NULL));
	world_free(w);
	lab_close(&l);
}

TESTS(T(empty_daemon), T(all_sorts_of_networks), T(options_of_the_daemon), T(new_network_text), T(deleted_in_the_order_of_the_chain),
	T(foreign_rules_at_every_place), T(undo), T(drift_is_mended), T(what_is_ours), T(subnet_of_docker0_changes),
	T(races_with_others), T(parse), T(near_misses), T(many_networks))
