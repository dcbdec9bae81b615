/* port_edit: published ports added to and taken from a container's description, as POST /containers/{}/ports asks. Pure. */
#pragma once

#include "model/port.h"
#include "model/spec.h"

/* body: {"Add": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "Remove": {...}}, each like PortBindings. In Remove,
 * what is left empty means any; HostPort may also be the number that was given out, which `now` (the container's ports)
 * tells. Changes s->host.port_bindings, in a. gone: the numbers given out that are asked to go, at most `most`; *ngone
 * of them. INVALID, NOT_FOUND for what is not published, CONFLICT for what is already. */
struct port_gone {
	uint8_t proto;
	uint16_t host_port;
};
int spec_check_bindings(const struct host_config *h, struct arena *a, struct err *e); /* spec_check.c */
int port_edit(struct container_spec *s, const json_t *body, const struct port *const *now, size_t n, struct arena *a, struct port_gone *gone, size_t most,
	size_t *ngone, struct err *e);
