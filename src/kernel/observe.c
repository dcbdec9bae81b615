/* observe: what is there of ours. On the host: links with our alias, the default bridge, addresses and states of those; in every namespace
 * bound below <exec-root>/netns: its links, addresses, default routes. Settings and files are looked at where `want` names them: they have
 * no mark of their own. */
#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/map.h"
#include "kernel/netns.h"
#include "kernel/real.h"

#define LINKS_MAX       65536
#define ORPHAN_PAUSE_MS 20
#define ORPHAN_LIMIT_MS 2000

struct table {
	struct rtnl_link *links;
	size_t n, cap;
	struct rtnl_addr *addrs;
	size_t naddrs, acap;
	struct rtnl_route *routes;
	size_t nroutes, rcap;
	struct arena *a;
};

static int take_link(const struct nlmsghdr *m, void *arg)
{
	struct table *t = arg;
	if (t->n >= LINKS_MAX)
		return -ENOMEM;
	try(arena_room(t->a, t->links, t->n, t->cap));
	return rtnl_link_read(m, &t->links[t->n]) < 0 ? 0 : (t->n++, 0);
}

static int take_addr(const struct nlmsghdr *m, void *arg)
{
	struct table *t = arg;
	try(arena_room(t->a, t->addrs, t->naddrs, t->acap));
	return rtnl_addr_read(m, &t->addrs[t->naddrs]) < 0 ? 0 : (t->naddrs++, 0);
}

static int take_route(const struct nlmsghdr *m, void *arg)
{
	struct table *t = arg;
	try(arena_room(t->a, t->routes, t->nroutes, t->rcap));
	return rtnl_route_read(m, &t->routes[t->nroutes]) < 0 ? 0 : (t->nroutes++, 0);
}

typedef struct nlmsghdr *(*dump_builder)(char *buf);

static struct nlmsghdr *routes4(char *buf)
{
	return rtnl_route_dump(buf, AF_INET);
}

static struct nlmsghdr *routes6(char *buf)
{
	return rtnl_route_dump(buf, AF_INET6);
}

/* A dump that changes interrupted is taken again. */
static int dump(struct nl *nl, dump_builder build, int (*each)(const struct nlmsghdr *, void *), struct table *t, size_t *count, struct err *e)
{
	char buf[NL_BUF];
	size_t before = *count;
	for (int i = 0;; i++) {
		int r = nl_dump(nl, build(buf), each, t, e);
		if (r == -ENOENT)
			return 0; /* a namespace that never had a route has no table of them */
		if (r != -EINTR || i == 20)
			return r == -ENOMEM ? err_nomem(e) : r;
		*count = before;
	}
}

static int read_tables(struct nl *nl, void *arg, struct err *e)
{
	struct table *t = arg;
	try(dump(nl, rtnl_link_dump, take_link, t, &t->n, e));
	try(dump(nl, rtnl_addr_dump, take_addr, t, &t->naddrs, e));
	try(dump(nl, routes4, take_route, t, &t->nroutes, e));
	return access("/proc/sys/net/ipv6", F_OK) < 0 ? 0 : dump(nl, routes6, take_route, t, &t->nroutes, e);
}

static bool has_alias(const struct rtnl_link *link)
{
	return str_starts(link->alias, "pontoon:");
}

static const struct rtnl_link *by_index(const struct table *t, int index)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->links[i].index == index)
			return &t->links[i];
	return NULL;
}

struct look {
	struct real *k;
	struct arena *a;
	const struct kstate *want;
	const struct world *known;
	struct kstate *out;
	struct map dns;   /* sandboxes that want a name server */
	struct map addrs; /* addr_key() of the addresses that are wanted */
	struct map bridges; /* those that are wanted: a user's own has no mark */
	struct table host;
	struct sandbox {
		const char *id; /* container id, or the name of the file when no container is known for it */
		struct table t;
	} *boxes;
	size_t nboxes;
};

/* A crash between the making of a device and its alias leaves one that only the intent names. */
static bool is_claimed(const struct real *k, const struct rtnl_link *link)
{
	return k->ops.claimed && !*link->alias && strv_has(k->ops.claimed, link->name);
}

