/* ulimit: limits of a process, as requests and the daemon's options name them. Pure. */
#pragma once

#include "model/spec.h"

/* A kind that there is, the soft limit within the hard one; -1: none. INVALID with Docker's words. */
int ulimit_check(const struct ulimit *u, struct err *e);
/* "nofile=1024:2048", "nofile=1024": both limits. INVALID. */
int ulimit_parse(const char *s, struct arena *a, struct ulimit *out, struct err *e);
/* The one of this kind, or NULL. */
const struct ulimit *ulimit_find(const struct json_vec *l, const char *name);
