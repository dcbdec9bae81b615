/* Theory of operation
 *
 * The archive is spooled (spool.h), because what a file is stands in manifest.json or index.json, which may come last.
 * manifest.json is preferred: `docker save` has written it in every version, newer ones beside an OCI layout of the
 * same images. Without it the archive must be an OCI layout: index.json lists images, or indexes of images for several
 * platforms, of which one is chosen.
 *
 * Both ways end in the same list of `want`s: a configuration and the files of its layers. Nothing the archive says
 * about itself is believed: blobs are digested while they are spooled, a configuration's digest is the image's id, and
 * a layer's plain bytes must digest to the diff id that the configuration states. A layer that several images share is
 * read once.
 *
 * Proven by tests/image/test_program.py.
 */
#include "image/load.h"

#include <errno.h>
#include <sys/utsname.h>

#include "image/config.h"
#include "image/layer.h"
#include "image/manifest.h"
#include "image/name.h"
#include "image/spool.h"
#include "image/tar.h"

struct want {               /* one image, as the archive describes it */
	const char *config; /* path */
	struct strv layers; /* paths, bottom first */
	struct strv tags;
	const char *digest; /* that the configuration must have; NULL = any */
};

struct load {
	struct job *job;
	const struct map *have;
	const struct platform *want; /* NULL = any */
	struct spool *spool;
	struct arena arena;
	struct want *wants;
	size_t nwants;
	struct job_image *images;
	size_t nimages;
	struct job_layer *layers;
	size_t nlayers, caplayers;
	struct map done; /* diff id -> the same: verified in this job */
	struct map ids;  /* image id -> struct job_image */
};

static int add_want(struct load *l, const struct want *w, struct err *e)
{
	if (l->nwants == LIMIT_IMAGE_IMAGES)
		return err_as(e, ERR_TOO_LARGE, "the archive has more than %d images", LIMIT_IMAGE_IMAGES);
	l->wants[l->nwants++] = *w;
	return 0;
}

static int plan_saved(struct load *l, struct err *e)
{
	OWN(own_buf) struct buf b = {};
	struct manifest_saved_list list;
	try(spool_load(l->spool, "manifest.json", &b, e));
	try(manifest_read_saved(buf_str(&b), b.len, &l->arena, &list, e));
	for (size_t i = 0; i < list.n; i++) {
		const struct manifest_saved *m = &list.v[i];
		struct want w = {.config = m->config, .layers = m->layers, .tags = m->tags};
		try(add_want(l, &w, e));
	}
	return 0;
}

static int load_blob(struct load *l, const char *digest, struct buf *b, struct err *e)
{
	char path[SPOOL_BLOB];
	return spool_load(l->spool, spool_blob(digest, path), b, e);
}

static int plan_image(struct load *l, const struct manifest_desc *d, const char *tag, struct err *e)
{
	OWN(own_buf) struct buf b = {};
	char path[SPOOL_BLOB];
	struct manifest_image m;
	struct want w = {};

	try(load_blob(l, d->digest, &b, e));
	if (manifest_read_image(buf_str(&b), b.len, &l->arena, &m, e) < 0)
		return err_ctx(e, "%s", d->digest);
	w.config = arena_dup(&l->arena, spool_blob(m.config.digest, path));
	w.digest = m.config.digest;
	if (!w.config || (tag && strv_add(&l->arena, &w.tags, tag) < 0))
		return err_nomem(e);
	for (size_t i = 0; i < m.layers.n; i++)
		if (strv_add(&l->arena, &w.layers, spool_blob(m.layers.v[i].digest, path)) < 0)
			return err_nomem(e);
	return add_want(l, &w, e);
}

static int plan_desc(struct load *l, const struct manifest_desc *d, const char *tag, unsigned depth, struct err *e);

