/* digest: SHA-256 as "sha256:<64 hex>". Values; nettle does the work (it picks the CPU's SHA instructions itself). */
#pragma once

#include <nettle/sha2.h>

#include "base/err.h"

#define DIGEST_TEXT 72 /* "sha256:" + 64 + NUL */
#define DIGEST_HEX  (DIGEST_TEXT - 7)

struct digest {
	struct sha256_ctx ctx;
};

void digest_init(struct digest *d);
void digest_add(struct digest *d, const void *p, size_t n);
/* Ends the digest (it starts anew after). Returns out. */
const char *digest_end(struct digest *d, char out[static DIGEST_TEXT]);
const char *digest_of(const void *p, size_t n, char out[static DIGEST_TEXT]);
/* The 64 hex digits of a digest text. */
static inline const char *digest_hex(const char *text)
{
	return text + 7;
}
