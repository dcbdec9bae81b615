/* takedown: Pontoon's network goes, while no daemon runs: the difference from what is there to nothing. The store stays, and the next start makes all of it again. */
#pragma once

#include "ops/core.h"

/* Bridges and firewall rules that are Pontoon's, of either backend. What users may have built on stays: DOCKER-USER with what is in it, forwarding and the policy of FORWARD.
 * All or nothing before the first step: CONFLICT while a container runs, a dockerd does, or something that is not Pontoon's hangs on one of the bridges. A step
 * that fails keeps no other from being done; the error says which of both it was. */
int take_down(const struct core_conf *conf, struct err *e);
