/* Theory of operation
 *
 * A rule in a built-in chain cannot carry a mark. So the rules that can be ours are listed once, as shapes: wanting a
 * rule fills a shape in, recognising one in a listing matches its text against the shapes, to the last byte, and then
 * asks whether its device is ours. The texts are those that iptables-save prints (tests/net/test_fw_real.c loads them
 * with both variants and compares).
 *
 * Where a rule belongs is its rank (class, sequence, k) among ours in its chain, never a number of the kernel:
 *
 *   class 0   the jump to DOCKER-USER: the very first rule of FORWARD, also before foreign ones: that is its promise to
 * administrators class 1   the jump to the isolation chains: right after it when made, but a foreign rule may come to
 * stand between class 2   a network's rules: newest network first, the default bridge last class 9   what closes a
 * chain: RETURN, and the jumps that are appended to nat's built-in chains
 *
 * Published ports stand before what closes a network's part, oldest network first, so that one that comes moves none (class 1 of
 * DOCKER, class 3 of nat's DOCKER, after the RETURNs). Their place follows from the text alone, since a listing says no more.
 *
 * A publish scope is kept in table raw, before NAT and before the proxy's listener: what comes from elsewhere is dropped there.
 *
 * Dockerd 20.10 reaches the same order by inserting everything at the top and then moving the two jumps back up. */
#include "net/fw.h"

#include <errno.h>
#include <stdlib.h>

#include "base/map.h"
#include "net/fw_nft.h"

/* %D device, %C the same in a comment, %N subnet, %S the source that outgoing traffic gets, %T an interface that may
 * reach containers directly, %M a mark. `host` rows stand once, those with %T once an interface, those of `when` PORT_... once a
 * published port, LINK once a port that a link opens, the others once a network. Of a port: %A the container's address, %P its port or ports there, %H the
 * host's address (of a link: that of the container that has it), %O the port or ports there, %Q the protocol, %L where DNAT leads. */
enum when { ALWAYS, PROXY_ON, PROXY_OFF, PORT_OPEN, PORT_ANYWHERE, PORT_AT, PORT_ANYWHERE_OFF, PORT_AT_OFF, PORT_LOOPBACK, PORT_LOCAL, PORT_LOCAL_AT, PORT_LAN, PORT_LAN_AT, LINK, ON_LIMITED, ON_LINK_FROM, ON_MARK, ON_HAIRPIN, ON_RETURN, ON_ISOLATED, ON_ISOLATED_OFF, ON_MASQ,
	ON_SNAT, ON_ICC, ON_NO_ICC, ON_EXTERNAL, ON_INTERNAL, ON_RAW, ON_TRUSTED, ON_ROUTED, ON_CLOSED, ON_UNPROTECTED };
enum { F4 = 1 << FW_V4, F6 = 1 << FW_V6 };

struct shape {
	int families;
	enum fw_table table;
	const char *chain;
	const char *text;
	int cls, k;
	bool host;
	enum when when;
};

#define ISOLATE_1 "DOCKER-ISOLATION-STAGE-1"
#define ISOLATE_2 "DOCKER-ISOLATION-STAGE-2"
#define LAN       "DOCKER-LAN"

/* In mode nat it is the raw row that keeps others out, whatever the policy of FORWARD; in mode routed, and where the raw
 * row lets somebody pass, the DROP in DOCKER. The comment tells the row of --bridge-accept-fwmark from an administrator's. The IPv6 rows of an internal network let link-local traffic inside the bridge pass: it is not of the subnet.
 */
