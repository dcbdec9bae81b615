#include "model/port_edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct edit {
	struct json_vec add, remove; /* struct json_group of struct port_binding */
};

static const struct json_field edit_table[] = {{"Add", J_MAPVV, offsetof(struct edit, add), 0, port_binding_table, sizeof(struct port_binding)},
	{"Remove", J_MAPVV, offsetof(struct edit, remove), 0, port_binding_table, sizeof(struct port_binding)}, J_END};

/* One binding of one port, or of a range that nothing is done to. */
struct entry {
	const char *key, *ip, *port;
	bool gone;
};

struct entries {
	struct arena *a;
	struct entry *v;
	size_t n, cap;
};

static int append(struct entries *l, const char *key, const char *ip, const char *port)
{
	try(arena_room(l->a, l->v, l->n, l->cap));
	l->v[l->n++] = (struct entry){.key = key, .ip = ip ? ip : "", .port = port && !streq(port, "0") ? port : ""};
	return key && (!port || l->v[l->n - 1].port) ? 0 : -ENOMEM;
}

struct run {
	unsigned first, last;
};

static struct run run_of(const char *s)
{
	const char *dash = strchr(s, '-');
	struct run r = {.first = (unsigned)atoi(s)};
	r.last = dash ? (unsigned)atoi(dash + 1) : r.first;
	return r;
}