static int add(struct look *l, const struct kobj *o, struct err *e)
{
	return kstate_add(l->out, o) < 0 ? err_nomem(e) : 0;
}

static const char *addr_key(struct arena *a, const char *ns, const char *link, const struct prefix *p)
{
	char t[PREFIX_TEXT];
	return arena_printf(a, "%s/%s/%s", ns ? ns : "", link, prefix_format(p, t));
}

/* Only addresses that `want` means are ours: others were put there by people, or by the container itself. */
static int add_addrs(struct look *l, const struct table *t, const struct rtnl_link *link, struct unit u, const char *ns, struct err *e)
{
	for (size_t i = 0; i < t->naddrs; i++) {
		const struct rtnl_addr *r = &t->addrs[i];
		struct kobj o = {.kind = K_ADDR, .unit = u, .ns = ns, .addr = {.link = link->name, .addr = r->addr}};
		if (r->index != link->index)
			continue;
		const char *key = addr_key(l->a, ns, link->name, &r->addr);
		if (!key)
			return err_nomem(e);
		if (map_gets(&l->addrs, key))
			try(add(l, &o, e));
	}
	return 0;
}

static int add_up(struct look *l, const struct rtnl_link *link, struct unit u, const char *ns, struct err *e)
{
	struct kobj o = {.kind = K_UP, .unit = u, .ns = ns, .up = {.link = link->name}};
	return link->up ? add(l, &o, e) : 0;
}

static int add_bridge(struct look *l, const struct rtnl_link *link, struct err *e)
{
	struct unit u = {UNIT_NETWORK, has_alias(link) ? link->alias + strlen("pontoon:") : link->name};
	struct kobj o = {.kind = K_BRIDGE, .unit = u, .bridge = {.name = link->name, .mac = link->mac, .mtu = link->mtu, .alias = link->alias, .filter = link->filter}};
	try(add(l, &o, e));
	try(add_up(l, link, u, NULL, e));
	return add_addrs(l, &l->host, link, u, NULL, e);
}

static const struct sandbox *box_of_peer(const struct look *l, const struct rtnl_link *host, const struct rtnl_link **inner)
{
	for (size_t b = 0; b < l->nboxes; b++) {
		const struct table *t = &l->boxes[b].t;
		for (size_t i = 0; i < t->n; i++) {
			if (t->links[i].index == host->peer && t->links[i].peer == host->index && streq(t->links[i].kind, "veth")) {
				*inner = &t->links[i];
				return &l->boxes[b];
			}
		}
	}
	return NULL;
}

static int add_veth(struct look *l, const struct rtnl_link *link, struct err *e)
{
	const struct rtnl_link *inner = NULL, *master = link->master ? by_index(&l->host, link->master) : NULL;
	const struct sandbox *box = box_of_peer(l, link, &inner);
	struct unit u = {UNIT_ENDPOINT, has_alias(link) ? link->alias + strlen("pontoon:") : link->name};
	struct kobj o = {.kind = K_VETH, .unit = u, .ns = box ? box->id : NULL,
		.veth = {.name = link->name, .inner = inner ? inner->name : "", .mtu = link->mtu, .master = master ? master->name : NULL, .hairpin = link->hairpin, .alias = link->alias}};
	if (inner)
		o.veth.mac = inner->mac;
	try(add(l, &o, e));
	return add_up(l, link, u, NULL, e);
}

static int look_host(struct look *l, struct err *e)
{
	for (size_t i = 0; i < l->host.n; i++) {
		const struct rtnl_link *link = &l->host.links[i];
		bool claimed = is_claimed(l->k, link), marked = has_alias(link) || claimed;
		if (streq(link->kind, "bridge") && (marked || map_gets(&l->bridges, link->name)))
			try(add_bridge(l, link, e));
		if (streq(link->kind, "veth") && marked && (claimed || strchr(link->alias, '/')))
			try(add_veth(l, link, e));
	}
	return 0;
}

