/* The nftables backend on the real kernel, in a network namespace of the test's own. Both backends run the same table of
 * who reaches whom: real packets between namespaces that stand for containers, for the host and for a neighbour outside. */
#include <errno.h>
#include <sched.h>

#include "kernel/kernel.h"
#include "kernel/real.h"
#include "net/fixture.h"
#include "net/fw_nft.h"

struct lab {
	struct netconf c;
	struct kernel *k;
	struct arena a;
};

static bool open_lab(struct lab *l, bool nftables)
{
	struct err e = {0};
	*l = (struct lab){.c = fix_conf()};
	l->c.nftables = nftables;
	l->c.ip_forward = false;
	l->c.exec_root = "/nonexistent";
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return false;
	if (kernel_new(&l->c, &l->k, &e) < 0) {
		printf("# %s\n", e.msg);
		return false;
	}
	return true;
}

static void close_lab(struct lab *l)
{
	l->k->free(l->k);
	arena_free(&l->a);
}

/* The firewall of a world alone: what is missing or too much. */
static struct plan drift(struct lab *l, const struct world *w)
{
	struct kstate all = {.mem = &l->a}, want = {.mem = &l->a}, seen = {.mem = &l->a}, have = {.mem = &l->a};
	struct plan p = {0};
	struct err e = {0};
	if (want_all(w, &l->c, &all, &e) < 0 || l->k->observe(l->k, &l->a, &all, w, &seen, &e) < 0) {
		printf("# %s\n", e.msg);
		abort();
	}
	const struct kstate *from[] = {&all, &seen};
	struct kstate *to[] = {&want, &have};
	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < from[s]->n; i++)
			if (from[s]->v[i].kind >= K_CHAIN && from[s]->v[i].kind <= K_NFT_ELEM && kstate_add(to[s], &from[s]->v[i]) < 0)
				abort();
	if (plan_diff(&l->a, &have, &want, &p, &e) < 0)
		abort();
	return p;
}

static bool settled(struct lab *l, const struct world *w)
{
	struct plan p = drift(l, w);
	struct buf text = {0};
	plan_text(&p, &l->a, &text);
	if (p.n)
		printf("# still differs: %s\n", strtok(text.data, "\n"));
	buf_free(&text);
	return p.n == 0;
}

static bool mend(struct lab *l, const struct world *w)
{
	struct plan p = drift(l, w);
	struct err e = {0};
	l->k->known = w;
	if (kernel_apply(l->k, &p, &e) < 0) {
		printf("# %s\n", e.msg);
		return false;
	}
	return settled(l, w);
}

static bool sh(const char *line)
{
	return system(line) == 0;
}

/* docker0, an internal one, one without icc, one routed, one with an address of its own to leave from. */
static struct world *world_of_kinds(void)
{
	struct world *w = fix_world();
	struct network *n = fix_network('1', "inside", "10.1.0.0/24", 11);
	n->internal = true;
	fix_put(w, n);
	n = fix_network('2', "quiet", "10.2.0.0/24", 12);
	n->icc = false;
	fix_put(w, n);
	n = fix_network('3', "routed", "10.3.0.0/24", 13);
	n->gw_mode4 = GW_ROUTED;
	fix_put(w, n);
	n = fix_network('4', "open", "10.4.0.0/24", 14);
	n->gw_mode4 = GW_NAT_UNPROTECTED;
	fix_put(w, n);
	n = fix_network('5', "snat", "10.5.0.0/24", 15);
	n->snat4 = fix_ip("192.0.2.9");
	fix_put(w, n);
	return w;
}

