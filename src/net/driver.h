/* driver: one row a kind of network. Three pure functions: it describes, it never acts. A new driver is one file and
 * one row of driver.c. */
#pragma once

#include "net/want.h"

struct driver {
	const char *name;
	/* Judges and completes a new network (addresses are already chosen): Docker's texts for bad options. */
	int (*check)(const struct network *n, struct err *e);
	int (*want_network)(const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out,
		struct err *e);
	int (*want_endpoint)(const struct world *w, const struct netconf *c, const struct endpoint *ep,
		struct kstate *out, struct err *e);
};
/* How often a new endpoint's addresses are announced on its network, and with which pause between. */
int network_announcements(const struct network *n, int *pause_ms);
#define ENDPOINT_SYSCTLS "com.docker.network.endpoint.sysctls"
/* The next of "net.ipv4.conf.IFNAME.x=v,...": its path below /proc/sys for that interface, and its value, in the arena. 1: there is one, 0: the end; INVALID with
 * Docker's text for what is not of that form. */
int endpoint_next_sysctl(const char **s, const char *ifname, struct arena *a, const char **path, const char **value, struct err *e);
const struct driver *driver_of(enum driver_kind k);
extern const struct driver driver_bridge, driver_host, driver_null;
