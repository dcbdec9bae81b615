/* Theory of operation
 *
 * A connection is two sockets, and each direction moves by itself: bytes go from one socket into a pipe and from the pipe into the other socket (splice(2)), so they are
 * never copied into this process. A pipe is filled only when it is empty and is given back when it is empty again, so connections without waiting bytes have none, and
 * a reader that is slow stops its sender: what it does not take stays in the pipe, then in the sender's socket. With all pipes in use, bytes are looked at, sent, and
 * then taken out of the socket as far as they were sent: slower, and nothing has to be kept.
 *
 * The end of one direction is passed on when its last byte is (shutdown), so half-closed connections work. A reset on either side resets the other; so does a target
 * that refuses or does not answer in time: the client then knows what it would have known without us.
 *
 * Sockets are watched edge-triggered, with both directions' events at once, and what is known of them is kept in `readable` and `writable` until a call says otherwise:
 * the busy case needs no epoll_ctl. Events only queue the stream's task (loop.c); a task that has moved its share queues itself again, behind the others.
 *
 * Proven by tests/relay/test_stream_real.c. */
#include "relay/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "base/log.h"

#define ACCEPTS 8 /* in a row, before others have their turn */
#define EVENTS  (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define KEEPALIVE_IDLE 60 /* s; as for accepted sockets (src/engine/relay_port.c) */
#define KEEPALIVE_STEP 15

/* --- the end --- */

