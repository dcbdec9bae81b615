/* strv, kvs: lists of strings and ordered string maps, both living in an arena. They own nothing. */
#pragma once

#include <string.h>

#include "base/arena.h"

struct strv {
	const char **v;
	size_t n;
};

struct kv {
	const char *key;
	const char *value;
};

struct kvs {
	struct kv *v;
	size_t n;
};

/* Both append amortised (capacity is the next power of two of n) and return -ENOMEM when the arena is out. */
int strv_add(struct arena *a, struct strv *l, const char *s); /* copies s */
int kvs_set(struct arena *a, struct kvs *m, const char *key, const char *value); /* replaces an equal key; copies */
const char *kvs_get(const struct kvs *m, const char *key); /* NULL if absent */
bool kvs_has_term(const struct kvs *m, const char *term); /* "k": the key is there; "k=v": with this value */
bool strv_has(const struct strv *l, const char *s);
struct strv strv_copy(struct arena *a, const struct strv *l); /* deep */
struct kvs kvs_copy(struct arena *a, const struct kvs *m);    /* deep */

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}
/* True for NULL and "". */
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}
static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}
/* Makes s valid UTF-8 in place: every byte that is none becomes '?'. For text of programs and files that goes into JSON. */
void str_make_utf8(char *s);
/* Copies into a fixed array, always NUL-terminated; false if it did not fit (then truncated). */
bool str_copy(char *dst, size_t size, const char *src);
#define STR_COPY(arr, src) str_copy((arr), sizeof(arr), (src))
