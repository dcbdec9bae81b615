#include "kernel/rtnl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

#include "base/strv.h"

/* A message under construction: attribute puts that do not fit set `bad`. */
struct msg {
	struct nlmsghdr *m;
	bool bad;
};

static struct msg begin(char *buf, uint16_t type, uint16_t flags)
{
	struct msg b = {.m = mnl_nlmsg_put_header(buf)};
	b.m->nlmsg_type = type;
	b.m->nlmsg_flags = flags;
	return b;
}

static void put(struct msg *b, uint16_t type, const void *p, size_t n)
{
	b->bad |= !mnl_attr_put_check(b->m, NL_BUF, type, n, p);
}

static void put_str(struct msg *b, uint16_t type, const char *s)
{
	b->bad |= !mnl_attr_put_strz_check(b->m, NL_BUF, type, s);
}

static void put_u32(struct msg *b, uint16_t type, uint32_t v)
{
	b->bad |= !mnl_attr_put_u32_check(b->m, NL_BUF, type, v);
}

static struct nlattr *nest(struct msg *b, uint16_t type)
{
	struct nlattr *a = mnl_attr_nest_start_check(b->m, NL_BUF, type);
	b->bad |= !a;
	return a;
}

static void unnest(struct msg *b, struct nlattr *a)
{
	if (a)
		mnl_attr_nest_end(b->m, a);
}

static struct nlmsghdr *done(const struct msg *b)
{
	return b->bad ? NULL : b->m;
}

static void put_ifinfo(struct msg *b, int index)
{
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(b->m, sizeof(*i));
	i->ifi_family = AF_UNSPEC;
	i->ifi_index = index;
}

static void put_bridge(struct msg *b, const bool *filter)
{
	struct nlattr *info = nest(b, IFLA_LINKINFO);
	put_str(b, IFLA_INFO_KIND, "bridge");
	if (filter) {
		uint8_t on = *filter;
		struct nlattr *data = nest(b, IFLA_INFO_DATA);
		put(b, IFLA_BR_NF_CALL_IPTABLES, &on, sizeof(on));
		put(b, IFLA_BR_NF_CALL_IP6TABLES, &on, sizeof(on));
		unnest(b, data);
	}
	unnest(b, info);
}

struct nlmsghdr *rtnl_bridge_filter(char *buf, int index, bool filter)
{
	struct msg b = begin(buf, RTM_NEWLINK, 0);
	put_ifinfo(&b, index);
	put_bridge(&b, &filter);
	return done(&b);
}

