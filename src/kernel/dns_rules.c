#include "kernel/dns_rules.h"

#include <arpa/inet.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/strv.h"

#define TABLE      "pontoon-dns"
#define DNS_PORT   53
#define IP_SOURCE  12 /* offsets in the headers of IP, and of UDP and TCP */
#define IP_TARGET  16
#define SOURCE     0
#define TARGET     2
#define VALUES     13 /* bytes that a rule compares with and sets: address, protocol, port, address, port */

static const uint8_t server[4] = {127, 0, 0, 11};

/* "ADDRESS:53 from inside is led to our port", and back. */
static const struct rule {
	const char *chain;
	uint8_t proto;
	bool out;
} rules[] = {{"output", IPPROTO_UDP, true}, {"output", IPPROTO_TCP, true}, {"postrouting", IPPROTO_UDP, false}, {"postrouting", IPPROTO_TCP, false}};

/* A transaction under construction: what does not fit sets `bad`. */
struct batch {
	char *buf;
	size_t len; /* of the messages before m */
	struct nlmsghdr *m;
	bool bad;
};

static void end_message(struct batch *b)
{
	if (b->m)
		b->len += NLMSG_ALIGN(b->m->nlmsg_len);
	b->m = NULL;
}

static void begin_message(struct batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t res)
{
	end_message(b);
	b->bad |= b->len + 256 > NL_BUF;
	if (b->bad)
		b->len = 0; /* what follows is for nothing */
	b->m = mnl_nlmsg_put_header(b->buf + b->len);
	b->m->nlmsg_type = type;
	b->m->nlmsg_flags = flags;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(b->m, sizeof(*g));
	*g = (struct nfgenmsg){.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res)};
}

static void put(struct batch *b, uint16_t type, const void *p, size_t n)
{
	b->bad |= !mnl_attr_put_check(b->m, NL_BUF - b->len, type, n, p);
}

static void put_str(struct batch *b, uint16_t type, const char *s)
{
	put(b, type, s, strlen(s) + 1);
}

static void put_be32(struct batch *b, uint16_t type, uint32_t v)
{
	v = htonl(v);
	put(b, type, &v, sizeof(v));
}

static struct nlattr *nest(struct batch *b, uint16_t type)
{
	struct nlattr *a = mnl_attr_nest_start_check(b->m, NL_BUF - b->len, type);
	b->bad |= !a;
	return a;
}

static void unnest(struct batch *b, struct nlattr *a)
{
	if (a)
		mnl_attr_nest_end(b->m, a);
}

static void put_value(struct batch *b, uint16_t type, const void *p, size_t n)
{
	struct nlattr *a = nest(b, type);
	put(b, NFTA_DATA_VALUE, p, n);
	unnest(b, a);
}

/* --- expressions --- */

struct expr {
	struct nlattr *elem, *data;
};

static struct expr begin_expr(struct batch *b, const char *name)
{
	struct expr x = {.elem = nest(b, NFTA_LIST_ELEM)};
	put_str(b, NFTA_EXPR_NAME, name);
	x.data = nest(b, NFTA_EXPR_DATA);
	return x;
}

static void end_expr(struct batch *b, struct expr x)
{
	unnest(b, x.data);
	unnest(b, x.elem);
}

