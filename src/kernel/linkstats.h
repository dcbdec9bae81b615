/* linkstats: what has gone through the interfaces of a network namespace. */
#pragma once

#include <linux/if_link.h>

#include "base/err.h"

/* Calls each for every interface but lo. path: of the namespace. */
int linkstats_read(const char *path, void (*each)(void *arg, const char *name, const struct rtnl_link_stats64 *s), void *arg, struct err *e);
