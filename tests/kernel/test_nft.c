/* The nftables backend on the real kernel, in a network namespace of the test's own. Both backends run the same table of
 * who reaches whom: real packets between namespaces that stand for containers, for the host and for a neighbour outside. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

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
	if (want_all(w, &l->c, &all, &e) < 0 || l->k->observe(l->k, KERNEL_ALL, &l->a, &all, w, &seen, &e) < 0) {
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

/* As after a start with other options. */
static void accept_mark(struct lab *l, const char *mark)
{
	struct real *k = (struct real *)l->k;
	l->c.accept_mark = mark;
	free(k->nft_printed);
	k->nft_printed = NULL;
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
	static const char *const marks[][2] = {{"", ""}, {"0x1", "meta mark 0x00000001"}, {"0x10/0xff", "meta mark & 0x000000ff == 0x00000010"}};
	struct world *w = fix_world();
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		OWN(own_buf) struct buf text = {0};
		struct fw_nft_listing now;
		struct err e = {0};
		accept_mark(&l, marks[i][0]);
		REQUIRE(mend(&l, w));
		REQUIRE(nft_run((struct real *)l.k, FW_NFT_LIST, &text, &e) == 0 && fw_nft_parse(buf_str(&text), &l.a, &now, &e) == 0);
		CHECK_STR(now.skeleton, fw_nft_skeleton(marks[i][1], &l.a));
		CHECK(strstr(now.skeleton, marks[i][1]));
	}
	world_free(w);
	close_lab(&l);
}

/* --- who reaches whom --- */

/* Each place is a namespace on its bridge, with an address of either family. "out" is a neighbour on a link of the host, with a route to the
 * containers, "far" one without. In each, this program serves port 80. An isolated bridge has no address; the host gets a route to it all the
 * same, so that it is the firewall that keeps others out. */
static const char make_places[] =
	"set -e; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0\n"
	"ip link set lo up\n"
	"place() { unshare -n sh -c 'echo >'\"$T/$1.up\"'; exec sleep 120' >/dev/null 2>&1 & echo $! >$T/$1.pid; while [ ! -e $T/$1.up ]; do sleep 0.01; done; }\n"
	"on() { p=$1; shift; nsenter -n -t $(cat $T/$p.pid) \"$@\"; }\n"
	"net() { br=$1; shift; ip link add $br type bridge; for a; do case $a in *:*) ip addr add $a dev $br nodad ;; *) ip addr add $a dev $br ;; esac; done; ip link set $br up; }\n"
	/* name, bridge, IPv4 address/len, its gateway, IPv6 address, its gateway */
	"join() { place $1; ip link add v$1 type veth peer name eth0 netns $(cat $T/$1.pid); ip link set v$1 ${2:+master} $2 up\n"
	"on $1 ip addr add $3 dev eth0; on $1 ip addr add $5/64 dev eth0 nodad; on $1 ip link set eth0 up; on $1 ip link set lo up\n"
	"[ $4 = - ] || { on $1 ip route add default via $4; on $1 ip route add default via $6; }; }\n"
	"host() { ip addr add $2 dev v$1; ip addr add $3/64 dev v$1 nodad; }\n"
	"net docker0 172.17.0.1/16 fd00:17::1/64; net br-111111111111 10.1.0.1/24 fd00:1::1/64; net br-222222222222 10.2.0.1/24 fd00:2::1/64\n"
	"net br-333333333333 10.3.0.1/24 fd00:3::1/64; net br-444444444444 10.4.0.1/24 fd00:4::1/64\n"
	"net br-555555555555 10.5.0.1/24 fd00:5::1/64; net br-666666666666\n"
	"ip link set br-222222222222 type bridge nf_call_iptables 1 nf_call_ip6tables 1\n"
	"ip route add 10.6.0.0/24 dev br-666666666666; ip route add fd00:6::/64 dev br-666666666666\n"
	"join a docker0 172.17.0.2/16 172.17.0.1 fd00:17::2 fd00:17::1; join b docker0 172.17.0.3/16 172.17.0.1 fd00:17::3 fd00:17::1\n"
	"join i br-111111111111 10.1.0.2/24 10.1.0.1 fd00:1::2 fd00:1::1; join j br-111111111111 10.1.0.3/24 10.1.0.1 fd00:1::3 fd00:1::1\n"
	"join q br-222222222222 10.2.0.2/24 10.2.0.1 fd00:2::2 fd00:2::1; join p br-222222222222 10.2.0.3/24 10.2.0.1 fd00:2::3 fd00:2::1\n"
	"join r br-333333333333 10.3.0.2/24 10.3.0.1 fd00:3::2 fd00:3::1; join u br-444444444444 10.4.0.2/24 10.4.0.1 fd00:4::2 fd00:4::1\n"
	"join s br-555555555555 10.5.0.2/24 10.5.0.1 fd00:5::2 fd00:5::1\n"
	"join x br-666666666666 10.6.0.2/24 - fd00:6::2 -; join y br-666666666666 10.6.0.3/24 - fd00:6::3 -\n"
	"join out '' 198.51.100.2/24 198.51.100.1 fd00:98::2 fd00:98::1; host out 198.51.100.1/24 fd00:98::1; ip addr add 192.0.2.9/32 dev vout\n"
	"join far '' 203.0.113.2/24 - fd00:99::2 -; host far 203.0.113.1/24 fd00:99::1\n"
	"on far ip route add 192.0.2.9 via 203.0.113.1; on far ip route add 198.51.100.0/24 via 203.0.113.1; on far ip route add fd00:98::/64 via fd00:99::1\n"
	"for p in a b i j p q r u s x y out far; do nsenter -n -t $(cat $T/$p.pid) $SELF serve $T/$p.serves >/dev/null 2>&1 & echo $! >$T/nc$p.pid; done\n"
	"for p in a b i j p q r u s x y out far; do while [ ! -e $T/$p.serves ]; do sleep 0.01; done; done\n";

