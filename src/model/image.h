/* image, tag, layer: what pontoon-image made, as the store knows it. */
#pragma once

#include <string.h>

#include "base/platform.h"
#include "model/spec.h"

struct image {
	struct thing thing; /* key = id */
	char id[ID_TEXT];
	const char *config_text; /* the exact JSON whose SHA-256 is the id */
	/* parsed from it */
	const char *architecture, *variant, *os, *author, *comment;
	int64_t created;
	struct config config;
	struct strv diff_ids; /* "sha256:..." bottom first */
	const char *history;  /* raw JSON array or NULL */
	int64_t size;         /* sum of its layers */
	int64_t stored;       /* when it came here, ns */
};
struct tag { /* key = reference "repo:tag" or "repo@sha256:...", familiar form */
	struct thing thing;
	char ref[THING_KEY];
	char image[ID_TEXT];
};
/* "repo@sha256:..." and not "repo:tag": an image's digest references are kept among its tags. */
static inline bool tag_is_digest(const char *ref)
{
	return strchr(ref, '@') != NULL;
}
struct layer { /* key = diff id */
	struct thing thing;
	char diff_id[80]; /* "sha256:..." */
	char dir[40];     /* below <data-root>/image/layers */
	int64_t size;
};

struct platform image_platform(const struct image *img);
/* NOT_FOUND when it is for another platform than the one that is meant. term: what the user called it. */
int image_fits(const struct image *img, const char *term, const struct platform *want, struct err *e);
/* Parses config_text (copied); INVALID when it is not an image configuration. */
int image_new(const char *id, const char *config_text, struct image **out, struct err *e);
struct tag *tag_new(const char *ref, const char *image_id);
struct layer *layer_new(const char *diff_id, const char *dir, int64_t size);
