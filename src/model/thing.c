#include "model/thing.h"

#include <stdlib.h>

void *thing_new(enum noun noun, size_t size)
{
	struct thing *t = calloc(1, size);
	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	t->noun = noun;
	return t;
}

void *thing_ref(const void *p)
{
	struct thing *t = (struct thing *)(uintptr_t)p;
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void thing_unref(void *p)
{
	struct thing *t = p;
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	thing_unref(t->spec_owner);
	arena_free(&t->mem);
	free(t);
}
