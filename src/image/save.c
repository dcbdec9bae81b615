#include "image/save.h"

#include <errno.h>

#include "base/map.h"
#include "base/ref.h"
#include "image/manifest.h"
#include "image/sink.h"
#include "image/tar_write.h"

const struct json_field save_table[] = {
	{"images", J_OBJV, offsetof(struct save_request, images), 0, stored_image_table, sizeof(struct stored_image)},
	J_END,
};

#define BLOB_PATH 80
#define BLOBS "blobs/sha256/"

struct saving {
	struct job *job;
	int layers;
	struct tar_writer w;
	struct arena arena;
	struct map written; /* digest -> the same */
	struct map sizes;   /* diff id -> uint64_t */
};

static const char *blob_path(const char *digest, char out[static BLOB_PATH])
{
	snprintf(out, BLOB_PATH, BLOBS "%s", digest_hex(digest));
	return out;
}

/* True the first time. */
static int first(struct saving *s, const char *digest, struct err *e)
{
	if (map_gets(&s->written, digest))
		return 0;
	const char *copy = arena_dup(&s->arena, digest);
	return !copy || map_puts(&s->written, copy, (void *)(uintptr_t)copy) < 0 ? err_nomem(e) : 1;
}

static int put_text(struct saving *s, const char *digest, const char *text, struct err *e)
{
	char path[BLOB_PATH];
	int r = first(s, digest, e);
	return r <= 0 ? r : tar_write_text(&s->w, blob_path(digest, path), text, strlen(text), e);
}

/* A tar says sizes first: the layer is unpacked twice, once to count and verify. */
static int put_layer(struct saving *s, const struct stored_layer *l, struct err *e)
{
	OWN(own_fd) int fd = -1;
	char path[BLOB_PATH];
	uint64_t *size = arena_new(&s->arena, uint64_t, 1), again;
	try(stored_open(s->layers, l, &fd, e));
	int r = first(s, l->diff_id, e);
	if (r <= 0)
		return r;
	if (!size || map_puts(&s->sizes, l->diff_id, size) < 0)
		return err_nomem(e);
	try(stored_plain(s->job, fd, l, NULL, size, e));
	const struct tar_entry t = {.path = blob_path(l->diff_id, path), .mode = S_IFREG | 0644, .size = *size};
	try(tar_write_entry(&s->w, &t, e));
	try(stored_plain(s->job, fd, l, s->w.sink, &again, e));
	return tar_write_skip(&s->w, *size, e);
}

static json_t *desc(const char *type, const char *digest, uint64_t size)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size", (json_int_t)size);
}

/* The image's manifest for the layout, and its row in manifest.json. */
static int put_image(struct saving *s, const struct stored_image *im, json_t *index, json_t *list, struct err *e)
{
	char id[DIGEST_TEXT], digest[DIGEST_TEXT], path[BLOB_PATH];
	const struct stored_layer *l = im->layers.v;
	OWN(own_json) json_t *layers = json_array(), *paths = json_array(), *tags = json_array();
	digest_of(im->config, strlen(im->config), id);
	if (!streq(digest_hex(id), im->id))
		return err_set(e, -EUCLEAN, "the configuration of image %.12s is damaged", im->id);
	try(put_text(s, id, im->config, e));
	for (size_t i = 0; i < im->layers.n; i++) {
		try(put_layer(s, &l[i], e));
		json_array_append_new(layers, desc(MANIFEST_LAYER_TAR, l[i].diff_id, *(uint64_t *)map_gets(&s->sizes, l[i].diff_id)));
		json_array_append_new(paths, json_string(blob_path(l[i].diff_id, path)));
	}
	OWN(own_json) json_t *m = json_pack("{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE_OCI, "config", desc(MANIFEST_CONFIG_OCI, id, strlen(im->config)), "layers", layers);
	OWN(own_free) char *text = m ? json_text(m) : NULL;
	if (!text)
		return err_nomem(e);
	digest_of(text, strlen(text), digest);
	try(put_text(s, digest, text, e));
	for (size_t i = 0; i < im->tags.n || i == 0; i++) {
		json_t *d = desc(MANIFEST_TYPE_OCI, digest, strlen(text));
		const char *tag = i < im->tags.n ? im->tags.v[i] : NULL, *colon = tag ? strrchr(tag, ':') : NULL;
		char full[REF_TEXT + 32];
		struct ref r;
		if (tag && ref_parse(tag, &r, NULL) >= 0) {
			snprintf(full, sizeof(full), "%s/%s:%s", r.domain, r.path, r.tag);
			json_object_set_new(d, "annotations", json_pack("{s:s, s:s}", "io.containerd.image.name", full, "org.opencontainers.image.ref.name", colon ? colon + 1 : ""));
			json_array_append_new(tags, json_string(tag));
		}
		json_array_append_new(index, d);
	}
	json_array_append_new(list, json_pack("{s:s, s:O, s:O}", "Config", blob_path(id, path), "RepoTags", tags, "Layers", paths));
	return 0;
}

static int put_json(struct saving *s, const char *name, const json_t *j, struct err *e)
{
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	return text ? tar_write_text(&s->w, name, text, strlen(text), e) : err_nomem(e);
}

static int save_all(struct saving *s, const struct save_request *q, struct err *e)
{
	OWN(own_json) json_t *index = json_array(), *list = json_array();
	const struct stored_image *im = q->images.v;
	for (size_t i = 0; i < q->images.n; i++)
		try(put_image(s, &im[i], index, list, e));
	OWN(own_json) json_t *top = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE_INDEX, "manifests", index);
	OWN(own_json) json_t *layout = json_pack("{s:s}", "imageLayoutVersion", "1.0.0");
	try(put_json(s, "index.json", top, e));
	try(put_json(s, "manifest.json", list, e));
	try(put_json(s, "oci-layout", layout, e));
	return tar_write_end(&s->w, e);
}

int save_run(struct job *j, const struct save_request *q, int layers, int out, struct err *e)
{
	OWN(own_sink) struct sink *sink = NULL;
	struct saving s = {.job = j, .layers = layers};
	const struct job_result nothing = {};
	try(sink_open(out, SINK_PLAIN, &sink, e));
	s.w = tar_writer_to(sink);
	int r = save_all(&s, q, e);
	map_free(&s.written);
	map_free(&s.sizes);
	arena_free(&s.arena);
	try(r);
	try(sink_end(sink, NULL, e));
	return job_tell_result(j, &nothing, e);
}
