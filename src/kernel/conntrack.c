/* Theory of operation
 *
 * The kernel decides about NAT once a connection and remembers. So rules alone do not make a published port lead
 * elsewhere, or nowhere: who has talked to it goes on to the old address, for UDP as long as packets come, and that
 * address may have become another container's. And a UDP client that has talked to a port of the host before it was
 * published goes on talking to the host. After the rules have changed, what the kernel remembers and they would not do
 * again is forgotten:
 *
 *   what came in through NAT to one of the container's addresses, and is not led there now
 *   when the container has no ports any more, also what it has sent itself
 *   UDP toward an address of the host and a published port that went somewhere else
 *
 * Everything else stays: connections through other ports are not disturbed. The kernel filters by address or protocol
 * while it lists (Linux 5.8; before, it lists all, which is only slower); nothing is listed for containers without
 * ports. What cannot be forgotten, for want of the module, is no failure: it ends by itself.
 * tests/kernel/test_conntrack.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "base/log.h"
#include "kernel/real.h"

/* Of net/netfilter/nf_internals.h: which fields of a tuple a listing is filtered by. */
#define FILTER_IP_SRC    (1u << 0)
#define FILTER_PROTO_NUM (1u << 3)

struct tuple {
	struct ip src, dst;
	uint8_t proto;
	uint16_t sport, dport;
};

struct doomed {
	struct doomed *next;
	size_t len;
	char attrs[]; /* CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE as listed */
};

struct search {
	struct real *k;
	const struct kobj *was, *is;
	struct arena mem;
	struct ip *local; /* addresses of the host */
	size_t nlocal, cap;
	const struct ip *src; /* this listing is of this source, in the reply direction or the original; NULL: of UDP */
	bool reply;
	struct doomed *doomed;
};

static int take_attr(const struct nlattr *a, void *arg)
{
	const struct nlattr **v = arg;
	if (mnl_attr_get_type(a) <= CTA_MAX)
		v[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static void read_ip(const struct nlattr *a, uint8_t family, struct ip *out)
{
	size_t n = family == AF_INET6 ? 16 : 4;
	if (!a || mnl_attr_get_payload_len(a) != n)
		return;
	*out = (struct ip){.family = family};
	memcpy(out->b, mnl_attr_get_payload(a), n);
}

static uint16_t read_port(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) == sizeof(uint16_t) ? ntohs(mnl_attr_get_u16(a)) : 0;
}

static struct tuple read_tuple(const struct nlattr *a, uint8_t family)
{
	const struct nlattr *part[CTA_MAX + 1] = {NULL}, *ip[CTA_MAX + 1] = {NULL}, *proto[CTA_MAX + 1] = {NULL};
	struct tuple t = {0};
	bool v6 = family == AF_INET6;
	if (!a || mnl_attr_parse_nested(a, take_attr, part) < 0)
		return t;
	if (part[CTA_TUPLE_IP] && mnl_attr_parse_nested(part[CTA_TUPLE_IP], take_attr, ip) >= 0) {
		read_ip(ip[v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC], family, &t.src);
		read_ip(ip[v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST], family, &t.dst);
	}
	if (part[CTA_TUPLE_PROTO] && mnl_attr_parse_nested(part[CTA_TUPLE_PROTO], take_attr, proto) >= 0) {
		const struct nlattr *n = proto[CTA_PROTO_NUM];
		t.proto = n && mnl_attr_get_payload_len(n) == 1 ? mnl_attr_get_u8(n) : 0;
		t.sport = read_port(proto[CTA_PROTO_SRC_PORT]);
		t.dport = read_port(proto[CTA_PROTO_DST_PORT]);
	}
	return t;
}

static size_t flows_n(const struct kobj *o)
{
	return o ? o->flows.n : 0;
}

/* Where the ports lead what is sent to this place. */
static const struct flow *led_by(const struct kobj *o, const struct tuple *t)
{
	for (size_t i = 0; i < flows_n(o); i++) {
		const struct flow *f = &o->flows.v[i];
		if (f->host_port && f->proto == t->proto && f->host.family == t->dst.family && t->dport >= f->host_port && t->dport < f->host_port + f->count &&
			(ip_is_unspecified(&f->host) || ip_eq(&f->host, &t->dst)))
			return f;
	}
	return NULL;
}

static bool goes_there(const struct flow *f, const struct tuple *orig, const struct tuple *reply)
{
	return f && ip_eq(&f->ip, &reply->src) && reply->sport == f->port + (orig->dport - f->host_port);
}

static bool is_local(const struct search *s, const struct ip *ip)
{
	for (size_t i = 0; i < s->nlocal; i++)
		if (ip_eq(&s->local[i], ip))
			return true;
	return false;
}

static bool is_stale(const struct search *s, const struct tuple *orig, const struct tuple *reply)
{
	const struct flow *now = led_by(s->is, orig);
	if (!s->src)
		return orig->proto == IPPROTO_UDP && now && !goes_there(now, orig, reply) && is_local(s, &orig->dst);
	if (!ip_eq(s->src, s->reply ? &reply->src : &orig->src))
		return false; /* an old kernel does not filter */
	if (!s->is)
		return true; /* the address is given up */
	return !ip_eq(&orig->dst, &reply->src) && !goes_there(now, orig, reply);
}

static int look_at(const struct nlmsghdr *m, void *arg)
{
	struct search *s = arg;
	const struct nlattr *a[CTA_MAX + 1] = {NULL};
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(m);
	static const int named[] = {CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE};
	if (mnl_nlmsg_get_payload_len(m) < sizeof(*g) || mnl_attr_parse(m, sizeof(*g), take_attr, a) < 0 || !a[CTA_TUPLE_ORIG] || !a[CTA_TUPLE_REPLY])
		return 0;
	struct tuple orig = read_tuple(a[CTA_TUPLE_ORIG], g->nfgen_family), reply = read_tuple(a[CTA_TUPLE_REPLY], g->nfgen_family);
	if (!is_stale(s, &orig, &reply))
		return 0;
	size_t len = 0;
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		len += a[named[i]] ? MNL_ALIGN(a[named[i]]->nla_len) : 0;
	struct doomed *d = arena_alloc(&s->mem, sizeof(*d) + len, _Alignof(struct doomed));
	if (!d)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		if (!a[named[i]])
			continue;
		memcpy(d->attrs + d->len, a[named[i]], a[named[i]]->nla_len);
		d->len += MNL_ALIGN(a[named[i]]->nla_len);
	}
	d->next = s->doomed;
	s->doomed = d;
	return 0;
}

