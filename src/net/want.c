#include "net/want.h"

#include <errno.h>
#include <stdlib.h>

#include "net/driver.h"
#include "net/fw.h"
#include "net/join.h"
#include "net/links.h"
#include "net/names.h"

const char *want_netns_path(const struct netconf *c, const char *container, struct arena *a)
{
	return arena_printf(a, "%s/netns/%.12s", c->exec_root, container);
}

const char *want_file_path(const struct netconf *c, const char *container, const char *file, struct arena *a)
{
	return arena_printf(a, "%s/containers/%s/%s", c->data_root, container, file);
}

bool want_has_sandbox(const struct container *c)
{
	const char *m = c->spec->host.network_mode;
	return str_empty(m) || (!streq(m, "host") && !str_starts(m, "container:"));
}

bool want_any_v6(const struct world *w)
{
	struct ip first = {.family = AF_INET6}, last = {.family = AF_INET6};
	memset(last.b, 0xff, sizeof(last.b));
	return world_subnets_within(w, &first, &last) > 0;
}

static int want_host(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e)
{
	struct kobj fwd = {
		.kind = K_HOSTCTL, .unit = {UNIT_HOST, ""}, .ctl = {.path = "net/ipv4/ip_forward", .value = "1"}};
	try(fw_want_host(w, c, out, e));
	if (!c->ip_forward)
		return 0;
	if (kstate_add(out, &fwd) < 0)
		return err_nomem(e);
	/* IPv6 only when a network has it: a host that forwards takes no more router advertisements. */
	static const char *const six[] = {"net/ipv6/conf/default/forwarding", "net/ipv6/conf/all/forwarding"};
	for (size_t i = 0; want_any_v6(w) && i < ARRAY_LEN(six); i++) {
		fwd.ctl.path = six[i];
		if (kstate_add(out, &fwd) < 0)
			return err_nomem(e);
	}
	return 0;
}

