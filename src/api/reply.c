/* Theory of operation
 *
 * Three kinds of stream. A pulled one is a callback that libmicrohttpd calls on the connection's thread; at the daemon's stop its wait ends. A pushed one is a thread that
 * writes into a socket pair, whose other end the pull callback reads: the writer is straight-line code and learns of a gone client by
 * EPIPE. A hijack gets the connection's socket itself after "101 UPGRADED"; a client that did not ask for an upgrade gets a pushed stream.
 * libmicrohttpd sends the head before it calls the reader for the first time, so a waiting reader does not hold the head back
 * (tests/api/test_server.c: head_comes_before_data). */
#include "api/reply.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"

#define STREAM_STACK (256u << 10)
#define READ_BLOCK   (4u << 10) /* for clients of HTTP/1.0: chunks are read into the connection's own memory */
#define LINGER_MS    200
#define END_SECONDS  1 /* at the stop, for a client to take the end of its stream */

struct stream {
	struct stream *next;
	int sock; /* shut down to end it; -1: pulled */
	int conn; /* the client's connection if that is another one: its thread waits there for a client that does not read */
};

struct streams {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct stream *list;
	bool ending;
	int end; /* eventfd: the same, for those that wait */
};

struct streams *streams_new(void)
{
	struct streams *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->end = eventfd(0, EFD_CLOEXEC);
	if (s->end < 0) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	return s;
}

void streams_free(struct streams *s)
{
	if (!s)
		return;
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	close(s->end);
	free(s);
}

