#include "kernel/nl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#define NL_READ 32768

int nl_open(struct nl *nl, struct err *e)
{
	return nl_open_protocol(nl, NETLINK_ROUTE, e);
}

int nl_open_protocol(struct nl *nl, int protocol, struct err *e)
{
	int on = 1;
	nl->seq = 0;
	nl->sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!nl->sock)
		return err_errno(e, -errno, "open a netlink socket");
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = err_errno(e, -errno, "bind a netlink socket");
		nl_close(nl);
		return r;
	}
	/* Texts for errors, and dumps that check what they are asked: both only help, so a kernel without them is fine. */
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

static int find_text(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		*(const char **)arg = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

/* An error answer: errno and, where the kernel gives one, its own words. */
static int answer_error(const struct nlmsghdr *m, struct err *e)
{
	const struct nlmsgerr *ne = mnl_nlmsg_get_payload(m);
	const char *text = NULL;
	size_t skip = sizeof(*ne);
	if (m->nlmsg_len < mnl_nlmsg_size(sizeof(*ne)))
		return err_set(e, -EPROTO, "netlink: an answer is too short");
	if (ne->error == 0)
		return 0;
	if (!(m->nlmsg_flags & NLM_F_CAPPED))
		skip += ne->msg.nlmsg_len - sizeof(ne->msg);
	if ((m->nlmsg_flags & NLM_F_ACK_TLVS) && m->nlmsg_len > mnl_nlmsg_size(skip))
		(void)mnl_attr_parse(m, (unsigned)skip, find_text, &text);
	return text ? err_set(e, ne->error, "%s", text) : err_errno(e, ne->error, "kernel");
}

static ssize_t receive(struct nl *nl, char *buf, struct err *e)
{
	ssize_t n;
	do {
		n = mnl_socket_recvfrom(nl->sock, buf, NL_READ);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? err_errno(e, -errno, "read from netlink") : n;
}

static int send_request(struct nl *nl, struct nlmsghdr *m, struct err *e)
{
	m->nlmsg_seq = ++nl->seq;
	return mnl_socket_sendto(nl->sock, m, m->nlmsg_len) < 0 ? err_errno(e, -errno, "write to netlink") : 0;
}

int nl_call(struct nl *nl, struct nlmsghdr *m, struct err *e)
{
	return nl_get(nl, m, NULL, NULL, e);
}

int nl_get(struct nl *nl, struct nlmsghdr *m, int (*each)(const struct nlmsghdr *m, void *arg), void *arg, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[NL_READ];
	int r = 0;
	m->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	try(send_request(nl, m, e));
	for (;;) {
		ssize_t n = receive(nl, buf, e);
		if (n < 0)
			return (int)n;
		int left = (int)n;
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != nl->seq)
				continue;
			if (h->nlmsg_type == NLMSG_ERROR)
				return r < 0 ? r : answer_error(h, e);
			if (r >= 0 && each)
				r = each(h, arg);
		}
	}
}

/* The kernel has done with all of it when the sending returns: what it answers after the first error is passed over by its number. */
int nl_batch(struct nl *nl, void *messages, size_t len, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[NL_READ];
	unsigned before = nl->seq, last = 0;
	int left = (int)len;
	for (struct nlmsghdr *m = messages; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
		m->nlmsg_seq = ++nl->seq;
		if (m->nlmsg_flags & NLM_F_ACK)
			last = nl->seq;
	}
	if (mnl_socket_sendto(nl->sock, messages, len) < 0)
		return err_errno(e, -errno, "write to netlink");
	for (;;) {
		ssize_t n = receive(nl, buf, e);
		if (n < 0)
			return (int)n;
		left = (int)n;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - before - 1 >= nl->seq - before)
				continue;
			try(answer_error(h, e));
			if (h->nlmsg_seq == last)
				return 0;
		}
	}
}

/* The end of a dump carries its result: what failed after the first answers is told only here. */
static int done_code(const struct nlmsghdr *m)
{
	return mnl_nlmsg_get_payload_len(m) < sizeof(int) ? 0 : *(const int *)mnl_nlmsg_get_payload(m);
}

int nl_dump(struct nl *nl, struct nlmsghdr *m, int (*each)(const struct nlmsghdr *m, void *arg), void *arg, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[NL_READ];
	bool interrupted = false;
	int r = 0;
	m->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	try(send_request(nl, m, e));
	for (;;) {
		ssize_t n = receive(nl, buf, e);
		if (n < 0)
			return (int)n;
		int left = (int)n;
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != nl->seq)
				continue;
			interrupted |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			if (h->nlmsg_type == NLMSG_DONE && done_code(h) < 0)
				return err_errno(e, done_code(h), "netlink: a dump ended early");
			if (h->nlmsg_type == NLMSG_DONE)
				return r < 0 ? r : interrupted ? err_set(e, -EINTR, "netlink: the dump was interrupted by changes") : 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return answer_error(h, e);
			if (r >= 0)
				r = each(h, arg);
		}
	}
}
