/* endpoint: a container's attachment to a network. It exists from `create` or `connect` on (configuration) and has
 * addresses and devices only while `joined`, i.e. while the container's sandbox exists. Key: "<container id>/<network
 * id>". */
#pragma once

#include "model/network.h"

struct endpoint {
	struct thing thing;
	char key[2 * ID_TEXT];
	char container[ID_TEXT];
	char network[ID_TEXT];
	/* configuration, as asked for */
	struct ip want_ip4, want_ip6;
	struct mac want_mac; /* not set: derived or generated */
	struct strv aliases, links, link_local;
	struct kvs driver_opts;
	int64_t gw_priority;
	char want_ifname[IFNAME];
	/* live: valid while joined */
	bool joined;
	char id[ID_TEXT]; /* a new one at every join */
	int64_t seq;      /* order of joining within the container */
	struct ip ip4, ip6;
	struct mac mac;
	char ifname[IFNAME]; /* in the container */
	char veth[IFNAME];   /* host side: "veth" + 7 hex of id */
};

void endpoint_key(char out[static 2 * ID_TEXT], const char *container, const char *network);
struct endpoint *endpoint_new(const char *container, const char *network);
struct endpoint *endpoint_copy(const struct endpoint *ep);
void endpoint_veth_name(const char *endpoint_id, char out[static IFNAME]);
/* "pontoon:<12 of network>/<12 of endpoint>": the link alias that says a link is ours */
void endpoint_alias(const struct endpoint *ep, char out[static 64]);
json_t *endpoint_to_json(const struct endpoint *ep); /* the whole, for the store */
int endpoint_from_json(struct endpoint *ep, const json_t *j, struct err *e);
