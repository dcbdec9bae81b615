/* Theory of operation
 *
 * Containers ask 127.0.0.11:53. The server's sockets live in the container's namespace on ports of the kernel's choice, because a
 * container may run a name server of its own on port 53 of any address; NAT rules lead from 53 to them. "dnat", never "redirect", which
 * would rewrite the address to 127.0.0.1 (net/netfilter/nft_redir.c). The rules stand in a table of ours in that namespace (dns_rules.c). A socket
 * of netfilter works on the namespace of the thread that makes it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/dns_rules.h"
#include "kernel/netns.h"
#include "kernel/nfsock.h"
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

static int run_rules(char *batch, size_t len, bool deletes, struct err *e)
{
	OWN(own_nfsock) struct nfsock nf = NFSOCK_NONE;
	if (!len)
		return err_set(e, -EMSGSIZE, "a netlink message does not fit");
	try(nfsock_open(&nf, e));
	try(nl_batch(&nf.nl, batch, len, e));
	if (deletes)
		nfsock_deleted(&nf);
	return 0;
}

/* Mostly there is nothing to delete. */
static int add_nat(int udp, int tcp, struct err *e)
{
	_Alignas(struct nlmsghdr) char batch[NL_BUF];
	int r = run_rules(batch, dns_rules_put(batch, (uint16_t)udp, (uint16_t)tcp, false), false, NULL);
	if (r >= 0)
		return 0;
	r = run_rules(batch, dns_rules_put(batch, (uint16_t)udp, (uint16_t)tcp, true), true, e);
	return r < 0 ? err_ctx(e, "lead names to the name server") : 0;
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
	_Alignas(struct nlmsghdr) char batch[NL_BUF];
	(void)nl;
	(void)arg;
	return run_rules(batch, dns_rules_drop(batch), true, e);
}

int dns_del(struct real *k, const struct step *s, struct err *e)
{
	const char *ns = s->before->ns;
	if (k->ops.dns)
		try(k->ops.dns->take(k->ops.dns->arg, ns, s->box_goes, e)); /* an open socket would keep the namespace */
	/* The rules of a namespace that goes, or has gone, go with it. */
	if (!s->box_goes)
		(void)real_in(k, ns, drop, NULL, NULL);
	return 0;
}

static int look(struct nl *nl, void *arg, struct err *e)
{
	_Alignas(struct nlmsghdr) char buf[NL_BUF];
	OWN(own_nfsock) struct nfsock nf = NFSOCK_NONE;
	struct nlmsghdr *m = dns_rules_list(buf);
	(void)nl;
	if (!m)
		return err_set(e, -EMSGSIZE, "a netlink message does not fit");
	try(nfsock_open(&nf, e));
	return nl_dump(&nf.nl, m, dns_rules_read, arg, e);
}

static bool held(struct real *k, const char *ns, struct dns_rules_seen *l)
{
	OWN(arena_free) struct arena a = {0};
	const char *path = want_netns_path(k->conf, ns, &a);
	return path && k->ops.dns && k->ops.dns->holds(k->ops.dns->arg, ns, path, &l->udp, &l->tcp);
}

bool dns_held(struct real *k, const char *ns)
{
	struct dns_rules_seen l = {0};
	return held(k, ns, &l);
}

bool dns_there(struct real *k, const char *ns)
{
	struct dns_rules_seen l = {0};
	return held(k, ns, &l) && real_in(k, ns, look, &l, NULL) >= 0 && dns_rules_right(&l);
}
