#include "ops/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "engine/relay.h"
#include "kernel/steer.h"
#include "model/port_edit.h"
#include "net/join.h"
#include "ops/container.h"

#define EPHEMERAL_FIRST 49153 /* where the kernel does not say, as Docker */
#define EPHEMERAL_LAST  65535
#define KEPT_MOST       1024
#define PLACES_MOST     128 /* more than the kernel has */

/* Without the proxy, sockets that only reserve. */
struct ports {
	struct map held; /* id -> struct held */
	bool changed;    /* told the relay something since ports_settle */
};

struct held {
	char id[RELAY_PORT_ID];
	int fd;
};

static void id_of(const struct kobj *o, char out[static RELAY_PORT_ID])
{
	char at[IP_TEXT];
	snprintf(out, RELAY_PORT_ID, "%s/%s/%u", port_proto_name(o->listen.proto), ip_format(&o->listen.ip, at), o->listen.port);
}

static void drop(struct core *c, const char *id)
{
	struct held *h = map_dels(&c->ports->held, id);
	if (!h)
		return;
	close(h->fd);
	free(h);
}

static int keep(struct core *c, const char *id, int fd, struct err *e)
{
	if (fd < 0)
		return 0; /* nobody is led anywhere */
	struct held *h = calloc(1, sizeof(*h));
	if (!h)
		return err_nomem(e);
	STR_COPY(h->id, id);
	h->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (h->fd < 0 || map_puts(&c->ports->held, h->id, h) < 0) {
		int r = h->fd < 0 ? err_errno(e, -errno, "keep a published port's socket") : err_nomem(e);
		own_fd(&h->fd);
		free(h);
		return r;
	}
	return 0;
}

/* A kernel that cannot keeps nobody from publishing: NAT leads from everywhere but this host's loopback, and from IPv6 to IPv4. Where no NAT leads it is an error. */
static int serve_run(struct core *c, const struct kobj *o, const char *id, int fd, struct err *e)
{
	struct err why = {0};
	OWN(own_fd) int link = steer_run(fd, o, &why);
	int r = link < 0 ? link : relay_steer(c->relay, id, link, &why);
	if (r >= 0)
		return 0;
	unsigned last = (unsigned)o->listen.port + o->listen.count - 1;
	if (o->listen.alone)
		return err_as(e, ERR_UNAVAILABLE, "the proxy cannot serve ports %u-%u: %s", o->listen.port, last, why.msg);
	log_warn("published ports %u-%u/%s: the proxy serves the first of them alone: %s", o->listen.port, last, port_proto_name(o->listen.proto), why.msg);
	return 0;
}

static int serve(struct core *c, const struct kobj *o, const char *id, int fd, struct err *e)
{
	struct relay_port p = {.id = id, .proto = o->listen.proto, .target = o->listen.target, .target_port = o->listen.target_port, .limited = o->listen.limited,
		.from = o->listen.from, .nfrom = o->listen.nfrom};
	int none = 0;
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) < 0)
		return err_errno(e, -errno, "open a published port's socket to its clients");
	c->ports->changed = true;
	try(relay_port(c->relay, &p, fd, e));
	int r = fd >= 0 && o->listen.count > 1 ? serve_run(c, o, id, fd, e) : 0;
	if (r < 0)
		relay_port_gone(c->relay, id);
	return r;
}

static int give(void *arg, const struct kobj *o, int fd, struct err *e)
{
	struct core *c = arg;
	char id[RELAY_PORT_ID];
	id_of(o, id);
	return c->conf->net.userland_proxy ? serve(c, o, id, fd, e) : keep(c, id, fd, e);
}

static void take(void *arg, const struct kobj *o)
{
	struct core *c = arg;
	char id[RELAY_PORT_ID];
	id_of(o, id);
	drop(c, id);
	if (!c->conf->net.userland_proxy)
		return;
	relay_port_gone(c->relay, id);
	c->ports->changed = true;
}

static void settle(void *arg)
{
	ports_settle(arg);
}

/* The relay may hold it since an earlier daemon: then it is told anew where it leads. */
static bool holds(void *arg, const struct kobj *o)
{
	struct core *c = arg;
	char id[RELAY_PORT_ID];
	id_of(o, id);
	if (!c->conf->net.userland_proxy)
		return map_gets(&c->ports->held, id) != NULL;
	return relay_port_holds(c->relay, id, o->listen.proto, &o->listen.ip, o->listen.port) && serve(c, o, id, -1, NULL) >= 0;
}

