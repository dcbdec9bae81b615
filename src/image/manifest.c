#include "image/manifest.h"

#include "base/ref.h"

#define INDEX_DOCKER "application/vnd.docker.distribution.manifest.list.v2+json"
#define MANIFEST_SCHEMA1 "application/vnd.docker.distribution.manifest.v1"
#define NAME_FULL "io.containerd.image.name"
#define NAME_REF "org.opencontainers.image.ref.name"
#define REFERENCE "vnd.docker.reference.type"

/* JSON shapes, as written. */
struct saved_json {
	const char *config;
	struct strv tags, layers;
};

static const struct json_field saved_table[] = {
	{"Config", J_STR, offsetof(struct saved_json, config)},
	{"RepoTags", J_STRV, offsetof(struct saved_json, tags)},
	{"Layers", J_STRV, offsetof(struct saved_json, layers)},
	J_END,
};

struct platform_json {
	const char *os, *architecture, *variant;
};

static const struct json_field platform_table[] = {
	{"os", J_STR, offsetof(struct platform_json, os)},
	{"architecture", J_STR, offsetof(struct platform_json, architecture)},
	{"variant", J_STR, offsetof(struct platform_json, variant)},
	J_END,
};

struct desc_json {
	const char *media_type, *digest;
	int64_t size;
	struct platform_json *platform;
	struct kvs annotations;
};

static const struct json_field desc_table[] = {
	{"mediaType", J_STR, offsetof(struct desc_json, media_type)},
	{"digest", J_STR, offsetof(struct desc_json, digest)},
	{"size", J_I64, offsetof(struct desc_json, size)},
	{"platform", J_OBJP, offsetof(struct desc_json, platform), 0, platform_table, sizeof(struct platform_json)},
	{"annotations", J_KV, offsetof(struct desc_json, annotations)},
	J_END,
};

struct index_json {
	int64_t schema;
	struct json_vec manifests;
};

static const struct json_field index_table[] = {
	{"schemaVersion", J_I64, offsetof(struct index_json, schema)},
	{"manifests", J_OBJV, offsetof(struct index_json, manifests), 0, desc_table, sizeof(struct desc_json)},
	J_END,
};

struct image_json {
	int64_t schema;
	struct desc_json *config;
	struct json_vec layers;
};

static const struct json_field image_table[] = {
	{"schemaVersion", J_I64, offsetof(struct image_json, schema)},
	{"config", J_OBJP, offsetof(struct image_json, config), 0, desc_table, sizeof(struct desc_json)},
	{"layers", J_OBJV, offsetof(struct image_json, layers), 0, desc_table, sizeof(struct desc_json)},
	J_END,
};

static int normalise_tag(struct arena *a, const char *s, const char **out, struct err *e)
{
	char text[REF_TEXT];
	if (ref_normalise(s, text, e) < 0)
		return err_ctx(e, "invalid tag \"%.300s\"", s);
	*out = arena_dup(a, text);
	return *out ? 0 : err_nomem(e);
}

static int read_saved(const json_t *j, struct arena *a, struct manifest_saved *out, struct err *e)
{
	struct saved_json s = {.config = ""};
	try(json_decode(j, saved_table, &s, a, e));
	if (str_empty(s.config))
		return err_as(e, ERR_INVALID, "no Config");
	if (s.layers.n > LIMIT_LAYERS)
		return err_as(e, ERR_TOO_LARGE, "the image has %zu layers: at most %d are possible", s.layers.n,
			LIMIT_LAYERS);
	for (size_t i = 0; i < s.tags.n; i++) {
		const char *tag = NULL;
		try(normalise_tag(a, s.tags.v[i], &tag, e));
		if (!strv_has(&out->tags, tag) && strv_add(a, &out->tags, tag) < 0)
			return err_nomem(e);
	}
	out->config = s.config;
	out->layers = s.layers;
	return 0;
}

