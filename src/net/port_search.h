/* port_search: which number of the host is free, for ports that leave it to us. Pure. Ports may come into the world while one lives, but none may go. */
#pragma once

#include "base/map.h"
#include "net/portmap.h"

struct port_search {
	const struct world *w;
	const struct port_facts *facts;
	struct arena *mem;
	struct map taken; /* struct taken: numbers that were found taken, and where it is worth to go on */
};
/* One number of one protocol for all these addresses of the host. */
struct port_ask {
	uint8_t proto;
	const struct ip **hosts;
	size_t n;
};

void port_search_free(struct port_search *s);
bool port_search_may(const struct port_search *s, const struct port_ask *q, unsigned port);
/* The first free one in [from, to]; 0. */
unsigned port_search_in(struct port_search *s, const struct port_ask *q, unsigned from, unsigned to);
/* Of the host's ephemeral ones, after the last that was given out for the first address. */
unsigned port_search_any(struct port_search *s, const struct port_ask *q);