int ports_open(struct core *c, struct err *e)
{
	c->ports = calloc(1, sizeof(*c->ports));
	if (!c->ports)
		return err_nomem(e);
	c->port_keeper = (struct kernel_ports){.arg = c, .give = give, .take = take, .settle = settle, .holds = holds};
	c->kernel->ports = &c->port_keeper;
	if (!c->conf->net.userland_proxy && c->relay) { /* of an earlier daemon that had the proxy */
		relay_ports_gone(c->relay);
		c->ports->changed = true;
	}
	return 0;
}

void ports_close(struct core *c)
{
	struct map_entry *m;
	if (!c->ports)
		return;
	for (size_t i = 0; (m = map_next(&c->ports->held, &i));) {
		struct held *h = m->value;
		close(h->fd);
		free(h);
	}
	map_free(&c->ports->held);
	free(c->ports);
	c->ports = NULL;
}

void ports_settle(struct core *c)
{
	struct err e = {0};
	if (!c->ports || !c->ports->changed)
		return;
	c->ports->changed = false;
	/* After a failure no relay lives, and the next one gets what is so. */
	if (relay_sync(c->relay, &e) < 0)
		log_warn("published ports: %s", e.msg);
}

/* "8080,9000-9100" */
static int read_kept(const char *s, struct arena *a, struct port_facts *f)
{
	struct port_run *v = arena_new(a, struct port_run, KEPT_MOST);
	if (!v)
		return -ENOMEM;
	while (*s && f->nkept < KEPT_MOST) {
		char *end;
		unsigned long lo = strtoul(s, &end, 10), hi = *end == '-' ? strtoul(end + 1, &end, 10) : lo;
		if (end == s || hi > 65535)
			break;
		v[f->nkept++] = (struct port_run){(uint16_t)lo, (uint16_t)hi};
		s = end + (*end == ',');
	}
	f->kept = v;
	return 0;
}

static bool can_listen_v6(void)
{
	OWN(own_fd) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0;
}

static int facts(struct op *op, const struct ports_try *t, struct port_facts *f, struct err *e)
{
	char text[8192];
	unsigned first, last;
	*f = (struct port_facts){.first = EPHEMERAL_FIRST, .last = EPHEMERAL_LAST, .host_v6 = can_listen_v6(), .cursor = &op->core->port_cursor};
	if (t) {
		f->busy = t->busy;
		f->nbusy = t->n;
	}
	if (kernel_sysctl_get("net/ipv4/ip_local_port_range", text, sizeof(text), NULL) >= 0 && sscanf(text, "%u %u", &first, &last) == 2 && first && first <= last && last <= 65535) {
		f->first = (uint16_t)first;
		f->last = (uint16_t)last;
	}
	if (kernel_sysctl_get("net/ipv4/ip_local_reserved_ports", text, sizeof(text), NULL) >= 0 && read_kept(text, &op->mem, f) < 0)
		return err_nomem(e);
	return 0;
}

int ports_publish(struct op *op, const char *container, const struct ports_try *t, struct err *e)
{
	const struct container *ct = world_container(op->next, container);
	struct port_facts f;
	if (!ct || !portmap_wants(ct))
		return portmap_release(op->next, container, e);
	try(facts(op, t, &f, e));
	return portmap_publish(op->next, &op->conf, &f, container, e);
}

int ports_commit(struct op *op, const char *container, struct err *e)
{
	struct kernel *k = op->core->kernel;
	k->refused = (struct kobj){0};
	int r = op_commit(op, e);
	if (r >= 0 || !k->refused.unit.id)
		return r;
	const struct container *ct = world_container(op->next, container);
	const struct endpoint *ep = join_gateway(op->next, &op->mem, container, AF_INET);
	if (!ep)
		ep = join_gateway(op->next, &op->mem, container, AF_INET6);
	return err_ctx(e, "driver failed programming external connectivity on endpoint %s (%s)", ct ? ct->name : container, ep ? ep->id : "");
}

/* why: the kernel's, NULL of SCTP. */
static int warn(const struct port_long *l, const struct err *why, struct arena *a, struct strv *warnings)
{
	const char *at = !*l->host_ip ? "" : arena_printf(a, strchr(l->host_ip, ':') ? "[%s]:" : "%s:", l->host_ip);
	const char *beyond = why ? arena_printf(a, " beyond port %u", l->host.first) : "";
	const char *text = arena_printf(a, "Published ports %s%u-%u/%s are not reached%s where only the proxy leads to them (from loopback addresses, or over IPv6 to a container without it): %s", at ? at : "",
		l->host.first, l->host.last, port_proto_name(l->proto), beyond ? beyond : "", why ? why->msg : "it serves no run of sctp that long, publish it in parts");
	return text ? strv_add(a, warnings, text) : -ENOMEM;
}

