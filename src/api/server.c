/* Theory of operation
 *
 * libmicrohttpd calls access_cb several times for a request: once with the head, then with pieces of the body, then once more when it
 * is complete. A JSON body is collected; a streamed body is written into a socket that the handler, on a thread of its own, reads at the
 * same time. Answers are made by reply_*() (api/reply.c), kept in the request, and queued here on the connection's own thread. */
#include "api/server.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/conns.h"
#include "api/reply.h"
#include "api/router.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define IDLE_SECONDS   120
#define THREAD_STACK   (256u << 10)
#define DAEMONS_MAX    16

struct upload {
	int rd, wr;
	pthread_t thread;
	bool running;
	int result;
	struct err err;
};

struct listening {
	struct server *server;
	struct MHD_Daemon *daemon;
	struct tls_server *tls;
	bool tcp;
};

struct server {
	struct core *core;
	struct listening at[DAEMONS_MAX];
	size_t n;
	struct conns *conns;
	struct streams *streams; /* hijacked and pushed ones, to be ended at stop */
};

static const int statuses[] = {
	[ERR_INTERNAL] = 500,
	[ERR_INVALID] = 400,
	[ERR_UNAUTHORIZED] = 401,
	[ERR_FORBIDDEN] = 403,
	[ERR_NOT_FOUND] = 404,
	[ERR_CONFLICT] = 409,
	[ERR_TOO_LARGE] = 413,
	[ERR_NOT_MODIFIED] = 304,
	[ERR_NOT_IMPLEMENTED] = 501,
	[ERR_UNAVAILABLE] = 503,
};
static_assert(ARRAY_LEN(statuses) == ERR_KIND_N, "statuses[] is missing a kind");

int err_status(const struct err *e)
{
	return statuses[e->kind];
}

struct streams *server_streams(struct server *s)
{
	return s->streams;
}

int request_upload(const struct request *rq)
{
	return rq->upload->rd;
}

static void *upload_main(void *arg)
{
	struct request *rq = arg;
	struct upload *u = rq->upload;
	u->result = rq->route->run(rq, &u->err);
	/* The rest of the body, if the handler did not want it, must still flow. */
	char sink[4096];
	while (read(u->rd, sink, sizeof(sink)) > 0)
		;
	return NULL;
}

static int upload_start(struct request *rq, struct err *e)
{
	int p[2];
	struct upload *u = calloc(1, sizeof(*u));
	if (!u)
		return err_nomem(e);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0) {
		int r = -errno;
		free(u);
		return err_errno(e, r, "socketpair");
	}
	u->rd = p[0];
	u->wr = p[1];
	rq->upload = u;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	int r = pthread_create(&u->thread, &attr, upload_main, rq);
	pthread_attr_destroy(&attr);
	u->running = r == 0;
	return r ? err_errno(e, -r, "start a thread") : 0;
}

/* The client has gone before the body's end. To who reads it this must not look like the end: half an archive would be taken for a whole one. A socket that is
 * closed while something is unread in it gives its peer, after all bytes, ECONNRESET. */
