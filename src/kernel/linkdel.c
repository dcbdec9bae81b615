/* Theory of operation
 *
 * Deleting a veth takes the kernel 20 to 40 ms, of which it needs 2 to take it away: name, addresses, routes and ports are gone for everybody
 * then, and RTM_DELLINK is told. The rest is waiting, without any lock, until the last reader of its memory has left (net/core/dev.c,
 * netdev_run_todo), and only then the request is answered. So the request is sent by a thread of its own, and whoever asked goes on when the
 * link has gone, or when the request has failed. Nobody can observe a difference: the kernel has let go of the name and the addresses, and
 * what a dying process has asked for is done all the same.
 *
 * A bridge needs half of its time before it is told to be gone, because its multicast state is waited for under the lock of rtnetlink
 * (net/bridge/br_multicast.c, br_multicast_dev_del). Its name, routes and addresses go before that, and that this has been reached the end of its
 * IPv4 settings tells (net/ipv4/devinet.c, inetdev_destroy). So who asked goes on then; who asks for a link next, at that moment, stands before the
 * lock, and finds the name free.
 *
 * The veths of a dropped namespace go with it, and that at once for whoever looks (kernel/real.c). But a connection whose last packets nobody
 * answers keeps the namespace for minutes after its process has gone: what is still there after a moment is deleted.
 *
 * tests/kernel/test_scene.c, links_go_at_once and connections_keep_no_link. */
#include <errno.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "kernel/real.h"

#define LINGER_MS 300

struct request {
	atomic_int holders; /* the thread and who asked */
	int index;
	int answered; /* eventfd */
	int result;
	struct err e;
};

static void release(struct request *r)
{
	if (atomic_fetch_sub(&r->holders, 1) > 1)
		return;
	own_fd(&r->answered);
	free(r);
}

static int ask(int index, struct err *e)
{
	OWN(own_nl) struct nl nl = NL_NONE;
	char buf[NL_BUF];
	try(nl_open(&nl, e));
	int r = nl_call(&nl, rtnl_link_del(buf, index), e);
	return r == -ENODEV ? 0 : r; /* gone already: what was asked for */
}

static void *run(void *arg)
{
	struct request *r = arg;
	r->result = ask(r->index, &r->e);
	(void)eventfd_write(r->answered, 1);
	release(r);
	return NULL;
}

static int find_index(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == NETCONFA_IFINDEX && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
		*(int *)arg = (int)mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

/* That it is gone, or, before that, that its addresses are no more: its name went before them. */
static bool says_gone(const struct nlmsghdr *h, int index)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	int of = 0;
	if (h->nlmsg_type == RTM_DELLINK && h->nlmsg_len >= mnl_nlmsg_size(sizeof(*i)) && i->ifi_family == AF_UNSPEC)
		return i->ifi_index == index;
	if (h->nlmsg_type == RTM_DELNETCONF && h->nlmsg_len >= mnl_nlmsg_size(sizeof(struct netconfmsg)))
		(void)mnl_attr_parse(h, sizeof(struct netconfmsg), find_index, &of);
	return of && of == index;
}

/* Has the kernel told? */
static bool told(int fd, int index)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0)
			return false; /* also when too much was told: then the answer is waited for */
		int left = (int)n;
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			if (says_gone(h, index))
				return true;
	}
}

static int wait_for(const struct request *r, int news, struct err *e)
{
	for (;;) {
		struct pollfd f[] = {{.fd = r->answered, .events = POLLIN}, {.fd = news, .events = POLLIN}};
		if (poll(f, ARRAY_LEN(f), -1) < 0 && errno != EINTR)
			return err_errno(e, -errno, "wait for the end of a link");
		if (f[0].revents && e && r->result < 0)
			*e = r->e;
		if (f[0].revents)
			return r->result;
		if (f[1].revents && told(news, r->index))
			return 0;
	}
}

bool start_detached(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	bool started = pthread_create(&thread, &attr, fn, arg) == 0;
	pthread_attr_destroy(&attr);
	return started;
}

int link_remove(int index, struct err *e)
{
	OWN(own_nl) struct nl news = NL_NONE;
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_NETCONF};
	try(nl_open(&news, e));
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (mnl_socket_setsockopt(news.sock, NETLINK_ADD_MEMBERSHIP, (void *)(uintptr_t)&groups[i], sizeof(groups[i])) < 0)
			return err_errno(e, -errno, "listen for the end of a link");
	struct request *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	r->index = index;
	r->holders = 2;
	r->answered = eventfd(0, EFD_CLOEXEC);
	bool started = r->answered >= 0 && start_detached(run, r);
	int result = started ? wait_for(r, mnl_socket_get_fd(news.sock), e) : ask(index, e);
	if (!started)
		release(r);
	release(r);
	return result;
}

struct lingering {
	size_t n;
	int index[];
};

static void *sweep(void *arg)
{
	static const struct timespec moment = {.tv_nsec = LINGER_MS * 1000000};
	OWN(own_free) struct lingering *l = arg;
	char name[IF_NAMESIZE];
	(void)nanosleep(&moment, NULL);
	for (size_t i = 0; i < l->n; i++)
		if (if_indextoname((unsigned)l->index[i], name))
			(void)ask(l->index[i], NULL); /* what cannot be deleted now, reconcile finds */
	return NULL;
}

void links_remove_later(const int *index, size_t n)
{
	struct lingering *l = n ? calloc(1, sizeof(*l) + n * sizeof(*index)) : NULL;
	if (!l)
		return;
	l->n = n;
	memcpy(l->index, index, n * sizeof(*index));
	if (!start_detached(sweep, l))
		free(l);
}
