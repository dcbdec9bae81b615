#include "net/names.h"

#include <errno.h>

#include "net/join.h"
#include "net/links.h"
#include "net/resolv.h"

#define EMBEDDED_DNS "127.0.0.11"

const char *names_uts(const struct netconf *conf, const struct container *c, struct arena *a)
{
	const char *own = c->spec->config.hostname, *mode = c->spec->host.network_mode, *uts = c->spec->host.uts_mode;
	if (!str_empty(own))
		return arena_dup(a, own);
	bool host = (mode && streq(mode, "host")) || (uts && streq(uts, "host"));
	return host ? arena_dup(a, conf->hostname) : arena_dupn(a, c->id, 12);
}

int names_hostname(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *name = names_uts(conf, c, &a);
	(void)w;
	if (!name)
		return err_nomem(e);
	buf_printf(out, "%s\n", name);
	return out->bad ? err_nomem(e) : 0;
}

/* name:ip or name=ip; the address may stand in brackets. *split: where the name ends. */
static bool split_extra(const char *s, size_t *split, const char **ip)
{
	size_t n = strcspn(s, "=");
	if (!s[n])
		n = strcspn(s, ":");
	if (!n || !s[n] || !s[n + 1])
		return false;
	*split = n;
	*ip = s + n + 1;
	return true;
}

static bool read_extra_ip(const char *s, struct ip *out)
{
	char text[IP_TEXT + 2];
	size_t n = strlen(s);
	if (*s == '[' && n > 2 && s[n - 1] == ']' && n < sizeof(text)) {
		memcpy(text, s + 1, n - 2);
		text[n - 2] = '\0';
		s = text;
	}
	return ip_parse(s, out) == 0;
}

int names_check_extra_host(const char *s, struct err *e)
{
	size_t n;
	const char *ip;
	struct ip a;
	if (!split_extra(s, &n, &ip) || strcspn(s, " \t\r\n#") < n) /* the name is one word of a line */
		return err_as(e, ERR_INVALID, "bad format for add-host: \"%s\"", s);
	if (!streq(ip, "host-gateway") && !read_extra_ip(ip, &a))
		return err_as(e, ERR_INVALID, "invalid IP address in add-host: \"%s\"", ip);
	return 0;
}

static int extra_host(const struct world *w, const struct netconf *conf, const char *s, struct buf *out, struct err *e)
{
	size_t n;
	const char *ip;
	char t[IP_TEXT];
	struct ip a;
	try(names_check_extra_host(s, e));
	if (!split_extra(s, &n, &ip))
		return -EINVAL;
	if (!streq(ip, "host-gateway")) {
		(void)read_extra_ip(ip, &a);
		buf_printf(out, "%s\t%.*s\n", ip_format(&a, t), (int)n, s);
		return 0;
	}
	for (size_t i = 0; i < conf->host_gateway_ips.n; i++)
		buf_printf(out, "%s\t%.*s\n", conf->host_gateway_ips.v[i], (int)n, s);
	if (conf->host_gateway_ips.n)
		return 0;
	const struct network *bridge = world_network_by_name(w, "bridge");
	const struct ip none = {0}, *of[] = {bridge ? &bridge->v4.gateway : &none, bridge ? &bridge->v6.gateway : &none};
	if (!ip_is_set(of[0]) && !ip_is_set(of[1]))
		return err_as(e, ERR_INVALID, "unable to derive the IP value for host-gateway");
	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		if (ip_is_set(of[i]))
			buf_printf(out, "%s\t%.*s\n", ip_format(of[i], t), (int)n, s);
	return 0;
}

static void own_names(
	const struct netconf *conf, const struct container *c, const struct ip *ip, struct buf *out, struct arena *a)
{
	char t[IP_TEXT];
	const char *host = names_uts(conf, c, a), *domain = c->spec->config.domainname;
	if (!host || !ip_is_set(ip))
		return;
	buf_printf(out, "%s\t%s", ip_format(ip, t), host);
	if (!str_empty(domain))
		buf_printf(out, ".%s %.*s", domain, (int)strcspn(host, "."), host);
	else if (strchr(host, '.'))
		buf_printf(out, " %.*s", (int)strcspn(host, "."), host);
	buf_putc(out, '\n');
}

