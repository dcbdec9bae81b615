/* thing: what every noun of the world has in common. A thing is immutable once it is in a world: to change one, make a
 * copy
 * (<noun>_copy), change the copy, put that. Reference counted, any thread; its strings live in its own arena.
 * A thing's `spec` (what the user asked for) is shared between copies. */
#pragma once

#include <stdatomic.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/strv.h"

enum noun { NOUN_NETWORK, NOUN_ENDPOINT, NOUN_CONTAINER, NOUN_IMAGE, NOUN_TAG, NOUN_LAYER, NOUN_PORT, NOUN_VOLUME, NOUN_N };

#define THING_KEY 400 /* holds the longest key: a reference "repo:tag" of 255 + 1 + 128 bytes */

struct thing {
	atomic_uint refs;
	enum noun noun;
	struct arena mem;         /* everything the thing points to, except its spec */
	struct thing *spec_owner; /* the reference-counted owner of ->spec, or NULL */
	const char *key;          /* inside the noun's own struct */
};

/* Allocates `size` zeroed bytes whose first member is a struct thing with one reference. NULL when out of memory. */
void *thing_new(enum noun noun, size_t size);
void *thing_ref(const void *t); /* returns the same pointer, writable: only the owner of the sole reference may write */
void thing_unref(void *t);      /* NULL is fine */
