/* port: a run of published ports: `count` ports of the host from host_port on lead to as many of the container from
 * port on. It exists while the endpoint that it lives on is joined. Runs at one host address never overlap, and none
 * overlaps one at the family's unspecified address. Key: "<container id>/<seq>". */
#pragma once

#include "base/json.h"
#include "model/thing.h"

#define PORT_KEY (ID_TEXT + 12)

/* Whom a port of the host serves: anybody; who has an address of a subnet that is on-link where he comes in; this host
 * alone; or whom the host's own INPUT rules let pass: then it is not led there by NAT but by the proxy. */
enum port_scope { SCOPE_ANY, SCOPE_LAN, SCOPE_LOCAL, SCOPE_HOST_FIREWALL, SCOPE_N };
#define PUBLISH_SCOPE "com.pontoon.publish_scope" /* option of a network, label of a container */

struct port {
	struct thing thing;
	char key[PORT_KEY];
	char container[ID_TEXT];
	char network[ID_TEXT]; /* of the endpoint */
	int64_t seq;           /* order within the container */
	uint8_t proto;         /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	enum port_scope scope;
	uint16_t count;
	struct ip host_ip;  /* unspecified: any address of this family */
	uint16_t host_port; /* 0: nothing of the host's leads there, the port is only opened (mode routed) */
	struct ip ip;       /* of the container; of the other family than host_ip's: only the proxy leads there */
	uint16_t port;
};

void port_key(char out[static PORT_KEY], const char *container, int64_t seq);
struct port *port_new(const char *container, int64_t seq);
struct port *port_copy(const struct port *p);
bool port_equal(const struct port *a, const struct port *b); /* in everything */
int port_order(const void *a, const void *b);                /* for qsort of pointers: by protocol, port, family, host's address and port */
const char *port_proto_name(uint8_t proto);                  /* "tcp", "udp", "sctp" */
int port_proto_parse(const char *s, uint8_t *out);           /* in any case; -EINVAL */
const char *port_scope_name(enum port_scope s);              /* "any", "lan", "local", "host-firewall" */
int port_scope_parse(const char *s, enum port_scope *out);   /* -EINVAL */
/* Only for some, by their address? */
static inline bool port_is_limited(const struct port *p)
{
	return p->host_port && (p->scope == SCOPE_LAN || p->scope == SCOPE_LOCAL);
}
static inline unsigned port_last(const struct port *p)
{
	return (unsigned)p->host_port + p->count - 1;
}
/* Is the host port led to the container by the firewall, not only by the proxy? */
static inline bool port_is_nat(const struct port *p)
{
	return p->host_port && p->host_ip.family == p->ip.family && p->scope != SCOPE_HOST_FIREWALL;
}