TEST(made_seen_and_mended)
{
	struct lab l;
	if (!open_lab(&l, true))
		SKIP("needs root");
	struct world *few = fix_world(), *all = world_of_kinds();
	CHECK(mend(&l, few) && mend(&l, all));
	CHECK(sh("nft add rule inet pontoon user ip saddr 192.0.2.7 drop"));
	CHECK(sh("nft list map inet pontoon snat4 | grep -q 192.0.2.9"));
	CHECK(settled(&l, all)); /* the people's chain is theirs */
	static const char *const damage[] = {"nft delete element inet pontoon masq4 '{ docker0 }'", "nft add element inet pontoon masq4 '{ br-foreign }'",
		"nft flush chain inet pontoon into", "nft add rule inet pontoon forward accept"};
	for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
		REQUIRE(sh(damage[i]));
		CHECK(!settled(&l, all));
		CHECK(mend(&l, all));
		CHECK(sh("nft list chain inet pontoon user | grep -q 'ip saddr 192.0.2.7 drop'"));
	}
	CHECK(mend(&l, few));
	CHECK(sh("nft flush ruleset") && mend(&l, all));
	world_free(few);
	world_free(all);
	close_lab(&l);
}

/* A library that prints the skeleton in its own way would have it made anew at every look. */
TEST(skeleton_is_as_the_kernel_prints_it)
{
	struct lab l;
	if (!open_lab(&l, true))
		SKIP("needs root");
	OWN(own_buf) struct buf text = {0};
	struct fw_nft_listing now;
	struct world *w = fix_world();
	struct err e = {0};
	REQUIRE(mend(&l, w));
	REQUIRE(nft_run(FW_NFT_LIST, &text, &e) == 0 && fw_nft_parse(buf_str(&text), &l.a, &now, &e) == 0);
	CHECK_STR(now.skeleton, fw_nft_skeleton(&l.a));
	world_free(w);
	close_lab(&l);
}

/* Both ways; the people's rules stay in both. */
TEST(switching_removes_the_other_backend)
{
	struct lab l;
	if (!open_lab(&l, false))
		SKIP("needs root");
	struct world *w = world_of_kinds();
	REQUIRE(mend(&l, w));
	REQUIRE(sh("iptables -I DOCKER-USER -s 192.0.2.7 -j DROP"));
	l.c.nftables = true;
	CHECK(mend(&l, w));
	CHECK(sh("! iptables-save | grep -e ISOLATION -e MASQUERADE -e '-A DOCKER '"));
	CHECK(sh("iptables-save | grep -q -e '-P FORWARD ACCEPT' -e ':FORWARD ACCEPT'"));
	CHECK(sh("iptables -C DOCKER-USER -s 192.0.2.7 -j DROP"));
	CHECK(sh("nft add rule inet pontoon user ip saddr 192.0.2.8 drop"));
	l.c.nftables = false;
	CHECK(mend(&l, w));
	CHECK(sh("nft list table inet pontoon | grep -q 'ip saddr 192.0.2.8 drop' && ! nft list table inet pontoon | grep masquerade"));
	l.c.nftables = true;
	CHECK(mend(&l, w) && sh("nft list chain inet pontoon user | grep -q 'ip saddr 192.0.2.8 drop'"));
	world_free(w);
	close_lab(&l);
}

/* --- who reaches whom --- */

/* name, bridge, address; each a namespace on its bridge. "out" is a neighbour on a link of the host, with a route to the containers, "far" one without. */
static const char make_places[] =
	"set -e; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0; ip link set lo up\n"
	"place() { unshare -n sh -c 'echo >'\"$T/$1.up\"'; exec sleep 120' >/dev/null 2>&1 & echo $! >$T/$1.pid; while [ ! -e $T/$1.up ]; do sleep 0.01; done; }\n"
	"on() { p=$1; shift; nsenter -n -t $(cat $T/$p.pid) \"$@\"; }\n"
	"bridge() { ip link add $1 type bridge; ip addr add $2 dev $1; ip link set $1 up; }\n"
	"join() { place $1; ip link add v$1 type veth peer name eth0 netns $(cat $T/$1.pid); ip link set v$1 ${2:+master} $2 up\n"
	"on $1 ip addr add $3 dev eth0; on $1 ip link set eth0 up; on $1 ip link set lo up; on $1 ip route add default via $4; }\n"
	"bridge docker0 172.17.0.1/16; bridge br-111111111111 10.1.0.1/24; bridge br-333333333333 10.3.0.1/24\n"
	"bridge br-444444444444 10.4.0.1/24; bridge br-555555555555 10.5.0.1/24\n"
	"join a docker0 172.17.0.2/16 172.17.0.1; join b docker0 172.17.0.3/16 172.17.0.1\n"
	"join i br-111111111111 10.1.0.2/24 10.1.0.1; join r br-333333333333 10.3.0.2/24 10.3.0.1\n"
	"join u br-444444444444 10.4.0.2/24 10.4.0.1; join s br-555555555555 10.5.0.2/24 10.5.0.1\n"
	"join out '' 198.51.100.2/24 198.51.100.1; ip addr add 198.51.100.1/24 dev vout; ip addr add 192.0.2.9/32 dev vout\n"
	"join far '' 203.0.113.2/24 203.0.113.1; ip addr add 203.0.113.1/24 dev vfar; on far ip route del default\n"
	"on far ip route add 192.0.2.9 via 203.0.113.1\n"
	"for p in a b i r u s out far; do nsenter -n -t $(cat $T/$p.pid) busybox nc -ll -p 80 -e true >/dev/null 2>&1 & echo $! >$T/nc$p.pid; done\n";

