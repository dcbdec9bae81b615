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

static int list(struct request *rq, struct err *e)
{
	static const char *const known[] = {"dangling", "driver", "id", "label", "name", "scope", "type", NULL};
	struct view v = view_of(rq);
	struct filters f;
	const struct network *n;
	try(request_filters(rq, known, &f, e));
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

const struct route routes_network[] = {
	{"GET", "/networks", list, BODY_JSON},
	{"GET", "/networks/{}", inspect, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