/* A veth of ours whose other end no bound namespace has: a leftover, or going with its namespace at this moment. */
static bool is_orphan(const struct look *l, const struct rtnl_link *link)
{
	const struct rtnl_link *inner;
	return streq(link->kind, "veth") && str_starts(link->alias, "pontoon:") && strchr(link->alias, '/') && !box_of_peer(l, link, &inner);
}

/* The kernel takes a dropped namespace down later, on a thread of its own, and nothing that it tells about a link says that this has been
 * decided. What is going is gone within this time; what is not, somebody still holds, and it is reported. */
static int wait_for_orphans(struct look *l, struct err *e)
{
	static const struct timespec pause = {.tv_nsec = ORPHAN_PAUSE_MS * 1000000};
	for (int i = 0; i < ORPHAN_LIMIT_MS / ORPHAN_PAUSE_MS; i++) {
		bool any = false;
		for (size_t k = 0; !any && k < l->host.n; k++)
			any = is_orphan(l, &l->host.links[k]);
		if (!any)
			return 0;
		(void)nanosleep(&pause, NULL);
		l->host = (struct table){.a = l->a};
		try(read_tables(&l->k->nl, &l->host, e));
	}
	return 0;
}

/* Sockets that are held but not wanted count as they are: they keep the namespace alive. Of wanted ones the NAT must lead to them. */
static int look_dns(struct look *l, const struct sandbox *b, struct err *e)
{
	struct kobj o = {.kind = K_DNS, .unit = {UNIT_SANDBOX, b->id}, .ns = b->id};
	bool there = map_gets(&l->dns, b->id) ? dns_there(l->k, b->id) : dns_held(l->k, b->id);
	return there ? add(l, &o, e) : 0;
}

static int look_box(struct look *l, const struct sandbox *b, struct err *e)
{
	struct unit u = {UNIT_SANDBOX, b->id};
	try(look_dns(l, b, e));
	struct kobj ns = {.kind = K_NETNS, .unit = u, .ns = b->id};
	try(add(l, &ns, e));
	for (size_t i = 0; i < b->t.n; i++) {
		const struct rtnl_link *link = &b->t.links[i];
		bool lo = streq(link->name, "lo");
		if (!lo && !streq(link->kind, "veth"))
			continue;
		try(add_up(l, link, u, b->id, e));
		if (!lo)
			try(add_addrs(l, &b->t, link, u, b->id, e));
	}
	for (size_t i = 0; i < b->t.nroutes; i++) {
		const struct rtnl_route *r = &b->t.routes[i];
		const struct rtnl_link *link = by_index(&b->t, r->index);
		struct kobj o = {.kind = K_ROUTE, .unit = u, .ns = b->id, .route = {.dst = r->dst, .via = r->via, .link = link ? link->name : ""}};
		if (r->table == RT_TABLE_MAIN && r->type == RTN_UNICAST && r->dst.len == 0 && r->protocol == RTPROT_BOOT)
			try(add(l, &o, e));
	}
	return 0;
}

/* The container whose sandbox the file stands for; files of unknown ones keep their name, so that they can be dropped by it. */
static const char *box_owner(struct look *l, const char *name)
{
	const struct container *c;
	for (size_t i = 0; l->known && (c = world_next(l->known, NOUN_CONTAINER, &i));)
		if (strncmp(c->id, name, 12) == 0)
			return c->id;
	return arena_dup(l->a, name);
}

static int open_boxes(struct look *l, struct err *e)
{
	const char *path = arena_printf(l->a, "%s/netns", l->k->conf->exec_root);
	size_t cap = 0;
	OWN(own_dir) DIR *d = path ? opendir(path) : NULL;
	struct dirent *entry;
	if (!d)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "open %s", path ? path : "netns");
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		if (arena_room(l->a, l->boxes, l->nboxes, cap) < 0)
			return err_nomem(e);
		struct sandbox *b = &l->boxes[l->nboxes++];
		*b = (struct sandbox){.id = box_owner(l, entry->d_name), .t = {.a = l->a}};
		struct err one = {0};
		int r = real_in(l->k, b->id, read_tables, &b->t, &one);
		if (r == -ENOMEM)
			return err_nomem(e);
		/* A file that is not bound (a crash between create and mount) is a namespace with nothing in it: it can only be dropped. */
	}
	return 0;
}

