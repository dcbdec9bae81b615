#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#define BLOCK_MIN 2048

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(max_align_t) char data[];
};

void arena_free(struct arena *a)
{
	for (struct arena_block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){0};
}

/* Blocks double, so that a large arena has few of them. */
static struct arena_block *block_new(struct arena *a, size_t size)
{
	size_t want = a->head ? a->head->size * 2 : BLOCK_MIN - sizeof(struct arena_block);
	if (want > (1u << 20))
		want = 1u << 20;
	if (want < size)
		want = size;
	struct arena_block *b = calloc(1, sizeof(*b) + want);
	if (!b)
		return NULL;
	b->size = want;
	b->next = a->head;
	a->head = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t size, size_t align)
{
	assert(align && (align & (align - 1)) == 0 && align <= _Alignof(max_align_t));
	if (a->bad || size > SIZE_MAX / 2) {
		a->bad = true;
		return NULL;
	}
	struct arena_block *b = a->head;
	size_t at = b ? (b->used + align - 1) & ~(align - 1) : 0;
	if (!b || at > b->size || b->size - at < size) {
		b = block_new(a, size);
		at = 0;
	}
	if (!b) {
		a->bad = true;
		return NULL;
	}
	b->used = at + size;
	a->used += size;
	return b->data + at;
}

void *arena_new_array(struct arena *a, size_t size, size_t align, size_t n)
{
	size_t total;
	if (__builtin_mul_overflow(size, n, &total)) {
		a->bad = true;
		return NULL;
	}
	return arena_alloc(a, total, align);
}

void *arena_grown(struct arena *a, const void *old, size_t n, size_t *cap, size_t size, size_t align)
{
	size_t more = *cap ? *cap * 2 : 16;
	void *v = arena_new_array(a, size, align, more);
	if (!v)
		return NULL;
	if (n)
		memcpy(v, old, n * size);
	*cap = more;
	return v;
}

char *arena_dupn(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1, 1);
	if (p)
		memcpy(p, s, n);
	return p;
}

char *arena_dup(struct arena *a, const char *s)
{
	return s ? arena_dupn(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1, 1);
	if (!p) {
		a->bad = true;
		return NULL;
	}
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
