/* own: ownership by attribute, hand-over by STEAL, and the straight-line try().
 * The cleanup functions run when the variable leaves scope; every one of them accepts an empty value. */
#pragma once

#include <assert.h>
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define OWN(fn)      __attribute__((cleanup(fn)))
#define UNUSED       __attribute__((unused))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MUST_USE     __attribute__((warn_unused_result))

/* Takes the value out of an owned pointer and leaves NULL behind. */
#define STEAL(p)                                                                                                       \
	({                                                                                                             \
		__typeof__(p) *steal_at_ = &(p);                                                                       \
		__typeof__(p) steal_was_ = *steal_at_;                                                                 \
		*steal_at_ = NULL;                                                                                     \
		steal_was_;                                                                                            \
	})
/* The same for a descriptor; leaves -1 behind. */
#define STEAL_FD(fd)                                                                                                   \
	({                                                                                                             \
		int *steal_at_ = &(fd);                                                                                \
		int steal_was_ = *steal_at_;                                                                           \
		*steal_at_ = -1;                                                                                       \
		steal_was_;                                                                                            \
	})

/* Returns from the calling function with the negative errno of a failed call. */
#define try(call)                                                                                                      \
	do {                                                                                                           \
		int try_r_ = (call);                                                                                   \
		if (try_r_ < 0)                                                                                        \
			return try_r_;                                                                                 \
	} while (0)

static inline void own_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* For any pointer from malloc: OWN(own_free) char *s = ...; */
static inline void own_free(void *p)
{
	free(*(void **)p);
}

static inline void own_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void own_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}
