/* What pontoon-relay is told of names: see base/relay_proto.h for the form, facts of the embedded server for the rules. */
#include <ctype.h>
#include <errno.h>

#include "net/join.h"
#include "net/names.h"
#include "net/resolv.h"

#define UPSTREAMS_MAX 3 /* as resolvers do (MAXNS) */
#define DNS_PORT      53

static int add_name(struct arena *a, struct strv *l, const char *name)
{
	char *low = str_empty(name) ? NULL : arena_dup(a, name);
	for (char *p = low; p && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return !low || strv_has(l, low) ? 0 : strv_add(a, l, low);
}

int names_of(const struct netconf *conf, const struct container *c, const struct endpoint *ep, struct arena *a, struct strv *out)
{
	(void)add_name(a, out, c->name);
	for (size_t j = 0; j < ep->aliases.n; j++)
		(void)add_name(a, out, ep->aliases.v[j]);
	(void)add_name(a, out, arena_dupn(a, c->id, 12));
	(void)add_name(a, out, names_uts(conf, c, a));
	return a->bad ? -ENOMEM : 0;
}

int names_zone(const struct world *w, const struct netconf *conf, const struct network *n, struct arena *a,
	struct relay_zone *out, struct err *e)
{
	size_t count, k = 0;
	const struct endpoint **eps = world_endpoints_of_network(w, a, n->id, &count);
	struct relay_host *hosts = arena_new(a, struct relay_host, count + 1);
	for (size_t i = 0; eps && hosts && i < count; i++) {
		const struct container *c = world_container(w, eps[i]->container);
		if (!eps[i]->joined || !c)
			continue;
		struct relay_host *h = &hosts[k++];
		h->v4 = eps[i]->ip4;
		h->v6 = eps[i]->ip6;
		(void)names_of(conf, c, eps[i], a, &h->names);
	}
	*out = (struct relay_zone){.network = arena_dup(a, n->id), .name = arena_dup(a, n->name), .hosts = hosts, .nhosts = k};
	return a->bad ? err_nomem(e) : 0;
}

/* "name" or "name:alias" */
static int add_links(struct arena *a, const struct endpoint *ep, struct relay_link *links, size_t *n)
{
	for (size_t i = 0; i < ep->links.n; i++) {
		const char *s = ep->links.v[i], *colon = strchr(s, ':');
		links[(*n)++] = (struct relay_link){.alias = arena_dup(a, colon ? colon + 1 : s),
			.network = arena_dup(a, ep->network),
			.target = colon ? arena_dupn(a, s, (size_t)(colon - s)) : arena_dup(a, s)};
	}
	return a->bad ? -ENOMEM : 0;
}

/* The link of "fe80::1%eth0", by its name or number; 0: none. */
static uint32_t zone_of(const struct netconf *conf, const char *zone)
{
	const char *number = kvs_get(&conf->host_zones, zone);
	return (uint32_t)strtoul(number ? number : zone, NULL, 10);
}

static int add_upstreams(struct arena *a, const struct netconf *conf, const struct strv *servers, bool in_container, struct relay_view *v)
{
	static const struct ip self = {AF_INET, {127, 0, 0, 11}};
	struct relay_upstream *u = arena_new(a, struct relay_upstream, UPSTREAMS_MAX);
	for (size_t i = 0; u && i < servers->n && v->nupstreams < UPSTREAMS_MAX; i++) {
		struct relay_upstream *one = &u[v->nupstreams];
		const char *zone = strchr(servers->v[i], '%');
		const char *text = zone ? arena_dupn(a, servers->v[i], (size_t)(zone - servers->v[i])) : servers->v[i];
		if (!text || ip_parse(text, &one->ip) < 0 || ip_eq(&one->ip, &self))
			continue;
		one->port = DNS_PORT;
		one->in_container = in_container;
		one->scope = zone ? zone_of(conf, zone + 1) : 0;
		if (ip_is_linklocal(&one->ip) && one->ip.family == AF_INET6 && !one->scope)
			continue; /* on no link that is there */
		v->nupstreams++;
	}
	v->upstreams = u;
	return a->bad ? -ENOMEM : 0;
}

static bool has_ndots(const struct strv *options)
{
	for (size_t i = 0; i < options->n; i++)
		if (str_starts(options->v[i], "ndots:") && resolv_is_number(options->v[i] + strlen("ndots:")))
			return true;
	return false;
}

int names_view(const struct world *w, const struct netconf *conf, const struct container *c, struct arena *a,
	struct relay_view *out, struct err *e)
{
	const struct host_config *h = &c->spec->host;
	const struct strv *dns = h->dns.n ? &h->dns : &conf->dns, *options = h->dns_options.n ? &h->dns_options : &conf->dns_options;
	struct relay_view v = {.sandbox = arena_dup(a, c->id), .internal_only = true};
	struct resolv r = {0};
	size_t n, nlinks = 0;
	const struct endpoint **eps = join_order(w, a, c->id, &n);
	for (size_t i = 0; eps && i < n; i++)
		nlinks += eps[i]->links.n;
	struct relay_link *links = arena_new(a, struct relay_link, nlinks + 1);
	if (!eps || !links || resolv_read(a, conf->host_resolv, &r) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		const struct network *net = world_network(w, eps[i]->network);
		if (!eps[i]->joined || !net || net->driver != DRIVER_BRIDGE)
			continue;
		v.internal_only &= net->internal;
		if (net->is_default)
			continue; /* names do not work there */
		if (strv_add(a, &v.networks, net->id) < 0 || add_links(a, eps[i], links, &v.nlinks) < 0)
			return err_nomem(e);
	}
	v.links = links;
	v.ndots_set = has_ndots(options->n ? options : &r.options);
	if (add_upstreams(a, conf, dns->n ? dns : &r.servers, dns->n > 0, &v) < 0 || a->bad)
		return err_nomem(e);
	*out = v;
	return 0;
}
