/* units: sizes, durations and truth values as Docker's clients write them. Pure. */
#pragma once

#include "base/arena.h"

const char *units_size(int64_t bytes, struct arena *a);       /* "1.98MB": four significant digits, powers of 1000 */
const char *units_binary(double bytes, struct arena *a);       /* "1.984MiB": powers of 1024 */
const char *units_duration(int64_t seconds, struct arena *a); /* Docker's units.HumanDuration: "Less than a second", "About a minute", "3 hours" */
/* "512", "64m", "1.5g", "2gib": bytes; -EINVAL */
int units_parse_bytes(const char *s, int64_t *out);
/* As Go reads it: 1, t, T, TRUE, true, True and the same of 0; -EINVAL, *out as it was. */
int units_parse_bool(const char *s, bool *out);
