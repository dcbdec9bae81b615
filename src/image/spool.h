/* spool: the files of a saved archive (docker save, OCI layout), copied into the job's directory so that they can be read in any order.
 * spool_free removes the copies. A blob (blobs/sha256/<hex>) is verified while it is copied. */
#pragma once

#include "base/buf.h"
#include "image/job.h"

struct spool;

/* Reads the whole archive from j->in. Errors as tar_next; ERR_INVALID for a blob whose bytes are not those of its name. */
int spool_read(struct job *j, struct spool **out, struct err *e);
void spool_free(struct spool *s); /* NULL is fine */
static inline void own_spool(struct spool **s)
{
	spool_free(*s);
}
bool spool_has(const struct spool *s, const char *path);
/* A descriptor of the file at `path`, symbolic and hard links in the archive followed. ERR_INVALID: "... is not in the archive". */
int spool_open(const struct spool *s, const char *path, int *fd, uint64_t *size, struct err *e);
/* The same as the name of the copy in the directory that spool_dir is. */
#define SPOOL_NAME 24
int spool_find(const struct spool *s, const char *path, char name[static SPOOL_NAME], uint64_t *size, struct err *e);
int spool_dir(const struct spool *s);
/* All of a small file: at most LIMIT_IMAGE_JSON. */
int spool_load(const struct spool *s, const char *path, struct buf *out, struct err *e);
/* The path of a blob: "sha256:<hex>" -> "blobs/sha256/<hex>". */
#define SPOOL_BLOB 80
const char *spool_blob(const char *digest, char out[static SPOOL_BLOB]);
