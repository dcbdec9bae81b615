#include "image/digest.h"

#include <string.h>

void digest_init(struct digest *d)
{
	sha256_init(&d->ctx);
}

void digest_add(struct digest *d, const void *p, size_t n)
{
	sha256_update(&d->ctx, n, p);
}

const char *digest_end(struct digest *d, char out[static DIGEST_TEXT])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[SHA256_DIGEST_SIZE];

	sha256_digest(&d->ctx, sizeof(raw), raw);
	memcpy(out, "sha256:", 7);
	for (size_t i = 0; i < sizeof(raw); i++) {
		out[7 + 2 * i] = hex[raw[i] >> 4];
		out[8 + 2 * i] = hex[raw[i] & 15];
	}
	out[DIGEST_TEXT - 1] = '\0';
	return out;
}

const char *digest_of(const void *p, size_t n, char out[static DIGEST_TEXT])
{
	struct digest d;
	digest_init(&d);
	digest_add(&d, p, n);
	return digest_end(&d, out);
}
