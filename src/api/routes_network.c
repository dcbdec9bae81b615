#include <errno.h>

#include "api/router.h"
#include "api/view.h"

static struct view view_of(const struct request *rq)
{
	return (struct view){.core = rq->core, .minor = rq->minor, .now = clock_real_ns()};
}

static bool name_matches(const struct filters *f, const struct network *n)
{
	bool asked_name = false, asked_id = false, name = false, id = false;
	for (size_t i = 0; i < f->n; i++) {
		if (streq(f->v[i].key, "name")) {
			asked_name = true;
			name |= strstr(n->name, f->v[i].value) != NULL;
		}
		if (streq(f->v[i].key, "id")) {
			asked_id = true;
			id |= strstr(n->id, f->v[i].value) != NULL;
		}
	}
	return (!asked_name || name) && (!asked_id || id);
}

static bool matches(const struct filters *f, const struct world *w, const struct network *n)
{
	bool dangling = filters_have(f, "dangling"), want = filters_match(f, "dangling", "true") || filters_match(f, "dangling", "1");
	if (dangling && want != (!n->predefined && world_joined_in_network(w, n->id) == 0))
		return false;
	return name_matches(f, n) && filters_match(f, "driver", driver_kind_name(n->driver)) && filters_match(f, "scope", "local") &&
	       filters_match(f, "type", n->predefined ? "builtin" : "custom") && filters_match_labels(f, &n->labels);
}

/* Values that mean nothing. */
static int check_filters(const struct filters *f, struct err *e)
{
	static const char *const bools[] = {"true", "false", "1", "0"};
	for (size_t i = 0; i < f->n; i++) {
		const char *key = f->v[i].key, *value = f->v[i].value;
		if (streq(key, "type") && !streq(value, "builtin") && !streq(value, "custom"))
			return err_as(e, ERR_INVALID, "invalid filter: 'type'='%s'", value);
		bool known = !streq(key, "dangling");
		for (size_t k = 0; !known && k < ARRAY_LEN(bools); k++)
			known = streq(value, bools[k]);
		if (!known)
			return err_as(e, ERR_INVALID, "invalid filter 'dangling=[%s]'", value);
	}
	return 0;
}

static int list(struct request *rq, struct err *e)
{
	static const char *const known[] = {"dangling", "driver", "id", "label", "name", "scope", "type", NULL};
	struct view v = view_of(rq);
	struct filters f;
	const struct network *n;
	try(request_filters(rq, known, &f, e));
	try(check_filters(&f, e));
	json_t *j = json_array();
	const struct world *w = core_read(rq->core);
	for (size_t i = 0; j && (n = world_next(w, NOUN_NETWORK, &i));)
		if (matches(&f, w, n))
			json_array_append_new(j, view_network(&v, w, n, rq->minor < 28, &rq->mem));
	core_read_end(rq->core);
	return reply_json(rq, 200, j);
}

static int inspect(struct request *rq, struct err *e)
{
	struct view v = view_of(rq);
	const struct network *n;
	const char *scope = request_query(rq, "scope");
	const struct world *w = core_read(rq->core);
	int r = world_find_network(w, rq->args[0], &n, e);
	if (r >= 0 && !str_empty(scope) && !streq(scope, "local"))
		r = err_as(e, ERR_NOT_FOUND, "network %s not found", rq->args[0]);
	json_t *j = r >= 0 ? view_network(&v, w, n, true, &rq->mem) : NULL;
	core_read_end(rq->core);
	return r < 0 ? r : reply_json(rq, 200, j);
}

static int create(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct network_spec s;
	char id[ID_TEXT];
	try(request_json(rq, &body, e));
	try(network_spec_parse(body, &rq->mem, &s, e));
	try(op_network_create(rq->core, &s, id, e));
	return reply_json(rq, 201, json_pack("{s:s, s:s}", "Id", id, "Warning", ""));
}

static int remove_it(struct request *rq, struct err *e)
{
	try(op_network_remove(rq->core, rq->args[0], e));
	return reply_empty(rq, 204);
}

static int prune(struct request *rq, struct err *e)
{
	static const char *const known[] = {"label", "label!", "until", NULL};
	struct kvs labels;
	struct strv gone = {0};
	int64_t until;
	try(request_prune_filters(rq, known, &labels, &until, e));
	try(op_network_prune(rq->core, &labels, until, &rq->mem, &gone, e));
	json_t *names = gone.n ? json_array() : json_null();
	for (size_t i = 0; i < gone.n; i++)
		json_array_append_new(names, json_string_nocheck(gone.v[i]));
	return reply_json(rq, 200, json_pack("{s:o}", "NetworksDeleted", names));
}

struct attach_body {
	const char *container;
	struct endpoint_settings *settings;
	bool force;
};

static int read_attach(struct request *rq, struct attach_body *out, struct err *e)
{
	static const struct json_field table[] = {{"Container", J_STR, offsetof(struct attach_body, container), 0, NULL, 0},
		{"EndpointConfig", J_OBJP, offsetof(struct attach_body, settings), 0, endpoint_settings_table, sizeof(struct endpoint_settings)},
		{"Force", J_BOOL, offsetof(struct attach_body, force), 0, NULL, 0}, J_END};
	OWN(own_json) json_t *body = NULL;
	try(request_json(rq, &body, e));
	*out = (struct attach_body){0};
	if (body)
		try(json_decode(body, table, out, &rq->mem, e));
	if (str_empty(out->container))
		return err_as(e, ERR_INVALID, "no container given: \"Container\" is its name or id");
	return 0;
}

static int connect_it(struct request *rq, struct err *e)
{
	struct attach_body b;
	try(read_attach(rq, &b, e));
	try(op_network_connect(rq->core, rq->args[0], b.container, b.settings, e));
	return reply_empty(rq, 200);
}

static int disconnect_it(struct request *rq, struct err *e)
{
	struct attach_body b;
	try(read_attach(rq, &b, e));
	try(op_network_disconnect(rq->core, rq->args[0], b.container, b.force, e));
	return reply_empty(rq, 200);
}

const struct route routes_network[] = {
	{"POST", "/networks/create", create, BODY_JSON},
	{"POST", "/networks/prune", prune, BODY_JSON},
	{"POST", "/networks/{}/connect", connect_it, BODY_JSON},
	{"POST", "/networks/{}/disconnect", disconnect_it, BODY_JSON},
	{"DELETE", "/networks/{}", remove_it, BODY_JSON},
	{"GET", "/networks", list, BODY_JSON},
	{"GET", "/networks/{}", inspect, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
