/* tar: entries of a tar, compressed or not, through libarchive (its tar reader alone is enabled). Digests the plain bytes on the way.
 * Errors: ERR_INVALID saying what is wrong and after which entry, ERR_TOO_LARGE beyond the job's budget. */
#pragma once

#include <archive_entry.h>

#include "image/digest.h"
#include "image/job.h"
#include "image/sink.h"

struct tar;

/* Reads fd from where it stands; does not own it. Uses and counts down j->budget. p: what progress lines say, NULL for none. tee: gets all plain bytes too, NULL for
 * none; the caller ends it after tar_end. */
int tar_open(struct job *j, int fd, const struct job_progress *p, struct sink *tee, struct tar **out, struct err *e);
void tar_free(struct tar *t); /* NULL is fine */
static inline void own_tar(struct tar **t)
{
	tar_free(*t);
}
/* The next entry, valid until the next call: 1, or 0 after the last one. *path is its clean name (name_clean), valid as long. */
int tar_next(struct tar *t, struct archive_entry **entry, const char **path, struct err *e);
/* The next bytes of the entry's data and where in the file they belong: their number, or 0 at the end. */
ssize_t tar_data(struct tar *t, const void **p, uint64_t *offset, struct err *e);
/* Copies the entry's data to a new file, with holes where the archive has holes. d (may be NULL) digests it. *size: of the file. */
int tar_copy(struct tar *t, struct archive_entry *entry, int fd, struct digest *d, uint64_t *size, struct err *e);
/* Reads to the very end and gives the digest of all plain bytes. */
int tar_end(struct tar *t, char digest[static DIGEST_TEXT], struct err *e);

/* The digest of everything in fd, decompressed, without looking for a tar in it. */
int tar_digest(struct job *j, int fd, const struct job_progress *p, char digest[static DIGEST_TEXT], struct err *e);
