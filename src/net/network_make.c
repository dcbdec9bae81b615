/* Theory of operation
 *
 * Options come from three places, the later one wins: the daemon's --default-network-opt, the request, the network
 * named by --config-from. The same rows read them all. Then subnets: judged as a whole first, because all mistakes of a
 * request are told at once, then each family gets its subnet (asked for, or out of the pools) and its gateway. */
#include "net/network_make.h"

#include <ctype.h>
#include <errno.h>

#include "net/driver.h"
#include "net/ipam.h"
#include "net/network_options.h"

static int merge(struct arena *a, struct kvs *into, const struct kvs *from)
{
	for (size_t i = 0; i < from->n; i++)
		try(kvs_set(a, into, from->v[i].key, from->v[i].value));
	return 0;
}

static struct kvs without(struct arena *a, const struct kvs *l, const char *name)
{
	struct kvs out = {0};
	for (size_t i = 0; i < l->n; i++)
		if (!streq(l->v[i].key, name))
			(void)kvs_set(a, &out, l->v[i].key, l->v[i].value);
	return out;
}

const char *network_make_device(const struct world *w, const struct netconf *c, const struct network_spec *s)
{
	const struct network *from = str_empty(s->config_from) ? NULL : world_network_by_name(w, s->config_from);
	const char *name = from ? kvs_get(&from->options, OPT_BRIDGE_NAME) : NULL;
	if (!name)
		name = kvs_get(&s->options, OPT_BRIDGE_NAME);
	if (!name)
		name = kvs_get(&c->default_opts, OPT_BRIDGE_NAME);
	return str_empty(name) || !device_name_ok(name) ? NULL : name; /* a bad one is refused with the other options */
}

/* --- what the request says about subnets, judged as a whole --- */

struct judge {
	struct buf text; /* all mistakes, a line each */
};

static void own_judge(struct judge *j)
{
	buf_free(&j->text);
}

static const char *block_name(uint8_t family)
{
	return family == AF_INET6 ? "IPv6" : "IPv4";
}

static void judge_range(struct judge *j, const char *text, const struct prefix *subnet)
{
	struct prefix r;
	char t[PREFIX_TEXT], u[PREFIX_TEXT];
	if (str_empty(text))
		return;
	if (prefix_parse(text, &r) < 0) {
		buf_printf(&j->text, "\ninvalid ip-range %s: invalid CIDR block notation", text);
		return;
	}
	struct prefix masked = prefix_masked(&r);
	if (r.ip.family != subnet->ip.family)
		buf_printf(&j->text, "\ninvalid ip-range %s: parent subnet is an %s block", text, block_name(subnet->ip.family));
	else if (r.len < subnet->len)
		buf_printf(&j->text, "\ninvalid ip-range %s: CIDR block is bigger than its parent subnet %s", text, prefix_format(subnet, t));
	else if (!ip_eq(&r.ip, &masked.ip))
		buf_printf(&j->text, "\ninvalid ip-range %s: it should be %s", text, prefix_format(&masked, u));
	else if (!prefix_has(subnet, &r.ip))
		buf_printf(&j->text, "\ninvalid ip-range %s: parent subnet %s doesn't contain ip-range", text, prefix_format(subnet, t));
}

static void judge_address(struct judge *j, const char *what, const char *name, const char *text, const struct prefix *subnet)
{
	struct ip a;
	char t[PREFIX_TEXT];
	const char *blank = *name ? " " : "";
	if (str_empty(text))
		return;
	if (ip_parse(text, &a) < 0)
		buf_printf(&j->text, "\ninvalid %s%s%s %s: invalid address", what, blank, name, text);
	else if (a.family != subnet->ip.family)
		buf_printf(&j->text, "\ninvalid %s%s%s %s: parent subnet is an %s block", what, blank, name, text, block_name(subnet->ip.family));
	else if (!prefix_has(subnet, &a))
		buf_printf(&j->text, "\ninvalid %s%s%s %s: parent subnet %s doesn't contain this address", what, blank, name, text, prefix_format(subnet, t));
}

