#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "net/driver.h"
#include "net/join.h"
#include "net/network_make.h"
#include "ops/container.h"
#include "ops/defaults.h"
#include "ops/happen.h"
#include "ops/host.h"
#include "ops/ports.h"

static void network_event(struct op *op, const char *action, const struct network *n)
{
	op_event(op, "network", action, n->id, "name", n->name, "type", driver_kind_name(n->driver), NULL);
}

static void endpoint_event(struct op *op, const char *action, const struct network *n, const char *container)
{
	op_event(op, "network", action, n->id, "container", container, "name", n->name, "type", driver_kind_name(n->driver), NULL);
}

int op_network_create(struct core *c, const struct network_spec *s, char out_id[static ID_TEXT], struct err *e)
{
	OWN(op_end) struct op op = {0};
	char id[ID_TEXT];
	struct network *n;
	struct network_facts f = {.id = id, .created = clock_real_ns()};
	enum link_kind link = LINK_NONE;
	random_id(id);
	try(fd_room(e));
	try(op_begin(c, "network create", &op, e));
	op.durable = true;
	op.about = id;
	const char *device = network_make_device(op.next, &op.conf, s);
	if (device)
		try(kernel_link_kind(c->kernel, device, &link, e));
	f.device_exists = link != LINK_NONE;
	f.device_is_bridge = link == LINK_BRIDGE;
	if (f.device_is_bridge) {
		struct host_addr *addrs;
		try(kernel_host_addrs(c->kernel, &op.mem, &addrs, &f.naddrs, e));
		f.addrs = addrs;
	}
	op.conf.routes_unasked = true;
	int r = network_make(op.next, &op.conf, s, &f, &n, e);
	if (r == -EAGAIN) {
		try(host_routes(c, &op.mem, &op.conf, e));
		r = network_make(op.next, &op.conf, s, &f, &n, e);
	}
	try(r);
	network_event(&op, "create", n);
	try(world_put(op.next, n, e));
	try(defaults_forwarding6(c, op.next, &op.conf, e));
	try(op_commit(&op, e));
	memcpy(out_id, id, ID_TEXT);
	return 0;
}

/* The first endpoint that keeps a network from being removed. */
static int check_unused(const struct op *op, const struct network *n, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const struct network *other;
	size_t count;
	const struct endpoint **eps = world_endpoints_of_network(op->next, &a, n->id, &count);
	if (!eps)
		return err_nomem(e);
	for (size_t i = 0; i < count; i++) {
		const struct container *ct = eps[i]->joined ? world_container(op->next, eps[i]->container) : NULL;
		if (ct)
			return err_as(e, ERR_FORBIDDEN, "error while removing network: network %s has active endpoints (name:\"%s\" id:\"%.12s\")", n->name, ct->name, eps[i]->id);
	}
	for (size_t i = 0; n->config_only && (other = world_next(op->next, NOUN_NETWORK, &i));)
		if (streq(other->config_from, n->name))
			return err_as(e, ERR_FORBIDDEN, "error while removing network: configuration network \"%s\" is in use", n->name);
	return 0;
}

static int remove_one(struct core *c, const char *term, struct err *e)
{
	OWN(op_end) struct op op = {0};
	const struct network *n;
	char id[ID_TEXT];
	try(op_begin(c, "network remove", &op, e));
	op.durable = true;
	try(world_find_network(op.next, term, &n, e));
	if (n->predefined)
		return err_as(e, ERR_FORBIDDEN, "%s is a pre-defined network and cannot be removed", n->name);
	try(check_unused(&op, n, e));
	STR_COPY(id, n->id);
	op.about = id;
	network_event(&op, "destroy", n);
	try(world_del(op.next, NOUN_NETWORK, id, e));
	return op_commit(&op, e);
}

int op_network_remove(struct core *c, const char *term, struct err *e)
{
	return remove_one(c, term, e);
}

static bool prune_matches(const struct world *w, const struct network *n, const struct kvs *labels, int64_t until)
{
	OWN(arena_free) struct arena a = {0};
	size_t users;
	if (n->predefined || (until && n->created > until))
		return false;
	(void)world_endpoints_of_network(w, &a, n->id, &users);
	if (users)
		return false;
	for (size_t i = 0; i < labels->n; i++)
		if (kvs_has_term(&n->labels, labels->v[i].value) == streq(labels->v[i].key, "label!"))
			return false;
	return true;
}

