/* http: requests to the daemon over a unix socket or TCP. One connection a call, but several requests may follow on it. Everything that comes back is
 * bounded: heads by HTTP_HEAD_MAX, whole bodies by HTTP_BODY_MAX. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "cli/tls.h"

#define HTTP_HEAD_MAX 65536
#define HTTP_BODY_MAX (256u << 20)

struct http {
	int fd;
	struct buf in; /* read, not yet taken */
	int status;
	bool chunked, close, has_length;
	uint64_t left; /* of the body or of the current chunk */
	bool body_done;
	char type[128]; /* Content-Type of the answer */
	const char *header; /* "Name: value": one more for the next request; NULL */
	const char *keep;   /* the header of answers whose value goes to `kept`; NULL */
	struct buf kept;
};

extern const char *http_host; /* "unix:///path" or "tcp://host:port" */
extern struct tls_client http_tls; /* of TCP */
#define HTTP_PREFIX "/v1.51"

int http_open(struct http *h, struct err *e);
void http_close(struct http *h);
static inline void own_http(struct http *h)
{
	http_close(h);
}
#define HTTP_NONE {.fd = -1}
/* Sends a request and reads the answer's head. body NULL: none. upgrade: asks for the hijack; on 101 the socket is the stream and h->in holds what came early. */
int http_send(struct http *h, const char *method, const char *path, const void *body, size_t n, const char *type, bool upgrade, struct err *e);
/* The same with a body read from fd (chunked). */
int http_send_fd(struct http *h, const char *method, const char *path, int fd, const char *type, struct err *e);
/* The next piece of the body into buf; 0 at its end. */
ssize_t http_read(struct http *h, char *buf, size_t max, struct err *e);
int http_read_all(struct http *h, struct buf *out, struct err *e);
/* Parses a head of n bytes (fuzzed): status, framing, type. */
int http_parse_head(struct http *h, const char *head, size_t n, struct err *e);

/* One request, one JSON answer; a status of 400 or more becomes "Error response from daemon: <message>". out may be NULL. */
int http_call(const char *method, const char *path, const json_t *body, json_t **out, struct err *e);
/* The error of an answer whose head has been read. */
int http_error(struct http *h, struct err *e);
/* Appends s, percent-encoded for a path segment or query value. */
void http_escape(struct buf *b, const char *s);