static const struct shape shapes[] = {
	{F4 | F6, FW_FILTER, "FORWARD", "-j DOCKER-USER", 0, 0, true, ALWAYS},
	{F4 | F6, FW_FILTER, "FORWARD", "-m mark --mark %M -m comment --comment pontoon -j ACCEPT", 1, 0, true, ON_MARK},
	{F4 | F6, FW_FILTER, "FORWARD", "-j " ISOLATE_1, 1, 1, true, ALWAYS},
	{F4 | F6, FW_FILTER, "FORWARD", "-o %D -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", 2, 0, false,
		ON_EXTERNAL},
	{F4 | F6, FW_FILTER, "FORWARD", "-o %D -j DOCKER", 2, 1, false, ON_EXTERNAL},
	{F4 | F6, FW_FILTER, "FORWARD", "-i %D ! -o %D -j ACCEPT", 2, 2, false, ON_EXTERNAL},
	{F4 | F6, FW_FILTER, "FORWARD", "-i %D -o %D -j ACCEPT", 2, 3, false, ON_ICC},
	{F4 | F6, FW_FILTER, "FORWARD", "-i %D -o %D -j DROP", 2, 3, false, ON_NO_ICC},
	{F4 | F6, FW_FILTER, "DOCKER", "-d %A ! -i %D -o %D -p %Q -m %Q --dport %P -j ACCEPT", 1, 0, false, PORT_OPEN},
	{F4, FW_FILTER, "DOCKER", "-s %H -d %A -i %D -o %D -p %Q -m %Q --dport %P -j ACCEPT", 1, 0, false, LINK},
	{F4, FW_FILTER, "DOCKER", "-s %A -d %H -i %D -o %D -p %Q -m %Q --sport %P -j ACCEPT", 1, 0, false, LINK},
	{F4, FW_FILTER, "DOCKER", "-o %D -p icmp -j ACCEPT", 2, 0, false, ON_ROUTED},
	{F6, FW_FILTER, "DOCKER", "-o %D -p ipv6-icmp -j ACCEPT", 2, 0, false, ON_ROUTED},
	{F4 | F6, FW_FILTER, "DOCKER", "! -i %D -o %D -j DROP", 2, 1, false, ON_CLOSED},
	{F4 | F6, FW_FILTER, "DOCKER", "! -i %D -o %D -j ACCEPT", 2, 1, false, ON_UNPROTECTED},
	{F4, FW_FILTER, ISOLATE_1, "! -s %N -o %D -j DROP", 2, 0, false, ON_INTERNAL},
	{F4, FW_FILTER, ISOLATE_1, "! -d %N -i %D -j DROP", 2, 1, false, ON_INTERNAL},
	{F6, FW_FILTER, ISOLATE_1, "! -s %N ! -i %D -o %D -j DROP", 2, 0, false, ON_INTERNAL},
	{F6, FW_FILTER, ISOLATE_1, "! -d %N -i %D ! -o %D -j DROP", 2, 1, false, ON_INTERNAL},
	{F4 | F6, FW_FILTER, ISOLATE_1, "-i %D -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", 2, 1, false, ON_ROUTED},
	{F4 | F6, FW_FILTER, ISOLATE_1, "-i %D ! -o %D -j " ISOLATE_2, 2, 2, false, ON_ISOLATED},
	{F4 | F6, FW_FILTER, ISOLATE_1, "-i %D ! -o %D -m conntrack ! --ctstate DNAT -j " ISOLATE_2, 2, 2, false, ON_ISOLATED_OFF},
	{F4 | F6, FW_FILTER, ISOLATE_1, "-j RETURN", 9, 0, true, ALWAYS},
	{F4 | F6, FW_FILTER, ISOLATE_2, "-o %D -j DOCKER", 2, 0, false, ON_ROUTED},
	{F4 | F6, FW_FILTER, ISOLATE_2, "-o %D -j DROP", 2, 1, false, ON_EXTERNAL},
	{F4 | F6, FW_FILTER, ISOLATE_2, "-j RETURN", 9, 0, true, ALWAYS},
	{F4 | F6, FW_NAT, "PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER", 9, 0, true, ALWAYS},
	{F4 | F6, FW_NAT, "OUTPUT", "-m addrtype --dst-type LOCAL -j DOCKER", 9, 0, true, PROXY_OFF},
	{F4, FW_NAT, "OUTPUT", "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER", 9, 0, true, PROXY_ON},
	{F6, FW_NAT, "OUTPUT", "! -d ::1/128 -m addrtype --dst-type LOCAL -j DOCKER", 9, 0, true, PROXY_ON},
	{F4 | F6, FW_NAT, "POSTROUTING", "-s %N ! -o %D -j MASQUERADE", 2, 0, false, ON_MASQ},
	{F4 | F6, FW_NAT, "POSTROUTING", "-s %N ! -o %D -j SNAT --to-source %S", 2, 0, false, ON_SNAT},
	{F4 | F6, FW_NAT, "POSTROUTING", "-o %D -m addrtype --src-type LOCAL -j MASQUERADE", 2, 1, false, ON_HAIRPIN},
	{F4 | F6, FW_NAT, "POSTROUTING", "-s %N -o %D -m conntrack --ctstate DNAT -j MASQUERADE", 2, 2, false, ON_HAIRPIN},
	{F4 | F6, FW_NAT, "DOCKER", "-i %D -j RETURN", 2, 0, false, ON_RETURN},
	{F4, FW_NAT, "DOCKER", "! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE},
	{F4, FW_NAT, "DOCKER", "-d %H ! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT},
	{F4, FW_NAT, "DOCKER", "-p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE_OFF},
	{F4, FW_NAT, "DOCKER", "-d %H -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT_OFF},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 ! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 -d %H ! -i %D -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_ANYWHERE_OFF},
	{F6, FW_NAT, "DOCKER", "! -s fe80::/10 -d %H -p %Q -m %Q --dport %O -j DNAT --to-destination %L", 3, 0, false, PORT_AT_OFF},
	{F4, FW_RAW, "PREROUTING", "-d 127.0.0.0/8 -i %D -j DROP", 2, 2, false, ON_HAIRPIN},
	{F4, FW_RAW, "PREROUTING", "-d %H ! -i lo -p %Q -m %Q --dport %O -j DROP", 3, 0, false, PORT_LOOPBACK},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %N -i %T -m addrtype ! --dst-type LOCAL -m comment --comment %C -j ACCEPT", 2, 0,
		false, ON_TRUSTED},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %N ! -i %D -m addrtype ! --dst-type LOCAL -j DROP", 2, 1, false, ON_RAW},
	/* Publish scopes. What comes from the container's own network reaches it anyway. */
	{F4 | F6, FW_RAW, "PREROUTING", "! -i %D -p %Q -m %Q --dport %O -m addrtype ! --src-type LOCAL --dst-type LOCAL -j DROP", 3, 0, false, PORT_LOCAL},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %H ! -i %D -p %Q -m %Q --dport %O -m addrtype ! --src-type LOCAL -j DROP", 3, 0, false, PORT_LOCAL_AT},
	{F4 | F6, FW_RAW, "PREROUTING", "! -i %D -p %Q -m %Q --dport %O -m addrtype --dst-type LOCAL -j " LAN, 3, 0, false, PORT_LAN},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %H ! -i %D -p %Q -m %Q --dport %O -j " LAN, 3, 0, false, PORT_LAN_AT},
	{F4 | F6, FW_RAW, LAN, "-m addrtype --src-type LOCAL -j RETURN", 1, 0, true, ON_LIMITED},
	{F6, FW_RAW, LAN, "-s fe80::/10 -j RETURN", 1, 1, true, ON_LIMITED},
	{F4 | F6, FW_RAW, LAN, "-s %N -i %D -j RETURN", 2, 0, true, ON_LINK_FROM},
	{F4 | F6, FW_RAW, LAN, "-j DROP", 9, 0, true, ON_LIMITED},
};

static const struct {
	enum fw_table table;
	const char *name;
	bool keep;
	enum when when;
} chains[] = {
	{FW_FILTER, "DOCKER", false, ALWAYS},
	{FW_FILTER, ISOLATE_1, false, ALWAYS},
	{FW_FILTER, ISOLATE_2, false, ALWAYS},
	{FW_FILTER, "DOCKER-USER", true, ALWAYS},
	{FW_NAT, "DOCKER", false, ALWAYS},
	{FW_RAW, LAN, false, ON_LIMITED},
};

/* Colon-separated. */
static const char *trusted(const struct network *n)
{
	const char *s = kvs_get(&n->options, NETWORK_TRUSTED);
	return s ? s : "";
}

static bool applies(enum when when, const struct network *n, enum fw_family f, const struct netconf *c)
{
	enum gw_mode mode = !n ? GW_ISOLATED : f == FW_V6 ? n->gw_mode6 : n->gw_mode4;
	bool nat = n && !n->internal && (mode == GW_NAT || mode == GW_NAT_UNPROTECTED);
	switch (when) {
	case ALWAYS:
		return true;
	case ON_MARK:
		return !str_empty(c->accept_mark);
	case PROXY_ON:
		return c->userland_proxy;
	case PROXY_OFF:
		return !c->userland_proxy;
	case PORT_OPEN:
	case PORT_ANYWHERE:
	case PORT_AT:
	case PORT_ANYWHERE_OFF:
	case PORT_AT_OFF:
	case PORT_LOOPBACK:
	case PORT_LOCAL:
	case PORT_LOCAL_AT:
	case PORT_LAN:
	case PORT_LAN_AT:
	case ON_LIMITED: /* want_skeleton */
	case ON_LINK_FROM:
		return false; /* fw_want_port */
	case LINK:
		return false; /* fw_want_links */
	case ON_HAIRPIN:
		return nat && !c->userland_proxy;
	case ON_ISOLATED:
		return !n->internal && c->userland_proxy;
	case ON_ISOLATED_OFF:
		return !n->internal && !c->userland_proxy;
	case ON_RETURN:
		return nat && c->userland_proxy;
	case ON_MASQ:
		return nat && n->masquerade && (c->ip_masq || !n->is_default) && !ip_is_set(f == FW_V6 ? &n->snat6 : &n->snat4);
	case ON_SNAT:
		return nat && n->masquerade && ip_is_set(f == FW_V6 ? &n->snat6 : &n->snat4);
	case ON_ICC:
		return n->icc;
	case ON_NO_ICC:
		return !n->icc;
	case ON_EXTERNAL:
		return !n->internal;
	case ON_INTERNAL:
		return n->internal;
	case ON_RAW:
		return !n->internal && mode == GW_NAT && !c->direct_routing && !c->no_raw;
	case ON_TRUSTED:
		return *trusted(n) && applies(ON_RAW, n, f, c);
	case ON_CLOSED:
		return !n->internal && (mode == GW_ROUTED || (mode == GW_NAT && (*trusted(n) || !applies(ON_RAW, n, f, c))));
	case ON_ROUTED:
		return !n->internal && mode == GW_ROUTED;
	case ON_UNPROTECTED:
		return !n->internal && mode == GW_NAT_UNPROTECTED;
	}
	return false;
}

bool fw_has_family(const struct netconf *c, const struct network *n, enum fw_family f)
{
	const struct subnet *s = network_subnet(n, f == FW_V6 ? AF_INET6 : AF_INET);
	return c->iptables && n->driver == DRIVER_BRIDGE && s &&
	       (f == FW_V6 ? c->ip6tables && n->enable_v6 : n->enable_v4);
}

bool fw_masquerades(const struct netconf *c, const struct network *n, enum fw_family f)
{
	return applies(ON_MASQ, n, f, c) || applies(ON_SNAT, n, f, c);
}

bool fw_opens_directly(const struct netconf *c, const struct network *n, enum fw_family f)
{
	enum gw_mode mode = f == FW_V6 ? n->gw_mode6 : n->gw_mode4;
	return !n->internal && (mode == GW_ROUTED || (mode == GW_NAT && !applies(ON_RAW, n, f, c)));
}

/* Newest network first, the default bridge last. */
static struct fw_rank rank_of(const struct shape *s, const struct network *n)
{
	return (struct fw_rank){.cls = s->cls, .seq = n ? (n->is_default ? INT64_MAX : -n->seq) : 0, .k = s->k};
}

int fw_rank_cmp(const struct fw_rank *a, const struct fw_rank *b)
{
	if (a->cls != b->cls)
		return a->cls < b->cls ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return a->k < b->k ? -1 : a->k > b->k;
}

/* iptables-save quotes a comment with any other character. */
static const char comment_plain[] = "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/* What stands at the %s of a shape. */
struct blanks {
	char device[KIFNAME], trusted[KIFNAME];
	const char *mark;
	struct prefix subnet;
	struct ip source;
	char proto[8];
	struct ip ip, host;
	unsigned port, host_port, count;
};

static void fill_ports(unsigned first, unsigned count, struct buf *b)
{
	buf_printf(b, count > 1 ? "%u:%u" : "%u", first, first + count - 1);
}

/* A run that keeps its numbers needs none; one that is moved is told from where (iptables 1.8, revision 2 of DNAT). */
static void fill_target(const struct blanks *v, struct buf *b)
{
	char t[IP_TEXT];
	bool v6 = v->ip.family == AF_INET6, plain = v->count > 1 && v->port == v->host_port;
	ip_format(&v->ip, t);
	buf_printf(b, v6 && !plain ? "[%s]" : "%s", t);
	if (v->count > 1 && !plain)
		buf_printf(b, ":%u-%u/%u", v->port, v->port + v->count - 1, v->host_port);
	else if (!plain)
		buf_printf(b, ":%u", v->port);
}

static void fill_host(const struct ip *ip, struct buf *b)
{
	char t[IP_TEXT];
	buf_printf(b, "%s/%u", ip_format(ip, t), ip_bits(ip->family));
}

static void fill(const struct shape *s, const struct blanks *v, struct buf *b)
{
	char net[PREFIX_TEXT];
	for (const char *p = s->text; *p; p++) {
		if (*p != '%') {
			buf_putc(b, *p);
			continue;
		}
		switch (*++p) {
		case 'D':
			buf_puts(b, v->device);
			break;
		case 'S':
			buf_puts(b, ip_format(&v->source, net));
			break;
		case 'A':
			fill_host(&v->ip, b);
			break;
		case 'H':
			fill_host(&v->host, b);
			break;
		case 'P':
			fill_ports(v->port, v->count, b);
			break;
		case 'O':
			fill_ports(v->host_port, v->count, b);
			break;
		case 'Q':
			buf_puts(b, v->proto);
			break;
		case 'C':
			buf_printf(b, strspn(v->device, comment_plain) == strlen(v->device) ? "%s" : "\"%s\"", v->device);
			break;
		case 'T':
			buf_puts(b, v->trusted);
			break;
		case 'M':
			buf_puts(b, v->mark);
			break;
		case 'L':
			fill_target(v, b);
			break;
		default:
			buf_puts(b, prefix_format(&v->subnet, net));
		}
	}
}

static const char *filled(const struct shape *s, const struct blanks *v, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	fill(s, v, &b);
	return b.bad ? NULL : arena_dup(a, buf_str(&b));
}

static struct blanks blanks_of(const struct network *n, enum fw_family f)
{
	struct blanks v = {.subnet = f == FW_V6 ? n->v6.net : n->v4.net, .source = f == FW_V6 ? n->snat6 : n->snat4};
	STR_COPY(v.device, n->bridge);
	return v;
}

static int add_rule(const struct shape *s, enum fw_family f, struct unit u, const struct network *n,
	const struct blanks *v, struct kstate *out, struct err *e)
{
	struct kobj o = {.kind = K_RULE,
		.unit = u,
		.rule = {.family = f, .table = s->table, .chain = s->chain, .text = filled(s, v, out->mem), .rank = rank_of(s, n)}};
	return !o.rule.text || kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

/* Which subnets are on-link at which interface: what those with scope lan are judged by. */
static int want_on_link(const struct world *w, const struct netconf *c, enum fw_family f, const struct shape *s, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_HOST, ""};
	const struct network *n;
	for (size_t i = 0; i < c->naddrs; i++) {
		struct blanks v = {.subnet = prefix_masked(&c->addrs[i].addr)};
		bool one = v.subnet.len == ip_bits(v.subnet.ip.family);
		if (!one && v.subnet.ip.family == (f == FW_V6 ? AF_INET6 : AF_INET) && STR_COPY(v.device, c->addrs[i].link))
			try(add_rule(s, f, u, NULL, &v, out, e));
	}
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));) {
		struct blanks v = blanks_of(n, f);
		if (fw_has_family(c, n, f))
			try(add_rule(s, f, u, NULL, &v, out, e));
	}
	return 0;
}