/* "0.0.0.0/24", "::/64": a size, and no place. */
static bool is_size_only(const struct prefix *p)
{
	return p->len > 0 && ip_is_unspecified(&p->ip);
}

static void judge_config(struct judge *j, const struct network *n, const struct ipam_config *ic)
{
	struct prefix p;
	char t[PREFIX_TEXT];
	const char *subnet = ic->subnet ? ic->subnet : "";
	if (prefix_parse(subnet, &p) < 0) {
		buf_printf(&j->text, "\ninvalid subnet %s: invalid CIDR block notation", subnet);
		return;
	}
	if (p.ip.family == AF_INET6 ? !n->enable_v6 : !n->enable_v4)
		return; /* not used */
	struct prefix masked = prefix_masked(&p);
	if (!ip_eq(&masked.ip, &p.ip))
		buf_printf(&j->text, "\ninvalid subnet %s: it should be %s", subnet, prefix_format(&masked, t));
	if (is_size_only(&p)) {
		if (!str_empty(ic->range) || !str_empty(ic->gateway) || ic->aux.n)
			buf_printf(&j->text, "\ninvalid subnet %s: a subnet of which only the size is given can have no ip-range, gateway or auxiliary address", subnet);
		return;
	}
	judge_range(j, ic->range, &masked);
	judge_address(j, "gateway", "", ic->gateway, &masked);
	for (size_t i = 0; i < ic->aux.n; i++)
		judge_address(j, "auxiliary address", ic->aux.v[i].key, ic->aux.v[i].value, &masked);
}

static int judge_ipam(const struct network *n, const struct network_spec *s, struct err *e)
{
	OWN(own_judge) struct judge j = {0};
	const struct ipam_config *v = s->ipam.v;
	for (size_t i = 0; i < s->ipam.n; i++)
		judge_config(&j, n, &v[i]);
	if (j.text.bad)
		return err_nomem(e);
	return j.text.len ? err_as(e, ERR_INVALID, "invalid network config:%.3000s", buf_str(&j.text)) : 0;
}

/* --- subnets --- */

/* What the user gave for a family; the texts have been judged. */
static int read_config(struct arena *a, const struct ipam_config *ic, struct subnet *s, struct err *e)
{
	if (prefix_parse(ic->subnet, &s->net) < 0)
		return err_as(e, ERR_INVALID, "invalid subnet %s: invalid CIDR block notation", ic->subnet);
	s->has_range = !str_empty(ic->range);
	if (s->has_range && prefix_parse(ic->range, &s->range) < 0)
		return err_as(e, ERR_INVALID, "invalid ip-range %s: invalid CIDR block notation", ic->range);
	if (!str_empty(ic->gateway))
		(void)ip_parse(ic->gateway, &s->gateway);
	s->aux = arena_new(a, struct aux_address, ic->aux.n + 1);
	if (!s->aux)
		return err_nomem(e);
	for (size_t i = 0; i < ic->aux.n; i++) {
		s->aux[i].name = arena_dup(a, ic->aux.v[i].key);
		(void)ip_parse(ic->aux.v[i].value, &s->aux[i].ip);
	}
	s->naux = ic->aux.n;
	return a->bad ? err_nomem(e) : 0;
}

static int read_subnets(struct network *n, const struct network_spec *s, struct err *e)
{
	const struct ipam_config *v = s->ipam.v;
	for (size_t i = 0; i < s->ipam.n; i++) {
		struct prefix p;
		if (prefix_parse(v[i].subnet ? v[i].subnet : "", &p) < 0)
			continue;
		bool v6 = p.ip.family == AF_INET6;
		struct subnet *into = v6 ? &n->v6 : &n->v4;
		if (v6 ? !n->enable_v6 : !n->enable_v4)
			continue;
		if (into->net.ip.family)
			return err_as(e, ERR_FORBIDDEN, "bridge driver doesn't support multiple subnets");
		try(read_config(&n->thing.mem, &v[i], into, e));
		if (into->net.len && !is_size_only(&into->net))
			try(ipam_check_subnet(&into->net, e));
	}
	return 0;
}