static void compare(struct batch *b, const void *p, size_t n)
{
	struct expr x = begin_expr(b, "cmp");
	put_be32(b, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(b, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(b, NFTA_CMP_DATA, p, n);
	end_expr(b, x);
}

static void match_field(struct batch *b, uint32_t base, uint32_t offset, const void *p, size_t n)
{
	struct expr x = begin_expr(b, "payload");
	put_be32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_be32(b, NFTA_PAYLOAD_BASE, base);
	put_be32(b, NFTA_PAYLOAD_OFFSET, offset);
	put_be32(b, NFTA_PAYLOAD_LEN, (uint32_t)n);
	end_expr(b, x);
	compare(b, p, n);
}

static void match_protocol(struct batch *b, uint8_t proto)
{
	struct expr x = begin_expr(b, "meta");
	put_be32(b, NFTA_META_KEY, NFT_META_L4PROTO);
	put_be32(b, NFTA_META_DREG, NFT_REG_1);
	end_expr(b, x);
	compare(b, &proto, sizeof(proto));
}

static void set_register(struct batch *b, uint32_t reg, const void *p, size_t n)
{
	struct expr x = begin_expr(b, "immediate");
	put_be32(b, NFTA_IMMEDIATE_DREG, reg);
	put_value(b, NFTA_IMMEDIATE_DATA, p, n);
	end_expr(b, x);
}

static void translate(struct batch *b, uint32_t type)
{
	struct expr x = begin_expr(b, "nat");
	put_be32(b, NFTA_NAT_TYPE, type);
	put_be32(b, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	put_be32(b, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	put_be32(b, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
	put_be32(b, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
	end_expr(b, x);
}

/* --- messages --- */

static void begin_nft(struct batch *b, enum nf_tables_msg_types type, uint16_t flags)
{
	begin_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_REQUEST | flags, NFPROTO_IPV4, 0);
}

static void put_chain(struct batch *b, const char *name, uint32_t hook, int priority)
{
	begin_nft(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	put_str(b, NFTA_CHAIN_TABLE, TABLE);
	put_str(b, NFTA_CHAIN_NAME, name);
	put_str(b, NFTA_CHAIN_TYPE, "nat");
	struct nlattr *a = nest(b, NFTA_CHAIN_HOOK);
	put_be32(b, NFTA_HOOK_HOOKNUM, hook);
	put_be32(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	unnest(b, a);
}

static void put_rule(struct batch *b, const struct rule *r, uint16_t port, uint16_t flags)
{
	const uint16_t ours = htons(port), dns = htons(DNS_PORT);
	begin_nft(b, NFT_MSG_NEWRULE, (uint16_t)(NLM_F_CREATE | NLM_F_APPEND | flags));
	put_str(b, NFTA_RULE_TABLE, TABLE);
	put_str(b, NFTA_RULE_CHAIN, r->chain);
	struct nlattr *a = nest(b, NFTA_RULE_EXPRESSIONS);
	match_field(b, NFT_PAYLOAD_NETWORK_HEADER, r->out ? IP_TARGET : IP_SOURCE, server, sizeof(server));
	match_protocol(b, r->proto);
	match_field(b, NFT_PAYLOAD_TRANSPORT_HEADER, r->out ? TARGET : SOURCE, r->out ? &dns : &ours, sizeof(ours));
	set_register(b, NFT_REG_1, server, sizeof(server));
	set_register(b, NFT_REG_2, r->out ? &ours : &dns, sizeof(ours));
	translate(b, r->out ? NFT_NAT_DNAT : NFT_NAT_SNAT);
	unnest(b, a);
}

static void put_table(struct batch *b, enum nf_tables_msg_types type, uint16_t flags)
{
	begin_nft(b, type, flags);
	put_str(b, NFTA_TABLE_NAME, TABLE);
}

static struct batch begin(char *buf)
{
	struct batch b = {.buf = buf};
	begin_message(&b, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	return b;
}

static size_t end(struct batch *b)
{
	begin_message(b, NFNL_MSG_BATCH_END, NLM_F_REQUEST, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end_message(b);
	return b->bad ? 0 : b->len;
}

static uint16_t port_of(const struct rule *r, uint16_t udp, uint16_t tcp)
{
	return r->proto == IPPROTO_UDP ? udp : tcp;
}

size_t dns_rules_put(char *buf, uint16_t udp, uint16_t tcp, bool instead)
{
	struct batch b = begin(buf);
	if (instead)
		put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE); /* so that there is one to delete */
	if (instead)
		put_table(&b, NFT_MSG_DELTABLE, 0);
	put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_chain(&b, "output", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST);
	put_chain(&b, "postrouting", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		put_rule(&b, &rules[i], port_of(&rules[i], udp, tcp), i + 1 == ARRAY_LEN(rules) ? NLM_F_ACK : 0);
	return end(&b);
}

size_t dns_rules_drop(char *buf)
{
	struct batch b = begin(buf);
	put_table(&b, NFT_MSG_DELTABLE, NLM_F_ACK);
	return end(&b);
}

/* --- what is there --- */

struct nlmsghdr *dns_rules_list(char *buf)
{
	struct batch b = {.buf = buf};
	begin_nft(&b, NFT_MSG_GETRULE, 0);
	put_str(&b, NFTA_RULE_TABLE, TABLE);
	return b.bad ? NULL : b.m;
}

struct values {
	const char *name; /* of the expression that is read */
	uint8_t v[VALUES];
	size_t n; /* more than VALUES: another rule */
};

static int read_value(const struct nlattr *a, void *arg)
{
	struct values *v = arg;
	size_t n = mnl_attr_get_payload_len(a);
	if (mnl_attr_get_type(a) != NFTA_DATA_VALUE)
		return MNL_CB_OK;
	if (v->n + n <= VALUES)
		memcpy(v->v + v->n, mnl_attr_get_payload(a), n);
	v->n += n;
	return MNL_CB_OK;
}

static int read_data(const struct nlattr *a, void *arg)
{
	const struct values *v = arg;
	bool value = (streq(v->name, "cmp") && mnl_attr_get_type(a) == NFTA_CMP_DATA) || (streq(v->name, "immediate") && mnl_attr_get_type(a) == NFTA_IMMEDIATE_DATA);
	return value ? mnl_attr_parse_nested(a, read_value, arg) : MNL_CB_OK;
}

/* The name comes first. */
static int read_expr(const struct nlattr *a, void *arg)
{
	struct values *v = arg;
	if (mnl_attr_get_type(a) == NFTA_EXPR_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		v->name = mnl_attr_get_str(a);
	return mnl_attr_get_type(a) == NFTA_EXPR_DATA ? mnl_attr_parse_nested(a, read_data, v) : MNL_CB_OK;
}

static int read_list(const struct nlattr *a, void *arg)
{
	struct values *v = arg;
	v->name = "";
	return mnl_attr_get_type(a) == NFTA_LIST_ELEM ? mnl_attr_parse_nested(a, read_expr, v) : MNL_CB_OK;
}

struct one {
	const char *chain;
	struct values values;
};

static int read_rule(const struct nlattr *a, void *arg)
{
	struct one *o = arg;
	if (mnl_attr_get_type(a) == NFTA_RULE_CHAIN && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		o->chain = mnl_attr_get_str(a);
	return mnl_attr_get_type(a) == NFTA_RULE_EXPRESSIONS ? mnl_attr_parse_nested(a, read_list, &o->values) : MNL_CB_OK;
}

static void values_of(const struct rule *r, uint16_t port, uint8_t out[static VALUES])
{
	const uint16_t ours = htons(port), dns = htons(DNS_PORT);
	memcpy(out, server, 4);
	out[4] = r->proto;
	memcpy(out + 5, r->out ? &dns : &ours, 2);
	memcpy(out + 7, server, 4);
	memcpy(out + 11, r->out ? &ours : &dns, 2);
}

int dns_rules_read(const struct nlmsghdr *m, void *arg)
{
	struct dns_rules_seen *seen = arg;
	struct one o = {.chain = ""};
	if (m->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE) || mnl_attr_parse(m, sizeof(struct nfgenmsg), read_rule, &o) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		uint8_t right[VALUES];
		values_of(&rules[i], port_of(&rules[i], seen->udp, seen->tcp), right);
		if (streq(o.chain, rules[i].chain) && o.values.n == VALUES && memcmp(o.values.v, right, VALUES) == 0)
			seen->found |= 1u << i;
	}
	return 0;
}

bool dns_rules_right(const struct dns_rules_seen *seen)
{
	return seen->found == (1u << ARRAY_LEN(rules)) - 1;
}
