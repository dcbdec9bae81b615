/* Theory of operation
 *
 * One function adds, one deletes, one changes each kind of object; run() finds them in a table. What lives in a sandbox is done on the
 * calling thread after setns(2) into it, with a netlink socket made there, and back. Descriptor and socket serve all steps of a plan: they keep the
 * namespace alive, so they are closed at the plan's end, and before the namespace is dropped.
 *
 * Taking a sandbox away must be quick and final: removing a link costs 20 to 40 ms, because the kernel waits for RCU, but dropping the
 * last reference to a namespace returns at once and the links go later. Until they have gone, the old container's address would still
 * answer ARP. So the ports of its veths are first set to the state "disabled" (net/bridge/br_netlink.c, br_set_port_state: no RCU wait),
 * which silences them at that moment, and observe() waits for ends that are going. Only an undo makes a veth of
 * the same name again (endpoint ids are random): veth_add then removes the end that is still there, which its alias tells from any other. */
#include "kernel/real.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "kernel/netns.h"
#include "kernel/nfsock.h"

#define PORT_DISABLED   0
#define PORT_FORWARDING 3
#define CARRIER_TRIES   50

int real_index(const char *name, struct err *e)
{
	unsigned i = if_nametoindex(name);
	return i ? (int)i : err_set(e, -ENODEV, "interface %s does not exist", name);
}

struct inside {
	int (*fn)(struct nl *nl, void *arg, struct err *e);
	struct nl *nl;
	void *arg;
};

void real_leave(struct real *k)
{
	struct visit *v = &k->visit;
	nl_close(&v->nl);
	own_fd(&v->fd);
	own_fd(&v->home);
	*v = (struct visit){.home = -1, .fd = -1, .nl = NL_NONE};
}

static int open_socket(void *arg, struct err *e)
{
	return nl_open(arg, e);
}

static int enter(struct real *k, const char *ns, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct visit *v = &k->visit;
	const char *path = want_netns_path(k->conf, ns, &a);
	if (!path)
		return err_nomem(e);
	v->fd = netns_open(path, e);
	if (v->fd < 0)
		return v->fd;
	v->home = netns_home(e);
	if (v->home < 0)
		return v->home;
	try(netns_run_from(v->home, v->fd, open_socket, &v->nl, e));
	STR_COPY(v->ns, ns);
	return 0;
}

int real_visit(struct real *k, const char *ns, struct err *e)
{
	int r = 0;
	if (!streq(k->visit.ns, ns)) {
		real_leave(k);
		r = enter(k, ns, e);
		if (r < 0)
			real_leave(k);
	}
	return r < 0 ? r : k->visit.fd;
}

static int run_inside(void *arg, struct err *e)
{
	struct inside *in = arg;
	return in->fn(in->nl, in->arg, e);
}

int real_in(struct real *k, const char *ns, int (*fn)(struct nl *nl, void *arg, struct err *e), void *arg, struct err *e)
{
	struct inside in = {.fn = fn, .nl = &k->visit.nl, .arg = arg};
	if (!ns)
		return fn(&k->nl, arg, e);
	int fd = real_visit(k, ns, e);
	return fd < 0 ? fd : netns_run_from(k->visit.home, fd, run_inside, &in, e);
}

static int call(struct nl *nl, struct nlmsghdr *m, struct err *e)
{
	return m ? nl_call(nl, m, e) : err_set(e, -EMSGSIZE, "a netlink message does not fit");
}

static int fail(int r, const struct kobj *o, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	if (r < 0 && o->kind != K_LISTEN) /* which says it in Docker's words */
		(void)err_ctx(e, "%s", kobj_text(o, &a));
	return r < 0 ? r : 0;
}

/* --- namespaces --- */

static int netns_add(struct real *k, const struct kobj *o, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *path = want_netns_path(k->conf, o->ns, &a), *dir = arena_printf(&a, "%s/netns", k->conf->exec_root);
	if (a.bad)
		return err_nomem(e);
	try(mkdir_p(dir, 0755, e));
	return netns_make(path, e);
}

