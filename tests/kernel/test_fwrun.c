/* Firewall steps with the real programs of both kinds, in a network namespace of the test's own: how often they are run, that what is
 * kept of the tables is not believed when others have changed them, and that a step that fails in its last table leaves nothing. */
#include <sched.h>
#include <sys/stat.h>

#include "kernel/kernel.h"
#include "kernel/real.h"
#include "net/fixture.h"

struct lab {
	struct netconf c;
	struct kernel *k;
	struct arena a;
	char dir[64];
};

static bool sh(const char *line)
{
	return system(line) == 0;
}

/* Programs that count their runs, in front of the others. */
static bool count_programs(struct lab *l, const char *kind)
{
	char line[1024], path[4096];
	snprintf(l->dir, sizeof(l->dir), "/tmp/pontoon-fwrun-XXXXXX");
	if (!mkdtemp(l->dir))
		return false;
	snprintf(line, sizeof(line),
		"cd %s && for p in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do\n"
		"printf '#!/bin/sh\\necho %%s >>%s/log\\nexec xtables-%s-multi %%s \"$@\"\\n' $p $p >%s-$p && chmod 755 %s-$p && ln -s %s-$p $p || exit 1; done; : >log; command -v xtables-%s-multi >/dev/null",
		l->dir, l->dir, kind, kind, kind, kind, kind);
	if (!sh(line))
		return false;
	snprintf(path, sizeof(path), "%s:%s", l->dir, getenv("PATH"));
	return setenv("PATH", path, 1) == 0 && setenv("T", l->dir, 1) == 0;
}

static bool open_lab(struct lab *l, const char *kind)
{
	struct err e = {0};
	*l = (struct lab){.c = fix_conf()};
	l->c.ip_forward = false;
	l->c.exec_root = "/nonexistent";
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || !count_programs(l, kind))
		return false;
	return kernel_new(&l->c, &l->k, &e) >= 0;
}

static void close_lab(struct lab *l)
{
	l->k->free(l->k);
	arena_free(&l->a);
	(void)sh("rm -r $T");
}

static struct kstate rules_of(struct lab *l, const struct world *w)
{
	struct kstate all = {.mem = &l->a}, rules = {.mem = &l->a};
	if (want_all(w, &l->c, &all, NULL) < 0)
		abort();
	for (size_t i = 0; i < all.n; i++)
		if (kobj_is_fw(&all.v[i]) && kstate_add(&rules, &all.v[i]) < 0)
			abort();
	return rules;
}

static bool apply(struct lab *l, struct kstate *from, struct kstate *to, const struct world *w)
{
	struct plan p;
	struct err e = {0};
	l->k->known = w;
	if (plan_diff(&l->a, from, to, &p, &e) >= 0 && kernel_apply(l->k, &p, &e) >= 0)
		return true;
	printf("# %s\n", e.msg);
	return false;
}

static bool settled(struct lab *l, const struct world *w)
{
	struct kstate want = rules_of(l, w), have = {.mem = &l->a};
	struct plan p;
	struct err e = {0};
	OWN(own_buf) struct buf text = {0};
	if (l->k->observe(l->k, KERNEL_RULES, &l->a, &want, w, &have, &e) < 0 || plan_diff(&l->a, &have, &want, &p, &e) < 0)
		return false;
	plan_text(&p, &l->a, &text);
	if (p.n)
		printf("# differs: %s\n", buf_str(&text));
	return p.n == 0;
}

static int runs(const char *program)
{
	char line[128], out[32] = "";
	snprintf(line, sizeof(line), "grep -cx %s $T/log; : >$T/log", program);
	FILE *f = popen(line, "r");
	if (!f || !fgets(out, sizeof(out), f))
		abort();
	pclose(f);
	return atoi(out);
}

static struct world *worlds(int networks)
{
	struct world *w = fix_world();
	static const char *const nets[] = {"10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"};
	for (int i = 0; i < networks; i++)
		fix_put(w, fix_network((char)('1' + i), (char[]){'n', (char)('1' + i), '\0'}, nets[i], 10 + i));
	return w;
}

/* From nothing to docker0 and one network; what follows goes by what is kept. */
static bool begin(struct lab *l, struct world *w[4])
{
	for (int i = 0; i < 4; i++)
		w[i] = worlds(i);
	struct kstate none = {.mem = &l->a}, one = rules_of(l, w[1]);
	return apply(l, &none, &one, w[1]) && settled(l, w[1]) && sh(": >$T/log");
}

static bool step(struct lab *l, struct world *w[4], int from, int to)
{
	struct kstate a = rules_of(l, w[from]), b = rules_of(l, w[to]);
	return apply(l, &a, &b, w[from]);
}

static void end(struct lab *l, struct world *w[4])
{
	for (int i = 0; i < 4; i++)
		world_free(w[i]);
	close_lab(l);
}

