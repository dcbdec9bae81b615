/* upstream: the resolvers that a container's unknown names are asked of, and how they have behaved. Containers with the same resolvers in the host's namespace share
 * a set and so what is known of it; resolvers in a container's own namespace are its own. Pure: the time is an argument. */
#pragma once

#include <sys/socket.h>

#include "base/map.h"
#include "base/relay_proto.h"

#define UPSTREAMS 3 /* as every resolver library: further ones are not used */

struct upstream {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	bool in_container;
	unsigned fails;     /* queries in a row without an answer in time */
	int64_t down_until; /* ms */
};

struct upstream_set {
	uint64_t serial; /* never used twice: the cache's key */
	unsigned refs, n;
	struct upstream v[UPSTREAMS];
	size_t key_len;
	uint8_t key[];
};

struct upstreams {
	struct map sets;
	uint64_t serial;
};

/* The set of this view, one more reference; NULL = out of memory. 127.0.0.11 itself is left out. */
struct upstream_set *upstreams_get(struct upstreams *us, const struct relay_view *v);
void upstreams_put(struct upstreams *us, struct upstream_set *set); /* NULL is fine */
/* The next to ask among those not yet `tried` (bits): the first that is not down, else the first; -1 = none. host: those of the host's namespace may be asked. */
int upstream_pick(const struct upstream_set *set, unsigned tried, bool host, int64_t now);
void upstream_answered(struct upstream *u);
void upstream_silent(struct upstream *u, int64_t now);
