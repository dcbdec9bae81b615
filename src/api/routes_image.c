#include <errno.h>

#include "api/routes_registry.h"
#include "api/view.h"

static struct view view_of(const struct request *rq)
{
	return (struct view){.core = rq->core, .minor = rq->minor, .now = clock_real_ns()};
}

static int list(struct request *rq, struct err *e)
{
	static const char *const known[] = {"dangling", "label", "before", "since", "reference", "until", NULL};
	struct view v = view_of(rq);
	struct filters f;
	const struct image *img;
	try(request_filters(rq, known, &f, e));
	try(image_filter_check(&f, e));
	OWN(own_json) json_t *j = json_array();
	int r = 0;
	const struct world *w = core_read(rq->core);
	for (size_t i = 0; r >= 0 && (img = world_next(w, NOUN_IMAGE, &i));) {
		json_t *row;
		r = image_row_filtered(&v, w, img, &f, &rq->mem, &row, e);
		if (r >= 0 && row)
			json_array_append_new(j, row);
	}
	core_read_end(rq->core);
	return r < 0 ? r : reply_json(rq, 200, STEAL(j));
}

int route_image_fits(struct request *rq, const char *key, int since, const char *name, struct err *e)
{
	const char *text;
	struct platform host = platform_here(), want;
	const struct image *img;
	try(request_platform(rq, key, since, &text, e));
	if (!*text)
		return 0;
	try(platform_parse(text, &host, &want, e));
	int r = world_find_image(core_read(rq->core), name, &img, NULL) < 0 ? 0 : image_fits(img, name, &want, e);
	core_read_end(rq->core);
	return r;
}

static int inspect(struct request *rq, struct err *e)
{
	struct view v = view_of(rq);
	const struct image *img;
	try(route_image_fits(rq, "platform", 49, rq->args[0], e));
	const struct world *w = core_read(rq->core);
	int r = world_find_image(w, rq->args[0], &img, e);
	json_t *j = r >= 0 ? view_image(&v, w, img, &rq->mem) : NULL;
	core_read_end(rq->core);
	return r < 0 ? r : reply_json(rq, 200, j);
}

static int history(struct request *rq, struct err *e)
{
	const struct image *img;
	try(route_image_fits(rq, "platform", 48, rq->args[0], e));
	const struct world *w = core_read(rq->core);
	int r = world_find_image(w, rq->args[0], &img, e);
	OWN(own_json) json_t *all = r >= 0 && img->history ? json_loads(img->history, 0, NULL) : NULL;
	json_t *out = json_array();
	size_t layer = 0;
	for (size_t i = 0; r >= 0 && i < json_array_size(all); i++) {
		const json_t *h = json_array_get(all, i);
		bool empty = json_is_true(json_object_get(h, "empty_layer"));
		const struct layer *l = !empty && layer < img->diff_ids.n ? world_get(w, NOUN_LAYER, img->diff_ids.v[layer++]) : NULL;
		const char *by = json_string_value(json_object_get(h, "created_by")), *comment = json_string_value(json_object_get(h, "comment")), *when = json_string_value(json_object_get(h, "created"));
		int64_t t = 0;
		if (when)
			(void)time_parse(when, 0, &t); /* an odd time shows as the epoch */
		json_array_insert_new(out, 0, json_pack("{s:s, s:I, s:s, s:n, s:I, s:s}", "Id", "<missing>", "Created", (json_int_t)(t / 1000000000), "CreatedBy", by ? by : "", "Tags", "Size",
			(json_int_t)(l ? l->size : 0), "Comment", comment ? comment : ""));
	}
	if (r >= 0 && json_array_size(out)) {
		json_object_set_new(json_array_get(out, 0), "Id", json_sprintf("sha256:%s", img->id));
		json_object_set_new(json_array_get(out, 0), "Tags", view_tags(w, img, &rq->mem));
	}
	core_read_end(rq->core);
	if (r < 0) {
		json_decref(out);
		return r;
	}
	return reply_json(rq, 200, out);
}

/* Progress of a job is collected: the client reads only after it has sent its archive. */
static bool collect(void *arg, const char *line)
{
	struct buf *b = arg;
	buf_printf(b, "%s\r\n", line);
	return !b->bad;
}

static void add_line(struct buf *b, const char *key, const char *value)
{
	OWN(own_json) json_t *j = json_pack("{s:s}", key, value);
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	if (text)
		buf_printf(b, "%s\r\n", text);
	else
		b->bad = true;
}

static ssize_t read_lines(void *arg, char *out, size_t max)
{
	struct buf *b = arg;
	size_t n = b->len < max ? b->len : max;
	memcpy(out, b->data, n);
	buf_drop(b, n);
	return (ssize_t)n;
}

static void free_lines(void *arg)
{
	buf_free(arg);
	free(arg);
}