/* On the default bridge: alias, hostname and name of what a container links to, while that is there. */
static int linked_names(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct arena *a)
{
	struct link *links;
	size_t n;
	char t[IP_TEXT];
	const struct endpoint *own = links_endpoint(w, c->id);
	try(links_of(w, c, a, &links, &n));
	for (size_t i = 0; own && i < n; i++) {
		const struct endpoint *ep = links[i].target ? links_endpoint(w, links[i].target->id) : NULL;
		const char *host = ep ? names_uts(conf, links[i].target, a) : NULL;
		/* Without icc only ports of IPv4 are opened. */
		const struct network *bridge = ep ? world_network(w, ep->network) : NULL;
		const struct ip *ips[] = {ep ? &ep->ip4 : NULL, bridge && bridge->icc && ip_is_set(&own->ip6) ? &ep->ip6 : NULL};
		for (size_t k = 0; host && k < ARRAY_LEN(ips); k++) {
			if (!ips[k] || !ip_is_set(ips[k]))
				continue;
			buf_printf(out, "%s\t%s %s", ip_format(ips[k], t), links[i].alias, host);
			buf_printf(out, streq(links[i].alias, links[i].name) ? "\n" : " %s\n", links[i].name);
		}
	}
	return 0;
}

int names_hosts(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	size_t n;
	bool v6 = false;
	const struct strv *extra = &c->spec->host.extra_hosts;
	const struct endpoint **eps = world_endpoints_of_container(w, &a, c->id, &n);
	if (!eps)
		return err_nomem(e);
	if (c->spec->host.network_mode && streq(c->spec->host.network_mode, "host") && !extra->n) {
		buf_puts(out, conf->host_hosts);
		return out->bad ? err_nomem(e) : 0;
	}
	for (size_t i = 0; i < n; i++)
		v6 |= eps[i]->joined && ip_is_set(&eps[i]->ip6);
	buf_puts(out, "127.0.0.1\tlocalhost\n");
	if (v6)
		buf_puts(out, "::1\tlocalhost ip6-localhost "
			      "ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-"
			      "allnodes\nff02::2\tip6-allrouters\n");
	for (size_t i = 0; i < extra->n; i++)
		try(extra_host(w, conf, extra->v[i], out, e));
	if (linked_names(w, conf, c, out, &a) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		if (!eps[i]->joined)
			continue;
		own_names(conf, c, &eps[i]->ip4, out, &a);
		own_names(conf, c, &eps[i]->ip6, out, &a);
	}
	return out->bad || a.bad ? err_nomem(e) : 0;
}

/* Is it an address that means another thing in another network namespace? */
static bool is_local_text(const char *s)
{
	struct ip ip;
	char plain[IP_TEXT];
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(s, "%"), s);
	return ip_parse(plain, &ip) == 0 && (ip_is_loopback(&ip) || (ip.family == AF_INET6 && ip_is_linklocal(&ip)));
}

static bool has_v6(const struct world *w, const struct container *c, struct arena *a)
{
	size_t n;
	bool v6 = false;
	const struct endpoint **eps = world_endpoints_of_container(w, a, c->id, &n);
	for (size_t i = 0; eps && i < n; i++)
		v6 |= ip_is_set(&eps[i]->ip6);
	return v6;
}

bool names_embedded(const struct world *w, const struct container *c)
{
	OWN(arena_free) struct arena a = {0};
	size_t n;
	bool user = false;
	const struct endpoint **eps = world_endpoints_of_container(w, &a, c->id, &n);
	for (size_t i = 0; eps && i < n; i++) {
		const struct network *net = world_network(w, eps[i]->network);
		user |= net && net->driver == DRIVER_BRIDGE && !net->is_default;
	}
	return user;
}

/* On the default bridge a container's namespace is not the host's: servers on the host's loopback, or on a link of its
 * by a link-local address, cannot be reached from it. */
