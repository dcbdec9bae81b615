/* flags: a command's options in one table, parsed as Docker's clients parse them: --name value, --name=value, -n value, -nvalue, grouped short
 * switches, "--" ends them. Everything is kept as text: a list of values per flag. Pure. */
#pragma once

#include "base/err.h"
#include "base/strv.h"

struct flag {
	const char *name;  /* without dashes */
	char short_name;   /* 0: none */
	const char *value; /* what --help calls it ("list", "string", ...); NULL: a switch */
	const char *help;  /* NULL: hidden */
};

struct parsed {
	const struct flag *table;
	size_t n;
	struct strv *values; /* by flag, in order; a switch that is on holds "true" */
	struct strv args;    /* the rest */
	bool help;
};

/* stop_at_first: options end at the first argument (run, exec: what follows is the command's). Errors: INVALID with Docker's words. */
int flags_parse(const struct flag *table, size_t n, char **argv, bool stop_at_first, struct arena *a, struct parsed *out, struct err *e);
const char *flag_get(const struct parsed *p, const char *name); /* the last value or NULL */
bool flag_on(const struct parsed *p, const char *name);
const struct strv *flag_list(const struct parsed *p, const char *name);
