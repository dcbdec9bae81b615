/* arena: memory that lives as long as one operation, request or object. Freed in one call. Not thread safe.
 * Failure is sticky: after the first failed allocation every later one returns NULL and `bad` stays set, so a builder checks once. */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#include "base/own.h"

struct arena_block;
struct arena {
	struct arena_block *head;
	size_t used; /* bytes handed out, for limits and tests */
	bool bad;
};

/* A zeroed struct arena is an empty arena. */
void arena_free(struct arena *a); /* frees all blocks; the arena is empty and usable again */
static inline void own_arena(struct arena *a)
{
	arena_free(a);
}

void *arena_alloc(struct arena *a, size_t size, size_t align); /* zeroed */
/* n zeroed objects of type T; NULL when out of memory or on multiplication overflow */
#define arena_new(a, T, n) ((T *)arena_new_array((a), sizeof(T), _Alignof(T), (n)))
void *arena_new_array(struct arena *a, size_t size, size_t align, size_t n);
/* 0 when the array v of n has room for one more: a full one doubles (v and cap are assigned to); -ENOMEM */
#define arena_room(a, v, n, cap)                                                                       \
	({                                                                                             \
		void *v_ = (n) < (cap) ? (v) : arena_grown((a), (v), (n), &(cap), sizeof(*(v)), _Alignof(typeof(*(v)))); \
		if (v_)                                                                                \
			(v) = v_;                                                                      \
		v_ ? 0 : -ENOMEM;                                                                      \
	})
void *arena_grown(struct arena *a, const void *old, size_t n, size_t *cap, size_t size, size_t align);
char *arena_dup(struct arena *a, const char *s);                  /* NULL stays NULL */
char *arena_dupn(struct arena *a, const char *s, size_t n);       /* n bytes and a NUL */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