/* An index inside of the index: one image of it, that for this machine. */
static int plan_nested(struct load *l, const struct manifest_desc *d, const char *tag, unsigned depth, struct err *e)
{
	OWN(own_buf) struct buf b = {};
	struct manifest_descs all;
	try(load_blob(l, d->digest, &b, e));
	if (manifest_read_index(buf_str(&b), b.len, &l->arena, &all, e) < 0)
		return err_ctx(e, "%s", d->digest);
	for (size_t i = 0; i < all.n; i++)
		all.v[i].tag = NULL; /* names count in index.json only */
	const struct manifest_desc *pick = manifest_choose(&all, NULL, &l->job->host);
	if (!pick)
		return err_as(e, ERR_INVALID, "no image for platform %s/%s in %s: it has %s", l->job->host.os,
			l->job->host.arch, d->digest, manifest_platforms(&all, &l->arena));
	return plan_desc(l, pick, tag, depth + 1, e);
}

static int plan_desc(struct load *l, const struct manifest_desc *d, const char *tag, unsigned depth, struct err *e)
{
	if (!manifest_is_index(d))
		return plan_image(l, d, tag, e);
	if (depth >= LIMIT_IMAGE_INDEX_DEPTH)
		return err_as(e, ERR_INVALID, "image indexes are nested too deeply");
	return plan_nested(l, d, tag, depth, e);
}

static bool seen_tag(const struct manifest_descs *all, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (all->v[k].tag && streq(all->v[k].tag, all->v[i].tag))
			return true;
	return false;
}

/* index.json: each name once (the best of its platforms); images without a name: all of those that fit. */
static int plan_layout(struct load *l, struct err *e)
{
	OWN(own_buf) struct buf b = {};
	struct manifest_descs all;
	bool skipped = false;

	try(spool_load(l->spool, "index.json", &b, e));
	try(manifest_read_index(buf_str(&b), b.len, &l->arena, &all, e));
	for (size_t i = 0; i < all.n; i++) {
		const struct manifest_desc *d = &all.v[i];
		if (d->attestation || (d->tag && seen_tag(&all, i)))
			continue;
		if (d->tag)
			d = manifest_choose(&all, d->tag, &l->job->host);
		else if (all.n > 1 && *d->platform.os && platform_match(&l->job->host, &d->platform) == 0)
			d = NULL;
		skipped = skipped || !d;
		if (d)
			try(plan_desc(l, d, d->tag, 0, e));
	}
	if (l->nwants == 0 && skipped)
		return err_as(e, ERR_INVALID, "no image for platform %s/%s in the archive: it has %s", l->job->host.os,
			l->job->host.arch, manifest_platforms(&all, &l->arena));
	return 0;
}

static int plan(struct load *l, struct err *e)
{
	l->wants = arena_new(&l->arena, struct want, LIMIT_IMAGE_IMAGES);
	if (!l->wants)
		return err_nomem(e);
	if (spool_has(l->spool, "manifest.json"))
		try(plan_saved(l, e));
	else if (spool_has(l->spool, "index.json"))
		try(plan_layout(l, e));
	else
		return err_as(e, ERR_INVALID,
			"the archive has neither manifest.json nor index.json: it is not a saved image");
	if (l->nwants == 0)
		return err_as(e, ERR_INVALID, "the archive has no image in it");
	return 0;
}

static int add_layer(struct load *l, const struct layer *x, struct err *e)
{
	if (l->nlayers == l->caplayers) {
		size_t cap = l->caplayers ? 2 * l->caplayers : 16;
		struct job_layer *v = arena_new(&l->arena, struct job_layer, cap);
		if (!v)
			return err_nomem(e);
		if (l->nlayers)
			memcpy(v, l->layers, l->nlayers * sizeof(*v));
		l->layers = v;
		l->caplayers = cap;
	}
	struct job_layer n = {arena_dup(&l->arena, x->diff_id), arena_dup(&l->arena, x->dir), x->size};
	if (!n.diff_id || !n.dir)
		return err_nomem(e);
	l->layers[l->nlayers++] = n;
	return 0;
}

