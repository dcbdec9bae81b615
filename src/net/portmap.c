/* Theory of operation
 *
 * What a user asks for becomes claims: one an address family and host address. A claim with one host port leaves no
 * choice; those that stand in a row become one run, so that ten thousand ports given one by one are one thing. They
 * come first. The others choose: from a range, narrow ones first, or from the host's ephemeral ports. Claims of one
 * container port that differ only in the address get the same number, as long as the addresses have none in common.
 *
 * The firewall leads a port to the container within a family; from IPv6 of the host to a container without it (and the
 * reverse) only the proxy leads. In mode routed nothing leads anywhere: the container's own port is opened, on every
 * endpoint of that mode, while NAT is for the gateway endpoint alone.
 *
 * Publishing anew (an endpoint came or went, a port was added) makes all claims again: the old ports are taken out of
 * the fork first, and what comes out the same is put back as the same thing, which is no change. An ephemeral port
 * looks for its old number first. */
#include "net/portmap.h"

#include <errno.h>
#include <stdlib.h>

#include "net/join.h"
#include "net/port_search.h"

#define HOST_BINDING "com.docker.network.bridge.host_binding_ipv4"

struct claim {
	uint8_t proto;
	uint16_t lo, hi; /* of the host; 0, 0: ephemeral */
	uint16_t port;
	uint16_t count; /* of an exact one */
	struct ip host;
	const struct endpoint *ep;
	struct ip ip;
	bool opened; /* mode routed */
	enum port_scope scope;
	size_t order;
};

struct job {
	struct world *fork;
	const struct netconf *conf;
	const struct port_facts *facts;
	struct arena mem;
	const struct container *c;
	const struct endpoint *gw[FW_FAMILY_N];
	enum gw_mode mode[FW_FAMILY_N];
	const struct port **old, **chosen; /* the same ones, by cmp_old and by cmp_chosen */
	size_t nold;
	int64_t seq;
	struct claim *v;
	size_t n, cap;
};

static int cmp_old(const void *x, const void *y);
static int cmp_chosen(const void *x, const void *y);

static int open_job(struct job *j, const char *container)
{
	j->old = world_ports_of_container(j->fork, &j->mem, container, &j->nold);
	if (!j->old) {
		j->nold = 0;
		return -ENOMEM;
	}
	for (size_t i = 0; i < j->nold; i++) {
		j->old[i] = thing_ref(j->old[i]);
		j->seq = j->old[i]->seq >= j->seq ? j->old[i]->seq + 1 : j->seq;
	}
	j->chosen = arena_new(&j->mem, const struct port *, j->nold + 1);
	if (!j->chosen)
		return -ENOMEM;
	memcpy(j->chosen, j->old, j->nold * sizeof(*j->old));
	qsort(j->old, j->nold, sizeof(*j->old), cmp_old);
	qsort(j->chosen, j->nold, sizeof(*j->chosen), cmp_chosen);
	return 0;
}

static void close_job(struct job *j)
{
	for (size_t i = 0; i < j->nold; i++)
		thing_unref((void *)(uintptr_t)j->old[i]);
	arena_free(&j->mem);
}

/* Where it leads from and to; what is only opened leads from nowhere. */
static int cmp_place(const struct port *a, uint8_t proto, const struct ip *host, unsigned host_port, unsigned port)
{
	int r = (int)a->proto - proto;
	if (!r)
		r = ip_cmp(&a->host_ip, host);
	if (!r)
		r = (int)a->host_port - (int)host_port;
	return r ? r : (int)a->port - (int)port;
}

