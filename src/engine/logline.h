/* logline: the lines that conmon writes (k8s-file): "TIME STREAM TAG MESSAGE\n", TIME RFC 3339 with nanoseconds, STREAM stdout or stderr, TAG F (whole) or
 * P (a part: the next line of the stream goes on without a newline). Pure. */
#pragma once

#include "base/clock.h"

struct logline {
	int64_t time; /* ns */
	int stream;   /* 1 stdout, 2 stderr */
	bool partial;
	const char *text; /* into the line */
	size_t n;
};
/* line: without its newline. False: not such a line. */
bool logline_parse(const char *line, size_t n, struct logline *out);
