/* The daemon: at most one at a time, the newest counts. It gets what is held first, with the descriptors, and then commands. Without a daemon the relay goes on with
 * what it has; with nothing to serve and nobody to serve for it ends. Told to give way it lets go of everything but connections under way, and ends with them. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "relay/relay.h"

struct control {
	struct relay *relay;
	struct source listener, peer; /* peer.fd -1: no daemon */
};

static void peer_gone(struct control *c)
{
	loop_close_source(&c->relay->loop, &c->peer);
	log_info("the daemon has gone; %zu containers and %zu ports are served on", c->relay->sandboxes.n, c->relay->proxy.ports.n);
	if (!c->relay->sandboxes.n && !c->relay->proxy.ports.n)
		c->relay->loop.ended = true;
}

static int say(struct control *c, const struct relay_msg *m, const int *fds, size_t n)
{
	struct err e = {0};
	int r = relay_proto_send(c->peer.fd, m, fds, n, &e);
	if (r < 0)
		log_warn("to the daemon: %s", e.msg);
	return r;
}

int control_need(struct relay *r, const struct relay_msg *m)
{
	if (!r->control || r->control->peer.fd < 0)
		return -ENOTCONN;
	return say(r->control, m, NULL, 0) < 0 ? -ENOTCONN : 0;
}

static int tell_held(struct control *c)
{
	struct relay *r = c->relay;
	struct map_entry *m;
	struct relay_msg hello = {.type = RELAY_HELLO, .hello = {RELAY_PROTO_VERSION, PONTOON_VERSION}}, done = {.type = RELAY_READY};
	try(say(c, &hello, NULL, 0));
	for (size_t i = 0; (m = map_next(&r->sandboxes, &i));) {
		const struct sandbox *s = m->value;
		struct relay_msg held = {.type = RELAY_SANDBOX, .id = s->id};
		try(say(c, &held, (int[]){s->udp.fd, s->tcp.fd}, 2));
	}
	for (size_t i = 0; (m = map_next(&r->proxy.ports, &i));) {
		const struct port *p = m->value;
		struct relay_msg held = {.type = RELAY_PORT, .port = {.id = p->id, .proto = p->proto, .target = address_ip(&p->target), .target_port = ntohs(p->target.v4.sin_port)}};
		struct relay_msg steered = {.type = RELAY_STEER, .id = p->id};
		if (p->source.fd >= 0)
			try(say(c, &held, &p->source.fd, 1));
		if (p->source.fd >= 0 && p->steer >= 0)
			try(say(c, &steered, &p->steer, 1));
	}
	for (size_t i = 0; (m = map_next(&r->zones.places, &i));) {
		const struct zone_place *z = m->value;
		struct relay_msg held = {.type = RELAY_ZONE_GONE, .id = z->id};
		if (z->now)
			try(say(c, &held, NULL, 0));
	}
	return say(c, &done, NULL, 0);
}

static int do_sandbox(struct relay *r, const struct relay_msg *m, struct relay_fds *fds, struct err *e)
{
	if (fds->n != 2)
		return err_set(e, -EBADMSG, "a sandbox without its two sockets");
	fds->n = 0;
	return sandbox_put(r, m->id, fds->v[0], fds->v[1], e);
}

static int do_port(struct relay *r, const struct relay_msg *m, struct relay_fds *fds, struct err *e)
{
	if (fds->n > 1)
		return err_set(e, -EBADMSG, "a port with %zu sockets", fds->n);
	int fd = fds->n ? fds->v[0] : -1;
	fds->n = 0;
	return port_put(r, &m->port, fd, e);
}

static int do_steer(struct relay *r, const struct relay_msg *m, struct relay_fds *fds, struct err *e)
{
	if (fds->n != 1)
		return err_set(e, -EBADMSG, "a run of ports with %zu descriptors", fds->n);
	fds->n = 0;
	port_steer(r, m->id, fds->v[0]);
	return 0;
}

static void do_sockets(struct relay *r, const struct relay_msg *m, struct relay_fds *fds)
{
	struct sandbox *s = map_gets(&r->sandboxes, m->need.sandbox);
	if (s) {
		lane_sockets(&s->owner, m->need.family, fds->v, fds->n);
		fds->n = 0;
	}
}

/* Another relay serves what comes; connections of ports are here until they end. */
static void give_way(struct control *c)
{
	struct relay *r = c->relay;
	log_info("another relay takes over; %u connections go on", r->proxy.nstreams);
	loop_close_source(&r->loop, &c->listener);
	loop_close_source(&r->loop, &c->peer);
	sandboxes_free(r);
	proxy_drain(r);
}