static int choose_subnet(const struct world *w, const struct netconf *c, struct network *n, uint8_t family, struct err *e)
{
	struct subnet *s = family == AF_INET6 ? &n->v6 : &n->v4;
	bool size_only = s->net.ip.family && is_size_only(&s->net);
	if (!s->net.ip.family || size_only) {
		try(ipam_pick_subnet(w, c, family, size_only ? s->net.len : 0, NULL, &s->net, e));
		s->from_pool = true;
	} else if (s->net.len == 0) {
		return err_as(e, ERR_INVALID, "invalid pool request: %s is every address there is", family == AF_INET6 ? "::/0" : "0.0.0.0/0");
	} else if (world_subnet_overlapping(w, &s->net, NULL)) {
		return err_as(e, ERR_FORBIDDEN, "invalid pool request: Pool overlaps with other one on this address space");
	}
	if (!s->has_range)
		s->range = s->net;
	return 0;
}

/* Is it one of the first n auxiliary addresses, or nobody's? */
static bool is_given(const struct subnet *s, size_t n, const struct ip *a)
{
	for (size_t i = 0; i < n; i++)
		if (ip_eq(a, &s->aux[i].ip))
			return true;
	return ipam_is_edge(s, a);
}

/* The gateway asked for, else the first address that can be one; isolated networks have none. No two things get one address. */
static int choose_gateway(struct network *n, uint8_t family, struct err *e)
{
	struct subnet *s = family == AF_INET6 ? &n->v6 : &n->v4;
	enum gw_mode mode = family == AF_INET6 ? n->gw_mode6 : n->gw_mode4;
	char t[IP_TEXT];
	for (size_t i = 0; i < s->naux; i++)
		if (is_given(s, i, &s->aux[i].ip))
			return err_set(e, -EADDRINUSE, "failed to allocate secondary ip address (%s:%s): Address already in use", s->aux[i].name, ip_format(&s->aux[i].ip, t));
	if (ip_is_set(&s->gateway)) {
		if (is_given(s, s->naux, &s->gateway))
			return err_set(e, -EADDRINUSE, "failed to allocate gateway (%s): Address already in use", ip_format(&s->gateway, t));
		return 0;
	}
	if (mode == GW_ISOLATED || (family == AF_INET && n->internal && n->inhibit_v4))
		return 0;
	struct ip a = prefix_first(&s->range), last = prefix_last(&s->range);
	while (ipam_reserved(s, &a)) {
		if (ip_eq(&a, &last) || !ip_next(&a))
			return err_set(e, -EADDRNOTAVAIL, "failed to allocate gateway: no available addresses on this pool");
	}
	s->gateway = a;
	return 0;
}

static int check_default_gateway(const struct network *n, const struct subnet *s, struct err *e)
{
	struct ip gw = ipam_default_gateway(s);
	if (!ip_is_set(&gw) || ip_eq(&gw, &s->gateway))
		return 0;
	if (n->internal)
		return err_as(e, ERR_INVALID, "no gateway can be set on an internal bridge network");
	return prefix_has(&s->net, &gw) ? 0 : err_as(e, ERR_INVALID, "default gateway ip must be part of the network");
}

static int give_addresses(const struct world *w, const struct netconf *c, struct network *n, struct err *e)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct subnet *s = families[i] == AF_INET6 ? &n->v6 : &n->v4;
		if (families[i] == AF_INET6 ? !n->enable_v6 : !n->enable_v4)
			continue;
		try(choose_subnet(w, c, n, families[i], e));
		try(choose_gateway(n, families[i], e));
		try(check_default_gateway(n, s, e));
	}
	return 0;
}

/* --- the whole --- */

static int check_config_only(const struct network_spec *s, struct err *e)
{
	if (!str_empty(s->config_from))
		return err_as(e, ERR_FORBIDDEN, "a configuration network cannot depend on another configuration network");
	if (s->internal || s->attachable || s->ingress || !str_empty(s->scope))
		return err_as(e, ERR_FORBIDDEN,
			"configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.");
	return 0;
}

