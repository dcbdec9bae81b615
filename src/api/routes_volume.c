#include <errno.h>

#include "api/router.h"
#include "api/view.h"
#include "base/du.h"
#include "ops/volume.h"

static struct view view_of(const struct request *rq)
{
	return (struct view){.core = rq->core, .minor = rq->minor, .now = clock_real_ns()};
}

static bool is_true(const char *s)
{
	return streq(s, "true") || streq(s, "1");
}

static bool is_bool(const char *s)
{
	return is_true(s) || streq(s, "false") || streq(s, "0");
}

static bool name_matches(const struct filters *f, const char *name)
{
	bool asked = false, found = false;
	for (size_t i = 0; i < f->n; i++) {
		if (!streq(f->v[i].key, "name"))
			continue;
		asked = true;
		found |= strstr(name, f->v[i].value) != NULL;
	}
	return !asked || found;
}

static bool dangling_matches(const struct filters *f, const struct world *w, const struct volume *v, struct arena *a)
{
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, "dangling") && is_true(f->v[i].value) != !world_volume_users(w, v->name, a))
			return false;
	return true;
}

static int list(struct request *rq, struct err *e)
{
	static const char *const known[] = {"dangling", "name", "label", "driver", NULL};
	struct view v = view_of(rq);
	struct filters f;
	const struct volume *vol;
	try(request_filters(rq, known, &f, e));
	for (size_t i = 0; i < f.n; i++)
		if (streq(f.v[i].key, "dangling") && !is_bool(f.v[i].value))
			return err_as(e, ERR_INVALID, "invalid filter 'dangling=[%.100s]'", f.v[i].value);
	json_t *rows = json_array();
	const struct world *w = core_read(rq->core);
	for (size_t i = 0; (vol = world_next(w, NOUN_VOLUME, &i));)
		if (filters_match(&f, "driver", "local") && name_matches(&f, vol->name) && filters_match_labels(&f, &vol->labels) && dangling_matches(&f, w, vol, &rq->mem))
			json_array_append_new(rows, view_volume(&v, vol, &rq->mem));
	core_read_end(rq->core);
	return reply_json(rq, 200, json_pack("{s:o, s:n}", "Volumes", rows, "Warnings"));
}

static int show(struct request *rq, const char *name, int status, struct err *e)
{
	struct view v = view_of(rq);
	const struct volume *vol;
	int r = world_find_volume(core_read(rq->core), name, &vol, e);
	json_t *j = r >= 0 ? view_volume(&v, vol, &rq->mem) : NULL;
	core_read_end(rq->core);
	return r < 0 ? r : reply_json(rq, status, j);
}

static int create(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct volume_spec s = {0};
	char name[LIMIT_VOLUME_NAME + 1];
	try(request_json(rq, &body, e));
	if (body)
		try(json_decode(body, volume_spec_table, &s, &rq->mem, e));
	try(op_volume_create(rq->core, &s, name, e));
	return show(rq, name, 201, e);
}

static int inspect(struct request *rq, struct err *e)
{
	return show(rq, rq->args[0], 200, e);
}

static int remove_it(struct request *rq, struct err *e)
{
	int r = op_volume_remove(rq->core, rq->args[0], request_bool(rq, "force", false), e);
	return r < 0 ? r : reply_empty(rq, 204);
}

/* From API 1.42 on only anonymous ones, unless all are asked for. */
static int prune(struct request *rq, struct err *e)
{
	static const char *const known[] = {"label", "label!", "all", NULL};
	struct filters f;
	struct kvs labels;
	struct strv gone = {0};
	bool all = rq->minor < 42;
	int64_t freed, until;
	try(request_filters(rq, known, &f, e));
	try(request_prune_filters(rq, known, &labels, &until, e));
	for (size_t i = 0; i < f.n; i++) {
		if (!streq(f.v[i].key, "all"))
			continue;
		if (!is_bool(f.v[i].value))
			return err_as(e, ERR_INVALID, "invalid filter 'all=[%.100s]'", f.v[i].value);
		all |= is_true(f.v[i].value);
	}
	size_t n = 0;
	for (size_t i = 0; i < labels.n; i++)
		if (!streq(labels.v[i].key, "all"))
			labels.v[n++] = labels.v[i];
	labels.n = n;
	try(op_volume_prune(rq->core, all, &labels, &rq->mem, &gone, &freed, e));
	json_t *names = json_array();
	for (size_t i = 0; i < gone.n; i++)
		json_array_append_new(names, json_string(gone.v[i]));
	return reply_json(rq, 200, json_pack("{s:o, s:I}", "VolumesDeleted", names, "SpaceReclaimed", (json_int_t)freed));
}

const struct route routes_volume[] = {
	{"GET", "/volumes", list, BODY_JSON},
	{"POST", "/volumes/create", create, BODY_JSON},
	{"POST", "/volumes/prune", prune, BODY_JSON},
	{"GET", "/volumes/{}", inspect, BODY_JSON},
	{"DELETE", "/volumes/{}", remove_it, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