static int want_skeleton(const struct world *w, const struct netconf *c, enum fw_family f, struct kstate *out, struct err *e)
{
	bool limited = world_limited_ports(w) > 0;
	struct blanks blanks = {.mark = c->accept_mark ? c->accept_mark : ""};
	struct unit u = {UNIT_HOST, ""};
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		struct kobj o = {.kind = K_CHAIN,
			.unit = u,
			.chain = {.family = f,
				.table = chains[i].table,
				.chain = chains[i].name,
				.keep = chains[i].keep}};
		if ((limited || chains[i].when != ON_LIMITED) && kstate_add(out, &o) < 0)
			return err_nomem(e);
	}
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (!s->host || !(s->families & (1 << f)))
			continue;
		if (s->when == ON_LIMITED ? limited : applies(s->when, NULL, f, c))
			try(add_rule(s, f, u, NULL, &blanks, out, e));
		else if (s->when == ON_LINK_FROM && limited)
			try(want_on_link(w, c, f, s, out, e));
	}
	return 0;
}

int fw_want_host(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e)
{
	struct kobj drop = {.kind = K_POLICY,
		.unit = {UNIT_HOST, ""},
		.policy = {.family = FW_V4, .chain = "FORWARD", .value = "DROP"}};
	const struct network *n;
	bool v6 = false;
	if (!c->iptables)
		return 0;
	for (size_t i = 0; !v6 && (n = world_next(w, NOUN_NETWORK, &i));)
		v6 = fw_has_family(c, n, FW_V6);
	if (c->nftables) { /* what iptables was told to drop by default is ours to judge again */
		drop.policy.value = "ACCEPT";
		try(fw_nft_want_host(w, c, v6, out, e));
	} else {
		try(want_skeleton(w, c, FW_V4, out, e));
		if (v6)
			try(want_skeleton(w, c, FW_V6, out, e));
	}
	if (c->policy_drop && kstate_add(out, &drop) < 0)
		return err_nomem(e);
	drop.policy.family = FW_V6;
	return v6 && c->policy_drop6 && kstate_add(out, &drop) < 0 ? err_nomem(e) : 0;
}