/* syscalls: setsockopt close */
static void reset(int fd)
{
	const struct linger now = {.l_onoff = 1};
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void half_close(struct stream *s, struct half *h, bool hard)
{
	struct relay *r = s->port->relay;
	if (h->pipe.fd[0] >= 0)
		pipe_put(&r->proxy.pipes, &h->pipe, h->held == 0);
	sctp_forget(h);
	if (!hard) {
		loop_close_source(&r->loop, &h->source);
	} else if (h->source.fd >= 0) {
		loop_del(&r->loop, &h->source);
		reset(h->source.fd);
		h->source.fd = -1;
	}
}

/* There is a place: for this port if it had all it may have, and for one that waits. */
static void give_place(struct port *p)
{
	struct proxy *x = &p->relay->proxy;
	struct port *w = x->waiting;
	if (p->full) {
		p->full = false;
		port_work(p);
	}
	if (w) {
		x->waiting = w->next_waiting;
		if (!x->waiting)
			x->last_waiting = NULL;
		w->is_waiting = false;
		w->next_waiting = NULL;
		port_work(w);
	}
}

/* hard: both sides get a reset. */
static void stream_free(struct stream *s, bool hard)
{
	struct port *p = s->port;
	struct relay *r = p->relay;
	loop_forget(&r->loop, &s->task);
	loop_disarm(&s->connect);
	half_close(s, &s->side[0], hard);
	half_close(s, &s->side[1], hard);
	*(s->prev ? &s->prev->next : &p->streams) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	p->nstreams--;
	r->proxy.nstreams--;
	free(s);
	give_place(p);
	if (r->proxy.draining && !r->proxy.nstreams)
		r->loop.ended = true;
}

void streams_close(struct port *p)
{
	while (p->streams)
		stream_free(p->streams, true);
}

void streams_judge(struct port *p)
{
	struct stream *next;
	for (struct stream *s = p->streams; s; s = next) {
		next = s->next;
		if (!port_admits(p, &s->client, 0))
			stream_free(s, true);
	}
}

/* --- bytes --- */

static ssize_t failed(bool *ready)
{
	if (errno == EAGAIN) {
		*ready = false;
		return 0;
	}
	return errno == EINTR ? 0 : -errno;
}

/* syscalls: recvfrom sendto */
static ssize_t copy(struct half *in, struct half *out)
{
	static uint8_t p[64 << 10];
	ssize_t n = recv(in->source.fd, p, sizeof(p), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return failed(&in->readable);
	in->ended = n == 0;
	if (!n)
		return 0;
	n = send(out->source.fd, p, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return failed(&out->writable);
	return recv(in->source.fd, NULL, (size_t)n, MSG_TRUNC | MSG_DONTWAIT);
}

/* syscalls: splice */
static ssize_t fill(struct half *in)
{
	ssize_t n = splice(in->source.fd, NULL, in->pipe.fd[1], NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0)
		return failed(&in->readable);
	in->ended = n == 0;
	in->held = (size_t)n;
	return 0;
}

static ssize_t drain(struct half *in, struct half *out)
{
	ssize_t n = splice(in->pipe.fd[0], NULL, out->source.fd, NULL, in->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0)
		return failed(&out->writable);
	in->held -= (size_t)n;
	return n;
}

ssize_t stream_move(struct stream *s, struct half *in, struct half *out)
{
	struct pipes *pipes = &s->port->relay->proxy.pipes;
	ssize_t moved = 0, n = 0;
	while (n >= 0 && moved < STREAM_BYTES && (in->held ? out->writable : in->readable && !in->ended)) {
		if (in->held)
			n = drain(in, out);
		else if (in->pipe.fd[0] >= 0 || pipe_get(pipes, &in->pipe))
			n = fill(in);
		else if (out->writable)
			n = copy(in, out);
		else
			break;
		moved += n;
	}
	if (!in->held && in->pipe.fd[0] >= 0) {
		pipe_put(pipes, &in->pipe, true);
		in->pipe.fd[0] = -1;
	}
	return n < 0 ? n : moved;
}

/* 1: there may be more to move at once; 0: not before something happens; -errno: the connection is broken.
 * syscalls: shutdown */
static int move(struct stream *s, struct half *in, struct half *out)
{
	ssize_t n = s->port->proto == IPPROTO_SCTP ? sctp_move(in, out) : stream_move(s, in, out);
	if (n < 0)
		return (int)n;
	if (in->ended && !in->held && !in->letter && !in->passed) {
		in->passed = true;
		(void)shutdown(out->source.fd, SHUT_WR); /* ENOTCONN: that side is broken, and says so */
	}
	return n >= STREAM_BYTES;
}

static void stream_work(struct task *t)
{
	struct stream *s = CONTAINER(t, struct stream, task);
	struct half *client = &s->side[0], *target = &s->side[1];
	int up = move(s, client, target), down = move(s, target, client); /* a target that refuses the rest may have said why */
	if (up < 0 || down < 0)
		stream_free(s, true);
	else if (client->passed && target->passed)
		stream_free(s, false);
	else if (up || down)
		loop_later(&s->port->relay->loop, &s->task);
}

/* --- the beginning --- */

static void note(struct half *h, uint32_t events)
{
	const uint32_t broken = EPOLLERR | EPOLLHUP; /* the next call says how */
	h->readable |= (events & (EPOLLIN | EPOLLRDHUP | broken)) != 0;
	h->writable |= (events & (EPOLLOUT | broken)) != 0;
}

static void client_ready(struct source *src, uint32_t events)
{
	struct stream *s = CONTAINER(src, struct stream, side[0].source);
	note(&s->side[0], events);
	loop_later(&s->port->relay->loop, &s->task);
}

/* From now on both sides are watched. */
static void connected(struct stream *s)
{
	struct relay *r = s->port->relay;
	s->connected = true;
	loop_disarm(&s->connect);
	if (loop_add(&r->loop, &s->side[0].source, EVENTS) < 0)
		stream_free(s, true);
}

/* syscalls: getsockopt */
static void target_ready(struct source *src, uint32_t events)
{
	struct stream *s = CONTAINER(src, struct stream, side[1].source);
	int error = 0;
	socklen_t n = sizeof(error);
	if (s->connected) {
		note(&s->side[1], events);
		loop_later(&s->port->relay->loop, &s->task);
		return;
	}
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	if (getsockopt(src->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error || !(events & EPOLLOUT)) {
		log_debug("port %s: the target does not take a connection: %s", s->port->id, strerror(error));
		stream_free(s, true);
		return;
	}
	note(&s->side[1], events);
	connected(s);
}

static void too_late(struct timer *t)
{
	struct stream *s = CONTAINER(t, struct stream, connect);
	log_debug("port %s: the target does not answer", s->port->id);
	stream_free(s, true);
}

static void set(int fd, int level, int option, int v)
{
	(void)setsockopt(fd, level, option, &v, sizeof(v)); /* it works without, only less well */
}

/* syscalls: socket setsockopt connect */
static int reach_out(struct stream *s)
{
	struct port *p = s->port;
	struct source *to = &s->side[1].source;
	union address target = p->target;
	target.v4.sin_port = htons((uint16_t)(ntohs(target.v4.sin_port) + s->offset)); /* where IPv6 has it too */
	to->fd = socket(target.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, p->proto);
	if (to->fd < 0)
		return -errno;
	set(to->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (p->proto == IPPROTO_TCP) {
		set(to->fd, IPPROTO_TCP, TCP_NODELAY, 1);
		set(to->fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
		set(to->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP);
	} else {
		try(sctp_prepare(to->fd));
	}
	if (connect(to->fd, &target.any, address_len(&target)) < 0 && errno != EINPROGRESS)
		return -errno;
	loop_arm(&p->relay->loop, &s->connect, TIMER_CONNECT, too_late);
	return loop_add(&p->relay->loop, to, EVENTS); /* also when it is connected already: its first event says so */
}

/* syscalls: getsockname
 * What leads a run of ports to its one socket changes nothing of a connection: it still has the port that the client asked for. */
static uint16_t offset_in_run(const struct port *p, int fd)
{
	union address at = {0};
	socklen_t n = sizeof(at);
	return getsockname(fd, &at.any, &n) < 0 ? 0 : (uint16_t)(ntohs(at.v4.sin_port) - p->first);
}

static void stream_new(struct port *p, int fd, const union address *client)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (!s) {
		reset(fd);
		return;
	}
	*s = (struct stream){.port = p, .next = p->streams, .task = {.run = stream_work}, .client = *client, .offset = offset_in_run(p, fd)};
	s->side[0] = (struct half){.source = {fd, client_ready}, .pipe = {{-1, -1}}};
	s->side[1] = (struct half){.source = {-1, target_ready}, .pipe = {{-1, -1}}};
	if (p->streams)
		p->streams->prev = s;
	p->streams = s;
	p->nstreams++;
	p->relay->proxy.nstreams++;
	int r = reach_out(s);
	if (r < 0) {
		log_debug("port %s: no connection to the target: %s", p->id, strerror(-r));
		stream_free(s, true);
	}
}

static void pause_over(struct timer *t)
{
	port_work(CONTAINER(t, struct port, pause));
}

/* Is there a place for one more? If not, the port is looked at again when there is; until then clients wait in the kernel's queue. */
static bool has_place(struct port *p)
{
	struct proxy *x = &p->relay->proxy;
	if (p->nstreams >= x->max_streams_port) {
		p->full = true;
		return false;
	}
	if (x->nstreams < x->max_streams)
		return true;
	if (!p->is_waiting) {
		p->is_waiting = true;
		*(x->last_waiting ? &x->last_waiting->next_waiting : &x->waiting) = p;
		x->last_waiting = p;
	}
	return false;
}

/* syscalls: accept4 */
void stream_accept(struct task *t)
{
	struct port *p = CONTAINER(t, struct port, task);
	for (unsigned i = 0; i < ACCEPTS; i++) {
		union address client = {0};
		socklen_t len = sizeof(client);
		if (!has_place(p))
			return;
		int fd = accept4(p->source.fd, &client.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0 && port_admits(p, &client, 0)) {
			stream_new(p, fd, &client);
		} else if (fd >= 0) {
			reset(fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn("port %s: no connection can be taken: %s", p->id, strerror(errno));
			loop_arm(&p->relay->loop, &p->pause, TIMER_PAUSE, pause_over);
			return;
		} /* anything else concerns one connection that is gone */
	}
	loop_later(&p->relay->loop, t);
}
