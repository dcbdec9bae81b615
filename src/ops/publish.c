#include "ops/publish.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "engine/relay.h"
#include "net/names.h"

static int give(void *arg, const char *container, int udp, int tcp, const char *netns_path, struct err *e)
{
	struct core *c = arg;
	return relay_sandbox(c->relay, container, udp, tcp, netns_path, e);
}

static int take(void *arg, const char *container, bool wait, struct err *e)
{
	struct core *c = arg;
	relay_sandbox_gone(c->relay, container);
	/* After a failure no relay lives, so none holds a descriptor: what was asked for. */
	if (wait && relay_sync(c->relay, e) < 0)
		log_warn("the name server could not be told that %.12s has gone: %s", container, e ? e->msg : "");
	return 0;
}

static bool holds(void *arg, const char *container, const char *netns_path, uint16_t *udp_port, uint16_t *tcp_port)
{
	struct core *c = arg;
	return relay_holds(c->relay, container, netns_path) && relay_sandbox_ports(c->relay, container, udp_port, tcp_port, NULL) >= 0;
}

int publish_open(struct core *c, struct err *e)
{
	struct relay_conf conf = c->conf->relay;
	conf.exec_root = c->conf->exec_root;
	conf.debug = c->conf->debug;
	try(relay_open(&conf, &c->relay, e));
	c->dns = (struct kernel_dns){.arg = c, .give = give, .take = take, .holds = holds};
	c->kernel->dns = &c->dns;
	return 0;
}

void publish_close(struct core *c, bool stop)
{
	if (c->relay)
		relay_close(c->relay, stop);
	c->relay = NULL;
}

static bool has_names(const struct network *n)
{
	return n && n->driver == DRIVER_BRIDGE && !n->is_default;
}

static int note(struct arena *a, struct strv *l, const char *id)
{
	return strv_has(l, id) ? 0 : strv_add(a, l, id);
}

/* The networks that a container is on: its name is in their zones. */
static int note_networks(const struct world *w, struct arena *a, const char *container, struct publish_list *out)
{
	size_t n;
	const struct endpoint **eps = world_endpoints_of_container(w, a, container, &n);
	for (size_t i = 0; eps && i < n; i++)
		if (eps[i]->joined)
			try(note(a, &out->networks, eps[i]->network));
	return eps ? 0 : -ENOMEM;
}

static bool renamed(const struct container *before, const struct container *after)
{
	return before && after && !streq(before->name, after->name);
}

int publish_note(const struct world *before, const struct world *after, struct arena *a, const struct change *ch, size_t n, struct publish_list *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct endpoint *was = ch[i].before, *is = ch[i].after;
		if (ch[i].noun == NOUN_ENDPOINT && ((was && was->joined) || (is && is->joined))) {
			const struct endpoint *ep = is ? is : was;
			if (!has_names(world_network(after, ep->network)) && !has_names(world_network(before, ep->network)))
				continue;
			try(note(a, &out->networks, ep->network));
			try(note(a, &out->containers, ep->container));
		}
		if (ch[i].noun == NOUN_CONTAINER && renamed(ch[i].before, ch[i].after))
			try(note_networks(after, a, ((const struct container *)ch[i].after)->id, out));
		/* A network without endpoints has no zone; one that goes has none. */
		if (ch[i].noun == NOUN_NETWORK && !ch[i].after)
			try(note(a, &out->networks, ((const struct network *)ch[i].before)->id));
	}
	return 0;
}

static int publish_zone(struct core *c, const struct world *w, const struct netconf *conf, const char *id, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct relay_zone z;
	const struct network *n = world_network(w, id);
	if (!has_names(n) || !world_joined_in_network(w, id)) {
		relay_zone_gone(c->relay, id);
		return 0;
	}
	try(names_zone(w, conf, n, &a, &z, e));
	return relay_zone(c->relay, &z, e);
}

static int publish_view(struct core *c, const struct world *w, const struct netconf *conf, const char *id, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct relay_view v;
	const struct container *ct = world_container(w, id);
	if (!ct || !relay_holds(c->relay, id, NULL))
		return 0;
	try(names_view(w, conf, ct, &a, &v, e));
	return relay_view(c->relay, &v, e);
}

void publish_list(struct core *c, const struct world *w, const struct netconf *conf, const struct publish_list *l)
{
	struct err e = {0};
	if (!c->relay || (!l->networks.n && !l->containers.n))
		return;
	for (size_t i = 0; i < l->networks.n; i++)
		if (publish_zone(c, w, conf, l->networks.v[i], &e) < 0)
			log_error("names of network %.12s: %s", l->networks.v[i], e.msg);
	for (size_t i = 0; i < l->containers.n; i++)
		if (publish_view(c, w, conf, l->containers.v[i], &e) < 0)
			log_error("names for container %.12s: %s", l->containers.v[i], e.msg);
	if (relay_sync(c->relay, &e) < 0)
		log_error("the name server does not answer: %s", e.msg);
}

static void note_views(struct core *c, struct arena *a, struct publish_list *l)
{
	const struct container *ct;
	for (size_t i = 0; (ct = world_next(c->world, NOUN_CONTAINER, &i));)
		if (relay_holds(c->relay, ct->id, NULL))
			(void)strv_add(a, &l->containers, ct->id);
	if (a->bad)
		log_error("names: out of memory");
}

void publish_views(struct core *c, const struct netconf *conf)
{
	OWN(arena_free) struct arena a = {0};
	struct publish_list l = {0};
	note_views(c, &a, &l);
	publish_list(c, c->world, conf, &l);
}

void publish_all(struct core *c, const struct netconf *conf)
{
	OWN(arena_free) struct arena a = {0};
	struct publish_list l = {0};
	struct err e = {0};
	const struct network *n;
	for (size_t i = 0; (n = world_next(c->world, NOUN_NETWORK, &i));)
		if (has_names(n) && world_joined_in_network(c->world, n->id))
			(void)strv_add(&a, &l.networks, n->id);
	note_views(c, &a, &l);
	publish_list(c, c->world, conf, &l);
	if (relay_settle(c->relay, &e) < 0)
		log_warn("name server: %s", e.msg);
}