static int want_shape(const struct shape *s, enum fw_family f, const struct network *n, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_NETWORK, n->id};
	struct blanks blanks = blanks_of(n, f);
	if (s->when != ON_TRUSTED)
		return add_rule(s, f, u, n, &blanks, out, e);
	for (const char *p = trusted(n); *p;) {
		size_t len = strcspn(p, ":");
		snprintf(blanks.trusted, sizeof(blanks.trusted), "%.*s", (int)len, p);
		if (len && len < KIFNAME)
			try(add_rule(s, f, u, n, &blanks, out, e));
		p += len + (p[len] == ':');
	}
	return 0;
}

int fw_want_network(
	const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e)
{
	(void)w;
	if (c->nftables)
		return fw_nft_want_network(c, n, out, e);
	for (int f = 0; f < FW_FAMILY_N; f++) {
		if (!fw_has_family(c, n, (enum fw_family)f))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
			if (!shapes[i].host && (shapes[i].families & (1 << f)) &&
				applies(shapes[i].when, n, (enum fw_family)f, c))
				try(want_shape(&shapes[i], (enum fw_family)f, n, out, e));
	}
	return 0;
}

static bool port_applies(enum when when, const struct netconf *c, const struct network *n, const struct port *p)
{
	enum gw_mode mode = p->ip.family == AF_INET6 ? n->gw_mode6 : n->gw_mode4;
	bool nat = port_is_nat(p), any = ip_is_unspecified(&p->host_ip);
	if (when == PORT_OPEN)
		return nat ? mode == GW_NAT : !p->host_port;
	if (when == PORT_LOOPBACK)
		return nat && ip_is_loopback(&p->host_ip);
	if (when == PORT_LOCAL || when == PORT_LOCAL_AT)
		return nat && p->scope == SCOPE_LOCAL && any == (when == PORT_LOCAL);
	if (when == PORT_LAN || when == PORT_LAN_AT)
		return nat && p->scope == SCOPE_LAN && any == (when == PORT_LAN);
	/* Without the proxy, the container's own network is led to the port, too; but it is not this host. */
	bool others_only = c->userland_proxy || p->scope == SCOPE_LOCAL;
	if (when == PORT_ANYWHERE || when == PORT_ANYWHERE_OFF)
		return nat && any && others_only == (when == PORT_ANYWHERE);
	return (when == PORT_AT || when == PORT_AT_OFF) && nat && !any && others_only == (when == PORT_AT);
}

