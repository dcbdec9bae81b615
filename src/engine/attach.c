/* Theory of operation
 *
 * `docker run` attaches before it starts: at that time there is no conmon to connect to. Such an attach is listed as pending; when
 * engine_create has brought conmon up it connects all pending ones, and only then is the process started, so that no byte is missed.
 * conmon's socket carries packets: one byte for the stream (2 stdout, 3 stderr), then the data; what we write is the process's input, and
 * shutting our side down is its end.
 *
 * A client may go while its attach is pending: `docker run -i` that is interrupted, though the start is on its way. It has then ended the process's input, if that is
 * open for one client only: what it sent is left with the engine, the start hands it over and shuts it, and no process waits for ever for a client that has
 * gone (tests/scenario/test_container.py).
 *
 * conmon waits for whoever does not take its packets, and meanwhile writes no log and sees no exit. While the process runs that is right: a slow client
 * slows it down and loses nothing. Once the process has ended (a pidfd says so) conmon's last packets are taken whatever the client does,
 * up to LAST_MAX, and conmon is let go: nobody's exit waits for a client that is deaf (tests/scenario/test_hostile.py). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "engine/engine_int.h"

#define PACKET_MAX 32769
/* Neither side may wait for the other: conmon writes to us while we write to it, and a client may do neither. Both directions have a queue, and a side
 * is read only while the other's queue is short. */
#define QUEUE_MAX (256u << 10)
#define LEFT_MAX  (32u << 10) /* fits into conmon's socket and the process's pipe, so nothing waits */
#define LAST_MAX  (4u << 20) /* what an ended process may have left in its pipes and conmon's socket: more than they hold */

struct engine_attach {
	struct engine_attach *next;
	struct engine *en;
	char id[ID_TEXT];
	int fd;    /* conmon's socket, -1 while pending */
	int pidfd; /* of the container's process, -1 while pending */
	int ready; /* eventfd: fd is set, or the start has failed */
	bool tty, listed;
	bool one_client; /* whose end is the end of the process's input */
	bool gives;      /* the client may send input */
	bool process_end;   /* conmon has closed */
	bool gone;          /* the process has ended */
	struct buf to_client;
};