/* What the kernel does alone, or only there: else it is the proxy's, which is not here. PAST_US: kept out when it is us who switched forwarding on. */
enum whose { EVER, IN_NFT, NO_PROXY, PAST_US };

static const struct {
	const char *from, *to;
	bool ping, tcp, udp;
	unsigned port; /* 0: 80, and pinged */
	enum whose when;
} reach[] = {
	/* Published: 8080 of a (tcp and udp), 8082 of b at one address, 8083 of a at the host's loopback, 80 of r (tcp only: opened), 8084 of u, 400
	 * ports in a row of s that are moved, and 300 of q that are not, of which its 80 is one. */
	{"", "172.17.0.1", false, true, true, 8080},
	{"", "198.51.100.1", false, true, true, 8080},
	{"", "127.0.0.1", false, true, true, 8080, NO_PROXY},
	{"", "127.0.0.1", false, true, false, 8083, NO_PROXY},
	{"out", "198.51.100.1", false, true, true, 8080},
	{"out", "fd00:98::1", false, true, true, 8080},
	{"far", "203.0.113.1", false, true, true, 8080},        /* who knows no route to containers */
	{"far", "fd00:99::1", false, true, true, 8080},
	{"out", "198.51.100.1", false, true, false, 8082},
	{"far", "203.0.113.1", false, false, false, 8082},      /* another address of the host */
	{"far", "127.0.0.1", false, false, false, 8083},        /* the loopback's, by who routes to it */
	{"out", "198.51.100.1", false, false, false, 8083},
	{"out", "198.51.100.1", false, true, false, 8084},
	{"out", "198.51.100.1", false, true, false, 9000},      /* moved: 9000 to 80, the first of a run */
	{"out", "198.51.100.1", false, false, false, 9001},     /* where nobody answers */
	{"out", "198.51.100.1", false, true, false, 80},        /* unmoved, in the midst of a run */
	{"out", "198.51.100.1", false, false, false, 8099},     /* not published */
	{"i", "198.51.100.1", false, false, false, 8080},       /* an internal network gets nowhere by it */
	{"s", "198.51.100.1", false, true, true, 8080, IN_NFT}, /* from another network through the host */
	{"s", "fd00:98::1", false, true, true, 8080, IN_NFT},
	{"b", "172.17.0.1", false, true, true, 8080, IN_NFT},   /* from its own */
	{"b", "fd00:17::1", false, true, true, 8080, IN_NFT},
	{"a", "198.51.100.1", false, true, true, 8080, IN_NFT}, /* itself */
	{"r", "198.51.100.1", false, true, true, 8080, IN_NFT},
	{"a", "127.0.0.1", false, false, false, 8083},          /* the container's own loopback */
	{"", "172.17.0.2", true, true, true},           /* the host to any container */
	{"", "10.1.0.2", true, true, true},             /* also of an internal network */
	{"a", "172.17.0.3", true, true, true},          /* one network */
	{"a", "10.5.0.2", false, false, false},         /* another network */
	{"a", "10.3.0.2", true, true, false},           /* routed: icmp, and what is published, from other networks too */
	{"r", "172.17.0.2", false, false, false},
	{"a", "10.1.0.2", false, false, false},         /* an internal one */
	{"i", "172.17.0.2", false, false, false},
	{"i", "10.1.0.3", true, true, true},
	{"q", "10.2.0.3", false, false, false},         /* one network, without icc */
	{"q", "203.0.113.2", true, true, true},
	{"x", "10.6.0.3", true, true, true},            /* isolated: within */
	{"a", "10.6.0.2", false, false, false},
	{"out", "10.6.0.2", false, false, false},
	{"a", "203.0.113.2", true, true, true},         /* who knows no route back: masqueraded */
	{"s", "203.0.113.2", true, true, true},         /* by an address of its own */
	{"u", "203.0.113.2", true, true, true},
	{"r", "203.0.113.2", false, false, false},      /* routed: as it is */
	{"r", "198.51.100.2", true, true, true},
	{"i", "198.51.100.2", false, false, false},
	{"a", "172.17.0.1", true, false, false},        /* the gateway */
	{"out", "172.17.0.2", false, false, false},     /* who routes to a container directly */
	{"out", "10.3.0.2", true, true, false},         /* routed: icmp, the published port, no unpublished one */
	{"out", "10.4.0.2", true, true, true},          /* nat-unprotected */
	{"out", "10.1.0.2", false, false, false},
	{"out", "203.0.113.2", false, false, false, 0, PAST_US},    /* forwarding is on for our sake alone */
	{"", "203.0.113.2", true, true, true},
	{"", "fd00:17::2", true, true, true},           /* and the same of IPv6 */
	{"", "fd00:1::2", true, true, true},
	{"a", "fd00:17::3", true, true, true},
	{"a", "fd00:5::2", false, false, false},
	{"a", "fd00:3::2", true, true, false},
	{"r", "fd00:17::2", false, false, false},
	{"a", "fd00:1::2", false, false, false},
	{"i", "fd00:17::2", false, false, false},
	{"i", "fd00:1::3", true, true, true},
	{"q", "fd00:2::3", false, false, false},
	{"x", "fd00:6::3", true, true, true},
	{"a", "fd00:6::2", false, false, false},
	{"out", "fd00:6::2", false, false, false},
	{"a", "fd00:99::2", true, true, true},
	{"u", "fd00:99::2", true, true, true},
	{"r", "fd00:99::2", false, false, false},
	{"r", "fd00:98::2", true, true, true},
	{"i", "fd00:98::2", false, false, false},
	{"out", "fd00:17::2", false, false, false},
	{"out", "fd00:3::2", true, true, false},
	{"out", "fd00:4::2", true, true, true},
	{"out", "fd00:1::2", false, false, false},
	{"out", "fd00:99::2", false, false, false, 0, PAST_US},
	{"", "fd00:99::2", true, true, true},
};

