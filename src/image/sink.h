/* sink: bytes out to a descriptor, compressed on the way if wanted; knows the digests of both sides. The opposite of source.
 * Errors: -ENOSPC, -EPIPE and the like of the descriptor, as they are. */
#pragma once

#include "image/digest.h"

enum sink_format { SINK_PLAIN, SINK_GZIP, SINK_ZSTD };

struct sink;

/* Writes where fd stands; does not own it. The same bytes in give the same bytes out: no time, no name in a header. */
int sink_open(int fd, enum sink_format format, struct sink **out, struct err *e);
void sink_free(struct sink *s); /* NULL is fine; what was not ended is incomplete */
static inline void own_sink(struct sink **s)
{
	sink_free(*s);
}
int sink_put(struct sink *s, const void *p, size_t n, struct err *e);
int sink_zeros(struct sink *s, uint64_t n, struct err *e);

struct sink_sum {
	char plain[DIGEST_TEXT], packed[DIGEST_TEXT]; /* of what went in and of what came out */
	uint64_t plain_size, packed_size;
};
/* Writes what is held back. sum may be NULL. */
int sink_end(struct sink *s, struct sink_sum *sum, struct err *e);
