/* Theory of operation
 *
 * pontoon-image unpacks into a place of its own below image/tmp. When it has succeeded, the layer directories are renamed into
 * image/layers and then one store transaction makes layers, images and tags known. A crash between the two leaves directories that no
 * row names: reconcile removes them. Jobs hold image_lock shared, removal of layers holds it alone, so that a layer that a job counts
 * on (its `have` list) does not go meanwhile. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/ref.h"
#include "engine/image_job.h"
#include "ops/op.h"
#include "ops/ops.h"

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

static int put_layers(struct op *op, const json_t *result, struct err *e)
{
	size_t i;
	json_t *j;
	json_array_foreach(json_object_get(result, "layers"), i, j)
	{
		const char *diff_id, *dir;
		json_int_t size;
		if (json_unpack(j, "{s:s, s:s, s:I}", "diff_id", &diff_id, "dir", &dir, "size", &size) < 0)
			return err_set(e, -EPROTO, "pontoon-image: a layer without diff_id, dir or size");
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

static int put_image(struct op *op, const json_t *j, struct arena *a, struct strv *loaded, char *out_id, struct err *e)
{
	const char *id, *config;
	struct image *img;
	if (json_unpack((json_t *)(uintptr_t)j, "{s:s, s:s}", "id", &id, "config", &config) < 0)
		return err_set(e, -EPROTO, "pontoon-image: an image without id or config");
	try(image_new(id, config, &img, e));
	int r = image_size(op->next, img, e);
	img->stored = clock_real_ns();
	if (out_id)
		memcpy(out_id, img->id, ID_TEXT);
	if (r < 0) {
		thing_unref(img);
		return r;
	}
	try(world_put(op->next, img, e));
	size_t i;
	json_t *t;
	json_array_foreach(json_object_get(j, "tags"), i, t)
	{
		const char *ref = json_string_value(t);
		struct tag *tag = ref ? tag_new(ref, id) : NULL;
		if (!tag)
			return err_nomem(e);
		try(world_put(op->next, tag, e));
		if (loaded)
			try(strv_add(a, loaded, arena_printf(a, "Loaded image: %s", ref)));
		op_event(op, "image", "tag", arena_printf(a, "sha256:%s", id), "name", ref, NULL);
	}
	if (loaded && i == 0)
		try(strv_add(a, loaded, arena_printf(a, "Loaded image ID: sha256:%s", id)));
	return 0;
}

static int keep(struct core *c, const char *verb, const json_t *result, struct arena *a, struct strv *loaded, char *out_id, struct err *e)
{
	OWN(op_end) struct op op = {0};
	size_t i;
	json_t *j;
	try(op_begin(c, verb, &op, e));
	op.durable = true;
	try(put_layers(&op, result, e));
	json_array_foreach(json_object_get(result, "images"), i, j)
		try(put_image(&op, j, a, loaded, out_id, e));
	if (i == 0)
		return err_as(e, ERR_INVALID, "the archive holds no image");
	op_event(&op, "image", verb, out_id ? arena_printf(a, "sha256:%s", out_id) : "", NULL);
	return op_commit(&op, e);
}

static int run_job(struct core *c, const char *verb, const char *const *argv, const struct image_source *s, struct arena *a, struct strv *loaded,
	char *out_id, struct err *e)
{
	pthread_rwlock_rdlock(&c->image_lock);
	OWN(own_free) char *have = have_list(c, e);
	struct image_job_result res = {0};
	struct image_job job = {.argv = argv, .input = s->input, .output = -1, .have = have, .progress = s->progress, .arg = s->arg};
	int r = have ? engine_image_job(c->engine, &job, &res, e) : -ENOMEM;
	if (r >= 0) {
		r = engine_image_job_end(c->engine, &res, true, e); /* layers in place first */
		if (r >= 0)
			r = keep(c, verb, res.result, a, loaded, out_id, e);
		json_decref(res.result);
	}
	pthread_rwlock_unlock(&c->image_lock);
	return r;
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
	return run_job(c, "import", v, s, &a, NULL, out_id, e);
}

int op_image_load(struct core *c, const struct image_source *s, struct arena *a, struct strv *loaded, struct err *e)
{
	static const char *const argv[] = {"load", NULL};
	return run_job(c, "load", argv, s, a, loaded, NULL, e);
}

