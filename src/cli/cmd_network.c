#include <errno.h>

#include "base/ip.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* --- ls --- */

static const struct flag ls_flags[] = {{"filter", 'f', "filter", "Filter by conditions (driver=bridge)"}, {"format", 0, "string", "table, json or a template"}, {"no-trunc", 0, NULL, "Do not shorten"},
	{"quiet", 'q', NULL, "Only IDs"}};
static const struct column columns[] = {{"NETWORK ID", "ID"}, {"NAME", "Name"}, {"DRIVER", "Driver"}, {"SCOPE", "Scope"}};

static json_t *ls_row(const json_t *n, bool whole, struct arena *a)
{
	OWN(own_buf) struct buf labels = {0};
	const char *id = text_of(n, "Id"), *key;
	json_t *v;
	json_object_foreach(json_object_get(n, "Labels"), key, v)
		buf_printf(&labels, "%s%s=%s", labels.len ? "," : "", key, json_string_value(v) ? json_string_value(v) : "");
	return json_pack("{s:s%, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ID", id, whole ? strlen(id) : (size_t)12, "Name", text_of(n, "Name"), "Driver", text_of(n, "Driver"), "Scope", text_of(n, "Scope"),
		"Internal", json_is_true(json_object_get(n, "Internal")) ? "true" : "false", "IPv4", json_is_false(json_object_get(n, "EnableIPv4")) ? "false" : "true", "IPv6",
		json_is_true(json_object_get(n, "EnableIPv6")) ? "true" : "false", "CreatedAt", text_of(n, "Created"), "Labels", arena_dup(a, buf_str(&labels)));
}

static int by_name(const void *x, const void *y)
{
	json_t *const *a = x, *const *b = y;
	return strcmp(text_of(*a, "Name"), text_of(*b, "Name"));
}

static int run_ls(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *list = NULL, *rows = json_array();
	size_t i;
	json_t *n;
	const char *f = arg_filters(a, flag_list(p, "filter"), &e);
	if (!f || http_call("GET", arena_printf(a, "/networks?filters=%s", f), NULL, &list, &e) < 0)
		return fail(&e, 1);
	json_t **v = arena_new(a, json_t *, json_array_size(list) + 1);
	if (!v)
		return 1;
	json_array_foreach(list, i, n)
	{
		v[i] = ls_row(n, flag_on(p, "no-trunc"), a);
		json_array_append_new(rows, v[i]);
	}
	qsort(v, json_array_size(list), sizeof(*v), by_name);
	return print_rows(v, json_array_size(list), columns, ARRAY_LEN(columns), flag_on(p, "quiet") ? "{{.ID}}" : flag_get(p, "format"), &e) < 0 ? fail(&e, 1) : 0;
}

/* --- create --- */

static const struct flag create_flags[] = {{"attachable", 0, NULL, "Containers may join by hand"}, {"aux-address", 0, "map", "Addresses to leave out (router=10.1.0.5)"},
	{"config-from", 0, "network", "Network whose configuration is taken"}, {"config-only", 0, NULL, "Only hold a configuration for others"}, {"driver", 'd', "string", "Driver (default bridge)"},
	{"gateway", 0, "ip", "Gateway of a subnet"}, {"ingress", 0, NULL, NULL}, {"internal", 0, NULL, "No way out and no way in"}, {"ip-range", 0, "cidr", "Part of a subnet that addresses come from"},
	{"ipam-driver", 0, "string", "Driver of address management (default \"default\")"}, {"ipam-opt", 0, "map", "Options of that driver"}, {"ipv4", 0, NULL, "Use IPv4 (--ipv4=false: do not)"},
	{"ipv6", 0, NULL, "Use IPv6 too"}, {"label", 0, "list", "Set labels"}, {"opt", 'o', "map", "Options of the driver"}, {"scope", 0, "string", NULL}, {"subnet", 0, "cidr", "Subnet (10.1.0.0/16)"}};

/* key=value, or a key alone; a label needs a name. */
static int add_pair(json_t *map, const char *s, bool label, struct err *e)
{
	const char *eq = strchr(s, '=');
	if (label && (eq == s || !*s))
		return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--label\" flag: invalid label '%s': empty name", s, s);
	if (eq)
		json_object_setn_new_nocheck(map, s, (size_t)(eq - s), json_string_nocheck(eq + 1));
	else
		json_object_set_new_nocheck(map, s, json_string_nocheck(""));
	return 0;
}

static int add_pairs(json_t *body, const char *key, const struct strv *l, bool labels, struct err *e)
{
	json_t *map = json_object();
	json_object_set_new(body, key, map);
	for (size_t i = 0; i < l->n; i++)
		try(add_pair(map, l->v[i], labels, e));
	return 0;
}

