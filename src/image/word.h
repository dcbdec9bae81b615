/* word: words of a Dockerfile instruction: quotes, backslashes and $VARIABLES. Pure. */
#pragma once

#include "base/err.h"
#include "base/strv.h"

/* Splits at white space outside of quotes; quotes and backslashes stay in the words. */
int word_split(struct arena *a, const char *s, struct strv *out, struct err *e);
/* Splits at white space and nothing else. */
int word_fields(struct arena *a, const char *s, struct strv *out, struct err *e);
/* Removes quotes and backslashes, replaces $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word} by values of `env` ("NAME=value" lines).
 * Errors: ERR_INVALID (a quote or brace that does not end, an unsupported ${...} form). */
int word_expand(struct arena *a, const char *s, const struct strv *env, const char **out, struct err *e);
/* The value of NAME in a list of NAME=value lines; NULL when absent. */
const char *word_env(const struct strv *env, const char *name, size_t n);
