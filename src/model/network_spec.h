/* network_spec: the body of POST /networks/create and of connect, as written; net/network_make.c judges it. */
#pragma once

#include "base/json.h"
#include "model/network.h"

struct ipam_config {
	const char *subnet, *range, *gateway;
	struct kvs aux;
};

struct network_spec {
	const char *name, *driver, *scope;
	int8_t enable_v4, enable_v6; /* J_TRI: -1 not given */
	const char *ipam_driver;
	struct kvs ipam_options;
	struct json_vec ipam; /* struct ipam_config */
	bool internal, attachable, ingress, config_only;
	const char *config_from;
	struct kvs options, labels;
};

int network_spec_parse(const json_t *body, struct arena *a, struct network_spec *out, struct err *e);
