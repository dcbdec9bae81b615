/* mirror: registries that are asked for Docker Hub's images before it is. Pure. */
#pragma once

#include "base/err.h"
#include "base/strv.h"

/* "https://mirror.test:5000", with or without a slash at its end, as `registry-mirrors` names it; kept with one, as Docker shows it. ERR_INVALID in Docker's words. */
int mirror_parse(const char *text, struct arena *a, const char **out, struct err *e);
