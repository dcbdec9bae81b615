/* err: one error, as a value on the caller's stack. Owns nothing, never logs, any thread.
 * Functions return 0 (or a count) or -errno; the sentence for a human and the kind for the HTTP status travel here.
 * `e` may be NULL everywhere: then only the code is returned. */
#pragma once

#include "base/own.h"

enum err_kind {
	ERR_INTERNAL,        /* 500: nothing that the caller did */
	ERR_INVALID,         /* 400 */
	ERR_UNAUTHORIZED,    /* 401 */
	ERR_FORBIDDEN,       /* 403 */
	ERR_NOT_FOUND,       /* 404 */
	ERR_CONFLICT,        /* 409 */
	ERR_TOO_LARGE,       /* 413 */
	ERR_NOT_MODIFIED,    /* 304 */
	ERR_NOT_IMPLEMENTED, /* 501 */
	ERR_UNAVAILABLE,     /* 503 */
	ERR_KIND_N
};

struct err {
	int code; /* negative errno; 0 = no error */
	enum err_kind kind;
	char msg[2048];
};

/* Sets an ERR_INTERNAL error and returns `code`, which must be negative. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* Sets an error of `kind` and returns the errno that stands for the kind (INVALID -EINVAL, NOT_FOUND -ENOENT, CONFLICT -EEXIST,
 * FORBIDDEN -EPERM, UNAUTHORIZED -EACCES, TOO_LARGE -E2BIG, NOT_MODIFIED -EALREADY, NOT_IMPLEMENTED -ENOSYS, UNAVAILABLE -EBUSY,
 * INTERNAL -EIO). */
int err_as(struct err *e, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);
/* Sets "<what>: <strerror(-code)>" (e.g. err_errno(e, -errno, "open %s", path)) and returns `code`. Kind INTERNAL. */
int err_errno(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* Puts "<context>: " before the present text, keeps code and kind, returns the code. */
int err_ctx(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* The text for out of memory; returns -ENOMEM. */
int err_nomem(struct err *e);
