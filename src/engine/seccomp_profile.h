/* seccomp_profile: a system call filter as users write it, in Docker's form, becomes one as runtimes take it: archMap, and the conditions of its rules, are Docker's alone, and a
 * runtime that passes them over allows what was meant for few. */
#pragma once

#include "base/json.h"

#define SECCOMP_PROFILE_MAX (1u << 20)

/* caps: what the container has, as an array. NULL on error: INVALID, with Docker's words where it has any. The caller's to release. */
json_t *seccomp_profile(const json_t *profile, const json_t *caps, struct err *e);
