/* Theory of operation
 *
 * Our own operations cause notifications as other programs do, and comparing everything after each would cost more than the operations.
 * So what comes is collected cheaply and judged later, under the network lock, where no operation of ours is under way:
 *
 *   rules     the generation at which they were known to be right (kernel/stamp.c) is moved on by our own transactions; a generation
 *             beyond it is somebody else's. One that touches no table of ours is passed over. The legacy tables of iptables tell nobody
 *             of a change: twice a second it is looked whether they are as they were. After an operation of ours they are not, and are compared.
 *   links     what is remembered of a link is its last state. A bridge or port that the world wants and that is gone, down or no
 *             longer a port is damage; what our own operation took away, the world does not want any more.
 *   addresses the same: one that has gone and that a network has as its gateway.
 *   forwarding
 *             While a published port is for some clients only, any address that comes or goes.
 *   firewalld's word on the system bus that it has reloaded (kernel/firewalld.c)
 *
 * When the kernel had to drop notifications (ENOBUFS), or more came than is remembered, everything is compared. With nftables nothing
 * ever wakes this up but a change.
 *
 * tests/scenario/test_heal.py */
#include "kernel/monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/map.h"
#include "kernel/firewalld.h"
#include "kernel/real.h"

#define NOTES_MAX       256
#define GENERATIONS_MAX 256
#define RECEIVE_BUFFER  (1 << 20)
#define READ_SIZE       32768
#define POLL_MS         500
#define FIND_BUS_NS     10000000000ll

struct link_note {
	char name[KIFNAME];
	int index;
	bool gone, down, no_master;
};

struct generation {
	uint32_t id;
	bool concerns_us;
};

struct monitor {
	struct real *k;
	struct nl rules, links;
	bool lost_rules, lost_links;
	bool concerns_us; /* so far in the transaction whose messages come in */
	struct generation gens[GENERATIONS_MAX];
	size_t ngens;
	struct link_note note[NOTES_MAX];
	size_t n;
	struct ip gone[NOTES_MAX]; /* addresses */
	size_t ngone;
	bool no_forwarding;
	bool addresses; /* came or went, anybody's */
	struct firewalld *firewalld; /* NULL: no bus */
	bool reloaded;
	int64_t find_bus_at;
	struct stamper stamper; /* the real one's is used under the network lock only */
	struct stamp polled;    /* legacy tables as they were at the last judgement */
};

/* --- rules --- */

static int first_text(const struct nlattr *a, void *arg)
{
	/* every kind of object names its table in attribute 1 */
	if (mnl_attr_get_type(a) == NFTA_TABLE_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		*(const char **)arg = mnl_attr_get_str(a);
	return MNL_CB_OK;
}

static bool is_our_table(const struct monitor *m, uint8_t family, const char *table)
{
	if (!table)
		return true;
	if (m->k->conf->nftables)
		return family == NFPROTO_INET && streq(table, "pontoon");
	if (family != NFPROTO_IPV4 && family != NFPROTO_IPV6)
		return false;
	for (int t = 0; t < FW_TABLE_N; t++)
		if (streq(table, fw_table_name((enum fw_table)t)))
			return true;
	return false;
}

static int find_generation(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == NFTA_GEN_ID && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
		*(uint32_t *)arg = ntohl(mnl_attr_get_u32(a));
	return MNL_CB_OK;
}

static void note_rules(struct monitor *m, const struct nlmsghdr *h)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || h->nlmsg_len < mnl_nlmsg_size(sizeof(*g)))
		return;
	if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWGEN) {
		const char *table = NULL;
		if (!m->concerns_us && mnl_attr_parse(h, sizeof(*g), first_text, &table) >= 0)
			m->concerns_us = is_our_table(m, g->nfgen_family, table);
		return;
	}
	struct generation one = {.concerns_us = m->concerns_us};
	m->concerns_us = false;
	(void)mnl_attr_parse(h, sizeof(*g), find_generation, &one.id);
	if (m->ngens == GENERATIONS_MAX)
		m->lost_rules = true;
	else
		m->gens[m->ngens++] = one;
}

/* --- links --- */

static void note_link(struct monitor *m, const struct nlmsghdr *h)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	struct rtnl_link l;
	size_t k = 0;
	/* What a bridge says of its ports (AF_BRIDGE) the link itself says too. */
	if (rtnl_link_read(h, &l) < 0 || i->ifi_family != AF_UNSPEC)
		return;
	while (k < m->n && m->note[k].index != l.index)
		k++;
	if (k == NOTES_MAX) {
		m->lost_links = true;
		return;
	}
	m->n += k == m->n;
	m->note[k] = (struct link_note){.index = l.index, .gone = h->nlmsg_type == RTM_DELLINK, .down = !l.up, .no_master = !l.master};
	STR_COPY(m->note[k].name, l.name);
}

