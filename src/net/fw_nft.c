/* Theory of operation
 *
 * The kernel looks an element up in a time that does not grow with their number, and adds one without touching any
 * other: so a network is elements keyed by its interface, and no operation ever changes a rule.
 *
 *   pairs      br . br      what stays within a network: let through, or dropped when the network is in `quiet`
 *   bridges    br           networks with a way out: nothing passes from one to another; new connections into one
 *                           are dropped ("into"), which keeps out also who routes to a container's address directly
 *   closed     br           internal networks: nothing in or out
 *   unguarded  family . br  mode nat-unprotected: any port may be reached
 *   routed     family . br  mode routed: may be pinged
 *   strict     family       we switched forwarding on: what neither comes from nor goes to a network of ours is
 *                           dropped, as the policy of FORWARD would
 *   masq4/6    br           what leaves gets an address of the host
 *   snat4/6    br : address what leaves gets this one
 *
 * and a published port is one element of the first three maps, looked up in this order, and one of `open`:
 *
 *   hostport4/6   address . protocol . port : container . port   published at one address of the host
 *   port4/6       protocol . port : container . port             at any
 *   range4/6      address . protocol . ports : container         a long run that keeps its numbers (only those: intervals are slow)
 *   open4/6, openrange4/6   container . protocol . port(s)       what may be reached by who came through the maps
 *   local4/6, lan4/6   address . protocol . ports                publish scopes: for this host; for what is on-link where it comes in
 *   onlink4/6  interface . subnet                                which that is, our networks aside
 *   direct     family . br  what is opened may be reached at the container's address by everybody
 *   trusted    interface . br   and by who comes from there
 *   loopback4     address . protocol . ports                     published on the host's loopback: for the host alone
 *   links4        container . container . protocol . port        what a link opens within a network that is `quiet`
 *   spared4/6     addresses                                      of the host's own packets to these the proxy takes care
 *   hairpin       family . br                                    and where there is no proxy, they come from the bridge's address
 *
 * Who reaches his own network (own: family . br) through the host, is led back into it under the bridge's address, so that answers come
 * the same way, and a container takes what it sent itself. With br_netfilter such a packet is bridged: it has no interface that it came from, as the
 * host's own have none, but their address is the host's. (Not by subnets: an interval is slow to go, 9 ms with a thousand networks.)
 *
 * A packet that a table of ours drops is dropped, whatever other tables say; what we accept, other tables may still
 * drop. Therefore there is no policy to set.
 *
 * A transaction is all or nothing. Deleting an element that has gone already would fail it, so each is added first,
 * which does nothing when it is there. A skeleton that is not as it should be counts as absent with all its elements:
 * the table is then made anew, with the people's rules in their chain.
 *
 * tests/kernel/test_nft.c proves it on the kernel, with packets. */
#include "net/fw_nft.h"

#include <ctype.h>
#include <errno.h>

#include "net/fw.h"