void streams_end(struct streams *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	eventfd_write(s->end, 1);
	for (struct stream *t = s->list; t; t = t->next)
		if (t->sock >= 0)
			shutdown(t->sock, SHUT_RDWR);
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += END_SECONDS;
	while (s->list && pthread_cond_timedwait(&s->cond, &s->lock, &until) == 0)
		;
	for (struct stream *t = s->list; t; t = t->next)
		shutdown(t->conn, SHUT_RDWR);
	while (s->list)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void stream_add(struct streams *s, struct stream *t)
{
	pthread_mutex_lock(&s->lock);
	t->next = s->list;
	s->list = t;
	if (s->ending && t->sock >= 0)
		shutdown(t->sock, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
}

static void stream_del(struct streams *s, struct stream *t)
{
	pthread_mutex_lock(&s->lock);
	for (struct stream **p = &s->list; *p; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static int keep_response(struct request *rq, int status, const char *type, struct MHD_Response *r)
{
	char max[16];
	if (!r)
		return -ENOMEM;
	snprintf(max, sizeof(max), "1.%d", API_MAX_MINOR);
	MHD_add_response_header(r, "Api-Version", max);
	MHD_add_response_header(r, "Docker-Experimental", "false");
	MHD_add_response_header(r, "Ostype", "linux");
	MHD_add_response_header(r, "Server", "Pontoon/" PONTOON_VERSION " (linux)");
	if (type)
		MHD_add_response_header(r, "Content-Type", type);
	rq->response = r;
	rq->status = status;
	return 0;
}

int reply_header(struct request *rq, const char *name, const char *value)
{
	return MHD_add_response_header(rq->response, name, value) == MHD_YES ? 0 : -ENOMEM;
}

int reply_json(struct request *rq, int status, json_t *j)
{
	if (!j)
		return -ENOMEM;
	char *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(j);
	if (!text)
		return -ENOMEM;
	size_t n = strlen(text);
	char *line = realloc(text, n + 2);
	if (!line) {
		free(text);
		return -ENOMEM;
	}
	line[n] = '\n';
	struct MHD_Response *r = MHD_create_response_from_buffer(n + 1, line, MHD_RESPMEM_MUST_FREE);
	if (!r)
		free(line);
	return keep_response(rq, status, "application/json", r);
}

int reply_empty(struct request *rq, int status)
{
	static char nothing[1];
	return keep_response(rq, status, NULL, MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT));
}

int reply_text(struct request *rq, int status, const char *type, const char *text, const char *const *headers)
{
	union {
		const char *in;
		void *out; /* libmicrohttpd copies: it does not write */
	} u = {.in = text};
	try(keep_response(rq, status, type, MHD_create_response_from_buffer(strlen(text), u.out, MHD_RESPMEM_MUST_COPY)));
	for (; headers && headers[0]; headers += 2)
		MHD_add_response_header(rq->response, headers[0], headers[1]);
	return 0;
}

struct pull {
	struct stream stream; /* when it is no push */
	struct streams *all;
	struct request *rq;
	ssize_t (*read)(void *arg, char *buf, size_t max);
	void (*done)(void *arg);
	void *arg;
};

static ssize_t pull_cb(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct pull *p = cls;
	(void)pos;
	ssize_t n = p->read(p->arg, buf, max);
	return n > 0 ? n : n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void pull_free(void *cls)
{
	struct pull *p = cls;
	struct request *rq = p->rq;
	p->done(p->arg);
	if (p->all)
		stream_del(p->all, &p->stream);
	free(p);
	request_unref(rq);
}

static int pull_start(struct request *rq, struct streams *all, const char *type, ssize_t (*rd)(void *arg, char *buf, size_t max), void (*done)(void *arg), void *arg)
{
	struct pull *p = malloc(sizeof(*p));
	struct MHD_Response *r = NULL;
	if (p) {
		*p = (struct pull){.stream = {.sock = -1, .conn = rq->fd}, .all = all, .rq = rq, .read = rd, .done = done, .arg = arg};
		r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BLOCK, pull_cb, p, pull_free);
	}
	if (!r) {
		free(p);
		done(arg);
		return -ENOMEM;
	}
	request_ref(rq);
	if (all)
		stream_add(all, &p->stream);
	return keep_response(rq, 200, type, r);
}

int reply_pull(struct request *rq, const char *type, ssize_t (*rd)(void *arg, char *buf, size_t max), void (*done)(void *arg), void *arg)
{
	return pull_start(rq, server_streams(rq->server), type, rd, done, arg);
}

enum wait_end reply_wait(const struct request *rq, int fd, int ms)
{
	return request_wait_or(rq, fd, server_streams(rq->server)->end, ms);
}

struct push {
	struct stream stream; /* sock: the pushing end */
	struct streams *all;
	const struct request *rq;
	int client; /* the reading end */
	pthread_t thread;
	void (*run)(void *arg, int sock);
	void (*hijacked)(void *arg, int sock, const void *early, size_t n);
	int (*early)(void *arg, struct err *e); /* NULL: the stream's end is always a good one */
	void (*done)(void *arg);
	void *arg;
};

static void *push_main(void *cls)
{
	struct push *p = cls;
	if (p->run)
		p->run(p->arg, p->stream.sock);
	else
		p->hijacked(p->arg, p->stream.sock, NULL, 0);
	shutdown(p->stream.sock, SHUT_WR);
	return NULL;
}

static ssize_t push_read(void *cls, char *buf, size_t max)
{
	struct push *p = cls;
	if (request_wait(p->rq, p->client, -1) != WAIT_READY)
		return -1;
	ssize_t n;
	do {
		n = read(p->client, buf, max);
	} while (n < 0 && errno == EINTR);
	if (n == 0 && p->early && p->early(p->arg, NULL) < 0) /* what was sent is not whole: the client must not take it for that */
		return -1;
	return n;
}

static void push_free(void *cls)
{
	struct push *p = cls;
	shutdown(p->client, SHUT_RDWR); /* the writer learns that nobody reads */
	pthread_join(p->thread, NULL);
	stream_del(p->all, &p->stream);
	close(p->client);
	close(p->stream.sock);
	p->done(p->arg);
	free(p);
}

/* Starts the thread; on failure nothing is left. */
static int push_thread(struct request *rq, struct push *p)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		int r = -errno;
		p->done(p->arg);
		free(p);
		return r;
	}
	p->rq = rq;
	p->all = server_streams(rq->server);
	p->client = pair[0];
	p->stream.sock = pair[1];
	p->stream.conn = rq->fd;
	stream_add(p->all, &p->stream);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STREAM_STACK);
	int r = pthread_create(&p->thread, &attr, push_main, p);
	pthread_attr_destroy(&attr);
	if (r) {
		stream_del(p->all, &p->stream);
		close(pair[0]);
		close(pair[1]);
		p->done(p->arg);
		free(p);
		return -r;
	}
	return 0;
}