/* Reads one layer's file and holds it against the diff id that the configuration states. */
static int take_layer(struct load *l, const char *path, const char *diff_id, struct err *e)
{
	OWN(own_fd) int fd = -1;
	char id[13], q[NAME_QUOTED], name[SPOOL_NAME];
	struct layer x = {};
	struct job_progress p = {.status = "Loading layer", .id = id};

	if (map_gets(&l->done, diff_id))
		return 0;
	snprintf(id, sizeof(id), "%.12s", digest_hex(diff_id));
	try(spool_find(l->spool, path, name, &p.total, e));
	bool keep = !map_gets(l->have, diff_id);
	if (!keep)
		try(spool_open(l->spool, path, &fd, &p.total, e));
	int r = keep ? layer_unpack_file(l->job, spool_dir(l->spool), name, &p, &x, e) : tar_digest(l->job, fd, &p, x.diff_id, e);
	if (r < 0)
		return err_ctx(e, "layer %s", name_quote(path, q));
	if (!streq(x.diff_id, diff_id))
		return err_as(e, ERR_INVALID,
			"layer %s: its content has the digest %s, the image's configuration says %s",
			name_quote(path, q), x.diff_id, diff_id);
	if (map_puts(&l->done, diff_id, (void *)(uintptr_t)diff_id) < 0)
		return err_nomem(e);
	return keep ? add_layer(l, &x, e) : 0;
}

/* The same image under another name gets the name only. */
static int merge_tags(struct load *l, struct job_image *to, const struct strv *tags, struct err *e)
{
	for (size_t i = 0; i < tags->n; i++)
		if (!strv_has(&to->tags, tags->v[i]) && strv_add(&l->arena, &to->tags, tags->v[i]) < 0)
			return err_nomem(e);
	return 0;
}

static int take_image(struct load *l, const struct want *w, struct err *e)
{
	OWN(own_buf) struct buf b = {};
	char id[DIGEST_TEXT], q[NAME_QUOTED], wanted[PLATFORM_TEXT], actual[PLATFORM_TEXT];
	struct config_facts facts;

	try(spool_load(l->spool, w->config, &b, e));
	digest_of(buf_str(&b), b.len, id);
	if (w->digest && !streq(w->digest, id))
		return err_as(
			e, ERR_INVALID, "the image configuration %s has the digest %s", name_quote(w->config, q), id);
	struct job_image *same = map_gets(&l->ids, digest_hex(id));
	if (same)
		return merge_tags(l, same, &w->tags, e);
	try(config_read(buf_str(&b), b.len, &l->arena, &facts, e));
	if (facts.diff_ids.n != w->layers.n)
		return err_as(e, ERR_INVALID,
			"invalid manifest, layers length mismatch: %zu layers, %zu diff ids in the configuration %s",
			w->layers.n, facts.diff_ids.n, name_quote(w->config, q));
	if (l->want && !platform_match(l->want, &facts.platform))
		return err_as(e, ERR_NOT_FOUND, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)", w->tags.n ? w->tags.v[0] : digest_hex(id),
			platform_format(&facts.platform, actual), platform_format(l->want, wanted));
	for (size_t i = 0; i < w->layers.n; i++)
		try(take_layer(l, w->layers.v[i], facts.diff_ids.v[i], e));
	struct job_image *im = &l->images[l->nimages];
	*im = (struct job_image){
		.id = arena_dup(&l->arena, digest_hex(id)),
		.config = arena_dupn(&l->arena, buf_str(&b), b.len),
		.diff_ids = facts.diff_ids,
	};
	if (!im->id || !im->config || map_puts(&l->ids, im->id, im) < 0)
		return err_nomem(e);
	l->nimages++;
	return merge_tags(l, im, &w->tags, e);
}

static int run(struct load *l, struct err *e)
{
	try(spool_read(l->job, &l->spool, e));
	try(plan(l, e));
	l->images = arena_new(&l->arena, struct job_image, l->nwants);
	if (!l->images)
		return err_nomem(e);
	for (size_t i = 0; i < l->nwants; i++)
		try(take_image(l, &l->wants[i], e));
	spool_free(STEAL(l->spool)); /* before the sync: what is gone need not be written */
	struct job_result r = {.images = {l->images, l->nimages}, .layers = {l->layers, l->nlayers}};
	return job_tell_result(l->job, &r, e);
}

int load_run(struct job *j, const struct map *have, const struct platform *want, struct err *e)
{
	struct load l = {.job = j, .have = have, .want = want};
	int r = run(&l, e);
	spool_free(l.spool);
	map_free(&l.done);
	map_free(&l.ids);
	arena_free(&l.arena);
	return r;
}