static const char skeleton_head[] =
	"table inet pontoon {\n"
	"\tset pairs {\n\t\ttype ifname . ifname\n\t}\n"
	"\tset bridges {\n\t\ttype ifname\n\t}\n"
	"\tset closed {\n\t\ttype ifname\n\t}\n"
	"\tset quiet {\n\t\ttype ifname\n\t}\n"
	"\tset unguarded {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tset routed {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tset strict {\n\t\ttype nf_proto\n\t}\n"
	"\tset masq4 {\n\t\ttype ifname\n\t}\n"
	"\tset masq6 {\n\t\ttype ifname\n\t}\n"
	"\tmap snat4 {\n\t\ttype ifname : ipv4_addr\n\t}\n"
	"\tmap snat6 {\n\t\ttype ifname : ipv6_addr\n\t}\n"
	"\tmap hostport4 {\n\t\ttype ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service\n\t}\n"
	"\tmap port4 {\n\t\ttype inet_proto . inet_service : ipv4_addr . inet_service\n\t}\n"
	"\tmap range4 {\n\t\ttype ipv4_addr . inet_proto . inet_service : ipv4_addr\n\t\tflags interval\n\t}\n"
	"\tset open4 {\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t}\n"
	"\tset openrange4 {\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tmap hostport6 {\n\t\ttype ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service\n\t}\n"
	"\tmap port6 {\n\t\ttype inet_proto . inet_service : ipv6_addr . inet_service\n\t}\n"
	"\tmap range6 {\n\t\ttype ipv6_addr . inet_proto . inet_service : ipv6_addr\n\t\tflags interval\n\t}\n"
	"\tset open6 {\n\t\ttype ipv6_addr . inet_proto . inet_service\n\t}\n"
	"\tset openrange6 {\n\t\ttype ipv6_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tset loopback4 {\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tset links4 {\n\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service\n\t}\n"
	"\tset local4 {\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tset local6 {\n\t\ttype ipv6_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tset lan4 {\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tset lan6 {\n\t\ttype ipv6_addr . inet_proto . inet_service\n\t\tflags interval\n\t}\n"
	"\tset onlink4 {\n\t\ttype ifname . ipv4_addr\n\t\tflags interval\n\t}\n"
	"\tset onlink6 {\n\t\ttype ifname . ipv6_addr\n\t\tflags interval\n\t}\n"
	"\tset direct {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tset trusted {\n\t\ttype ifname . ifname\n\t}\n"
	"\tset own {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tset spared4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t}\n"
	"\tset spared6 {\n\t\ttype ipv6_addr\n\t}\n"
	"\tset hairpin {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tchain user {\n";
static const char skeleton_forward[] =
	"\t}\n"
	"\tchain forward {\n"
	"\t\ttype filter hook forward priority filter; policy accept;\n"
	"\t\tjump user\n"
	"\t\tiifname . oifname @pairs jump within\n";
