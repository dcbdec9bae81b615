/* oom: lets the k-th allocation of this program's own code fail. The test links with
 * --wrap=malloc,--wrap=calloc,--wrap=realloc, so the code below test calls these; jansson is told to use them as well.
 */
#pragma once

#include <jansson.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static unsigned oom_after; /* 0: off; 1: the next one fails */
static unsigned oom_failed;

static bool oom_now(void)
{
	if (!oom_after || --oom_after)
		return false;
	oom_failed++;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return oom_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return oom_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return oom_now() ? NULL : __real_realloc(p, n);
}

/* Call once before the first use of jansson. */
static inline void oom_setup(void)
{
	json_set_alloc_funcs(malloc, free);
}
