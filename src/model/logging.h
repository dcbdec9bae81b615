/* logging: how large a container's log may grow, from its log options. Pure. */
#pragma once

#include "model/spec.h"

struct log_limits {
	int64_t size; /* bytes of one file; 0 = without bound */
	int files;    /* how many are kept, the present one included */
};
/* INVALID with the words of Docker's drivers. */
int log_limits(const struct host_config *h, struct log_limits *out, struct err *e);
/* A driver that there is, with options that it knows. INVALID likewise. */
int log_check(const struct host_config *h, struct err *e);
bool log_driver_is_known(const char *name);
const char *log_wish(const char *key, const char *value); /* why this option is passed over; NULL: it counts */
/* What `logs --details` shows of the container: "k=v,k2=v2" of the labels and environment that its log options name; "" if they name none. In a. */
const char *log_details(const struct container_spec *s, struct arena *a);
