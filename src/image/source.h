/* source: a descriptor's bytes, decompressed. Recognises gzip, bzip2, xz and zstd by their first bytes; anything else passes through.
 * Errors: ERR_INVALID for broken or cut compressed data (every checksum the format has is checked), ERR_TOO_LARGE beyond the budget. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct source;

/* Reads fd from where it stands; does not own it. *budget (plain bytes) is counted down while reading and outlives the source. */
int source_open(int fd, uint64_t *budget, struct source **out, struct err *e);
void source_free(struct source *s); /* NULL is fine */
static inline void own_source(struct source **s)
{
	source_free(*s);
}
/* The next plain bytes, valid until the next call. Returns their number, 0 at the end. */
ssize_t source_next(struct source *s, const void **p, struct err *e);
/* Bytes read from the descriptor so far. */
uint64_t source_consumed(const struct source *s);
const char *source_format(const struct source *s); /* "gzip", ...; "none" */
/* Whether the bytes at the beginning of the file are those of a compressed format. */
bool source_is_packed(int fd);
