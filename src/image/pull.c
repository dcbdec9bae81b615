#include "image/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "image/answer.h"
#include "image/config.h"
#include "image/name.h"
#include "image/pull_int.h"

const struct json_field pull_table[] = {
	REQUEST_REGISTRY(struct pull_request, registry),
	{"platform", J_STR, offsetof(struct pull_request, platform)},
	{"all_tags", J_BOOL, offsetof(struct pull_request, all_tags)},
	{"have", J_STRV, offsetof(struct pull_request, have)},
	J_END,
};

int pulling_file(struct pulling *p, char *name, struct err *e)
{
	char n[PULL_NAME];
	snprintf(n, sizeof(n), "blob.%u", p->files++);
	int fd = openat(p->job->dir, n, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, -errno, "create %s", n);
	if (name)
		memcpy(name, n, sizeof(n));
	else
		unlinkat(p->job->dir, n, 0);
	return fd;
}

const char *pulling_url(struct pulling *p, const char *kind, const char *what)
{
	return arena_printf(&p->arena, "/v2/%s/%s/%s", p->pull->ref.path, kind, what);
}

/* A small answer as a whole, with its digest. */
static int get_text(struct pulling *p, const char *url, const char *accept, struct buf *text, char digest[static DIGEST_TEXT], struct outcome *o, struct err *e)
{
	struct errand m = {.method = ERRAND_GET, .url = url, .accept = accept, .type = "", .most = LIMIT_IMAGE_JSON, .resume = false};
	if (!url)
		return err_nomem(e);
	OWN(own_fd) int fd = pulling_file(p, NULL, e);
	try(fd);
	try(registry_call(p->pull->registry, &m, fd, NULL, NULL, &p->arena, o, e));
	if (o->status != 200)
		return 0;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, -errno, "read what the registry sent");
	try(read_fd(fd, LIMIT_IMAGE_JSON, text, e));
	digest_of(buf_str(text), text->len, digest);
	return 0;
}

static const char *familiar(const struct pulling *p, const char *tag, char out[static REF_TEXT])
{
	struct ref r = p->pull->ref;
	if (tag) {
		STR_COPY(r.tag, tag);
		*r.digest = '\0';
	}
	return ref_familiar(&r, out);
}

/* A manifest or index by tag or digest. */
static int get_manifest(struct pulling *p, const char *what, struct buf *text, char digest[static DIGEST_TEXT], struct outcome *o, struct err *e)
{
	char repo[REF_TEXT], ref[REF_TEXT];
	try(get_text(p, pulling_url(p, "manifests", what), MANIFEST_ACCEPT, text, digest, o, e));
	if (o->status != 200)
		return outcome_refused(o, ref_repo(&p->pull->ref, repo), familiar(p, strchr(what, ':') ? NULL : what, ref), e);
	if (strchr(what, ':') && !streq(what, digest))
		return err_as(e, ERR_INVALID, "manifest verification failed for digest %s: its bytes have the digest %s", what, digest);
	return 0;
}

static int choose(struct pulling *p, const struct buf *text, const char *name, const struct manifest_desc **out, struct err *e)
{
	struct manifest_descs all;
	char wanted[PLATFORM_TEXT];
	try(manifest_read_index(buf_str(text), text->len, &p->arena, &all, e));
	for (size_t i = 0; i < all.n; i++)
		all.v[i].tag = NULL;
	const struct manifest_desc *d = manifest_choose(&all, NULL, &p->pull->platform);
	const struct platform *w = &p->pull->platform;
	/* "a single one always fits" is for archives; here somebody may have asked for another one */
	if (!d || (*d->platform.os && platform_match(w, &d->platform) == 0))
		return err_as(e, ERR_NOT_FOUND, "no matching manifest for %s in the manifest list entries of %s: it has %s", platform_format(w, wanted), name, manifest_platforms(&all, &p->arena));
	*out = d;
	return 0;
}

/* The manifest of the image itself, of an index the one for the platform. digest: of what `what` names. */
static int find_image(struct pulling *p, const char *what, struct manifest_image *m, char digest[static DIGEST_TEXT], struct err *e)
{
	char name[REF_TEXT], id[DIGEST_TEXT];
	const struct manifest_desc *d = NULL;
	const char *next = what;
	familiar(p, strchr(what, ':') ? NULL : what, name);
	for (unsigned depth = 0;; depth++) {
		OWN(own_buf) struct buf text = {};
		struct outcome o;
		try(get_manifest(p, next, &text, id, &o, e));
		if (depth == 0)
			memcpy(digest, id, DIGEST_TEXT);
		switch (manifest_kind_of(o.type, buf_str(&text), text.len)) {
		case MANIFEST_IMAGE:
			return manifest_read_image(buf_str(&text), text.len, &p->arena, m, e);
		case MANIFEST_INDEX:
			break;
		case MANIFEST_OLD:
			return err_as(e, ERR_INVALID, "%s has only a manifest of schema 1, which is not supported: push it again with a newer client", name);
		case MANIFEST_UNKNOWN:
			return err_as(e, ERR_INVALID, "what the registry has for %s is not an image (%.100s)", name, *o.type ? o.type : "of no type");
		}
		if (depth >= LIMIT_IMAGE_INDEX_DEPTH)
			return err_as(e, ERR_INVALID, "image indexes are nested too deeply");
		try(choose(p, &text, name, &d, e));
		next = d->digest;
	}
}

