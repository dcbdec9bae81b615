#include "model/network_spec.h"

#define I(m) offsetof(struct ipam_config, m)
#define N(m) offsetof(struct network_spec, m)
static const struct json_field config_row[] = {{"Subnet", J_STR, I(subnet), 0, NULL, 0},
	{"IPRange", J_STR, I(range), 0, NULL, 0}, {"Gateway", J_STR, I(gateway), 0, NULL, 0},
	{"AuxiliaryAddresses", J_KV, I(aux), 0, NULL, 0}, {"AuxAddress", J_KV, I(aux), 0, NULL, 0}, J_END};
static const struct json_field ipam_row[] = {{"Driver", J_STR, N(ipam_driver), 0, NULL, 0},
	{"Options", J_KV, N(ipam_options), 0, NULL, 0},
	{"Config", J_OBJV, N(ipam), 0, config_row, sizeof(struct ipam_config)}, J_END};
static const struct json_field from_row[] = {{"Network", J_STR, N(config_from), 0, NULL, 0}, J_END};
static const struct json_field table[] = {{"Name", J_STR, N(name), 0, NULL, 0}, {"Driver", J_STR, N(driver), 0, NULL, 0},
	{"Scope", J_STR, N(scope), 0, NULL, 0}, {"EnableIPv4", J_TRI, N(enable_v4), 0, NULL, 0},
	{"EnableIPv6", J_TRI, N(enable_v6), 0, NULL, 0},
	{"IPAM", J_OBJ, 0, 0, ipam_row, sizeof(struct network_spec)}, {"Internal", J_BOOL, N(internal), 0, NULL, 0},
	{"Attachable", J_BOOL, N(attachable), 0, NULL, 0}, {"Ingress", J_BOOL, N(ingress), 0, NULL, 0},
	{"ConfigOnly", J_BOOL, N(config_only), 0, NULL, 0},
	{"ConfigFrom", J_OBJ, 0, 0, from_row, sizeof(struct network_spec)},
	{"Options", J_KV, N(options), 0, NULL, 0}, {"Labels", J_KV, N(labels), 0, NULL, 0}, J_END};

int network_spec_parse(const json_t *body, struct arena *a, struct network_spec *out, struct err *e)
{
	*out = (struct network_spec){.enable_v4 = -1, .enable_v6 = -1};
	return body ? json_decode(body, table, out, a, e) : 0;
}
