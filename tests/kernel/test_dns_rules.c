/* The name server's rules as messages: a rule that is sent has the layout of one that is listed, so what is built serves as the kernel's answer. */
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "kernel/dns_rules.h"
#include "test.h"

static unsigned count(char *batch, size_t len, int type)
{
	unsigned n = 0;
	int left = (int)len;
	for (struct nlmsghdr *m = (struct nlmsghdr *)batch; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
		n += m->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type);
	return n;
}

static bool right(char *batch, size_t len, uint16_t udp, uint16_t tcp)
{
	struct dns_rules_seen seen = {.udp = udp, .tcp = tcp};
	int left = (int)len;
	for (struct nlmsghdr *m = (struct nlmsghdr *)batch; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
		CHECK(dns_rules_read(m, &seen) == 0);
	return dns_rules_right(&seen);
}

TEST(rules_are_read_back)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	size_t n = dns_rules_put(buf, 40001, 40002, false);
	REQUIRE(n && n <= NL_BUF);
	CHECK(count(buf, n, NFT_MSG_NEWTABLE) == 1 && count(buf, n, NFT_MSG_NEWCHAIN) == 2 && count(buf, n, NFT_MSG_NEWRULE) == 4 && count(buf, n, NFT_MSG_DELTABLE) == 0);
	CHECK(right(buf, n, 40001, 40002));
	CHECK(!right(buf, n, 40002, 40001) && !right(buf, n, 40001, 40003) && !right(buf, n, 0, 0));
	n = dns_rules_put(buf, 53, 53, true);
	CHECK(count(buf, n, NFT_MSG_DELTABLE) == 1 && count(buf, n, NFT_MSG_NEWTABLE) == 2 && right(buf, n, 53, 53));
	n = dns_rules_drop(buf);
	CHECK(n && count(buf, n, NFT_MSG_DELTABLE) == 1 && !right(buf, n, 53, 53));
	REQUIRE(dns_rules_list(buf));
}

/* All four, and each as it was made: one that is lost, or that somebody replaced, is not right. */
TEST(one_wrong_rule_is_seen)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	for (unsigned lost = 0; lost < 4; lost++) {
		size_t n = dns_rules_put(buf, 40001, 40002, false);
		unsigned at = 0;
		int left = (int)n;
		for (struct nlmsghdr *m = (struct nlmsghdr *)buf; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			if (m->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE) && at++ == lost)
				for (char *p = (char *)mnl_nlmsg_get_payload(m); p < (char *)m + m->nlmsg_len - 4; p++)
					if (memcmp(p, (char[]){127, 0, 0, 11}, 4) == 0)
						p[3] = 12;
		CHECK(at == 4 && !right(buf, n, 40001, 40002));
	}
}

TESTS(T(rules_are_read_back), T(one_wrong_rule_is_seen))