static int netns_del(struct real *k, const struct step *s, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	char buf[NL_BUF];
	int *links = arena_new(&a, int, s->nimplied + 1);
	size_t n = 0;
	if (!links)
		return err_nomem(e);
	for (size_t i = 0; i < s->nimplied; i++) {
		int index = s->implied[i]->kind == K_VETH ? (int)if_nametoindex(s->implied[i]->veth.name) : 0;
		/* Silence only: a port that has gone already is as silent as can be. */
		if (index && call(&k->nl, rtnl_port_state(buf, index, PORT_DISABLED), NULL) < 0)
			log_debug("port %s was not silenced", s->implied[i]->veth.name);
		if (index)
			links[n++] = index;
	}
	const char *path = want_netns_path(k->conf, s->before->ns, &a);
	if (!path)
		return err_nomem(e);
	real_leave(k);
	try(netns_drop(path, e));
	links_remove_later(links, n);
	return 0;
}

/* --- links --- */

static int set_alias(struct nl *nl, int index, const char *alias, int mtu, struct err *e)
{
	char buf[NL_BUF];
	struct rtnl_link_change c = {.index = index, .up = -1, .master = -1, .alias = alias, .mtu = mtu};
	return call(nl, rtnl_link_set(buf, &c), e);
}

static int link_del(const char *name, struct err *e)
{
	int index = (int)if_nametoindex(name);
	return index ? link_remove(index, e) : 0; /* gone already: what was asked for */
}

/* A bridge without an address of its own takes one of its ports' and changes it when that port goes (net/bridge/br_stp_if.c,
 * br_stp_recalculate_bridge_id): every other container then talks to a gateway that is no more, until its neighbour entry is
 * too old. One that is given at creation stays. It comes from the alias (FNV-1a), so that a lost bridge comes back with the
 * same; 02:50 keeps it apart from the 02:42 of containers. tests/kernel/test_scene.c, sandboxes_talk and bridge_keeps_its_mac. */