static void note_address(struct monitor *m, const struct nlmsghdr *h)
{
	struct rtnl_addr a;
	m->addresses = true;
	if (h->nlmsg_type != RTM_DELADDR || rtnl_addr_read(h, &a) < 0)
		return;
	if (m->ngone == NOTES_MAX)
		m->lost_links = true;
	else
		m->gone[m->ngone++] = a.addr.ip;
}

struct conf_values {
	int index, forwarding;
};

static int find_conf(const struct nlattr *a, void *arg)
{
	struct conf_values *v = arg;
	if (mnl_attr_validate(a, MNL_TYPE_U32) < 0)
		return MNL_CB_OK;
	if (mnl_attr_get_type(a) == NETCONFA_IFINDEX)
		v->index = (int)mnl_attr_get_u32(a);
	if (mnl_attr_get_type(a) == NETCONFA_FORWARDING)
		v->forwarding = (int)mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

static void note_conf(struct monitor *m, const struct nlmsghdr *h)
{
	struct conf_values v = {.forwarding = -1};
	if (h->nlmsg_len < mnl_nlmsg_size(sizeof(struct netconfmsg)) || mnl_attr_parse(h, sizeof(struct netconfmsg), find_conf, &v) < 0)
		return;
	if (v.index == NETCONFA_IFINDEX_ALL && v.forwarding >= 0)
		m->no_forwarding |= v.forwarding == 0;
}

static void note_links(struct monitor *m, const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		note_link(m, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		note_address(m, h);
		break;
	case RTM_NEWNETCONF:
		note_conf(m, h);
		break;
	default:
		break;
	}
}

/* --- */

/* Takes what is there. */
static void drain(struct monitor *m, struct nl *nl, void (*note)(struct monitor *, const struct nlmsghdr *), bool *lost)
{
	_Alignas(struct nlmsghdr) char buf[READ_SIZE];
	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(nl->sock), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == ENOBUFS)
			*lost = true;
		else if (n < 0 && errno != EINTR)
			return;
		int left = n < 0 ? 0 : (int)n;
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			note(m, h);
	}
}

static void drain_all(struct monitor *m)
{
	if (m->rules.sock)
		drain(m, &m->rules, note_rules, &m->lost_rules);
	drain(m, &m->links, note_links, &m->lost_links);
}

static bool anything(const struct monitor *m)
{
	return m->lost_rules || m->lost_links || m->ngens || m->n || m->ngone || m->no_forwarding || m->addresses || m->reloaded;
}

