#include "kernel/stamp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/spawn.h"

#define GET_INFO    IPT_SO_GET_INFO    /* IP6T_SO_GET_INFO is the same number */
#define GET_ENTRIES IPT_SO_GET_ENTRIES /* so is this */
#define TABLE_MAX   (256u << 20)

/* What the kernel hands out is alike in both families, but for the places of things in an entry. */
static const struct {
	size_t counters, next, size;
} entry[FW_FAMILY_N] = {
	[FW_V4] = {offsetof(struct ipt_entry, counters), offsetof(struct ipt_entry, next_offset), sizeof(struct ipt_entry)},
	[FW_V6] = {offsetof(struct ip6t_entry, counters), offsetof(struct ip6t_entry, next_offset), sizeof(struct ip6t_entry)},
};
static_assert(sizeof(struct ipt_getinfo) == sizeof(struct stamp_sizes) && sizeof(struct ip6t_getinfo) == sizeof(struct stamp_sizes), "the kernel's struct");
static_assert(offsetof(struct ipt_get_entries, entrytable) == offsetof(struct ip6t_get_entries, entrytable), "the kernel's struct");

int stamper_open(struct stamper *s, bool iptables, struct err *e)
{
	*s = (struct stamper)STAMPER_NONE;
	s->iptables = iptables;
	return nl_open_protocol(&s->nf, NETLINK_NETFILTER, e);
}

void stamper_close(struct stamper *s)
{
	nl_close(&s->nf);
	for (int f = 0; f < FW_FAMILY_N; f++)
		own_fd(&s->raw[f]);
}

bool stamper_is_legacy(const struct stamper *s)
{
	char path[PATH_MAX], real[PATH_MAX];
	if (!s->iptables || spawn_find("iptables-restore", path, NULL) < 0 || !realpath(path, real))
		return false;
	const char *base = strrchr(real, '/');
	return !strstr(base ? base : real, "nft");
}

struct generation {
	uint32_t id;
	bool any;
};

static int find_id(const struct nlattr *attr, void *arg)
{
	struct generation *g = arg;
	if (mnl_attr_get_type(attr) == NFTA_GEN_ID && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
		*g = (struct generation){ntohl(mnl_attr_get_u32(attr)), true};
	return MNL_CB_OK;
}

static int take_generation(const struct nlmsghdr *m, void *arg)
{
	if (m->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
		(void)mnl_attr_parse(m, sizeof(struct nfgenmsg), find_id, arg);
	return 0;
}

static bool read_generation(struct stamper *s, uint32_t *out)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	m->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(m, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	struct generation found = {0};
	if (nl_get(&s->nf, m, take_generation, &found, NULL) < 0 || !found.any)
		return false;
	*out = found.id;
	return true;
}

static int level(enum fw_family f)
{
	return f == FW_V6 ? IPPROTO_IPV6 : IPPROTO_IP;
}

static bool read_sizes(struct stamper *s, enum fw_family f, struct stamp_sizes info[static FW_TABLE_N])
{
	if (s->raw[f] < 0)
		s->raw[f] = socket(f == FW_V6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	for (int t = 0; t < FW_TABLE_N; t++) {
		struct stamp_sizes one = {0};
		socklen_t n = sizeof(one);
		snprintf(one.name, sizeof(one.name), "%s", fw_table_name((enum fw_table)t));
		if (s->raw[f] < 0 || getsockopt(s->raw[f], level(f), GET_INFO, &one, &n) < 0)
			return false;
		info[t] = one;
	}
	return true;
}

static uint64_t mix(uint64_t h, const unsigned char *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

/* Of one table's rules in their order; false when it changed in between (its size is another one) or the kernel does not tell. */
static bool hash_table(const struct stamper *s, enum fw_family f, const struct stamp_sizes *info, uint64_t *h)
{
	socklen_t n = (socklen_t)(sizeof(struct ipt_get_entries) + info->size);
	/* zeroed: the kernel leaves the bytes behind a short name as they are */
	OWN(own_free) struct ipt_get_entries *g = info->size <= TABLE_MAX ? calloc(1, n) : NULL;
	if (!g)
		return false;
	memcpy(g->name, info->name, sizeof(g->name));
	g->size = info->size;
	if (getsockopt(s->raw[f], level(f), GET_ENTRIES, g, &n) < 0)
		return false;
	unsigned char *p = (unsigned char *)g->entrytable;
	for (size_t at = 0; at + entry[f].size <= info->size;) {
		uint16_t next;
		memcpy(&next, p + at + entry[f].next, sizeof(next));
		if (next < entry[f].size || next > info->size - at)
			return false;
		memset(p + at + entry[f].counters, 0, sizeof(struct xt_counters));
		*h = mix(*h, p + at, next);
		at += next;
	}
	return true;
}

void stamp_read(struct stamper *s, bool exact, struct stamp *out)
{
	struct stamp now = {.legacy = stamper_is_legacy(s)};
	now.known = now.legacy || (s->nf.sock && read_generation(s, &now.gen));
	for (int f = 0; now.legacy && f < FW_FAMILY_N; f++)
		if (s->used[f])
			now.known &= read_sizes(s, (enum fw_family)f, now.info[f]);
	for (int i = 0; exact && now.legacy && now.known && i < FW_FAMILY_N * FW_TABLE_N; i++)
		if (s->used[i / FW_TABLE_N])
			now.known &= hash_table(s, (enum fw_family)(i / FW_TABLE_N), &now.info[i / FW_TABLE_N][i % FW_TABLE_N], &now.hash);
	*out = now;
}

bool stamp_same(const struct stamp *a, const struct stamp *b)
{
	bool hash = !a->hash || !b->hash || a->hash == b->hash;
	return a->known && b->known && a->legacy == b->legacy && a->gen == b->gen && hash && memcmp(a->info, b->info, sizeof(a->info)) == 0;
}

bool stamp_follows(const struct stamp *before, const struct stamp *after, unsigned n)
{
	return before->known && after->known && !before->legacy && !after->legacy && after->gen == before->gen + n;
}
