/* logline: the lines that conmon writes (k8s-file): "TIME STREAM TAG MESSAGE\n", TIME RFC 3339 with nanoseconds, STREAM stdout or stderr, TAG F (whole) or
 * P (a part: the next line of the stream goes on without a newline). Pure. */
#pragma once

#include "engine/engine.h"

struct logline {
	int64_t time; /* ns */
	int stream;   /* 1 stdout, 2 stderr */
	bool partial;
	const char *text; /* into the line */
	size_t n;
};
struct log_out { /* toward who asked for a log */
	const struct engine_logs *o;
	bool (*put)(void *arg, const void *p, size_t n);
	void *arg;
	bool middle[3]; /* by stream: the line before was a part, so no time stamp is due */
};
/* As asked for: with its time, details and frame. False: the taker wants no more. */
bool log_out_line(struct log_out *r, const struct logline *l);
/* line: without its newline. False: not such a line. */
bool logline_parse(const char *line, size_t n, struct logline *out);