int op_image_tag(struct core *c, const char *term, const char *repo, const char *tag, struct err *e)
{
	OWN(op_end) struct op op = {0};
	const struct image *img;
	char ref[REF_TEXT], full[REF_TEXT];
	if (snprintf(full, sizeof(full), "%s%s%s", repo, str_empty(tag) ? "" : ":", tag ? tag : "") >= (int)sizeof(full))
		return err_as(e, ERR_INVALID, "invalid reference format: repository name is too long");
	try(ref_normalise(full, ref, e));
	try(op_begin(c, "tag", &op, e));
	op.durable = true;
	try(world_find_image(op.next, term, &img, e));
	struct tag *t = tag_new(ref, img->id);
	if (!t)
		return err_nomem(e);
	op_event(&op, "image", "tag", arena_printf(&op.mem, "sha256:%s", img->id), "name", ref, NULL);
	try(world_put(op.next, t, e));
	return op_commit(&op, e);
}

/* Layers of the image that no other image has; they leave the world, their directories are named in `dirs`, their bytes added to *freed. */
static int drop_layers(struct op *op, const struct image *gone, struct strv *dirs, int64_t *freed, struct err *e)
{
	struct map used = {0};
	const struct image *img;
	int r = 0;
	for (size_t i = 0; r >= 0 && (img = world_next(op->next, NOUN_IMAGE, &i));)
		for (size_t k = 0; r >= 0 && !streq(img->id, gone->id) && k < img->diff_ids.n; k++)
			r = map_puts(&used, img->diff_ids.v[k], (void *)(uintptr_t)img);
	for (size_t k = 0; r >= 0 && k < gone->diff_ids.n; k++) {
		const struct layer *l = world_get(op->next, NOUN_LAYER, gone->diff_ids.v[k]);
		if (!l || map_gets(&used, gone->diff_ids.v[k]))
			continue;
		*freed += l->size;
		r = strv_add(&op->mem, dirs, l->dir);
		if (r >= 0)
			r = world_del(op->next, NOUN_LAYER, gone->diff_ids.v[k], e);
	}
	map_free(&used);
	return r;
}

static const struct container *user_of_image(const struct world *w, const char *image, bool running)
{
	const struct container *ct;
	for (size_t i = 0; (ct = world_next(w, NOUN_CONTAINER, &i));)
		if (streq(ct->image, image) && (container_is_running(ct) || ct->starting) == running)
			return ct;
	return NULL;
}

/* Appends; keys may be there several times. */
static int tell_deleted(struct arena *a, struct kvs *deleted, const char *key, const char *value, struct err *e)
{
	struct kv *v = arena_new(a, struct kv, deleted->n + 1);
	const char *copy = arena_dup(a, value);
	if (!v || !copy)
		return err_nomem(e);
	if (deleted->n)
		memcpy(v, deleted->v, deleted->n * sizeof(*v));
	v[deleted->n++] = (struct kv){.key = key, .value = copy};
	deleted->v = v;
	return 0;
}

static int untag(struct op *op, const char *ref, struct arena *a, struct kvs *deleted, struct err *e)
{
	char key[THING_KEY]; /* ref may go with the tag */
	STR_COPY(key, ref);
	try(world_del(op->next, NOUN_TAG, key, e));
	return tell_deleted(a, deleted, "Untagged", key, e);
}

/* An image without tags, and its layers, leave the world. */
static int drop_image(struct op *op, const struct image *img, const char *term, struct arena *a, struct kvs *deleted, struct strv *dirs, int64_t *freed, struct err *e)
{
	char id[ID_TEXT];
	STR_COPY(id, img->id);
	try(drop_layers(op, img, dirs, freed, e));
	try(world_del(op->next, NOUN_IMAGE, id, e));
	const char *full = arena_printf(&op->mem, "sha256:%s", id);
	if (!full)
		return err_nomem(e);
	op_event(op, "image", "delete", full, "name", term, NULL);
	return tell_deleted(a, deleted, "Deleted", full, e);
}

/* After the commit: a directory that stays is removed at the next start, because no row names it. */
static void remove_dirs(struct core *c, const struct strv *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		struct err one = {0};
		if (engine_layer_remove(c->engine, dirs->v[i], &one) < 0)
			log_warn("%s: it goes at the next start", one.msg);
	}
}

static int removable(const struct world *w, const struct image *img, const char *term, bool by_id, size_t ntags, bool force, struct err *e)
{
	const struct container *ct = user_of_image(w, img->id, true);
	if (ct)
		return err_as(e, ERR_CONFLICT, "conflict: unable to %s %s (%s) - image is being used by running container %.12s",
			by_id ? "delete" : "remove repository reference", by_id ? img->id : term, "cannot be forced", ct->id);
	if (by_id && ntags > 1 && !force)
		return err_as(e, ERR_CONFLICT, "conflict: unable to delete %.12s (must be forced) - image is referenced in multiple repositories", img->id);
	ct = user_of_image(w, img->id, false);
	if (ct && !force)
		return err_as(e, ERR_CONFLICT, by_id ? "conflict: unable to delete %.12s (must be forced) - image is being used by stopped container %.12s"
						     : "conflict: unable to remove repository reference \"%s\" (must force) - container %.12s is using its referenced image",
			by_id ? img->id : term, ct->id);
	return 0;
}

