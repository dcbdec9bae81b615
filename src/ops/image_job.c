#include "ops/image_job.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/ref.h"

static char *have_list(struct core *c, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	const struct layer *l;
	const struct world *w = core_read(c);
	for (size_t i = 0; (l = world_next(w, NOUN_LAYER, &i));)
		buf_printf(&b, "%s\n", l->thing.key);
	core_read_end(c);
	char *s = buf_steal(&b);
	if (!s)
		err_nomem(e);
	return s;
}

static char *request_text(struct core *c, json_t *request, struct err *e)
{
	json_t *have = json_array();
	const struct layer *l;
	const struct world *w = core_read(c);
	for (size_t i = 0; have && (l = world_next(w, NOUN_LAYER, &i));)
		json_array_append_new(have, json_string(l->thing.key));
	core_read_end(c);
	json_object_set_new(request, "have", have);
	char *s = json_text(request);
	if (!s)
		err_nomem(e);
	return s;
}

/* What another job has stored meanwhile stays; the second copy goes. */
static int put_layers(struct op *op, const json_t *result, struct strv *spare, struct err *e)
{
	size_t i;
	json_t *j;
	json_array_foreach(json_object_get(result, "layers"), i, j)
	{
		const char *diff_id, *dir;
		json_int_t size;
		if (json_unpack(j, "{s:s, s:s, s:I}", "diff_id", &diff_id, "dir", &dir, "size", &size) < 0)
			return err_set(e, -EPROTO, "pontoon-image: a layer without diff_id, dir or size");
		if (world_get(op->next, NOUN_LAYER, diff_id)) {
			if (strv_add(&op->mem, spare, dir) < 0)
				return err_nomem(e);
			continue;
		}
		struct layer *l = layer_new(diff_id, dir, size);
		if (!l)
			return err_nomem(e);
		try(world_put(op->next, l, e));
	}
	return 0;
}

static int image_size(const struct world *w, struct image *img, struct err *e)
{
	for (size_t i = 0; i < img->diff_ids.n; i++) {
		const struct layer *l = world_get(w, NOUN_LAYER, img->diff_ids.v[i]);
		if (!l)
			return err_set(e, -EPROTO, "pontoon-image: layer %s of image %.12s is missing", img->diff_ids.v[i], img->id);
		img->size += l->size;
	}
	return 0;
}

static int put_tag(struct op *op, const char *ref, const char *id, struct err *e)
{
	struct tag *tag = tag_new(ref, id);
	return tag ? world_put(op->next, tag, e) : err_nomem(e);
}

/* Told are names that are given here; those that come along with an image, in its archive or from its registry, are not. */
static bool gives_names(const char *verb)
{
	return streq(verb, "import") || streq(verb, "commit");
}

static int put_tags(struct op *op, const json_t *j, const struct image *img, const struct image_run *r, struct arena *a, struct err *e)
{
	size_t i;
	json_t *t;
	const char *id = img->id, *full = arena_printf(a, "sha256:%s", id);
	if (!full)
		return err_nomem(e);
	json_array_foreach(json_object_get(j, "digests"), i, t)
		try(put_tag(op, json_string_value(t) ? json_string_value(t) : "", id, e));
	json_array_foreach(json_object_get(j, "tags"), i, t)
	{
		const char *ref = json_string_value(t) ? json_string_value(t) : "";
		try(put_tag(op, ref, id, e));
		if (r->loaded)
			try(strv_add(a, r->loaded, arena_printf(a, "Loaded image: %s", ref)));
		if (gives_names(r->verb))
			op_image_event(op, img, "tag", full, ref);
	}
	if (r->loaded && i == 0)
		try(strv_add(a, r->loaded, arena_printf(a, "Loaded image ID: %s", full)));
	if (!r->more)
		op_image_event(op, img, r->verb, full, full);
	return 0;
}

static int put_image(struct op *op, const json_t *j, const struct image_run *run, struct arena *a, struct err *e)
{
	const char *id, *config;
	struct image *img;
	if (json_unpack((json_t *)(uintptr_t)j, "{s:s, s:s}", "id", &id, "config", &config) < 0)
		return err_set(e, -EPROTO, "pontoon-image: an image without id or config");
	try(image_new(id, config, &img, e));
	int r = image_size(op->next, img, e);
	img->stored = clock_real_ns();
	if (run->id)
		memcpy(run->id, img->id, ID_TEXT);
	if (r < 0) {
		thing_unref(img);
		return r;
	}
	try(world_put(op->next, img, e));
	return put_tags(op, j, img, run, a, e);
}