static int open_groups(struct nl *nl, int protocol, const int *groups, size_t n, struct err *e)
{
	int size = RECEIVE_BUFFER;
	try(nl_open_protocol(nl, protocol, e));
	/* Privileged, so beyond net.core.rmem_max; a kernel that refuses loses more and we compare more often. */
	(void)setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	for (size_t i = 0; i < n; i++) {
		int group = groups[i];
		/* A kernel without IPv6 has no group of it. */
		if (mnl_socket_setsockopt(nl->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 && group != RTNLGRP_IPV6_NETCONF && group != RTNLGRP_IPV6_IFADDR)
			return err_errno(e, -errno, "listen for changes of the network");
	}
	return 0;
}

int monitor_new(struct kernel *k, struct monitor **out, struct err *e)
{
	static const int rules[] = {NFNLGRP_NFTABLES};
	static const int links[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF};
	struct monitor *m = calloc(1, sizeof(*m));
	if (!m)
		return err_nomem(e);
	m->k = (struct real *)k;
	m->stamper = (struct stamper)STAMPER_NONE;
	int r = open_groups(&m->links, NETLINK_ROUTE, links, ARRAY_LEN(links), e);
	if (r >= 0 && m->k->conf->iptables)
		r = stamper_open(&m->stamper, !m->k->conf->nftables, e);
	if (r >= 0 && m->k->conf->iptables)
		r = open_groups(&m->rules, NETLINK_NETFILTER, rules, ARRAY_LEN(rules), e);
	if (r < 0) {
		monitor_free(m);
		return r;
	}
	stamp_read(&m->k->stamper, true, &m->k->right);
	m->polled = m->k->right;
	memcpy(m->stamper.used, m->k->stamper.used, sizeof(m->stamper.used));
	*out = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	nl_close(&m->rules);
	nl_close(&m->links);
	stamper_close(&m->stamper);
	firewalld_free(m->firewalld);
	free(m);
}

/* The legacy tables differ from what they were at the last judgement. */
static bool legacy_differs(struct monitor *m)
{
	struct stamp now;
	stamp_read(&m->stamper, true, &now);
	return !stamp_same(&now, &m->polled);
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* A bus that was not there, or has gone, is looked for again when there is something to do, but not all the time. */
static void find_bus(struct monitor *m)
{
	int64_t now = clock_mono_ns();
	if (m->firewalld || !m->rules.sock || now < m->find_bus_at)
		return;
	m->firewalld = firewalld_open();
	m->find_bus_at = now + FIND_BUS_NS;
}

/* True when it has reloaded. */
static bool hear_firewalld(struct monitor *m)
{
	int r = firewalld_take(m->firewalld);
	if (r < 0) {
		firewalld_free(m->firewalld);
		m->firewalld = NULL;
	}
	m->reloaded |= r > 0;
	return r > 0;
}

int monitor_wait(struct monitor *m, int stop, int timeout)
{
	int64_t end = timeout < 0 ? 0 : clock_mono_ns() + (int64_t)timeout * 1000000;
	bool legacy = stamper_is_legacy(&m->stamper);
	find_bus(m);
	for (;;) {
		int left = !end ? -1 : (int)((end - clock_mono_ns() + 999999) / 1000000), bus = -1;
		struct pollfd f[] = {{.fd = m->rules.sock ? mnl_socket_get_fd(m->rules.sock) : -1, .events = POLLIN},
			{.fd = mnl_socket_get_fd(m->links.sock), .events = POLLIN}, {.fd = stop, .events = POLLIN}, {.fd = -1}};
		if (end && left <= 0)
			return 0;
		if (m->firewalld)
			f[3] = firewalld_poll(m->firewalld, &bus);
		int n = poll(f, ARRAY_LEN(f), sooner(sooner(left, bus), legacy ? POLL_MS : -1));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && f[2].revents)
			return -ECANCELED;
		bool told = n > 0 && (f[0].revents || f[1].revents);
		if (told)
			drain_all(m);
		bool reloaded = m->firewalld && (n == 0 || f[3].revents) && hear_firewalld(m);
		if ((told && anything(m)) || reloaded || (n == 0 && legacy && legacy_differs(m)))
			return 1;
	}
}

/* Judges the rules; what is right from now on is what is there now: it is compared next. */
static bool rules_changed(struct monitor *m)
{
	struct stamp *right = &m->k->right, now;
	for (size_t i = 0; i < m->ngens && right->known; i++)
		if (!m->gens[i].concerns_us && m->gens[i].id == right->gen + 1)
			right->gen++;
	stamp_read(&m->k->stamper, true, &now);
	bool changed = now.known ? !stamp_same(&now, right) : m->lost_rules || m->ngens;
	*right = m->polled = now;
	memcpy(m->stamper.used, m->k->stamper.used, sizeof(m->stamper.used));
	return changed;
}

static int index_notes(struct monitor *m, struct map *out)
{
	for (size_t i = 0; i < m->n; i++)
		if (map_puts(out, m->note[i].name, &m->note[i]) < 0)
			return -ENOMEM;
	return 0;
}

static bool address_gone(const struct monitor *m, const struct network *n)
{
	for (size_t i = 0; i < m->ngone; i++)
		if (ip_eq(&m->gone[i], &n->v4.gateway) || ip_eq(&m->gone[i], &n->v6.gateway))
			return true;
	return false;
}

static bool links_changed(struct monitor *m, const struct world *w)
{
	OWN(map_free) struct map notes = {0};
	const struct network *n;
	const struct endpoint *ep;
	if (m->lost_links || (m->no_forwarding && m->k->conf->ip_forward) || index_notes(m, &notes) < 0)
		return true;
	if (!m->n && !m->ngone)
		return false;
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));) {
		const struct link_note *l = n->driver == DRIVER_BRIDGE ? map_gets(&notes, n->bridge) : NULL;
		if ((l && (l->gone || l->down)) || address_gone(m, n))
			return true;
	}
	for (size_t i = 0; (ep = world_next(w, NOUN_ENDPOINT, &i));) {
		const struct link_note *l = ep->joined && ep->veth[0] ? map_gets(&notes, ep->veth) : NULL;
		if (l && (l->gone || l->down || l->no_master))
			return true;
	}
	return false;
}

unsigned monitor_take(struct monitor *m, const struct world *w)
{
	unsigned parts = 0;
	drain_all(m);
	if (m->rules.sock && (rules_changed(m) || m->reloaded))
		parts |= KERNEL_RULES;
	if (links_changed(m, w) || (m->addresses && world_limited_ports(w)))
		parts |= KERNEL_ALL;
	m->lost_rules = m->lost_links = m->no_forwarding = m->addresses = m->reloaded = false;
	m->ngens = m->n = m->ngone = 0;
	return parts;
}
