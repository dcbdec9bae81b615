/* resolvers: the host's resolv.conf is watched; when it says something else, the name server and the files of running containers are told. */
#pragma once

#include "ops/core.h"

int resolvers_open(struct core *c, struct err *e); /* a host where nothing can be watched is no error: that is logged */
void resolvers_close(struct core *c);
