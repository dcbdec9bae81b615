/* Theory of operation
 *
 * A rule in a built-in chain cannot carry a mark. So the rules that can be ours are listed once, as shapes: wanting a
 * rule fills a shape in, recognising one in a listing matches its text against the shapes, to the last byte, and then
 * asks whether its device is ours. The texts are those that iptables-save prints (tests/net/test_fw_real.c loads them
 * with both variants and compares).
 *
 * Where a rule belongs is its rank (class, sequence, k) among ours in its chain, never a number of the kernel:
 *
 *   class 0   the jump to DOCKER-USER: the very first rule of FORWARD, also before foreign ones: that is its promise to administrators
 *   class 1   the jump to the isolation chains: right after it when made, but a foreign rule may come to stand between
 *   class 2   a network's rules: newest network first, the default bridge last
 *   class 9   what closes a chain: RETURN, and the jumps that are appended to nat's built-in chains
 *
 * Published ports have theirs in fw_port.c.
 *
 * Dockerd 20.10 reaches the same order by inserting everything at the top and then moving the two jumps back up. */
#include "net/fw_shape.h"

#include <errno.h>

#include "base/map.h"
#include "net/fw_nft.h"

#define ISOLATE_1 "DOCKER-ISOLATION-STAGE-1"
#define ISOLATE_2 "DOCKER-ISOLATION-STAGE-2"

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
	{F4, FW_RAW, "PREROUTING", "-d 127.0.0.0/8 -i %D -j DROP", 2, 2, false, ON_HAIRPIN},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %N -i %T -m addrtype ! --dst-type LOCAL -m comment --comment %C -j ACCEPT", 2, 0,
		false, ON_TRUSTED},
	{F4 | F6, FW_RAW, "PREROUTING", "-d %N ! -i %D -m addrtype ! --dst-type LOCAL -j DROP", 2, 1, false, ON_RAW},
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
	{FW_RAW, FW_LAN, false, ON_LIMITED},
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
	case ON_LIMITED:
	case ON_LINK_FROM:
	case LINK:
		return false; /* fw_port.c */
	case ON_HAIRPIN:
		return nat && !c->userland_proxy;
	case ON_ISOLATED:
		return !n->internal && c->userland_proxy;
	case ON_ISOLATED_OFF:
		return !n->internal && !c->userland_proxy;
	case ON_RETURN: /* what comes from there to a published port, the proxy serves: led on by NAT it would be isolated */
		return (nat || applies(ON_ROUTED, n, f, c)) && c->userland_proxy;
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

static int want_skeleton(const struct world *w, const struct netconf *c, enum fw_family f, struct kstate *out, struct err *e)
{
	struct blanks blanks = {.mark = c->accept_mark ? c->accept_mark : ""};
	struct unit u = {UNIT_HOST, ""};
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		struct kobj o = {.kind = K_CHAIN,
			.unit = u,
			.chain = {.family = f,
				.table = chains[i].table,
				.chain = chains[i].name,
				.keep = chains[i].keep}};
		if ((chains[i].when != ON_LIMITED || world_limited_ports(w)) && kstate_add(out, &o) < 0)
			return err_nomem(e);
	}
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (s->host && (s->families & (1 << f)) && applies(s->when, NULL, f, c))
			try(fw_shape_want(s, f, u, rank_of(s, NULL), &blanks, out, e));
	}
	return fw_port_want_host(w, c, f, out, e);
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
	struct blanks blanks = fw_blanks_of(n, f);
	if (s->when != ON_TRUSTED)
		return fw_shape_want(s, f, u, rank_of(s, n), &blanks, out, e);
	for (const char *p = trusted(n); *p;) {
		size_t len = strcspn(p, ":");
		snprintf(blanks.trusted, sizeof(blanks.trusted), "%.*s", (int)len, p);
		if (len && len < KIFNAME)
			try(fw_shape_want(s, f, u, rank_of(s, n), &blanks, out, e));
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

static bool is_ours(const struct finder *f, const struct shape *s, const struct network *n, const struct blanks *v)
{
	if (s->host || n)
		return true;
	if (s->when == PORT_LOOPBACK)
		return fw_port_is_known(f->known, f->marked, v, f->out->mem);
	return v->device[0] && (streq(v->device, f->conf->bridge) || (f->marked && strv_has(f->marked, v->device)));
}

static const struct shape *shape_at(size_t i)
{
	size_t n;
	const struct shape *ports = fw_port_shapes(&n);
	if (i < ARRAY_LEN(shapes))
		return &shapes[i];
	return i - ARRAY_LEN(shapes) < n ? &ports[i - ARRAY_LEN(shapes)] : NULL;
}

/* Fills *o when the line is a rule of ours. */
static bool recognise_line(const struct finder *f, const struct fw_line *line, struct kobj *o)
{
	const struct fw_listing *l = f->l;
	const struct shape *s;
	for (size_t i = 0; (s = shape_at(i)); i++) {
		struct blanks v;
		if (s->table != l->table || !(s->families & (1 << l->family)) || !streq(s->chain, line->chain) ||
			!fw_shape_matches(s, l->family, line->text, &v))
			continue;
		const struct network *n = s->host ? NULL : network_of(f, &v);
		if (!is_ours(f, s, n, &v))
			continue;
		*o = (struct kobj){.kind = K_RULE, .unit = {s->host ? UNIT_HOST : UNIT_NETWORK, n ? n->id : ""}};
		o->rule.family = l->family;
		o->rule.table = l->table;
		o->rule.chain = s->chain;
		o->rule.text = line->text;
		o->rule.rank = fw_shape_is_port(s) ? fw_port_rank(s, n, &v) : rank_of(s, n);
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