static const char skeleton_tail[] =
	"\t\tiifname @closed drop\n"
	"\t\toifname @closed drop\n"
	"\t\tiifname @bridges oifname @bridges jump between\n"
	"\t\toifname @bridges jump into\n"
	"\t\tiifname != @bridges meta nfproto @strict drop\n"
	"\t}\n"
	"\tchain within {\n"
	"\t\tct state established,related accept\n"
	"\t\tip saddr . ip daddr . meta l4proto . th dport @links4 accept\n"
	"\t\tiifname @quiet drop\n"
	"\t\taccept\n"
	"\t}\n"
	"\tchain between {\n"
	"\t\tct state established,related accept\n"
	"\t\tct status dnat jump into\n"
	"\t\tmeta nfproto . oifname @routed jump into\n"
	"\t\tdrop\n"
	"\t}\n"
	"\tchain into {\n"
	"\t\tct state established,related accept\n"
	"\t\tmeta nfproto . oifname @unguarded accept\n"
	"\t\tmeta nfproto . oifname @routed meta l4proto { icmp, ipv6-icmp } accept\n"
	"\t\tct status dnat jump opened\n"
	"\t\tmeta nfproto . oifname @direct jump opened\n"
	"\t\tiifname . oifname @trusted jump opened\n"
	"\t\tdrop\n"
	"\t}\n"
	"\tchain opened {\n"
	"\t\tip daddr . meta l4proto . th dport @open4 accept\n"
	"\t\tip daddr . meta l4proto . th dport @openrange4 accept\n"
	"\t\tip6 daddr . meta l4proto . th dport @open6 accept\n"
	"\t\tip6 daddr . meta l4proto . th dport @openrange6 accept\n"
	"\t}\n"
	"\tchain raw {\n"
	"\t\ttype filter hook prerouting priority raw; policy accept;\n"
	"\t\tiifname @bridges ip daddr 127.0.0.0/8 drop\n"
	"\t\tiifname != \"lo\" ip daddr 127.0.0.0/8 ip daddr . meta l4proto . th dport @loopback4 drop\n"
	"\t\tip daddr . meta l4proto . th dport @local4 jump limited\n"
	"\t\tip6 daddr . meta l4proto . th dport @local6 jump limited\n"
	"\t\tip daddr . meta l4proto . th dport @lan4 jump lan\n"
	"\t\tip6 daddr . meta l4proto . th dport @lan6 jump lan\n"
	"\t}\n"
	"\tchain lan {\n"
	"\t\tiifname . ip saddr @onlink4 return\n"
	"\t\tiifname . ip6 saddr @onlink6 return\n"
	"\t\tip6 saddr fe80::/10 return\n"
	"\t\tiifname . iifname @pairs return\n"
	"\t\tjump limited\n"
	"\t}\n"
	"\tchain limited {\n"
	"\t\tfib daddr type local fib saddr type != local drop\n"
	"\t}\n"
	"\tchain prerouting {\n"
	"\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
	"\t\tfib daddr type local jump published\n"
	"\t}\n"
	"\tchain output {\n"
	"\t\ttype nat hook output priority -100; policy accept;\n"
	"\t\tip daddr @spared4 accept\n"
	"\t\tip6 daddr @spared6 accept\n"
	"\t\tfib daddr type local jump published\n"
	"\t}\n"
	"\tchain published {\n"
	"\t\tip6 saddr fe80::/10 accept\n"
	"\t\tdnat ip to ip daddr . meta l4proto . th dport map @hostport4\n"
	"\t\tmeta nfproto ipv4 dnat ip to meta l4proto . th dport map @port4\n"
	"\t\tdnat ip to ip daddr . meta l4proto . th dport map @range4\n"
	"\t\tdnat ip6 to ip6 daddr . meta l4proto . th dport map @hostport6\n"
	"\t\tmeta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @port6\n"
	"\t\tdnat ip6 to ip6 daddr . meta l4proto . th dport map @range6\n"
	"\t}\n"
	"\tchain postrouting {\n"
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
	"\t\tct status dnat meta nfproto . oifname @own iifname . oifname @pairs masquerade\n"
	"\t\tct status dnat meta nfproto . oifname @own iif 0 fib saddr type != local masquerade\n"
	"\t\tiifname . oifname @pairs accept\n"
	"\t\tmeta nfproto . oifname @hairpin fib saddr type local masquerade\n"
	"\t\tmeta nfproto ipv4 snat ip to iifname map @snat4\n"
	"\t\tmeta nfproto ipv4 iifname @masq4 masquerade\n"
	"\t\tip6 saddr fe80::/10 accept\n"
	"\t\tmeta nfproto ipv6 snat ip6 to iifname map @snat6\n"
	"\t\tmeta nfproto ipv6 iifname @masq6 masquerade\n"
	"\t}\n"
	"}\n";

/* "0x1/0xff" as nft prints the expression that it means; it stands in the skeleton: a set cannot mask. */
static const char *mark_match(const char *mark, struct arena *a)
{
	unsigned value = 0, mask = 0;
	if (str_empty(mark))
		return "";
	if (sscanf(mark, "%x/%x", &value, &mask) == 2)
		return arena_printf(a, "meta mark & 0x%08x == 0x%08x", mask, value);
	return arena_printf(a, "meta mark 0x%08x", value);
}

/* "eth0" . 192.0.2.0/24, for those with scope lan. */
static int want_on_link(const struct netconf *c, struct kstate *out)
{
	for (size_t i = 0; i < c->naddrs; i++) {
		struct prefix net = prefix_masked(&c->addrs[i].addr);
		bool v6 = net.ip.family == AF_INET6;
		char text[PREFIX_TEXT];
		struct kobj o = {.kind = K_NFT_ELEM, .unit = {UNIT_HOST, ""},
			.elem = {v6 ? "onlink6" : "onlink4", arena_printf(out->mem, "\"%s\" . %s", c->addrs[i].link, prefix_format(&net, text)), ""}};
		if (net.len < ip_bits(net.ip.family) && (!o.elem.key || kstate_add(out, &o) < 0))
			return -ENOMEM;
	}
	return 0;
}

