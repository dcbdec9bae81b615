#include "net/kstate.h"

#include <errno.h>
#include <stdlib.h>

static const char *const table_names[] = {[FW_RAW] = "raw", [FW_NAT] = "nat", [FW_FILTER] = "filter"};
static_assert(ARRAY_LEN(table_names) == FW_TABLE_N, "table_names[] is missing a table");

const char *fw_table_name(enum fw_table t)
{
	return table_names[t];
}

int kstate_add(struct kstate *s, const struct kobj *o)
{
	try(arena_room(s->mem, s->v, s->n, s->cap));
	s->v[s->n++] = *o;
	s->sorted = false;
	return 0;
}

static int cmp_int(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int cmp_str(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int cmp_prefix(const struct prefix *a, const struct prefix *b)
{
	int r = ip_cmp(&a->ip, &b->ip);
	return r ? r : cmp_int(a->len, b->len);
}

static int cmp_rule(const struct kobj *a, const struct kobj *b)
{
	int r = cmp_int(a->rule.family, b->rule.family);
	if (!r)
		r = cmp_int(a->rule.table, b->rule.table);
	if (!r)
		r = cmp_str(a->rule.chain, b->rule.chain);
	return r ? r : cmp_str(a->rule.text, b->rule.text);
}

static int cmp_chain(const struct kobj *a, const struct kobj *b)
{
	int r = cmp_int(a->chain.family, b->chain.family);
	if (!r)
		r = cmp_int(a->chain.table, b->chain.table);
	return r ? r : cmp_str(a->chain.chain, b->chain.chain);
}

static int cmp_listen(const struct kobj *a, const struct kobj *b)
{
	int r = cmp_int(a->listen.proto, b->listen.proto);
	if (!r)
		r = cmp_int(a->listen.port, b->listen.port);
	return r ? r : ip_cmp(&a->listen.ip, &b->listen.ip);
}

int kobj_cmp_key(const struct kobj *a, const struct kobj *b)
{
	int r = cmp_int(a->kind, b->kind);
	if (r)
		return r;
	switch (a->kind) {
	case K_NETNS:
	case K_DNS:
		return cmp_str(a->ns, b->ns);
	case K_LISTEN:
		return cmp_listen(a, b);
	case K_BRIDGE:
		return cmp_str(a->bridge.name, b->bridge.name);
	case K_VETH:
		return cmp_str(a->veth.name, b->veth.name);
	case K_NSCTL:
	case K_HOSTCTL:
		r = cmp_str(a->ns, b->ns);
		return r ? r : cmp_str(a->ctl.path, b->ctl.path);
	case K_ADDR:
		r = cmp_str(a->ns, b->ns);
		if (!r)
			r = cmp_str(a->addr.link, b->addr.link);
		if (!r) /* an interface's first address is the one that old programs take for its own: none that is link-local beside others */
			r = cmp_int(ip_is_linklocal(&a->addr.addr.ip), ip_is_linklocal(&b->addr.addr.ip));
		return r ? r : cmp_prefix(&a->addr.addr, &b->addr.addr);
	case K_FILE:
		return cmp_str(a->file.path, b->file.path);
	case K_CHAIN:
		return cmp_chain(a, b);
	case K_RULE:
		return cmp_rule(a, b);
	case K_POLICY:
		r = cmp_int(a->policy.family, b->policy.family);
		return r ? r : cmp_str(a->policy.chain, b->policy.chain);
	case K_NFT_ELEM:
		r = cmp_str(a->elem.set, b->elem.set);
		return r ? r : cmp_str(a->elem.key, b->elem.key);
	case K_FLOWS:
		return cmp_str(a->flows.container, b->flows.container);
	case K_UP:
		r = cmp_str(a->ns, b->ns);
		return r ? r : cmp_str(a->up.link, b->up.link);
	case K_ROUTE:
		r = cmp_str(a->ns, b->ns);
		if (!r)
			r = cmp_prefix(&a->route.dst, &b->route.dst);
		return r ? r : cmp_int(a->route.metric, b->route.metric);
	case K_NFT_TABLE: /* there is one */
	case K_KIND_N:
		break;
	}
	return 0;
}

static int cmp_sort(const void *x, const void *y)
{
	return kobj_cmp_key(x, y);
}

void kstate_sort(struct kstate *s)
{
	if (!s->sorted && s->n)
		qsort(s->v, s->n, sizeof(*s->v), cmp_sort);
	size_t k = 0;
	for (size_t i = 0; !s->sorted && i < s->n; i++)
		if (!k || kobj_cmp_key(&s->v[k - 1], &s->v[i]) != 0)
			s->v[k++] = s->v[i];
	s->n = s->sorted ? s->n : k;
	s->sorted = true;
}

static bool veth_equal(const struct kobj *w, const struct kobj *h)
{
	return cmp_str(w->ns, h->ns) == 0 && cmp_str(w->veth.inner, h->veth.inner) == 0 &&
	       cmp_str(w->veth.master, h->veth.master) == 0 && cmp_str(w->veth.alias, h->veth.alias) == 0 &&
	       (!mac_is_set(&w->veth.mac) || memcmp(&w->veth.mac, &h->veth.mac, sizeof(struct mac)) == 0) &&
	       (!w->veth.mtu || w->veth.mtu == h->veth.mtu) && w->veth.hairpin == h->veth.hairpin;
}

static bool bridge_equal(const struct kobj *w, const struct kobj *h)
{
	return (w->bridge.adopt || cmp_str(w->bridge.alias, h->bridge.alias) == 0) &&
	       (!w->bridge.mtu || w->bridge.mtu == h->bridge.mtu) &&
	       (w->bridge.filter == h->bridge.filter || (w->bridge.adopt && !w->bridge.filter)) &&
	       (!mac_is_set(&w->bridge.mac) || memcmp(&w->bridge.mac, &h->bridge.mac, sizeof(struct mac)) == 0);
}

bool kobj_is_fw(const struct kobj *o)
{
	return o->kind == K_CHAIN || o->kind == K_RULE || o->kind == K_POLICY || o->kind == K_NFT_TABLE ||
	       o->kind == K_NFT_ELEM;
}

static bool same_clients(const struct kobj *a, const struct kobj *b)
{
	if (a->listen.limited != b->listen.limited || a->listen.nfrom != b->listen.nfrom)
		return false;
	for (size_t i = 0; i < a->listen.nfrom; i++)
		if (a->listen.from[i].ifindex != b->listen.from[i].ifindex || !prefix_eq(&a->listen.from[i].net, &b->listen.from[i].net))
			return false;
	return true;
}

bool kobj_equal(const struct kobj *w, const struct kobj *h)
{
	switch (w->kind) {
	case K_LISTEN:
		return w->listen.count == h->listen.count && w->listen.dual == h->listen.dual && ip_eq(&w->listen.target, &h->listen.target) &&
		       w->listen.target_port == h->listen.target_port && same_clients(w, h);
	case K_BRIDGE:
		return bridge_equal(w, h);
	case K_VETH:
		return veth_equal(w, h);
	case K_NSCTL:
	case K_HOSTCTL:
		return streq(w->ctl.value, h->ctl.value);
	case K_FILE:
		return !w->file.text || !h->file.text || streq(w->file.text, h->file.text);
	case K_RULE:
		return w->rule.rank.cls == h->rule.rank.cls && w->rule.rank.seq == h->rule.rank.seq &&
		       w->rule.rank.k == h->rule.rank.k;
	case K_FLOWS:
		return w->flows.n == h->flows.n && (w->flows.n == 0 || memcmp(w->flows.v, h->flows.v, w->flows.n * sizeof(*w->flows.v)) == 0);
	case K_POLICY:
		return streq(w->policy.value, h->policy.value);
	case K_NFT_ELEM:
		return streq(w->elem.value, h->elem.value);
	case K_ROUTE:
		return ip_eq(&w->route.via, &h->route.via) && streq(w->route.link, h->route.link);
	case K_NETNS:
	case K_ADDR:
	case K_CHAIN:
	case K_NFT_TABLE:
	case K_UP:
	case K_DNS:
	case K_KIND_N:
		break;
	}
	return true;
}

static const char *where(const struct kobj *o, struct arena *a)
{
	return o->ns ? arena_printf(a, " in %.12s", o->ns) : "";
}

static const char *fw_name(enum fw_family f)
{
	return f == FW_V6 ? "ip6tables" : "iptables";
}

static const char *veth_text(const struct kobj *o, struct arena *a)
{
	char mac[MAC_TEXT];
	const char *t = arena_printf(a, "veth %s %s%s", o->veth.name, o->veth.inner, where(o, a));
	if (mac_is_set(&o->veth.mac))
		t = arena_printf(a, "%s %s", t, mac_format(&o->veth.mac, mac));
	if (o->veth.mtu)
		t = arena_printf(a, "%s mtu %d", t, o->veth.mtu);
	return arena_printf(a, "%s master %s%s", t, o->veth.master ? o->veth.master : "none", o->veth.hairpin ? " hairpin" : "");
}

static const char *listen_text(const struct kobj *o, struct arena *a)
{
	char at[IP_TEXT], to[IP_TEXT];
	const char *last = o->listen.count > 1 ? arena_printf(a, "-%u", (unsigned)o->listen.port + o->listen.count - 1) : "";
	return arena_printf(a, "listen %s %s%s %u%s for %s %u", o->listen.proto == IPPROTO_TCP ? "tcp" : o->listen.proto == IPPROTO_UDP ? "udp" : "sctp",
		ip_format(&o->listen.ip, at), o->listen.dual ? " and 0.0.0.0" : "", o->listen.port, last, ip_format(&o->listen.target, to), o->listen.target_port);
}

const char *kobj_text(const struct kobj *o, struct arena *a)
{
	char t[PREFIX_TEXT], u[IP_TEXT];
	const char *s = NULL;
	switch (o->kind) {
	case K_LISTEN:
		s = listen_text(o, a);
		break;
	case K_NETNS:
		s = arena_printf(a, "netns %.12s", o->ns);
		break;
	case K_BRIDGE:
		s = arena_printf(a, "bridge %s%s%s", o->bridge.name,
			o->bridge.mtu ? arena_printf(a, " mtu %d", o->bridge.mtu) : "", o->bridge.filter ? " filtered" : "");
		break;
	case K_VETH:
		s = veth_text(o, a);
		break;
	case K_NSCTL:
	case K_HOSTCTL:
		s = arena_printf(a, "sysctl %s = %s%s", o->ctl.path, o->ctl.value, where(o, a));
		break;
	case K_ADDR:
		s = arena_printf(a, "address %s on %s%s", prefix_format(&o->addr.addr, t), o->addr.link, where(o, a));
		break;
	case K_FILE:
		s = arena_printf(a, "file %s", o->file.path);
		break;
	case K_CHAIN:
		s = arena_printf(
			a, "%s -t %s -N %s", fw_name(o->chain.family), fw_table_name(o->chain.table), o->chain.chain);
		break;
	case K_RULE:
		s = arena_printf(a, "%s -t %s -A %s %s", fw_name(o->rule.family), fw_table_name(o->rule.table),
			o->rule.chain, o->rule.text);
		break;
	case K_POLICY:
		s = arena_printf(a, "%s -P %s %s", fw_name(o->policy.family), o->policy.chain, o->policy.value);
		break;
	case K_NFT_TABLE:
		s = "nft table inet pontoon";
		break;
	case K_NFT_ELEM:
		s = arena_printf(a, "nft element %s { %s%s%s }", o->elem.set, o->elem.key,
			str_empty(o->elem.value) ? "" : " : ", o->elem.value);
		break;
	case K_FLOWS:
		s = arena_printf(a, "connections to published ports of %.12s", o->flows.container);
		break;
	case K_UP:
		s = arena_printf(a, "%s up%s", o->up.link, where(o, a));
		break;
	case K_ROUTE:
		s = arena_printf(a, "route %s%s%s dev %s%s",
			o->route.dst.len ? prefix_format(&o->route.dst, t) : "default",
			ip_is_set(&o->route.via) ? " via " : "", ip_format(&o->route.via, u), o->route.link,
			where(o, a));
		break;
	case K_DNS:
		s = arena_printf(a, "name server 127.0.0.11%s", where(o, a));
		break;
	case K_KIND_N:
		break;
	}
	return s ? s : "";
}
