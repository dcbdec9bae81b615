#include "net/links.h"

#include <errno.h>
#include <stdlib.h>

#include "model/port.h"

static const char *base_name(const char *s)
{
	const char *slash = strrchr(s, '/');
	return slash ? slash + 1 : s;
}

static int check_target(const struct container *target, struct err *e)
{
	const char *mode = target->spec->host.network_mode;
	if (!str_empty(mode) && streq(mode, "host"))
		return err_as(e, ERR_INVALID,
			"conflicting options: host type networking can't be used with links. This would result in undefined behavior");
	return 0;
}

/* Who has the network that a link to the container means: in mode container: that is another. */
static const struct container *network_owner(const struct world *w, const struct container *c)
{
	for (int depth = 0; c && depth < 16; depth++) {
		const char *mode = c->spec->host.network_mode;
		if (str_empty(mode) || !str_starts(mode, "container:"))
			return c;
		if (world_find_container(w, mode + strlen("container:"), &c, NULL) < 0)
			return NULL;
	}
	return NULL;
}

static bool has_alias(const struct strv *links, const char *alias)
{
	for (size_t i = 0; i < links->n; i++) {
		const char *at = links->v[i] + ID_TEXT;
		size_t n = strcspn(at, ":");
		if (n == strlen(alias) && strncmp(at, alias, n) == 0)
			return true;
	}
	return false;
}

static int resolve_one(const struct world *w, const char *s, struct arena *mem, struct strv *out, struct err *e)
{
	const char *colon = strchr(s, ':');
	if (!*s)
		return err_as(e, ERR_INVALID, "empty string specified for links");
	if (colon && strchr(colon + 1, ':'))
		return err_as(e, ERR_INVALID, "bad format for links: %s", s);
	const char *name = colon ? arena_dupn(mem, s, (size_t)(colon - s)) : s, *alias = base_name(colon ? colon + 1 : s);
	const struct container *target;
	struct err why = {0};
	if (!name)
		return err_nomem(e);
	name += *name == '/';
	if (!*name)
		return err_as(e, ERR_INVALID, "could not get container for %s: invalid name or ID supplied: \"\"", name);
	if (world_find_container(w, name, &target, &why) < 0)
		return err_as(e, ERR_INVALID, "could not get container for %s: %s", name, why.msg);
	target = network_owner(w, target);
	if (!target)
		return err_as(e, ERR_INVALID, "could not get container for %s: the container whose network it shares has gone", name);
	try(check_target(target, e));
	if (!*alias || strpbrk(alias, " \t\r\n#"))
		return err_as(e, ERR_INVALID, "bad format for links: %s", s);
	if (has_alias(out, alias))
		return 0;
	const char *kept = arena_printf(mem, "%s:%s:%s", target->id, alias, target->name);
	return !kept || strv_add(mem, out, kept) < 0 ? err_nomem(e) : 0;
}

int links_resolve(const struct world *w, struct container_spec *s, struct arena *mem, struct err *e)
{
	struct strv out = {0};
	for (size_t i = 0; i < s->host.links.n; i++)
		try(resolve_one(w, s->host.links.v[i], mem, &out, e));
	s->host.links = out;
	return 0;
}

int links_of(const struct world *w, const struct container *c, struct arena *a, struct link **out, size_t *n)
{
	const struct strv *links = &c->spec->host.links;
	struct link *v = arena_new(a, struct link, links->n + 1);
	size_t k = 0;
	for (size_t i = 0; v && i < links->n; i++) {
		const char *s = links->v[i];
		if (strlen(s) <= ID_TEXT || s[ID_TEXT - 1] != ':')
			continue;
		const char *id = arena_dupn(a, s, ID_TEXT - 1), *alias = s + ID_TEXT, *name = strchr(alias, ':');
		if (!id || !name)
			continue;
		const struct container *target = world_container(w, id);
		v[k++] = (struct link){.alias = arena_dupn(a, alias, (size_t)(name - alias)), .name = target ? target->name : name + 1, .target = target};
	}
	*out = v;
	*n = k;
	return a->bad ? -ENOMEM : 0;
}