/* Who the container sees, by TCP and by UDP: the host under the address that it took for the way, or, when there is no proxy, under the
 * bridge's; a neighbour as himself; a container under an address of the host. */
static const struct {
	const char *from, *to, *proxied, *plain;
	uint16_t port;
	enum whose when;
} sources[] = {
	{"", "172.17.0.1", "172.17.0.1", "172.17.0.1", 8080},
	{"", "198.51.100.1", "198.51.100.1", "172.17.0.1", 8080},
	{"", "203.0.113.1", "203.0.113.1", "172.17.0.1", 8080},
	{"", "198.51.100.1", "198.51.100.1", "10.4.0.1", 8084},
	{"", "198.51.100.1", "198.51.100.1", "10.5.0.1", 9000},
	{"", "127.0.0.1", NULL, "172.17.0.1", 8080, NO_PROXY},
	{"", "127.0.0.1", NULL, "172.17.0.1", 8083, NO_PROXY},
	{"", "fd00:98::1", "fd00:98::1", "fd00:17::1", 8080},
	{"", "172.17.0.2", "172.17.0.1", "172.17.0.1", 80},
	{"", "10.3.0.2", "10.3.0.1", "10.3.0.1", 80},
	{"out", "198.51.100.1", "198.51.100.2", "198.51.100.2", 8080},
	{"out", "fd00:98::1", "fd00:98::2", "fd00:98::2", 8080},
	{"far", "203.0.113.1", "203.0.113.2", "203.0.113.2", 8080},
	{"b", "172.17.0.1", "172.17.0.1", "172.17.0.1", 8080, IN_NFT},
	{"a", "198.51.100.1", "172.17.0.1", "172.17.0.1", 8080, IN_NFT},
	{"s", "198.51.100.1", "192.0.2.9", "192.0.2.9", 8080, IN_NFT},
	{"r", "198.51.100.1", "10.3.0.2", "10.3.0.2", 8080, IN_NFT},
	{"s", "fd00:98::1", "fd00:17::1", "fd00:17::1", 8080, IN_NFT},
};