struct subnets {
	const struct strv *text;
	struct prefix v[64];
	json_t *config[64];
	size_t n;
};

static int add_subnets(struct subnets *s, json_t *list, struct err *e)
{
	for (size_t i = 0; i < s->text->n; i++) {
		struct prefix *p = &s->v[s->n];
		if (s->n == ARRAY_LEN(s->v))
			return err_as(e, ERR_INVALID, "at most %zu subnets", ARRAY_LEN(s->v));
		if (prefix_parse(s->text->v[i], p) < 0)
			return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--subnet\" flag: expected a subnet such as 10.1.0.0/16", s->text->v[i]);
		for (size_t k = 0; k < s->n; k++)
			if (!ip_is_unspecified(&p->ip) && prefix_overlap(&s->v[k], p))
				return err_as(e, ERR_INVALID, "multiple overlapping subnet configuration is not supported");
		s->config[s->n] = json_pack("{s:s}", "Subnet", s->text->v[i]);
		json_array_append_new(list, s->config[s->n++]);
	}
	return 0;
}

static json_t *config_of(const struct subnets *s, const struct ip *a)
{
	for (size_t i = 0; i < s->n; i++)
		if (prefix_has(&s->v[i], a))
			return s->config[i];
	return NULL;
}

static int place(struct subnets *s, const char *key, const char *what, const char *many, const struct strv *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		struct prefix p;
		if (prefix_parse(l->v[i], &p) < 0 && ip_parse(l->v[i], &p.ip) < 0)
			return err_as(e, ERR_INVALID, "invalid %s %s", what, l->v[i]);
		json_t *c = config_of(s, &p.ip);
		if (!c)
			return err_as(e, ERR_INVALID, "no matching subnet for %s %s", what, l->v[i]);
		if (json_object_get(c, key))
			return err_as(e, ERR_INVALID, "cannot configure multiple %s (%s, %s) on the same subnet (%s)", many, l->v[i], text_of(c, key), text_of(c, "Subnet"));
		json_object_set_new(c, key, json_string_nocheck(l->v[i]));
	}
	return 0;
}

static int place_aux(struct subnets *s, const struct strv *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *eq = strchr(l->v[i], '=');
		struct ip a;
		if (!eq || ip_parse(eq + 1, &a) < 0)
			return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--aux-address\" flag: expected name=address", l->v[i]);
		json_t *c = config_of(s, &a), *aux;
		if (!c)
			return err_as(e, ERR_INVALID, "no matching subnet for aux-address %s", eq + 1);
		aux = json_object_get(c, "AuxiliaryAddresses");
		if (!aux) {
			aux = json_object();
			json_object_set_new(c, "AuxiliaryAddresses", aux);
		}
		(void)add_pair(aux, l->v[i], false, NULL);
	}
	return 0;
}

static int add_ipam(const struct parsed *p, json_t *body, struct err *e)
{
	json_t *config = json_array(), *ipam = json_pack("{s:s, s:o}", "Driver", flag_get(p, "ipam-driver") ? flag_get(p, "ipam-driver") : "default", "Config", config);
	struct subnets s = {.text = flag_list(p, "subnet")};
	json_object_set_new(body, "IPAM", ipam);
	if (s.text->n < flag_list(p, "ip-range")->n || s.text->n < flag_list(p, "gateway")->n)
		return err_as(e, ERR_INVALID, "every ip-range or gateway must have a corresponding subnet");
	try(add_subnets(&s, config, e));
	try(place(&s, "IPRange", "range", "ranges", flag_list(p, "ip-range"), e));
	try(place(&s, "Gateway", "gateway", "gateways", flag_list(p, "gateway"), e));
	try(place_aux(&s, flag_list(p, "aux-address"), e));
	return add_pairs(ipam, "Options", flag_list(p, "ipam-opt"), false, e);
}

static json_t *create_body(const struct parsed *p, struct err *e)
{
	static const char *const switches[][2] = {{"internal", "Internal"}, {"attachable", "Attachable"}, {"ingress", "Ingress"}, {"config-only", "ConfigOnly"}, {"ipv4", "EnableIPv4"}, {"ipv6", "EnableIPv6"}};
	OWN(own_json) json_t *body = json_pack("{s:s, s:s}", "Name", p->args.v[0], "Driver", flag_get(p, "driver") ? flag_get(p, "driver") : "bridge");
	for (size_t i = 0; i < ARRAY_LEN(switches); i++)
		if (flag_get(p, switches[i][0]))
			json_object_set_new(body, switches[i][1], json_boolean(flag_on(p, switches[i][0])));
	if (flag_get(p, "scope"))
		json_object_set_new(body, "Scope", json_string_nocheck(flag_get(p, "scope")));
	if (flag_get(p, "config-from"))
		json_object_set_new(body, "ConfigFrom", json_pack("{s:s}", "Network", flag_get(p, "config-from")));
	if (add_pairs(body, "Options", flag_list(p, "opt"), false, e) < 0 || add_pairs(body, "Labels", flag_list(p, "label"), true, e) < 0 || add_ipam(p, body, e) < 0)
		return NULL;
	return STEAL(body);
}

