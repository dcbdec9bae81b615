/* routes_registry: what goes to and comes from registries: answers that are streams of progress. */
#pragma once

#include "api/router.h"

/* POST /images/create?fromImage=... */
int route_pull(struct request *rq, struct err *e);
/* NOT_FOUND when the image is for another platform than the one that the query names (request_platform). No such image is no error of this. */
int route_image_fits(struct request *rq, const char *key, int since, const char *name, struct err *e);