/* The places have both families; which one of a network is which sort of gateway is one thing. */
static struct world *world_of_places(void)
{
	static const struct {
		char id;
		const char *v4, *v6;
	} nets[] = {{'d', "172.17.0.0/16", "fd00:17::/64"}, {'1', "10.1.0.0/24", "fd00:1::/64"}, {'2', "10.2.0.0/24", "fd00:2::/64"},
		{'3', "10.3.0.0/24", "fd00:3::/64"}, {'4', "10.4.0.0/24", "fd00:4::/64"}, {'5', "10.5.0.0/24", "fd00:5::/64"},
		{'6', "10.6.0.0/24", "fd00:6::/64"}};
	struct world *w = fix_world();
	for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
		struct network *n = nets[i].id == 'd' ? fix_docker0() : fix_network(nets[i].id, (char[]){nets[i].id, 0}, nets[i].v4, 10 + (int64_t)i);
		n->enable_v6 = true;
		n->v6.net = n->v6.range = fix_prefix(nets[i].v6);
		n->internal = nets[i].id == '1' || nets[i].id == '6';
		n->icc = nets[i].id != '2';
		n->gw_mode4 = n->gw_mode6 = nets[i].id == '3' ? GW_ROUTED : nets[i].id == '4' ? GW_NAT_UNPROTECTED : nets[i].id == '6' ? GW_ISOLATED : GW_NAT;
		if (nets[i].id == '5')
			n->snat4 = fix_ip("192.0.2.9");
		fix_put(w, n);
	}
	return w;
}

struct publication {
	char place, net;
	const char *ip4, *ip6;
	struct {
		uint8_t proto;
		const char *host; /* "" in both families */
		uint16_t host_port, count, port;
	} v[4];
};

/* The places as containers, with what is published of them. */
static void publish_places(struct world *w)
{
	static const struct publication all[] = {
		{'a', 'd', "172.17.0.2", "fd00:17::2", {{IPPROTO_TCP, "", 8080, 1, 80}, {IPPROTO_UDP, "", 8080, 1, 80}, {IPPROTO_TCP, "127.0.0.1", 8083, 1, 80}}},
		{'b', 'd', "172.17.0.3", "fd00:17::3", {{IPPROTO_TCP, "198.51.100.1", 8082, 1, 80}}},
		{'r', '3', "10.3.0.2", "fd00:3::2", {{IPPROTO_TCP, "", 0, 1, 80}}},
		{'u', '4', "10.4.0.2", "fd00:4::2", {{IPPROTO_TCP, "", 8084, 1, 80}}},
		{'s', '5', "10.5.0.2", "fd00:5::2", {{IPPROTO_TCP, "", 9000, 400, 80}}},
		{'q', '2', "10.2.0.2", "fd00:2::2", {{IPPROTO_TCP, "198.51.100.1", 70, 300, 70}}},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const struct publication *p = &all[i];
		struct arena mem = {0};
		const struct container *c = fix_container(w, p->place, (char[]){p->place, 0}, fix_spec(&mem, "none"), &mem);
		char net[ID_TEXT];
		int64_t seq = 0;
		fix_id(net, p->net);
		struct endpoint *ep = endpoint_new(c->id, net);
		ep->joined = true;
		ep->ip4 = fix_ip(p->ip4);
		ep->ip6 = fix_ip(p->ip6);
		fix_put(w, ep);
		for (size_t k = 0; k < ARRAY_LEN(p->v) && p->v[k].count; k++) {
			for (int v6 = 0; v6 < 2; v6++) {
				bool any = !*p->v[k].host;
				if (!any && v6)
					continue;
				struct port *t = port_new(c->id, seq++);
				STR_COPY(t->network, net);
				t->proto = p->v[k].proto;
				t->host_ip = any ? (struct ip){.family = v6 ? AF_INET6 : AF_INET} : fix_ip(p->v[k].host);
				t->host_port = p->v[k].host_port;
				t->count = p->v[k].count;
				t->port = p->v[k].port;
				t->ip = v6 ? ep->ip6 : ep->ip4;
				fix_put(w, t);
			}
		}
	}
}