static int obey(struct control *c, const struct relay_msg *m, struct relay_fds *fds, struct err *e)
{
	struct relay *r = c->relay;
	switch (m->type) {
	case RELAY_HELLO:
		return m->hello.version == RELAY_PROTO_VERSION ? 0 : err_set(e, -EPROTO, "the daemon speaks version %u", m->hello.version);
	case RELAY_SANDBOX:
		return do_sandbox(r, m, fds, e);
	case RELAY_SANDBOX_GONE:
		sandbox_del(r, m->id);
		return 0;
	case RELAY_ZONE:
		return zones_put(&r->zones, &m->zone) < 0 ? err_nomem(e) : 0;
	case RELAY_ZONE_GONE:
		zones_del(&r->zones, m->id);
		return 0;
	case RELAY_VIEW:
		return sandbox_view(r, &m->view, e);
	case RELAY_SOCKETS:
		do_sockets(r, m, fds);
		return 0;
	case RELAY_TCP_SOCKET:
		tcpq_socket(r, m->need.request, fds->n ? fds->v[0] : -1);
		if (fds->n)
			fds->v[0] = -1;
		return 0;
	case RELAY_SYNC: {
		struct relay_msg ack = {.type = RELAY_ACK, .number = m->number};
		return say(c, &ack, NULL, 0);
	}
	case RELAY_PORT:
		return do_port(r, m, fds, e);
	case RELAY_STEER:
		return do_steer(r, m, fds, e);
	case RELAY_SERVE:
		return port_serve(r, &m->port, e);
	case RELAY_PORT_GONE:
		port_del(r, m->id);
		return 0;
	case RELAY_STOP:
		give_way(c);
		return 0;
	case RELAY_END:
		r->loop.ended = true;
		return 0;
	case RELAY_READY:
	case RELAY_ACK:
	case RELAY_NEED_SOCKETS:
	case RELAY_NEED_TCP:
	case RELAY_TYPE_N:
		break;
	}
	return err_set(e, -EPROTO, "an unexpected message");
}

static void peer_ready(struct source *s, uint32_t events)
{
	struct control *c = CONTAINER(s, struct control, peer);
	(void)events;
	for (;;) {
		OWN(arena_free) struct arena a = {0};
		struct relay_fds fds = {.n = 0};
		struct relay_msg m;
		struct err e = {0};
		int r = relay_proto_recv(s->fd, &a, &m, &fds, &e);
		if (r == -EAGAIN)
			return;
		if (r > 0)
			r = obey(c, &m, &fds, &e) < 0 ? -1 : 1;
		relay_fds_close(&fds);
		if (r > 0 && c->peer.fd >= 0)
			continue;
		if (r < 0) /* a daemon that is told nothing of it notices the end, and gives everything anew */
			log_error("from the daemon: %s", e.msg);
		if (c->peer.fd >= 0)
			peer_gone(c);
		return;
	}
}

static void take_peer(struct control *c, int fd)
{
	loop_close_source(&c->relay->loop, &c->peer);
	c->peer = (struct source){fd, peer_ready};
	if (loop_add(&c->relay->loop, &c->peer, EPOLLIN) < 0 || tell_held(c) < 0)
		peer_gone(c);
}

static void listener_ready(struct source *s, uint32_t events)
{
	struct control *c = CONTAINER(s, struct control, listener);
	struct ucred cred;
	socklen_t n = sizeof(cred);
	(void)events;
	OWN(own_fd) int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || cred.uid != 0) {
		log_warn("somebody else than root asked for control");
		return;
	}
	take_peer(c, STEAL_FD(fd));
}

int control_open(struct relay *r, int listener, int first, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(e);
	r->control = c;
	c->relay = r;
	c->listener = (struct source){listener, listener_ready};
	c->peer.fd = -1;
	int result = listener >= 0 ? loop_add(&r->loop, &c->listener, EPOLLIN) : 0;
	if (result < 0)
		return err_errno(e, result, "watch the control socket");
	if (first >= 0)
		take_peer(c, first);
	return 0;
}

void control_close(struct relay *r)
{
	struct control *c = r->control;
	if (!c)
		return;
	r->control = NULL;
	loop_close_source(&r->loop, &c->peer);
	loop_close_source(&r->loop, &c->listener);
	free(c);
}
