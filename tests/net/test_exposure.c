#include "fixture.h"
#include "net/exposure.h"

struct setting {
	bool no_iptables, no_ip6tables, no_proxy, direct, nftables;
};

static struct network *net(char id, const char *name, enum gw_mode four, enum gw_mode six)
{
	struct network *n = fix_network(id, name, "10.1.0.0/24", 10);
	n->enable_v6 = true;
	n->v6.net = n->v6.range = fix_prefix("fd00:1::/64");
	n->gw_mode4 = four;
	n->gw_mode6 = six;
	return n;
}

static void put_port(struct world *w, const char *host, uint16_t host_port, const char *ip, enum port_scope scope)
{
	char ct[ID_TEXT];
	fix_id(ct, '1');
	struct port *p = port_new(ct, 0);
	fix_id(p->network, 'a');
	p->proto = IPPROTO_TCP;
	p->count = 1;
	p->host_ip = fix_ip(host);
	p->host_port = host_port;
	p->ip = fix_ip(ip);
	p->port = 80;
	p->scope = scope;
	fix_put(w, p);
}

#define OPEN4   "-d 10.1.0.2/32 ! -i br-aaaaaaaaaaaa -o br-aaaaaaaaaaaa -p tcp -m tcp --dport 80 -j ACCEPT"
#define RELAY   "the host's filter INPUT, then the listener of pontoon-relay"
#define INPUT   "whom the host's own INPUT rules let pass"
#define NOTHING "no rule leads there, and the proxy is off (--userland-proxy)"
#define UNRULED "no rule: the daemon does not filter here"

TEST(who_and_why)
{
	static const struct {
		struct setting s;
		enum gw_mode mode;
		const char *trusted, *host;
		uint16_t host_port;
		const char *ip;
		enum port_scope scope;
		const char *from, *decider;
	} rows[] = {
		{{0}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, "everywhere", "DOCKER-USER, then filter DOCKER: " OPEN4},
		{{.nftables = true}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, "everywhere", "nft inet pontoon user, then nft inet pontoon open4: 10.1.0.2 . tcp . 80"},
		{{0}, GW_NAT, "", "127.0.0.1", 8080, "10.1.0.2", SCOPE_ANY, "this host", "raw PREROUTING: -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8080 -j DROP"},
		{{0}, GW_NAT, "", "::", 8080, "10.1.0.2", SCOPE_ANY, INPUT, RELAY},
		{{0}, GW_NAT, "", "::1", 8080, "10.1.0.2", SCOPE_ANY, "this host", RELAY},
		{{.no_proxy = true}, GW_NAT, "", "::", 8080, "10.1.0.2", SCOPE_ANY, "nobody", NOTHING},
		{{0}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_HOST_FIREWALL, INPUT, RELAY},
		{{.direct = true}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, "everywhere; at 10.1.0.2, whoever has a route to it", "DOCKER-USER, then filter DOCKER: " OPEN4},
		{{.direct = true}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_HOST_FIREWALL, INPUT, RELAY},
		{{0}, GW_NAT, "lan0:lan1", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, "everywhere; at 10.1.0.2, who comes in at lan0:lan1", "DOCKER-USER, then filter DOCKER: " OPEN4},
		{{0}, GW_NAT_UNPROTECTED, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, "everywhere; at 10.1.0.2, whoever has a route to it",
			"DOCKER-USER, then nat DOCKER: ! -i br-aaaaaaaaaaaa -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80"},
		{{0}, GW_ROUTED, "", "0.0.0.0", 0, "10.1.0.2", SCOPE_ANY, "whoever has a route to 10.1.0.2", "DOCKER-USER, then filter DOCKER: " OPEN4},
		{{.no_iptables = true}, GW_ROUTED, "", "0.0.0.0", 0, "10.1.0.2", SCOPE_ANY, "whoever has a route to 10.1.0.2", UNRULED},
		{{.no_iptables = true, .no_proxy = true}, GW_ROUTED, "", "0.0.0.0", 0, "10.1.0.2", SCOPE_ANY, "whoever has a route to 10.1.0.2", UNRULED},
		{{.no_iptables = true}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, INPUT "; at 10.1.0.2, whoever has a route to it", RELAY},
		{{.no_iptables = true, .no_proxy = true}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_ANY, "nobody; at 10.1.0.2, whoever has a route to it", NOTHING},
		{{.no_iptables = true}, GW_NAT, "", "0.0.0.0", 8080, "10.1.0.2", SCOPE_LOCAL, "this host; at 10.1.0.2, whoever has a route to it", RELAY},
		{{.no_ip6tables = true}, GW_NAT, "", "::", 8080, "fd00:1::2", SCOPE_ANY, INPUT "; at fd00:1::2, whoever has a route to it", RELAY},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct setting *s = &rows[i].s;
		struct netconf c = fix_conf();
		struct arena a = {0}, mem = {0};
		struct world *w = fix_world();
		struct exposure *x;
		struct err e = {0};
		size_t n = 0;
		c.iptables = !s->no_iptables;
		c.ip6tables = !s->no_ip6tables && c.iptables;
		c.userland_proxy = !s->no_proxy;
		c.direct_routing = s->direct;
		c.nftables = s->nftables;
		struct network *made = net('a', "net1", rows[i].mode, rows[i].mode);
		if (*rows[i].trusted)
			kvs_set(&made->thing.mem, &made->options, NETWORK_TRUSTED, rows[i].trusted);
		fix_put(w, made);
		(void)fix_container(w, '1', "web", fix_spec(&mem, "net1"), &mem);
		put_port(w, rows[i].host, rows[i].host_port, rows[i].ip, rows[i].scope);
		REQUIRE(exposure_list(w, &c, &a, &x, &n, &e) == 0 && n == 1);
		CHECK_STR(x->from, rows[i].from);
		CHECK_STR(x->decider, rows[i].decider);
		world_free(w);
		arena_free(&a);
	}
}

TESTS(T(who_and_why))
