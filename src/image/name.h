/* name: file names from an archive. Hostile text in, a safe relative path out. Pure. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/limits.h"

#define NAME_QUOTED 400
#define NAME_PATH   (LIMIT_IMAGE_PATH + 1)

/* The text between quotes, unprintable bytes as \xNN, cut with "..." when long: for messages. Returns out. */
const char *name_quote(const char *s, char out[static NAME_QUOTED]);

/* "./a//b/" -> "a/b", "/a" -> "a", "." -> "". Errors (ERR_INVALID, naming the name): "..", a part over 255 bytes, a whole over LIMIT_IMAGE_PATH,
 * more than LIMIT_IMAGE_DEPTH parts, no text at all. */
int name_clean(const char *s, char out[static NAME_PATH], struct err *e);

/* What a base name means in a layer (OCI image specification, "whiteouts"). */
enum name_kind {
	NAME_PLAIN,
	NAME_WHITEOUT, /* ".wh.NAME": NAME is gone */
	NAME_OPAQUE,   /* ".wh..wh..opq": the directory hides what is below it */
	NAME_IGNORED,  /* other ".wh..wh.": bookkeeping of aufs */
};
/* `path` is clean. For NAME_WHITEOUT *hidden is the NAME within path. ERR_INVALID for a whiteout of nothing, "." or ".." and for a directory named .wh.* */
int name_classify(const char *path, enum name_kind *kind, const char **hidden, struct err *e);

/* Resolves a symbolic link found at `at` (clean) in an archive of files: "x/layer.tar" + "../y/layer.tar" -> "y/layer.tar".
 * ERR_INVALID when it leads out. */
int name_resolve(const char *at, const char *target, char out[static NAME_PATH], struct err *e);
