/* The texts of fw against the real programs, both variants, in a network namespace of its own: what is written loads,
 * what is loaded is recognised, and foreign rules between any two of ours disturb nothing. */
#include <sched.h>

#include "base/spawn.h"
#include "firewall.h"

struct variant {
	const char *save[FW_FAMILY_N], *restore[FW_FAMILY_N];
	char error[2048];
};
static struct variant variants[] = {
	{.save = {"iptables-nft-save", "ip6tables-nft-save"},
		.restore = {"iptables-nft-restore", "ip6tables-nft-restore"}},
	{.save = {"iptables-legacy-save", "ip6tables-legacy-save"},
		.restore = {"iptables-legacy-restore", "ip6tables-legacy-restore"}},
};

static int run(const char *const *argv, const char *in, struct buf *out, struct buf *err)
{
	struct spawn s = {.argv = argv};
	struct spawn_io io = {.in = in, .in_len = in ? strlen(in) : 0, .out = out, .err = err, .timeout_ms = 20000};
	struct err e = {0};
	int status;
	return spawn_run(&s, &io, &status, &e) < 0 || status ? -1 : 0;
}

static char *save(void *arg, enum fw_family f, bool only, enum fw_table t)
{
	const struct variant *v = arg;
	const char *argv[] = {v->save[f], only ? "-t" : NULL, fw_table_name(t), NULL};
	struct buf out = {0};
	if (run(argv, NULL, &out, NULL) < 0)
		abort();
	return buf_steal(&out);
}

static const char *restore(void *arg, enum fw_family f, const char *text)
{
	struct variant *v = arg;
	const char *argv[] = {v->restore[f], "--noflush", "--wait", "10", NULL};
	struct buf err = {0};
	int r = run(argv, text, NULL, &err);
	snprintf(v->error, sizeof(v->error), "%s: %.1900s", argv[0], buf_str(&err));
	buf_free(&err);
	return r < 0 ? v->error : NULL;
}

/* A network namespace with nothing in it; false when this process may not make one, or has no iptables. */
static bool enter(struct variant *v)
{
	const char *argv[] = {v->save[FW_V4], "--version", NULL};
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && run(argv, NULL, NULL, NULL) == 0;
}

static bool settled(const struct fw_host *h, const struct world *w, const struct netconf *c, struct arena *a)
{
	struct kstate want = fw_want(w, c, a), have = fw_observe(h, w, NULL, c, a);
	struct plan p;
	struct err e = {0};
	struct buf text = {0};
	if (plan_diff(a, &have, &want, &p, &e) < 0)
		return false;
	plan_text(&p, a, &text);
	if (p.n)
		printf("# differs:\n%s", buf_str(&text));
	buf_free(&text);
	return p.n == 0;
}

static void loads_and_is_recognised(struct variant *v)
{
	if (!enter(v))
		SKIP("needs root and the iptables programs");
	struct fw_host h = {.save = save, .run = restore, .arg = v};
	struct arena a = {0};
	struct netconf c = fix_conf();
	struct world *w = fw_world();
	/* a device whose name iptables-save quotes, and all that is rarely there */
	struct network *n = fix_network('4', "trusting", "172.24.0.0/16", 18);
	STR_COPY(n->bridge, "my.br");
	kvs_set(&n->thing.mem, &n->options, NETWORK_TRUSTED, "lan0:lan.1");
	fix_put(w, n);
	c.accept_mark = "0x1/0xff";
	struct kstate none = fw_observe(&h, w, NULL, &c, &a), all = fw_want(w, &c, &a);
	CHECK(fw_apply(&h, &none, &all, w, &c, false, &a));
	CHECK(settled(&h, w, &c, &a));
	struct kstate now = fw_observe(&h, w, NULL, &c, &a);
	CHECK(fw_apply(&h, &now, &none, w, &c, false, &a)); /* and all away: chains too, but for the user's */
	char *text = save(v, FW_V4, true, FW_FILTER);
	CHECK(strstr(text, "-A DOCKER-USER -j RETURN") && !strstr(text, "ISOLATION") && !strstr(text, "br-") && !strstr(text, "mark"));
	free(text);
	arena_free(&a);
	world_free(w);
}

