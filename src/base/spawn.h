/* spawn: run a program. Descriptors above 2 are closed in the child except those listed; signals are reset; no shell.
 * Thread safe (vfork-style; the parent's memory is never touched by the child). */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/buf.h"

struct spawn_fd {
	int parent; /* descriptor here */
	int child;  /* its number in the child, >= 0 */
};

struct spawn {
	const char *const *argv; /* argv[0] is looked up in PATH when it has no slash; NULL-terminated */
	const char *const *env;  /* NULL-terminated; NULL = inherit */
	const char *cwd;         /* NULL = stay */
	const struct spawn_fd *fds; /* 0, 1, 2 default to /dev/null when not listed */
	size_t nfds;
	bool new_session;  /* setsid */
	int netns_fd;      /* enter this network namespace first; 0 = none (0 is never a namespace) */
	const char *oom_score_adj; /* NULL = inherit */
	int die_signal;    /* PR_SET_PDEATHSIG; 0 = none */
};

/* Where a program is, as argv[0] is looked up. -ENOENT. */
int spawn_find(const char *name, char out[static PATH_MAX], struct err *e);
/* Starts it. -ENOENT etc. when exec failed (reported, not guessed). */
int spawn_start(const struct spawn *s, pid_t *out, struct err *e);
/* Waits; *status as of waitpid. */
int spawn_wait(pid_t pid, int *status, struct err *e);

/* Runs to completion: feeds `in` to stdin, collects stdout and stderr (each at most `max` bytes; more kills the child, -EFBIG).
 * After timeout_ms (0 = none) the child is killed and the result is -ETIMEDOUT. *status as of waitpid. */
struct spawn_io {
	const void *in;
	size_t in_len;
	struct buf *out; /* may be NULL: discarded */
	struct buf *err; /* may be NULL: discarded */
	size_t max;      /* 0 = LIMIT_CHILD_OUTPUT */
	int timeout_ms;
};
int spawn_run(const struct spawn *s, const struct spawn_io *io, int *status, struct err *e);

/* Forgets ended processes that became our children as orphans (PR_SET_CHILD_SUBREAPER), but none that spawn_start made and none that keep() claims: their
 * status belongs to somebody. An orphan that stays a zombie would keep its pid namespace, and so its container, from ending. */
void spawn_reap_orphans(bool (*keep)(void *arg, pid_t pid), void *arg);
/* The same without a look at every living child: stops, and returns false, at the first ended process that is somebody's. */
bool spawn_reap_first(bool (*keep)(void *arg, pid_t pid), void *arg);
