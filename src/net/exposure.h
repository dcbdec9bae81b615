/* exposure: every published port in words: from where it can be reached, and which rule says so. Pure. */
#pragma once

#include "net/want.h"

struct exposure { /* strings live in the arena */
	const char *container, *id, *network;
	struct port port;    /* a copy */
	const char *from;    /* "everywhere", "this host", "10.99.0.0/24 at eth0, ..." */
	const char *decider; /* "DOCKER-USER, then filter DOCKER: -d 172.17.0.2/32 ..." */
};

/* In the order of containers' creation. */
int exposure_list(const struct world *w, const struct netconf *c, struct arena *a, struct exposure **out, size_t *n, struct err *e);