static bool default_ipam(const struct network_spec *s)
{
	return str_empty(s->ipam_driver) || streq(s->ipam_driver, "default");
}

static struct subnet subnet_of(struct arena *a, const struct subnet *from)
{
	struct subnet s = *from;
	s.aux = arena_new(a, struct aux_address, from->naux + 1);
	for (size_t i = 0; s.aux && i < from->naux; i++)
		s.aux[i] = (struct aux_address){arena_dup(a, from->aux[i].name), from->aux[i].ip};
	return s;
}

static int take_config_from(const struct world *w, const struct network_spec *s, struct network *n, struct err *e)
{
	const struct network *from = world_network_by_name(w, s->config_from);
	struct arena *a = &n->thing.mem;
	if (!from || !from->config_only)
		return err_as(e, ERR_NOT_FOUND, "configuration network \"%s\" does not exist", s->config_from);
	if (s->ipam.n || s->ipam_options.n || !default_ipam(s) || s->labels.n || s->enable_v6 == 1)
		return err_as(e, ERR_FORBIDDEN, "user-specified configurations are not supported if the network depends on a configuration network");
	if (s->options.n)
		return err_as(e, ERR_FORBIDDEN, "network driver options are not supported if the network depends on a configuration network");
	n->v4 = subnet_of(a, &from->v4);
	n->v6 = subnet_of(a, &from->v6);
	n->enable_v4 = from->enable_v4;
	n->enable_v6 = from->enable_v6;
	int r = merge(a, &n->labels, &from->labels);
	if (r >= 0)
		r = merge(a, &n->options, &from->options);
	STR_COPY(n->config_from, from->name);
	return r < 0 || a->bad ? err_nomem(e) : 0;
}

static int check_name(const struct world *w, const char *name, struct err *e)
{
	static const char *const predefined[] = {"bridge", "host", "none", "default"};
	size_t blank = 0;
	while (isspace((unsigned char)name[blank]))
		blank++;
	if (!name[blank])
		return err_as(e, ERR_INVALID, "invalid name: name is empty");
	if (strlen(name) > LIMIT_NAME)
		return err_as(e, ERR_INVALID, "invalid name: longer than %d bytes", LIMIT_NAME);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			return err_as(e, ERR_INVALID, "invalid name: it has control characters");
	if (streq(name, ".") || streq(name, "..")) /* clients shorten paths that have them */
		return err_as(e, ERR_INVALID, "invalid name: no request could name a network \"%s\"", name);
	for (size_t i = 0; i < ARRAY_LEN(predefined); i++)
		if (streq(name, predefined[i]))
			return err_as(e, ERR_FORBIDDEN, "operation is not permitted on predefined %s network ", name);
	if (world_network_by_name(w, name))
		return err_as(e, ERR_CONFLICT, "network with name %s already exists", name);
	return 0;
}

