/* want: the kernel state that a world stands for, unit by unit. Pure: everything else it depends on is in struct
 * netconf. */
#pragma once

#include "model/world.h"
#include "net/kstate.h"

/* A range that is cut into subnets of one size. */
struct pool {
	struct prefix base; /* masked */
	uint8_t size;       /* >= base.len */
};

/* An address of the host, with the subnet that is on-link there. */
struct host_addr {
	struct prefix addr; /* not masked */
	const char *link;
	uint32_t ifindex;
};

/* The daemon's network settings and the facts of the host that decisions depend on. */
struct netconf {
	const char *data_root, *exec_root;
	bool iptables, ip6tables, ip_forward, ip_masq, icc;
	bool userland_proxy; /* what NAT cannot lead to a published port, pontoon-relay does */
	struct ip host_binding; /* --ip: where docker0 publishes; not set: anywhere */
	bool nftables;      /* firewall-backend nftables, else iptables */
	bool direct_routing;     /* --allow-direct-routing: containers' addresses may be reached from outside */
	bool no_raw;             /* no rules in table raw (DOCKER_INSECURE_NO_IPTABLES_RAW) */
	bool forward_no_drop;    /* --ip-forward-no-drop */
	const char *accept_mark; /* --bridge-accept-fwmark as iptables prints it, "0x1/0xff"; "" none */
	bool bridge_none;   /* --bridge none: no docker0, no network "bridge" */
	const char *bridge; /* device of the default bridge, "docker0" */
	struct prefix bip;  /* --bip; family 0: from the pool */
	struct prefix fixed_cidr;
	struct ip default_gateway;
	bool ipv6; /* docker0 has IPv6; bip6 and the others by the same rules as those of IPv4 */
	struct prefix bip6, fixed_cidr6;
	struct ip default_gateway6;
	int mtu;                                  /* --mtu of docker0; 0 = 1500 */
	bool policy_drop, policy_drop6;           /* we switched forwarding on in this boot: FORWARD policy is DROP */
	struct strv dns, dns_search, dns_options; /* daemon defaults */
	struct strv host_gateway_ips;
	const char *hostname;    /* of the host */
	const char *host_resolv; /* text of the host's resolv.conf that applies ("" = none) */
	struct kvs host_zones;   /* the links that it names behind a "%", and their numbers */
	const char *host_hosts;  /* text of the host's /etc/hosts */
	const char *host_resolv_path;
	const struct pool *pools; /* --default-address-pool; none: Docker's */
	size_t npools;
	struct prefix ula;        /* this daemon's IPv6 /48, of fd00::/8 */
	struct kvs default_opts;  /* --default-network-opt of driver bridge */
	const struct prefix *host_routes; /* on-link IPv4 routes and resolvers: pools avoid them */
	size_t nhost_routes;
	bool routes_unasked; /* they are as many as there are networks: asked for only when a pool must choose */
	enum port_scope publish_scope; /* --publish-scope: where neither container nor network say */
	const struct host_addr *addrs; /* while a port has scope lan or local: those that are not of our networks */
	size_t naddrs;
};

/* Path of a sandbox's namespace: <exec_root>/netns/<12 of the container id>. */
const char *want_netns_path(const struct netconf *c, const char *container, struct arena *a);
/* Path of one of the sandbox's files: <data_root>/containers/<id>/<hosts|hostname|resolv.conf>. */
const char *want_file_path(const struct netconf *c, const char *container, const char *file, struct arena *a);
/* Has a network IPv6? Then the host is to forward it. */
bool want_any_v6(const struct world *w);
/* True if the container has a network namespace of its own (not host, not container:). */
bool want_has_sandbox(const struct container *c);

/* The container's resolv.conf, a K_FILE; nothing for one that lives in another's namespace. */
int want_resolv(const struct world *w, const struct netconf *c, const struct container *ct, struct kstate *out, struct err *e);
/* Appends the objects of one unit as of this world (none if the unit is not in it: an unjoined endpoint wants nothing).
 */
int want_unit(const struct world *w, const struct netconf *c, const struct unit *u, struct kstate *out, struct err *e);
/* All units. */
int want_all(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e);
/* The units that the fork's changes touch (each once): a changed endpoint: its sandbox, all endpoints of that sandbox,
 * and nothing else. */
int want_touched(const struct world *fork, struct arena *a, struct unit **out, size_t *n, struct err *e);