/* The higher number first, as dockerd's. */
static struct fw_rank port_rank(const struct shape *s, const struct network *n, const struct blanks *v)
{
	unsigned port = s->when == PORT_OPEN || s->when == LINK ? v->port : v->host_port;
	return (struct fw_rank){.cls = s->cls, .seq = n && s->when != PORT_LOOPBACK ? n->seq : 0, .k = 65535 - (int)port};
}

int fw_want_port(const struct world *w, const struct netconf *c, const struct port *p, struct kstate *out, struct err *e)
{
	const struct network *n = world_network(w, p->network);
	enum fw_family f = p->ip.family == AF_INET6 ? FW_V6 : FW_V4;
	unsigned step = p->count > LIMIT_PORT_RUN ? p->count : 1;
	if (!n || !fw_has_family(c, n, f))
		return 0;
	if (c->nftables)
		return fw_nft_want_port(w, n, p, out, e);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (!(s->families & (1 << f)) || !port_applies(s->when, c, n, p))
			continue;
		struct blanks v = blanks_of(n, f);
		STR_COPY(v.proto, port_proto_name(p->proto));
		v.ip = p->ip;
		v.host = p->host_ip;
		v.count = step;
		for (unsigned k = 0; k < p->count; k += step) {
			v.port = p->port + k;
			v.host_port = p->host_port ? p->host_port + k : 0;
			struct kobj o = {.kind = K_RULE,
				.unit = {UNIT_SANDBOX, p->container},
				.rule = {.family = f, .table = s->table, .chain = s->chain, .text = filled(s, &v, out->mem), .rank = port_rank(s, n, &v)}};
			if (!o.rule.text || kstate_add(out, &o) < 0)
				return err_nomem(e);
		}
	}
	return 0;
}

