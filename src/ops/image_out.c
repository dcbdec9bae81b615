/* Images that leave: save and push. What pontoon-image is told of them, and what it tells. */
#include <errno.h>
#include <string.h>

#include "base/ref.h"
#include "ops/happen.h"
#include "ops/image_job.h"

/* The domain and path of a stored reference "repo:tag" or "repo@digest". */
static bool split(const char *stored, struct ref *out)
{
	return ref_parse(stored, out, NULL) >= 0;
}

static bool same_repo(const struct ref *a, const struct ref *b)
{
	return streq(a->domain, b->domain) && streq(a->path, b->path);
}

/* A repository of the same registry that has the layer for sure, because an image with it was pulled from there or pushed to there: the layer need not be sent again. */
static const char *mount_from(const struct world *w, const char *diff_id, const struct ref *to, struct arena *a)
{
	const struct tag *t;
	struct ref r;
	for (size_t i = 0; (t = world_next(w, NOUN_TAG, &i));) {
		if (!tag_is_digest(t->ref) || !split(t->ref, &r) || !streq(r.domain, to->domain) || streq(r.path, to->path))
			continue;
		const struct image *img = world_image(w, t->image);
		if (img && strv_has(&img->diff_ids, diff_id))
			return arena_dup(a, r.path);
	}
	return "";
}

/* to: where it is pushed; NULL for save. */
static int image_json(const struct world *w, const struct image *img, const struct ref *to, struct arena *a, json_t **out, struct err *e)
{
	json_t *layers = json_array();
	for (size_t i = 0; i < img->diff_ids.n; i++) {
		const struct layer *l = world_get(w, NOUN_LAYER, img->diff_ids.v[i]);
		const char *from = l && to ? mount_from(w, l->diff_id, to, a) : "";
		if (!l || !from) {
			json_decref(layers);
			return l ? err_nomem(e) : err_set(e, -ENODATA, "image %.12s lacks its layer %s: remove the image and load it again", img->id, img->diff_ids.v[i]);
		}
		json_array_append_new(layers, json_pack("{s:s, s:s, s:s}", "diff_id", l->diff_id, "dir", l->dir, "from", from));
	}
	*out = json_pack("{s:s, s:s, s:[], s:o}", "id", img->id, "config", img->config_text, "tags", "layers", layers);
	return *out ? 0 : err_nomem(e);
}

/* The row of the image in the list, made when it is not there yet; with one more tag. tag NULL: none. */
static int add_image(const struct world *w, json_t *list, const struct image *img, const char *tag, const struct ref *to, struct arena *a, struct err *e)
{
	size_t i, k;
	json_t *row = NULL, *x, *t;
	json_array_foreach(list, i, x)
		if (streq(json_string_value(json_object_get(x, "id")), img->id))
			row = x;
	if (!row) {
		try(image_json(w, img, to, a, &row, e));
		json_array_append_new(list, row);
	}
	json_t *tags = json_object_get(row, "tags");
	json_array_foreach(tags, k, t)
		if (tag && streq(json_string_value(t), tag))
			return 0;
	if (tag)
		json_array_append_new(tags, json_string(tag));
	return 0;
}

/* All tags of a repository. whole: with the repository's name. */
static int add_repo(const struct world *w, json_t *list, const struct ref *repo, bool whole, const struct ref *to, struct arena *a, struct err *e)
{
	const struct tag *t;
	struct ref r;
	for (size_t i = 0; (t = world_next(w, NOUN_TAG, &i));) {
		const struct image *img = world_image(w, t->image);
		if (img && !tag_is_digest(t->ref) && split(t->ref, &r) && same_repo(&r, repo))
			try(add_image(w, list, img, whole ? t->ref : r.tag, to, a, e));
	}
	return 0;
}

/* --- save --- */

static int add_name(const struct world *w, json_t *list, const char *name, struct arena *a, struct err *e)
{
	const struct image *img;
	struct ref r;
	char full[REF_TEXT];
	size_t before = json_array_size(list);
	bool is_ref = ref_parse(name, &r, NULL) >= 0;
	if (is_ref && !*r.tag && !*r.digest) { /* a repository, if there is one of that name */
		try(add_repo(w, list, &r, true, NULL, a, e));
		if (json_array_size(list) > before)
			return 0;
	}
	try(world_find_image(w, name, &img, e));
	bool tagged = is_ref && *r.tag && !*r.digest && world_get(w, NOUN_TAG, ref_familiar(&r, full));
	return add_image(w, list, img, tagged ? full : NULL, NULL, a, e);
}

static int save_list(struct core *c, const struct strv *names, struct arena *a, json_t **out, struct err *e)
{
	OWN(own_json) json_t *list = json_array();
	int r = 0;
	const struct world *w = core_read(c);
	for (size_t i = 0; r >= 0 && i < names->n; i++)
		r = add_name(w, list, names->v[i], a, e);
	core_read_end(c);
	if (r >= 0)
		*out = json_incref(list);
	return r;
}

