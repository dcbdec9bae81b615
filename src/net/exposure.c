#include "net/exposure.h"

#include "net/fw.h"

#define ON_LINK_TOLD 8 /* subnets that are told by name */

static const char *on_link_text(const struct netconf *c, uint8_t family, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	size_t n = 0, more = 0;
	for (size_t i = 0; i < c->naddrs; i++) {
		struct prefix net = prefix_masked(&c->addrs[i].addr);
		char text[PREFIX_TEXT];
		if (net.ip.family != family || net.len == ip_bits(family) || ip_is_loopback(&net.ip))
			continue;
		if (n == ON_LINK_TOLD) {
			more++;
			continue;
		}
		buf_printf(&b, "%s at %s, ", prefix_format(&net, text), c->addrs[i].link);
		n++;
	}
	if (more)
		buf_printf(&b, "%zu more subnets, ", more);
	buf_puts(&b, "this host and its networks");
	return b.bad ? NULL : arena_dup(a, buf_str(&b));
}

static const char *from_text(const struct netconf *c, const struct port *p, struct arena *a)
{
	char ip[IP_TEXT];
	if (!p->host_port)
		return arena_printf(a, "whoever has a route to %s", ip_format(&p->ip, ip));
	if (ip_is_loopback(&p->host_ip))
		return "this host";
	switch (p->scope) {
	case SCOPE_LAN:
		return on_link_text(c, p->host_ip.family, a);
	case SCOPE_LOCAL:
		return "this host";
	case SCOPE_HOST_FIREWALL:
		return "whom the host's own INPUT rules let pass";
	case SCOPE_ANY:
	case SCOPE_N:
		break;
	}
	return "everywhere";
}

/* How much a rule or element has to say about who gets in: the most is the one that decides. */
static int weight(const struct kobj *o)
{
	if (o->kind == K_RULE)
		return o->rule.table == FW_RAW ? 3 : o->rule.table == FW_FILTER ? 2 : 1;
	if (o->kind != K_NFT_ELEM)
		return 0;
	return str_starts(o->elem.set, "lan") || str_starts(o->elem.set, "local") || str_starts(o->elem.set, "loopback") ? 3 : str_starts(o->elem.set, "open") ? 2 : 1;
}

static const char *rule_text(const struct kobj *o, struct arena *a)
{
	if (o->kind == K_RULE)
		return arena_printf(a, "%s %s: %s", fw_table_name(o->rule.table), o->rule.chain, o->rule.text);
	return arena_printf(a, "nft inet pontoon %s: %s%s%s", o->elem.set, o->elem.key, str_empty(o->elem.value) ? "" : " : ", o->elem.value);
}

/* Who reaches the container itself, beside the host's port; "". */
static const char *direct_text(const struct netconf *c, const struct network *n, const struct port *p, struct arena *a)
{
	enum fw_family f = p->ip.family == AF_INET6 ? FW_V6 : FW_V4;
	enum gw_mode mode = f == FW_V6 ? n->gw_mode6 : n->gw_mode4;
	const char *trusted = kvs_get(&n->options, NETWORK_TRUSTED);
	char ip[IP_TEXT];
	ip_format(&p->ip, ip);
	if (!fw_has_family(c, n, f) || mode == GW_NAT_UNPROTECTED || (port_is_nat(p) && fw_opens_directly(c, n, f)))
		return arena_printf(a, "; at %s, whoever has a route to it", ip);
	return port_is_nat(p) && !str_empty(trusted) ? arena_printf(a, "; at %s, who comes in at %s", ip, trusted) : "";
}

/* Without a rule: the host's socket, or nothing. */
static void tell_unruled(const struct netconf *c, const struct port *p, struct exposure *x)
{
	if (!p->host_port) {
		x->decider = "no rule: the daemon does not filter here";
	} else if (!c->userland_proxy) {
		/* published while there was a proxy: the port is kept, and closed */
		x->from = "nobody";
		x->decider = "no rule leads there, and the proxy is off (--userland-proxy)";
	} else if (p->count > LIMIT_PORT_RUN && p->proto == IPPROTO_SCTP) {
		x->from = "nobody";
		x->decider = "no rule leads there, and the proxy serves no run of sctp that long";
	} else {
		if (p->scope == SCOPE_ANY && !ip_is_loopback(&p->host_ip))
			x->from = "whom the host's own INPUT rules let pass";
		x->decider = "the host's filter INPUT, then the listener of pontoon-relay";
	}
}

static int tell(const struct world *w, const struct netconf *c, const struct port *p, struct arena *a, struct exposure *x, struct err *e)
{
	struct kstate rules = {.mem = a};
	const struct network *n = world_network(w, p->network);
	const struct kobj *best = NULL;
	try(fw_want_port(w, c, p, &rules, e));
	for (size_t i = 0; i < rules.n; i++)
		if (!best || weight(&rules.v[i]) > weight(best))
			best = &rules.v[i];
	x->from = from_text(c, p, a);
	if (best)
		x->decider = arena_printf(a, "%s%s%s", weight(best) == 3 ? "" : c->nftables ? "nft inet pontoon user, then " : "DOCKER-USER, then ", rule_text(best, a),
			p->count > 1 && p->count <= LIMIT_PORT_RUN ? " (and so on)" : "");
	else
		tell_unruled(c, p, x);
	if (n && p->host_port)
		x->from = arena_printf(a, "%s%s", x->from, direct_text(c, n, p, a));
	return a->bad ? err_nomem(e) : 0;
}

int exposure_list(const struct world *w, const struct netconf *c, struct arena *a, struct exposure **out, size_t *n, struct err *e)
{
	struct exposure *v = arena_new(a, struct exposure, world_count(w, NOUN_PORT) + 1);
	const struct container *ct;
	size_t count = 0;
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; (ct = world_next(w, NOUN_CONTAINER, &i));) {
		size_t ports;
		const struct port **p = world_ports_of_container(w, a, ct->id, &ports);
		if (!p)
			return err_nomem(e);
		for (size_t k = 0; k < ports; k++) {
			struct exposure *x = &v[count++];
			const struct network *net = world_network(w, p[k]->network);
			*x = (struct exposure){.container = arena_dup(a, ct->name), .id = arena_dup(a, ct->id), .network = arena_dup(a, net ? net->name : ""), .port = *p[k]};
			try(tell(w, c, p[k], a, x, e));
		}
	}
	*out = v;
	*n = count;
	return 0;
}
