#include "model/image.h"

#include <errno.h>

#include "base/ref.h"

struct rootfs {
	struct strv diff_ids;
};
struct image_row {
	const char *architecture, *variant, *os, *author, *comment, *created, *history;
	struct config config;
	struct rootfs rootfs;
};
static const struct json_field rootfs_table[] = {
	{"diff_ids", J_STRV, offsetof(struct rootfs, diff_ids), 0, NULL, 0}, J_END};
#define R(m) offsetof(struct image_row, m)
static const struct json_field image_table[] = {{"architecture", J_STR, R(architecture), 0, NULL, 0},
	{"variant", J_STR, R(variant), 0, NULL, 0}, {"os", J_STR, R(os), 0, NULL, 0},
	{"author", J_STR, R(author), 0, NULL, 0}, {"comment", J_STR, R(comment), 0, NULL, 0},
	{"created", J_STR, R(created), 0, NULL, 0}, {"history", J_RAW, R(history), 0, NULL, 0},
	{"config", J_OBJ, R(config), 0, config_table, sizeof(struct config)},
	{"rootfs", J_OBJ, R(rootfs), 0, rootfs_table, sizeof(struct rootfs)}, J_END};

static int parse(struct image *img, const char *text, struct err *e)
{
	struct image_row r = {.config = {.stop_timeout = -1}};
	struct arena *a = &img->thing.mem;
	try(json_decode_text(text, strlen(text), image_table, &r, a, e));
	img->config_text = arena_dup(a, text);
	img->architecture = r.architecture;
	img->variant = r.variant;
	img->os = r.os;
	img->author = r.author;
	img->comment = r.comment;
	img->history = r.history;
	img->config = r.config;
	img->config.has_cmd = r.config.cmd.n > 0;
	img->config.has_entrypoint = r.config.entrypoint.n > 0;
	img->diff_ids = r.rootfs.diff_ids;
	for (size_t i = 0; i < img->diff_ids.n; i++)
		if (!ref_is_sha256(img->diff_ids.v[i]))
			return err_as(e, ERR_INVALID, "rootfs.diff_ids: \"%.100s\" is not a SHA-256 digest",
				img->diff_ids.v[i]);
	/* What is no port stays as it is: it can be shown, and nothing else is done with it. */
	for (size_t i = 0; i < img->config.exposed_ports.n; i++)
		(void)spec_port_key(a, img->config.exposed_ports.v[i], &img->config.exposed_ports.v[i], NULL);
	/* Builds that are to be repeatable have Go's zero time. */
	if (!str_empty(r.created) && !str_starts(r.created, "0001-01-01T") &&
		time_parse(r.created, 0, &img->created) < 0)
		return err_as(e, ERR_INVALID, "created: \"%s\" is not a time", r.created);
	if (img->diff_ids.n > LIMIT_LAYERS)
		return err_as(e, ERR_INVALID, "%zu layers: at most %d are supported", img->diff_ids.n, LIMIT_LAYERS);
	return a->bad ? err_nomem(e) : 0;
}

int image_new(const char *id, const char *config_text, struct image **out, struct err *e)
{
	struct image *img = thing_new(NOUN_IMAGE, sizeof(*img));
	if (!img)
		return err_nomem(e);
	STR_COPY(img->id, id);
	img->thing.key = img->id;
	int r = parse(img, config_text, e);
	if (r < 0) {
		thing_unref(img);
		return e ? err_ctx(e, "image configuration %.12s", id) : r;
	}
	*out = img;
	return 0;
}

struct platform image_platform(const struct image *img)
{
	struct platform p = {0};
	STR_COPY(p.os, str_empty(img->os) ? "linux" : img->os);
	STR_COPY(p.arch, img->architecture ? img->architecture : "");
	STR_COPY(p.variant, img->variant ? img->variant : "");
	return p;
}

int image_fits(const struct image *img, const char *term, const struct platform *want, struct err *e)
{
	char wanted[PLATFORM_TEXT], actual[PLATFORM_TEXT];
	const struct platform have = image_platform(img);
	if (platform_match(want, &have))
		return 0;
	return err_as(e, ERR_NOT_FOUND, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)", term, platform_format(&have, actual), platform_format(want, wanted));
}

struct tag *tag_new(const char *ref, const char *image_id)
{
	struct tag *t = thing_new(NOUN_TAG, sizeof(*t));
	if (!t)
		return NULL;
	STR_COPY(t->ref, ref);
	t->thing.key = t->ref;
	STR_COPY(t->image, image_id);
	return t;
}

struct layer *layer_new(const char *diff_id, const char *dir, int64_t size)
{
	struct layer *l = thing_new(NOUN_LAYER, sizeof(*l));
	if (!l)
		return NULL;
	STR_COPY(l->diff_id, diff_id);
	l->thing.key = l->diff_id;
	STR_COPY(l->dir, dir);
	l->size = size;
	return l;
}
