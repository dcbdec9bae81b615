/* layer: one layer's tar becomes a directory for overlayfs. */
#pragma once

#include "image/digest.h"
#include "image/job.h"
#include "image/sink.h"

struct layer {
	char diff_id[DIGEST_TEXT]; /* of the plain tar */
	char dir[JOB_DIR];         /* in the job's directory; "" when not kept */
	int64_t size;
};

/* Reads the tar (compressed or not) from fd into a new directory of the job: diff and, for later, blob: the tar itself. On failure the job is over: job_clear removes
 * what was written. */
int layer_unpack(struct job *j, int fd, const struct job_progress *p, struct layer *out, struct err *e);
/* The same for the file `name` in the directory `dir`, which becomes the blob if it is compressed. */
int layer_unpack_file(struct job *j, int dir, const char *name, const struct job_progress *p, struct layer *out, struct err *e);
/* Writes the tar's entries below the open directory `diff`; what layer_unpack does with a directory it made. tee (may be NULL) gets the plain bytes. */
int layer_unpack_into(struct job *j, int fd, int diff, struct sink *tee, const struct job_progress *p, struct layer *out, struct err *e);
/* Which extended attributes an archive may carry into and out of a layer. */
bool layer_xattr_wanted(const char *name, bool regular);

/* Where in a tree that is in use an archive's entries go. Names that mean something in a layer only (".wh.x") are names here. */
struct layer_place {
	const char *prefix; /* of every path; "" = none */
	bool keep_kinds;    /* a directory is not replaced by anything else, and nothing else by a directory */
	bool own;           /* everything gets this owner */
	uid_t uid;
	gid_t gid;
};
/* Links on the way of the prefix or a name are walked with `root` as their root, also across mounts. */
int layer_extract(struct job *j, int fd, int root, const struct layer_place *place, struct err *e);