static int want_link(const struct netconf *c, const struct network *n, const struct endpoint *own, const struct endpoint *target, const struct link_port *p,
	struct kstate *out, struct err *e)
{
	struct blanks v = blanks_of(n, FW_V4);
	v.host = own->ip4;
	v.ip = target->ip4;
	v.port = p->first;
	v.count = p->count;
	STR_COPY(v.proto, port_proto_name(p->proto));
	if (!fw_has_family(c, n, FW_V4) || !ip_is_set(&v.host) || !ip_is_set(&v.ip))
		return 0;
	if (c->nftables)
		return fw_nft_want_link(own->thing.key, &v.host, &v.ip, p, out, e);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (s->when != LINK)
			continue;
		struct kobj o = {.kind = K_RULE,
			.unit = {UNIT_ENDPOINT, own->thing.key},
			.rule = {.family = FW_V4, .table = s->table, .chain = s->chain, .text = filled(s, &v, out->mem), .rank = port_rank(s, n, &v)}};
		if (!o.rule.text || kstate_add(out, &o) < 0)
			return err_nomem(e);
	}
	return 0;
}

int fw_want_links(const struct world *w, const struct netconf *c, const struct endpoint *ep, struct kstate *out, struct err *e)
{
	const struct network *n = world_network(w, ep->network);
	const struct container *ct = world_container(w, ep->container);
	struct link *links;
	struct link_port *ports;
	size_t count, nports;
	if (!n || !n->is_default || n->icc || !ct)
		return 0;
	if (links_of(w, ct, out->mem, &links, &count) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < count; i++) {
		const struct endpoint *target = links[i].target ? links_endpoint(w, links[i].target->id) : NULL;
		bool again = false; /* by another alias */
		for (size_t k = 0; k < i; k++)
			again |= links[k].target == links[i].target;
		if (!target || again)
			continue;
		if (links_ports(links[i].target, out->mem, &ports, &nports) < 0)
			return err_nomem(e);
		for (size_t k = 0; k < nports; k++)
			try(want_link(c, n, ep, target, &ports[k], out, e));
	}
	return 0;
}

/* The next word of a text, at most size - 1 bytes; false when it is empty or longer. */
static bool take_word(const char **text, char *out, size_t size)
{
	size_t n = strcspn(*text, " ");
	if (n == 0 || n >= size)
		return false;
	memcpy(out, *text, n);
	out[n] = '\0';
	*text += n;
	return true;
}

static bool read_ports(const char *word, unsigned *first, unsigned *count)
{
	char *end;
	unsigned long lo = strtoul(word, &end, 10), hi = *end == ':' ? strtoul(end + 1, &end, 10) : lo;
	*first = (unsigned)lo;
	*count = (unsigned)(hi - lo + 1);
	return lo > 0 && lo <= hi && hi <= 65535 && *end == '\0';
}

static bool read_host(const char *word, enum fw_family f, struct ip *out)
{
	struct prefix p;
	if (prefix_parse(word, &p) < 0 || p.len != ip_bits(p.ip.family) || p.ip.family != (f == FW_V6 ? AF_INET6 : AF_INET))
		return false;
	*out = p.ip;
	return true;
}