static int get_config(struct pulling *p, const struct manifest_image *m, struct buf *text, struct config_facts *facts, struct err *e)
{
	char digest[DIGEST_TEXT];
	struct outcome o;
	try(get_text(p, pulling_url(p, "blobs", m->config.digest), "", text, digest, &o, e));
	if (o.status == 404)
		return err_as(e, ERR_NOT_FOUND, "blob unknown to registry: %s", m->config.digest);
	if (o.status != 200)
		return outcome_refused(&o, p->pull->ref.path, m->config.digest, e);
	if (!streq(digest, m->config.digest))
		return err_as(e, ERR_INVALID, "image config verification failed for digest %s: its bytes have the digest %s", m->config.digest, digest);
	try(config_read(buf_str(text), text->len, &p->arena, facts, e));
	if (facts->diff_ids.n != m->layers.n)
		return err_as(e, ERR_INVALID, "invalid manifest, layers length mismatch: %zu layers, %zu diff ids in the configuration", m->layers.n, facts->diff_ids.n);
	return 0;
}

static int check_platform(const struct pulling *p, const struct config_facts *f, const char *name, struct err *e)
{
	const struct platform *w = &p->pull->platform;
	char wanted[PLATFORM_TEXT], actual[PLATFORM_TEXT];
	if (!p->pull->platform_given || !*f->platform.arch || platform_match(w, &f->platform))
		return 0;
	return err_as(e, ERR_NOT_FOUND, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)", name, platform_format(&f->platform, actual), platform_format(w, wanted));
}

/* The same image under another tag gets the tag only. */
static int add_image(struct pulling *p, const struct job_image *new, const char *tag, const char *digest, struct err *e)
{
	struct job_image *v = p->images.v, *im = NULL;
	for (size_t i = 0; i < p->images.n && !im; i++)
		if (streq(v[i].id, new->id))
			im = &v[i];
	if (!im) {
		im = &v[p->images.n++];
		*im = *new;
	}
	if ((tag && strv_add(&p->arena, &im->tags, tag) < 0) || (!strv_has(&im->digests, digest) && strv_add(&p->arena, &im->digests, digest) < 0))
		return err_nomem(e);
	return 0;
}

static int pull_one(struct pulling *p, const char *what, struct err *e)
{
	OWN(own_buf) struct buf config = {};
	char digest[DIGEST_TEXT], name[REF_TEXT], repo[REF_TEXT];
	struct manifest_image m;
	struct config_facts facts;
	const char *tag = strchr(what, ':') ? NULL : what;

	familiar(p, tag, name);
	try(find_image(p, what, &m, digest, e));
	const char *path = streq(p->pull->ref.domain, "docker.io") ? p->pull->ref.path : ref_repo(&p->pull->ref, repo);
	const struct job_progress from = {.status = arena_printf(&p->arena, "Pulling from %s", path), .id = what};
	if (!from.status)
		return err_nomem(e);
	try(job_line(p->job, &from, -1, e));
	try(get_config(p, &m, &config, &facts, e));
	try(check_platform(p, &facts, name, e));
	try(pulling_layers(p, &m, &facts.diff_ids, e));
	try(job_note(p->job, e, "Digest: %s", digest));
	const struct job_image im = {
		.id = arena_dup(&p->arena, digest_hex(m.config.digest)), .config = arena_dupn(&p->arena, buf_str(&config), config.len), .diff_ids = facts.diff_ids};
	const char *by_digest = arena_printf(&p->arena, "%s@%s", ref_repo(&p->pull->ref, repo), digest);
	if (p->arena.bad)
		return err_nomem(e);
	return add_image(p, &im, tag ? name : NULL, by_digest, e);
}

static int list_tags(struct pulling *p, struct strv *tags, struct err *e)
{
	char next[2048], repo[REF_TEXT];
	const char *url = pulling_url(p, "tags", "list");
	for (unsigned page = 0; url && page < LIMIT_IMAGE_IMAGES; page++) {
		OWN(own_buf) struct buf text = {};
		char digest[DIGEST_TEXT];
		struct outcome o;
		try(get_text(p, url, "", &text, digest, &o, e));
		if (o.status != 200)
			return outcome_refused(&o, ref_repo(&p->pull->ref, repo), repo, e);
		try(answer_tags(buf_str(&text), text.len, &p->arena, tags, e));
		if (!answer_next_link(o.link, next, sizeof(next)))
			return 0;
		url = arena_dup(&p->arena, next);
	}
	return 0;
}

