/* network_make: a new network from what the user asked for: parameters of another network and of the daemon, driver
 * options, subnets, gateways; everything judged, with Docker's texts. Pure. */
#pragma once

#include "model/network_spec.h"
#include "net/want.h"

struct network_facts { /* what the decision depends on beside the world */
	const char *id;
	int64_t created;
	bool device_exists; /* the device that the options name is on the host, and Pontoon has not made it */
	bool device_is_bridge;
	const struct host_addr *addrs; /* of the host; who has the gateway's already, the user's device, keeps it */
	size_t naddrs;
};

/* The device's name by com.docker.network.bridge.name, of the request or of what it takes its parameters from; NULL: it
 * gets br-<id>. */
const char *network_make_device(const struct world *w, const struct netconf *c, const struct network_spec *s);
/* The gateways' addresses that the network's device, the user's, has already are noted as the user's. */
void network_make_keep(struct network *n, const struct host_addr *v, size_t count);
/* The caller puts *out into the fork. */
int network_make(const struct world *w, const struct netconf *c, const struct network_spec *s,
	const struct network_facts *f, struct network **out, struct err *e);
