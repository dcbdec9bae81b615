#include "model/network.h"

#include <errno.h>

static const char *const driver_names[] = {[DRIVER_BRIDGE] = "bridge", [DRIVER_HOST] = "host", [DRIVER_NULL] = "null"};
static_assert(ARRAY_LEN(driver_names) == DRIVER_N, "driver_names[] is missing a kind");

const char *driver_kind_name(enum driver_kind k)
{
	return driver_names[k];
}

int driver_kind_parse(const char *s, enum driver_kind *out)
{
	for (int i = 0; i < DRIVER_N; i++) {
		if (streq(s, driver_names[i])) {
			*out = (enum driver_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct network *network_new(const char *id, const char *name, enum driver_kind driver)
{
	struct network *n = thing_new(NOUN_NETWORK, sizeof(*n));
	if (!n)
		return NULL;
	STR_COPY(n->id, id);
	n->thing.key = n->id;
	STR_COPY(n->name, name);
	n->driver = driver;
	n->icc = n->masquerade = true;
	if (driver == DRIVER_BRIDGE)
		network_bridge_name(id, n->bridge);
	return n;
}

static struct subnet subnet_copy(struct arena *a, const struct subnet *s)
{
	struct subnet out = *s;
	out.aux = s->naux ? arena_new(a, struct aux_address, s->naux) : NULL;
	for (size_t i = 0; out.aux && i < s->naux; i++)
		out.aux[i] = (struct aux_address){.name = arena_dup(a, s->aux[i].name), .ip = s->aux[i].ip};
	return out;
}

struct network *network_copy(const struct network *n)
{
	struct network *c = thing_new(NOUN_NETWORK, sizeof(*c));
	if (!c)
		return NULL;
	struct thing own = c->thing;
	struct arena *a = &c->thing.mem;
	*c = *n;
	c->thing = own;
	c->thing.key = c->id;
	c->v4 = subnet_copy(a, &n->v4);
	c->v6 = subnet_copy(a, &n->v6);
	c->options = kvs_copy(a, &n->options);
	c->ipam_options = kvs_copy(a, &n->ipam_options);
	c->labels = kvs_copy(a, &n->labels);
	if (!a->bad)
		return c;
	thing_unref(c);
	return NULL;
}

bool device_name_ok(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	static const char *const taken[] = {"lo", "all", "default"};
	size_t n = strlen(s);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (streq(s, taken[i]))
			return false;
	return n > 0 && n < IFNAME && strspn(s, letters) == n && *s != '-' && *s != '.';
}

void network_bridge_name(const char *id, char out[static IFNAME])
{
	snprintf(out, IFNAME, "br-%.12s", id);
}

const struct subnet *network_subnet(const struct network *n, uint8_t family)
{
	const struct subnet *s = family == AF_INET6 ? &n->v6 : &n->v4;
	return s->net.ip.family == family ? s : NULL;
}

/* The stored form of a subnet and of a network: texts, read back by the same tables. */
struct aux_row {
	const char *name, *ip;
};
struct subnet_row {
	const char *net, *range, *gateway;
	bool from_pool, gateway_users;
	struct json_vec aux;
};
struct network_row {
	bool is_default, predefined, user_device, enable_v4, enable_v6, internal, attachable, icc, masquerade,
		inhibit_v4, config_only;
	const char *bridge, *config_from, *snat4, *snat6;
	struct subnet_row v4, v6;
	int64_t mode4, mode6, mtu;
	struct kvs options, ipam_options, labels;
};

#define R(m) offsetof(struct network_row, m)
static const struct json_field aux_table[] = {{"name", J_STR, offsetof(struct aux_row, name), 0, NULL, 0},
	{"ip", J_STR, offsetof(struct aux_row, ip), 0, NULL, 0}, J_END};
static const struct json_field subnet_table[] = {{"net", J_STR, offsetof(struct subnet_row, net), J_OMIT, NULL, 0},
	{"range", J_STR, offsetof(struct subnet_row, range), J_OMIT, NULL, 0},
	{"gateway", J_STR, offsetof(struct subnet_row, gateway), J_OMIT, NULL, 0},
	{"from_pool", J_BOOL, offsetof(struct subnet_row, from_pool), J_OMIT, NULL, 0},
	{"gateway_users", J_BOOL, offsetof(struct subnet_row, gateway_users), J_OMIT, NULL, 0},
	{"aux", J_OBJV, offsetof(struct subnet_row, aux), J_OMIT, aux_table, sizeof(struct aux_row)}, J_END};
static const struct json_field network_table[] = {{"default", J_BOOL, R(is_default), J_OMIT, NULL, 0},
	{"predefined", J_BOOL, R(predefined), J_OMIT, NULL, 0},
	{"user_device", J_BOOL, R(user_device), J_OMIT, NULL, 0}, {"enable_v4", J_BOOL, R(enable_v4), 0, NULL, 0},
	{"enable_v6", J_BOOL, R(enable_v6), 0, NULL, 0}, {"internal", J_BOOL, R(internal), J_OMIT, NULL, 0},
	{"attachable", J_BOOL, R(attachable), J_OMIT, NULL, 0}, {"icc", J_BOOL, R(icc), 0, NULL, 0},
	{"masquerade", J_BOOL, R(masquerade), 0, NULL, 0}, {"inhibit_v4", J_BOOL, R(inhibit_v4), J_OMIT, NULL, 0},
	{"config_only", J_BOOL, R(config_only), J_OMIT, NULL, 0},
	{"config_from", J_STR, R(config_from), J_OMIT, NULL, 0}, {"snat4", J_STR, R(snat4), J_OMIT, NULL, 0},
	{"snat6", J_STR, R(snat6), J_OMIT, NULL, 0},
	{"bridge", J_STR, R(bridge), J_OMIT, NULL, 0}, {"v4", J_OBJ, R(v4), 0, subnet_table, sizeof(struct subnet_row)},
	{"v6", J_OBJ, R(v6), 0, subnet_table, sizeof(struct subnet_row)}, {"mode4", J_I64, R(mode4), J_OMIT, NULL, 0},
	{"mode6", J_I64, R(mode6), J_OMIT, NULL, 0}, {"mtu", J_I64, R(mtu), J_OMIT, NULL, 0},
	{"options", J_KV, R(options), J_OMIT, NULL, 0}, {"ipam_options", J_KV, R(ipam_options), J_OMIT, NULL, 0},
	{"labels", J_KV, R(labels), J_OMIT, NULL, 0}, J_END};

static const char *prefix_dup(struct arena *a, const struct prefix *p)
{
	char t[PREFIX_TEXT];
	return arena_dup(a, prefix_format(p, t));
}

static const char *ip_dup(struct arena *a, const struct ip *ip)
{
	char t[IP_TEXT];
	return arena_dup(a, ip_format(ip, t));
}

static struct subnet_row row_of_subnet(struct arena *a, const struct subnet *s)
{
	struct subnet_row r = {0};
	if (!s->net.ip.family)
		return r;
	r.net = prefix_dup(a, &s->net);
	r.range = s->has_range ? prefix_dup(a, &s->range) : NULL;
	r.gateway = ip_dup(a, &s->gateway);
	r.from_pool = s->from_pool;
	r.gateway_users = s->gateway_users;
	struct aux_row *aux = arena_new(a, struct aux_row, s->naux + 1);
	for (size_t i = 0; aux && i < s->naux; i++)
		aux[i] = (struct aux_row){.name = s->aux[i].name, .ip = ip_dup(a, &s->aux[i].ip)};
	r.aux = (struct json_vec){.v = aux, .n = s->naux};
	return r;
}

json_t *network_to_json(const struct network *n)
{
	OWN(arena_free) struct arena a = {0};
	struct network_row r = {
		.is_default = n->is_default,
		.predefined = n->predefined,
		.user_device = n->user_device,
		.enable_v4 = n->enable_v4,
		.enable_v6 = n->enable_v6,
		.internal = n->internal,
		.attachable = n->attachable,
		.icc = n->icc,
		.masquerade = n->masquerade,
		.inhibit_v4 = n->inhibit_v4,
		.config_only = n->config_only,
		.config_from = n->config_from,
		.snat4 = ip_dup(&a, &n->snat4),
		.snat6 = ip_dup(&a, &n->snat6),
		.bridge = n->bridge,
		.v4 = row_of_subnet(&a, &n->v4),
		.v6 = row_of_subnet(&a, &n->v6),
		.mode4 = n->gw_mode4,
		.mode6 = n->gw_mode6,
		.mtu = n->mtu,
		.options = n->options,
		.ipam_options = n->ipam_options,
		.labels = n->labels,
	};
	return a.bad ? NULL : json_encode(network_table, &r);
}

static int subnet_of_row(struct arena *a, const struct subnet_row *r, struct subnet *out, struct err *e)
{
	const struct aux_row *aux = r->aux.v;
	if (str_empty(r->net))
		return 0;
	out->has_range = !str_empty(r->range);
	if (prefix_parse(r->net, &out->net) < 0 || (out->has_range && prefix_parse(r->range, &out->range) < 0) ||
		(!str_empty(r->gateway) && ip_parse(r->gateway, &out->gateway) < 0))
		return err_set(e, -EINVAL, "stored subnet \"%s\" cannot be read", r->net);
	if (!out->has_range)
		out->range = out->net;
	out->from_pool = r->from_pool;
	out->gateway_users = r->gateway_users;
	out->naux = r->aux.n;
	out->aux = arena_new(a, struct aux_address, r->aux.n + 1);
	for (size_t i = 0; out->aux && i < r->aux.n; i++) {
		out->aux[i].name = aux[i].name;
		if (ip_parse(aux[i].ip ? aux[i].ip : "", &out->aux[i].ip) < 0)
			return err_set(e, -EINVAL, "stored auxiliary address \"%s\" cannot be read",
				aux[i].ip ? aux[i].ip : "");
	}
	return out->aux ? 0 : err_nomem(e);
}

int network_from_json(struct network *n, const json_t *j, struct err *e)
{
	struct network_row r = {.icc = true, .masquerade = true};
	struct arena *a = &n->thing.mem;
	try(json_decode(j, network_table, &r, a, e));
	n->is_default = r.is_default;
	n->predefined = r.predefined;
	n->user_device = r.user_device;
	n->enable_v4 = r.enable_v4;
	n->enable_v6 = r.enable_v6;
	n->internal = r.internal;
	n->attachable = r.attachable;
	n->icc = r.icc;
	n->masquerade = r.masquerade;
	n->inhibit_v4 = r.inhibit_v4;
	n->config_only = r.config_only;
	str_copy(n->config_from, sizeof(n->config_from), r.config_from ? r.config_from : "");
	if ((!str_empty(r.snat4) && ip_parse(r.snat4, &n->snat4) < 0) ||
		(!str_empty(r.snat6) && ip_parse(r.snat6, &n->snat6) < 0))
		return err_set(e, -EINVAL, "stored source address of network %s cannot be read", n->name);
	str_copy(n->bridge, sizeof(n->bridge), r.bridge ? r.bridge : "");
	if (r.mode4 < 0 || r.mode4 >= GW_MODE_N || r.mode6 < 0 || r.mode6 >= GW_MODE_N)
		return err_set(e, -EINVAL, "stored gateway mode of network %s cannot be read", n->name);
	n->gw_mode4 = (enum gw_mode)r.mode4;
	n->gw_mode6 = (enum gw_mode)r.mode6;
	n->mtu = (int)r.mtu;
	n->options = r.options;
	n->ipam_options = r.ipam_options;
	n->labels = r.labels;
	try(subnet_of_row(a, &r.v4, &n->v4, e));
	return subnet_of_row(a, &r.v6, &n->v6, e);
}