static void run_once(const char *kind)
{
	struct lab l;
	struct world *w[4];
	if (!open_lab(&l, kind))
		SKIP("needs root and the iptables programs");
	REQUIRE(begin(&l, w));
	CHECK(step(&l, w, 1, 2) && step(&l, w, 2, 3) && step(&l, w, 3, 1));
	CHECK(sh("! grep -q save $T/log"));
	CHECK_INT(runs("iptables-restore"), 3);
	CHECK(settled(&l, w[1]));
	end(&l, w);
}

/* Rules of ours taken away, foreign ones put before them, a chain flushed; a change that keeps all sizes. */
static void others_change_the_tables(const char *kind)
{
	static const char *const change[] = {"iptables -I FORWARD 1 -s 198.51.100.1 -j DROP", "iptables -D FORWARD 1", "iptables -t nat -F DOCKER", "iptables -F && iptables -X",
		"iptables -t raw -F", "iptables -R DOCKER-ISOLATION-STAGE-2 2 -o br-222222222222 -j ACCEPT", "iptables -t nat -A POSTROUTING -s 10.9.0.0/24 -j ACCEPT"};
	struct lab l;
	struct world *w[4];
	if (!open_lab(&l, kind))
		SKIP("needs root and the iptables programs");
	REQUIRE(begin(&l, w));
	for (size_t i = 0; i < ARRAY_LEN(change); i++) {
		CHECK(step(&l, w, 1, 2));
		REQUIRE(sh(change[i]));
		struct kstate want = rules_of(&l, w[2]), have = {.mem = &l.a};
		struct err e = {0};
		(void)step(&l, w, 2, 3); /* may fail, the chains are gone: then nothing of it is left */
		CHECK(sh("! iptables-save | grep -c br-333333333333 | grep -qx '[1-5]'"));
		/* and all can be mended */
		want = rules_of(&l, w[1]);
		REQUIRE(l.k->observe(l.k, KERNEL_RULES, &l.a, &want, w[3], &have, &e) >= 0);
		CHECK(apply(&l, &have, &want, w[3]) && settled(&l, w[1]));
	}
	CHECK(sh("iptables-save | grep -q -e '-A POSTROUTING -s 10.9.0.0/24 -j ACCEPT'"));
	end(&l, w);
}

/* raw and nat are committed when filter is refused: they are put back. */
static void later_table_fails(const char *kind)
{
	struct lab l;
	struct world *w[4];
	struct err e = {0};
	if (!open_lab(&l, kind))
		SKIP("needs root and the iptables programs");
	REQUIRE(begin(&l, w));
	struct kstate none = {.mem = &l.a}, add = {.mem = &l.a};
	struct plan p;
	struct kobj rule[] = {{.kind = K_RULE, .rule = {.family = FW_V4, .table = FW_RAW, .chain = "PREROUTING", .text = "-d 10.7.0.0/24 ! -i br-777777777777 -m addrtype ! --dst-type LOCAL -j DROP", .rank = {2, 0, 0}}},
		{.kind = K_RULE, .rule = {.family = FW_V4, .table = FW_NAT, .chain = "POSTROUTING", .text = "-s 10.7.0.0/24 ! -o br-777777777777 -j MASQUERADE", .rank = {2, 0, 0}}},
		{.kind = K_RULE, .rule = {.family = FW_V4, .table = FW_FILTER, .chain = "FORWARD", .text = "-o br-777777777777 -j NO-SUCH-CHAIN", .rank = {2, 0, 0}}}};
	for (size_t i = 0; i < ARRAY_LEN(rule); i++)
		REQUIRE(kstate_add(&add, &rule[i]) >= 0);
	REQUIRE(sh("iptables-save | grep -v '^[#:]' >$T/before"));
	REQUIRE(plan_diff(&l.a, &none, &add, &p, &e) >= 0 && p.n == 1);
	CHECK(kernel_apply(l.k, &p, &e) < 0 && strstr(e.msg, "Failed to Setup IP tables"));
	CHECK(sh("iptables-save | grep -v '^[#:]' | diff $T/before -"));
	CHECK(settled(&l, w[1]));
	end(&l, w);
}

TEST(nft_runs_once)
{
	run_once("nft");
}
TEST(legacy_runs_once)
{
	run_once("legacy");
}
TEST(nft_others_change_the_tables)
{
	others_change_the_tables("nft");
}
TEST(legacy_others_change_the_tables)
{
	others_change_the_tables("legacy");
}
TEST(nft_later_table_fails)
{
	later_table_fails("nft");
}
TEST(legacy_later_table_fails)
{
	later_table_fails("legacy");
}

TESTS(T(nft_runs_once), T(legacy_runs_once), T(nft_others_change_the_tables), T(legacy_others_change_the_tables), T(nft_later_table_fails), T(legacy_later_table_fails))