static struct nlmsghdr *begin(char *buf, uint16_t type, uint8_t family)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	m->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(m, sizeof(*g));
	*g = (struct nfgenmsg){.nfgen_family = family, .version = NFNETLINK_V0};
	return m;
}

/* Lists what has this source, in the original or the reply direction, or all of UDP; deletes what is stale of it. */
static int sweep(struct search *s, struct nl *nl, uint8_t family, const struct ip *src, bool reply, struct err *e)
{
	char buf[NL_BUF];
	struct nlmsghdr *m = begin(buf, IPCTNL_MSG_CT_GET, family);
	struct nlattr *tuple = mnl_attr_nest_start(m, reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
	struct nlattr *part = mnl_attr_nest_start(m, src ? CTA_TUPLE_IP : CTA_TUPLE_PROTO);
	if (src)
		mnl_attr_put(m, family == AF_INET6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, ip_bits(family) / 8, src->b);
	else
		mnl_attr_put_u8(m, CTA_PROTO_NUM, IPPROTO_UDP);
	mnl_attr_nest_end(m, part);
	mnl_attr_nest_end(m, tuple);
	struct nlattr *filter = mnl_attr_nest_start(m, CTA_FILTER);
	mnl_attr_put_u32(m, reply ? CTA_FILTER_REPLY_FLAGS : CTA_FILTER_ORIG_FLAGS, src ? FILTER_IP_SRC : FILTER_PROTO_NUM);
	mnl_attr_nest_end(m, filter);
	s->src = src;
	s->reply = reply;
	s->doomed = NULL;
	int r = nl_dump(nl, m, look_at, s, e);
	if (r < 0 && r != -EINTR) /* interrupted by changes: what is new follows the new rules */
		return r;
	for (const struct doomed *d = s->doomed; d; d = d->next) {
		m = begin(buf, IPCTNL_MSG_CT_DELETE, family);
		memcpy(mnl_nlmsg_get_payload_tail(m), d->attrs, d->len);
		m->nlmsg_len += (uint32_t)d->len;
		r = nl_call(nl, m, e);
		if (r < 0 && r != -ENOENT) /* gone already */
			return r;
	}
	return 0;
}

static int take_local(const struct nlmsghdr *m, void *arg)
{
	struct search *s = arg;
	struct rtnl_addr a;
	if (rtnl_addr_read(m, &a) < 0)
		return 0;
	try(arena_room(&s->mem, s->local, s->nlocal, s->cap));
	s->local[s->nlocal++] = a.addr.ip;
	return 0;
}

static bool has(const struct kobj *o, uint8_t family, uint8_t proto)
{
	for (size_t i = 0; i < flows_n(o); i++)
		if (o->flows.v[i].ip.family == family && (!proto || o->flows.v[i].proto == proto))
			return true;
	return false;
}

/* Each address of the container once: there are as many as networks. */
static int sweep_addresses(struct search *s, struct nl *nl, uint8_t family, struct err *e)
{
	const struct ip *seen[LIMIT_ENDPOINTS_PER_CONTAINER];
	size_t n = 0;
	for (size_t i = 0; i < flows_n(s->was); i++) {
		const struct ip *ip = &s->was->flows.v[i].ip;
		bool again = ip->family != family || n == ARRAY_LEN(seen);
		for (size_t k = 0; k < n && !again; k++)
			again = ip_eq(seen[k], ip);
		if (again)
			continue;
		seen[n++] = ip;
		try(sweep(s, nl, family, ip, true, e));
		if (!s->is)
			try(sweep(s, nl, family, ip, false, e));
	}
	return 0;
}

static int settle(struct search *s, struct err *e)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	OWN(own_nl) struct nl nl = NL_NONE;
	char buf[NL_BUF];
	try(nl_open_protocol(&nl, NETLINK_NETFILTER, e));
	if (has(s->is, AF_INET, IPPROTO_UDP) || has(s->is, AF_INET6, IPPROTO_UDP))
		try(nl_dump(&s->k->nl, rtnl_addr_dump(buf), take_local, s, e));
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		try(sweep_addresses(s, &nl, families[i], e));
		if (has(s->is, families[i], IPPROTO_UDP))
			try(sweep(s, &nl, families[i], NULL, false, e));
	}
	return 0;
}

int conntrack_settle(struct real *k, const struct kobj *was, const struct kobj *is, struct err *e)
{
	struct search s = {.k = k, .was = was, .is = is};
	struct err why = {0};
	(void)e;
	if (settle(&s, &why) < 0)
		log_debug("tracked connections stay: %s", why.msg);
	arena_free(&s.mem);
	return 0;
}
