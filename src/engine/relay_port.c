/* Ports that the proxy serves: noted and sent, like sandboxes. Options of a socket belong to it and not to a descriptor of it, so they are set here, once, by who may;
 * accepted connections inherit them. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/sctp.h> /* it needs the two above */

#include "engine/relay_own.h"

#define KEEPALIVE_IDLE 60 /* s without a byte, until a client that has vanished is noticed within minutes */
#define KEEPALIVE_STEP 15
#define SCTP_STREAMS   64 /* as toward targets: src/relay/sctp.h */

void hold_free(struct hold *h)
{
	if (h->fd >= 0)
		close(h->fd);
	if (h->steer >= 0)
		close(h->steer);
	free(h->port);
	free(h->serve);
	free(h);
}

static void own_hold(struct hold **h)
{
	if (*h)
		hold_free(*h);
}

static struct hold *hold_new(const char *id)
{
	struct hold *h = calloc(1, sizeof(*h));
	if (h && !STR_COPY(h->id, id)) {
		free(h);
		return NULL;
	}
	if (h)
		h->fd = h->steer = -1;
	return h;
}

static void send_steer(struct relay *r, const struct hold *h)
{
	const struct relay_msg m = {.type = RELAY_STEER, .id = h->id};
	link_send(r, &m, &h->steer, 1);
}

void hold_send(struct relay *r, const struct hold *h, bool socket)
{
	link_send_bytes(r, h->port, h->port_len, &h->fd, socket ? 1 : 0);
	if (socket && h->steer >= 0)
		send_steer(r, h);
	if (h->serve)
		link_send_bytes(r, h->serve, h->serve_len, NULL, 0);
}

bool hold_adopt(struct relay *r, const struct relay_port *p, int fd)
{
	const struct relay_msg m = {.type = RELAY_PORT, .port = *p};
	OWN(own_hold) struct hold *h = hold_new(p->id);
	if (!h || map_gets(&r->ports, p->id) || relay_keep(&m, &h->port, &h->port_len, NULL) < 0 || map_puts(&r->ports, h->id, h) < 0)
		return false;
	h->fd = fd;
	(void)STEAL(h);
	return true;
}

bool hold_adopt_steer(struct relay *r, const char *id, int fd)
{
	struct hold *h = map_gets(&r->ports, id);
	if (!h || h->steer >= 0)
		return false;
	h->steer = fd;
	return true;
}

static int socket_option(int fd, int option)
{
	int v = 0;
	socklen_t n = sizeof(v);
	return getsockopt(fd, SOL_SOCKET, option, &v, &n) < 0 ? -1 : v;
}

static int set(int fd, int level, int option, int v)
{
	return setsockopt(fd, level, option, &v, sizeof(v));
}

static int prepare(int fd, uint8_t proto, struct err *e)
{
	int flags = fcntl(fd, F_GETFL), family = socket_option(fd, SO_DOMAIN), r = 0;
	if (socket_option(fd, SO_PROTOCOL) != proto || (family != AF_INET && family != AF_INET6) || (proto != IPPROTO_UDP && socket_option(fd, SO_ACCEPTCONN) != 1))
		return err_set(e, -EINVAL, "this is no socket that serves a port of protocol %u", proto);
	if (proto == IPPROTO_UDP) {
		if (family == AF_INET6)
			r = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) | set(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1);
		if (r == 0)
			r = set(fd, IPPROTO_IP, IP_PKTINFO, 1) | set(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
	} else {
		r = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	}
	if (r == 0 && proto == IPPROTO_TCP)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY, 1) | set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE) | set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP);
	if (r == 0 && proto == IPPROTO_SCTP) {
		const struct sctp_initmsg streams = {.sinit_num_ostreams = SCTP_STREAMS, .sinit_max_instreams = UINT16_MAX};
		r = setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &streams, sizeof(streams)) | set(fd, IPPROTO_SCTP, SCTP_NODELAY, 1) | set(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, 1);
	}
	if (r < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(e, -errno, "prepare a published port's socket");
	return 0;
}