static const struct {
	const char *from, *to;
	bool ping, tcp;
} reach[] = {
	{"", "172.17.0.2", true, true},           /* the host to any container */
	{"", "10.1.0.2", true, true},             /* also of an internal network */
	{"a", "172.17.0.3", true, true},          /* one network */
	{"a", "10.3.0.2", false, false},          /* another network */
	{"a", "10.1.0.2", false, false},          /* an internal one */
	{"i", "172.17.0.2", false, false},
	{"a", "203.0.113.2", true, true},         /* who knows no route back: masqueraded */
	{"s", "203.0.113.2", true, true},         /* by an address of its own */
	{"u", "203.0.113.2", true, true},
	{"r", "203.0.113.2", false, false},       /* routed: as it is */
	{"r", "198.51.100.2", true, true},
	{"i", "198.51.100.2", false, false},
	{"a", "172.17.0.1", true, false},         /* the gateway */
	{"out", "172.17.0.2", false, false},      /* who routes to a container directly */
	{"out", "10.3.0.2", true, false},         /* routed: icmp, no unpublished port */
	{"out", "10.4.0.2", true, true},          /* nat-unprotected */
	{"out", "10.1.0.2", false, false},
};

static void run_reach(bool nftables)
{
	struct lab l;
	char dir[] = "/tmp/pontoon-reach-XXXXXX", line[512];
	if (!open_lab(&l, nftables))
		SKIP("needs root");
	if (!sh("command -v busybox nsenter ip sysctl >/dev/null"))
		SKIP("needs busybox, nsenter and ip");
	REQUIRE(mkdtemp(dir));
	setenv("T", dir, 1);
	struct world *w = world_of_kinds();
	CHECK(sh(make_places));
	CHECK(mend(&l, w));
	for (size_t i = 0; i < ARRAY_LEN(reach); i++) {
		char in[128] = "";
		if (*reach[i].from)
			snprintf(in, sizeof(in), "nsenter -n -t $(cat $T/%s.pid) ", reach[i].from);
		snprintf(line, sizeof(line), "%sbusybox ping -c 1 -W 1 %s >/dev/null 2>&1", in, reach[i].to);
		bool ping = sh(line);
		snprintf(line, sizeof(line), "%stimeout 1 busybox nc %s 80 </dev/null >/dev/null 2>&1", in, reach[i].to);
		bool tcp = sh(line);
		if (ping != reach[i].ping || tcp != reach[i].tcp) {
			printf("# %s to %s: ping %d, tcp %d\n", *reach[i].from ? reach[i].from : "host", reach[i].to, ping, tcp);
			test_failed = true;
		}
	}
	(void)sh("kill $(cat $T/*.pid) 2>/dev/null; rm -r $T");
	world_free(w);
	close_lab(&l);
}

TEST(reach_iptables)
{
	run_reach(false);
}
TEST(reach_nftables)
{
	run_reach(true);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {T(made_seen_and_mended), T(skeleton_is_as_the_kernel_prints_it),
		T(switching_removes_the_other_backend), T(reach_iptables), T(reach_nftables)};
	return test_main(tests, ARRAY_LEN(tests), argc, argv);
}
