#include "cli/http.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"

const char *http_host;
struct tls_client http_tls;

static int cannot_connect(int code, struct err *e)
{
	if (code == -EACCES)
		return err_set(e, code, "permission denied while trying to connect to the Pontoon daemon at %s: its socket is for root and the members of the socket's group (pontoon)", http_host);
	return err_set(e, code, "Cannot connect to the Pontoon daemon at %s. Is pontoond running? (%s)", http_host, strerror(-code));
}

static int open_unix(const char *path, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!STR_COPY(sa.sun_path, path))
		return err_set(e, -ENAMETOOLONG, "the socket path %s is too long", path);
	OWN(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return cannot_connect(-errno, e);
	return STEAL_FD(fd);
}

/* "HOST:PORT", "[ADDRESS]:PORT", or either without the port. */
static int split_tcp(const char *where, char host[static 256], char port[static 16], struct err *e)
{
	const char *end = *where == '[' ? strchr(where, ']') : where + strcspn(where, ":/");
	const char *rest = end && *where == '[' ? end + 1 : end;
	where += *where == '[';
	if (!end || end - where >= 256 || (*rest && *rest != ':') || !str_copy(port, 16, *rest ? rest + 1 : http_tls.on ? "2376" : "2375"))
		return err_set(e, -EINVAL, "invalid host %s: expected tcp://HOST:PORT", http_host);
	snprintf(host, 256, "%.*s", (int)(end - where), where);
	if (!*host)
		str_copy(host, 256, "localhost");
	return 0;
}

static int open_tcp(const char *where, struct err *e)
{
	char host[256], port[16];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	try(split_tcp(where, host, port, e));
	if (getaddrinfo(host, port, &hints, &list) != 0)
		return err_set(e, -ENOENT, "the host %s cannot be found", host);
	int fd = -1, code = -ECONNREFUSED;
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
			code = -errno;
			close(STEAL_FD(fd));
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		return cannot_connect(code, e);
	return http_tls.on ? tls_client_open(&http_tls, host, fd, e) : fd;
}

int http_open(struct http *h, struct err *e)
{
	*h = (struct http)HTTP_NONE;
	if (str_starts(http_host, "unix://"))
		h->fd = open_unix(http_host + 7, e);
	else if (str_starts(http_host, "tcp://"))
		h->fd = open_tcp(http_host + 6, e);
	else
		return err_set(e, -EINVAL, "invalid host %s: expected unix:///PATH or tcp://HOST:PORT", http_host);
	return h->fd < 0 ? h->fd : 0;
}

void http_close(struct http *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	buf_free(&h->in);
	buf_free(&h->kept);
}

