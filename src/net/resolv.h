/* resolv: what a resolv.conf says (resolv.conf(5)): the last search or domain counts, options add up, other lines pass
 * through. Pure. */
#pragma once

#include "base/ip.h"
#include "base/strv.h"

struct resolv {
	struct strv servers, search, options, other;
};

int resolv_read(struct arena *a, const char *text, struct resolv *out); /* -ENOMEM */
bool resolv_is_number(const char *s);                                   /* of an option such as ndots */
