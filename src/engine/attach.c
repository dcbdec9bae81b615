/* Theory of operation
 *
 * `docker run` attaches before it starts: at that time there is no conmon to connect to. Such an attach is listed as pending; when
 * engine_create has brought conmon up it connects all pending ones, and only then is the process started, so that no byte is missed.
 * conmon's socket carries packets: one byte for the stream (2 stdout, 3 stderr), then the data; what we write is the process's input, and
 * shutting our side down is its end. */
#include <errno.h>
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

struct pump {
	struct engine_attach *at;
	const struct engine_stream *s;
	struct keys keys;
	bool reads; /* the client may still send */
};

/* Input to the process. 1: the detach keys were pressed; -errno: conmon takes no more. */
static int pass_input(struct pump *p, const void *data, size_t n)
{
	OWN(own_buf) struct buf out = {0};
	bool detach = false;
	if (p->at->tty)
		detach = keys_filter(&p->keys, data, n, &out);
	else
		buf_put(&out, data, n);
	if (out.bad)
		return -ENOMEM;
	for (size_t at = 0; at < out.len;) { /* packets of at most 8 KiB: conmon's buffer */
		size_t part = out.len - at < 8192 ? out.len - at : 8192;
		int r = write_all(p->at->fd, out.data + at, part);
		if (r < 0)
			return r;
		at += part;
	}
	return detach;
}

static int from_client(struct pump *p)
{
	char buf[16384];
	ssize_t n = read(p->s->sock, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		p->reads = false;
		if (n == 0 && p->s->want_stdin)
			shutdown(p->at->fd, SHUT_WR); /* the end of the process's input; output goes on */
		return n < 0 ? -errno : 0;
	}
	if (!p->s->want_stdin)
		return 0;
	int r = pass_input(p, buf, (size_t)n);
	if (r < 0)
		p->reads = false; /* the process reads no more: its output still counts */
	return r > 0;
}

/* -1 end, -EPIPE client gone, 0 go on */
static int from_monitor(struct pump *p)
{
	char buf[PACKET_MAX];
	ssize_t n = read(p->at->fd, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return -1;
	int stream = buf[0] == 3 ? 2 : 1;
	if (n == 1 || (stream == 1 ? !p->s->want_stdout : !p->s->want_stderr))
		return 0;
	return frame_send(p->s->sock, p->s->multiplex, stream, buf + 1, (size_t)n - 1) < 0 ? -EPIPE : 0;
}

int engine_attach_run(struct engine_attach *at, const struct engine_stream *s, enum engine_stream_end *end, struct err *e)
{
	struct pump p = {.at = at, .s = s, .reads = true};
	*end = STREAM_CLIENT_GONE;
	try(keys_parse(s->detach_keys, &p.keys, e));
	if (!wait_ready(at, s->sock))
		return 0;
	unlist(at);
	if (s->early_len && s->want_stdin && pass_input(&p, s->early, s->early_len) > 0) {
		*end = STREAM_DETACHED;
		return 0;
	}
	for (;;) {
		struct pollfd f[2] = {{.fd = at->fd, .events = POLLIN}, {.fd = s->sock, .events = p.reads ? POLLIN : 0}};
		if (poll(f, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_errno(e, -errno, "poll");
		}
		if (f[0].revents) {
			int r = from_monitor(&p);
			if (r == -EPIPE)
				return 0;
			if (r < 0) {
				*end = STREAM_ENDED;
				return 0;
			}
		}
		if (f[1].revents & POLLIN) {
			int r = from_client(&p);
			if (r < 0)
				return 0;
			if (r > 0) {
				*end = STREAM_DETACHED;
				return 0;
			}
		} else if (f[1].revents & (POLLHUP | POLLERR | POLLNVAL)) {
			return 0;
		}
	}
}
