/* Linear probing; a deletion moves later entries of the run back, so there are no tombstones and lookups never degrade. */
#include "base/map.h"

#include <errno.h>
#include <string.h>

static uint64_t hash_bytes(const void *p, size_t n) /* FNV-1a, then a finishing mix: keys are hex ids and names chosen by people */
{
	const unsigned char *c = p;
	uint64_t h = 14695981039346656037ull;
	for (size_t i = 0; i < n; i++)
		h = (h ^ c[i]) * 1099511628211ull;
	h ^= h >> 32;
	return h * 0x9e3779b97f4a7c15ull;
}

void map_free(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

static struct map_entry *slot(const struct map *m, const void *key, size_t len, uint64_t h)
{
	for (size_t i = h & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_entry *e = &m->slots[i];
		if (!e->value || (e->hash == h && e->len == len && memcmp(e->key, key, len) == 0))
			return e;
	}
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	return m->cap ? slot(m, key, len, hash_bytes(key, len))->value : NULL;
}

void *map_gets(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key));
}

static int grow(struct map *m)
{
	struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n};
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			*slot(&bigger, m->slots[i].key, m->slots[i].len, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, const void *key, size_t len, void *value)
{
	assert(value);
	if ((m->n + 1) * 4 > m->cap * 3 && grow(m) < 0)
		return -ENOMEM;
	uint64_t h = hash_bytes(key, len);
	struct map_entry *e = slot(m, key, len, h);
	m->n += !e->value;
	*e = (struct map_entry){.key = key, .len = len, .value = value, .hash = h};
	return 0;
}

int map_puts(struct map *m, const char *key, void *value)
{
	return map_put(m, key, strlen(key), value);
}

void *map_del(struct map *m, const void *key, size_t len)
{
	if (!m->cap)
		return NULL;
	struct map_entry *e = slot(m, key, len, hash_bytes(key, len));
	void *value = e->value;
	if (!value)
		return NULL;
	size_t mask = m->cap - 1, hole = (size_t)(e - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_entry){0};
	m->n--;
	return value;
}

void *map_dels(struct map *m, const char *key)
{
	return map_del(m, key, strlen(key));
}

struct map_entry *map_next(const struct map *m, size_t *i)
{
	while (*i < m->cap) {
		struct map_entry *e = &m->slots[(*i)++];
		if (e->value)
			return e;
	}
	return NULL;
}