static bool is_proxys(enum whose when, bool nftables, bool proxy)
{
	return (when == IN_NFT && !nftables && proxy) || (when == NO_PROXY && proxy);
}

static void put_question(const char *from, const char *kind, const char *to, unsigned port, bool want, const char *answer, size_t i, struct buf *line)
{
	if (*from)
		buf_printf(line, "nsenter -n -t $(cat $T/%s.pid) ", from);
	buf_printf(line, "$SELF ask %s %s %u %d >$T/%s%zu%s 2>&1 &\n", kind, to, port, want, answer, i, kind);
}

/* The questions of both tables, all at the same time. What should work has time to; what should not is asked once. */
static void ask_all(bool nftables, bool proxy)
{
	OWN(own_buf) struct buf line = {0};
	for (size_t i = 0; i < ARRAY_LEN(reach); i++) {
		const char *const kinds[] = {"ping", "tcp", "udp"};
		const bool past = reach[i].when == PAST_US && !proxy, want[] = {reach[i].ping || past, reach[i].tcp || past, reach[i].udp || past};
		for (size_t k = is_proxys(reach[i].when, nftables, proxy) ? ARRAY_LEN(kinds) : reach[i].port ? 1 : 0; k < ARRAY_LEN(kinds); k++)
			put_question(reach[i].from, kinds[k], reach[i].to, reach[i].port ? reach[i].port : 80, want[k], "", i, &line);
	}
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		if (is_proxys(sources[i].when, nftables, proxy))
			continue;
		put_question(sources[i].from, "tcp", sources[i].to, sources[i].port, true, "source", i, &line);
		if (sources[i].port == 8080)
			put_question(sources[i].from, "udp", sources[i].to, sources[i].port, true, "source", i, &line);
	}
	buf_puts(&line, "wait\n");
	CHECK(sh(buf_str(&line)));
}

static bool answered(size_t i, const char *kind)
{
	char line[128];
	snprintf(line, sizeof(line), "grep -q answered $T/%zu%s", i, kind);
	return sh(line);
}

static void check_sources(bool nftables, bool proxy)
{
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const char *want = proxy ? sources[i].proxied : sources[i].plain;
		char line[256];
		snprintf(line, sizeof(line), "sort -u $T/source%zu[tu]* >$T/sources; [ \"$(cat $T/sources)\" = 'answered %s' ]", i, want);
		if (is_proxys(sources[i].when, nftables, proxy) || sh(line))
			continue;
		printf("# %s to %s port %u, not from %s: ", *sources[i].from ? sources[i].from : "host", sources[i].to, sources[i].port, want);
		fflush(stdout);
		(void)sh("tr '\\n' ' ' <$T/sources; echo");
		test_failed = true;
	}
}

