/* map: hash from string (or byte) keys to pointers, open addressing. Owns neither keys nor values: a key must live as long as its
 * entry (usually it is inside the value). Not thread safe. Iteration order is insertion order while nothing is removed; treat it as unordered. */
#pragma once

#include "base/own.h"
#include <stdbool.h>

struct map_entry {
	const void *key;
	size_t len;
	void *value; /* NULL = free slot */
	uint64_t hash;
};
struct map {
	struct map_entry *slots;
	size_t cap; /* power of two or 0 */
	size_t n;
};

void map_free(struct map *m); /* the table only */
void *map_get(const struct map *m, const void *key, size_t len);
void *map_gets(const struct map *m, const char *key);
/* Inserts or replaces; the key pointer is replaced too. -ENOMEM. */
int map_put(struct map *m, const void *key, size_t len, void *value);
int map_puts(struct map *m, const char *key, void *value);
void *map_del(struct map *m, const void *key, size_t len); /* the value, or NULL */
void *map_dels(struct map *m, const char *key);
/* for (size_t i = 0; (e = map_next(m, &i));) */
struct map_entry *map_next(const struct map *m, size_t *i);