int op_image_remove(struct core *c, const char *term, bool force, bool noprune, struct arena *a, struct kvs *deleted, struct err *e)
{
	(void)noprune; /* there are no untagged parents here */
	struct strv dirs = {0};
	struct kvs out = {0};
	pthread_rwlock_wrlock(&c->image_lock);
	struct op op = {0};
	const struct image *img = NULL;
	char ref[REF_TEXT];
	size_t ntags = 0;
	int64_t freed = 0;
	int r = op_begin(c, "image remove", &op, e);
	op.durable = true;
	if (r >= 0)
		r = world_find_image(op.next, term, &img, e);
	const struct tag **tags = r >= 0 ? world_tags_of_image(op.next, &op.mem, img->id, &ntags) : NULL;
	bool by_ref = r >= 0 && ref_normalise(term, ref, NULL) >= 0 && world_get(op.next, NOUN_TAG, ref);
	bool last = !by_ref || ntags == 1;
	if (r >= 0 && last)
		r = removable(op.next, img, term, !by_ref, ntags, force, e);
	for (size_t i = 0; r >= 0 && i < ntags; i++) {
		if (!by_ref || streq(tags[i]->thing.key, ref))
			r = untag(&op, tags[i]->thing.key, a, &out, e);
	}
	if (r >= 0 && last && !user_of_image(op.next, img->id, false))
		r = drop_image(&op, img, term, a, &out, &dirs, &freed, e);
	if (r >= 0)
		r = op_commit(&op, e);
	if (r >= 0)
		remove_dirs(c, &dirs);
	op_end(&op);
	pthread_rwlock_unlock(&c->image_lock);
	if (r < 0)
		return r;
	*deleted = out;
	return 0;
}

static bool prune_matches(const struct world *w, const struct image *img, bool all, const struct kvs *labels, int64_t until)
{
	OWN(arena_free) struct arena a = {0};
	size_t ntags = 0;
	(void)world_tags_of_image(w, &a, img->id, &ntags);
	if ((ntags && !all) || (until && img->created > until))
		return false;
	if (user_of_image(w, img->id, false) || user_of_image(w, img->id, true))
		return false;
	for (size_t i = 0; i < labels->n; i++)
		if (kvs_has_term(&img->config.labels, labels->v[i].value) == streq(labels->v[i].key, "label!"))
			return false;
	return true;
}

static int prune_one(struct op *op, const char *id, struct arena *a, struct kvs *deleted, struct strv *dirs, int64_t *freed, struct err *e)
{
	size_t ntags = 0;
	const struct image *img = world_get(op->next, NOUN_IMAGE, id);
	const struct tag **tags = world_tags_of_image(op->next, &op->mem, id, &ntags);
	for (size_t i = 0; i < ntags; i++)
		try(untag(op, tags[i]->thing.key, a, deleted, e));
	return drop_image(op, img, id, a, deleted, dirs, freed, e);
}

int op_image_prune(struct core *c, bool all, const struct kvs *label_filters, int64_t until, struct arena *a, struct kvs *deleted, int64_t *freed, struct err *e)
{
	struct strv dirs = {0}, ids = {0};
	struct kvs out = {0};
	int64_t bytes = 0;
	const struct image *img;
	struct op op = {0};
	pthread_rwlock_wrlock(&c->image_lock);
	int r = op_begin(c, "image prune", &op, e);
	op.durable = true;
	for (size_t i = 0; r >= 0 && (img = world_next(op.next, NOUN_IMAGE, &i));)
		if (prune_matches(op.next, img, all, label_filters, until) && strv_add(&op.mem, &ids, img->id) < 0)
			r = err_nomem(e);
	for (size_t i = 0; r >= 0 && i < ids.n; i++)
		r = prune_one(&op, ids.v[i], a, &out, &dirs, &bytes, e);
	if (r >= 0 && ids.n)
		r = op_commit(&op, e);
	if (r >= 0)
		remove_dirs(c, &dirs);
	op_end(&op);
	pthread_rwlock_unlock(&c->image_lock);
	if (r < 0)
		return r;
	*deleted = out;
	*freed = bytes;
	return 0;
}
