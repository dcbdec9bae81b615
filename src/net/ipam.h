/* ipam: pick subnets and addresses. Pure: reads the world, never changes it, no clock, no randomness. */
#pragma once

#include "net/want.h"

/* A subnet for a new IPv4 network from the default pools, avoiding networks of the world and
 * c->host_routes. INVALID "all predefined address pools have been fully subnetted". */
int ipam_pick_subnet(const struct world *w, const struct netconf *c, struct prefix *out, struct err *e);
/* An address for an endpoint: `hint` when set (error "Address already in use", FORBIDDEN, or INVALID when outside),
 * else the lowest free one of the range, never network, broadcast, gateway or auxiliary. Full: INTERNAL "no available
 * IPv4 addresses on this network's address pools: NAME (ID)". O(log n). */
int ipam_pick_address(const struct world *w, const struct network *n, uint8_t family, const struct ip *hint,
	struct ip *out, struct err *e);
/* Where the containers of a subnet send what is not of it: the auxiliary address DefaultGatewayIPv4 or
 * DefaultGatewayIPv6 (--default-gateway), else the gateway. */
struct ip ipam_default_gateway(const struct subnet *s);
/* docker0's subnet, gateway and range by --bip and --fixed-cidr; INVALID with Docker's texts. Fills n->v4; keeps what
 * it has where they leave it open. */
int ipam_default_bridge(const struct world *w, const struct netconf *c, struct network *n, struct err *e);
