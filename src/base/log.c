#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 4096

static _Atomic int threshold = LOG_L_INFO;
static const char *const names[] = {"debug", "info", "warning", "error", "fatal"};
static_assert(ARRAY_LEN(names) == LOG_L_N, "names[] is missing a level");

void log_set_level(enum log_level l)
{
	threshold = (int)l;
}

enum log_level log_get_level(void)
{
	return (enum log_level)threshold;
}

int log_level_parse(const char *s, enum log_level *out)
{
	for (int i = 0; i < LOG_L_N; i++) {
		if (strcasecmp(s, names[i]) == 0 || (i == LOG_L_WARN && strcasecmp(s, "warn") == 0)) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Quotes and control characters are escaped: a message can hold what a client sent, and a line must stay one line. */
static size_t quote(char *out, size_t size, const char *s)
{
	size_t n = 0;
	for (; *s && n + 5 < size; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c == '\n') {
			out[n++] = '\\';
			out[n++] = 'n';
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	return n;
}

void log_at(enum log_level l, const char *fmt, ...)
{
	char msg[LINE_MAX_BYTES / 2], line[LINE_MAX_BYTES], when[TIME_TEXT];
	if ((int)l < threshold)
		return;
	int saved = errno;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	size_t n = (size_t)snprintf(line, sizeof(line), "%s level=%s msg=\"", time_format(clock_real_ns(), when), names[l]);
	n += quote(line + n, sizeof(line) - n - 2, msg);
	line[n++] = '"';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		errno = saved; /* nowhere left to complain */
	errno = saved;
}