static int pull_all(struct pulling *p, struct err *e)
{
	struct strv what = {};
	const struct ref *r = &p->pull->ref;
	if (p->pull->request->all_tags)
		try(list_tags(p, &what, e));
	else if (strv_add(&p->arena, &what, *r->digest ? r->digest : r->tag) < 0)
		return err_nomem(e);
	p->images.v = arena_new(&p->arena, struct job_image, what.n + 1);
	if (!p->images.v)
		return err_nomem(e);
	for (size_t i = 0; i < what.n; i++)
		try(pull_one(p, what.v[i], e));
	const struct job_result r2 = {.images = p->images, .layers = p->layers};
	return job_tell_result(p->job, &r2, e);
}

int pull_run(struct job *j, const struct pull *pull, struct err *e)
{
	struct pulling p = {.job = j, .pull = pull};
	int r = 0;
	for (size_t i = 0; r >= 0 && i < pull->request->have.n; i++)
		r = map_puts(&p.have, pull->request->have.v[i], (void *)(uintptr_t)pull->request->have.v[i]);
	r = r < 0 ? err_nomem(e) : pull_all(&p, e);
	map_free(&p.have);
	arena_free(&p.arena);
	return r;
}

static json_t *platform_json(const struct platform *p)
{
	json_t *j = json_pack("{s:s, s:s}", "architecture", p->arch, "os", *p->os ? p->os : "linux");
	if (*p->variant)
		json_object_set_new(j, "variant", json_string(p->variant));
	return j;
}

static int platforms_of(struct pulling *p, const struct outcome *o, const struct buf *text, json_t *out, struct err *e)
{
	struct manifest_descs all;
	struct manifest_image m;
	struct config_facts facts;
	OWN(own_buf) struct buf config = {};
	switch (manifest_kind_of(o->type, buf_str(text), text->len)) {
	case MANIFEST_INDEX:
		try(manifest_read_index(buf_str(text), text->len, &p->arena, &all, e));
		for (size_t i = 0; i < all.n; i++)
			if (!all.v[i].attestation)
				json_array_append_new(out, platform_json(&all.v[i].platform));
		return 0;
	case MANIFEST_IMAGE:
		try(manifest_read_image(buf_str(text), text->len, &p->arena, &m, e));
		try(get_config(p, &m, &config, &facts, e));
		json_array_append_new(out, platform_json(&facts.platform));
		return 0;
	case MANIFEST_OLD:
	case MANIFEST_UNKNOWN:
		break;
	}
	return 0;
}

static int describe(struct pulling *p, struct err *e)
{
	OWN(own_buf) struct buf text = {};
	OWN(own_json) json_t *platforms = json_array();
	char digest[DIGEST_TEXT];
	struct outcome o;
	const struct ref *r = &p->pull->ref;
	try(get_manifest(p, *r->digest ? r->digest : r->tag, &text, digest, &o, e));
	try(platforms_of(p, &o, &text, platforms, e));
	OWN(own_json) json_t *j = json_pack("{s:{s:s, s:s, s:I}, s:O}", "Descriptor", "mediaType", o.type, "digest", digest, "size", (json_int_t)text.len, "Platforms", platforms);
	OWN(own_free) char *about = j ? json_text(j) : NULL;
	const struct job_result result = {.about = about};
	return about ? job_tell_result(p->job, &result, e) : err_nomem(e);
}

int pull_describe(struct job *j, const struct pull *pull, struct err *e)
{
	struct pulling p = {.job = j, .pull = pull};
	int r = describe(&p, e);
	arena_free(&p.arena);
	return r;
}

int pull_login(struct job *j, const struct pull *pull, struct err *e)
{
	OWN(own_arena) struct arena a = {};
	struct errand m = {.method = ERRAND_GET, .url = "/v2/", .accept = "", .type = "", .most = 65536};
	struct outcome o;
	const struct job_result nothing = {};
	OWN(own_fd) int fd = job_scratch(j, e);
	try(fd);
	try(registry_send(pull->registry, &m, fd, e));
	int r;
	while ((r = registry_next(pull->registry, -1, &a, &o, e)) >= 0 && !(r > 0 && o.done))
		;
	try(r);
	if (o.unauthorized || o.status == 403)
		return err_as(e, ERR_UNAUTHORIZED, "login attempt to %s failed: %s", pull->ref.domain, *o.error ? o.error : "denied");
	try(outcome_failed(&o, e));
	if (o.status != 200)
		return err_set(e, -EIO, "login attempt to %s failed: it answered with status %lld: is it a registry?", pull->ref.domain, (long long)o.status);
	return job_tell_result(j, &nothing, e);
}
