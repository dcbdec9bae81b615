/* network: one network as configured; what the kernel has of it follows from it (net/driver_*.c). Value semantics by
 * thing. */
#pragma once

#include "base/json.h"
#include "model/thing.h"

enum driver_kind { DRIVER_BRIDGE, DRIVER_HOST, DRIVER_NULL, DRIVER_N };
const char *driver_kind_name(enum driver_kind k); /* "bridge", "host", "null" */
int driver_kind_parse(const char *s, enum driver_kind *out);

enum gw_mode { GW_NAT, GW_NAT_UNPROTECTED, GW_ROUTED, GW_ISOLATED, GW_MODE_N };

struct aux_address {
	const char *name;
	struct ip ip;
};

struct subnet {
	struct prefix net;   /* masked; net.ip.family == 0: the network has no such family */
	struct prefix range; /* window for dynamic allocation, = net when none was given */
	struct ip gateway;   /* not set: none (isolated, host, null) */
	bool from_pool;      /* chosen by us, not the user */
	bool has_range;
	bool gateway_users;  /* its address was on the user's device before: not put there, and not taken away, by us */
	struct aux_address *aux;
	size_t naux;
};

#define IFNAME 16
#define DEFAULT_BRIDGE "docker0" /* ours; another one that --bridge names is the user's */
#define NETWORK_ANNOUNCEMENTS "com.docker.network.advertise_addr_nmsgs" /* gratuitous ARP and unsolicited NA, 0 to 3 */
#define NETWORK_PAUSE         "com.docker.network.advertise_addr_ms"    /* between them, 100 to 2000 */
#define NETWORK_TRUSTED "com.docker.network.bridge.trusted_host_interfaces" /* colon-separated, judged by net/network_options.c */

struct network {
	struct thing thing; /* key = id */
	char id[ID_TEXT];
	char name[LIMIT_NAME + 1];
	enum driver_kind driver;
	bool is_default; /* the network "bridge" of docker0 */
	bool predefined; /* bridge, host, none */
	char bridge[IFNAME];
	bool user_device; /* the device existed before us: adopted, never deleted */
	struct subnet v4, v6;
	bool enable_v4, enable_v6;
	bool internal, attachable;
	bool icc, masquerade, inhibit_v4;
	bool config_only;                 /* only holds parameters for others: nothing in the kernel, no addresses taken */
	char config_from[LIMIT_NAME + 1]; /* name of the one that it took its parameters from; "" none */
	struct ip snat4, snat6;           /* source of what leaves the host, instead of masquerading; not set: masquerade */
	enum gw_mode gw_mode4, gw_mode6;
	int mtu;            /* 0 = the kernel's default */
	int64_t seq;        /* creation order, unique, rising */
	int64_t created;    /* ns since the epoch */
	struct kvs options; /* driver options as given */
	struct kvs ipam_options;
	struct kvs labels;
};

struct network *network_new(const char *id, const char *name, enum driver_kind driver);
struct network *network_copy(const struct network *n); /* deep; NULL when out of memory */
/* May a device have this name? It goes into the text of firewall rules, where "+" and "*" at its end would mean any device
 * that begins like it, and to the kernel, which makes a number of "%d": 1 to 15 letters, digits, "_", "-" and "." (first:
 * a letter, a digit, "_"), and not lo, all and default, which mean something already. */
bool device_name_ok(const char *s);
#define DEVICE_NAME_RULE "1 to 15 letters, digits, \"_\", \"-\" or \".\", the first one no \"-\" or \".\", and not lo, all or default"
/* Derived names. */
void network_bridge_name(const char *id, char out[static IFNAME]); /* "br-" + 12 hex */
/* The network's subnet that holds the address's family; NULL if the network lacks it. */
const struct subnet *network_subnet(const struct network *n, uint8_t family);
/* The `spec` column of the store: everything but id, name, driver, seq, created. */
json_t *network_to_json(const struct network *n);
int network_from_json(struct network *n, const json_t *j, struct err *e);
