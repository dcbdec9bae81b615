/* defaults: the networks that exist from the first start: bridge (unless --bridge none), host, none. */
#pragma once

#include "ops/core.h"

/* Makes them, and lets `bridge` follow --bip, --fixed-cidr and --mtu while no container is joined to it. Their ids never change. */
int defaults_networks(struct core *c, struct err *e);
/* Whether FORWARD's policy is ours to set: true when this daemon switched forwarding on in this boot. Decides, and notes it in the store. */
int defaults_forwarding(struct core *c, struct err *e);
