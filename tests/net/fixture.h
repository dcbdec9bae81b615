/* fixture: small worlds for the tests of net/. Ids are readable: a letter repeated. */
#pragma once

#include <arpa/inet.h>

#include "net/driver.h"
#include "net/fw.h"
#include "net/join.h"
#include "net/names.h"
#include "test.h"

UNUSED static void fix_id(char out[static ID_TEXT], char c)
{
	memset(out, c, ID_TEXT - 1);
	out[ID_TEXT - 1] = '\0';
}

UNUSED static struct prefix fix_prefix(const char *s)
{
	struct prefix p = {0};
	if (prefix_parse(s, &p) < 0)
		abort();
	return p;
}

UNUSED static struct ip fix_ip(const char *s)
{
	struct ip a = {0};
	if (ip_parse(s, &a) < 0)
		abort();
	return a;
}

UNUSED static struct netconf fix_conf(void)
{
	return (struct netconf){.data_root = "/data",
		.exec_root = "/exec",
		.iptables = true,
		.ip6tables = true,
		.ip_forward = true,
		.ip_masq = true,
		.icc = true,
		.userland_proxy = true,
		.bridge = "docker0",
		.policy_drop = true,
		.hostname = "thehost",
		.host_resolv = "nameserver 192.0.2.53\nsearch example.org\n",
		.host_hosts = "127.0.0.1 localhost thehost\n",
		.host_resolv_path = "/etc/resolv.conf"};
}

/* A network to be changed before fix_put. */
UNUSED static struct network *fix_network(char id, const char *name, const char *subnet, int64_t seq)
{
	char text[ID_TEXT];
	fix_id(text, id);
	struct network *n = network_new(text, name, DRIVER_BRIDGE);
	n->seq = seq;
	if (strchr(subnet, ':')) {
		n->enable_v6 = true;
		n->v6.net = n->v6.range = fix_prefix(subnet);
		n->v6.gateway = prefix_first(&n->v6.net);
		ip_next(&n->v6.gateway);
	} else {
		n->enable_v4 = true;
		n->v4.net = n->v4.range = fix_prefix(subnet);
		n->v4.gateway = prefix_first(&n->v4.net);
		ip_next(&n->v4.gateway);
	}
	return n;
}

UNUSED static void fix_put(struct world *w, void *thing)
{
	struct err e = {0};
	if (world_put(w, thing, &e) < 0)
		abort();
}

UNUSED static struct network *fix_docker0(void)
{
	struct network *n = fix_network('d', "bridge", "172.17.0.0/16", 1);
	n->is_default = n->predefined = true;
	STR_COPY(n->bridge, "docker0");
	return n;
}

/* The three predefined networks: bridge 'd', host '8', none '9'. */
UNUSED static struct world *fix_world(void)
{
	struct world *w = world_new();
	char id[ID_TEXT];
	fix_put(w, fix_docker0());
	fix_id(id, '8');
	struct network *host = network_new(id, "host", DRIVER_HOST);
	host->predefined = true;
	host->seq = 2;
	fix_put(w, host);
	fix_id(id, '9');
	struct network *none = network_new(id, "none", DRIVER_NULL);
	none->predefined = true;
	none->seq = 3;
	fix_put(w, none);
	return w;
}

UNUSED static struct container_spec *fix_spec(struct arena *a, const char *mode)
{
	struct container_spec *s = arena_new(a, struct container_spec, 1);
	spec_defaults(s);
	s->host.network_mode = mode;
	return s;
}

UNUSED static const struct container *fix_container(
	struct world *w, char id, const char *name, struct container_spec *s, struct arena *mem)
{
	char text[ID_TEXT];
	fix_id(text, id);
	struct container *c = container_new(text, name, s, mem);
	c->seq = id;
	fix_put(w, c);
	return world_container(w, text);
}

/* A joined container on `mode`, with endpoint ids made of the digits '1', '2', ... */
UNUSED static const struct container *fix_joined(
	struct world *w, const struct netconf *c, char id, const char *name, const char *mode)
{
	struct arena mem = {0};
	struct err e = {0};
	char ids[4][ID_TEXT], text[ID_TEXT];
	struct container_spec *s = fix_spec(&mem, mode);
	const struct container *ct = fix_container(w, id, name, s, &mem);
	fix_id(text, id);
	for (int i = 0; i < 4; i++) {
		fix_id(ids[i], (char)('1' + i));
		ids[i][0] = id; /* so that veth names differ */
	}
	if (join_configure(w, ct, 51, &e) < 0 || join_all(w, c, text, ids, 4, &e) < 0) {
		printf("# %s\n", e.msg);
		abort();
	}
	return world_container(w, text);
}

UNUSED static const char *fix_state_text(struct kstate *s, struct arena *a)
{
	struct buf b = {0};
	for (size_t i = 0; i < s->n; i++)
		buf_printf(&b, "%s\n", kobj_text(&s->v[i], a));
	const char *t = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return t;
}