static int want_file(const struct world *w, const struct netconf *c, const struct container *ct, const char *file,
	int (*text)(const struct world *, const struct netconf *, const struct container *, struct buf *, struct err *),
	struct kstate *out, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	try(text(w, c, ct, &b, e));
	struct kobj o = {.kind = K_FILE,
		.unit = {UNIT_SANDBOX, ct->id},
		.file = {.path = want_file_path(c, ct->id, file, out->mem),
			.text = arena_dup(out->mem, buf_str(&b)),
			.mode = 0644}};
	return out->mem->bad || kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

static bool shares_namespace(const struct container *c)
{
	return !str_empty(c->spec->host.network_mode) && str_starts(c->spec->host.network_mode, "container:");
}

int want_resolv(const struct world *w, const struct netconf *c, const struct container *ct, struct kstate *out, struct err *e)
{
	return shares_namespace(ct) ? 0 : want_file(w, c, ct, "resolv.conf", names_resolv, out, e);
}

static int want_default_route(
	const struct world *w, const struct container *ct, uint8_t family, struct kstate *out, struct err *e)
{
	const struct endpoint *ep = join_gateway(w, out->mem, ct->id, family);
	const struct network *n = ep ? world_network(w, ep->network) : NULL;
	const struct subnet *s = n ? network_subnet(n, family) : NULL;
	struct ip via = s ? ipam_default_gateway(s) : (struct ip){0};
	if (!ip_is_set(&via))
		return 0;
	struct kobj o = {.kind = K_ROUTE,
		.unit = {UNIT_SANDBOX, ct->id},
		.ns = ct->id,
		.route = {.dst = {.ip = {.family = family}}, .via = via, .link = ep->ifname}};
	return kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

/* Is there a process that needs the sandbox? Leaving its last network does not take it away. */
static bool is_live(const struct container *c)
{
	return c && (container_is_running(c) || c->starting);
}

static bool any_joined(const struct world *w, struct arena *a, const char *container)
{
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(w, a, container, &n);
	for (size_t i = 0; eps && i < n; i++)
		if (eps[i]->joined)
			return true;
	return false;
}

static int add_from(struct kobj *o, struct arena *a, const struct prefix *net, uint32_t ifindex, size_t cap)
{
	struct relay_from *v = (struct relay_from *)(uintptr_t)o->listen.from;
	if (!v && !(o->listen.from = v = arena_new(a, struct relay_from, cap)))
		return -ENOMEM;
	v[o->listen.nfrom++] = (struct relay_from){*net, ifindex};
	return 0;
}

/* Whom the proxy may serve on a socket with scope lan or local. What the firewall leads to the container it judges first, so that family is free
 * here, for the proxy's part of it; the other has nobody else to judge it. */
static int limit_listen(const struct world *w, const struct netconf *c, const struct port *p, const struct port *twin, struct arena *a, struct kobj *o)
{
	bool guarded[FW_FAMILY_N] = {false};
	size_t cap = 2 * c->naddrs + FW_FAMILY_N + 1;
	static const struct prefix link_local = {.ip = {.family = AF_INET6, .b = {0xfe, 0x80}}, .len = 10};
	o->listen.limited = port_is_limited(p);
	for (int i = 0; o->listen.limited && i < 2; i++) {
		const struct port *q = i ? twin : p;
		const struct network *n = q ? world_network(w, q->network) : NULL;
		enum fw_family f = q && q->ip.family == AF_INET6 ? FW_V6 : FW_V4;
		struct prefix all = {.ip = {.family = f == FW_V6 ? AF_INET6 : AF_INET}};
		guarded[f] |= n && port_is_nat(q) && p->scope == SCOPE_LAN && fw_has_family(c, n, f);
		if (n && guarded[f] && port_is_nat(q))
			try(add_from(o, a, &all, 0, cap));
	}
	if (o->listen.limited && p->scope == SCOPE_LAN)
		try(add_from(o, a, &link_local, 0, cap));
	for (size_t i = 0; o->listen.limited && i < c->naddrs; i++) {
		const struct host_addr *h = &c->addrs[i];
		struct prefix own = {.ip = h->addr.ip, .len = (uint8_t)ip_bits(h->addr.ip.family)}, net = prefix_masked(&h->addr);
		if (guarded[own.ip.family == AF_INET6 ? FW_V6 : FW_V4])
			continue;
		try(add_from(o, a, ip_is_loopback(&own.ip) ? &net : &own, 0, cap));
		if (p->scope == SCOPE_LAN)
			try(add_from(o, a, &net, h->ifindex, cap));
	}
	return 0;
}

/* The proxy's target of a socket that two families share: IPv4, when the container has it. */
static int add_listen(const struct world *w, const struct netconf *c, const struct port *p, const struct port *twin, unsigned i, struct kstate *out, struct err *e)
{
	const struct port *to = twin && twin->ip.family == AF_INET ? twin : p;
	struct kobj o = {.kind = K_LISTEN,
		.unit = {UNIT_SANDBOX, p->container},
		.listen = {.proto = p->proto, .ip = p->host_ip, .port = (uint16_t)(p->host_port + i), .count = 1, .dual = twin != NULL, .alone = !port_is_nat(p) && !(twin && port_is_nat(twin)), .target = to->ip, .target_port = (uint16_t)(to->port + i)}};
	if (p->count > LIMIT_PORT_RUN)
		o.listen.count = p->count;
	return limit_listen(w, c, p, twin, out->mem, &o) < 0 || kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

/* The same run at the other family's unspecified address. */
static const struct port *twin_of(const struct port *const *all, size_t n, const struct port *p)
{
	size_t lo = 0, hi = n;
	while (lo < hi) { /* by protocol and number, IPv4 first */
		size_t mid = lo + (hi - lo) / 2;
		const struct port *q = all[mid];
		int r = q->proto != p->proto ? q->proto - p->proto : q->host_port - p->host_port;
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && all[lo]->proto == p->proto && all[lo]->host_port == p->host_port; lo++)
		if (all[lo]->host_ip.family != p->host_ip.family && all[lo]->count == p->count && all[lo]->scope == p->scope && ip_is_unspecified(&all[lo]->host_ip))
			return all[lo];
	return NULL;
}

static int by_number(const void *x, const void *y)
{
	const struct port *a = *(const struct port *const *)x, *b = *(const struct port *const *)y;
	int r = a->proto != b->proto ? a->proto - b->proto : a->host_port - b->host_port;
	return r ? r : ip_cmp(&a->host_ip, &b->host_ip);
}

static int want_flows(const struct container *ct, const struct port *const *all, size_t n, struct kstate *out, struct err *e)
{
	struct flow *v = arena_new(out->mem, struct flow, n + 1);
	struct kobj o = {.kind = K_FLOWS, .unit = {UNIT_SANDBOX, ct->id}, .flows = {.container = ct->id, .v = v}};
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		const struct port *p = all[i];
		if (p->host_port && !port_is_nat(p))
			continue;
		struct flow *f = &v[o.flows.n++];
		f->proto = p->proto;
		f->host = p->host_ip;
		f->ip = p->ip;
		f->host_port = p->host_port;
		f->count = p->count;
		f->port = p->port;
	}
	return o.flows.n && kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

/* A socket serves what NAT does not lead, and keeps the number of what it does. Where neither is, there is nothing to keep: the port is
 * published since there was a proxy, and led to again when there is one. */
static bool has_socket(const struct netconf *c, const struct port *p)
{
	return p->host_port && (c->userland_proxy || port_is_nat(p));
}

/* Of a run at any address of both families, one socket serves both. */
static int want_ports(const struct world *w, const struct netconf *c, const struct container *ct, struct kstate *out, struct err *e)
{
	size_t n;
	const struct port **all = world_ports_of_container(w, out->mem, ct->id, &n);
	if (!all)
		return err_nomem(e);
	if (n)
		qsort(all, n, sizeof(*all), by_number);
	for (size_t i = 0; i < n; i++) {
		const struct port *p = all[i], *twin = has_socket(c, p) && ip_is_unspecified(&p->host_ip) ? twin_of(all, n, p) : NULL;
		twin = twin && has_socket(c, twin) ? twin : NULL;
		try(fw_want_port(w, c, p, out, e));
		for (unsigned k = 0; has_socket(c, p) && !(twin && p->host_ip.family == AF_INET) && k < (p->count > LIMIT_PORT_RUN ? 1 : p->count); k++)
			try(add_listen(w, c, p, twin, k, out, e));
	}
	return want_flows(ct, all, n, out, e);
}

/* A container's namespace, its default routes and its files. In mode host there are only the files. */
static int want_sandbox(
	const struct world *w, const struct netconf *c, const struct container *ct, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_SANDBOX, ct->id};
	if (shares_namespace(ct))
		return 0; /* it lives in another's */
	if (!is_live(ct) && !any_joined(w, out->mem, ct->id))
		return 0;
	try(want_file(w, c, ct, "hosts", names_hosts, out, e));
	try(want_file(w, c, ct, "hostname", names_hostname, out, e));
	try(want_resolv(w, c, ct, out, e));
	if (!want_has_sandbox(ct))
		return 0;
	struct kobj ns = {.kind = K_NETNS, .unit = u, .ns = ct->id},
		    lo = {.kind = K_UP, .unit = u, .ns = ct->id, .up = {.link = "lo"}};
	if (kstate_add(out, &ns) < 0 || kstate_add(out, &lo) < 0)
		return err_nomem(e);
	struct kobj dns = {.kind = K_DNS, .unit = u, .ns = ct->id};
	if (names_embedded(w, ct) && kstate_add(out, &dns) < 0)
		return err_nomem(e);
	try(want_ports(w, c, ct, out, e));
	try(want_default_route(w, ct, AF_INET, out, e));
	return want_default_route(w, ct, AF_INET6, out, e);
}

int want_unit(const struct world *w, const struct netconf *c, const struct unit *u, struct kstate *out, struct err *e)
{
	switch (u->kind) {
	case UNIT_HOST:
		return want_host(w, c, out, e);
	case UNIT_NETWORK: {
		const struct network *n = world_network(w, u->id);
		return n ? driver_of(n->driver)->want_network(w, c, n, out, e) : 0;
	}
	case UNIT_SANDBOX: {
		const struct container *ct = world_container(w, u->id);
		return ct ? want_sandbox(w, c, ct, out, e) : 0;
	}
	case UNIT_ENDPOINT: {
		const struct endpoint *ep = world_get(w, NOUN_ENDPOINT, u->id);
		const struct network *n = ep ? world_network(w, ep->network) : NULL;
		return n && ep->joined ? driver_of(n->driver)->want_endpoint(w, c, ep, out, e) : 0;
	}
	case UNIT_N:
		break;
	}
	return 0;
}

int want_all(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e)
{
	static const struct {
		enum noun noun;
		enum unit_kind unit;
	} parts[] = {{NOUN_NETWORK, UNIT_NETWORK}, {NOUN_CONTAINER, UNIT_SANDBOX}, {NOUN_ENDPOINT, UNIT_ENDPOINT}};
	struct unit host = {UNIT_HOST, ""};
	const struct thing *t;
	try(want_unit(w, c, &host, out, e));
	for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
		for (size_t i = 0; (t = world_next(w, parts[p].noun, &i));) {
			struct unit u = {parts[p].unit, t->key};
			try(want_unit(w, c, &u, out, e));
		}
	}
	return 0;
}

struct unit_list {
	struct arena *a;
	struct unit *v;
	size_t n, cap;
};

static int note(struct unit_list *l, enum unit_kind kind, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].kind == kind && streq(l->v[i].id, id))
			return 0;
	try(arena_room(l->a, l->v, l->n, l->cap));
	const char *copy = arena_dup(l->a, id);
	if (!copy)
		return -ENOMEM;
	l->v[l->n++] = (struct unit){kind, copy};
	return 0;
}

