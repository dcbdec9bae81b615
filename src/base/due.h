/* due: a thread that acts when a time has come, soonest first. Entries are the caller's, from malloc(), with a struct due in front; they are freed here. Any thread puts. */
#pragma once

#include "base/err.h"

struct due {
	struct due *next;
	int64_t when; /* clock_mono_ns() */
};
struct due_queue;

/* act runs on the thread, without a lock. True: the entry is put again, with the time that act has set; false: it is freed. `what` names the thread in errors. */
int due_open(const char *what, bool (*act)(void *arg, struct due *d), void *arg, struct due_queue **out, struct err *e);
void due_put(struct due_queue *q, struct due *d); /* after due_stop it waits for nothing but due_free */
/* Takes back the first that `is` it, now the caller's. NULL: none waits; one that act has at the moment does not. */
struct due *due_take(struct due_queue *q, bool (*is)(const void *arg, const struct due *d), const void *arg);
void due_stop(struct due_queue *q);               /* ends the thread; what was due stays undone. Once or more, by one thread; NULL is none */
void due_free(struct due_queue *q);               /* stops it too */