struct ctl_look {
	const struct kobj *want;
	char value[256];
};

static int read_ctl(struct nl *nl, void *arg, struct err *e)
{
	struct ctl_look *c = arg;
	(void)nl;
	if (sysctl_is_moot(c->want->ctl.path, c->want->ctl.value)) {
		str_copy(c->value, sizeof(c->value), c->want->ctl.value);
		return 0;
	}
	return sysctl_read(c->want->ctl.path, c->value, sizeof(c->value), e);
}

static int look_wanted(struct look *l, struct err *e)
{
	for (size_t i = 0; i < l->want->n; i++) {
		struct kobj o = l->want->v[i];
		if (o.kind == K_FILE && access(o.file.path, F_OK) == 0) {
			o.file.text = NULL;
			try(add(l, &o, e));
		}
		if (o.kind == K_FLOWS) /* what was settled stays so */
			try(add(l, &o, e));
		if (o.kind == K_LISTEN && listen_there(l->k, &l->want->v[i]))
			try(add(l, &o, e));
		if (o.kind == K_NSCTL || o.kind == K_HOSTCTL) {
			struct ctl_look c = {.want = &l->want->v[i]};
			if (real_in(l->k, o.ns, read_ctl, &c, NULL) < 0)
				continue; /* no such link or namespace: absent */
			o.ctl.value = arena_dup(l->a, c.value);
			if (!o.ctl.value)
				return err_nomem(e);
			try(add(l, &o, e));
		}
	}
	return 0;
}

static void own_look(struct look *l)
{
	map_free(&l->dns);
	map_free(&l->addrs);
	map_free(&l->bridges);
}

/* A built-in chain that iptables has not made yet accepts. */
static int open_policies(const struct kstate *want, struct kstate *out)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct kobj *o = &want->v[i];
		bool seen = o->kind != K_POLICY || !streq(o->policy.value, "ACCEPT");
		for (size_t k = 0; !seen && k < out->n; k++)
			seen = out->v[k].kind == K_POLICY && kobj_cmp_key(&out->v[k], o) == 0;
		if (!seen)
			try(kstate_add(out, o));
	}
	return 0;
}

static int look_rest(struct look *l, struct err *e)
{
	try(read_tables(&l->k->nl, &l->host, e));
	try(open_boxes(l, e));
	try(wait_for_orphans(l, e));
	for (size_t i = 0; i < l->nboxes; i++)
		try(look_box(l, &l->boxes[i], e));
	try(look_host(l, e));
	return look_wanted(l, e);
}

int observe_parts(struct real *k, unsigned parts, struct arena *a, const struct kstate *want, const struct world *known, struct kstate *out, struct err *e)
{
	OWN(own_look) struct look l = {.k = k, .a = a, .want = want, .known = known, .out = out, .host = {.a = a}};
	for (size_t i = 0; i < want->n; i++) {
		struct kobj *o = &want->v[i];
		const char *key = o->kind == K_ADDR ? addr_key(a, o->ns, o->addr.link, &o->addr.addr) : o->ns;
		if ((o->kind == K_DNS && map_puts(&l.dns, key, o) < 0) || (o->kind == K_ADDR && (!key || map_puts(&l.addrs, key, o) < 0)) ||
			(o->kind == K_BRIDGE && map_puts(&l.bridges, o->bridge.name, o) < 0))
			return err_nomem(e);
	}
	if (parts & KERNEL_REST)
		try(look_rest(&l, e));
	else
		try(dump(&k->nl, rtnl_link_dump, take_link, &l.host, &l.host.n, e));
	if (!(parts & KERNEL_RULES) || !k->conf->iptables)
		return 0;
	struct strv marked = {0};
	for (size_t i = 0; k->ops.claimed && i < k->ops.claimed->n; i++)
		if (strchr(k->ops.claimed->v[i], '/') && strv_add(a, &marked, k->ops.claimed->v[i]) < 0) /* a port: no device has a slash */
			return err_nomem(e);
	for (size_t i = 0; i < l.host.n; i++)
		if ((has_alias(&l.host.links[i]) || is_claimed(k, &l.host.links[i])) && strv_add(a, &marked, l.host.links[i].name) < 0)
			return err_nomem(e);
	/* Also what the other backend left. */
	try(nft_observe(k, a, want, out, e));
	try(fwrun_observe(k, a, want, known, &marked, out, e));
	return open_policies(want, out) < 0 ? err_nomem(e) : 0;
}

