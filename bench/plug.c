/* bench-plug ROUNDS PAUSE: the kernel's own part of joining and leaving a network, and of making and removing a bridge: the same requests that pontoond
 * sends, and nothing else, in the caller's network namespace and one of its own. Medians in ms as JSON. A link has gone when the kernel tells so; what it
 * waits for after that, before it answers, stands beside it. PAUSE: ms between the rounds, for what the kernel does after it has answered. */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernel/rtnl.h"

#define BRIDGE  "brplug0"
#define HOST    "vplug0"
#define INNER   "plug0"
#define ROUNDS  1000
#define FORWARD 3

static struct nl host, inside, news;
static int ns;

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "bench-plug: %s: %s\n", what, e->msg);
	exit(1);
}

static void ask(struct nl *nl, struct nlmsghdr *m, const char *what)
{
	struct err e = {0};
	if (!m || nl_call(nl, m, &e) < 0)
		die(what, &e);
}

static void *make_namespace(void *arg)
{
	struct err e = {0};
	(void)arg;
	if (unshare(CLONE_NEWNET) < 0 || (ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) < 0 || nl_open(&inside, &e) < 0)
		die("make a namespace", &e);
	return NULL;
}

static int take_link(const struct nlmsghdr *m, void *arg)
{
	return rtnl_link_read(m, arg);
}

static int index_inside(void)
{
	char buf[NL_BUF];
	struct rtnl_link l = {0};
	struct err e = {0};
	if (nl_get(&inside, rtnl_link_get(buf, INNER), take_link, &l, &e) < 0)
		die("find the inner end", &e);
	return l.index;
}

static void set_up(struct nl *nl, int index, const char *alias)
{
	char buf[NL_BUF];
	struct rtnl_link_change c = {.index = index, .up = alias ? -1 : 1, .master = -1, .alias = alias};
	ask(nl, rtnl_link_set(buf, &c), "set a link");
}

static void join(void)
{
	static const struct mac mac = {.b = {2, 0x42, 10, 255, 0, 2}};
	static const struct prefix addr = {.ip = {.family = AF_INET, .b = {10, 255, 0, 2}}, .len = 24};
	char buf[NL_BUF];
	ask(&host, rtnl_veth_add(buf, HOST, (int)if_nametoindex(BRIDGE), 0, INNER, ns, &mac), "make a veth");
	int port = (int)if_nametoindex(HOST), index = index_inside();
	set_up(&host, port, "plug");
	ask(&inside, rtnl_addr_change(buf, true, index, &addr, false), "add an address");
	set_up(&host, port, NULL);
	set_up(&inside, index, NULL);
	(void)nl_call(&host, rtnl_port_state(buf, port, FORWARD), NULL); /* refused where the carrier was not seen yet */
}

static void make_bridge(void)
{
	static const struct mac mac = {.b = {2, 0x50, 1, 2, 3, 4}};
	static const struct prefix addr = {.ip = {.family = AF_INET, .b = {10, 255, 0, 1}}, .len = 24};
	char buf[NL_BUF];
	ask(&host, rtnl_bridge_add(buf, BRIDGE, &mac, 0, false), "make a bridge");
	int index = (int)if_nametoindex(BRIDGE);
	set_up(&host, index, "plug");
	ask(&host, rtnl_addr_change(buf, true, index, &addr, false), "add an address");
	set_up(&host, index, NULL);
}

struct removal {
	int index;
	int64_t answered;
};

static void *run_removal(void *arg)
{
	struct removal *r = arg;
	struct err e = {0};
	struct nl nl = NL_NONE;
	char buf[NL_BUF];
	if (nl_open(&nl, &e) < 0 || nl_call(&nl, rtnl_link_del(buf, r->index), &e) < 0)
		die("remove a link", &e);
	r->answered = clock_mono_ns();
	nl_close(&nl);
	return NULL;
}

static bool is_gone(int index)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	ssize_t n = recv(mnl_socket_get_fd(news.sock), buf, sizeof(buf), 0);
	int left = n < 0 ? 0 : (int)n;
	for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
		if (h->nlmsg_type == RTM_DELLINK && i->ifi_family == AF_UNSPEC && i->ifi_index == index)
			return true;
	}
	return n < 0 && errno == ENOBUFS && !if_nametoindex(HOST);
}

static void remove_link(const char *name, int64_t *told, int64_t *answered)
{
	struct removal r = {.index = (int)if_nametoindex(name)};
	pthread_t t;
	int64_t start = clock_mono_ns();
	if (pthread_create(&t, NULL, run_removal, &r) != 0)
		exit(1);
	while (!is_gone(r.index))
		;
	*told = clock_mono_ns() - start;
	pthread_join(t, NULL);
	*answered = r.answered - start;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void print(const char *name, int64_t *v, int n, const char *after)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	printf("\"%s\": %.3f%s", name, (double)v[n / 2] / 1e6, after);
}

enum { JOIN, LEAVE, LEFT, MAKE, REMOVE, REMOVED, KINDS };

int main(int argc, char **argv)
{
	static int64_t t[KINDS][ROUNDS];
	int rounds = argc > 1 ? atoi(argv[1]) : 0, pause = argc > 2 ? atoi(argv[2]) : 0, group = RTNLGRP_LINK;
	struct err e = {0};
	pthread_t thread;
	if (rounds < 1 || rounds > ROUNDS || pause < 0) {
		fprintf(stderr, "usage: bench-plug ROUNDS PAUSE\n");
		return 2;
	}
	if (pthread_create(&thread, NULL, make_namespace, NULL) != 0 || pthread_join(thread, NULL) != 0 || nl_open(&host, &e) < 0 || nl_open(&news, &e) < 0 ||
		mnl_socket_setsockopt(news.sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		die("start", &e);
	for (int i = 0; i < rounds; i++) {
		int64_t start = clock_mono_ns();
		make_bridge();
		t[MAKE][i] = clock_mono_ns() - start;
		(void)usleep((unsigned)pause * 1000);
		start = clock_mono_ns();
		join();
		t[JOIN][i] = clock_mono_ns() - start;
		(void)usleep((unsigned)pause * 1000);
		remove_link(HOST, &t[LEAVE][i], &t[LEFT][i]);
		(void)usleep((unsigned)pause * 1000);
		remove_link(BRIDGE, &t[REMOVE][i], &t[REMOVED][i]);
		(void)usleep((unsigned)pause * 1000);
	}
	printf("{");
	print("connect", t[JOIN], rounds, ", ");
	print("disconnect", t[LEAVE], rounds, ", ");
	print("disconnect, answered", t[LEFT], rounds, ", ");
	print("bridge", t[MAKE], rounds, ", ");
	print("bridge removal", t[REMOVE], rounds, ", ");
	print("bridge removal, answered", t[REMOVED], rounds, "}\n");
	return 0;
}