/* In chunks: an answer of a known length is one JSON text for docker-py. */
static int reply_lines(struct request *rq, struct buf *b, struct err *e)
{
	struct buf *own = b->bad ? NULL : malloc(sizeof(*own));
	if (!own)
		return err_nomem(e);
	*own = *b;
	*b = (struct buf){0};
	return reply_pull(rq, "application/json", read_lines, free_lines, own);
}

static int import_it(struct request *rq, struct err *e)
{
	OWN(own_buf) struct buf lines = {0};
	struct strv changes = {0};
	char id[ID_TEXT];
	struct image_source s = {.input = request_upload(rq), .stream = {.progress = collect, .arg = &lines}};
	if (request_list(rq, "changes", &changes) < 0)
		return err_nomem(e);
	try(op_image_import(rq->core, &s, request_query(rq, "repo"), request_query(rq, "tag"), request_query(rq, "message"), request_query(rq, "platform"), &changes, id, e));
	add_line(&lines, "status", arena_printf(&rq->mem, "sha256:%s", id));
	return reply_lines(rq, &lines, e);
}

static int create(struct request *rq, struct err *e)
{
	const char *src = request_query(rq, "fromSrc");
	if (src && streq(src, "-"))
		return import_it(rq, e);
	if (src)
		return err_as(e, ERR_NOT_IMPLEMENTED, "importing from an address is not supported by this version of Pontoon: fetch %s yourself and import the file", src);
	return route_pull(rq, e);
}

static int load(struct request *rq, struct err *e)
{
	OWN(own_buf) struct buf lines = {0};
	struct strv loaded = {0};
	struct image_source s = {.input = request_upload(rq), .stream = {.progress = request_bool(rq, "quiet", false) ? NULL : collect, .arg = &lines}};
	const char *platform;
	try(request_platform(rq, "platform", 48, &platform, e));
	try(op_image_load(rq->core, &s, platform, &rq->mem, &loaded, e));
	for (size_t i = 0; i < loaded.n; i++)
		add_line(&lines, "stream", arena_printf(&rq->mem, "%s\n", loaded.v[i]));
	return reply_lines(rq, &lines, e);
}

static int tag(struct request *rq, struct err *e)
{
	const char *repo = request_query(rq, "repo");
	if (str_empty(repo))
		return err_as(e, ERR_INVALID, "invalid reference format: the repository is missing");
	try(op_image_tag(rq->core, rq->args[0], repo, request_query(rq, "tag"), e));
	return reply_empty(rq, 201);
}

static int remove_it(struct request *rq, struct err *e)
{
	struct kvs deleted;
	try(route_image_fits(rq, "platforms", 50, rq->args[0], e));
	try(op_image_remove(rq->core, rq->args[0], request_bool(rq, "force", false), request_bool(rq, "noprune", false), &rq->mem, &deleted, e));
	json_t *j = json_array();
	for (size_t i = 0; i < deleted.n; i++)
		json_array_append_new(j, json_pack("{s:s}", deleted.v[i].key, deleted.v[i].value));
	return reply_json(rq, 200, j);
}

/* Takes "dangling" out of the filters that op_image_prune gets. */
static int take_dangling(struct kvs *filters, bool *all, struct err *e)
{
	size_t n = 0;
	for (size_t i = 0; i < filters->n; i++) {
		const char *v = filters->v[i].value;
		bool no = streq(v, "false") || streq(v, "0");
		if (!streq(filters->v[i].key, "dangling"))
			filters->v[n++] = filters->v[i];
		else if (no || streq(v, "true") || streq(v, "1"))
			*all = no;
		else
			return err_as(e, ERR_INVALID, "invalid filter 'dangling=[%.100s]'", v);
	}
	filters->n = n;
	return 0;
}

static int prune(struct request *rq, struct err *e)
{
	static const char *const known[] = {"dangling", "label", "label!", "until", NULL};
	struct kvs filters, gone = {0};
	int64_t until, freed = 0;
	bool all = false;
	try(request_prune_filters(rq, known, &filters, &until, e));
	try(take_dangling(&filters, &all, e));
	try(op_image_prune(rq->core, all, &filters, until, &rq->mem, &gone, &freed, e));
	json_t *j = gone.n ? json_array() : json_null();
	for (size_t i = 0; i < gone.n; i++)
		json_array_append_new(j, json_pack("{s:s}", gone.v[i].key, gone.v[i].value));
	return reply_json(rq, 200, json_pack("{s:o, s:I}", "ImagesDeleted", j, "SpaceReclaimed", (json_int_t)freed));
}

const struct route routes_image[] = {
	{"GET", "/images/json", list, BODY_JSON},
	{"POST", "/images/create", create, BODY_STREAM},
	{"POST", "/images/prune", prune, BODY_JSON},
	{"POST", "/images/load", load, BODY_STREAM},
	{"GET", "/images/{}/json", inspect, BODY_JSON},
	{"GET", "/images/{}/history", history, BODY_JSON},
	{"POST", "/images/{}/tag", tag, BODY_JSON},
	{"DELETE", "/images/{}", remove_it, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
