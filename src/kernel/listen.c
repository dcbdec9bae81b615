/* Theory of operation
 *
 * A published port is reserved by a socket that is bound to it: another program's attempt to take it fails, and ours
 * fails when another has it. It listens, because bound TCP sockets with SO_REUSEADDR (without which TIME_WAIT of an
 * earlier life would keep the port for minutes) conflict only once they listen. Until somebody serves it, a filter that
 * drops everything is attached before it is bound, so that no client is accepted that nobody answers.
 *
 * One socket on [::] reserves and serves both families. A long run is reserved by its row, and listeners of others are
 * looked for in the kernel's own list (sock_diag). For the proxy it has one socket, at its first port (but not for
 * SCTP), and who keeps that has the others led to it (kernel/steer.c). */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/real.h"

#define TCP_LISTENING (1u << 10) /* TCP_LISTEN of include/net/tcp_states.h, as a bit */
#define UDP_BOUND     (1u << 7)  /* TCP_CLOSE: a UDP socket that is not connected */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_of(const struct ip *ip, uint16_t port, union address *a)
{
	*a = (union address){0};
	if (ip->family == AF_INET6) {
		a->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&a->v6.sin6_addr, ip->b, 16);
		return sizeof(a->v6);
	}
	a->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	memcpy(&a->v4.sin_addr, ip->b, 4);
	return sizeof(a->v4);
}

static const char *proto_name(const struct kobj *o)
{
	return o->listen.proto == IPPROTO_TCP ? "tcp" : o->listen.proto == IPPROTO_UDP ? "udp" : "sctp";
}

/* Docker's words. Of a socket for both families, the IPv4 address is told. */
static int failed(struct real *k, const struct kobj *o, uint16_t port, int code, struct err *e)
{
	char at[IP_TEXT];
	bool v6 = o->listen.ip.family == AF_INET6 && !o->listen.dual;
	const char *why = strerror(-code), *hint = code == -EPROTONOSUPPORT && o->listen.proto == IPPROTO_SCTP ? ": this kernel has no SCTP (modprobe sctp)" : "";
	k->ops.refused = *o;
	return err_set(e, code, "failed to bind host port %s%s%s:%u/%s: %c%s%s", v6 ? "[" : "", o->listen.dual ? "0.0.0.0" : ip_format(&o->listen.ip, at), v6 ? "]" : "", port,
		proto_name(o), tolower((unsigned char)*why), why + 1, hint);
}