/* Both ways; the people's rules stay in both. */
TEST(switching_removes_the_other_backend)
{
	struct lab l;
	if (!open_lab(&l, false))
		SKIP("needs root");
	struct world *w = world_of_places();
	publish_places(w);
	REQUIRE(mend(&l, w));
	REQUIRE(sh("iptables-save | grep -q 'dport 8080 -j DNAT' && ip6tables-save | grep -q 'dport 8080 -j DNAT' && iptables-save -t raw | grep -q 'dport 8083'"));
	REQUIRE(sh("ip6tables-save | grep -q MASQUERADE && iptables -I DOCKER-USER -s 192.0.2.7 -j DROP"));
	l.c.nftables = true;
	CHECK(mend(&l, w));
	CHECK(sh("! iptables-save | grep -e ISOLATION -e MASQUERADE -e '-A DOCKER '"));
	CHECK(sh("iptables-save | grep -q -e '-P FORWARD ACCEPT' -e ':FORWARD ACCEPT'"));
	CHECK(sh("! { iptables-save; ip6tables-save; } | grep dport"));
	CHECK(sh("nft list map inet pontoon port4 | grep -q 8080 && nft list map inet pontoon port6 | grep -q 8080 && nft list set inet pontoon loopback4 | grep -q 8083"));
	CHECK(sh("! ip6tables-save | grep -e ISOLATION -e MASQUERADE -e '-A DOCKER '"));
	CHECK(sh("iptables -C DOCKER-USER -s 192.0.2.7 -j DROP"));
	CHECK(sh("nft add rule inet pontoon user ip saddr 192.0.2.8 drop"));
	l.c.nftables = false;
	CHECK(mend(&l, w));
	CHECK(sh("nft list table inet pontoon | grep -q 'ip saddr 192.0.2.8 drop' && ! nft list table inet pontoon | grep -e masquerade -e 8080 -e 8083"));
	CHECK(sh("iptables-save | grep -q 'dport 8080 -j DNAT' && ip6tables-save | grep -q 'dport 8080 -j DNAT' && iptables-save -t raw | grep -q 'dport 8083'"));
	l.c.nftables = true;
	CHECK(mend(&l, w) && sh("nft list chain inet pontoon user | grep -q 'ip saddr 192.0.2.8 drop'"));
	world_free(w);
	close_lab(&l);
}

