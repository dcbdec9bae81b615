/* buf: a growing run of bytes with a sticky error. Text builders write freely and test `bad` once.
 * buf.data is always NUL-terminated after the last byte when not NULL. Owns its memory: buf_free. */
#pragma once

#include "base/err.h"
#include "base/strv.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max; /* 0 = no limit; beyond it `bad` is set and nothing is written */
	bool bad;
};

void buf_free(struct buf *b);
static inline void own_buf(struct buf *b)
{
	buf_free(b);
}
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_drop(struct buf *b, size_t n); /* removes the first n bytes */
char *buf_steal(struct buf *b);         /* the malloc'd text ("" never NULL unless bad); the buf is empty after */
const char *buf_str(const struct buf *b); /* "" when empty */
