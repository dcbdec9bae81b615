#include "ops/defaults.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "net/driver.h"
#include "net/ipam.h"
#include "net/network_make.h"
#include "ops/host.h"
#include "ops/op.h"

static struct network *predefined(struct op *op, const char *name, enum driver_kind driver)
{
	char id[ID_TEXT];
	random_id(id);
	struct network *n = network_new(id, name, driver);
	if (!n)
		return NULL;
	n->predefined = true;
	n->created = clock_real_ns();
	n->seq = world_next_seq(op->next);
	return n;
}

static int ensure_plain(struct op *op, const char *name, enum driver_kind driver, struct err *e)
{
	if (world_network_by_name(op->next, name))
		return 0;
	struct network *n = predefined(op, name, driver);
	return n ? world_put(op->next, n, e) : err_nomem(e);
}

/* Options as `docker network inspect bridge` shows them. */
static int bridge_options(struct op *op, struct network *n, struct err *e)
{
	const struct netconf *conf = &op->conf;
	struct arena *a = &n->thing.mem;
	char mtu[16], host[IP_TEXT];
	snprintf(mtu, sizeof(mtu), "%d", conf->mtu ? conf->mtu : 1500);
	n->options = (struct kvs){0};
	if (kvs_set(a, &n->options, "com.docker.network.bridge.default_bridge", "true") < 0 ||
		kvs_set(a, &n->options, "com.docker.network.bridge.enable_icc", conf->icc ? "true" : "false") < 0 ||
		kvs_set(a, &n->options, "com.docker.network.bridge.enable_ip_masquerade", conf->ip_masq ? "true" : "false") < 0 ||
		kvs_set(a, &n->options, "com.docker.network.bridge.host_binding_ipv4", ip_is_set(&conf->host_binding) ? ip_format(&conf->host_binding, host) : "0.0.0.0") < 0 ||
		kvs_set(a, &n->options, "com.docker.network.bridge.name", n->bridge) < 0 ||
		kvs_set(a, &n->options, "com.docker.network.driver.mtu", mtu) < 0)
		return err_nomem(e);
	return 0;
}

/* An address that the bridge had by other options goes before they are forgotten: after that nothing says that it was ours. */
static void leave_address(struct op *op, const char *bridge, const struct network *n, const struct subnet *was, const struct subnet *is)
{
	struct err e = {0};
	struct kobj o = {.kind = K_ADDR, .unit = {UNIT_NETWORK, n->id}, .addr = {.link = bridge, .addr = {.ip = was->gateway, .len = was->net.len}}};
	struct step s = {.op = STEP_DEL, .before = &o};
	struct plan p = {.v = &s, .n = 1};
	if (!ip_is_set(&was->gateway) || was->gateway_users)
		return;
	if (streq(bridge, n->bridge) && ip_eq(&was->gateway, &is->gateway) && was->net.len == is->net.len)
		return;
	if (kernel_apply(op->core->kernel, &p, &e) < 0)
		log_warn("the default bridge keeps an address: %s", e.msg);
}

/* --bridge other than docker0: the user's, which has to be there. */
static bool is_users(const struct netconf *conf)
{
	return !conf->bridge_none && !streq(conf->bridge, DEFAULT_BRIDGE);
}

int defaults_check(struct core *c, struct err *e)
{
	const struct netconf *conf = &c->conf->net;
	enum link_kind kind;
	if (!is_users(conf))
		return 0;
	try(kernel_link_kind(c->kernel, conf->bridge, &kind, e));
	return kind == LINK_BRIDGE ? 0 : err_as(e, ERR_INVALID, "bridge device with non default name %s must be created manually", conf->bridge);
}