static void upload_cut(struct upload *u)
{
	if (u->wr >= 0)
		(void)send(u->rd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int upload_finish(struct request *rq, struct err *e)
{
	struct upload *u = rq->upload;
	if (u->wr >= 0)
		close(STEAL_FD(u->wr));
	if (u->running) {
		pthread_join(u->thread, NULL);
		u->running = false;
		if (u->result < 0)
			*e = u->err;
	}
	return u->result;
}

void request_ref(struct request *rq)
{
	atomic_fetch_add(&rq->refs, 1);
}

void request_unref(struct request *rq)
{
	struct err e = {0};
	if (atomic_fetch_sub(&rq->refs, 1) != 1)
		return;
	if (rq->upload) {
		upload_cut(rq->upload);
		upload_finish(rq, &e);
		close(rq->upload->rd);
		free(rq->upload);
	}
	if (rq->response)
		MHD_destroy_response(rq->response);
	buf_free(&rq->body);
	arena_free(&rq->mem);
	free(rq);
}

static void completed_cb(void *cls, struct MHD_Connection *conn, void **con_cls, enum MHD_RequestTerminationCode code)
{
	(void)cls;
	(void)conn;
	(void)code;
	struct request *rq = *con_cls;
	if (rq && rq->peer)
		conns_idle(rq->server->conns, rq->peer);
	if (rq && rq->hijack)
		reply_drop_hijack(rq);
	if (rq)
		request_unref(rq);
	*con_cls = NULL;
	mem_settle();
}

static void connection_cb(void *cls, struct MHD_Connection *conn, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	const struct listening *at = cls;
	struct server *s = at->server;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*socket_context = info ? conns_add(s->conns, info->connect_fd) : NULL;
	else if (*socket_context)
		conns_remove(s->conns, *socket_context);
}

static struct request *request_new(const struct listening *at, struct MHD_Connection *conn, const char *method)
{
	struct server *s = at->server;
	struct request *rq = calloc(1, sizeof(*rq));
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!rq || !info) {
		free(rq);
		return NULL;
	}
	atomic_init(&rq->refs, 1);
	rq->server = s;
	rq->core = s->core;
	rq->conn = conn;
	rq->method = arena_dup(&rq->mem, method);
	rq->fd = info->connect_fd;
	rq->tcp = at->tcp;
	info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	rq->peer = info ? info->socket_context : NULL;
	rq->body.max = LIMIT_BODY_JSON;
	return rq;
}

static int reply_error(struct request *rq, const struct err *e)
{
	int status = err_status(e);
	if (rq->response) {
		MHD_destroy_response(rq->response);
		rq->response = NULL;
	}
	if (status == 304)
		return reply_empty(rq, status);
	if (e->kind == ERR_INTERNAL)
		log_error("%s %s: %s", rq->method, rq->route ? rq->route->pattern : "?", e->msg);
	return reply_json(rq, status, json_pack("{s:s}", "message", e->msg));
}

/* A message may quote what the client sent: what is not UTF-8 would not be JSON. */
static void clean_text(char *s)
{
	json_t *j = json_string(s);
	if (!j)
		for (; *s; s++)
			if ((unsigned char)*s >= 0x80)
				*s = '?';
	json_decref(j);
}

static enum MHD_Result send_answer(struct request *rq, int r, struct err *e)
{
	if (r < 0 || !rq->response) {
		if (r >= 0)
			err_nomem(e);
		else if (!e->msg[0])
			err_errno(e, r, "internal error");
		clean_text(e->msg);
		if (reply_error(rq, e) < 0)
			return MHD_NO;
	}
	enum MHD_Result ok = MHD_queue_response(rq->conn, (unsigned)rq->status, rq->response);
	MHD_destroy_response(rq->response);
	rq->response = NULL;
	return ok;
}

static enum MHD_Result take_body(struct request *rq, const char *data, size_t *n)
{
	if (rq->peer)
		conns_touch(rq->server->conns, rq->peer);
	if (rq->refused.code) {
		/* told when it is complete */
	} else if (rq->upload) {
		if (rq->upload->wr >= 0 && write_all(rq->upload->wr, data, *n) < 0)
			close(STEAL_FD(rq->upload->wr));
	} else {
		buf_put(&rq->body, data, *n);
		if (rq->body.bad)
			err_as(&rq->refused, ERR_TOO_LARGE, "the request's body is larger than %u bytes", LIMIT_BODY_JSON);
	}
	*n = 0;
	return MHD_YES;
}

static enum MHD_Result access_cb(void *cls, struct MHD_Connection *conn, const char *url, const char *method, const char *version, const char *data, size_t *n,
	void **con_cls)
{
	const struct listening *at = cls;
	struct server *s = at->server;
	struct request *rq = *con_cls;
	(void)version;
	if (!rq) {
		rq = request_new(at, conn, method);
		if (!rq)
			return MHD_NO;
		*con_cls = rq;
		if (router_find(rq, url, &rq->refused) >= 0 && rq->route->body == BODY_STREAM)
			(void)upload_start(rq, &rq->refused);
		return MHD_YES;
	}
	if (*n)
		return take_body(rq, data, n);
	struct err e = {0};
	int r;
	if (rq->peer)
		conns_busy(s->conns, rq->peer);
	if (rq->refused.code) {
		e = rq->refused;
		r = e.code;
	} else if (rq->upload) {
		r = upload_finish(rq, &e);
	} else {
		r = rq->route->run(rq, &e);
	}
	return send_answer(rq, r, &e);
}

static void PRINTF(2, 0) mhd_log(void *cls, const char *fmt, va_list ap)
{
	char text[1024];
	(void)cls;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

/* A client that got through TLS: the plain end of its connection. */
static bool take_tls(void *arg, int sock)
{
	const struct listening *at = arg;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	return MHD_add_connection(at->daemon, sock, (const struct sockaddr *)&sa, sizeof(sa.sun_family)) == MHD_YES;
}

static int listen_at(struct listening *at, int fd, struct err *e)
{
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG | MHD_USE_ITC;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	at->tcp = at->tls || (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.ss_family != AF_UNIX);
	const struct MHD_OptionItem listens[] = {{.option = at->tls ? MHD_OPTION_END : MHD_OPTION_LISTEN_SOCKET, .value = fd}, {.option = MHD_OPTION_END}};
	at->daemon = MHD_start_daemon(flags | (at->tls ? MHD_USE_NO_LISTEN_SOCKET : 0), 0, NULL, NULL, access_cb, at, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL, MHD_OPTION_NOTIFY_COMPLETED,
		completed_cb, NULL, MHD_OPTION_NOTIFY_CONNECTION, connection_cb, at, MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)LIMIT_CONNECTIONS * 2 /* those that have been ended take a moment to go */, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)LIMIT_HEADERS, MHD_OPTION_ARRAY, listens, MHD_OPTION_END);
	if (!at->daemon)
		return err_set(e, -EIO, "libmicrohttpd does not start");
	at->server->n++;
	return at->tls ? tls_start(at->tls, fd, take_tls, at, e) : 0;
}

int server_start(struct core *core, const struct server_socket *at, size_t n, struct server **out, struct err *e)
{
	struct server *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->core = core;
	s->streams = streams_new();
	s->conns = conns_new(LIMIT_CONNECTIONS);
	int r = s->streams && s->conns ? 0 : err_nomem(e);
	if (r >= 0 && n > DAEMONS_MAX)
		r = err_as(e, ERR_INVALID, "more than %d sockets to listen on", DAEMONS_MAX);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		s->at[i] = (struct listening){.server = s, .tls = at[i].tls};
		r = listen_at(&s->at[i], at[i].fd, e);
	}
	if (r < 0) {
		server_stop(s);
		return r;
	}
	*out = s;
	return 0;
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		MHD_quiesce_daemon(s->at[i].daemon); /* gives the listening socket back: its owner closes it */
	for (size_t i = 0; i < s->n; i++)
		tls_stop(s->at[i].tls);
	if (s->streams)
		streams_end(s->streams);
	for (size_t i = 0; i < s->n; i++)
		MHD_stop_daemon(s->at[i].daemon);
	streams_free(s->streams);
	conns_free(s->conns);
	free(s);
}