static struct mac bridge_mac(const struct kobj *o)
{
	uint32_t h = 2166136261u;
	if (mac_is_set(&o->bridge.mac))
		return o->bridge.mac;
	for (const char *p = o->bridge.alias ? o->bridge.alias : o->bridge.name; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return (struct mac){.b = {0x02, 0x50, (uint8_t)(h >> 24), (uint8_t)(h >> 16), (uint8_t)(h >> 8), (uint8_t)h}};
}

static int bridge_change(struct real *k, const struct kobj *o, struct err *e)
{
	char buf[NL_BUF];
	int index = real_index(o->bridge.name, e);
	struct rtnl_link_change c = {.index = index, .up = -1, .master = -1, .mtu = o->bridge.mtu, .alias = o->bridge.adopt ? NULL : o->bridge.alias,
		.mac = mac_is_set(&o->bridge.mac) ? &o->bridge.mac : NULL};
	if (index < 0)
		return index;
	if (o->bridge.filter)
		try(netfilter_on_bridges(e));
	if (!o->bridge.adopt || o->bridge.filter)
		try(call(&k->nl, rtnl_bridge_filter(buf, index, o->bridge.filter), e));
	return call(&k->nl, rtnl_link_set(buf, &c), e);
}

static int bridge_add(struct real *k, const struct kobj *o, struct err *e)
{
	char buf[NL_BUF];
	if (o->bridge.adopt)
		return o->bridge.filter ? bridge_change(k, o, e) : real_index(o->bridge.name, e) < 0 ? -ENODEV : 0;
	struct mac mac = bridge_mac(o);
	if (o->bridge.filter)
		try(netfilter_on_bridges(e));
	/* An MTU that is given at creation is only a first value, which ports change (br_mtu_auto_adjust); one that is set stays. */
	int r = call(&k->nl, rtnl_bridge_add(buf, o->bridge.name, &mac, 0, o->bridge.filter), e);
	if (r == -EEXIST)
		return err_as(e, ERR_CONFLICT, "the interface %s exists and is not Pontoon's: remove it (ip link del %s), or give a bridge of your own with --bridge", o->bridge.name, o->bridge.name);
	if (r < 0)
		return r;
	int index = real_index(o->bridge.name, e);
	r = index < 0 ? index : o->bridge.alias || o->bridge.mtu ? set_alias(&k->nl, index, o->bridge.alias, o->bridge.mtu, e) : 0;
	if (r < 0)
		(void)link_del(o->bridge.name, NULL); /* the first error counts */
	return r;
}

/* The same endpoint's end that has not gone yet is removed now. */
static int remove_dying(struct real *k, const struct kobj *o, struct err *e)
{
	struct rtnl_link found = {0};
	try(observe_link_named(&k->nl, o->veth.name, &found, e));
	if (found.index && !streq(found.alias, o->veth.alias))
		return err_set(e, -EEXIST, "the interface %s exists and is not this endpoint's", o->veth.name);
	return link_del(o->veth.name, e);
}

static int veth_add(struct real *k, const struct kobj *o, struct err *e)
{
	char buf[NL_BUF];
	int ns = real_visit(k, o->ns, e);
	if (ns < 0)
		return ns;
	int master = o->veth.master ? real_index(o->veth.master, e) : 0;
	if (master < 0)
		return master;
	int r = call(&k->nl, rtnl_veth_add(buf, o->veth.name, master, o->veth.mtu, o->veth.inner, ns, &o->veth.mac), e);
	if (r == -EEXIST && o->veth.alias && if_nametoindex(o->veth.name)) {
		try(remove_dying(k, o, e));
		r = call(&k->nl, rtnl_veth_add(buf, o->veth.name, master, o->veth.mtu, o->veth.inner, ns, &o->veth.mac), e);
	}
	if (r == -EXFULL)
		return err_as(e, ERR_UNAVAILABLE, "%s is full: a Linux bridge holds 1,023 ports", o->veth.master);
	if (r < 0)
		return r;
	int index = real_index(o->veth.name, e);
	r = index < 0 ? index : set_alias(&k->nl, index, o->veth.alias, 0, e);
	if (r >= 0 && o->veth.hairpin)
		r = call(&k->nl, rtnl_port_hairpin(buf, index, true), e);
	if (r < 0)
		(void)link_del(o->veth.name, NULL); /* the first error counts */
	return r;
}

static int veth_change(struct real *k, const struct kobj *o, struct err *e)
{
	char buf[NL_BUF];
	int index = real_index(o->veth.name, e), master = index >= 0 && o->veth.master ? real_index(o->veth.master, e) : 0;
	struct rtnl_link_change c = {.index = index, .up = -1, .master = master, .mtu = o->veth.mtu, .alias = o->veth.alias};
	int r = index < 0 ? index : master < 0 ? master : call(&k->nl, rtnl_link_set(buf, &c), e);
	/* Last: who comes to a bridge comes without. */
	return r >= 0 && o->veth.master ? call(&k->nl, rtnl_port_hairpin(buf, index, o->veth.hairpin), e) : r;
}

/* --- what is on a link: done inside its namespace --- */

struct on_link {
	const struct kobj *o;
	bool add, replace;
	struct nl *host; /* the daemon's own socket: it stays in its namespace */
	int port;        /* index on the host of K_UP's port; 0: none */
};

static int addr_in(struct nl *nl, void *arg, struct err *e)
{
	const struct on_link *w = arg;
	char buf[NL_BUF];
	int index = real_index(w->o->addr.link, e);
	if (index < 0)
		return w->add ? index : 0; /* it went with the link */
	int r = call(nl, rtnl_addr_change(buf, w->add, index, &w->o->addr.addr, w->o->addr.nodad), e);
	return !w->add && r == -EADDRNOTAVAIL ? 0 : r;
}

/* Whether a change of the link's MAC is announced. A kernel without IPv6 has the one alone. */
static void announce_changes(const char *link, const char *value)
{
	char path[64];
	snprintf(path, sizeof(path), "net/ipv4/conf/%s/arp_notify", link);
	(void)sysctl_write(path, value, NULL);
	snprintf(path, sizeof(path), "net/ipv6/conf/%s/ndisc_notify", link);
	(void)sysctl_write(path, value, NULL);
}

/* The bridge refuses until the kernel's watch over carriers has seen the one that has just come (net/core/link_watch.c), which may be a while on a busy
 * machine. Asking for the link makes it look (Linux 6.8 and later); else it is waited for. */
static int forward_now(struct nl *host, int port, const char *name)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	struct rtnl_link link;
	char buf[NL_BUF];
	int r = call(host, rtnl_port_state(buf, port, PORT_FORWARDING), NULL);
	for (int i = 0; r == -ENETDOWN && i < CARRIER_TRIES; i++) {
		if (i)
			(void)nanosleep(&pause, NULL);
		(void)observe_link_named(host, name, &link, NULL);
		r = call(host, rtnl_port_state(buf, port, PORT_FORWARDING), NULL);
	}
	return r;
}