int manifest_read_saved(const char *text, size_t len, struct arena *a, struct manifest_saved_list *out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	if (json_parse(text, len, &j, e) < 0)
		return err_ctx(e, "manifest.json");
	if (!json_is_array(j))
		return err_as(e, ERR_INVALID, "manifest.json: expected a list of images");
	size_t n = json_array_size(j);
	if (n > LIMIT_IMAGE_IMAGES)
		return err_as(
			e, ERR_TOO_LARGE, "manifest.json: %zu images, at most %d are read", n, LIMIT_IMAGE_IMAGES);
	struct manifest_saved *v = arena_new(a, struct manifest_saved, n ? n : 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		if (read_saved(json_array_get(j, i), a, &v[i], e) < 0)
			return err_ctx(e, "manifest.json: image %zu", i + 1);
	*out = (struct manifest_saved_list){v, n};
	return 0;
}

/* The annotations' name. A bare tag ("latest", as buildx writes beside the full name) names nothing by itself. */
static int desc_tag(const struct kvs *annotations, struct arena *a, const char **out, struct err *e)
{
	const char *full = kvs_get(annotations, NAME_FULL), *ref = kvs_get(annotations, NAME_REF);
	if (!str_empty(full))
		return normalise_tag(a, full, out, e);
	if (!str_empty(ref) && strpbrk(ref, "/:") && ref_normalise(ref, (char[REF_TEXT]){""}, NULL) == 0)
		return normalise_tag(a, ref, out, e);
	return 0;
}

static int read_desc(const struct desc_json *d, struct arena *a, struct manifest_desc *out, struct err *e)
{
	struct manifest_desc r = {
		.media_type = d->media_type ? d->media_type : "", .digest = d->digest, .size = d->size};
	if (!d->digest || !ref_is_sha256(d->digest))
		return err_as(e, ERR_INVALID, "\"%.100s\" is not a sha256 digest", d->digest ? d->digest : "");
	if (d->size < 0)
		return err_as(e, ERR_INVALID, "%s: negative size", d->digest);
	if (d->platform && (!str_empty(d->platform->os) || !str_empty(d->platform->architecture))) {
		const struct platform_json *p = d->platform;
		if (!STR_COPY(r.platform.os, p->os ? p->os : "") ||
			!STR_COPY(r.platform.arch, p->architecture ? p->architecture : "") ||
			!STR_COPY(r.platform.variant, p->variant ? p->variant : ""))
			return err_as(e, ERR_INVALID, "%s: a part of the platform is too long", d->digest);
	}
	const char *kind = kvs_get(&d->annotations, REFERENCE);
	r.attestation = (kind && streq(kind, "attestation-manifest")) || streq(r.platform.os, "unknown");
	try(desc_tag(&d->annotations, a, &r.tag, e));
	*out = r;
	return 0;
}

static int read_descs(const struct json_vec *in, struct arena *a, struct manifest_descs *out, struct err *e)
{
	const struct desc_json *d = in->v;
	struct manifest_desc *v = arena_new(a, struct manifest_desc, in->n ? in->n : 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < in->n; i++)
		try(read_desc(&d[i], a, &v[i], e));
	*out = (struct manifest_descs){v, in->n};
	return 0;
}

bool manifest_is_index(const struct manifest_desc *d)
{
	return streq(d->media_type, MANIFEST_TYPE_INDEX) || streq(d->media_type, INDEX_DOCKER);
}

const char MANIFEST_ACCEPT[] = MANIFEST_TYPE_INDEX ", " INDEX_DOCKER ", " MANIFEST_TYPE_OCI ", " MANIFEST_TYPE_DOCKER ", " MANIFEST_SCHEMA1 "+prettyjws";

enum manifest_kind manifest_kind_of(const char *content_type, const char *text, size_t len)
{
	OWN(own_json) json_t *j = NULL;
	char type[128];
	snprintf(type, sizeof(type), "%.*s", (int)strcspn(content_type, "; \t"), content_type);
	if (str_starts(type, MANIFEST_SCHEMA1))
		return MANIFEST_OLD;
	if (streq(type, MANIFEST_TYPE_INDEX) || streq(type, INDEX_DOCKER))
		return MANIFEST_INDEX;
	if (streq(type, MANIFEST_TYPE_OCI) || streq(type, MANIFEST_TYPE_DOCKER))
		return MANIFEST_IMAGE;
	if (json_parse(text, len, &j, NULL) < 0)
		return MANIFEST_UNKNOWN;
	if (json_integer_value(json_object_get(j, "schemaVersion")) == 1)
		return MANIFEST_OLD;
	if (json_is_array(json_object_get(j, "manifests")))
		return MANIFEST_INDEX;
	return json_is_object(json_object_get(j, "config")) ? MANIFEST_IMAGE : MANIFEST_UNKNOWN;
}

int manifest_read_index(const char *text, size_t len, struct arena *a, struct manifest_descs *out, struct err *e)
{
	struct index_json x = {.schema = 2};
	if (json_decode_text(text, len, index_table, &x, a, e) < 0)
		return err_ctx(e, "image index");
	if (x.schema != 2)
		return err_as(e, ERR_INVALID, "image index: schemaVersion %lld is not supported", (long long)x.schema);
	if (x.manifests.n > LIMIT_IMAGE_IMAGES)
		return err_as(e, ERR_TOO_LARGE, "image index: %zu entries, at most %d are read", x.manifests.n,
			LIMIT_IMAGE_IMAGES);
	if (read_descs(&x.manifests, a, out, e) < 0)
		return err_ctx(e, "image index");
	return 0;
}

static bool same_tag(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

const struct manifest_desc *manifest_choose(
	const struct manifest_descs *all, const char *tag, const struct platform *want)
{
	const struct manifest_desc *best = NULL, *only = NULL;
	int best_score = 0;
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct manifest_desc *d = &all->v[i];
		if (d->attestation || !same_tag(d->tag, tag))
			continue;
		only = d;
		n++;
		/* exact 4, compatible 2, silent 1 */
		int score = *d->platform.os ? 2 * platform_match(want, &d->platform) : 1;
		if (score > best_score) {
			best = d;
			best_score = score;
		}
	}
	return n == 1 ? only : best;
}

const char *manifest_platforms(const struct manifest_descs *all, struct arena *a)
{
	const char *s = "";
	for (size_t i = 0; i < all->n && s && strlen(s) < 500; i++) {
		const struct platform *p = &all->v[i].platform;
		if (*p->os && !all->v[i].attestation)
			s = arena_printf(a, "%s%s%s/%s%s%s", s, *s ? ", " : "", p->os, p->arch, *p->variant ? "/" : "",
				p->variant);
	}
	return str_empty(s) ? "none" : s;
}

int manifest_read_image(const char *text, size_t len, struct arena *a, struct manifest_image *out, struct err *e)
{
	struct image_json m = {.schema = 2};
	struct manifest_image r = {};
	if (json_decode_text(text, len, image_table, &m, a, e) < 0)
		return err_ctx(e, "image manifest");
	if (m.schema != 2)
		return err_as(
			e, ERR_INVALID, "image manifest: schemaVersion %lld is not supported", (long long)m.schema);
	if (!m.config)
		return err_as(e, ERR_INVALID, "image manifest: no config");
	if (m.layers.n > LIMIT_LAYERS)
		return err_as(e, ERR_TOO_LARGE, "image manifest: %zu layers, at most %d are possible", m.layers.n,
			LIMIT_LAYERS);
	if (read_desc(m.config, a, &r.config, e) < 0 || read_descs(&m.layers, a, &r.layers, e) < 0)
		return err_ctx(e, "image manifest");
	if (!streq(r.config.media_type, MANIFEST_CONFIG_OCI) && !streq(r.config.media_type, MANIFEST_CONFIG_DOCKER))
		return err_as(e, ERR_INVALID, "image manifest: its config is \"%.100s\": not a container image",
			r.config.media_type);
	*out = r;
	return 0;
}
