/* Theory of operation
 *
 * `docker run` attaches before it starts: at that time there is no conmon to connect to. Such an attach is listed as pending; when
 * engine_create has brought conmon up it connects all pending ones, and only then is the process started, so that no byte is missed.
 * conmon's socket carries packets: one byte for the stream (2 stdout, 3 stderr), then the data; what we write is the process's input, and
 * shutting our side down is its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "engine/engine_int.h"

#define PACKET_MAX 32769

struct engine_attach {
	struct engine_attach *next;
	struct engine *en;
	char id[ID_TEXT];
	int fd;    /* conmon's socket, -1 while pending */
	int ready; /* eventfd: fd is set, or the start has failed */
	bool tty, listed;
};

static void unlist(struct engine_attach *at)
{
	struct engine *en = at->en;
	pthread_mutex_lock(&en->lock);
	for (struct engine_attach **p = &en->attaches; at->listed && *p; p = &(*p)->next) {
		if (*p == at) {
			*p = at->next;
			break;
		}
	}
	at->listed = false;
	pthread_mutex_unlock(&en->lock);
}

int engine_attach_open(struct engine *en, const struct container *c, struct engine_attach **out, struct err *e)
{
	struct engine_attach *at = calloc(1, sizeof(*at));
	if (!at)
		return err_nomem(e);
	at->en = en;
	at->fd = -1;
	at->tty = c->spec->config.tty;
	STR_COPY(at->id, c->id);
	at->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = at->ready < 0 ? err_errno(e, -errno, "eventfd") : 0;
	if (r >= 0 && container_is_running(c)) {
		at->fd = monitor_connect(en, c->id, e);
		r = at->fd < 0 ? at->fd : 0;
	} else if (r >= 0) {
		pthread_mutex_lock(&en->lock);
		at->next = en->attaches;
		en->attaches = at;
		at->listed = true;
		pthread_mutex_unlock(&en->lock);
	}
	if (r < 0) {
		engine_attach_close(at);
		return r;
	}
	*out = at;
	return 0;
}

void engine_attach_close(struct engine_attach *at)
{
	if (!at)
		return;
	unlist(at);
	if (at->fd >= 0)
		close(at->fd);
	if (at->ready >= 0)
		close(at->ready);
	free(at);
}

void attach_connect_pending(struct engine *en, const char *id)
{
	pthread_mutex_lock(&en->lock);
	for (struct engine_attach *at = en->attaches; at; at = at->next) {
		if (at->fd >= 0 || !streq(at->id, id))
			continue;
		at->fd = monitor_connect(en, id, NULL);
		eventfd_write(at->ready, 1);
	}
	pthread_mutex_unlock(&en->lock);
}

/* Waits for the start. False when the client has gone first. */
static bool wait_ready(struct engine_attach *at, int sock)
{
	struct pollfd p[2] = {{.fd = at->ready, .events = POLLIN}, {.fd = sock, .events = 0}};
	while (at->fd < 0) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return false;
		if (p[0].revents)
			break;
		if (p[1].revents)
			return false;
	}
	pthread_mutex_lock(&at->en->lock);
	bool ok = at->fd >= 0;
	pthread_mutex_unlock(&at->en->lock);
	return ok;
}

/* Neither side may wait for the other: conmon writes to us while we write to it, and a client may do neither. Both directions have a queue, and a side
 * is read only while the other's queue is short. */
#define QUEUE_MAX (256u << 10)

struct pump {
	struct engine_attach *at;
	const struct engine_stream *s;
	struct keys keys;
	struct buf to_client, to_process;
	bool reads;       /* the client may still send */
	bool eof;         /* it has sent its last byte */
	bool process_end; /* conmon has closed */
	bool detached;
};

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void take_input(struct pump *p, const void *data, size_t n)
{
	if (p->at->tty)
		p->detached = keys_filter(&p->keys, data, n, &p->to_process);
	else
		buf_put(&p->to_process, data, n);
}

/* False: the client has gone. */
static bool from_client(struct pump *p)
{
	char buf[16384];
	ssize_t n = read(p->s->sock, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0)
		return false;
	if (n == 0) {
		p->reads = false;
		p->eof = p->s->want_stdin;
	} else if (p->s->want_stdin) {
		take_input(p, buf, (size_t)n);
	}
	return true;
}

static void from_process(struct pump *p)
{
	char buf[PACKET_MAX];
	ssize_t n = read(p->at->fd, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		p->process_end = true;
		return;
	}
	int stream = buf[0] == 3 ? 2 : 1;
	if (n > 1 && (stream == 1 ? p->s->want_stdout : p->s->want_stderr))
		frame_put(&p->to_client, p->s->multiplex, stream, buf + 1, (size_t)n - 1);
}

/* Packets of at most 8 KiB: conmon's buffer. */
static void feed_process(struct pump *p)
{
	while (p->to_process.len) {
		size_t part = p->to_process.len < 8192 ? p->to_process.len : 8192;
		ssize_t n = send(p->at->fd, p->to_process.data, part, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) { /* the process reads no more: its output still counts */
			buf_free(&p->to_process);
			p->eof = false;
			return;
		}
		buf_drop(&p->to_process, (size_t)n);
	}
	if (p->eof) {
		shutdown(p->at->fd, SHUT_WR); /* the end of the process's input; output goes on */
		p->eof = false;
	}
}

/* False: the client has gone. */
static bool feed_client(struct pump *p)
{
	ssize_t n = send(p->s->sock, p->to_client.data, p->to_client.len, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_drop(&p->to_client, (size_t)n);
	return true;
}

/* One round. False: over. */
static bool turn(struct pump *p)
{
	bool room_out = p->to_client.len < QUEUE_MAX, room_in = p->to_process.len < QUEUE_MAX;
	struct pollfd f[2] = {{.fd = p->process_end ? -1 : p->at->fd, .events = (short)((room_out ? POLLIN : 0) | (p->to_process.len || p->eof ? POLLOUT : 0))},
		{.fd = p->s->sock, .events = (short)((p->reads && room_in ? POLLIN : 0) | (p->to_client.len ? POLLOUT : 0))}};
	if (poll(f, 2, -1) < 0)
		return errno == EINTR;
	if (f[0].revents & POLLOUT)
		feed_process(p);
	if (f[0].revents & (POLLIN | POLLHUP | POLLERR))
		from_process(p);
	if ((f[1].revents & POLLOUT) && !feed_client(p))
		return false;
	if (f[1].revents & POLLIN)
		return from_client(p) && !p->detached;
	return !(f[1].revents & (POLLHUP | POLLERR | POLLNVAL));
}

int engine_attach_run(struct engine_attach *at, const struct engine_stream *s, enum engine_stream_end *end, struct err *e)
{
	struct pump p = {.at = at, .s = s, .reads = true};
	*end = STREAM_CLIENT_GONE;
	try(keys_parse(s->detach_keys, &p.keys, e));
	if (!wait_ready(at, s->sock))
		return 0;
	unlist(at);
	set_nonblocking(at->fd);
	set_nonblocking(s->sock);
	if (s->early_len && s->want_stdin)
		take_input(&p, s->early, s->early_len);
	bool on = !p.detached;
	while (on && !(p.process_end && !p.to_client.len) && !p.to_client.bad && !p.to_process.bad)
		on = turn(&p);
	*end = p.detached ? STREAM_DETACHED : p.process_end ? STREAM_ENDED : STREAM_CLIENT_GONE;
	buf_free(&p.to_client);
	buf_free(&p.to_process);
	return 0;
}
