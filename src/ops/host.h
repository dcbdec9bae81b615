/* host: the facts of the host that pure code takes as arguments: name, resolver configuration, routes. Read anew for every operation. */
#pragma once

#include "ops/core.h"

#define HOST_RESOLVED "/run/systemd/resolve/resolv.conf" /* the real list, where /etc/resolv.conf has systemd-resolved's stub alone */

/* The configured netconf with the host's facts of this moment, in the arena. Files that cannot be read count as empty. */
int host_facts(struct core *c, struct arena *a, struct netconf *out, struct err *e);
/* While a port is for some clients only: the addresses of the host that are not of this world's networks. */
int host_addrs(struct core *c, const struct world *w, struct arena *a, struct netconf *conf, struct err *e);
/* Adds what address pools avoid: the host's on-link routes and its resolvers. */
int host_routes(struct core *c, struct arena *a, struct netconf *conf, struct err *e);
/* /proc/sys/kernel/random/boot_id */
int host_boot_id(char out[static 40], struct err *e);
