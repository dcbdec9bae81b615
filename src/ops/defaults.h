/* defaults: the networks that exist from the first start: bridge (unless --bridge none), host, none. */
#pragma once

#include "ops/core.h"

/* Makes them, and lets `bridge` follow --bip, --fixed-cidr, --ipv6 and --mtu while no container is joined to it. A bridge that --bridge names is the user's
 * own: its address says subnet and gateway, and it is left as it is. Their ids never change. */
int defaults_networks(struct core *c, struct err *e);
/* Is the bridge that --bridge names there? INVALID with Docker's text if not, before anything is changed. */
int defaults_check(struct core *c, struct err *e);
/* Whether FORWARD's policy is ours to set: true when this daemon switched forwarding on in this boot. Decides, and notes it in the store. */
int defaults_forwarding(struct core *c, struct err *e);
/* The same for IPv6, whose forwarding is wanted from the first network with IPv6 on, which is in w. Sets conf->policy_drop6. */
int defaults_forwarding6(struct core *c, const struct world *w, struct netconf *conf, struct err *e);
