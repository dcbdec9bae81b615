/* base64: RFC 4648, both alphabets. Pure. */
#pragma once

#include "base/arena.h"

/* url: the alphabet with "-" and "_". Padded. NULL when out of memory. */
char *base64_encode(struct arena *a, const void *p, size_t n, bool url);
/* Either alphabet, padded or not, into out of at least n bytes. Their number, or -EINVAL. */
ssize_t base64_bytes(const char *text, size_t n, void *out);
/* The same, of a text. *out is NUL-terminated; its length, or -EINVAL, -ENOMEM. */
ssize_t base64_decode(struct arena *a, const char *text, char **out);
