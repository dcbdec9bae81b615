/* The codec without a kernel: what is built can be walked, what is too long is refused, what is cut short is not read.
 */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "kernel/rtnl.h"
#include "test.h"

static struct prefix prefix_of(const char *s)
{
	struct prefix p = {0};
	if (prefix_parse(s, &p) < 0)
		abort();
	return p;
}

/* An answer of the kernel has the layout of the request that it answers, so requests serve as answers here. */
TEST(link_is_read_back)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	struct mac mac = {.b = {2, 0x42, 0xac, 0x11, 0, 1}};
	struct rtnl_link l;
	struct nlmsghdr *m = rtnl_bridge_add(buf, "docker0", &mac, 1400, true);
	REQUIRE(m && rtnl_link_read(m, &l) == 0 && l.filter);
	m = rtnl_bridge_filter(buf, 7, false);
	REQUIRE(m && rtnl_link_read(m, &l) == 0 && l.index == 7 && !l.filter);
	m = rtnl_bridge_add(buf, "docker0", &mac, 1400, false);
	REQUIRE(m && rtnl_link_read(m, &l) == 0 && !l.filter);
	CHECK_STR(l.name, "docker0");
	CHECK_STR(l.kind, "bridge");
	CHECK_INT(l.mtu, 1400);
	CHECK(memcmp(l.mac.b, mac.b, sizeof(mac.b)) == 0);
	CHECK(!l.up && !l.master && !l.has_nsid && !l.bridged);
}

TEST(change_puts_only_what_is_asked)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	struct rtnl_link l;
	struct rtnl_link_change none = {.index = 7, .up = -1, .master = -1};
	struct nlmsghdr *m = rtnl_link_set(buf, &none);
	REQUIRE(m);
	CHECK_INT(m->nlmsg_len, mnl_nlmsg_size(sizeof(struct ifinfomsg)));
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(m);
	CHECK_INT(i->ifi_change, 0);
	struct rtnl_link_change all = {.index = 7, .up = 1, .master = 3, .mtu = 1500, .alias = "pontoon:n/e"};
	m = rtnl_link_set(buf, &all);
	REQUIRE(m && rtnl_link_read(m, &l) == 0);
	CHECK(l.up && l.index == 7 && l.master == 3 && l.mtu == 1500);
	CHECK_STR(l.alias, "pontoon:n/e");
}

TEST(address_is_read_back)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	static const char *const texts[] = {"172.17.0.2/16", "fd00::2/64"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct prefix p = prefix_of(texts[i]);
		struct rtnl_addr a;
		struct nlmsghdr *m = rtnl_addr_change(buf, true, 4, &p, true);
		REQUIRE(m && rtnl_addr_read(m, &a) == 0);
		CHECK_INT(a.index, 4);
		CHECK(ip_eq(&a.addr.ip, &p.ip) && a.addr.len == p.len);
	}
}

TEST(route_is_read_back)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	struct prefix all = prefix_of("0.0.0.0/0");
	struct ip via = prefix_of("172.17.0.1/32").ip;
	struct rtnl_route r;
	struct nlmsghdr *m = rtnl_route_change(buf, true, false, &all, &via, 4, 100);
	REQUIRE(m && rtnl_route_read(m, &r) == 0);
	CHECK(r.dst.len == 0 && ip_eq(&r.via, &via) && r.index == 4 && r.metric == 100);
	CHECK(m->nlmsg_flags & NLM_F_EXCL);
}

TEST(too_long_is_refused)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	static char alias[NL_BUF];
	memset(alias, 'a', sizeof(alias) - 1);
	struct rtnl_link_change c = {.index = 7, .up = -1, .master = -1, .alias = alias};
	CHECK(!rtnl_link_set(buf, &c));
}

/* Of another type, without its fixed part, or with an address of a wrong size. */
TEST(strange_answers)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	struct prefix p = prefix_of("172.17.0.2/16");
	struct rtnl_link l;
	struct rtnl_addr a;
	struct rtnl_route r;
	struct nlmsghdr *m = rtnl_addr_change(buf, true, 4, &p, false);
	REQUIRE(m);
	CHECK(rtnl_link_read(m, &l) < 0 && rtnl_route_read(m, &r) < 0);
	m->nlmsg_len = NLMSG_HDRLEN + 2;
	CHECK(rtnl_addr_read(m, &a) < 0);
	m = mnl_nlmsg_put_header(buf);
	m->nlmsg_type = RTM_NEWADDR;
	struct ifaddrmsg *i = mnl_nlmsg_put_extra_header(m, sizeof(*i));
	i->ifa_family = AF_INET;
	mnl_attr_put(m, IFA_LOCAL, 3, "abc");
	CHECK(rtnl_addr_read(m, &a) == 0 && ip_is_unspecified(&a.addr.ip));
}

TESTS(T(link_is_read_back), T(change_puts_only_what_is_asked), T(address_is_read_back), T(route_is_read_back),
	T(too_long_is_refused), T(strange_answers))
