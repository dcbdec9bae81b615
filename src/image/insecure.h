/* insecure: which registries may be spoken to without TLS, or with certificates that nobody vouches for. Pure. */
#pragma once

#include "base/strv.h"

/* domain: "localhost:5000", "registry.example". Loopback always; list: "host", "host:port" and subnets, as --insecure-registry has them. */
bool insecure_allows(const struct strv *list, const char *domain);