int fw_nft_want_host(const struct world *w, const struct netconf *c, bool v6, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_HOST, ""};
	struct kobj table = {.kind = K_NFT_TABLE, .unit = u, .elem = {"", "", mark_match(c->accept_mark, out->mem)}},
		    four = {.kind = K_NFT_ELEM, .unit = u, .elem = {"strict", "ipv4", ""}},
		    six = {.kind = K_NFT_ELEM, .unit = u, .elem = {"strict", "ipv6", ""}};
	if (!table.elem.value || kstate_add(out, &table) < 0 || (c->policy_drop && kstate_add(out, &four) < 0) ||
		(v6 && c->policy_drop6 && kstate_add(out, &six) < 0))
		return err_nomem(e);
	if (world_limited_ports(w) && want_on_link(c, out) < 0)
		return err_nomem(e);
	static const char *const spared[][2] = {{"spared4", "127.0.0.0/8"}, {"spared6", "::1"}};
	for (size_t i = 0; c->userland_proxy && i < ARRAY_LEN(spared); i++) {
		struct kobj s = {.kind = K_NFT_ELEM, .unit = u, .elem = {spared[i][0], spared[i][1], ""}};
		if (kstate_add(out, &s) < 0)
			return err_nomem(e);
	}
	return 0;
}

static int add(struct kstate *out, const struct network *n, const char *set, const char *key, const char *value)
{
	struct kobj o = {.kind = K_NFT_ELEM, .unit = {UNIT_NETWORK, n->id}, .elem = {set, key, value}};
	return key && value ? kstate_add(out, &o) : -ENOMEM;
}

/* Interfaces, colon-separated, from which published ports may be reached at the container's address. */
static int want_trusted(const struct network *n, const char *br, struct kstate *out)
{
	const char *s = kvs_get(&n->options, NETWORK_TRUSTED);
	for (size_t len; s && *s; s += len + (s[len] == ':')) {
		len = strcspn(s, ":");
		if (len && len < KIFNAME)
			try(add(out, n, "trusted", arena_printf(out->mem, "\"%.*s\" . %s", (int)len, s, br), ""));
	}
	return 0;
}

/* A family that is not ours to guard is let through, as iptables would. */
static int want_family(const struct netconf *c, const struct network *n, enum fw_family f, const char *br, struct kstate *out)
{
	bool v6 = f == FW_V6, ours = fw_has_family(c, n, f);
	enum gw_mode mode = v6 ? n->gw_mode6 : n->gw_mode4;
	const struct ip *snat = v6 ? &n->snat6 : &n->snat4;
	const char *both = arena_printf(out->mem, "%s . %s", v6 ? "ipv6" : "ipv4", br);
	char text[IP_TEXT];
	if (mode == GW_NAT_UNPROTECTED || (v6 && !c->ip6tables))
		try(add(out, n, "unguarded", both, ""));
	if (!ours)
		return 0;
	if (mode == GW_ROUTED)
		try(add(out, n, "routed", both, ""));
	if (fw_opens_directly(c, n, f))
		try(add(out, n, "direct", both, ""));
	if (mode == GW_NAT || mode == GW_NAT_UNPROTECTED) {
		if (!c->userland_proxy)
			try(add(out, n, "hairpin", both, ""));
		try(add(out, n, "own", both, ""));
	}
	if (!fw_masquerades(c, n, f))
		return 0;
	if (ip_is_set(snat))
		return add(out, n, v6 ? "snat6" : "snat4", br, arena_dup(out->mem, ip_format(snat, text)));
	return add(out, n, v6 ? "masq6" : "masq4", br, "");
}