int ports_warn(const struct core *c, const struct container *ct, struct arena *a, struct strv *warnings, struct err *e)
{
	struct port_long *v;
	size_t n, taken = 0;
	int place[PLACES_MOST], r = 0;
	if (!c->conf->net.userland_proxy || !want_has_sandbox(ct))
		return 0;
	if (port_asked_long(&ct->spec->host, a, &v, &n) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < n && taken < PLACES_MOST && r >= 0; i++) {
		struct err why = {0};
		if (v[i].proto == IPPROTO_SCTP)
			r = warn(&v[i], NULL, a, warnings);
		else if ((place[taken] = steer_nothing(&why)) >= 0)
			taken++;
		else
			r = warn(&v[i], &why, a, warnings);
	}
	while (taken)
		close(place[--taken]);
	return r < 0 ? err_nomem(e) : 0;
}

/* A container like the present one with other published ports. */
static int edited(struct op *op, const char *id, const json_t *body, const struct ports_try *t, struct ports_try *all, struct container **out, struct err *e)
{
	struct arena mem = {0};
	struct port_gone gone[PORT_TRIES];
	const struct container *now = world_container(op->next, id);
	OWN(own_json) json_t *j = now ? spec_to_json(now->spec) : NULL;
	struct container_spec *s = arena_new(&mem, struct container_spec, 1);
	size_t n = 0, ngone = 0;
	const struct port **ports = world_ports_of_container(op->next, &op->mem, id, &n);
	int r = !now ? err_as(e, ERR_NOT_FOUND, "No such container: %s", id) : j && s && ports ? spec_from_json(j, &mem, s, e) : err_nomem(e);
	if (r >= 0 && (now->state == STATE_REMOVING || now->state == STATE_DEAD))
		r = err_as(e, ERR_CONFLICT, "container %s is marked for removal", id);
	if (r >= 0 && !want_has_sandbox(now))
		r = err_as(e, ERR_INVALID, "container %s has no network of its own to publish ports of", now->name);
	if (r >= 0)
		r = port_edit(s, body, ports, n, &mem, gone, ARRAY_LEN(gone), &ngone, e);
	if (r >= 0)
		r = spec_check_bindings(&s->host, &mem, e);
	/* A number that was given out and is to go is not found again. */
	*all = *t;
	for (size_t i = 0; i < ngone && all->n < PORT_TRIES; i++) {
		all->busy[all->n++] = (struct port_busy){gone[i].proto, {.family = AF_INET}, gone[i].host_port};
		if (all->n < PORT_TRIES)
			all->busy[all->n++] = (struct port_busy){gone[i].proto, {.family = AF_INET6}, gone[i].host_port};
	}
	struct container *c = r >= 0 ? container_respec(now, s, &mem) : NULL;
	if (r >= 0 && !c)
		r = err_nomem(e);
	arena_free(&mem);
	*out = c;
	return r;
}

static int edit_locked(struct core *c, const char *id, const json_t *body, const struct ports_try *t, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	struct ports_try all;
	size_t n, joined = 0;
	try(op_begin(c, "ports", &op, e));
	op.durable = true;
	op.about = id;
	try(edited(&op, id, body, t, &all, &next, e));
	op_container_event(&op, next, "update", NULL);
	try(world_put(op.next, next, e));
	const struct endpoint **eps = world_endpoints_of_container(op.next, &op.mem, id, &n);
	for (size_t i = 0; eps && i < n; i++)
		joined += eps[i]->joined;
	if (joined)
		try(ports_publish(&op, id, &all, e));
	return ports_commit(&op, id, e);
}

int op_container_ports(struct core *c, const char *term, const json_t *body, struct err *e)
{
	char id[ID_TEXT];
	struct ports_try ports = {0};
	int r;
	try(container_lock(c, term, id, e));
	do
		r = edit_locked(c, id, body, &ports, e);
	while (r < 0 && ports_again(c, id, &ports, r));
	life_unlock(c, id);
	return r;
}

bool ports_again(struct core *c, const char *container, struct ports_try *t, int r)
{
	const struct kobj *o = &c->kernel->refused;
	const struct container *ct = world_container(core_read(c), container);
	bool choice = ct && r == -EADDRINUSE && o->unit.id && portmap_has_choice(ct, o->listen.proto, o->listen.port);
	core_read_end(c);
	if (!choice || t->n == PORT_TRIES)
		return false;
	t->busy[t->n++] = (struct port_busy){o->listen.proto, o->listen.ip, o->listen.port};
	return true;
}