/* Both variants print exactly what the toy prints: the golden files hold for the real ones. */
static void prints_as_golden(struct variant *v)
{
	if (!enter(v))
		SKIP("needs root and the iptables programs");
	struct fw_host h = {.save = save, .run = restore, .arg = v};
	struct arena a = {0};
	struct netconf c = fix_conf();
	struct world *w = fw_world();
	struct kstate none = {.mem = &a}, all = fw_want(w, &c, &a);
	REQUIRE(fw_apply(&h, &none, &all, w, &c, false, &a));
	struct toy_fw *k[] = {toy_fw_new(), toy_fw_new()};
	struct fw_host toy = {.save = toy_host_save, .run = toy_host_run, .arg = k};
	REQUIRE(fw_apply(&toy, &none, &all, w, &c, false, &a));
	for (int f = 0; f < FW_FAMILY_N; f++) {
		struct fw_listing real[FW_TABLE_N], want[FW_TABLE_N];
		struct err e = {0};
		char *x = save(v, (enum fw_family)f, false, FW_RAW), *y = toy_fw_save(k[f], false, FW_RAW);
		REQUIRE(fw_parse(x, (enum fw_family)f, &a, real, &e) == 0 &&
			fw_parse(y, (enum fw_family)f, &a, want, &e) == 0);
		for (int t = 0; t < FW_TABLE_N; t++) {
			size_t same = 0;
			REQUIRE(real[t].n == want[t].n);
			/* chain by chain: the programs list chains in different orders */
			for (size_t i = 0; i < want[t].n; i++) {
				size_t nth = 0, seen = 0;
				for (size_t m = 0; m < i; m++)
					nth += streq(want[t].lines[m]->chain, want[t].lines[i]->chain);
				for (size_t m = 0; m < real[t].n; m++)
					if (streq(real[t].lines[m]->chain, want[t].lines[i]->chain) && seen++ == nth)
						same += streq(real[t].lines[m]->text, want[t].lines[i]->text);
			}
			CHECK_INT(same, want[t].n);
		}
		free(x);
		free(y);
	}
	toy_fw_free(k[0]);
	toy_fw_free(k[1]);
	arena_free(&a);
	world_free(w);
}

static struct world *two_networks(bool second)
{
	struct world *w = fix_world();
	fix_put(w, fix_network('a', "plain", "172.18.0.0/16", 10));
	if (second)
		fix_put(w, fix_network('c', "newer", "172.20.0.0/16", 12));
	return w;
}

static void foreign_rules(struct variant *v)
{
	static const struct {
		enum fw_table t;
		const char *chain;
	} chains[] = {{FW_FILTER, "FORWARD"}, {FW_FILTER, "DOCKER-ISOLATION-STAGE-1"}, {FW_NAT, "PREROUTING"},
		{FW_NAT, "POSTROUTING"}, {FW_RAW, "PREROUTING"}};
	if (!enter(v))
		SKIP("needs root and the iptables programs");
	struct fw_host h = {.save = save, .run = restore, .arg = v};
	struct arena a = {0};
	struct netconf c = fix_conf();
	struct world *small = two_networks(false), *big = two_networks(true);
	struct kstate none = {.mem = &a}, less = fw_want(small, &c, &a), more = fw_want(big, &c, &a);
	REQUIRE(fw_apply(&h, &none, &less, small, &c, false, &a));
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		for (int place = 1; place < 20; place++) {
			char text[256], rule[128];
			snprintf(rule, sizeof(rule),
				"-s 198.51.100.1/32 -m comment --comment \"not \\\"ours\\\" -j\" -j RETURN");
			snprintf(text, sizeof(text), "*%s\n-I %s %d %s\nCOMMIT\n", fw_table_name(chains[i].t),
				chains[i].chain, place, rule);
			if (restore(v, FW_V4, text))
				break; /* beyond the end */
			char *before = save(v, FW_V4, true, chains[i].t);
			CHECK(fw_apply(&h, &less, &more, big, &c, false, &a));
			if (i > 0 || place > 1)
				CHECK(settled(&h, big, &c, &a));
			CHECK(fw_apply(&h, &more, &less, big, &c, false, &a));
			char *after = save(v, FW_V4, true, chains[i].t);
			/* the first and last lines hold the time */
			char *b = strchr(before, '*'), *d = strchr(after, '*');
			if (b && d) {
				*strstr(b, "COMMIT") = *strstr(d, "COMMIT") = '\0';
				CHECK_STR(d, b);
			}
			free(before);
			free(after);
			snprintf(text, sizeof(text), "*%s\n-D %s %s\nCOMMIT\n", fw_table_name(chains[i].t),
				chains[i].chain, rule);
			REQUIRE(!restore(v, FW_V4, text));
		}
	}
	arena_free(&a);
	world_free(small);
	world_free(big);
}

TEST(nft_loads)
{
	loads_and_is_recognised(&variants[0]);
}
TEST(legacy_loads)
{
	loads_and_is_recognised(&variants[1]);
}
TEST(nft_prints_as_golden)
{
	prints_as_golden(&variants[0]);
}
TEST(legacy_prints_as_golden)
{
	prints_as_golden(&variants[1]);
}
TEST(nft_foreign_rules)
{
	foreign_rules(&variants[0]);
}
TEST(legacy_foreign_rules)
{
	foreign_rules(&variants[1]);
}

TESTS(T(nft_loads), T(legacy_loads), T(nft_prints_as_golden), T(legacy_prints_as_golden), T(nft_foreign_rules),
	T(legacy_foreign_rules))
