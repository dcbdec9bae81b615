/* rtnl: rtnetlink messages, built and read. No socket here: kernel/nl.c sends. Sources: include/uapi/linux/{if_link,rtnetlink,if_addr}.h. */
#pragma once

#include "base/ip.h"
#include "kernel/nl.h"

struct rtnl_link { /* as a dump tells it; strings are copies of at most their size */
	int index, master, mtu, peer;
	bool up, filter, bridged, hairpin; /* filter: of a bridge; the last two: of a bridge's port */
	char name[16], kind[16], alias[256];
	struct mac mac;
	bool has_nsid; /* the peer is in another namespace that still has an id here */
	int nsid;
};
struct rtnl_addr {
	int index;
	struct prefix addr;
	uint8_t scope;
};
struct rtnl_route {
	struct prefix dst;
	struct ip via;
	int index, table, metric;
	uint8_t scope, type, protocol;
};

/* All builders fill `buf` of NL_BUF bytes and return its header; NULL when it does not fit. */
struct nlmsghdr *rtnl_bridge_add(char *buf, const char *name, const struct mac *mac, int mtu, bool filter);
/* Whether what passes from port to port goes through ip(6)tables and the like. */
struct nlmsghdr *rtnl_bridge_filter(char *buf, int index, bool filter);
struct nlmsghdr *rtnl_veth_add(char *buf, const char *name, int master, int mtu, const char *inner, int inner_ns_fd, const struct mac *inner_mac);
/* Changes of a link found by index: only what is not NULL / 0 / -1. */
struct rtnl_link_change {
	int index;
	int up;            /* -1 leave, 0 down, 1 up */
	int mtu;           /* 0 leave */
	const char *alias; /* NULL leave */
	const struct mac *mac;
	int master;        /* -1 leave, 0 none */
};
struct nlmsghdr *rtnl_link_set(char *buf, const struct rtnl_link_change *c);
struct nlmsghdr *rtnl_link_del(char *buf, int index);
/* Bridge port state: 0 disabled, 3 forwarding (include/uapi/linux/if_bridge.h). */
struct nlmsghdr *rtnl_port_state(char *buf, int index, uint8_t state);
struct nlmsghdr *rtnl_port_hairpin(char *buf, int index, bool on); /* what comes in may go out there again */
struct nlmsghdr *rtnl_addr_change(char *buf, bool add, int index, const struct prefix *p, bool nodad);
struct nlmsghdr *rtnl_route_change(char *buf, bool add, bool replace, const struct prefix *dst, const struct ip *via, int index, int metric);
struct nlmsghdr *rtnl_link_get(char *buf, const char *name);
struct nlmsghdr *rtnl_link_dump(char *buf);
struct nlmsghdr *rtnl_addr_dump(char *buf);
struct nlmsghdr *rtnl_route_dump(char *buf, uint8_t family); /* of the main table */

/* Also of what has gone (RTM_DELLINK, RTM_DELADDR). -EPROTO. */
int rtnl_link_read(const struct nlmsghdr *m, struct rtnl_link *out);
int rtnl_addr_read(const struct nlmsghdr *m, struct rtnl_addr *out);
int rtnl_route_read(const struct nlmsghdr *m, struct rtnl_route *out);
