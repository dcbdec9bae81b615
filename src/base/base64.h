/* base64: bytes as text (RFC 4648), padded. */
#pragma once

#include "base/arena.h"

char *base64_encode(struct arena *a, const void *p, size_t n); /* NULL when out of memory */
