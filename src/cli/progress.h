/* progress: the JSON lines that the daemon tells while it pulls, pushes or loads. On a terminal each layer has a line of its own with a bar; elsewhere what has
 * changed is told in plain lines. */
#pragma once

#include "cli/http.h"

struct progress {
	FILE *out;
	bool quiet;  /* errors only */
	int columns; /* of the terminal; 0 = none */
	void (*aux)(void *arg, const json_t *aux); /* what is told for programs; NULL */
	void *arg;
	/* within */
	struct arena mem;
	struct strv ids; /* lines from the first on */
};

/* out: stdout or stderr. */
void progress_open(struct progress *p, FILE *out, bool quiet);
void progress_close(struct progress *p);
/* One line of the daemon: -EIO with its words when it is an error. What is no JSON is left out. */
int progress_line(struct progress *p, const char *text, size_t len, struct err *e);
/* A whole answer whose head has been read. */
int progress_show(struct progress *p, struct http *h, struct err *e);
/* "[====>     ]  1.2MB/3.4MB" into a. total 0: the number alone. Pure. */
const char *progress_bar(int64_t current, int64_t total, int columns, struct arena *a);