static int up_in(struct nl *nl, void *arg, struct err *e)
{
	const struct on_link *w = arg;
	char buf[NL_BUF];
	struct rtnl_link_change c = {.index = real_index(w->o->up.link, e), .up = w->add, .master = -1};
	if (c.index < 0)
		return c.index;
	try(call(nl, rtnl_link_set(buf, &c), e));
	/* Why: net/driver_bridge.c. The network works without; a port that is not there (yet) is only not announced on. */
	struct rtnl_link_change announce = {.index = c.index, .up = -1, .master = -1, .mac = &w->o->up.mac};
	bool ready = !w->port || forward_now(w->host, w->port, w->o->up.port) >= 0;
	if (!w->port || !mac_is_set(&w->o->up.mac))
		return 0;
	announce_changes(w->o->up.link, "1");
	if (!ready || call(nl, rtnl_link_set(buf, &announce), NULL) < 0)
		log_debug("the addresses of %s were not announced", w->o->up.link);
	announce_changes(w->o->up.link, "0");
	return 0;
}

static int route_in(struct nl *nl, void *arg, struct err *e)
{
	const struct on_link *w = arg;
	char buf[NL_BUF];
	int index = real_index(w->o->route.link, e);
	if (index < 0)
		return index;
	int r = call(nl, rtnl_route_change(buf, w->add, w->replace, &w->o->route.dst, &w->o->route.via, index, w->o->route.metric), e);
	return !w->add && r == -ESRCH ? 0 : r;
}

static int ctl_in(struct nl *nl, void *arg, struct err *e)
{
	const struct on_link *w = arg;
	(void)nl;
	const char *path = w->o->ctl.path, *value = w->o->ctl.value;
	char link[IFNAME], six[2];
	if (sysctl_is_moot(path, value))
		return 0;
	int r = sysctl_write(path, value, e);
	if (r < 0 && w->o->ns && streq(value, "1") && sscanf(path, "net/ipv6/conf/%15[^/]/disable_ipv%1[6]", link, six) == 2)
		return err_ctx(e, "failed to disable IPv6 on container's interface %s", link);
	return r;
}

static int inside(struct real *k, const struct kobj *o, int (*fn)(struct nl *, void *, struct err *), bool add, bool replace, struct err *e)
{
	struct on_link w = {.o = o, .add = add, .replace = replace, .host = &k->nl};
	if (o->kind == K_UP && add && o->up.port)
		w.port = (int)if_nametoindex(o->up.port);
	return real_in(k, o->ns, fn, &w, e);
}

static int add_one(struct real *k, const struct kobj *o, struct err *e)
{
	switch (o->kind) {
	case K_FLOWS:
		return conntrack_settle(k, NULL, o, e);
	case K_LISTEN:
		return listen_add(k, o, e);
	case K_NETNS:
		return netns_add(k, o, e);
	case K_BRIDGE:
		return bridge_add(k, o, e);
	case K_VETH:
		return veth_add(k, o, e);
	case K_NSCTL:
	case K_HOSTCTL:
		return inside(k, o, ctl_in, true, false, e);
	case K_ADDR:
		return inside(k, o, addr_in, true, false, e);
	case K_FILE:
		return files_add(o, e);
	case K_UP:
		return inside(k, o, up_in, true, false, e);
	case K_ROUTE:
		return inside(k, o, route_in, true, false, e);
	case K_DNS:
		return dns_add(k, o, e);
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_NFT_TABLE:
	case K_NFT_ELEM:
	case K_KIND_N:
		break;
	}
	return err_set(e, -EINVAL, "a firewall object outside a firewall step");
}