int fw_nft_want_network(const struct netconf *c, const struct network *n, struct kstate *out, struct err *e)
{
	const char *br = arena_printf(out->mem, "\"%s\"", n->bridge);
	int r = br ? 0 : -ENOMEM;
	if (!fw_has_family(c, n, FW_V4) && !fw_has_family(c, n, FW_V6))
		return 0;
	if (r >= 0)
		r = add(out, n, "pairs", arena_printf(out->mem, "%s . %s", br, br), "");
	if (r >= 0)
		r = add(out, n, n->internal ? "closed" : "bridges", br, "");
	if (r >= 0 && !n->icc)
		r = add(out, n, "quiet", br, "");
	if (r >= 0 && !n->internal)
		r = want_trusted(n, br, out);
	for (int f = 0; r >= 0 && !n->internal && f < FW_FAMILY_N; f++)
		r = want_family(c, n, (enum fw_family)f, br, out);
	return r < 0 ? err_nomem(e) : 0;
}

/* Do two long runs overlap at the container? Intervals of a set must not: then this one is told port by port. */
static bool is_crossed(const struct world *w, struct arena *a, const struct port *p)
{
	size_t n;
	const struct port **all = world_ports_of_container(w, a, p->container, &n);
	for (size_t i = 0; all && i < n; i++) {
		const struct port *q = all[i];
		bool same = q->port == p->port && q->count == p->count;
		if (q != p && !same && q->count > LIMIT_PORT_RUN && q->proto == p->proto && ip_eq(&q->ip, &p->ip) && q->port < p->port + p->count &&
			p->port < q->port + q->count)
			return true;
	}
	return false;
}

static int add_port(struct kstate *out, const struct port *p, const char *set, const char *key, const char *value)
{
	struct kobj o = {.kind = K_NFT_ELEM, .unit = {UNIT_SANDBOX, p->container}, .elem = {set, key, value}};
	return key && value ? kstate_add(out, &o) : -ENOMEM;
}

/* "172.17.0.2 . tcp . 80-89" */
static const char *port_text(struct arena *a, const char *ip, const struct port *p, unsigned first, unsigned count)
{
	const char *last = count > 1 ? arena_printf(a, "-%u", first + count - 1) : "";
	return arena_printf(a, "%s . %s . %u%s", ip, port_proto_name(p->proto), first, last);
}

static int want_open(const struct world *w, const struct port *p, const char *ip, struct kstate *out)
{
	bool v6 = p->ip.family == AF_INET6;
	if (p->count > LIMIT_PORT_RUN && !is_crossed(w, out->mem, p))
		return add_port(out, p, v6 ? "openrange6" : "openrange4", port_text(out->mem, ip, p, p->port, p->count), "");
	for (unsigned i = 0; i < p->count; i++)
		try(add_port(out, p, v6 ? "open6" : "open4", port_text(out->mem, ip, p, p->port + i, 1), ""));
	return 0;
}

static int want_led(const struct port *p, const char *ip, struct kstate *out)
{
	struct arena *a = out->mem;
	bool v6 = p->ip.family == AF_INET6, any = ip_is_unspecified(&p->host_ip);
	char host[IP_TEXT];
	ip_format(&p->host_ip, host);
	if (ip_is_loopback(&p->host_ip) && !v6)
		try(add_port(out, p, "loopback4", port_text(a, host, p, p->host_port, p->count), ""));
	const char *everywhere = v6 ? "::/0" : "0.0.0.0/0";
	if (port_is_limited(p))
		try(add_port(out, p, p->scope == SCOPE_LAN ? (v6 ? "lan6" : "lan4") : v6 ? "local6" : "local4",
			port_text(a, any ? everywhere : host, p, p->host_port, p->count), ""));
	if (p->count > LIMIT_PORT_RUN && p->host_port == p->port)
		return add_port(out, p, v6 ? "range6" : "range4", port_text(a, any ? everywhere : host, p, p->host_port, p->count), ip);
	for (unsigned i = 0; i < p->count; i++) {
		const char *to = arena_printf(a, "%s . %u", ip, p->port + i);
		const char *key = any ? arena_printf(a, "%s . %u", port_proto_name(p->proto), p->host_port + i) : port_text(a, host, p, p->host_port + i, 1);
		try(add_port(out, p, any ? (v6 ? "port6" : "port4") : v6 ? "hostport6" : "hostport4", key, to));
	}
	return 0;
}