/* "A", "A:80", "A:80-89/8080"; an address of IPv6 with a port is in brackets. */
static bool read_target(const char *word, enum fw_family f, struct blanks *v)
{
	char ip[IP_TEXT];
	bool brackets = *word == '[';
	size_t n = brackets ? strcspn(++word, "]") : f == FW_V6 ? strlen(word) : strcspn(word, ":");
	if (n >= sizeof(ip))
		return false;
	memcpy(ip, word, n);
	ip[n] = '\0';
	word += n + (brackets && word[n]);
	v->port = *word == ':' ? (unsigned)strtoul(word + 1, NULL, 10) : v->host_port;
	return ip_parse(ip, &v->ip) >= 0 && v->ip.family == (f == FW_V6 ? AF_INET6 : AF_INET);
}

/* One word for one %. The device must be the same everywhere; the subnet may be any of the family. */
static bool read_blank(char what, const char *word, enum fw_family f, struct blanks *v)
{
	char device[KIFNAME];
	switch (what) {
	case 'N':
		return prefix_parse(word, &v->subnet) >= 0 && v->subnet.ip.family == (f == FW_V6 ? AF_INET6 : AF_INET);
	case 'S':
		return ip_parse(word, &v->source) >= 0;
	case 'A':
		return read_host(word, f, &v->ip);
	case 'H':
		return read_host(word, f, &v->host);
	case 'P':
		return read_ports(word, &v->port, &v->count);
	case 'O':
		return read_ports(word, &v->host_port, &v->count);
	case 'Q':
		return STR_COPY(v->proto, word);
	case 'T':
		return STR_COPY(v->trusted, word);
	case 'M':
		return true;
	case 'L':
		return read_target(word, f, v);
	default:
		if (!STR_COPY(device, word) || (v->device[0] && !streq(v->device, device)))
			return false;
		return STR_COPY(v->device, device);
	}
}

static bool is_port(const struct shape *s)
{
	return s->when >= PORT_OPEN && s->when <= LINK;
}

/* Matches a line against a shape. What is read of a port must make the same text again. */
static bool matches(const struct shape *s, enum fw_family f, const char *text, struct blanks *v)
{
	const char *whole = text;
	uint8_t proto;
	*v = (struct blanks){0};
	for (const char *p = s->text; *p; p++) {
		char word[128];
		if (*p != '%') {
			if (*text++ != *p)
				return false;
			continue;
		}
		bool quoted = *++p == 'C' && *text == '"';
		text += quoted;
		if (!take_word(&text, word, sizeof(word)))
			return false;
		size_t len = strlen(word);
		if (quoted && word[len - 1] != '"')
			return false;
		word[len - quoted] = '\0';
		if (!read_blank(*p, word, f, v))
			return false;
	}
	if (*text || !is_port(s))
		return *text == '\0';
	OWN(own_buf) struct buf b = {0};
	fill(s, v, &b);
	return !b.bad && streq(buf_str(&b), whole) && port_proto_parse(v->proto, &proto) >= 0 && streq(port_proto_name(proto), v->proto);
}

struct finder {
	struct fw_listing *l;
	const struct world *known;
	const struct netconf *conf;
	const struct strv *marked;
	struct map devices; /* bridge name -> struct network of `known` */
	struct map seen;    /* "CHAIN text" of our rules so far */
	struct kstate *out;
};

static void own_finder(struct finder *f)
{
	map_free(&f->devices);
	map_free(&f->seen);
}

/* Whose network it is: by its device, else by the container's address. */
static const struct network *network_of(const struct finder *f, const struct blanks *v)
{
	struct prefix at = {.ip = v->ip, .len = (uint8_t)ip_bits(v->ip.family)};
	if (v->device[0])
		return map_gets(&f->devices, v->device);
	return f->known && ip_is_set(&v->ip) ? world_subnet_overlapping(f->known, &at, NULL) : NULL;
}

static const char *claim_text(struct arena *a, const char *proto, const struct ip *host, unsigned first, unsigned count)
{
	char ip[IP_TEXT];
	return arena_printf(a, "%s/%s/%u+%u", proto, ip_format(host, ip), first, count);
}

