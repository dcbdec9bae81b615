/* routes_registry: what goes to and comes from registries: answers that are streams of progress. */
#pragma once

#include "api/router.h"

/* POST /images/create?fromImage=... */
int route_pull(struct request *rq, struct err *e);
