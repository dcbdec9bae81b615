/* platform: os/architecture[/variant], in Go's words as images use them. Pure, but for platform_here. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define PLATFORM_TEXT 52 /* bytes platform_format needs */

struct platform {
	char os[16];
	char arch[16];
	char variant[16]; /* "" = none or any */
};

/* `machine` as of uname(2): "x86_64" -> linux/amd64. An unknown machine keeps its own name. */
struct platform platform_of_machine(const char *machine);
struct platform platform_here(void);
const char *platform_format(const struct platform *p, char out[static PLATFORM_TEXT]);
/* "linux/arm64/v8", "linux/amd64", "arm64" (linux), "linux" (the host's architecture). Only linux: ERR_INVALID. */
int platform_parse(const char *s, const struct platform *host, struct platform *out, struct err *e);
/* How well an image for `have` runs where `want` is wanted: 0 not at all, 1 by a compatible variant, 2 exactly. */
int platform_match(const struct platform *want, const struct platform *have);