static int usable_servers(struct arena *a, const struct strv *all, bool v6, struct strv *out)
{
	for (size_t i = 0; i < all->n; i++) {
		bool six = strchr(all->v[i], ':') != NULL;
		if (!is_local_text(all->v[i]) && (v6 || !six))
			try(strv_add(a, out, all->v[i]));
	}
	if (out->n)
		return 0;
	try(strv_add(a, out, "8.8.8.8"));
	try(strv_add(a, out, "8.8.4.4"));
	if (v6) {
		try(strv_add(a, out, "2001:4860:4860::8888"));
		try(strv_add(a, out, "2001:4860:4860::8844"));
	}
	return 0;
}

static void put_list(struct buf *out, const char *word, const struct strv *l)
{
	if (!l->n)
		return;
	buf_puts(out, word);
	for (size_t i = 0; i < l->n; i++)
		buf_printf(out, " %s", l->v[i]);
	buf_putc(out, '\n');
}

/* With the embedded server, "ndots:0" unless somebody chose another number: names without a dot are containers. A
 * number that is none does not count. */
static int complete_ndots(struct arena *a, struct strv *options)
{
	struct strv out = {0};
	bool given = false;
	for (size_t i = 0; i < options->n; i++) {
		bool ndots = str_starts(options->v[i], "ndots:");
		if (ndots && !resolv_is_number(options->v[i] + strlen("ndots:")))
			continue;
		given |= ndots;
		try(strv_add(a, &out, options->v[i]));
	}
	if (!given)
		try(strv_add(a, &out, "ndots:0"));
	*options = out;
	return 0;
}

/* --dns and friends, the container's before the daemon's. */
static const struct strv *pick(const struct strv *own, const struct strv *daemon)
{
	return own->n ? own : daemon;
}

int names_resolv(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const struct host_config *h = &c->spec->host;
	const struct strv *dns = pick(&h->dns, &conf->dns), *search = pick(&h->dns_search, &conf->dns_search),
			  *options = pick(&h->dns_options, &conf->dns_options);
	bool v6 = has_v6(w, c, &a), embedded = names_embedded(w, c),
	     host_mode = h->network_mode && streq(h->network_mode, "host");
	struct resolv r = {0};
	struct strv servers = {0};
	if (resolv_read(&a, conf->host_resolv, &r) < 0)
		return err_nomem(e);
	if (host_mode && !dns->n && !search->n && !options->n) {
		buf_puts(out, conf->host_resolv);
		return out->bad ? err_nomem(e) : 0;
	}
	if (dns->n)
		r.servers = *dns;
	if (search->n)
		r.search = search->n == 1 && streq(search->v[0], ".") ? (struct strv){0} : *search;
	if (options->n)
		r.options = *options;
	if (embedded) {
		if (strv_add(&a, &servers, EMBEDDED_DNS) < 0 || complete_ndots(&a, &r.options) < 0)
			return err_nomem(e);
	} else if (dns->n || host_mode) {
		servers = r.servers;
	} else if (usable_servers(&a, &r.servers, v6, &servers) < 0) {
		return err_nomem(e);
	}
	buf_puts(out, "# Generated by Pontoon. What you change here is lost when the container is started again.\n\n");
	for (size_t i = 0; i < servers.n; i++)
		buf_printf(out, "nameserver %s\n", servers.v[i]);
	put_list(out, "search", &r.search);
	put_list(out, "options", &r.options);
	for (size_t i = 0; i < r.other.n; i++)
		buf_printf(out, "%s\n", r.other.v[i]);
	buf_printf(out, "\n# Based on host file: '%s' (%s)\n", conf->host_resolv_path,
		embedded ? "internal resolver" : "legacy");
	if (dns->n || search->n || options->n)
		buf_printf(out, "# Overrides: [%s%s%s%s%s]\n", dns->n ? "nameservers" : "",
			dns->n && (search->n || options->n) ? " " : "", search->n ? "search" : "",
			search->n && options->n ? " " : "", options->n ? "options" : "");
	return out->bad || a.bad ? err_nomem(e) : 0;
}
