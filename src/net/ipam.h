/* ipam: pick subnets and addresses. Pure: reads the world, never changes it, no clock, no randomness. */
#pragma once

#include "net/want.h"

/* A subnet for a new network from the pools of the family: those of --default-address-pool, else Docker's; IPv6: the
 * daemon's own /48 in parts of /64. size: prefix length that was asked for, 0: the pool's. Avoids networks of the world
 * (`except`, an id, aside) and c->host_routes. INVALID "all predefined address pools have been fully subnetted"; "invalid
 * address pool" when no pool can hold that size. -EAGAIN: c->routes_unasked, ask and come again. O(log n) in the number of networks. */
int ipam_pick_subnet(const struct world *w, const struct netconf *c, uint8_t family, int size, const char *except,
	struct prefix *out, struct err *e);
/* Nobody's: network and broadcast address (IPv6: the first one). */
bool ipam_is_edge(const struct subnet *s, const struct ip *a);
/* Never given to a container: those, gateway, auxiliary addresses. */
bool ipam_reserved(const struct subnet *s, const struct ip *a);
/* An address for an endpoint: `hint` when set (error "Address already in use", FORBIDDEN, or INVALID when outside),
 * else the lowest free one of the range, never network, broadcast, gateway or auxiliary. Full: INTERNAL "no available
 * IPv4 addresses on this network's address pools: NAME (ID)". O(log n). */
int ipam_pick_address(const struct world *w, const struct network *n, uint8_t family, const struct ip *hint,
	struct ip *out, struct err *e);
/* Where the containers of a subnet send what is not of it: the auxiliary address DefaultGatewayIPv4 or
 * DefaultGatewayIPv6 (--default-gateway), else the gateway. */
struct ip ipam_default_gateway(const struct subnet *s);
/* May it be the subnet of a bridge? INVALID with Docker's texts: multicast, a part of the IPv6 link-local prefix; and where
 * no host can be: loopback, broadcast, IPv4-mapped. */
int ipam_check_subnet(const struct prefix *p, struct err *e);
/* docker0's subnets, gateways and ranges by --bip and --fixed-cidr, and their likes of IPv6 with --ipv6; INVALID with
 * Docker's texts. Fills n->v4 and n->v6; keeps what they have where the options leave it open. */
int ipam_default_bridge(const struct world *w, const struct netconf *c, struct network *n, struct err *e);