int op_image_save_check(struct core *c, const struct strv *names, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *list = NULL;
	return save_list(c, names, a, &list, e);
}

static void tell_saved(struct core *c, const json_t *list)
{
	size_t i;
	json_t *row;
	json_array_foreach(list, i, row)
	{
		const struct image *img = world_image(core_read(c), json_string_value(json_object_get(row, "id")));
		img = img ? thing_ref(img) : NULL;
		core_read_end(c);
		if (img)
			event_of_image(c, img, "save");
		thing_unref((void *)(uintptr_t)img);
	}
}

/* Layers stay while their archives are read. */
int op_image_save(struct core *c, const struct strv *names, int out, const struct image_stream *stream, struct arena *a, struct err *e)
{
	static const char *const argv[] = {"save", NULL};
	OWN(own_json) json_t *list = NULL, *request = json_object(), *result = NULL;
	OWN(own_fd) int layers = -1;
	try(engine_open_layers(c->engine, &layers, e));
	try(save_list(c, names, a, &list, e));
	json_object_set(request, "images", list);
	const struct image_run r = {.verb = "save", .argv = argv, .input = -1, .output = out, .dir = layers, .request = request, .stream = stream, .result = &result};
	try(image_run(c, &r, a, e));
	tell_saved(c, list);
	return 0;
}

/* --- push --- */

static int push_list(struct core *c, const char *reference, struct ref *to, struct arena *a, json_t **out, struct err *e)
{
	OWN(own_json) json_t *list = json_array();
	char text[REF_TEXT];
	try(ref_parse(reference, to, e));
	if (*to->digest)
		return err_as(e, ERR_INVALID, "cannot push a digest reference");
	const struct world *w = core_read(c);
	const struct tag *t = *to->tag ? world_get(w, NOUN_TAG, ref_familiar(to, text)) : NULL;
	const struct image *img = t ? world_image(w, t->image) : NULL;
	int r = img ? add_image(w, list, img, to->tag, to, a, e) : add_repo(w, list, to, false, to, a, e);
	core_read_end(c);
	try(r);
	if (!img && *to->tag && json_array_size(list))
		return err_as(e, ERR_NOT_FOUND, "tag does not exist: %s", ref_familiar(to, text));
	if (!json_array_size(list))
		return err_as(e, ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", ref_repo(to, text));
	*out = json_incref(list);
	return 0;
}

int op_image_push_check(struct core *c, const char *reference, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *list = NULL;
	struct ref to;
	return push_list(c, reference, &to, a, &list, e);
}

/* From now on the images have these digests. */
static int keep_digests(struct core *c, const char *repo, const json_t *images, const json_t *result, struct err *e)
{
	OWN(op_end) struct op op = {0};
	size_t i, k, n;
	json_t *p, *im, *t;
	try(op_begin(c, "push", &op, e));
	op.durable = true;
	json_array_foreach(json_object_get(result, "pushed"), i, p)
	{
		const char *tag = json_string_value(json_object_get(p, "tag")), *digest = json_string_value(json_object_get(p, "digest"));
		if (!tag || !digest || !ref_is_sha256(digest))
			return err_set(e, -EPROTO, "pontoon-image: a manifest without tag or digest");
		const struct image *pushed = NULL;
		json_array_foreach(images, k, im)
		{
			const char *id = json_string_value(json_object_get(im, "id"));
			json_array_foreach(json_object_get(im, "tags"), n, t)
			{
				if (!streq(json_string_value(t), tag) || !world_image(op.next, id))
					continue;
				pushed = world_image(op.next, id);
				struct tag *new = tag_new(arena_printf(&op.mem, "%s@%s", repo, digest), id);
				if (!new)
					return err_nomem(e);
				try(world_put(op.next, new, e));
			}
		}
		const char *full = arena_printf(&op.mem, "%s:%s", repo, tag);
		if (!full)
			return err_nomem(e);
		op_image_event(&op, pushed, "push", full, repo);
	}
	return op_commit(&op, e);
}

int op_image_push(struct core *c, const char *reference, const char *auth, const struct image_stream *stream, struct arena *a, struct err *e)
{
	static const char *const argv[] = {"push", NULL};
	OWN(own_json) json_t *list = NULL, *request = NULL, *result = NULL;
	OWN(own_fd) int layers = -1;
	struct ref to;
	char repo[REF_TEXT];
	try(engine_open_layers(c->engine, &layers, e));
	try(push_list(c, reference, &to, a, &list, e));
	request = image_registry_request(c, ref_repo(&to, repo), auth, c->conf->max_uploads);
	if (!request)
		return err_nomem(e);
	json_object_set(request, "images", list);
	const struct image_run r = {.verb = "push", .argv = argv, .input = -1, .output = -1, .dir = layers, .request = request, .stream = stream, .result = &result};
	try(image_run(c, &r, a, e));
	return keep_digests(c, repo, list, result, e);
}
