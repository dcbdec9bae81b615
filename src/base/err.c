#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const int kind_errno[] = {
	[ERR_INTERNAL] = -EIO,
	[ERR_INVALID] = -EINVAL,
	[ERR_UNAUTHORIZED] = -EACCES,
	[ERR_FORBIDDEN] = -EPERM,
	[ERR_NOT_FOUND] = -ENOENT,
	[ERR_CONFLICT] = -EEXIST,
	[ERR_TOO_LARGE] = -E2BIG,
	[ERR_NOT_MODIFIED] = -EALREADY,
	[ERR_NOT_IMPLEMENTED] = -ENOSYS,
	[ERR_UNAVAILABLE] = -EBUSY,
};
static_assert(ARRAY_LEN(kind_errno) == ERR_KIND_N, "kind_errno[] is missing a kind");

PRINTF(4, 0) static int fill(struct err *e, int code, enum err_kind kind, const char *fmt, va_list ap)
{
	if (!e)
		return code;
	/* The arguments may point into e->msg: format beside it. */
	char text[sizeof(e->msg)];
	vsnprintf(text, sizeof(text), fmt, ap);
	e->code = code;
	e->kind = kind;
	memcpy(e->msg, text, sizeof(text));
	return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, code, ERR_INTERNAL, fmt, ap);
	va_end(ap);
	return code;
}

int err_as(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, kind_errno[kind], kind, fmt, ap);
	va_end(ap);
	return kind_errno[kind];
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(e, code, ERR_INTERNAL, fmt, ap);
	va_end(ap);
	if (e) {
		char reason[128];
		size_t n = strlen(e->msg);
		snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror_r(-code, reason, sizeof(reason)));
	}
	return code;
}

int err_ctx(struct err *e, const char *fmt, ...)
{
	if (!e)
		return -EIO;
	char text[sizeof(e->msg)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t n = strlen(text);
	snprintf(text + n, sizeof(text) - n, ": %s", e->msg);
	memcpy(e->msg, text, sizeof(text));
	return e->code;
}

int err_nomem(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}
