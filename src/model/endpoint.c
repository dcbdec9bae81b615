#include "model/endpoint.h"

#include <errno.h>

void endpoint_key(char out[static 2 * ID_TEXT], const char *container, const char *network)
{
	snprintf(out, 2 * ID_TEXT, "%.64s/%.64s", container, network);
}

struct endpoint *endpoint_new(const char *container, const char *network)
{
	struct endpoint *ep = thing_new(NOUN_ENDPOINT, sizeof(*ep));
	if (!ep)
		return NULL;
	endpoint_key(ep->key, container, network);
	ep->thing.key = ep->key;
	STR_COPY(ep->container, container);
	STR_COPY(ep->network, network);
	return ep;
}

struct endpoint *endpoint_copy(const struct endpoint *ep)
{
	struct endpoint *c = thing_new(NOUN_ENDPOINT, sizeof(*c));
	if (!c)
		return NULL;
	struct thing own = c->thing;
	struct arena *a = &c->thing.mem;
	*c = *ep;
	c->thing = own;
	c->thing.key = c->key;
	c->aliases = strv_copy(a, &ep->aliases);
	c->links = strv_copy(a, &ep->links);
	c->link_local = strv_copy(a, &ep->link_local);
	c->driver_opts = kvs_copy(a, &ep->driver_opts);
	if (!a->bad)
		return c;
	thing_unref(c);
	return NULL;
}

void endpoint_veth_name(const char *endpoint_id, char out[static IFNAME])
{
	snprintf(out, IFNAME, "veth%.7s", endpoint_id);
}

void endpoint_alias(const struct endpoint *ep, char out[static 64])
{
	snprintf(out, 64, "pontoon:%.12s/%.12s", ep->network, ep->id);
}

struct endpoint_row {
	const char *want_ip4, *want_ip6, *want_mac, *want_ifname;
	struct strv aliases, links, link_local;
	struct kvs driver_opts;
	int64_t gw_priority, seq;
	bool joined;
	const char *id, *ip4, *ip6, *mac, *ifname, *veth;
};

#define R(m) offsetof(struct endpoint_row, m)
static const struct json_field endpoint_table[] = {{"want_ip4", J_STR, R(want_ip4), J_OMIT, NULL, 0},
	{"want_ip6", J_STR, R(want_ip6), J_OMIT, NULL, 0}, {"want_mac", J_STR, R(want_mac), J_OMIT, NULL, 0},
	{"want_ifname", J_STR, R(want_ifname), J_OMIT, NULL, 0}, {"aliases", J_STRV, R(aliases), J_OMIT, NULL, 0},
	{"links", J_STRV, R(links), J_OMIT, NULL, 0}, {"link_local", J_STRV, R(link_local), J_OMIT, NULL, 0},
	{"driver_opts", J_KV, R(driver_opts), J_OMIT, NULL, 0}, {"gw_priority", J_I64, R(gw_priority), J_OMIT, NULL, 0},
	{"joined", J_BOOL, R(joined), J_OMIT, NULL, 0}, {"seq", J_I64, R(seq), J_OMIT, NULL, 0},
	{"id", J_STR, R(id), J_OMIT, NULL, 0}, {"ip4", J_STR, R(ip4), J_OMIT, NULL, 0},
	{"ip6", J_STR, R(ip6), J_OMIT, NULL, 0}, {"mac", J_STR, R(mac), J_OMIT, NULL, 0},
	{"ifname", J_STR, R(ifname), J_OMIT, NULL, 0}, {"veth", J_STR, R(veth), J_OMIT, NULL, 0}, J_END};

static const char *mac_text(const struct mac *m, char t[static MAC_TEXT])
{
	return mac_is_set(m) ? mac_format(m, t) : "";
}

json_t *endpoint_to_json(const struct endpoint *ep)
{
	char t[4][IP_TEXT], m[2][MAC_TEXT];
	struct endpoint_row r = {
		.want_ip4 = ip_format(&ep->want_ip4, t[0]),
		.want_ip6 = ip_format(&ep->want_ip6, t[1]),
		.want_mac = mac_text(&ep->want_mac, m[0]),
		.want_ifname = ep->want_ifname,
		.aliases = ep->aliases,
		.links = ep->links,
		.link_local = ep->link_local,
		.driver_opts = ep->driver_opts,
		.gw_priority = ep->gw_priority,
		.seq = ep->seq,
		.joined = ep->joined,
		.id = ep->id,
		.ip4 = ip_format(&ep->ip4, t[2]),
		.ip6 = ip_format(&ep->ip6, t[3]),
		.mac = mac_text(&ep->mac, m[1]),
		.ifname = ep->ifname,
		.veth = ep->veth,
	};
	return json_encode(endpoint_table, &r);
}

static bool read_ip(const char *s, struct ip *out)
{
	return str_empty(s) || ip_parse(s, out) == 0;
}

static bool read_mac(const char *s, struct mac *out)
{
	return str_empty(s) || mac_parse(s, out) == 0;
}

static bool read_name(const char *s, char *out, size_t size)
{
	return str_copy(out, size, s ? s : "");
}

int endpoint_from_json(struct endpoint *ep, const json_t *j, struct err *e)
{
	struct endpoint_row r = {0};
	try(json_decode(j, endpoint_table, &r, &ep->thing.mem, e));
	ep->aliases = r.aliases;
	ep->links = r.links;
	ep->link_local = r.link_local;
	ep->driver_opts = r.driver_opts;
	ep->gw_priority = r.gw_priority;
	ep->seq = r.seq;
	ep->joined = r.joined;
	if (!read_ip(r.want_ip4, &ep->want_ip4) || !read_ip(r.want_ip6, &ep->want_ip6) || !read_ip(r.ip4, &ep->ip4) ||
		!read_ip(r.ip6, &ep->ip6) || !read_mac(r.want_mac, &ep->want_mac) || !read_mac(r.mac, &ep->mac) ||
		!read_name(r.want_ifname, ep->want_ifname, IFNAME) || !read_name(r.ifname, ep->ifname, IFNAME) ||
		!read_name(r.veth, ep->veth, IFNAME) || !read_name(r.id, ep->id, ID_TEXT))
		return err_set(e, -EINVAL, "stored endpoint %s cannot be read", ep->thing.key);
	return 0;
}