struct left_input {
	struct left_input *next;
	char id[ID_TEXT];
	struct buf data;
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

/* ESRCH: it has ended already. */
static void watch_process(struct engine_attach *at, int64_t pid)
{
	at->pidfd = pid > 0 ? pidfd_open((pid_t)pid, 0) : -1;
	at->gone = at->pidfd < 0;
}

int engine_attach_open(struct engine *en, const struct container *c, struct engine_attach **out, struct err *e)
{
	struct engine_attach *at = calloc(1, sizeof(*at));
	if (!at)
		return err_nomem(e);
	at->en = en;
	at->fd = at->pidfd = -1;
	at->tty = c->spec->config.tty;
	at->one_client = c->spec->config.open_stdin && c->spec->config.stdin_once && !at->tty;
	STR_COPY(at->id, c->id);
	at->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = at->ready < 0 ? err_errno(e, -errno, "eventfd") : 0;
	if (r >= 0 && container_is_running(c)) {
		at->fd = monitor_connect(en, c->id, e);
		r = at->fd < 0 ? at->fd : 0;
		watch_process(at, c->pid);
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
	if (at->pidfd >= 0)
		close(at->pidfd);
	if (at->ready >= 0)
		close(at->ready);
	buf_free(&at->to_client);
	free(at);
}

static void forget_locked(struct engine *en, const char *id)
{
	for (struct left_input **p = &en->left_inputs; *p;) {
		struct left_input *l = *p;
		if (id && !streq(l->id, id)) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		buf_free(&l->data);
		free(l);
	}
}

void attach_forget(struct engine *en, const char *id)
{
	pthread_mutex_lock(&en->lock);
	forget_locked(en, id);
	pthread_mutex_unlock(&en->lock);
}

/* Packets of at most 8 KiB: conmon's buffer. Closing is the end of the input. */
static void hand_over(struct engine *en, const struct left_input *l)
{
	OWN(own_fd) int fd = monitor_connect(en, l->id, NULL);
	for (size_t at = 0, n; fd >= 0 && at < l->data.len; at += n) {
		n = l->data.len - at < 8192 ? l->data.len - at : 8192;
		if (send(fd, l->data.data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
	}
}

/* The pending client has gone: what it has sent, and that this is all, waits for the start. */
static void leave_input(struct engine_attach *at, const struct engine_stream *s)
{
	struct engine *en = at->en;
	char path[PATH_SIZE];
	struct left_input *l = at->one_client && s->want_stdin && access(path_container(en, at->id, NULL, path), F_OK) == 0 ? calloc(1, sizeof(*l)) : NULL;
	if (!l)
		return;
	STR_COPY(l->id, at->id);
	buf_put(&l->data, s->early, s->early_len < LEFT_MAX ? s->early_len : LEFT_MAX);
	while (l->data.len < LEFT_MAX) {
		ssize_t n = recv(s->sock, path, sizeof(path) < LEFT_MAX - l->data.len ? sizeof(path) : LEFT_MAX - l->data.len, MSG_DONTWAIT);
		if (n <= 0)
			break;
		buf_put(&l->data, path, (size_t)n);
	}
	pthread_mutex_lock(&en->lock);
	at->gives = false;
	forget_locked(en, l->id); /* the last one counts */
	l->next = en->left_inputs;
	en->left_inputs = l;
	if (at->fd >= 0) { /* started meanwhile */
		hand_over(en, l);
		forget_locked(en, l->id);
	}
	pthread_mutex_unlock(&en->lock);
}

static void connect_left(struct engine *en, const char *id, bool taken)
{
	for (const struct left_input *l = en->left_inputs; l && !taken; l = l->next)
		if (streq(l->id, id))
			hand_over(en, l);
	forget_locked(en, id);
}

void attach_connect_pending(struct engine *en, const char *id, int64_t pid)
{
	bool taken = false; /* another client gives the input now */
	pthread_mutex_lock(&en->lock);
	for (struct engine_attach *at = en->attaches; at; at = at->next) {
		if (at->fd >= 0 || !streq(at->id, id))
			continue;
		at->fd = monitor_connect(en, id, NULL);
		watch_process(at, pid);
		eventfd_write(at->ready, 1);
		taken |= at->gives;
	}
	connect_left(en, id, taken);
	pthread_mutex_unlock(&en->lock);
}

/* Waits for the start. False when the client has gone first. */
static bool wait_ready(struct engine_attach *at, int sock)
{
	struct pollfd p[2] = {{.fd = at->ready, .events = POLLIN}, {.fd = sock, .events = 0}};
	while (at->fd < 0) {
		if (mem_poll(p, 2, -1) < 0 && errno != EINTR)
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
	struct buf to_process;
	bool reads;       /* the client may still send */
	bool eof;         /* it has sent its last byte */
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

static void from_process(struct engine_attach *at, const struct engine_stream *s)
{
	char buf[PACKET_MAX];
	ssize_t n = recv(at->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		at->process_end = true;
		return;
	}
	int stream = buf[0] == 3 ? 2 : 1;
	if (n > 1 && (stream == 1 ? s->want_stdout : s->want_stderr))
		frame_put(&at->to_client, s->multiplex, stream, buf + 1, (size_t)n - 1);
}

/* An ended process's last packets do not wait for the client. */
static bool room_for_client(const struct engine_attach *at)
{
	return at->to_client.len < (at->gone ? LAST_MAX : QUEUE_MAX);
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
	ssize_t n = send(p->s->sock, p->at->to_client.data, p->at->to_client.len, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_drop(&p->at->to_client, (size_t)n);
	return true;
}

/* One round. False: over. */
static bool turn(struct pump *p)
{
	struct engine_attach *at = p->at;
	bool room_out = room_for_client(at), room_in = p->to_process.len < QUEUE_MAX;
	if (at->gone && !room_out)
		return false; /* more than there can have been: others write to the process's pipes, and this client does not read */
	struct pollfd f[3] = {{.fd = at->process_end ? -1 : at->fd, .events = (short)((room_out ? POLLIN : 0) | (p->to_process.len || p->eof ? POLLOUT : 0))},
		{.fd = p->s->sock, .events = (short)((p->reads && room_in ? POLLIN : 0) | (at->to_client.len ? POLLOUT : 0))}, {.fd = at->gone ? -1 : at->pidfd, .events = POLLIN}};
	if (mem_poll(f, 3, -1) < 0)
		return errno == EINTR;
	at->gone |= f[2].revents != 0;
	if (f[0].revents & POLLOUT)
		feed_process(p);
	if (f[0].revents & (POLLIN | POLLHUP | POLLERR))
		from_process(at, p->s);
	if ((f[1].revents & POLLOUT) && !feed_client(p))
		return false;
	if (f[1].revents & POLLIN)
		return from_client(p) && !p->detached;
	return !(f[1].revents & (POLLHUP | POLLERR | POLLNVAL));
}

bool engine_attach_put(struct engine_attach *at, const struct engine_stream *s, const void *data, size_t n)
{
	const char *p = data;
	bool started = false; /* or failed to */
	while (n) {
		pthread_mutex_lock(&at->en->lock);
		bool pending = at->fd < 0;
		int fd = pending ? (started ? -1 : at->ready) : !at->gone ? at->pidfd : at->process_end ? -1 : at->fd;
		pthread_mutex_unlock(&at->en->lock);
		struct pollfd f[2] = {{.fd = s->sock, .events = POLLOUT}, {.fd = fd, .events = POLLIN}};
		if (poll(f, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (f[1].revents && pending)
			started = true;
		else if (f[1].revents && !at->gone)
			at->gone = true;
		else if (f[1].revents)
			from_process(at, s);
		ssize_t w = f[0].revents & POLLOUT ? send(s->sock, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		if ((w < 0 && errno != EAGAIN && errno != EINTR) || (f[0].revents & (POLLHUP | POLLERR)) || (at->gone && !room_for_client(at)))
			return false;
		p += w > 0 ? w : 0;
		n -= w > 0 ? (size_t)w : 0;
	}
	return true;
}

int engine_attach_run(struct engine_attach *at, const struct engine_stream *s, enum engine_stream_end *end, struct err *e)
{
	struct pump p = {.at = at, .s = s, .reads = true};
	*end = STREAM_CLIENT_GONE;
	try(keys_parse(s->detach_keys, &p.keys, e));
	pthread_mutex_lock(&at->en->lock);
	at->gives = s->want_stdin;
	pthread_mutex_unlock(&at->en->lock);
	if (!wait_ready(at, s->sock)) {
		leave_input(at, s);
		return 0;
	}
	unlist(at);
	set_nonblocking(at->fd);
	set_nonblocking(s->sock);
	if (s->early_len && s->want_stdin)
		take_input(&p, s->early, s->early_len);
	bool on = !p.detached;
	while (on && !(at->process_end && !at->to_client.len) && !at->to_client.bad && !p.to_process.bad)
		on = turn(&p);
	*end = p.detached ? STREAM_DETACHED : at->process_end ? STREAM_ENDED : STREAM_CLIENT_GONE;
	buf_free(&p.to_process);
	return 0;
}
