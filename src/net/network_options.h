/* network_options: the driver options of a network (docker network create -o). Pure. */
#pragma once

#include "model/network.h"

#define OPT_BRIDGE_NAME "com.docker.network.bridge.name"
#define OPT_ENABLE_V4   "com.docker.network.enable_ipv4"
#define OPT_ENABLE_V6   "com.docker.network.enable_ipv6"

/* Sets the fields that the options name; an empty device name is none asked for, names that no row has are kept by the caller and mean nothing here. INVALID,
 * or -ERANGE for Docker's two ranges: the option, its value and what it may be. */
int network_options_apply(struct network *n, const struct kvs *given, struct err *e);
