/* Theory of operation
 *
 * Containers ask 127.0.0.11:53. The server's sockets live in the container's namespace on ports of the kernel's choice, because a
 * container may run a name server of its own on port 53 of any address; NAT rules lead from 53 to them. "dnat", never "redirect", which
 * would rewrite the address to 127.0.0.1 (net/netfilter/nft_redir.c). The rules stand in a table of ours in that namespace. An nft context
 * works on the namespace of the thread that makes it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/netns.h"
#include "kernel/real.h"

#define WAITING (1 << 20) /* bytes of questions that wait, as the kernel counts them, twice: some 2,500 */
#define BACKLOG 128

struct sockets {
	int udp, tcp;
};

static void own_sockets(struct sockets *s)
{
	own_fd(&s->udp);
	own_fd(&s->tcp);
}

static int bound(int type, struct err *e)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f00000b)}};
	const int waiting = WAITING;
	OWN(own_fd) int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && type == SOCK_DGRAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &waiting, sizeof(waiting)); /* else a busy machine loses questions sooner */
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return err_errno(e, -errno, "open the name server's socket on 127.0.0.11");
	return STEAL_FD(fd);
}

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	return getsockname(fd, (struct sockaddr *)&a, &n) < 0 ? -errno : ntohs(a.sin_port);
}

/* What is deleted the kernel makes us wait for (kernel/nft.c), and mostly there is nothing to delete. */
static int add_nat(int udp, int tcp, struct err *e)
{
	static const char anew[] = "create table ip pontoon-dns\n", instead[] = "table ip pontoon-dns\ndelete table ip pontoon-dns\n";
	char rules[1024], text[1200];
	snprintf(rules, sizeof(rules),
		"table ip pontoon-dns {\n"
		"chain output { type nat hook output priority -100\n"
		"ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:%d\n"
		"ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:%d\n}\n"
		"chain postrouting { type nat hook postrouting priority 100\n"
		"ip saddr 127.0.0.11 udp sport %d snat to 127.0.0.11:53\n"
		"ip saddr 127.0.0.11 tcp sport %d snat to 127.0.0.11:53\n}\n}\n",
		udp, tcp, udp, tcp);
	snprintf(text, sizeof(text), "%s%s", anew, rules);
	if (nft_run(text, NULL, NULL) >= 0)
		return 0;
	snprintf(text, sizeof(text), "%s%s", instead, rules);
	return nft_run(text, NULL, e);
}

static int make(struct nl *nl, void *arg, struct err *e)
{
	struct sockets *s = arg;
	(void)nl;
	s->udp = bound(SOCK_DGRAM, e);
	if (s->udp < 0)
		return s->udp;
	s->tcp = bound(SOCK_STREAM, e);
	if (s->tcp < 0)
		return s->tcp;
	int udp = port_of(s->udp), tcp = port_of(s->tcp);
	return udp < 0 || tcp < 0 ? err_errno(e, -EIO, "getsockname") : add_nat(udp, tcp, e);
}

int dns_add(struct real *k, const struct kobj *o, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_sockets) struct sockets s = {-1, -1};
	const char *path = want_netns_path(k->conf, o->ns, &a);
	if (!path)
		return err_nomem(e);
	if (!k->ops.dns)
		return err_set(e, -ENOTSUP, "nobody serves names");
	try(real_in(k, o->ns, make, &s, e));
	return k->ops.dns->give(k->ops.dns->arg, o->ns, s.udp, s.tcp, path, e);
}

static int drop(struct nl *nl, void *arg, struct err *e)
{
	(void)nl;
	(void)arg;
	return nft_run("table ip pontoon-dns\ndelete table ip pontoon-dns\n", NULL, e);
}

int dns_del(struct real *k, const struct kobj *o, struct err *e)
{
	if (k->ops.dns)
		try(k->ops.dns->take(k->ops.dns->arg, o->ns, e));
	/* A namespace that has gone took its rules along. */
	(void)real_in(k, o->ns, drop, NULL, NULL);
	return 0;
}

struct look {
	uint16_t udp, tcp;
	bool found;
};

static int look(struct nl *nl, void *arg, struct err *e)
{
	struct look *l = arg;
	OWN(own_buf) struct buf text = {0};
	char udp[64], tcp[64];
	(void)nl;
	try(nft_run("list table ip pontoon-dns\n", &text, e));
	snprintf(udp, sizeof(udp), "udp dport 53 dnat to 127.0.0.11:%u\n", l->udp);
	snprintf(tcp, sizeof(tcp), "tcp dport 53 dnat to 127.0.0.11:%u\n", l->tcp);
	l->found = strstr(buf_str(&text), udp) && strstr(buf_str(&text), tcp);
	return 0;
}

static bool held(struct real *k, const char *ns, struct look *l)
{
	OWN(arena_free) struct arena a = {0};
	const char *path = want_netns_path(k->conf, ns, &a);
	return path && k->ops.dns && k->ops.dns->holds(k->ops.dns->arg, ns, path, &l->udp, &l->tcp);
}

bool dns_held(struct real *k, const char *ns)
{
	struct look l = {0};
	return held(k, ns, &l);
}

bool dns_there(struct real *k, const char *ns)
{
	struct look l = {0};
	return held(k, ns, &l) && real_in(k, ns, look, &l, NULL) >= 0 && l.found;
}