static int keep(struct core *c, const struct image_run *r, const json_t *result, struct arena *a, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct strv spare = {0};
	struct err gone;
	size_t i;
	json_t *j;
	try(op_begin(c, r->verb, &op, e));
	op.durable = true;
	try(put_layers(&op, result, &spare, e));
	json_array_foreach(json_object_get(result, "images"), i, j)
		try(put_image(&op, j, r, a, e));
	if (i == 0)
		return err_as(e, ERR_INVALID, "the archive holds no image");
	if (r->more)
		try(r->more(r->arg, &op, result, e));
	try(op_commit(&op, e));
	for (i = 0; i < spare.n; i++)
		if (engine_layer_remove(c->engine, spare.v[i], &gone) < 0)
			log_warn("%s: it goes at the next start", gone.msg);
	return 0;
}

static int run_locked(struct core *c, const struct image_run *r, struct arena *a, struct err *e)
{
	OWN(own_free) char *have = r->request ? NULL : have_list(c, e), *request = r->request ? request_text(c, r->request, e) : NULL;
	struct image_job_result res = {0};
	struct image_job job = {.argv = r->argv, .input = r->input, .output = r->output, .dir = r->dir, .request = request, .have = have};
	if (r->stream) {
		job.progress = r->stream->progress;
		job.arg = r->stream->arg;
		job.cancel = r->stream->cancel;
	}
	int rc = have || request ? engine_image_job(c->engine, &job, &res, e) : -ENOMEM;
	if (request)
		explicit_bzero(request, strlen(request));
	if (rc < 0)
		return rc;
	bool made = json_array_size(json_object_get(res.result, "images")) > 0;
	rc = engine_image_job_end(c->engine, &res, true, e); /* layers in place first */
	if (rc >= 0 && (made || !r->result))
		rc = keep(c, r, res.result, a, e);
	if (rc >= 0 && r->result)
		*r->result = json_incref(res.result);
	json_decref(res.result);
	return rc;
}

int image_run(struct core *c, const struct image_run *r, struct arena *a, struct err *e)
{
	pthread_rwlock_rdlock(&c->image_lock);
	int rc = run_locked(c, r, a, e);
	pthread_rwlock_unlock(&c->image_lock);
	image_sweep(c);
	return rc;
}

int op_image_import(struct core *c, const struct image_source *s, const char *repo, const char *tag, const char *message, const char *platform,
	const struct strv *changes, char out_id[static ID_TEXT], struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv argv = {0};
	strv_add(&a, &argv, "import");
	if (!str_empty(repo)) {
		char ref[REF_TEXT];
		const char *full = str_empty(tag) ? repo : arena_printf(&a, "%s:%s", repo, tag);
		try(ref_normalise(full ? full : repo, ref, e));
		strv_add(&a, &argv, "--repo-tag");
		strv_add(&a, &argv, ref);
	}
	if (!str_empty(message)) {
		strv_add(&a, &argv, "--message");
		strv_add(&a, &argv, message);
	}
	if (!str_empty(platform)) {
		strv_add(&a, &argv, "--platform");
		strv_add(&a, &argv, platform);
	}
	for (size_t i = 0; i < changes->n; i++) {
		strv_add(&a, &argv, "--change");
		strv_add(&a, &argv, changes->v[i]);
	}
	const char **v = arena_new(&a, const char *, argv.n + 1);
	if (a.bad)
		return err_nomem(e);
	memcpy(v, argv.v, argv.n * sizeof(*v));
	const struct image_run r = {.verb = "import", .argv = v, .input = s->input, .output = -1, .stream = &s->stream, .id = out_id};
	return image_run(c, &r, &a, e);
}

int op_image_load(struct core *c, const struct image_source *s, const char *platform, struct arena *a, struct strv *loaded, struct err *e)
{
	const char *const argv[] = {"load", *platform ? "--platform" : NULL, platform, NULL};
	const struct image_run r = {.verb = "load", .argv = argv, .input = s->input, .output = -1, .stream = &s->stream, .loaded = loaded};
	return image_run(c, &r, a, e);
}
