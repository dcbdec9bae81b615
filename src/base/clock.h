/* clock, random and text of times: the only sources of time and chance, so that pure code takes them as arguments. */
#pragma once

#include "base/err.h"

int64_t clock_real_ns(void); /* since the epoch */
int64_t clock_mono_ns(void);
#define TIME_TEXT 40
/* RFC 3339 with nanoseconds, UTC, trailing zeros of the fraction cut like Go's RFC3339Nano. 0 = "0001-01-01T00:00:00Z" (Go's zero time). */
const char *time_format(int64_t ns, char out[static TIME_TEXT]);
/* RFC 3339 (any offset), "seconds[.nanos]", or a Go duration before now ("10m", "1h30m"); -EINVAL. */
int time_parse(const char *s, int64_t now_ns, int64_t *out);
#define ID_TEXT 65
void random_bytes(void *p, size_t n);      /* getrandom; aborts when the kernel has none */
void random_id(char out[static ID_TEXT]);  /* 64 hex digits, never all decimal in the first 12 (a short id must not look like a pid) */
