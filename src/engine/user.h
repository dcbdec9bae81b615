/* user: who "user[:group]" is by the image's own files, in Docker's texts. user_lookup is pure. */
#pragma once

#include "engine/engine.h"

struct user_found {
	uint32_t uid, gid;
	uint32_t groups[64];
	size_t ngroups;
	char home[256];
};
int user_resolve(const char *root, const char *spec, const struct strv *extra_groups, struct user_found *out, struct err *e);
/* The parsing alone, of files a container may have written (fuzzed). passwd, group: texts. */
int user_lookup(const char *passwd, const char *group, const char *spec, const struct strv *extra_groups, struct user_found *out, struct err *e);