static int take_one(const struct nlmsghdr *m, void *arg)
{
	return rtnl_link_read(m, arg);
}

int observe_link_named(struct nl *nl, const char *name, struct rtnl_link *out, struct err *e)
{
	char buf[NL_BUF];
	struct rtnl_link l = {0};
	if (strlen(name) >= KIFNAME)
		return err_set(e, -EINVAL, "%s is too long for an interface's name", name);
	int r = nl_get(nl, rtnl_link_get(buf, name), take_one, &l, e);
	if (r < 0 && r != -ENODEV)
		return r;
	*out = l;
	return 0;
}

int kernel_foreign_port(struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_nl) struct nl nl = NL_NONE;
	struct table t = {.a = &a};
	try(nl_open(&nl, e));
	try(dump(&nl, rtnl_link_dump, take_link, &t, &t.n, e));
	for (size_t i = 0; i < t.n; i++) {
		const struct rtnl_link *on = t.links[i].master ? by_index(&t, t.links[i].master) : NULL;
		if (on && has_alias(on) && !has_alias(&t.links[i]))
			return err_as(e, ERR_CONFLICT, "%s hangs on %s and is not Pontoon's: remove it first", t.links[i].name, on->name);
	}
	return 0;
}

int observe_addrs(struct kernel *ops, struct arena *a, struct host_addr **out, size_t *n, struct err *e)
{
	struct real *k = (struct real *)ops;
	struct table t = {.a = a};
	size_t count = 0;
	try(dump(&k->nl, rtnl_addr_dump, take_addr, &t, &t.naddrs, e));
	struct host_addr *v = arena_new(a, struct host_addr, t.naddrs + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < t.naddrs; i++) {
		char name[IF_NAMESIZE];
		if (if_indextoname((unsigned)t.addrs[i].index, name)) /* else it has just gone */
			v[count++] = (struct host_addr){t.addrs[i].addr, arena_dup(a, name), (uint32_t)t.addrs[i].index};
	}
	*out = v;
	*n = count;
	return a->bad ? err_nomem(e) : 0;
}

int observe_link(struct kernel *ops, const char *name, enum link_kind *out, struct err *e)
{
	struct real *k = (struct real *)ops;
	struct rtnl_link l;
	try(observe_link_named(&k->nl, name, &l, e));
	bool theirs = l.index && !str_starts(l.alias, "pontoon:");
	*out = !theirs ? LINK_NONE : streq(l.kind, "bridge") ? LINK_BRIDGE : LINK_OTHER;
	return 0;
}

/* Of our networks the world knows the subnets better: a lost one's is taken, a leftover's is not. */
static bool is_known(const struct real *k, const struct prefix *p)
{
	return k->ops.known && world_subnet_overlapping(k->ops.known, p, NULL);
}

int observe_routes(struct kernel *ops, struct arena *a, struct prefix **out, size_t *n, struct err *e)
{
	struct real *k = (struct real *)ops;
	struct table t = {.a = a};
	size_t count = 0;
	int bridge = (int)if_nametoindex(k->conf->bridge);
	try(dump(&k->nl, routes4, take_route, &t, &t.nroutes, e));
	struct prefix *v = arena_new(a, struct prefix, t.nroutes + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < t.nroutes; i++) {
		const struct rtnl_route *r = &t.routes[i];
		bool on_link = r->table == RT_TABLE_MAIN && r->scope == RT_SCOPE_LINK && r->dst.len;
		if (on_link && r->index != bridge && !is_known(k, &r->dst))
			v[count++] = r->dst;
	}
	*out = v;
	*n = count;
	return 0;
}