static void run_reach(bool nftables, bool proxy)
{
	struct lab l;
	char dir[] = "/tmp/pontoon-reach-XXXXXX", self[4096] = "";
	if (!open_lab(&l, nftables))
		SKIP("needs root");
	l.c.userland_proxy = proxy;
	if (!sh("command -v busybox nsenter ip sysctl >/dev/null"))
		SKIP("needs busybox, nsenter and ip");
	REQUIRE(mkdtemp(dir) && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	setenv("T", dir, 1);
	setenv("SELF", self, 1);
	struct world *w = world_of_places();
	publish_places(w);
	l.c.policy_drop = l.c.policy_drop6 = proxy; /* who reaches containers does not depend on it */
	CHECK(sh(make_places));
	CHECK(proxy || sh("for b in docker0 br-222222222222 br-444444444444 br-555555555555; do sysctl -qw net.ipv4.conf.$b.route_localnet=1; done"));
	/* as net/driver_bridge.c makes them */
	CHECK((proxy && !nftables) || sh("for p in a b r s q u; do bridge link set dev v$p hairpin on; done"));
	/* Bridged packets that the firewall sees have no interface that they came from, and routed ones have: one backend's runs differ in that. */
	if (nftables && !proxy)
		CHECK(sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"));
	/* "far" sends what is for 127.0.0.1 to the host, which would take it if its firewall let it */
	CHECK(sh("nsenter -n -t $(cat $T/far.pid) sh -c 'sysctl -qw net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 203.0.113.1'"));
	CHECK(mend(&l, w));
	ask_all(nftables, proxy);
	for (size_t i = 0; i < ARRAY_LEN(reach); i++) {
		if (is_proxys(reach[i].when, nftables, proxy))
			continue;
		bool past = reach[i].when == PAST_US && !proxy, ping = !reach[i].port && answered(i, "ping"), tcp = answered(i, "tcp"), udp = answered(i, "udp");
		if (ping != (reach[i].ping || past) || tcp != (reach[i].tcp || past) || udp != (reach[i].udp || past)) {
			printf("# %s to %s port %u: ping %d, tcp %d, udp %d\n", *reach[i].from ? reach[i].from : "host", reach[i].to, reach[i].port ? reach[i].port : 80, ping, tcp, udp);
			test_failed = true;
		}
	}
	check_sources(nftables, proxy);
	(void)sh("kill $(cat $T/*.pid) 2>/dev/null; rm -r $T");
	world_free(w);
	close_lab(&l);
}

static void peer_text(const struct sockaddr_in6 *peer, char out[static IP_TEXT])
{
	struct ip six = {.family = AF_INET6}, four = {.family = AF_INET};
	memcpy(six.b, &peer->sin6_addr, 16);
	memcpy(four.b, six.b + 12, 4);
	ip_format(IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr) ? &four : &six, out);
}

/* Answers on port 80, both families, TCP and UDP, with who asked; makes the file when it does. */
static int serve(const char *ready)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	struct pollfd fds[] = {{.fd = socket(AF_INET6, SOCK_STREAM, 0), .events = POLLIN}, {.fd = socket(AF_INET6, SOCK_DGRAM, 0), .events = POLLIN}};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (bind(fds[i].fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || (i == 0 && listen(fds[i].fd, 64) < 0))
			return 1;
	FILE *f = fopen(ready, "w");
	if (!f || fclose(f) != 0)
		return 1;
	while (poll(fds, ARRAY_LEN(fds), -1) > 0) {
		struct sockaddr_in6 peer;
		socklen_t n = sizeof(peer);
		char data[16], who[IP_TEXT];
		OWN(own_fd) int fd = fds[0].revents ? accept(fds[0].fd, (struct sockaddr *)&peer, &n) : -1;
		peer_text(&peer, who);
		if (fd >= 0 && send(fd, who, strlen(who), MSG_NOSIGNAL) < 0)
			continue;
		n = sizeof(peer);
		ssize_t len = fds[1].revents ? recvfrom(fds[1].fd, data, sizeof(data), 0, (struct sockaddr *)&peer, &n) : -1;
		peer_text(&peer, who);
		if (len > 0 && sendto(fds[1].fd, who, strlen(who), 0, (struct sockaddr *)&peer, n) < 0)
			continue;
	}
	return 1;
}

/* One try of one second. A reset port is no answer. who: as whom the other side sees us, if it says so. */
static bool ask_once(const char *kind, const char *to, uint16_t port, char who[static IP_TEXT])
{
	struct ip ip;
	char line[128];
	if (ip_parse(to, &ip) < 0)
		return false;
	if (streq(kind, "ping")) {
		snprintf(line, sizeof(line), "busybox ping -c 1 -W 1 %s >/dev/null 2>&1", to);
		return sh(line);
	}
	struct timeval second = {.tv_sec = 1};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	memcpy(&six.sin6_addr, ip.b, 16);
	memcpy(&four.sin_addr, ip.b, 4);
	OWN(own_fd) int fd = socket(ip.family, streq(kind, "tcp") ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second)) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) < 0)
		return false;
	if (connect(fd, ip.family == AF_INET6 ? (struct sockaddr *)&six : (struct sockaddr *)&four, ip.family == AF_INET6 ? sizeof(six) : sizeof(four)) < 0)
		return false;
	bool udp = streq(kind, "udp");
	ssize_t n = !udp || send(fd, "?", 1, 0) == 1 ? recv(fd, who, IP_TEXT - 1, 0) : -1;
	who[n > 0 ? n : 0] = '\0';
	return !udp || n > 0;
}

static int ask(const char *kind, const char *to, uint16_t port, bool expected)
{
	char who[IP_TEXT] = "";
	bool yes = ask_once(kind, to, port, who);
	for (int i = 0; expected && !yes && i < 15; i++) {
		(void)sh("sleep 0.2");
		yes = ask_once(kind, to, port, who);
	}
	printf("%s%s%s\n", yes ? "answered" : "silent", *who ? " " : "", who);
	return 0;
}

enum door { DIRECT, TRUSTED, DOORS };

/* Who routes to containers himself, when the daemon allows it or the network trusts his interface: to what is published alone. */
static const struct {
	const char *kind, *to;
	bool want[DOORS];
} direct[] = {
	{"tcp", "172.17.0.2", {true, true}},
	{"udp", "172.17.0.2", {true, true}},
	{"tcp", "fd00:17::2", {true, true}},
	{"udp", "172.17.0.3", {0}},
	{"tcp", "10.5.0.2", {[DIRECT] = true}}, /* of a network that trusts nobody */
	{"tcp", "10.1.0.2", {0}},
	{"tcp", "fd00:1::2", {0}},
	{"tcp", "10.3.0.2", {true, true}}, /* in mode routed */
};