static int del_one(struct real *k, const struct step *s, struct err *e)
{
	const struct kobj *o = s->before;
	switch (o->kind) {
	case K_FLOWS:
		return conntrack_settle(k, o, NULL, e);
	case K_LISTEN:
		return listen_del(k, o, e);
	case K_NETNS:
		return netns_del(k, s, e);
	case K_BRIDGE: /* a device of the user's: diff never asks for this, but an undo does */
		return o->bridge.adopt ? 0 : link_del(o->bridge.name, e);
	case K_VETH:
		return link_del(o->veth.name, e);
	case K_NSCTL:
	case K_HOSTCTL:
		return 0; /* a setting has no absence; it goes with its link or stays */
	case K_ADDR:
		return inside(k, o, addr_in, false, false, e);
	case K_FILE:
		return files_del(o, e);
	case K_UP:
		return o->up.keep ? 0 : inside(k, o, up_in, false, false, e);
	case K_ROUTE:
		return inside(k, o, route_in, false, false, e);
	case K_DNS:
		return dns_del(k, s, e);
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_NFT_TABLE:
	case K_NFT_ELEM:
	case K_KIND_N:
		break;
	}
	return err_set(e, -EINVAL, "a firewall object outside a firewall step");
}

static int change_one(struct real *k, const struct kobj *was, const struct kobj *o, struct err *e)
{
	switch (o->kind) {
	case K_FLOWS:
		return conntrack_settle(k, was, o, e);
	case K_LISTEN:
		return listen_change(k, o, e);
	case K_BRIDGE:
		return bridge_change(k, o, e);
	case K_VETH:
		return veth_change(k, o, e);
	case K_NSCTL:
	case K_HOSTCTL:
		return inside(k, o, ctl_in, true, false, e);
	case K_FILE:
		return files_change(was, o, e);
	case K_ROUTE:
		return inside(k, o, route_in, true, true, e);
	case K_NETNS:
	case K_ADDR:
	case K_UP:
	case K_DNS:
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_NFT_TABLE:
	case K_NFT_ELEM:
	case K_KIND_N:
		break;
	}
	return err_set(e, -EINVAL, "an object that cannot be changed in place");
}

static int real_run(struct kernel *ops, const struct step *s, struct err *e)
{
	struct real *k = (struct real *)ops;
	switch (s->op) {
	case STEP_ADD:
		return fail(add_one(k, s->after, e), s->after, e);
	case STEP_DEL:
		return fail(del_one(k, s, e), s->before, e);
	case STEP_CHANGE:
		return fail(change_one(k, s->before, s->after, e), s->after, e);
	case STEP_FW:
		return s->family == FW_NFT ? nft_step(k, s, e) : fwrun_step(k, s, e);
	}
	return err_set(e, -EINVAL, "an unknown step");
}

void real_changed_rules(struct real *k, const struct stamp *before, unsigned n)
{
	struct stamp after;
	stamp_read(&k->stamper, false, &after);
	if (stamp_same(before, &k->right) && stamp_follows(before, &after, n))
		k->right = after;
}

static int real_observe(struct kernel *ops, unsigned parts, struct arena *a, const struct kstate *want, const struct world *known, struct kstate *out, struct err *e)
{
	int r = observe_parts((struct real *)ops, parts, a, want, known, out, e);
	real_leave((struct real *)ops);
	return r;
}

static void real_done(struct kernel *ops)
{
	real_leave((struct real *)ops);
}

static void real_free(struct kernel *ops)
{
	struct real *k = (struct real *)ops;
	real_leave(k);
	nl_close(&k->nl);
	stamper_close(&k->stamper);
	nft_close(k);
	fwrun_close(k);
	free(k);
}

int kernel_new(const struct netconf *conf, struct kernel **out, struct err *e)
{
	struct real *k = calloc(1, sizeof(*k));
	if (!k)
		return err_nomem(e);
	k->ops = (struct kernel){.run = real_run, .done = real_done, .observe = real_observe, .routes = observe_routes, .addrs = observe_addrs, .link = observe_link, .free = real_free};
	k->conf = conf;
	k->visit = (struct visit){.home = -1, .fd = -1, .nl = NL_NONE};
	k->stamper = (struct stamper)STAMPER_NONE;
	int r = nl_open(&k->nl, e);
	if (r >= 0)
		r = nfsock_start(e);
	if (r >= 0)
		r = stamper_open(&k->stamper, conf->iptables && !conf->nftables, e);
	if (r < 0) {
		real_free(&k->ops);
		return r;
	}
	*out = &k->ops;
	return 0;
}
