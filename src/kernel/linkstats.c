#include "kernel/linkstats.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "kernel/netns.h"
#include "kernel/nl.h"

struct reading {
	void (*each)(void *arg, const char *name, const struct rtnl_link_stats64 *s);
	void *arg;
};

static int take_attr(const struct nlattr *attr, void *arg)
{
	const struct nlattr **tb = arg;
	unsigned type = mnl_attr_get_type(attr);
	if (type == IFLA_IFNAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		tb[0] = attr;
	if (type == IFLA_STATS64)
		tb[1] = attr;
	return MNL_CB_OK;
}

static int take_link(const struct nlmsghdr *m, void *arg)
{
	const struct reading *r = arg;
	const struct nlattr *tb[2] = {NULL, NULL};
	struct rtnl_link_stats64 s = {0};
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(m);
	if (mnl_nlmsg_get_payload_len(m) < sizeof(*ifi) || mnl_attr_parse(m, sizeof(*ifi), take_attr, tb) < 0 || !tb[0] || !tb[1])
		return 0;
	size_t n = mnl_attr_get_payload_len(tb[1]);
	memcpy(&s, mnl_attr_get_payload(tb[1]), n < sizeof(s) ? n : sizeof(s)); /* kernels differ in how long it is */
	if (!(ifi->ifi_flags & IFF_LOOPBACK))
		r->each(r->arg, mnl_attr_get_str(tb[0]), &s);
	return 0;
}

static int open_inside(void *arg, struct err *e)
{
	return nl_open(arg, e);
}

int linkstats_read(const char *path, void (*each)(void *arg, const char *name, const struct rtnl_link_stats64 *s), void *arg, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	struct reading r = {.each = each, .arg = arg};
	OWN(own_nl) struct nl nl = NL_NONE;
	OWN(own_fd) int ns = netns_open(path, e);
	if (ns < 0)
		return ns;
	/* A socket stays in the namespace in which it was made. */
	try(netns_run(ns, open_inside, &nl, e));
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	m->nlmsg_type = RTM_GETLINK;
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	return nl_dump(&nl, m, take_link, &r, e);
}