struct nlmsghdr *rtnl_bridge_add(char *buf, const char *name, const struct mac *mac, int mtu, bool filter)
{
	struct msg b = begin(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	put_ifinfo(&b, 0);
	put_str(&b, IFLA_IFNAME, name);
	if (mac && mac_is_set(mac))
		put(&b, IFLA_ADDRESS, mac->b, sizeof(mac->b));
	if (mtu)
		put_u32(&b, IFLA_MTU, (uint32_t)mtu);
	put_bridge(&b, filter ? &filter : NULL); /* a kernel without the feature refuses to hear of it */
	return done(&b);
}

struct nlmsghdr *rtnl_veth_add(char *buf, const char *name, int master, int mtu, const char *inner, int inner_ns_fd, const struct mac *inner_mac)
{
	struct msg b = begin(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	put_ifinfo(&b, 0);
	put_str(&b, IFLA_IFNAME, name);
	if (mtu)
		put_u32(&b, IFLA_MTU, (uint32_t)mtu);
	if (master)
		put_u32(&b, IFLA_MASTER, (uint32_t)master);
	struct nlattr *info = nest(&b, IFLA_LINKINFO);
	put_str(&b, IFLA_INFO_KIND, "veth");
	struct nlattr *data = nest(&b, IFLA_INFO_DATA), *peer = nest(&b, VETH_INFO_PEER);
	put_ifinfo(&b, 0);
	put_str(&b, IFLA_IFNAME, inner);
	if (inner_mac && mac_is_set(inner_mac))
		put(&b, IFLA_ADDRESS, inner_mac->b, sizeof(inner_mac->b));
	if (mtu)
		put_u32(&b, IFLA_MTU, (uint32_t)mtu);
	put_u32(&b, IFLA_NET_NS_FD, (uint32_t)inner_ns_fd);
	unnest(&b, peer);
	unnest(&b, data);
	unnest(&b, info);
	return done(&b);
}

struct nlmsghdr *rtnl_link_set(char *buf, const struct rtnl_link_change *c)
{
	struct msg b = begin(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(b.m, sizeof(*i));
	i->ifi_family = AF_UNSPEC;
	i->ifi_index = c->index;
	if (c->up >= 0) {
		i->ifi_change = IFF_UP;
		i->ifi_flags = c->up ? IFF_UP : 0;
	}
	if (c->mtu)
		put_u32(&b, IFLA_MTU, (uint32_t)c->mtu);
	if (c->alias)
		put(&b, IFLA_IFALIAS, c->alias, strlen(c->alias));
	if (c->mac)
		put(&b, IFLA_ADDRESS, c->mac->b, sizeof(c->mac->b));
	if (c->master >= 0)
		put_u32(&b, IFLA_MASTER, (uint32_t)c->master);
	return done(&b);
}

struct nlmsghdr *rtnl_link_del(char *buf, int index)
{
	struct msg b = begin(buf, RTM_DELLINK, 0);
	put_ifinfo(&b, index);
	return done(&b);
}

static struct nlmsghdr *port(char *buf, int index, uint16_t attribute, uint8_t value)
{
	struct msg b = begin(buf, RTM_SETLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(b.m, sizeof(*i));
	i->ifi_family = PF_BRIDGE;
	i->ifi_index = index;
	struct nlattr *p = nest(&b, IFLA_PROTINFO | NLA_F_NESTED);
	put(&b, attribute, &value, sizeof(value));
	unnest(&b, p);
	return done(&b);
}

struct nlmsghdr *rtnl_port_state(char *buf, int index, uint8_t state)
{
	return port(buf, index, IFLA_BRPORT_STATE, state);
}

struct nlmsghdr *rtnl_port_hairpin(char *buf, int index, bool on)
{
	return port(buf, index, IFLA_BRPORT_MODE, on);
}

static size_t ip_size(const struct ip *ip)
{
	return ip->family == AF_INET6 ? 16 : 4;
}

struct nlmsghdr *rtnl_addr_change(char *buf, bool add, int index, const struct prefix *p, bool nodad)
{
	struct msg b = begin(buf, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(b.m, sizeof(*a));
	a->ifa_family = p->ip.family;
	a->ifa_prefixlen = p->len;
	a->ifa_scope = RT_SCOPE_UNIVERSE;
	a->ifa_index = (unsigned)index;
	put(&b, IFA_LOCAL, p->ip.b, ip_size(&p->ip));
	put(&b, IFA_ADDRESS, p->ip.b, ip_size(&p->ip));
	if (p->ip.family == AF_INET && p->len < 31) {
		struct ip last = prefix_last(p);
		put(&b, IFA_BROADCAST, last.b, 4);
	}
	if (nodad)
		put_u32(&b, IFA_FLAGS, IFA_F_NODAD);
	return done(&b);
}

struct nlmsghdr *rtnl_route_change(char *buf, bool add, bool replace, const struct prefix *dst, const struct ip *via, int index, int metric)
{
	struct msg b = begin(buf, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? (uint16_t)(NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL)) : 0);
	struct rtmsg *r = mnl_nlmsg_put_extra_header(b.m, sizeof(*r));
	r->rtm_family = dst->ip.family;
	r->rtm_dst_len = dst->len;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = RTPROT_BOOT;
	r->rtm_scope = ip_is_set(via) ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	r->rtm_type = RTN_UNICAST;
	if (dst->len)
		put(&b, RTA_DST, dst->ip.b, ip_size(&dst->ip));
	if (ip_is_set(via))
		put(&b, RTA_GATEWAY, via->b, ip_size(via));
	put_u32(&b, RTA_OIF, (uint32_t)index);
	if (metric)
		put_u32(&b, RTA_PRIORITY, (uint32_t)metric);
	return done(&b);
}

struct nlmsghdr *rtnl_link_get(char *buf, const char *name)
{
	struct msg b = begin(buf, RTM_GETLINK, 0);
	put_ifinfo(&b, 0);
	put_str(&b, IFLA_IFNAME, name);
	put_u32(&b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return done(&b);
}

struct nlmsghdr *rtnl_link_dump(char *buf)
{
	struct msg b = begin(buf, RTM_GETLINK, 0);
	put_ifinfo(&b, 0);
	put_u32(&b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return done(&b);
}

struct nlmsghdr *rtnl_addr_dump(char *buf)
{
	struct msg b = begin(buf, RTM_GETADDR, 0);
	struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(b.m, sizeof(*a));
	a->ifa_family = AF_UNSPEC;
	return done(&b);
}

struct nlmsghdr *rtnl_route_dump(char *buf, uint8_t family)
{
	struct msg b = begin(buf, RTM_GETROUTE, 0);
	struct rtmsg *r = mnl_nlmsg_put_extra_header(b.m, sizeof(*r));
	r->rtm_family = family;
	r->rtm_table = RT_TABLE_MAIN;
	return done(&b);
}

static void copy_text(char *dst, size_t size, const struct nlattr *a)
{
	size_t n = mnl_attr_get_payload_len(a);
	if (n >= size)
		n = size - 1;
	memcpy(dst, mnl_attr_get_payload(a), n);
	dst[n] = '\0';
}

static int link_data(const struct nlattr *a, void *arg)
{
	struct rtnl_link *l = arg;
	if (mnl_attr_get_type(a) == IFLA_BR_NF_CALL_IPTABLES && mnl_attr_get_payload_len(a) >= 1)
		l->filter = mnl_attr_get_u8(a);
	return MNL_CB_OK;
}

static int port_data(const struct nlattr *a, void *arg)
{
	struct rtnl_link *l = arg;
	if (mnl_attr_get_type(a) == IFLA_BRPORT_MODE && mnl_attr_get_payload_len(a) >= 1)
		l->hairpin = mnl_attr_get_u8(a);
	return MNL_CB_OK;
}

static int link_info(const struct nlattr *a, void *arg)
{
	struct rtnl_link *l = arg;
	char kind[sizeof(l->kind)];
	if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
		copy_text(l->kind, sizeof(l->kind), a);
	if (mnl_attr_get_type(a) == IFLA_INFO_DATA && strcmp(l->kind, "bridge") == 0) /* the kind comes first */
		return mnl_attr_parse_nested(a, link_data, l);
	if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_KIND) {
		copy_text(kind, sizeof(kind), a);
		l->bridged = strcmp(kind, "bridge") == 0;
	}
	if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_DATA && l->bridged)
		return mnl_attr_parse_nested(a, port_data, l);
	return MNL_CB_OK;
}

static int get_int(const struct nlattr *a)
{
	return mnl_attr_validate(a, MNL_TYPE_U32) < 0 ? 0 : (int)mnl_attr_get_u32(a);
}

static int link_attr(const struct nlattr *a, void *arg)
{
	struct rtnl_link *l = arg;
	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		copy_text(l->name, sizeof(l->name), a);
		break;
	case IFLA_IFALIAS:
		copy_text(l->alias, sizeof(l->alias), a);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(a) == sizeof(l->mac.b))
			memcpy(l->mac.b, mnl_attr_get_payload(a), sizeof(l->mac.b));
		break;
	case IFLA_MTU:
		l->mtu = get_int(a);
		break;
	case IFLA_MASTER:
		l->master = get_int(a);
		break;
	case IFLA_LINK:
		l->peer = get_int(a);
		break;
	case IFLA_LINK_NETNSID:
		l->nsid = get_int(a);
		l->has_nsid = l->nsid >= 0;
		break;
	case IFLA_LINKINFO:
		return mnl_attr_parse_nested(a, link_info, l);
	default:
		break;
	}
	return MNL_CB_OK;
}

int rtnl_link_read(const struct nlmsghdr *m, struct rtnl_link *out)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(m);
	*out = (struct rtnl_link){0};
	if ((m->nlmsg_type != RTM_NEWLINK && m->nlmsg_type != RTM_DELLINK) || m->nlmsg_len < mnl_nlmsg_size(sizeof(*i)))
		return -EPROTO;
	out->index = i->ifi_index;
	out->up = i->ifi_flags & IFF_UP;
	return mnl_attr_parse(m, sizeof(*i), link_attr, out) < 0 ? -EPROTO : 0;
}

static void read_ip(const struct nlattr *a, uint8_t family, struct ip *out)
{
	*out = (struct ip){.family = family};
	if (mnl_attr_get_payload_len(a) == ip_size(out))
		memcpy(out->b, mnl_attr_get_payload(a), ip_size(out));
}

static int addr_attr(const struct nlattr *a, void *arg)
{
	struct rtnl_addr *r = arg;
	uint16_t type = mnl_attr_get_type(a);
	/* IFA_LOCAL wins over IFA_ADDRESS, which is the peer's on point-to-point links. */
	if (type == IFA_LOCAL || (type == IFA_ADDRESS && ip_is_unspecified(&r->addr.ip)))
		read_ip(a, r->addr.ip.family, &r->addr.ip);
	return MNL_CB_OK;
}

int rtnl_addr_read(const struct nlmsghdr *m, struct rtnl_addr *out)
{
	const struct ifaddrmsg *a = mnl_nlmsg_get_payload(m);
	*out = (struct rtnl_addr){0};
	if ((m->nlmsg_type != RTM_NEWADDR && m->nlmsg_type != RTM_DELADDR) || m->nlmsg_len < mnl_nlmsg_size(sizeof(*a)) || (a->ifa_family != AF_INET && a->ifa_family != AF_INET6))
		return -EPROTO;
	out->index = (int)a->ifa_index;
	out->scope = a->ifa_scope;
	out->addr.len = a->ifa_prefixlen;
	out->addr.ip.family = a->ifa_family;
	return mnl_attr_parse(m, sizeof(*a), addr_attr, out) < 0 ? -EPROTO : 0;
}

static int route_attr(const struct nlattr *a, void *arg)
{
	struct rtnl_route *r = arg;
	switch (mnl_attr_get_type(a)) {
	case RTA_DST:
		read_ip(a, r->dst.ip.family, &r->dst.ip);
		break;
	case RTA_GATEWAY:
		read_ip(a, r->dst.ip.family, &r->via);
		break;
	case RTA_OIF:
		r->index = get_int(a);
		break;
	case RTA_TABLE:
		r->table = get_int(a);
		break;
	case RTA_PRIORITY:
		r->metric = get_int(a);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

int rtnl_route_read(const struct nlmsghdr *m, struct rtnl_route *out)
{
	const struct rtmsg *r = mnl_nlmsg_get_payload(m);
	*out = (struct rtnl_route){0};
	if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < mnl_nlmsg_size(sizeof(*r)) || (r->rtm_family != AF_INET && r->rtm_family != AF_INET6))
		return -EPROTO;
	out->dst.ip.family = r->rtm_family;
	out->dst.len = r->rtm_dst_len;
	out->scope = r->rtm_scope;
	out->type = r->rtm_type;
	out->protocol = r->rtm_protocol;
	out->table = r->rtm_table;
	return mnl_attr_parse(m, sizeof(*r), route_attr, out) < 0 ? -EPROTO : 0;
}