static int check_driver(const struct network_spec *s, struct err *e)
{
	enum driver_kind kind;
	const char *name = str_empty(s->driver) ? "bridge" : s->driver;
	if (!default_ipam(s) && !streq(s->ipam_driver, "null"))
		return err_as(e, ERR_NOT_FOUND, "plugin \"%s\" not found", s->ipam_driver);
	if (driver_kind_parse(name, &kind) < 0)
		return err_as(e, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
	if (kind != DRIVER_BRIDGE)
		return err_as(e, ERR_FORBIDDEN, "only one instance of \"%s\" network is allowed", name);
	if (s->ingress || (!str_empty(s->scope) && !streq(s->scope, "local")))
		return err_as(e, ERR_FORBIDDEN,
			"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.");
	return 0;
}

static int fill_options(const struct world *w, const struct netconf *c, const struct network_spec *s, struct network *n, struct err *e)
{
	struct arena *a = &n->thing.mem;
	n->enable_v4 = true;
	if (merge(a, &n->options, &c->default_opts) < 0 || merge(a, &n->options, &s->options) < 0 || merge(a, &n->labels, &s->labels) < 0 ||
		merge(a, &n->ipam_options, &s->ipam_options) < 0)
		return err_nomem(e);
	if (!str_empty(s->config_from))
		try(take_config_from(w, s, n, e));
	try(network_options_apply(n, &n->options, e));
	/* The explicit flags win, and then the option is not shown. */
	if (s->enable_v4 >= 0) {
		n->enable_v4 = s->enable_v4;
		n->options = without(a, &n->options, OPT_ENABLE_V4);
	}
	if (s->enable_v6 >= 0 && str_empty(s->config_from)) {
		n->enable_v6 = s->enable_v6;
		n->options = without(a, &n->options, OPT_ENABLE_V6);
	}
	return a->bad ? err_nomem(e) : 0;
}

static void keep_address(const struct network *n, struct subnet *s, const struct host_addr *v, size_t count)
{
	s->gateway_users = false;
	for (size_t i = 0; n->user_device && ip_is_set(&s->gateway) && i < count; i++)
		s->gateway_users |= streq(v[i].link, n->bridge) && ip_eq(&v[i].addr.ip, &s->gateway) && v[i].addr.len == s->net.len;
}

void network_make_keep(struct network *n, const struct host_addr *v, size_t count)
{
	keep_address(n, &n->v4, v, count);
	keep_address(n, &n->v6, v, count);
}

static int check_device(const struct world *w, const struct netconf *c, const struct network_facts *f, struct network *n, struct err *e)
{
	const struct network *other;
	if (streq(n->bridge, c->bridge) && !c->bridge_none)
		return err_as(e, ERR_FORBIDDEN, "cannot create network %s (%s): conflicts with the default bridge: networks have same bridge name", n->id, n->bridge);
	for (size_t i = 0; (other = world_next(w, NOUN_NETWORK, &i));)
		if (!other->config_only && streq(other->bridge, n->bridge))
			return err_as(e, ERR_FORBIDDEN, "cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name", n->id, n->bridge, other->id,
				other->bridge);
	if (f->device_exists && !f->device_is_bridge)
		return err_as(e, ERR_INVALID, "the device %s exists and is not a bridge: choose another name", n->bridge);
	n->user_device = f->device_exists;
	return 0;
}

static int fill(const struct world *w, const struct netconf *c, const struct network_spec *s, const struct network_facts *f, struct network *n, struct err *e)
{
	n->created = f->created;
	n->seq = world_next_seq(w);
	n->internal = s->internal;
	n->attachable = s->attachable;
	n->config_only = s->config_only;
	try(fill_options(w, c, s, n, e));
	if (!n->enable_v4 && !n->enable_v6)
		return err_as(e, ERR_INVALID, "IPv4 or IPv6 must be enabled");
	if (!default_ipam(s) && !s->config_only)
		return err_as(e, ERR_INVALID, "%s pool is empty", n->enable_v4 ? "ipv4" : "ipv6");
	try(judge_ipam(n, s, e));
	try(read_subnets(n, s, e));
	if (n->config_only) {
		n->driver = DRIVER_NULL;
		n->bridge[0] = '\0';
		return 0;
	}
	if (network_make_device(w, c, s))
		try(check_device(w, c, f, n, e));
	try(driver_of(n->driver)->check(n, e));
	try(give_addresses(w, c, n, e));
	network_make_keep(n, f->addrs, f->naddrs);
	return 0;
}

int network_make(const struct world *w, const struct netconf *c, const struct network_spec *s, const struct network_facts *f,
	struct network **out, struct err *e)
{
	const char *name = s->name ? s->name : "";
	try(check_name(w, name, e));
	try(s->config_only ? check_config_only(s, e) : check_driver(s, e));
	if (world_count(w, NOUN_NETWORK) >= LIMIT_NETWORKS)
		return err_as(e, ERR_UNAVAILABLE, "there are %d networks already: remove some first", LIMIT_NETWORKS);
	struct network *n = network_new(f->id, name, DRIVER_BRIDGE);
	if (!n)
		return err_nomem(e);
	int r = fill(w, c, s, f, n, e);
	if (r < 0) {
		thing_unref(n);
		return r;
	}
	*out = n;
	return 0;
}
