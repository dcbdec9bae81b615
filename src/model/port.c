#include "model/port.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const struct {
	uint8_t proto;
	const char *name;
} protocols[] = {{IPPROTO_TCP, "tcp"}, {IPPROTO_UDP, "udp"}, {IPPROTO_SCTP, "sctp"}};

void port_key(char out[static PORT_KEY], const char *container, int64_t seq)
{
	snprintf(out, PORT_KEY, "%.64s/%08lld", container, (long long)seq);
}

struct port *port_new(const char *container, int64_t seq)
{
	struct port *p = thing_new(NOUN_PORT, sizeof(*p));
	if (!p)
		return NULL;
	port_key(p->key, container, seq);
	p->thing.key = p->key;
	STR_COPY(p->container, container);
	p->seq = seq;
	p->count = 1;
	return p;
}

struct port *port_copy(const struct port *p)
{
	struct port *c = thing_new(NOUN_PORT, sizeof(*c));
	if (!c)
		return NULL;
	struct thing own = c->thing;
	*c = *p;
	c->thing = own;
	c->thing.key = c->key;
	return c;
}

bool port_equal(const struct port *a, const struct port *b)
{
	return streq(a->key, b->key) && streq(a->network, b->network) && a->proto == b->proto && a->count == b->count &&
	       ip_eq(&a->host_ip, &b->host_ip) && a->host_port == b->host_port && ip_eq(&a->ip, &b->ip) && a->port == b->port &&
	       a->scope == b->scope;
}

int port_order(const void *x, const void *y)
{
	const struct port *a = *(const struct port *const *)x, *b = *(const struct port *const *)y;
	if (a->proto != b->proto)
		return (int)a->proto - b->proto;
	if (a->port != b->port)
		return (int)a->port - b->port;
	int r = ip_cmp(&a->host_ip, &b->host_ip);
	return r ? r : (int)a->host_port - b->host_port;
}

const char *port_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i].proto == proto)
			return protocols[i].name;
	return "";
}

int port_proto_parse(const char *s, uint8_t *out)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		if (strcasecmp(protocols[i].name, s) == 0) {
			*out = protocols[i].proto;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *const scopes[] = {
	[SCOPE_ANY] = "any", [SCOPE_LAN] = "lan", [SCOPE_LOCAL] = "local", [SCOPE_HOST_FIREWALL] = "host-firewall"};
static_assert(ARRAY_LEN(scopes) == SCOPE_N, "scopes[] is missing one");

const char *port_scope_name(enum port_scope s)
{
	return scopes[s];
}

int port_scope_parse(const char *s, enum port_scope *out)
{
	for (int i = 0; i < SCOPE_N; i++) {
		if (streq(scopes[i], s)) {
			*out = (enum port_scope)i;
			return 0;
		}
	}
	return -EINVAL;
}