/* The first address of the bridge that --fixed-cidr is in, if there is such an option: what --bip says of docker0. */
static void take_address(const struct host_addr *v, size_t n, const char *bridge, const struct prefix *fixed, uint8_t family, struct prefix *bip)
{
	for (size_t i = 0; i < n && !bip->ip.family; i++)
		if (streq(v[i].link, bridge) && v[i].addr.ip.family == family && !ip_is_linklocal(&v[i].addr.ip) && (!fixed->ip.family || prefix_has(&v[i].addr, &fixed->ip)))
			*bip = v[i].addr;
}

/* Subnets and gateways by the options, and by what the user's bridge has. `now`: what there was, NULL: nothing. */
static int bridge_subnets(struct op *op, const struct network *now, struct network *n, struct err *e)
{
	struct netconf *conf = &op->conf;
	struct host_addr *addrs = NULL;
	size_t naddrs = 0;
	if (now && !streq(now->bridge, n->bridge) && (now->user_device || n->user_device))
		n->v4 = n->v6 = (struct subnet){0}; /* another network's */
	if (n->user_device) {
		try(kernel_host_addrs(op->core->kernel, &op->mem, &addrs, &naddrs, e));
		take_address(addrs, naddrs, n->bridge, &conf->fixed_cidr, AF_INET, &conf->bip);
		take_address(addrs, naddrs, n->bridge, &conf->fixed_cidr6, AF_INET6, &conf->bip6);
	}
	try(ipam_default_bridge(op->next, conf, n, e));
	network_make_keep(n, addrs, naddrs);
	/* What we have put there at an earlier start is not the user's for that. */
	const struct subnet *was[] = {now ? &now->v4 : NULL, now ? &now->v6 : NULL};
	struct subnet *is[] = {&n->v4, &n->v6};
	for (size_t i = 0; i < ARRAY_LEN(is); i++)
		if (was[i] && streq(now->bridge, n->bridge) && ip_eq(&was[i]->gateway, &is[i]->gateway) && ip_is_set(&was[i]->gateway))
			is[i]->gateway_users &= was[i]->gateway_users;
	return 0;
}

static bool is_moved(const struct network *was, const struct network *is)
{
	return !streq(was->bridge, is->bridge) || !prefix_eq(&was->v4.net, &is->v4.net) || !prefix_eq(&was->v6.net, &is->v6.net);
}

static int without_bridge(struct op *op, const struct network *now, struct err *e)
{
	char id[ID_TEXT];
	if (!now)
		return 0;
	if (world_joined_in_network(op->next, now->id))
		return err_as(e, ERR_CONFLICT, "--bridge none: containers still run on the default bridge; stop them first");
	STR_COPY(id, now->id);
	return world_del(op->next, NOUN_NETWORK, id, e);
}

static int ensure_bridge(struct op *op, struct err *e)
{
	const struct network *now = world_network_by_name(op->next, "bridge");
	if (op->conf.bridge_none)
		return without_bridge(op, now, e);
	struct network *n = now ? network_copy(now) : predefined(op, "bridge", DRIVER_BRIDGE);
	if (!n)
		return err_nomem(e);
	const struct subnet before4 = n->v4, before6 = n->v6;
	n->is_default = true;
	STR_COPY(n->bridge, op->conf.bridge);
	n->user_device = is_users(&op->conf);
	n->icc = op->conf.icc;
	n->masquerade = op->conf.ip_masq;
	n->mtu = op->conf.mtu;
	int r = bridge_subnets(op, now, n, e);
	if (r >= 0 && now && is_moved(now, n) && world_joined_in_network(op->next, now->id)) {
		log_warn("the default bridge keeps its device and subnets while containers run on it");
		STR_COPY(n->bridge, now->bridge);
		n->user_device = now->user_device;
		n->v4 = before4;
		n->v6 = before6;
		n->enable_v6 = before6.net.ip.family != 0;
	}
	if (r >= 0 && now) {
		leave_address(op, now->bridge, n, &before4, &n->v4);
		leave_address(op, now->bridge, n, &before6, &n->v6);
	}
	if (r >= 0)
		r = bridge_options(op, n, e);
	if (r >= 0)
		r = driver_of(n->driver)->check(n, e);
	if (r < 0) {
		thing_unref(n);
		return r;
	}
	return world_put(op->next, n, e);
}