/* A change is made of what cannot fail any more. */
static int put_hold(struct relay *r, const struct relay_port *p, int fd, struct err *e)
{
	const struct relay_msg port = {.type = RELAY_PORT, .port = *p}, serve = {.type = RELAY_SERVE, .port = *p};
	OWN(own_hold) struct hold *fresh = hold_new(p->id);
	struct hold *h = map_gets(&r->ports, p->id);
	if (!fresh)
		return str_empty(p->id) || strlen(p->id) >= RELAY_PORT_ID ? err_set(e, -EINVAL, "\"%s\" is no id of a port", p->id) : err_nomem(e);
	if (!h && fd < 0)
		return err_set(e, -ENOENT, "the relay does not hold the port %s", p->id);
	if (fd >= 0)
		try(prepare(fd, p->proto, e));
	fresh->fd = relay_duplicate(fd >= 0 ? fd : h->fd);
	if (fresh->fd < 0)
		return err_errno(e, -errno, "duplicate a published port's socket");
	try(relay_keep(&port, &fresh->port, &fresh->port_len, e));
	try(relay_keep(&serve, &fresh->serve, &fresh->serve_len, e));
	if (map_puts(&r->ports, fresh->id, fresh) < 0) /* replacing takes no memory */
		return err_nomem(e);
	if (h && fd < 0)
		fresh->steer = STEAL_FD(h->steer);
	if (h)
		hold_free(h);
	h = STEAL(fresh);
	if (r->sock < 0)
		return link_need(r, e); /* it gets everything, this too */
	hold_send(r, h, fd >= 0);
	return 0;
}

int relay_port(struct relay *r, const struct relay_port *p, int fd, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	bool known = map_gets(&r->ports, p->id);
	int result = put_hold(r, p, fd, e);
	if (result < 0 && !known) {
		struct hold *h = map_dels(&r->ports, p->id);
		if (h)
			hold_free(h);
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

int relay_steer(struct relay *r, const char *id, int fd, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	struct hold *h = map_gets(&r->ports, id);
	int copy = h ? relay_duplicate(fd) : -1;
	int result = !h ? err_set(e, -ENOENT, "the relay does not hold the port %s", id) : copy < 0 ? err_errno(e, -errno, "duplicate what leads a run of ports") : 0;
	if (result >= 0) {
		own_fd(&h->steer);
		h->steer = copy;
		send_steer(r, h);
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

void hold_gone(struct relay *r, const char *id)
{
	const struct relay_msg m = {.type = RELAY_PORT_GONE, .id = id};
	struct hold *h = map_dels(&r->ports, id);
	if (!h)
		return;
	link_send(r, &m, NULL, 0);
	hold_free(h);
}

void relay_port_gone(struct relay *r, const char *id)
{
	pthread_mutex_lock(&r->lock);
	hold_gone(r, id);
	pthread_mutex_unlock(&r->lock);
}

void relay_ports_gone(struct relay *r)
{
	struct map_entry *m;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; (m = map_next(&r->ports, &i)); i--) /* another one may have come to its place */
		hold_gone(r, m->key);
	pthread_mutex_unlock(&r->lock);
}

static bool is_bound_to(int fd, const struct ip *at, uint16_t port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a;
	socklen_t n = sizeof(a);
	if (getsockname(fd, &a.any, &n) < 0 || a.any.sa_family != at->family)
		return false;
	if (at->family == AF_INET)
		return ntohs(a.v4.sin_port) == port && memcmp(&a.v4.sin_addr, at->b, 4) == 0;
	return ntohs(a.v6.sin6_port) == port && memcmp(&a.v6.sin6_addr, at->b, 16) == 0;
}

bool relay_port_holds(struct relay *r, const char *id, uint8_t proto, const struct ip *at, uint16_t port)
{
	pthread_mutex_lock(&r->lock);
	const struct hold *h = map_gets(&r->ports, id);
	bool there = h && socket_option(h->fd, SO_PROTOCOL) == proto && is_bound_to(h->fd, at, port);
	pthread_mutex_unlock(&r->lock);
	return there;
}