const struct container **links_to(const struct world *w, struct arena *a, const char *target, size_t *n)
{
	size_t all, k = 0;
	const struct container **v = world_containers_with_links(w, a, &all);
	for (size_t i = 0; v && i < all; i++) {
		const struct strv *links = &v[i]->spec->host.links;
		bool has = false;
		for (size_t l = 0; !has && l < links->n; l++)
			has = strncmp(links->v[l], target, ID_TEXT - 1) == 0;
		if (has)
			v[k++] = v[i];
	}
	*n = k;
	return v;
}

int links_check_targets(const struct world *w, const struct container *c, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct link *links;
	size_t n;
	const struct network *bridge = world_network_by_name(w, "bridge");
	if (!bridge || !world_endpoint(w, c->id, bridge->id))
		return 0;
	if (links_of(w, c, &a, &links, &n) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		if (links[i].target && !world_endpoint(w, links[i].target->id, bridge->id))
			return err_set(e, -ENOTCONN, "Cannot link to /%s, as it does not belong to the default network", links[i].name);
		if (!links[i].target || !container_is_running(links[i].target))
			return err_set(e, -ENOTCONN, "Cannot link to a non running container: /%s AS /%s/%s", links[i].name, c->name, links[i].alias);
	}
	return 0;
}

const struct endpoint *links_endpoint(const struct world *w, const char *container)
{
	const struct network *bridge = world_network_by_name(w, "bridge");
	const struct endpoint *ep = bridge && bridge->is_default ? world_endpoint(w, container, bridge->id) : NULL;
	return ep && ep->joined ? ep : NULL;
}

/* "80/tcp", "8000-8010/udp" */
static bool read_port(const char *key, struct link_port *out)
{
	char *end;
	unsigned long first = strtoul(key, &end, 10), last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
	out->first = (unsigned)first;
	out->count = (unsigned)(last - first + 1);
	return first > 0 && first <= last && last <= 65535 && *end == '/' && port_proto_parse(end + 1, &out->proto) >= 0;
}

static bool covered(const struct link_port *v, size_t n, uint8_t proto, unsigned port)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].proto == proto && port >= v[i].first && port < v[i].first + v[i].count)
			return true;
	return false;
}

/* Runs of those ports that no earlier run has. */
static int add_port(struct arena *a, struct link_port **v, size_t *n, size_t *cap, const char *key)
{
	struct link_port p, run;
	size_t before = *n;
	if (!read_port(key, &p))
		return 0;
	run = (struct link_port){.proto = p.proto};
	for (unsigned i = 0; i <= p.count; i++) {
		bool take = i < p.count && !covered(*v, before, p.proto, p.first + i);
		if (take && !run.count)
			run.first = p.first + i;
		run.count += take;
		if (take || !run.count)
			continue;
		try(arena_room(a, *v, *n, *cap));
		(*v)[(*n)++] = run;
		run.count = 0;
	}
	return 0;
}

int links_ports(const struct container *target, struct arena *a, struct link_port **out, size_t *n)
{
	const struct strv *exposed = &target->spec->config.exposed_ports;
	const struct json_group *bound = target->spec->host.port_bindings.v;
	struct link_port *v = NULL;
	size_t k = 0, cap = 0;
	for (size_t i = 0; i < exposed->n; i++)
		try(add_port(a, &v, &k, &cap, exposed->v[i]));
	for (size_t i = 0; i < target->spec->host.port_bindings.n; i++)
		try(add_port(a, &v, &k, &cap, bound[i].key));
	*out = v;
	*n = k;
	return 0;
}

int links_shown(const struct world *w, const struct container *c, struct arena *a, struct strv *out)
{
	struct link *links;
	size_t n;
	try(links_of(w, c, a, &links, &n));
	for (size_t i = 0; i < n; i++) {
		const char *text = arena_printf(a, "/%s:/%s/%s", links[i].name, c->name, links[i].alias);
		if (!text || strv_add(a, out, text) < 0)
			return -ENOMEM;
	}
	return 0;
}