static int fill(struct http *h, struct err *e)
{
	char block[16384];
	ssize_t n;
	do {
		n = read(h->fd, block, sizeof(block));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(e, -errno, "read from the daemon");
	buf_put(&h->in, block, (size_t)n);
	return n == 0 ? 0 : h->in.bad ? err_nomem(e) : 1;
}

static const char *header_value(const char *line, size_t n, const char *name)
{
	size_t len = strlen(name);
	if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	line += len + 1;
	while (*line == ' ')
		line++;
	return line;
}

int http_parse_head(struct http *h, const char *head, size_t n, struct err *e)
{
	const char *end = head + n;
	if (n < 12 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ' || !isdigit((unsigned char)head[9]) || !isdigit((unsigned char)head[10]) || !isdigit((unsigned char)head[11]))
		return err_set(e, -EPROTO, "the daemon's answer is not HTTP");
	h->status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + head[11] - '0';
	h->chunked = h->close = h->has_length = false;
	h->left = 0;
	h->type[0] = '\0';
	buf_drop(&h->kept, h->kept.len);
	for (const char *line = head; line < end;) {
		const char *nl = memchr(line, '\n', (size_t)(end - line));
		size_t len = nl ? (size_t)(nl - line) : (size_t)(end - line);
		char text[256], *stop;
		snprintf(text, sizeof(text), "%.*s", (int)(len < 255 ? len : 255), line);
		text[strcspn(text, "\r")] = '\0';
		const char *v = h->keep ? header_value(line, len, h->keep) : NULL;
		if (v && v < line + len)
			buf_put(&h->kept, v, (size_t)(line + len - v) - (line[len - 1] == '\r'));
		if ((v = header_value(text, strlen(text), "Transfer-Encoding")))
			h->chunked = strcasecmp(v, "chunked") == 0;
		else if ((v = header_value(text, strlen(text), "Connection")))
			h->close = strcasecmp(v, "close") == 0;
		else if ((v = header_value(text, strlen(text), "Content-Type")))
			STR_COPY(h->type, v);
		else if ((v = header_value(text, strlen(text), "Content-Length"))) {
			errno = 0;
			h->left = strtoull(v, &stop, 10);
			h->has_length = true;
			if (errno || *stop || !isdigit((unsigned char)*v))
				return err_set(e, -EPROTO, "the daemon's answer has a bad Content-Length");
		}
		line += len + 1;
	}
	h->body_done = h->status == 204 || h->status == 304 || (h->has_length && !h->left && !h->chunked);
	if (h->chunked)
		h->left = 0;
	return 0;
}

/* The usual reasons why a daemon that can be reached says nothing. */
static int no_answer(const struct http *h, struct err *e)
{
	bool tcp = str_starts(http_host, "tcp://"), nothing = !h->in.len;
	if (tcp && !http_tls.on)
		return err_set(e, -EPIPE, "the daemon at %s gave no answer in HTTP: if it wants TLS, use --tlsverify with --tlscacert, --tlscert and --tlskey, or DOCKER_TLS_VERIFY with DOCKER_CERT_PATH", http_host);
	if (tcp && nothing && !http_tls.cert)
		return err_set(e, -EPIPE, "the daemon at %s closed the connection without an answer: it may want a client's certificate (cert and key of the context), and the context has none", http_host);
	if (tcp && nothing && access(http_tls.cert, R_OK) < 0)
		return err_set(e, -EPIPE, "the daemon at %s closed the connection without an answer: it may want a client's certificate (--tlscert, --tlskey), and there is none in %s", http_host, http_tls.cert);
	return err_set(e, -EPIPE, "the daemon closed the connection without an answer");
}

static int read_head(struct http *h, struct err *e)
{
	char *end;
	while (!h->in.len || !(end = memmem(h->in.data, h->in.len, "\r\n\r\n", 4))) {
		if (h->in.len > HTTP_HEAD_MAX)
			return err_set(e, -EPROTO, "the head of the daemon's answer is too long");
		if (h->in.len && *h->in.data == 0x15) /* an alert of TLS */
			return no_answer(h, e);
		int r = fill(h, e);
		if (r <= 0)
			return r == 0 || r == -ECONNRESET ? no_answer(h, e) : r;
	}
	size_t n = (size_t)(end - h->in.data) + 4;
	try(http_parse_head(h, h->in.data, n, e));
	buf_drop(&h->in, n);
	if (h->status == 100)
		return read_head(h, e);
	return 0;
}

static void put_head(const struct http *h, struct buf *b, const char *method, const char *path, const char *type, bool upgrade)
{
	buf_printf(b, "%s " HTTP_PREFIX "%s HTTP/1.1\r\nHost: pontoon\r\nUser-Agent: pontoon/" PONTOON_VERSION "\r\n", method, path);
	if (type)
		buf_printf(b, "Content-Type: %s\r\n", type);
	if (h->header)
		buf_printf(b, "%s\r\n", h->header);
	if (upgrade)
		buf_puts(b, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
}

int http_send(struct http *h, const char *method, const char *path, const void *body, size_t n, const char *type, bool upgrade, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	put_head(h, &b, method, path, body ? type : NULL, upgrade);
	if (body || !streq(method, "GET"))
		buf_printf(&b, "Content-Length: %zu\r\n", n);
	buf_puts(&b, "\r\n");
	if (body)
		buf_put(&b, body, n);
	if (b.bad)
		return err_nomem(e);
	int r = write_all(h->fd, b.data, b.len);
	return r < 0 ? err_errno(e, r, "write to the daemon") : read_head(h, e);
}

int http_send_fd(struct http *h, const char *method, const char *path, int fd, const char *type, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	char block[65536], size[32];
	ssize_t n;
	put_head(h, &b, method, path, type, false);
	buf_puts(&b, "Transfer-Encoding: chunked\r\n\r\n");
	int r = b.bad ? -ENOMEM : write_all(h->fd, b.data, b.len);
	while (r >= 0 && (n = read(fd, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "read the archive");
		int len = snprintf(size, sizeof(size), "%zx\r\n", (size_t)n);
		r = write_all(h->fd, size, (size_t)len);
		if (r >= 0)
			r = write_all(h->fd, block, (size_t)n);
		if (r >= 0)
			r = write_all(h->fd, "\r\n", 2);
	}
	if (r >= 0)
		r = write_all(h->fd, "0\r\n\r\n", 5);
	/* A daemon that refuses early answers and stops reading: its answer counts, not the broken pipe. */
	struct err answer = {0};
	int a = read_head(h, &answer);
	if (a < 0 && r < 0)
		return err_errno(e, r, "write to the daemon");
	if (a < 0 && e)
		*e = answer;
	return a;
}

/* The line with a chunk's size. */
static int next_chunk(struct http *h, struct err *e)
{
	char *nl, *stop;
	while (!h->in.len || !(nl = memmem(h->in.data, h->in.len, "\r\n", 2))) {
		if (h->in.len > 1024)
			return err_set(e, -EPROTO, "the daemon sent a bad chunk");
		int r = fill(h, e);
		if (r <= 0)
			return r < 0 ? r : err_set(e, -EPIPE, "the daemon closed the connection in the middle of an answer");
	}
	*nl = '\0';
	size_t line = (size_t)(nl - h->in.data) + 2;
	if (line == 2) { /* the line break after a chunk's data */
		buf_drop(&h->in, 2);
		return next_chunk(h, e);
	}
	errno = 0;
	h->left = strtoull(h->in.data, &stop, 16);
	if (errno || stop == h->in.data || h->left > HTTP_BODY_MAX)
		return err_set(e, -EPROTO, "the daemon sent a bad chunk");
	buf_drop(&h->in, line);
	h->body_done = h->left == 0;
	return 0;
}

ssize_t http_read(struct http *h, char *buf, size_t max, struct err *e)
{
	if (h->body_done)
		return 0;
	if (h->chunked && !h->left) {
		int r = next_chunk(h, e);
		if (r < 0 || h->body_done)
			return r;
	}
	if (!h->in.len) {
		int r = fill(h, e);
		if (r < 0)
			return r;
		if (r == 0) {
			h->body_done = true;
			return h->chunked || h->has_length ? err_set(e, -EPIPE, "the daemon closed the connection in the middle of an answer") : 0;
		}
	}
	size_t n = h->in.len < max ? h->in.len : max;
	if (h->chunked || h->has_length) {
		if (n > h->left)
			n = (size_t)h->left;
		h->left -= n;
		h->body_done = !h->chunked && !h->left;
	}
	memcpy(buf, h->in.data, n);
	buf_drop(&h->in, n);
	return (ssize_t)n;
}

int http_read_all(struct http *h, struct buf *out, struct err *e)
{
	char block[65536];
	ssize_t n;
	while ((n = http_read(h, block, sizeof(block), e)) > 0) {
		buf_put(out, block, (size_t)n);
		if (out->bad || out->len > HTTP_BODY_MAX)
			return err_set(e, -EFBIG, "the daemon's answer is too long");
	}
	return n < 0 ? (int)n : 0;
}

int http_error(struct http *h, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = NULL;
	if (http_read_all(h, &b, NULL) >= 0 && json_parse(buf_str(&b), b.len, &j, NULL) >= 0) {
		const char *text = json_string_value(json_object_get(j, "message"));
		if (text)
			return err_set(e, h->status == 404 ? -ENOENT : h->status == 409 ? -EEXIST : h->status == 400 ? -EINVAL : -EIO, "Error response from daemon: %s", text);
	}
	return err_set(e, -EIO, "Error response from daemon: status %d", h->status);
}

int http_call(const char *method, const char *path, const json_t *body, json_t **out, struct err *e)
{
	OWN(own_http) struct http h = HTTP_NONE;
	OWN(own_buf) struct buf b = {0};
	OWN(own_free) char *text = body ? json_text(body) : NULL;
	if (body && !text)
		return err_nomem(e);
	try(http_open(&h, e));
	try(http_send(&h, method, path, text, text ? strlen(text) : 0, "application/json", false, e));
	if (h.status >= 400)
		return http_error(&h, e);
	try(http_read_all(&h, &b, e));
	if (!out)
		return 0;
	*out = NULL;
	return b.len ? json_parse(b.data, b.len, out, e) : 0;
}

void http_escape(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
			buf_putc(b, *s);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s);
	}
}