int fw_nft_want_port(const struct world *w, const struct network *n, const struct port *p, struct kstate *out, struct err *e)
{
	enum gw_mode mode = p->ip.family == AF_INET6 ? n->gw_mode6 : n->gw_mode4;
	char text[IP_TEXT];
	const char *ip = arena_dup(out->mem, ip_format(&p->ip, text));
	int r = ip ? 0 : -ENOMEM;
	if (p->host_port && !port_is_nat(p))
		return 0;
	if (r >= 0 && mode != GW_NAT_UNPROTECTED)
		r = want_open(w, p, ip, out);
	if (r >= 0 && p->host_port)
		r = want_led(p, ip, out);
	return r < 0 ? err_nomem(e) : 0;
}

int fw_nft_want_link(const char *endpoint, const struct ip *from, const struct ip *to, const struct link_port *p, struct kstate *out, struct err *e)
{
	char a[IP_TEXT], b[IP_TEXT];
	for (unsigned i = 0; i < p->count; i++) {
		struct kobj o = {.kind = K_NFT_ELEM,
			.unit = {UNIT_ENDPOINT, endpoint},
			.elem = {"links4",
				arena_printf(out->mem, "%s . %s . %s . %u", ip_format(from, a), ip_format(to, b), port_proto_name(p->proto), p->first + i), ""}};
		if (!o.elem.key || kstate_add(out, &o) < 0)
			return err_nomem(e);
	}
	return 0;
}

/* Blanks of any kind become one space; none at the ends. */
static char *squeezed(struct arena *a, const char *s, size_t n)
{
	char *t = arena_dupn(a, s, n);
	size_t k = 0;
	for (size_t i = 0; t && i < n; i++) {
		bool blank = isspace((unsigned char)s[i]);
		if (!blank || (k && t[k - 1] != ' '))
			t[k++] = blank ? ' ' : s[i];
	}
	if (t) {
		k -= k && t[k - 1] == ' ';
		t[k] = '\0';
	}
	return t;
}

static int parse_elements(struct arena *a, const char *set, const char *s, size_t n, struct kstate *out)
{
	for (const char *end = s + n; s < end;) {
		size_t len = 0;
		while (s + len < end && s[len] != ',')
			len++;
		char *key = squeezed(a, s, len), *colon = key ? strstr(key, " : ") : NULL;
		struct kobj o = {.kind = K_NFT_ELEM, .unit = {UNIT_HOST, ""}, .elem = {set, key, ""}};
		if (!key)
			return -ENOMEM;
		if (colon) {
			*colon = '\0';
			o.elem.value = colon + 3;
		}
		if (kstate_add(out, &o) < 0)
			return -ENOMEM;
		s += len + 1;
	}
	return 0;
}

struct parse {
	struct arena *a;
	struct fw_nft_listing *out;
	struct buf skeleton, user;
	const char *set; /* the one that this line is in */
	bool in_user;
};

static void own_parse(struct parse *p)
{
	buf_free(&p->skeleton);
	buf_free(&p->user);
}

/* Takes one line, or all lines of a set's elements; returns what is left, NULL when it is not a listing. */
static const char *parse_line(struct parse *p, const char *text)
{
	static const char elements[] = "elements = {";
	size_t n = strcspn(text, "\n");
	const char *s = squeezed(p->a, text, n);
	if (!s)
		return NULL;
	if (str_starts(s, elements)) {
		const char *from = strstr(text, elements) + strlen(elements), *to = strchr(from, '}');
		if (!to || !p->set || parse_elements(p->a, p->set, from, (size_t)(to - from), &p->out->elements) < 0)
			return NULL;
		text = to;
		n = strcspn(text, "\n");
	} else if (p->in_user && !streq(s, "}")) {
		buf_printf(&p->user, "%s\n", s);
	} else if (*s) {
		buf_printf(&p->skeleton, "%s\n", s);
		p->in_user = streq(s, "chain user {");
		if (str_starts(s, "set ") || str_starts(s, "map "))
			p->set = arena_dupn(p->a, s + 4, strcspn(s + 4, " "));
	}
	return text + n + (text[n] == '\n');
}