static int cmp_old(const void *x, const void *y)
{
	const struct port *a = *(const struct port *const *)x, *b = *(const struct port *const *)y;
	int r = cmp_place(a, b->proto, &b->host_ip, b->host_port, b->port);
	return r ? r : a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* By the container's port. */
static int cmp_inside(const struct port *a, uint8_t proto, const struct ip *host, unsigned port)
{
	int r = (int)a->proto - proto;
	if (!r)
		r = ip_cmp(&a->host_ip, host);
	return r ? r : (int)a->port - (int)port;
}

static int cmp_chosen(const void *x, const void *y)
{
	const struct port *a = *(const struct port *const *)x, *b = *(const struct port *const *)y;
	int r = cmp_inside(a, b->proto, &b->host_ip, b->port);
	return r ? r : a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* The first of the old ones at this place. */
static size_t old_at(const struct job *j, const struct claim *c, unsigned host_port)
{
	size_t lo = 0, hi = j->nold;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (cmp_place(j->old[mid], c->proto, &c->host, host_port, c->port) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const char *cannot_limit(const struct job *j, const struct claim *c, const struct network *n);

static int put(struct job *j, const struct claim *c, uint16_t host_port, struct err *e)
{
	const struct network *n = world_network(j->fork, c->ep->network);
	const char *why = n ? cannot_limit(j, c, n) : NULL;
	if (why)
		return err_as(e, ERR_INVALID, "publish scope \"%s\" of container %s on network %s cannot be kept: %s", port_scope_name(c->scope), j->c->name, n->name, why);
	struct port *p = port_new(j->c->id, j->seq);
	if (!p)
		return err_nomem(e);
	STR_COPY(p->network, c->ep->network);
	p->proto = c->proto;
	p->count = c->count;
	p->host_ip = c->host;
	p->host_port = host_port;
	p->ip = c->ip;
	p->port = c->port;
	p->scope = c->scope;
	for (size_t i = old_at(j, c, host_port); i < j->nold && cmp_place(j->old[i], c->proto, &c->host, host_port, c->port) == 0; i++) {
		const struct port *o = j->old[i];
		p->seq = o->seq;
		port_key(p->key, p->container, p->seq);
		if (!port_equal(p, o) || world_get(j->fork, NOUN_PORT, o->key))
			continue;
		thing_unref(p);
		return world_put(j->fork, thing_ref(o), e);
	}
	p->seq = j->seq++;
	port_key(p->key, p->container, p->seq);
	return world_put(j->fork, p, e);
}

/* --- claims --- */

/* The container's own word, else its network's, else the daemon's. */
static enum port_scope scope_of(const struct job *j, const struct network *n)
{
	enum port_scope s = j->conf->publish_scope;
	const char *own = kvs_get(&j->c->spec->config.labels, PUBLISH_SCOPE), *text = own ? own : n ? kvs_get(&n->options, PUBLISH_SCOPE) : NULL;
	if (text)
		(void)port_scope_parse(text, &s); /* judged when it was given */
	return s;
}

/* Why nobody could keep to the scope; NULL: somebody can. */
static const char *cannot_limit(const struct job *j, const struct claim *c, const struct network *n)
{
	enum gw_mode mode = c->ip.family == AF_INET6 ? n->gw_mode6 : n->gw_mode4;
	if (c->scope == SCOPE_ANY)
		return NULL;
	if (c->opened)
		return "in gateway mode routed the container itself is reached, at its own address";
	if (mode == GW_NAT_UNPROTECTED)
		return "in gateway mode nat-unprotected everybody reaches the container itself, at its own address";
	if (c->scope == SCOPE_HOST_FIREWALL)
		return !j->conf->userland_proxy ? "it needs the proxy (--userland-proxy)" : c->count > LIMIT_PORT_RUN && c->proto == IPPROTO_SCTP ? "a range of sctp that long has no listeners: publish it in parts" : NULL;
	if (j->conf->direct_routing)
		return "with --allow-direct-routing whoever has a route reaches the container itself, at its own address";
	return j->conf->no_raw ? "there are no rules in table raw (DOCKER_INSECURE_NO_IPTABLES_RAW)" : NULL;
}

static int add_claim(struct job *j, const struct claim *c)
{
	try(arena_room(&j->mem, j->v, j->n, j->cap));
	j->v[j->n] = *c;
	j->v[j->n].order = j->n;
	j->n++;
	return 0;
}

static enum fw_family family_of(const struct ip *a)
{
	return a->family == AF_INET6 ? FW_V6 : FW_V4;
}

static bool is_nat(const struct job *j, enum fw_family f)
{
	return j->gw[f] && (j->mode[f] == GW_NAT || j->mode[f] == GW_NAT_UNPROTECTED);
}

static const struct ip *address_of(const struct endpoint *ep, enum fw_family f)
{
	return f == FW_V6 ? &ep->ip6 : &ep->ip4;
}

/* At one address of the host. Which endpoint it leads to: the gateway of its family, or through the proxy the other. */
static int claim_at(struct job *j, struct claim c, const struct ip *host)
{
	enum fw_family f = family_of(host), other = f == FW_V6 ? FW_V4 : FW_V6;
	if (j->gw[f] && !is_nat(j, f))
		return 0; /* routed: opened anyway */
	if (f == FW_V6 && ip_is_unspecified(host) && !j->facts->host_v6)
		return 0;
	if (!is_nat(j, f)) {
		if (!is_nat(j, other) || !j->conf->userland_proxy)
			return 0;
		f = other;
	}
	c.host = *host;
	c.ep = j->gw[f];
	c.ip = *address_of(c.ep, f);
	c.scope = scope_of(j, world_network(j->fork, c.ep->network));
	return add_claim(j, &c);
}

/* Where a network's ports are published when the user names no address; not set: anywhere, in both families. */
static struct ip default_host(const struct job *j)
{
	struct ip ip = {0};
	const struct endpoint *ep = j->gw[FW_V4] ? j->gw[FW_V4] : j->gw[FW_V6];
	const struct network *n = ep ? world_network(j->fork, ep->network) : NULL;
	const char *text = n ? kvs_get(&n->options, HOST_BINDING) : NULL;
	if (str_empty(text) || ip_parse(text, &ip) < 0 || (ip.family == AF_INET && ip_is_unspecified(&ip)))
		return (struct ip){0};
	return ip;
}

/* ::ffff:192.0.2.1 is an IPv4 address. */
static struct ip unmapped(const struct ip *a)
{
	static const uint8_t head[12] = {[10] = 0xff, [11] = 0xff};
	struct ip v4 = {.family = AF_INET};
	if (a->family != AF_INET6 || memcmp(a->b, head, sizeof(head)) != 0)
		return *a;
	memcpy(v4.b, a->b + sizeof(head), 4);
	return v4;
}

static int claim_nat(struct job *j, const struct claim *c, const char *host_text)
{
	static const struct ip any4 = {.family = AF_INET}, any6 = {.family = AF_INET6};
	struct ip host = {0};
	if (str_empty(host_text))
		host = default_host(j);
	else if (ip_parse(host_text, &host) < 0)
		return -EINVAL;
	host = unmapped(&host);
	if (ip_is_set(&host))
		return claim_at(j, *c, &host);
	try(claim_at(j, *c, &any4));
	return claim_at(j, *c, &any6);
}

/* The container's port itself, on every endpoint of mode routed. */
static int claim_routed(struct job *j, const struct claim *c, const struct endpoint *const *eps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct network *net = world_network(j->fork, eps[i]->network);
		for (int f = 0; f < FW_FAMILY_N; f++) {
			enum gw_mode mode = net && f == FW_V6 ? net->gw_mode6 : net ? net->gw_mode4 : GW_NAT;
			const struct ip *ip = address_of(eps[i], (enum fw_family)f);
			struct claim o = *c;
			if (!eps[i]->joined || mode != GW_ROUTED || !ip_is_set(ip) || net->internal)
				continue;
			o.ep = eps[i];
			o.ip = *ip;
			o.host = (struct ip){.family = ip->family};
			o.opened = true;
			o.scope = scope_of(j, net);
			try(add_claim(j, &o));
		}
	}
	return 0;
}

static int claim_request(struct job *j, const struct port_request *r, const struct endpoint *const *eps, size_t n)
{
	struct port_run host = {0};
	unsigned count = (unsigned)r->ports.last - r->ports.first + 1;
	bool chosen = !str_empty(r->host_port) && !streq(r->host_port, "0");
	if (chosen && !port_run_read(r->host_port, &host))
		return -EINVAL;
	bool in_step = chosen && host.last - host.first == r->ports.last - r->ports.first;
	struct claim c = {.proto = r->proto, .port = r->ports.first, .count = (uint16_t)count};
	try(claim_routed(j, &c, eps, n));
	if (in_step) { /* of equal length: one to one */
		c.lo = c.hi = host.first;
		return claim_nat(j, &c, r->host_ip);
	}
	c.lo = host.first;
	c.hi = host.last;
	c.count = 1;
	for (unsigned i = 0; i < count; i++, c.port++)
		try(claim_nat(j, &c, r->host_ip));
	return 0;
}

/* With -P: what the image and the user expose, as far as nothing is said about it. */
static int claim_exposed(struct job *j, const struct endpoint *const *eps, size_t n)
{
	const struct json_group *g = j->c->spec->host.port_bindings.v;
	const struct strv *exposed = &j->c->spec->config.exposed_ports;
	OWN(map_free) struct map bound = {0};
	struct port_request r = {0};
	for (size_t i = 0; i < j->c->spec->host.port_bindings.n; i++)
		if (map_puts(&bound, g[i].key, (void *)(uintptr_t)&g[i]) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < exposed->n; i++)
		if (!map_gets(&bound, exposed->v[i]) && port_request_read(exposed->v[i], &r) >= 0)
			try(claim_request(j, &r, eps, n));
	return 0;
}

static int claim_all(struct job *j)
{
	const struct host_config *h = &j->c->spec->host;
	const struct json_group *g = h->port_bindings.v;
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(j->fork, &j->mem, j->c->id, &n);
	struct port_request r;
	if (!eps)
		return -ENOMEM;
	for (size_t i = 0; i < h->port_bindings.n; i++) {
		const struct port_binding *b = g[i].items.v;
		try(port_request_read(g[i].key, &r));
		/* An empty list asks for one port of the daemon's choice. */
		for (size_t k = 0; k < g[i].items.n || k == 0; k++) {
			r.host_ip = g[i].items.n ? b[k].host_ip : NULL;
			r.host_port = g[i].items.n ? b[k].host_port : NULL;
			try(claim_request(j, &r, eps, n));
		}
	}
	return h->publish_all ? claim_exposed(j, eps, n) : 0;
}

/* --- grants --- */

static int not_granted(const struct job *j, const struct claim *c, unsigned port, struct err *e)
{
	char t[IP_TEXT];
	bool v6 = c->host.family == AF_INET6;
	if (port)
		err_set(e, -EADDRINUSE, "Bind for %s%s%s:%u failed: port is already allocated", v6 ? "[" : "", ip_format(&c->host, t), v6 ? "]" : "", port);
	else
		err_set(e, -EADDRNOTAVAIL, "all ports are allocated");
	(void)err_ctx(e, "driver failed programming external connectivity on endpoint %s (%s)", j->c->name, c->ep->id);
	return -EADDRNOTAVAIL;
}

/* Opened first, then one choice, then narrow choices, then any. */
static unsigned choice_of(const struct claim *c)
{
	return c->opened ? 0 : c->lo ? 1u + c->hi - c->lo : 65537;
}

/* Exact claims of one step and successive ports are one run. */
static int step_of(const struct claim *c)
{
	return c->opened ? 0 : c->lo - c->port;
}

static int cmp_claim(const void *x, const void *y)
{
	const struct claim *a = x, *b = y;
	unsigned p = choice_of(a), q = choice_of(b);
	if (p != q)
		return p < q ? -1 : 1;
	if (a->proto != b->proto)
		return (int)a->proto - b->proto;
	if (p <= 1) { /* runs: what is in step stands together */
		int r = ip_cmp(&a->host, &b->host);
		if (!r)
			r = ip_cmp(&a->ip, &b->ip);
		if (!r)
			r = step_of(a) - step_of(b);
		return r ? r : a->port != b->port ? (int)a->port - b->port : (int)a->lo - b->lo;
	}
	if (a->port != b->port)
		return (int)a->port - b->port;
	if (a->lo != b->lo)
		return (int)a->lo - b->lo;
	return a->order < b->order ? -1 : a->order > b->order;
}

static bool continues(const struct claim *run, const struct claim *c)
{
	unsigned end = (unsigned)run->port + run->count;
	/* A port that is only opened may be asked for twice. */
	return run->opened == c->opened && choice_of(c) <= 1 && run->proto == c->proto && ip_eq(&run->host, &c->host) && ip_eq(&run->ip, &c->ip) &&
	       step_of(run) == step_of(c) && (run->opened ? end >= c->port : end == c->port);
}

/* Claims without a choice, from *i on, as runs. */
static int grant_runs(struct job *j, size_t *i, struct err *e)
{
	for (; *i < j->n && choice_of(&j->v[*i]) <= 1;) {
		struct claim run = j->v[(*i)++];
		for (; *i < j->n && continues(&run, &j->v[*i]); (*i)++) {
			unsigned count = (unsigned)j->v[*i].port + j->v[*i].count - run.port;
			run.count = count > run.count ? (uint16_t)count : run.count;
		}
		const struct port *taken = run.lo ? world_port_overlapping(j->fork, run.proto, &run.host, run.lo, run.count) : NULL;
		if (taken)
			return not_granted(j, &run, taken->host_port > run.lo ? taken->host_port : run.lo, e);
		try(put(j, &run, run.lo, e));
	}
	return 0;
}

static bool same_host(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && (ip_eq(a, b) || ip_is_unspecified(a) || ip_is_unspecified(b));
}

/* How many claims from `first` on get one number together. */
static size_t together(const struct job *j, size_t first)
{
	const struct claim *c = &j->v[first];
	size_t n = 1;
	for (; first + n < j->n; n++) {
		const struct claim *o = &c[n];
		if (o->proto != c->proto || o->port != c->port || o->lo != c->lo || o->hi != c->hi)
			return n;
		for (size_t k = 0; k < n; k++)
			if (same_host(&c[k].host, &o->host))
				return n;
	}
	return n;
}

/* The number that it had. What was chosen for a port is no run. */
static unsigned had(const struct job *j, const struct port_search *s, const struct port_ask *q, const struct claim *c)
{
	unsigned from = c->lo ? c->lo : j->facts->first, to = c->lo ? c->hi : j->facts->last;
	size_t lo = 0, hi = j->nold;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (cmp_inside(j->chosen[mid], c->proto, &c->host, c->port) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < j->nold && cmp_inside(j->chosen[lo], c->proto, &c->host, c->port) == 0; lo++) {
		unsigned p = j->chosen[lo]->host_port;
		if (p >= from && p <= to && port_search_may(s, q, p))
			return p;
	}
	return 0;
}

static int grant_choices(struct job *j, struct port_search *s, size_t i, struct err *e)
{
	for (size_t n; i < j->n; i += n) {
		const struct claim *c = &j->v[i];
		n = together(j, i);
		struct port_ask q = {c->proto, arena_new(&j->mem, const struct ip *, n), n};
		for (size_t k = 0; q.hosts && k < n; k++)
			q.hosts[k] = &c[k].host;
		if (!q.hosts)
			return err_nomem(e);
		unsigned p = had(j, s, &q, c);
		if (!p)
			p = c->lo ? port_search_in(s, &q, c->lo, c->hi) : port_search_any(s, &q);
		if (!p)
			return not_granted(j, c, 0, e);
		for (size_t k = 0; k < n; k++)
			try(put(j, &c[k], (uint16_t)p, e));
	}
	return 0;
}

static int publish(struct job *j, struct err *e)
{
	size_t i = 0;
	for (int f = 0; f < FW_FAMILY_N; f++) {
		j->gw[f] = join_gateway(j->fork, &j->mem, j->c->id, f == FW_V6 ? AF_INET6 : AF_INET);
		const struct network *n = j->gw[f] ? world_network(j->fork, j->gw[f]->network) : NULL;
		j->mode[f] = !n ? GW_ISOLATED : f == FW_V6 ? n->gw_mode6 : n->gw_mode4;
	}
	int r = claim_all(j);
	if (r < 0)
		return r == -ENOMEM ? err_nomem(e) : err_as(e, ERR_INVALID, "a port binding of %s cannot be read", j->c->name);
	if (j->n)
		qsort(j->v, j->n, sizeof(*j->v), cmp_claim);
	try(grant_runs(j, &i, e));
	struct port_search s = {.w = j->fork, .facts = j->facts, .mem = &j->mem};
	r = grant_choices(j, &s, i, e);
	port_search_free(&s);
	return r;
}

int portmap_publish(struct world *fork, const struct netconf *c, const struct port_facts *f, const char *container,
	struct err *e)
{
	struct job j = {.fork = fork, .conf = c, .facts = f, .c = world_container(fork, container)};
	if (!j.c)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", container);
	int r = open_job(&j, container) < 0 ? err_nomem(e) : portmap_release(fork, container, e);
	if (r >= 0)
		r = publish(&j, e);
	close_job(&j);
	return r;
}

int portmap_release(struct world *fork, const char *container, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	size_t n;
	const struct port **v = world_ports_of_container(fork, &a, container, &n);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		char key[PORT_KEY];
		STR_COPY(key, v[i]->key);
		try(world_del(fork, NOUN_PORT, key, e));
	}
	return 0;
}

bool portmap_has_choice(const struct container *c, uint8_t proto, uint16_t host_port)
{
	const struct json_group *g = c->spec->host.port_bindings.v;
	for (size_t i = 0; i < c->spec->host.port_bindings.n; i++) {
		const struct port_binding *b = g[i].items.v;
		struct port_request r;
		struct port_run host;
		if (port_request_read(g[i].key, &r) < 0 || r.proto != proto)
			continue;
		for (size_t k = 0; k < g[i].items.n; k++)
			if (!str_empty(b[k].host_port) && port_run_read(b[k].host_port, &host) && host.first <= host_port && host_port <= host.last &&
				host.last - host.first == r.ports.last - r.ports.first)
				return false;
	}
	return true;
}

bool portmap_wants(const struct container *c)
{
	const struct host_config *h = &c->spec->host;
	return h->port_bindings.n || (h->publish_all && c->spec->config.exposed_ports.n);
}