/* A range's binding, port by port. */
static int spread(struct entries *l, const char *key, const struct port_binding *b)
{
	struct run in = run_of(key), out = str_empty(b->host_port) ? (struct run){0} : run_of(b->host_port);
	bool step = out.first && out.last - out.first == in.last - in.first;
	for (unsigned i = 0; i <= in.last - in.first; i++) {
		const char *one = arena_printf(l->a, "%u%s", in.first + i, strchr(key, '/'));
		const char *host = step ? arena_printf(l->a, "%u", out.first + i) : b->host_port;
		if (!one || (step && !host) || append(l, one, b->host_ip, host) < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool meets(const char *key, const struct json_vec *edits)
{
	const struct json_group *g = edits->v;
	struct run a = run_of(key);
	for (size_t i = 0; i < edits->n; i++) {
		struct run b = run_of(g[i].key);
		if (a.first <= b.last && b.first <= a.last)
			return true;
	}
	return false;
}

/* split: NULL, or only those ranges that have to do with these are spread. -E2BIG: more than `most`, of which none more is made. */
static int gather(struct entries *l, const struct json_vec *groups, const struct json_vec *split, size_t most)
{
	static const struct port_binding any = {0};
	const struct json_group *g = groups->v;
	for (size_t i = 0; i < groups->n; i++) {
		const struct port_binding *b = g[i].items.v;
		bool range = strchr(g[i].key, '-') && (!split || meets(g[i].key, split));
		for (size_t k = 0; k < g[i].items.n || k == 0; k++) {
			const struct port_binding *one = g[i].items.n ? &b[k] : &any;
			struct run ports = range ? run_of(g[i].key) : (struct run){0};
			if (l->n + (ports.last - ports.first) >= most)
				return -E2BIG;
			try(range ? spread(l, g[i].key, one) : append(l, g[i].key, one->host_ip, one->host_port));
		}
	}
	return 0;
}

static bool same_ip(const char *a, const char *b)
{
	struct ip x = {0}, y = {0};
	if (!*a || !*b)
		return !*a && !*b;
	return ip_parse(a, &x) >= 0 && ip_parse(b, &y) >= 0 && ip_eq(&x, &y);
}

static uint8_t proto_of(const char *key)
{
	uint8_t proto = 0;
	const char *slash = strchr(key, '/');
	return slash && port_proto_parse(slash + 1, &proto) >= 0 ? proto : 0;
}

/* Was this number given out to the port? */
static bool given_out(const struct port *const *now, size_t n, const char *key, const char *host)
{
	unsigned port = run_of(key).first, number = (unsigned)atoi(host);
	uint8_t proto = proto_of(key);
	for (size_t i = 0; i < n; i++)
		if (now[i]->host_port && now[i]->proto == proto && now[i]->port <= port && port < (unsigned)now[i]->port + now[i]->count &&
			now[i]->host_port + (port - now[i]->port) == number)
			return true;
	return false;
}

static const char *text_of(const struct entry *x, struct arena *a)
{
	const char *t = arena_printf(a, "%s%s%s%s%s", x->ip, *x->ip ? ":" : "", x->port, *x->port || *x->ip ? ":" : "", x->key);
	return t ? t : x->key;
}

struct job {
	const struct port *const *now;
	size_t n;
	struct port_gone *gone;
	size_t most, *ngone;
};

static int take(struct job *j, struct entries *l, const struct entry *want, struct err *e)
{
	bool any = false;
	for (size_t i = 0; i < l->n; i++) {
		struct entry *x = &l->v[i];
		bool chosen = *x->port && !strchr(x->port, '-');
		if (x->gone || !streq(x->key, want->key) || (*want->ip && !same_ip(want->ip, x->ip)))
			continue;
		bool by_number = *want->port && !streq(want->port, x->port) && !chosen && given_out(j->now, j->n, x->key, want->port);
		if (*want->port && !streq(want->port, x->port) && !by_number)
			continue;
		x->gone = any = true;
		if (by_number && *j->ngone < j->most)
			j->gone[(*j->ngone)++] = (struct port_gone){proto_of(x->key), (uint16_t)atoi(want->port)};
		if (by_number)
			break; /* one number, one binding */
	}
	return any ? 0 : err_as(e, ERR_NOT_FOUND, "port %s is not published", text_of(want, l->a));
}

static int add(struct entries *l, const struct entry *x, struct err *e)
{
	for (size_t i = 0; *x->port && i < l->n; i++)
		if (!l->v[i].gone && streq(l->v[i].key, x->key) && streq(l->v[i].port, x->port) && same_ip(l->v[i].ip, x->ip))
			return err_as(e, ERR_CONFLICT, "port %s is published already", text_of(x, l->a));
	return append(l, x->key, x->ip, x->port) < 0 ? err_nomem(e) : 0;
}

/* Bindings of one key together, in the order in which keys were first given. */
static int regroup(const struct entries *l, struct map *groups, struct json_vec *out)
{
	struct json_group *g = arena_new(l->a, struct json_group, l->n + 1);
	size_t n = 0;
	for (size_t i = 0; g && i < l->n; i++) {
		const struct entry *x = &l->v[i];
		struct json_group *of = x->gone ? NULL : map_gets(groups, x->key);
		if (x->gone)
			continue;
		if (!of) {
			of = &g[n++];
			of->key = x->key;
			if (map_puts(groups, x->key, of) < 0)
				return -ENOMEM;
		}
		struct port_binding *b = of->items.v;
		if ((of->items.n & (of->items.n - 1)) == 0) { /* full: it doubles */
			b = arena_new(l->a, struct port_binding, of->items.n ? of->items.n * 2 : 1);
			if (!b)
				return -ENOMEM;
			if (of->items.n)
				memcpy(b, of->items.v, of->items.n * sizeof(*b));
		}
		b[of->items.n++] = (struct port_binding){.host_ip = x->ip, .host_port = x->port};
		of->items.v = b;
	}
	*out = (struct json_vec){.v = g, .n = n};
	return g ? 0 : -ENOMEM;
}

static int canonical(const struct json_vec *groups, struct arena *a, struct err *e)
{
	struct json_group *g = groups->v;
	for (size_t i = 0; i < groups->n; i++)
		try(spec_port_key(a, g[i].key, &g[i].key, e));
	return 0;
}

int port_edit(struct container_spec *s, const json_t *body, const struct port *const *now, size_t n, struct arena *a, struct port_gone *gone, size_t most,
	size_t *ngone, struct err *e)
{
	struct edit edit = {0};
	struct entries all = {.a = a}, wanted = {.a = a}, fresh = {.a = a};
	struct job j = {.now = now, .n = n, .gone = gone, .most = most, .ngone = ngone};
	struct map groups = {0};
	*ngone = 0;
	try(json_check_known(body, edit_table, e));
	try(json_decode(body, edit_table, &edit, a, e));
	if (!edit.add.n && !edit.remove.n)
		return err_as(e, ERR_INVALID, "no port to add or to remove");
	try(canonical(&edit.add, a, e));
	try(canonical(&edit.remove, a, e));
	int r = gather(&wanted, &edit.remove, NULL, LIMIT_PORTS_AT_ONCE);
	if (r >= 0)
		r = gather(&fresh, &edit.add, NULL, LIMIT_PORTS_AT_ONCE);
	if (r >= 0)
		r = gather(&all, &s->host.port_bindings, &edit.remove, LIMIT_PORT_EDIT);
	if (r == -E2BIG)
		return err_as(e, ERR_TOO_LARGE, "more than %u ports at once are too many: do it in parts", LIMIT_PORTS_AT_ONCE);
	if (r < 0)
		return err_nomem(e);
	if ((wanted.n + fresh.n) * (all.n + 1) > LIMIT_PORT_EDIT)
		return err_as(e, ERR_TOO_LARGE, "%zu ports at once are too many for a container with %zu: do it in parts", wanted.n + fresh.n, all.n);
	for (size_t i = 0; i < wanted.n; i++)
		try(take(&j, &all, &wanted.v[i], e));
	for (size_t i = 0; i < fresh.n; i++)
		try(add(&all, &fresh.v[i], e));
	r = regroup(&all, &groups, &s->host.port_bindings);
	map_free(&groups);
	return r < 0 ? err_nomem(e) : 0;
}