int fw_port_claims(const struct port *p, struct arena *a, struct strv *out)
{
	unsigned step = p->count > LIMIT_PORT_RUN ? p->count : 1;
	if (!p->host_port || !ip_is_loopback(&p->host_ip))
		return 0;
	for (unsigned k = 0; k < p->count; k += step) {
		const char *t = claim_text(a, port_proto_name(p->proto), &p->host_ip, p->host_port + k, step);
		if (!t || strv_add(a, out, t) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A drop for a loopback address names nothing but the port: it is ours while that is published, or claimed. */
static bool is_published(const struct finder *f, const struct blanks *v)
{
	uint8_t proto;
	const char *claim = f->marked ? claim_text(f->out->mem, v->proto, &v->host, v->host_port, v->count) : NULL;
	if (claim && strv_has(f->marked, claim))
		return true;
	return f->known && port_proto_parse(v->proto, &proto) >= 0 && world_port_overlapping(f->known, proto, &v->host, (uint16_t)v->host_port, v->count);
}

static bool is_ours(const struct finder *f, const struct shape *s, const struct network *n, const struct blanks *v)
{
	if (s->host || n)
		return true;
	if (s->when == PORT_LOOPBACK)
		return is_published(f, v);
	return v->device[0] && (streq(v->device, f->conf->bridge) || (f->marked && strv_has(f->marked, v->device)));
}

/* Fills *o when the line is a rule of ours. */
static bool recognise_line(const struct finder *f, const struct fw_line *line, struct kobj *o)
{
	const struct fw_listing *l = f->l;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct blanks v;
		if (s->table != l->table || !(s->families & (1 << l->family)) || !streq(s->chain, line->chain) ||
			!matches(s, l->family, line->text, &v))
			continue;
		const struct network *n = s->host ? NULL : network_of(f, &v);
		if (!is_ours(f, s, n, &v))
			continue;
		*o = (struct kobj){.kind = K_RULE, .unit = {s->host ? UNIT_HOST : UNIT_NETWORK, n ? n->id : ""}};
		o->rule.family = l->family;
		o->rule.table = l->table;
		o->rule.chain = s->chain;
		o->rule.text = line->text;
		o->rule.rank = is_port(s) ? port_rank(s, n, &v) : rank_of(s, n);
		if (!s->host && !n && s->when != PORT_LOOPBACK) /* a leftover: it has no place among the others */
			o->rule.rank.k = FW_MISPLACED;
		return true;
	}
	return false;
}

static int recognise_chains(const struct fw_listing *l, struct kstate *out, struct err *e)
{
	for (size_t k = 0; k < l->nchains; k++) {
		for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
			struct kobj o = {.kind = K_CHAIN,
				.unit = {UNIT_HOST, ""},
				.chain = {.family = l->family,
					.table = l->table,
					.chain = chains[i].name,
					.keep = chains[i].keep}};
			if (chains[i].table == l->table && streq(chains[i].name, l->chains[k].name) &&
				kstate_add(out, &o) < 0)
				return err_nomem(e);
		}
		struct kobj p = {.kind = K_POLICY,
			.unit = {UNIT_HOST, ""},
			.policy = {.family = l->family, .chain = "FORWARD", .value = l->chains[k].policy}};
		if (l->table == FW_FILTER && streq(l->chains[k].name, "FORWARD") && kstate_add(out, &p) < 0)
			return err_nomem(e);
	}
	return 0;
}

/* -ENOMEM; 0: a further copy, not ours; 1: the first. */
static int first_copy(struct finder *f, const struct fw_line *line)
{
	char *key = arena_printf(f->out->mem, "%s %s", line->chain, line->text);
	if (!key)
		return -ENOMEM;
	if (map_gets(&f->seen, key))
		return 0;
	return map_puts(&f->seen, key, key) < 0 ? -ENOMEM : 1;
}

/* One chain's lines stand together in a listing, in order. */
static int recognise_lines(struct finder *f, struct err *e)
{
	static const struct fw_rank lowest = {.cls = -1};
	struct fw_rank last = lowest;
	const char *chain = "";
	size_t in_chain = 0;
	for (size_t i = 0; i < f->l->n; i++, in_chain++) {
		struct fw_line *line = f->l->lines[i];
		struct kobj found;
		if (!streq(chain, line->chain)) {
			chain = line->chain;
			last = lowest;
			in_chain = 0;
		}
		if (!recognise_line(f, line, &found))
			continue;
		int first = first_copy(f, line);
		if (first == 0)
			continue;
		struct kobj *o = arena_new(f->out->mem, struct kobj, 1);
		if (first < 0 || !o)
			return err_nomem(e);
		*o = found;
		line->ours = o;
		if (fw_rank_cmp(&o->rule.rank, &last) < 0 || (o->rule.rank.cls == 0 && in_chain > 0))
			o->rule.rank.k = FW_MISPLACED;
		else if (o->rule.rank.k != FW_MISPLACED)
			last = o->rule.rank;
		if (kstate_add(f->out, o) < 0)
			return err_nomem(e);
	}
	return 0;
}

int fw_recognise(struct fw_listing *l, const struct world *known, const struct strv *marked, const struct netconf *c,
	struct kstate *out, struct err *e)
{
	OWN(own_finder) struct finder f = {.l = l, .known = known, .conf = c, .marked = marked, .out = out};
	const struct network *n;
	for (size_t i = 0; known && (n = world_next(known, NOUN_NETWORK, &i));)
		if (n->driver == DRIVER_BRIDGE && map_puts(&f.devices, n->bridge, (void *)(uintptr_t)n) < 0)
			return err_nomem(e);
	try(recognise_chains(l, out, e));
	return recognise_lines(&f, e);
}