static int push_start(struct request *rq, const char *type, struct push *p)
{
	try(push_thread(rq, p));
	return pull_start(rq, NULL, type, push_read, push_free, p);
}

int reply_push_unless(struct request *rq, const char *type, void (*run)(void *arg, int sock), int (*early)(void *arg, struct err *e), void (*done)(void *arg), void *arg, struct err *e)
{
	struct push *p = calloc(1, sizeof(*p));
	char first;
	if (!p) {
		done(arg);
		return err_nomem(e);
	}
	p->run = run;
	p->early = early;
	p->done = done;
	p->arg = arg;
	int r = push_thread(rq, p);
	if (r < 0)
		return err_errno(e, r, "start a thread");
	if (request_wait(rq, p->client, -1) == WAIT_READY && recv(p->client, &first, 1, MSG_PEEK) == 0) {
		r = early(arg, e);
		if (r < 0) {
			push_free(p);
			return r;
		}
	}
	return pull_start(rq, NULL, type, push_read, push_free, p);
}

int reply_push(struct request *rq, const char *type, void (*run)(void *arg, int sock), void (*done)(void *arg), void *arg)
{
	struct push *p = calloc(1, sizeof(*p));
	if (!p) {
		done(arg);
		return -ENOMEM;
	}
	p->run = run;
	p->done = done;
	p->arg = arg;
	return push_start(rq, type, p);
}

/* A socket closed with unread bytes resets the connection, and the client may lose what it has not read yet: what it still sends is thrown away until
 * it closes, for a moment at most. */
static void linger(int sock)
{
	char sink[4096];
	struct pollfd p = {.fd = sock, .events = POLLIN};
	shutdown(sock, SHUT_WR);
	for (int i = 0; i < 64 && poll(&p, 1, LINGER_MS) == 1; i++) {
		ssize_t n = recv(sock, sink, sizeof(sink), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
	}
}

static void upgrade_cb(void *cls, struct MHD_Connection *conn, void *con_cls, const char *extra, size_t n, MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
	struct push *p = cls;
	struct request *rq = con_cls;
	(void)conn;
	if (rq)
		rq->hijack = NULL;
	p->stream.sock = p->stream.conn = sock;
	stream_add(p->all, &p->stream);
	p->hijacked(p->arg, sock, extra, n);
	linger(sock);
	stream_del(p->all, &p->stream);
	p->done(p->arg);
	free(p);
	MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

void reply_drop_hijack(struct request *rq)
{
	struct push *p = rq->hijack;
	rq->hijack = NULL;
	p->done(p->arg);
	free(p);
}

static bool wants_upgrade(const struct request *rq)
{
	const char *up = request_header(rq, "Upgrade"), *conn = request_header(rq, "Connection");
	return up && strcasecmp(up, "tcp") == 0 && conn && strcasestr(conn, "upgrade");
}

int reply_hijack(struct request *rq, const char *type, void (*run)(void *arg, int sock, const void *early, size_t n), void (*done)(void *arg), void *arg)
{
	struct push *p = calloc(1, sizeof(*p));
	if (!p) {
		done(arg);
		return -ENOMEM;
	}
	p->hijacked = run;
	p->done = done;
	p->arg = arg;
	if (!wants_upgrade(rq))
		return push_start(rq, type, p);
	p->all = server_streams(rq->server);
	struct MHD_Response *r = MHD_create_response_for_upgrade(upgrade_cb, p);
	if (!r) {
		done(arg);
		free(p);
		return -ENOMEM;
	}
	MHD_add_response_header(r, "Upgrade", "tcp");
	rq->hijack = p;
	return keep_response(rq, MHD_HTTP_SWITCHING_PROTOCOLS, type, r);
}