static int run_create(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *answer = NULL, *body = create_body(p, &e);
	(void)a;
	if (!body || http_call("POST", "/networks/create", body, &answer, &e) < 0)
		return fail(&e, 1);
	puts(text_of(answer, "Id"));
	return 0;
}

/* --- rm, prune --- */

static const struct flag rm_flags[] = {{"force", 'f', NULL, "One that is not there is no error"}};

static int rm_one(const char *name, const struct parsed *p, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	int r = http_call("DELETE", path_of(&a, "networks", name, NULL), NULL, NULL, e);
	return r == -ENOENT && flag_on(p, "force") ? 0 : r;
}

static int run_rm(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, rm_one);
}

static const struct flag prune_flags[] = {{"filter", 0, "filter", "Filter by conditions (until=24h)"}, {"force", 'f', NULL, "Do not ask"}};

static int run_prune(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	size_t i;
	json_t *name;
	const char *filters = arg_filters(a, flag_list(p, "filter"), &e);
	if (!filters)
		return fail(&e, 1);
	if (!flag_on(p, "force") && !confirm("WARNING! This will remove all custom networks not used by at least one container."))
		return 0;
	if (http_call("POST", arena_printf(a, "/networks/prune?filters=%s", filters), NULL, &j, &e) < 0)
		return fail(&e, 1);
	if (json_array_size(json_object_get(j, "NetworksDeleted")))
		puts("Deleted Networks:");
	json_array_foreach(json_object_get(j, "NetworksDeleted"), i, name)
		puts(json_string_value(name));
	return 0;
}

/* --- connect, disconnect --- */

static const struct flag connect_flags[] = {{"alias", 0, "list", "Further name on the network"}, {"driver-opt", 0, "map", "Options of the endpoint"}, {"gw-priority", 0, "int", "Highest one is the default gateway"},
	{"ip", 0, "ip", "IPv4 address"}, {"ip6", 0, "ip", "IPv6 address"}, {"link", 0, "list", "Name for another container, NAME:ALIAS"}, {"link-local-ip", 0, "list", "Link-local address"},
	{"mac-address", 0, "string", "MAC address"}};

static int run_connect(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *ep = json_object(), *body = NULL;
	if (endpoint_body(ep, &(struct endpoint_args){.ip4 = flag_get(p, "ip"), .ip6 = flag_get(p, "ip6"), .mac = flag_get(p, "mac-address"), .gw_priority = flag_get(p, "gw-priority"), .aliases = flag_list(p, "alias"),
			.links = flag_list(p, "link"), .link_local = flag_list(p, "link-local-ip"), .options = flag_list(p, "driver-opt")}, &e) < 0)
		return fail(&e, 1);
	body = json_pack("{s:s, s:O}", "Container", p->args.v[1], "EndpointConfig", ep);
	return http_call("POST", path_of(a, "networks", p->args.v[0], "connect"), body, NULL, &e) < 0 ? fail(&e, 1) : 0;
}

static const struct flag disconnect_flags[] = {{"force", 'f', NULL, "Even if the container is in a bad state"}};

static int run_disconnect(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *body = json_pack("{s:s, s:b}", "Container", p->args.v[1], "Force", flag_on(p, "force"));
	return http_call("POST", path_of(a, "networks", p->args.v[0], "disconnect"), body, NULL, &e) < 0 ? fail(&e, 1) : 0;
}

const struct command commands_network[] = {
	{"ls", "network", false, "", "List networks", FLAGS(ls_flags), false, 0, 0, run_ls, "list"},
	{"create", "network", false, "NETWORK", "Create a network", FLAGS(create_flags), false, 1, 1, run_create, NULL},
	{"rm", "network", false, "NETWORK [NETWORK...]", "Remove networks", FLAGS(rm_flags), false, 1, -1, run_rm, "remove"},
	{"prune", "network", false, "", "Remove all networks that no container uses", FLAGS(prune_flags), false, 0, 0, run_prune, NULL},
	{"connect", "network", false, "NETWORK CONTAINER", "Let a container join a network, running or not", FLAGS(connect_flags), false, 2, 2, run_connect, NULL},
	{"disconnect", "network", false, "NETWORK CONTAINER", "Let a container leave a network", FLAGS(disconnect_flags), false, 2, 2, run_disconnect, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
