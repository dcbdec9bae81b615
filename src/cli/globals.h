/* globals: the options before the command, and what the environment says instead: which daemon, and how to trust it. Sets http_host and http_tls. */
#pragma once

#include "base/arena.h"

struct globals {
	const char *tls, *tlsverify; /* as given; NULL */
	bool version, help;
};

/* The index of the first argument that is no option; -1 after a message. */
int globals_read(int argc, char **argv, struct arena *a, struct globals *out);
void globals_usage(void); /* prints them */