/* Who links to the container on the default bridge has its address in hosts and in rules. */
static int note_linking(struct unit_list *l, const struct world *fork, const char *container)
{
	size_t n;
	const struct container **v = links_to(fork, l->a, container, &n);
	for (size_t i = 0; v && i < n; i++) {
		const struct endpoint *ep = links_endpoint(fork, v[i]->id);
		try(note(l, UNIT_SANDBOX, v[i]->id));
		if (ep)
			try(note(l, UNIT_ENDPOINT, ep->thing.key));
	}
	return v ? 0 : -ENOMEM;
}

/* A changed endpoint touches its sandbox (routes, hosts) and, through the gateway's choice, all endpoints of that
 * sandbox. */
static int note_endpoint(struct unit_list *l, const struct world *fork, const struct endpoint *ep)
{
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(fork, l->a, ep->container, &n);
	if (!eps)
		return -ENOMEM;
	try(note(l, UNIT_SANDBOX, ep->container));
	try(note(l, UNIT_ENDPOINT, ep->thing.key));
	for (size_t i = 0; i < n; i++)
		try(note(l, UNIT_ENDPOINT, eps[i]->thing.key));
	return note_linking(l, fork, ep->container);
}

static bool renamed(const struct container *before, const struct container *after)
{
	return before && after && (!streq(before->name, after->name) || before->spec != after->spec);
}