static int drop_all(int fd)
{
	static struct sock_filter drop = {.code = BPF_RET | BPF_K, .k = 0};
	const struct sock_fprog prog = {.len = 1, .filter = &drop};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static int open_socket(const struct kobj *o)
{
	union address a;
	socklen_t n = address_of(&o->listen.ip, o->listen.port, &a);
	int on = 1, only = !o->listen.dual, type = o->listen.proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
	OWN(own_fd) int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, o->listen.proto);
	if (fd < 0)
		return -errno;
	if ((type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
		(a.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0) || drop_all(fd) < 0 || bind(fd, &a.any, n) < 0 ||
		(type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0))
		return -errno;
	return STEAL_FD(fd);
}

/* --- a long run: does anybody listen on one of its ports? --- */

struct hunt {
	const struct kobj *o;
	uint16_t found;
};

static int look_at(const struct nlmsghdr *m, void *arg)
{
	struct hunt *h = arg;
	const struct inet_diag_msg *d = mnl_nlmsg_get_payload(m);
	if (mnl_nlmsg_get_payload_len(m) < sizeof(*d))
		return 0;
	const struct ip *want = &h->o->listen.ip;
	struct ip at = {.family = d->idiag_family};
	unsigned port = ntohs(d->id.idiag_sport);
	memcpy(at.b, d->id.idiag_src, at.family == AF_INET6 ? 16 : 4);
	bool other = at.family != want->family; /* a socket on [::] may have IPv4 too */
	if (port < h->o->listen.port || port >= (unsigned)h->o->listen.port + h->o->listen.count)
		return 0;
	if ((other && !h->o->listen.dual && !(at.family == AF_INET6 && ip_is_unspecified(&at))) || (!other && !ip_is_unspecified(&at) && !ip_is_unspecified(want) && !ip_eq(&at, want)))
		return 0;
	if (!h->found || port < h->found)
		h->found = (uint16_t)port;
	return 0;
}

static int hunt(struct real *k, const struct kobj *o, struct err *e)
{
	struct hunt h = {.o = o};
	static const uint8_t families[] = {AF_INET, AF_INET6};
	if (o->listen.proto == IPPROTO_SCTP)
		return 0; /* the kernel's list has no filter for it: a conflict shows in the NAT alone */
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		OWN(own_nl) struct nl nl = NL_NONE;
		_Alignas(struct nlmsghdr) char buf[256] = {0};
		try(nl_open_protocol(&nl, NETLINK_SOCK_DIAG, e));
		struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
		m->nlmsg_type = SOCK_DIAG_BY_FAMILY;
		struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(m, sizeof(*req));
		*req = (struct inet_diag_req_v2){.sdiag_family = families[i], .sdiag_protocol = o->listen.proto, .idiag_states = o->listen.proto == IPPROTO_TCP ? TCP_LISTENING : UDP_BOUND};
		int r = nl_dump(&nl, m, look_at, &h, e);
		if (r < 0 && r != -ENOENT && r != -EINTR) /* no such module: no such sockets */
			return r;
	}
	return h.found ? failed(k, o, h.found, -EADDRINUSE, e) : 0;
}

static bool has_socket(const struct real *k, const struct kobj *o)
{
	return o->listen.count == 1 || (o->listen.proto != IPPROTO_SCTP && k->conf && k->conf->userland_proxy);
}

int listen_add(struct real *k, const struct kobj *o, struct err *e)
{
	const struct kernel_ports *ports = k->ops.ports;
	if (o->listen.count > 1) {
		if (o->listen.alone && !has_socket(k, o))
			return err_as(e, ERR_INVALID, "host ports %u-%u/%s: only the proxy leads there, and it serves no run of %s that long: publish it in parts", o->listen.port,
				(unsigned)o->listen.port + o->listen.count - 1, proto_name(o), proto_name(o));
		int found = hunt(k, o, e);
		if (found == -EADDRINUSE && ports) { /* as below */
			ports->settle(ports->arg);
			found = hunt(k, o, e);
		}
		if (found < 0 || !has_socket(k, o))
			return found;
	}
	if (!ports)
		return err_set(e, -ENOTSUP, "nobody keeps sockets");
	int r = open_socket(o);
	if (r == -EADDRINUSE) { /* perhaps one of ours that is on its way out */
		ports->settle(ports->arg);
		r = open_socket(o);
	}
	if (r < 0)
		return failed(k, o, o->listen.port, r, e);
	OWN(own_fd) int fd = r;
	r = ports->give(ports->arg, o, fd, e);
	if (r < 0)
		k->ops.refused = *o;
	return r < 0 ? err_ctx(e, "host port %u/%s", o->listen.port, proto_name(o)) : r;
}

int listen_del(struct real *k, const struct kobj *o, struct err *e)
{
	(void)e;
	if (has_socket(k, o) && k->ops.ports)
		k->ops.ports->take(k->ops.ports->arg, o);
	return 0;
}

int listen_change(struct real *k, const struct kobj *o, struct err *e)
{
	if (!has_socket(k, o))
		return 0;
	return k->ops.ports ? k->ops.ports->give(k->ops.ports->arg, o, -1, e) : err_set(e, -ENOTSUP, "nobody keeps sockets");
}

bool listen_there(struct real *k, const struct kobj *o)
{
	return !has_socket(k, o) || (k->ops.ports && k->ops.ports->holds(k->ops.ports->arg, o));
}
