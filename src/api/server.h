/* server: HTTP over libmicrohttpd, a thread a connection; handlers are straight-line blocking code. Owns connections and threads, decides nothing.
 *
 * A handler reads its request and answers with exactly one reply_*(); when it returns an error instead, the error becomes Docker's JSON with the status of
 * its kind. Waiting happens only in request_wait() and reply_wait() (and in streams), which also notices a client that has gone. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "api/tls.h"
#include "base/buf.h"
#include "base/json.h"
#include "ops/ops.h"

struct MHD_Connection;
struct MHD_Response;
struct upload;
struct push;
struct conn;
struct server;
struct route;

struct request {
	atomic_uint refs; /* libmicrohttpd ends a request before the stream that answers it */
	struct server *server;
	struct core *core;
	struct MHD_Connection *conn;
	const struct route *route;
	const char *method;
	char *args[3];    /* what the {} of the route's pattern matched, decoded */
	size_t nargs;
	int minor;        /* API version 1.<minor> of the path; the maximum when there was none */
	struct buf body;  /* of routes that take one whole */
	struct arena mem; /* lives until the answer has been sent */
	struct upload *upload; /* of routes that take it as a stream: request_upload() */
	struct err refused; /* set while the request came in: answered when it is complete */
	struct MHD_Response *response; /* what reply_*() made; sent when the handler has returned */
	int status;
	int fd;           /* the connection's socket */
	bool tcp;         /* or TLS over it */
	struct conn *peer; /* the connection, as api/conns.h counts it */
	struct push *hijack; /* announced, not yet begun: freed with the request if it never begins */
};

void request_ref(struct request *rq);
void request_unref(struct request *rq);

/* Query parameters. */
const char *request_query(const struct request *rq, const char *key); /* NULL if absent */
bool request_bool(const struct request *rq, const char *key, bool fallback); /* "", 0, no, false, none are false */
int request_int(const struct request *rq, const char *key, int64_t fallback, int64_t *out, struct err *e);
/* JSON such as {"os":"linux","architecture":"arm64"}, which clients of API 1.<since> and later may send, as text; "" = none. */
int request_platform(struct request *rq, const char *key, int since, const char **out, struct err *e);
int request_list(struct request *rq, const char *key, struct strv *out); /* repeated keys */
const char *request_header(const struct request *rq, const char *name);
/* The body as JSON; an empty body gives *out = NULL. 400 for a wrong Content-Type or bad JSON. */
int request_json(struct request *rq, json_t **out, struct err *e);
/* Filters in both shapes (facts 3.1): key -> values. `known` ends with NULL; others are 400 `invalid filter 'x'`. */
struct filter {
	const char *key, *value;
};
struct filters {
	struct filter *v;
	size_t n;
};
int request_filters(struct request *rq, const char *const *known, struct filters *out, struct err *e);
/* Of the prune verbs: label and label! as they are, until as a time (0: none). */
int request_prune_filters(struct request *rq, const char *const *known, struct kvs *labels, int64_t *until, struct err *e);
bool filters_have(const struct filters *f, const char *key);
/* True if no filter of this key is given or one of them equals the value. */
bool filters_match(const struct filters *f, const char *key, const char *value);
/* label filters "k" or "k=v": all must match. */
bool filters_match_labels(const struct filters *f, const struct kvs *labels);

/* Descriptor that a BODY_STREAM handler reads the body from, to end of file. */
int request_upload(const struct request *rq);

/* Adds SizeRw and SizeRootFs to a container's JSON (Id, and ImageID or Image); walks its files: not under core_read. */
void reply_add_size(struct core *core, json_t *row);
int reply_json(struct request *rq, int status, json_t *j); /* takes the reference; NULL = out of memory */
int reply_empty(struct request *rq, int status);
int reply_text(struct request *rq, int status, const char *type, const char *text, const char *const *headers);

/* A stream that is pulled: read() fills buf, gives the length, 0 at the end, -1 to break off. It may wait with reply_wait. done() frees. */
int reply_pull(struct request *rq, const char *type, ssize_t (*read)(void *arg, char *buf, size_t max), void (*done)(void *arg), void *arg);
/* A stream that is pushed: run() writes into sock until it has finished (EPIPE when the client has gone), on a thread of its own; done() frees. */
int reply_push(struct request *rq, const char *type, void (*run)(void *arg, int sock), void (*done)(void *arg), void *arg);
/* The same, but when run() has ended, early() is asked for an error that the client was not told: it becomes the answer if nothing was written, as if nothing had begun; else the stream
 * is broken off. */
int reply_push_unless(struct request *rq, const char *type, void (*run)(void *arg, int sock), int (*early)(void *arg, struct err *e), void (*done)(void *arg), void *arg, struct err *e);
/* The hijack: 101 UPGRADED when the client asked for it, else a plain stream of `type`. run() has the socket for both directions. early: what the client had sent already. */
int reply_hijack(struct request *rq, const char *type, void (*run)(void *arg, int sock, const void *early, size_t n), void (*done)(void *arg), void *arg);

/* Waits until fd is readable, the client has gone or the time (ms, -1 = none) is over. */
enum wait_end { WAIT_READY, WAIT_GONE, WAIT_TIME, WAIT_END };
enum wait_end request_wait(const struct request *rq, int fd, int ms);
enum wait_end request_wait_or(const struct request *rq, int fd, int end, int ms); /* WAIT_END when `end` is readable */
/* The same in the middle of a pulled stream, where WAIT_END asks it to end: the daemon stops. */
enum wait_end reply_wait(const struct request *rq, int fd, int ms);

int err_status(const struct err *e);

struct server_socket { /* bound and listening */
	int fd;
	struct tls_server *tls; /* NULL: without TLS; stays the caller's, to be freed after server_stop */
};
int server_start(struct core *core, const struct server_socket *at, size_t n, struct server **out, struct err *e);
void server_stop(struct server *s); /* ends all streams, waits for the handlers */