int fw_nft_parse(const char *text, struct arena *a, struct fw_nft_listing *out, struct err *e)
{
	OWN(own_parse) struct parse p = {.a = a, .out = out};
	*out = (struct fw_nft_listing){.elements = {.mem = a}};
	while (text && *text)
		text = parse_line(&p, text);
	if (a->bad || p.skeleton.bad || p.user.bad)
		return err_nomem(e);
	if (!text)
		return err_set(e, -EPROTO, "a listing of nftables is not understood");
	out->skeleton = arena_dup(a, buf_str(&p.skeleton));
	out->user = arena_dup(a, buf_str(&p.user));
	return a->bad ? err_nomem(e) : 0;
}

static void put_skeleton(const char *user, const char *mark, struct buf *out)
{
	buf_printf(out, "%s%s%s", skeleton_head, user, skeleton_forward);
	if (!str_empty(mark))
		buf_printf(out, "\t\toifname @bridges %s accept\n", mark);
	buf_puts(out, skeleton_tail);
}

const char *fw_nft_skeleton(const char *mark, struct arena *a)
{
	OWN(own_buf) struct buf text = {0};
	struct fw_nft_listing l;
	put_skeleton("", mark, &text);
	return !text.bad && fw_nft_parse(buf_str(&text), a, &l, NULL) >= 0 ? l.skeleton : NULL;
}

/* Elements [i, end) of one set, in one command: each of its own would have the library look at the set again. */
static void render_elems(const char *verb, const struct step *s, size_t i, size_t end, struct buf *out)
{
	buf_printf(out, "%s element inet pontoon %s { ", verb, s->fw[i].o->elem.set);
	for (size_t k = i; k < end; k++) {
		const struct kobj *o = s->fw[k].o;
		bool value = !str_empty(o->elem.value);
		buf_printf(out, "%s%s%s%s", k > i ? ", " : "", o->elem.key, value ? " : " : "", value ? o->elem.value : "");
	}
	buf_puts(out, " }\n");
}

/* The old table goes in the transaction in which the new one comes. */
static void render_table(bool there, const char *user, const char *mark, bool present, struct buf *out)
{
	if (present)
		buf_puts(out, "delete table inet pontoon\n");
	if (there)
		put_skeleton(user, mark, out);
	else if (!str_empty(user))
		buf_printf(out, "table inet pontoon {\n\tchain user {\n%s\t}\n}\n", user);
}

int fw_nft_render(const struct step *s, const char *user, bool present, struct buf *out, struct err *e)
{
	const struct fw_change *table = NULL;
	for (size_t i = 0; i < s->nfw; i++)
		if (s->fw[i].o->kind == K_NFT_TABLE)
			table = &s->fw[i];
	if (table)
		render_table(table->add, user, table->o->elem.value, present, out);
	for (size_t i = 0, end; i < s->nfw; i = end) {
		const struct fw_change *c = &s->fw[i];
		for (end = i + 1; end < s->nfw && c->o->kind == K_NFT_ELEM && s->fw[end].o->kind == K_NFT_ELEM && s->fw[end].add == c->add &&
				  streq(s->fw[end].o->elem.set, c->o->elem.set);
			end++)
			;
		if (c->o->kind != K_NFT_ELEM || (table && !c->add))
			continue; /* elements go with their table */
		render_elems("add", s, i, end, out);
		if (!c->add)
			render_elems("delete", s, i, end, out);
	}
	return out->bad ? err_nomem(e) : 0;
}