static void open_door(struct lab *l, struct world *w, enum door d)
{
	char id[ID_TEXT];
	fix_id(id, 'd');
	struct network *n = network_copy(world_network(w, id));
	kvs_set(&n->thing.mem, &n->options, NETWORK_TRUSTED, d == TRUSTED ? "nobody0:vout" : "");
	fix_put(w, n);
	l->c.direct_routing = d == DIRECT;
}

static void check_doors(struct lab *l, struct world *w)
{
	for (int d = 0; d < DOORS; d++) {
		OWN(own_buf) struct buf line = {0};
		open_door(l, w, d);
		CHECK(mend(l, w));
		for (size_t i = 0; i < ARRAY_LEN(direct); i++)
			put_question("out", direct[i].kind, direct[i].to, 80, direct[i].want[d], "door", i, &line);
		buf_puts(&line, "wait\n");
		CHECK(sh(buf_str(&line)));
		for (size_t i = 0; i < ARRAY_LEN(direct); i++) {
			char one[128];
			snprintf(one, sizeof(one), "grep -q answered $T/door%zu%s", i, direct[i].kind);
			if (sh(one) != direct[i].want[d]) {
				printf("# door %d: %s to %s is not %d\n", d, direct[i].kind, direct[i].to, direct[i].want[d]);
				test_failed = true;
			}
		}
	}
}

/* Packets with the mark are let into a network; others are not. */
static void doors(bool nftables)
{
	struct lab l;
	char dir[] = "/tmp/pontoon-mark-XXXXXX", self[4096] = "";
	if (!open_lab(&l, nftables))
		SKIP("needs root");
	if (!sh("command -v busybox nsenter ip sysctl >/dev/null"))
		SKIP("needs busybox, nsenter and ip");
	REQUIRE(mkdtemp(dir) && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	setenv("T", dir, 1);
	setenv("SELF", self, 1);
	struct world *w = world_of_places();
	accept_mark(&l, "0x7/0xf");
	CHECK(sh(make_places) && mend(&l, w));
	static const char ask_it[] = "nsenter -n -t $(cat $T/out.pid) $SELF ask tcp 10.3.0.2 80 %d | grep -q %s";
	char line[256];
	snprintf(line, sizeof(line), ask_it, 0, "silent");
	CHECK(sh(line));
	CHECK(sh("iptables -t mangle -A PREROUTING -i vout -j MARK --set-mark 0x17"));
	snprintf(line, sizeof(line), ask_it, 1, "answered");
	CHECK(sh(line));
	CHECK(settled(&l, w));
	accept_mark(&l, "");
	CHECK(mend(&l, w));
	snprintf(line, sizeof(line), ask_it, 0, "silent");
	CHECK(sh(line));
	publish_places(w);
	check_doors(&l, w);
	(void)sh("kill $(cat $T/*.pid) 2>/dev/null; rm -r $T");
	world_free(w);
	close_lab(&l);
}

TEST(doors_iptables)
{
	doors(false);
}
TEST(doors_nftables)
{
	doors(true);
}
TEST(reach_iptables)
{
	run_reach(false, true);
}
TEST(reach_iptables_without_proxy)
{
	run_reach(false, false);
}
TEST(reach_nftables)
{
	run_reach(true, true);
}
TEST(reach_nftables_without_proxy)
{
	run_reach(true, false);
}

int main(int argc, char **argv)
{
	if (argc == 3 && streq(argv[1], "serve"))
		return serve(argv[2]);
	if (argc == 6 && streq(argv[1], "ask"))
		return ask(argv[2], argv[3], (uint16_t)atoi(argv[4]), *argv[5] == '1');
	static const struct test tests[] = {T(made_seen_and_mended), T(skeleton_is_as_the_kernel_prints_it),
		T(switching_removes_the_other_backend), T(doors_iptables), T(doors_nftables), T(reach_iptables), T(reach_nftables),
		T(reach_iptables_without_proxy), T(reach_nftables_without_proxy)};
	return test_main(tests, ARRAY_LEN(tests), argc, argv);
}
