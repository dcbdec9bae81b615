/* The settings of one endpoint, from the flags of connect, or from run's --network in both of its forms. */
#include <errno.h>

#include "cli/cmd.h"

static void text(json_t *o, const char *key, const char *s)
{
	if (s)
		json_object_set_new(o, key, json_string_nocheck(s));
}

static void list(json_t *o, const char *key, const struct strv *l)
{
	if (!l || !l->n)
		return;
	json_t *j = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(j, json_string_nocheck(l->v[i]));
	json_object_set_new(o, key, j);
}

int endpoint_body(json_t *ep, const struct endpoint_args *x, struct err *e)
{
	json_t *ipam = json_object();
	text(ipam, "IPv4Address", x->ip4);
	text(ipam, "IPv6Address", x->ip6);
	list(ipam, "LinkLocalIPs", x->link_local);
	if (json_object_size(ipam))
		json_object_set(ep, "IPAMConfig", ipam);
	json_decref(ipam);
	text(ep, "MacAddress", x->mac);
	list(ep, "Aliases", x->aliases);
	list(ep, "Links", x->links);
	if (x->gw_priority) {
		char *end;
		errno = 0;
		long v = strtol(x->gw_priority, &end, 10);
		if (errno || *end || end == x->gw_priority)
			return err_as(e, ERR_INVALID, "invalid gw-priority (%s): it is a number", x->gw_priority);
		json_object_set_new(ep, "GwPriority", json_integer(v));
	}
	for (size_t i = 0; x->options && i < x->options->n; i++) {
		const char *s = x->options->v[i], *eq = strchr(s, '=');
		json_t *map = json_object_get(ep, "DriverOpts");
		if (!eq || eq == s)
			return err_as(e, ERR_INVALID, "invalid key/value pair format in driver options: %s", s);
		if (!map) {
			map = json_object();
			json_object_set_new(ep, "DriverOpts", map);
		}
		json_object_setn_new_nocheck(map, s, (size_t)(eq - s), json_string_nocheck(eq + 1));
	}
	return 0;
}

/* name=net,alias=a,ip=1.2.3.4,... */
static int parse_long(const char *s, struct arena *a, const char **name, struct endpoint_args *x, struct strv *lists, struct err *e)
{
	while (*s) {
		size_t n = strcspn(s, ",");
		char *field = arena_dupn(a, s, n), *eq = field ? strchr(field, '=') : NULL;
		s += n + (s[n] == ',');
		if (!field)
			return err_nomem(e);
		if (!eq)
			return err_as(e, ERR_INVALID, "invalid field %s: must be a key=value pair", field);
		*eq++ = '\0';
		int r = 0;
		if (streq(field, "name"))
			*name = eq;
		else if (streq(field, "ip"))
			x->ip4 = eq;
		else if (streq(field, "ip6"))
			x->ip6 = eq;
		else if (streq(field, "mac-address"))
			x->mac = eq;
		else if (streq(field, "gw-priority"))
			x->gw_priority = eq;
		else if (streq(field, "alias"))
			r = strv_add(a, &lists[0], eq);
		else if (streq(field, "link-local-ip"))
			r = strv_add(a, &lists[1], eq);
		else if (streq(field, "driver-opt"))
			r = strv_add(a, &lists[2], eq);
		else
			return err_as(e, ERR_INVALID, "invalid field key %s", field);
		if (r < 0)
			return err_nomem(e);
	}
	return *name ? 0 : err_as(e, ERR_INVALID, "network name/id is not specified");
}

static bool is_user_defined(const char *name)
{
	return !streq(name, "default") && !streq(name, "bridge") && !streq(name, "host") && !streq(name, "none") && !str_starts(name, "container:");
}

/* What run's own flags say is for the first network. */
static int complete_first(const struct parsed *p, const char *name, struct endpoint_args *x, struct err *e)
{
	const struct strv *alias = flag_list(p, "network-alias")->n ? flag_list(p, "network-alias") : flag_list(p, "net-alias"), *links = flag_list(p, "link");
	if (x->aliases->n && alias->n)
		return err_as(e, ERR_INVALID, "conflicting options: cannot specify both --network-alias and per-network alias");
	if ((x->ip4 && flag_get(p, "ip")) || (x->ip6 && flag_get(p, "ip6")))
		return err_as(e, ERR_INVALID, "conflicting options: cannot specify both --ip and per-network IP address");
	if (alias->n)
		x->aliases = alias;
	if (x->link_local->n && flag_list(p, "link-local-ip")->n)
		return err_as(e, ERR_INVALID, "conflicting options: cannot specify both --link-local-ip and per-network link-local IP addresses");
	if (flag_list(p, "link-local-ip")->n)
		x->link_local = flag_list(p, "link-local-ip");
	if (!x->ip4)
		x->ip4 = flag_get(p, "ip");
	if (!x->ip6)
		x->ip6 = flag_get(p, "ip6");
	if (!x->mac)
		x->mac = flag_get(p, "mac-address");
	if (x->aliases->n && !is_user_defined(name))
		return err_as(e, ERR_INVALID, "network-scoped aliases are only supported for user-defined networks");
	if (is_user_defined(name))
		x->links = links; /* on the default bridge they are the host configuration's */
	return 0;
}

int networks_body(const struct parsed *p, struct arena *a, const char **mode, json_t **out, struct err *e)
{
	const struct strv *given = flag_list(p, "network")->n ? flag_list(p, "network") : flag_list(p, "net");
	static const char *const none[] = {"default"};
	struct strv one = {.v = (const char **)(uintptr_t)none, .n = 1};
	OWN(own_json) json_t *eps = json_object();
	if (!given->n)
		given = &one;
	for (size_t i = 0; i < given->n; i++) {
		struct strv lists[3] = {0};
		struct endpoint_args x = {.aliases = &lists[0], .link_local = &lists[1], .options = &lists[2]};
		OWN(own_json) json_t *ep = json_object();
		const char *name = NULL;
		if (strchr(given->v[i], '='))
			try(parse_long(given->v[i], a, &name, &x, lists, e));
		else
			name = given->v[i];
		if (i == 0)
			*mode = name;
		if (given->n > 1 && !is_user_defined(name) && !streq(name, "bridge") && !streq(name, "default"))
			return err_as(e, ERR_INVALID, "conflicting options: cannot attach both user-defined and non-user-defined network-modes");
		if (json_object_get(eps, name))
			return err_as(e, ERR_INVALID, "network \"%s\" is specified multiple times", name);
		if (i == 0)
			try(complete_first(p, name, &x, e));
		try(endpoint_body(ep, &x, e));
		if (json_object_size(ep) || given->n > 1)
			json_object_set(eps, name, ep);
	}
	*out = json_pack("{s:O}", "EndpointsConfig", eps);
	return *out ? 0 : err_nomem(e);
}
