/* join: the decision how endpoints join their sandbox: addresses, MAC, interface names. Pure; changes the given fork.
 */
#pragma once

#include "net/ipam.h"

/* Joins all endpoints of the container (its configuration is already in the world): the one of its NetworkMode first,
 * which gets eth0, then by network name. ids: one fresh random id per endpoint, in that order. An interface gets the
 * name that was asked for, else the network's prefix ("eth") with the lowest number that no other has. */
int join_all(struct world *fork, const struct netconf *c, const char *container, char (*ids)[ID_TEXT], size_t nids,
	struct err *e);
/* The reverse: endpoints stay as configuration, addresses and published ports are free again. */
int join_leave_all(struct world *fork, const char *container, struct err *e);
/* Endpoint configuration from a container's spec: one unjoined endpoint a network named in it (default: NetworkMode's
 * network). With Docker's checks and texts (static IP on the default network, aliases, MAC, several endpoints by API
 * version, unknown network ...). Puts them in the fork. */
int join_configure(struct world *fork, const struct container *c, int api_minor, struct err *e);
/* One more network for a container: its configuration with Docker's checks and texts ("endpoint with name c1 already
 * exists in network n1" ...). join_add then joins it, when the container has a sandbox; id: a fresh random one. */
int join_connect(struct world *fork, const struct container *c, const struct network *n,
	const struct endpoint_settings *s, struct err *e);
int join_add(struct world *fork, const char *container, const char *network, const char *id, struct err *e);
/* The reverse of both. Not connected: INTERNAL with Docker's text. */
int join_disconnect(struct world *fork, const struct container *c, const struct network *n, struct err *e);
/* The joined endpoints of a container in the order in which names are searched in their networks: that of the gateway's
 * choice. NULL only when out of memory. */
const struct endpoint **join_order(const struct world *w, struct arena *a, const char *container, size_t *n);
/* The gateway endpoint of a container for a family: by gw_priority, then not internal, both families, the network's
 * name; NULL if none. */
const struct endpoint *join_gateway(const struct world *w, struct arena *a, const char *container, uint8_t family);
