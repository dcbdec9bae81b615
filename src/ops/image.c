/* Theory of operation
 *
 * pontoon-image unpacks into a place of its own below image/tmp. When it has succeeded, the layer directories are renamed into
 * image/layers and then one store transaction makes layers, images and tags known. A crash between the two leaves directories that no
 * row names: reconcile removes them. Jobs (image_job.c) hold image_lock shared, removal of layers holds it alone, so that a layer that a job counts
 * on (its `have` list) does not go meanwhile. A pull may take long and must not hold up `rmi`: an image goes at once, and its layers, when a job runs, with that
 * job's end (image_sweep). */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/ref.h"
#include "ops/happen.h"
#include "ops/image_job.h"

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
	op_image_event(&op, img, "tag", arena_printf(&op.mem, "sha256:%s", img->id), ref);
	try(world_put(op.next, t, e));
	return op_commit(&op, e);
}

/* Layers that no image has leave the world, their directories are named in `dirs`, their bytes added to *freed. Only while no job runs. */
static int drop_layers(struct op *op, struct strv *dirs, int64_t *freed, struct err *e)
{
	struct map used = {0};
	struct strv gone = {0};
	const struct image *img;
	const struct layer *l;
	int r = 0;
	for (size_t i = 0; r >= 0 && (img = world_next(op->next, NOUN_IMAGE, &i));)
		for (size_t k = 0; r >= 0 && k < img->diff_ids.n; k++)
			r = map_puts(&used, img->diff_ids.v[k], (void *)(uintptr_t)img);
	for (size_t i = 0; r >= 0 && (l = world_next(op->next, NOUN_LAYER, &i));) {
		if (map_gets(&used, l->diff_id))
			continue;
		*freed += l->size;
		r = strv_add(&op->mem, dirs, l->dir);
		if (r >= 0)
			r = strv_add(&op->mem, &gone, l->diff_id);
	}
	map_free(&used);
	for (size_t i = 0; r >= 0 && i < gone.n; i++)
		r = world_del(op->next, NOUN_LAYER, gone.v[i], e);
	return r == -ENOMEM ? err_nomem(e) : r;
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

static int untag(struct op *op, const struct image *img, const char *ref, struct arena *a, struct kvs *deleted, struct err *e)
{
	char key[THING_KEY]; /* ref may go with the tag */
	const char *full = arena_printf(&op->mem, "sha256:%s", img->id);
	STR_COPY(key, ref);
	if (!full)
		return err_nomem(e);
	try(world_del(op->next, NOUN_TAG, key, e));
	op_image_event(op, img, "untag", full, full);
	return tell_deleted(a, deleted, "Untagged", key, e);
}

/* An image without tags leaves the world. */
static int drop_image(struct op *op, const struct image *img, struct arena *a, struct kvs *deleted, struct err *e)
{
	char id[ID_TEXT];
	STR_COPY(id, img->id);
	try(world_del(op->next, NOUN_IMAGE, id, e));
	const char *full = arena_printf(&op->mem, "sha256:%s", id);
	if (!full)
		return err_nomem(e);
	op_image_event(op, NULL, "delete", full, full);
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

/* By name: a used image may lose its last name only by force, and stays. By id: what runs keeps it. */
static int removable(const struct world *w, const struct image *img, const char *ref, bool single, bool force, struct err *e)
{
	const struct container *runs = user_of_image(w, img->id, true), *stopped = user_of_image(w, img->id, false);
	if (ref && !force && (runs || stopped))
		return err_as(e, ERR_CONFLICT, "conflict: unable to remove repository reference \"%s\" (must force) - container %.12s is using its referenced image %.12s", ref,
			runs ? runs->id : stopped->id, img->id);
	if (ref)
		return 0;
	if (runs)
		return err_as(e, ERR_CONFLICT, "conflict: unable to delete %.12s (cannot be forced) - image is being used by running container %.12s", img->id, runs->id);
	if (!single && !force)
		return err_as(e, ERR_CONFLICT, "conflict: unable to delete %.12s (must be forced) - image is referenced in multiple repositories", img->id);
	if (stopped && !force)
		return err_as(e, ERR_CONFLICT, "conflict: unable to delete %.12s (must be forced) - image is being used by stopped container %.12s", img->id, stopped->id);
	return 0;
}

/* The length of the repository's name in "repo:tag" and "repo@digest". */
static size_t repo_length(const char *ref)
{
	const char *at = strchr(ref, '@'), *slash = strrchr(ref, '/'), *colon = strrchr(slash ? slash : ref, ':');
	return at ? (size_t)(at - ref) : colon ? (size_t)(colon - ref) : strlen(ref);
}

static bool same_repo(const char *a, const char *b)
{
	return repo_length(a) == repo_length(b) && strncmp(a, b, repo_length(a)) == 0;
}

/* At most one tag, and all in one repository. */
static bool is_single(const struct tag *const *tags, size_t n)
{
	size_t named = 0;
	for (size_t i = 0; i < n; i++) {
		named += !tag_is_digest(tags[i]->ref);
		if (!same_repo(tags[0]->ref, tags[i]->ref))
			return false;
	}
	return named <= 1;
}

/* What goes with the reference: itself, and with a repository's last tag the digests of the repository. ref NULL: all. */
static bool goes(const struct tag *const *tags, size_t n, size_t i, const char *ref)
{
	if (!ref || streq(tags[i]->ref, ref))
		return true;
	if (!tag_is_digest(tags[i]->ref) || tag_is_digest(ref) || !same_repo(tags[i]->ref, ref))
		return false;
	for (size_t k = 0; k < n; k++)
		if (!tag_is_digest(tags[k]->ref) && !streq(tags[k]->ref, ref) && same_repo(tags[k]->ref, ref))
			return false;
	return true;
}

static int remove_image(struct op *op, const char *term, bool force, struct arena *a, struct kvs *out, struct err *e)
{
	const struct image *img = NULL;
	char text[REF_TEXT];
	size_t n = 0, going = 0;
	try(world_find_image(op->next, term, &img, e));
	const struct tag **tags = world_tags_of_image(op->next, &op->mem, img->id, &n);
	const char *ref = ref_normalise(term, text, NULL) >= 0 && world_get(op->next, NOUN_TAG, text) ? text : NULL;
	bool *go = arena_new(&op->mem, bool, n + 1);
	if (!tags || !go)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		going += go[i] = goes(tags, n, i, ref);
	if (going == n)
		try(removable(op->next, img, ref ? term : NULL, is_single(tags, n), force, e));
	for (size_t i = 0; i < n; i++)
		if (go[i])
			try(untag(op, img, tags[i]->thing.key, a, out, e));
	bool used = user_of_image(op->next, img->id, false) || user_of_image(op->next, img->id, true);
	return going == n && !used ? drop_image(op, img, a, out, e) : 0;
}

/* The images that change() takes go, and with them the layers that no other has. freed may be NULL. */
static int remove_with_layers(struct core *c, const char *verb, int (*change)(void *arg, struct op *op, struct err *e), void *arg, int64_t *freed, struct err *e)
{
	struct op op = {0};
	struct strv dirs = {0};
	int64_t bytes = 0;
	bool alone = pthread_rwlock_trywrlock(&c->image_lock) == 0;
	int r = op_begin(c, verb, &op, e);
	op.durable = true;
	if (r >= 0)
		r = change(arg, &op, e);
	if (r >= 0 && alone)
		r = drop_layers(&op, &dirs, &bytes, e);
	if (r >= 0)
		r = op_commit(&op, e);
	if (r >= 0)
		remove_dirs(c, &dirs);
	op_end(&op);
	if (alone)
		pthread_rwlock_unlock(&c->image_lock);
	if (r >= 0 && freed)
		*freed = bytes;
	return r;
}

static int nothing(void *arg, struct op *op, struct err *e)
{
	(void)arg, (void)op, (void)e;
	return 0;
}

static bool has_spare_layers(struct core *c)
{
	struct map used = {0};
	const struct image *img;
	const struct layer *l;
	bool spare = false;
	const struct world *w = core_read(c);
	for (size_t i = 0; (img = world_next(w, NOUN_IMAGE, &i));)
		for (size_t k = 0; k < img->diff_ids.n; k++)
			if (map_puts(&used, img->diff_ids.v[k], (void *)(uintptr_t)img) < 0)
				goto out;
	for (size_t i = 0; !spare && (l = world_next(w, NOUN_LAYER, &i));)
		spare = !map_gets(&used, l->diff_id);
out:
	core_read_end(c);
	map_free(&used);
	return spare;
}

void image_sweep(struct core *c)
{
	struct err e = {0};
	if (has_spare_layers(c) && remove_with_layers(c, "remove layers", nothing, NULL, NULL, &e) < 0)
		log_warn("layers that no image has: %s", e.msg);
}

struct removal {
	const char *term;
	bool force;
	struct arena *a;
	struct kvs out;
};

static int change_remove(void *arg, struct op *op, struct err *e)
{
	struct removal *r = arg;
	return remove_image(op, r->term, r->force, r->a, &r->out, e);
}

int op_image_remove(struct core *c, const char *term, bool force, bool noprune, struct arena *a, struct kvs *deleted, struct err *e)
{
	(void)noprune; /* there are no untagged parents here */
	struct removal r = {.term = term, .force = force, .a = a};
	try(remove_with_layers(c, "image remove", change_remove, &r, NULL, e));
	*deleted = r.out;
	return 0;
}

static bool prune_matches(const struct world *w, const struct image *img, bool all, const struct kvs *labels, int64_t until)
{
	OWN(arena_free) struct arena a = {0};
	size_t ntags = 0;
	const struct tag **tags = world_tags_of_image(w, &a, img->id, &ntags);
	bool named = false;
	for (size_t i = 0; tags && i < ntags; i++)
		named |= !tag_is_digest(tags[i]->ref);
	if ((named && !all) || (until && img->created > until))
		return false;
	if (user_of_image(w, img->id, false) || user_of_image(w, img->id, true))
		return false;
	for (size_t i = 0; i < labels->n; i++)
		if (kvs_has_term(&img->config.labels, labels->v[i].value) == streq(labels->v[i].key, "label!"))
			return false;
	return true;
}

static int prune_one(struct op *op, const char *id, struct arena *a, struct kvs *deleted, struct err *e)
{
	size_t ntags = 0;
	const struct image *img = world_get(op->next, NOUN_IMAGE, id);
	const struct tag **tags = world_tags_of_image(op->next, &op->mem, id, &ntags);
	for (size_t i = 0; i < ntags; i++)
		try(untag(op, img, tags[i]->thing.key, a, deleted, e));
	return drop_image(op, img, a, deleted, e);
}

struct pruning {
	bool all;
	const struct kvs *labels;
	int64_t until;
	struct arena *a;
	struct kvs out;
};

static int change_prune(void *arg, struct op *op, struct err *e)
{
	struct pruning *p = arg;
	struct strv ids = {0};
	const struct image *img;
	for (size_t i = 0; (img = world_next(op->next, NOUN_IMAGE, &i));)
		if (prune_matches(op->next, img, p->all, p->labels, p->until) && strv_add(&op->mem, &ids, img->id) < 0)
			return err_nomem(e);
	for (size_t i = 0; i < ids.n; i++)
		try(prune_one(op, ids.v[i], p->a, &p->out, e));
	return 0;
}

int op_image_prune(struct core *c, bool all, const struct kvs *label_filters, int64_t until, struct arena *a, struct kvs *deleted, int64_t *freed, struct err *e)
{
	struct pruning p = {.all = all, .labels = label_filters, .until = until, .a = a};
	try(remove_with_layers(c, "image prune", change_prune, &p, freed, e));
	*deleted = p.out;
	event_of_prune(c, "image", *freed);
	return 0;
}
