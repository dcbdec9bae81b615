/* port_asked: what a container's configuration asks to publish, before there is an endpoint to lead it to. Pure. */
#pragma once

#include "model/spec.h"

struct port_run {
	uint16_t first, last;
};
/* One binding: texts are the configuration's. */
struct port_request {
	uint8_t proto;
	struct port_run ports;
	const char *host_ip, *host_port;
};
/* A run of one port of the host each, in a row. */
struct port_long {
	uint8_t proto;
	struct port_run host;
	const char *host_ip; /* "": not given */
	int step;            /* from the container's port */
};

bool port_run_read(const char *s, struct port_run *out);              /* "80", "8000-8009"; up to the end or a slash */
int port_request_read(const char *key, struct port_request *r);       /* "80/tcp": protocol and ports; -EINVAL */
/* The runs that are too long for a socket each (LIMIT_PORT_RUN). Memory: -ENOMEM. */
int port_asked_long(const struct host_config *h, struct arena *a, struct port_long **out, size_t *n);