int op_network_prune(struct core *c, const struct kvs *label_filters, int64_t until, struct arena *a, struct strv *deleted, struct err *e)
{
	struct strv ids = {0}, names = {0};
	const struct network *n;
	int r = 0;
	const struct world *w = core_read(c);
	for (size_t i = 0; r >= 0 && (n = world_next(w, NOUN_NETWORK, &i));) {
		if (!prune_matches(w, n, label_filters, until))
			continue;
		r = strv_add(a, &ids, n->id);
		if (r >= 0)
			r = strv_add(a, &names, n->name);
	}
	core_read_end(c);
	if (r < 0)
		return err_nomem(e);
	for (size_t i = 0; i < ids.n; i++) {
		struct err one = {0};
		r = remove_one(c, ids.v[i], &one);
		/* Taken into use or removed meanwhile: not ours to prune. */
		if (r < 0 && one.kind != ERR_FORBIDDEN && one.kind != ERR_NOT_FOUND) {
			if (e)
				*e = one;
			return r;
		}
		if (r >= 0 && strv_add(a, deleted, names.v[i]) < 0)
			return err_nomem(e);
	}
	event_of_prune(c, "network", 0);
	return 0;
}

static bool has_sandbox_now(const struct container *ct)
{
	return (container_is_running(ct) || ct->starting) && want_has_sandbox(ct);
}

static int connect_locked(struct core *c, const char *term, const char *container, const struct endpoint_settings *s, const struct ports_try *t, struct err *e)
{
	OWN(op_end) struct op op = {0};
	const struct network *n;
	char id[ID_TEXT], network[ID_TEXT];
	try(op_begin(c, "connect", &op, e));
	op.durable = true;
	op.about = container;
	const struct container *ct = world_container(op.next, container);
	if (!ct)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", container);
	try(world_find_network(op.next, term, &n, e));
	STR_COPY(network, n->id);
	try(join_connect(op.next, ct, n, s, e));
	if (has_sandbox_now(ct)) {
		random_id(id);
		try(join_add(op.next, container, network, id, e));
		endpoint_event(&op, "connect", n, container);
		try(ports_publish(&op, container, t, e));
	}
	return ports_commit(&op, container, e);
}

int op_network_connect(struct core *c, const char *term, const char *container, const struct endpoint_settings *s, struct err *e)
{
	char id[ID_TEXT];
	const struct network *n;
	int r = world_find_network(core_read(c), term, &n, e);
	core_read_end(c);
	try(r);
	try(fd_room(e));
	try(container_lock(c, container, id, e));
	struct ports_try ports = {0};
	do
		r = connect_locked(c, term, id, s, &ports, e);
	while (r < 0 && ports_again(c, id, &ports, r));
	life_unlock(c, id);
	return r;
}

/* A network that has been removed while a stopped container was to join it can still be left: by its id. */
static int find_for_leaving(const struct world *w, const char *term, const char *container, struct arena *a, char network[static ID_TEXT],
	const struct network **out, struct err *e)
{
	size_t count;
	int r = world_find_network(w, term, out, e);
	if (r >= 0) {
		memcpy(network, (*out)->id, ID_TEXT);
		return 0;
	}
	const struct endpoint **eps = world_endpoints_of_container(w, a, container, &count);
	for (size_t i = 0; eps && *term && i < count; i++) {
		if (!world_network(w, eps[i]->network) && str_starts(eps[i]->network, term)) {
			memcpy(network, eps[i]->network, ID_TEXT);
			*out = NULL;
			return 0;
		}
	}
	return r;
}

static int disconnect_locked(struct core *c, const char *term, const char *container, struct err *e)
{
	OWN(op_end) struct op op = {0};
	const struct network *n;
	char network[ID_TEXT], key[2 * ID_TEXT];
	try(op_begin(c, "disconnect", &op, e));
	op.durable = true;
	op.about = container;
	const struct container *ct = world_container(op.next, container);
	if (!ct)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", container);
	try(find_for_leaving(op.next, term, container, &op.mem, network, &n, e));
	if (!n) {
		endpoint_key(key, container, network);
		try(world_del(op.next, NOUN_ENDPOINT, key, e));
		return op_commit(&op, e);
	}
	const struct endpoint *ep = world_endpoint(op.next, container, n->id);
	bool joined = ep && ep->joined;
	try(join_disconnect(op.next, ct, n, e));
	if (joined)
		endpoint_event(&op, "disconnect", n, container);
	if (joined)
		try(ports_publish(&op, container, NULL, e));
	return ports_commit(&op, container, e);
}

int op_network_disconnect(struct core *c, const char *term, const char *container, bool force, struct err *e)
{
	char id[ID_TEXT];
	const struct network *n;
	(void)force; /* dockerd's way out of endpoints whose container is lost: here an endpoint never outlives its container */
	int r = world_find_network(core_read(c), term, &n, e);
	core_read_end(c);
	if (r < 0 && container_resolve(c, container, id, NULL) < 0)
		return r;
	try(container_lock(c, container, id, e));
	r = disconnect_locked(c, term, id, e);
	life_unlock(c, id);
	return r;
}