/* A user's bridge that a network was put on and that is no more, as after a boot: it is made anew, and ours. */
static int replace_lost(struct op *op, struct err *e)
{
	struct strv ids = {0};
	const struct network *now;
	enum link_kind kind;
	for (size_t i = 0; (now = world_next(op->next, NOUN_NETWORK, &i));)
		if (now->user_device && !now->is_default && strv_add(&op->mem, &ids, now->id) < 0)
			return err_nomem(e);
	for (size_t i = 0; i < ids.n; i++) {
		now = world_network(op->next, ids.v[i]);
		try(kernel_link_kind(op->core->kernel, now->bridge, &kind, e));
		if (kind != LINK_NONE)
			continue;
		struct network *n = network_copy(now);
		if (!n)
			return err_nomem(e);
		log_warn("the bridge of a network has gone, and is made anew network=%s device=%s", n->name, n->bridge);
		n->user_device = n->v4.gateway_users = n->v6.gateway_users = false;
		try(world_put(op->next, n, e));
	}
	return 0;
}

int defaults_networks(struct core *c, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct err bridge = {0};
	try(op_begin(c, "default networks", &op, e));
	op.durable = true;
	try(host_routes(c, &op.mem, &op.conf, e));
	try(replace_lost(&op, e));
	if (ensure_bridge(&op, &bridge) < 0) /* it stays as it was; the others do not depend on it */
		log_error("the default bridge: %s", bridge.msg);
	try(ensure_plain(&op, "host", DRIVER_HOST, e));
	try(ensure_plain(&op, "none", DRIVER_NULL, e));
	try(defaults_forwarding6(c, op.next, &op.conf, e));
	/* Saved without a plan of its own: reconcile compares the kernel as a whole right after. */
	int r = store_begin(c->store, true, e);
	if (r >= 0)
		r = store_save(c->store, op.next, e);
	if (r >= 0)
		r = store_commit(c->store, e);
	if (r < 0) {
		store_rollback(c->store);
		return r;
	}
	pthread_rwlock_wrlock(&c->world_lock);
	world_merge(c->world, STEAL(op.next));
	pthread_rwlock_unlock(&c->world_lock);
	return 0;
}

/* Was forwarding, which is about to be wanted, switched on by us in this boot, or is it now? */
static int note_forwarding(struct core *c, const char *key, const char *sysctl, bool *ours, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *boot;
	char now[16];
	*ours = false;
	if (!c->conf->net.ip_forward || !c->conf->net.iptables || c->conf->net.forward_no_drop)
		return 0;
	try(kernel_sysctl_get(sysctl, now, sizeof(now), e));
	try(store_get(c->store, key, &a, &boot, e));
	if (boot && streq(boot, c->boot_id)) {
		*ours = true;
		return 0;
	}
	if (!streq(now, "0"))
		return boot ? store_set(c->store, key, NULL, e) : 0;
	/* Noted before it is done: a crash in between leaves forwarding off, and the next start comes here again. */
	*ours = true;
	return store_set(c->store, key, c->boot_id, e);
}

int defaults_forwarding(struct core *c, struct err *e)
{
	return note_forwarding(c, "forwarding.boot", "net/ipv4/ip_forward", &c->policy_drop, e);
}

int defaults_forwarding6(struct core *c, const struct world *w, struct netconf *conf, struct err *e)
{
	if (c->policy_drop6 || !c->conf->net.ip6tables || !want_any_v6(w) || access("/proc/sys/net/ipv6", F_OK) < 0)
		return 0;
	try(note_forwarding(c, "forwarding6.boot", "net/ipv6/conf/all/forwarding", &c->policy_drop6, e));
	conf->policy_drop6 = c->policy_drop6;
	return 0;
}