static bool has_v6(const void *network)
{
	const struct network *n = network;
	return n && n->enable_v6;
}

/* Its name stands in the hosts of who links to it; other links of its own, in its own hosts and rules. */
static int note_renamed(struct unit_list *l, const struct world *fork, const char *container)
{
	const struct endpoint *ep = links_endpoint(fork, container);
	try(note(l, UNIT_SANDBOX, container));
	if (ep)
		try(note(l, UNIT_ENDPOINT, ep->thing.key));
	return note_linking(l, fork, container);
}

/* The first port that is for some only brings the firewall's list of who is on-link, the last one takes it away. */
static int note_port(struct unit_list *l, const struct port *before, const struct port *after)
{
	const struct port *p = after ? after : before;
	if ((before && port_is_limited(before)) || (after && port_is_limited(after)))
		try(note(l, UNIT_HOST, ""));
	return note(l, UNIT_SANDBOX, p->container);
}

int want_touched(const struct world *fork, struct arena *a, struct unit **out, size_t *n, struct err *e)
{
	struct unit_list l = {.a = a};
	struct change *ch;
	size_t nch;
	int r = world_changes(fork, a, &ch, &nch);
	for (size_t i = 0; r >= 0 && i < nch; i++) {
		const struct thing *t = ch[i].after ? ch[i].after : ch[i].before;
		if (ch[i].noun == NOUN_NETWORK) {
			r = note(&l, UNIT_NETWORK, t->key);
			/* The first network with IPv6 brings the firewall's IPv6 skeleton, the last one takes it away.
			 */
			if (r >= 0 && (has_v6(ch[i].before) || has_v6(ch[i].after) || world_limited_ports(fork)))
				r = note(&l, UNIT_HOST, "");
		}
		if (ch[i].noun == NOUN_CONTAINER && is_live(ch[i].before) != is_live(ch[i].after))
			r = note(&l, UNIT_SANDBOX, t->key);
		if (r >= 0 && ch[i].noun == NOUN_PORT)
			r = note_port(&l, ch[i].before, ch[i].after);
		if (r >= 0 && ch[i].noun == NOUN_CONTAINER && renamed(ch[i].before, ch[i].after))
			r = note_renamed(&l, fork, t->key);
		if (r >= 0 && ch[i].noun == NOUN_ENDPOINT)
			r = note_endpoint(&l, fork, (const struct endpoint *)t);
	}
	if (r < 0)
		return err_nomem(e);
	*out = l.v;
	*n = l.n;
	return 0;
}
