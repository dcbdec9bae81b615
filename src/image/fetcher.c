/* Theory of operation
 *
 * One thread, one loop over curl's transfers and the socket of the job. A transfer is one errand: it may take several requests (authorization, another attempt after a broken
 * connection) and ends with one outcome. What is received goes straight to the file that came with the errand; the job looks at the file's size to know
 * how far it is, and verifies digests itself.
 *
 * Resuming: the file is never cut. The next attempt asks for the rest (Range); a server that begins anew has what is there already thrown away. The attempts are counted anew
 * when there was progress.
 *
 * A registry that may be insecure is tried with TLS first (unverified), then without; the first answer decides.
 *
 * Credentials go to the registry's own origin (scheme, host and port) alone: an address from a Location header gets them only there, and curl drops the header when a redirect
 * leads away. Proven by tests/image/test_registry.py. */
#include "image/fetcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/confine_fetch.h"
#include "image/errand.h"
#include "image/fetcher_int.h"

#define LONGEST_WAIT 5 /* half a second, doubled so often, between attempts */
#define REDIRECTS    10L
#define CONNECT_SECONDS 30L
#define SAY_EVERY_NS 100000000

struct transfer {
	struct transfer *next;
	struct arena mem;
	struct errand m;
	int fd;
	CURL *easy; /* NULL between attempts */
	struct curl_slist *headers;
	char detail[CURL_ERROR_SIZE];
	/* of the present response */
	const char *type, *digest, *location, *range, *link, *content_range;
	struct buf challenges, body;
	bool begun;          /* its first bytes have come */
	uint64_t skip;       /* bytes of it that the file has already */
	/* of all attempts */
	uint64_t have, had;  /* bytes in the file: now, and when the attempt began */
	int64_t sent;        /* of the file that is sent, in this attempt */
	int tries;
	unsigned round, rounds; /* of authorization: that was used, that were made for this one */
	int64_t again_ns;    /* 0 = running */
	int64_t said_ns, heard_ns; /* when progress was told; when the last byte came or went */
	char why[FETCHER_TEXT]; /* why a callback ended it */
	bool no_space, too_large;
};

static void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	curl_slist_free_all(t->headers);
	buf_free(&t->challenges);
	buf_free(&t->body);
	if (t->fd >= 0)
		close(t->fd);
	arena_free(&t->mem);
	free(t);
}

static void tell(struct fetcher *f, const struct outcome *o, bool may_drop)
{
	struct err e;
	OWN(own_free) char *text = NULL;
	if (outcome_encode(o, &text, &e) < 0)
		_exit(1); /* the job notices */
	if (send(f->sock, text, strlen(text), MSG_NOSIGNAL | (may_drop ? MSG_DONTWAIT : 0)) < 0 && !may_drop)
		_exit(1);
}

static const char *tamed(struct arena *a, const char *s)
{
	char *copy = arena_dup(a, s);
	if (copy)
		str_make_utf8(copy);
	return copy ? copy : "";
}

/* Ends the errand. error NULL: there was an answer, status says which. */
static void finish(struct fetcher *f, struct transfer *t, long status, const char *error, bool unauthorized, bool stalled)
{
	struct answer_error said = {};
	if (status >= 400)
		answer_error(buf_str(&t->body), t->body.len, &said);
	const struct outcome o = {
		.id = t->m.id, .done = true, .sent = t->sent, .note = "", .status = error ? 0 : status, .type = t->type ? t->type : "", .digest = t->digest ? t->digest : "",
		.location = t->location ? t->location : "", .range = t->range ? t->range : "", .link = t->link ? t->link : "", .code = said.code, .message = said.message,
		.error = error ? tamed(&t->mem, error) : "", .unauthorized = unauthorized, .no_space = t->no_space, .stalled = stalled,
	};
	tell(f, &o, false);
	for (struct transfer **p = &f->list; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	f->active--;
	transfer_free(t);
}

/* --- what curl calls --- */

static bool header_is(const char *line, size_t n, const char *name, const char **value, size_t *len)
{
	size_t k = strlen(name);
	if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
		return false;
	line += k + 1;
	n -= k + 1;
	while (n && (*line == ' ' || *line == '\t')) {
		line++;
		n--;
	}
	while (n && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
		n--;
	*value = line;
	*len = n;
	return n > 0 && !memchr(line, '\0', n);
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count, len;
	const char *v;
	t->heard_ns = clock_mono_ns();
	const struct {
		const char *name;
		const char **to;
	} wanted[] = {{"Content-Type", &t->type}, {"Docker-Content-Digest", &t->digest}, {"Location", &t->location}, {"Range", &t->range}, {"Link", &t->link}, {"Content-Range", &t->content_range}};
	if (n >= 5 && strncmp(p, "HTTP/", 5) == 0) { /* another response: of a redirect, of an interim one */
		for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
			*wanted[i].to = NULL;
		buf_drop(&t->challenges, t->challenges.len);
		buf_drop(&t->body, t->body.len);
		return n;
	}
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (header_is(p, n, wanted[i].name, &v, &len) && len <= 8192) {
			char *copy = arena_dupn(&t->mem, v, len);
			if (copy)
				str_make_utf8(copy);
			*wanted[i].to = copy;
		}
	if (header_is(p, n, "WWW-Authenticate", &v, &len)) {
		if (t->challenges.len)
			buf_puts(&t->challenges, ", ");
		buf_put(&t->challenges, v, len);
	}
	return t->mem.used > (4u << 20) ? 0 : n; /* whoever sends so many headers */
}

static size_t refuse(struct transfer *t, const char *why)
{
	snprintf(t->why, sizeof(t->why), "%s", why);
	return 0;
}

/* Where the body of an answer begins in the file. */
static bool begin(struct transfer *t, long status)
{
	uint64_t first = 0;
	t->begun = true;
	if (status == 206 && t->have && (!t->content_range || answer_content_range(t->content_range, &first, NULL) < 0 || first != t->have)) {
		refuse(t, "the registry sent another part of the blob than the one asked for");
		return false;
	}
	t->skip = status == 206 ? 0 : t->have;
	return true;
}

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count, all = n;
	long status = 0;
	t->heard_ns = clock_mono_ns();
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->m.method != ERRAND_GET || status < 200 || status > 299) {
		if (t->body.len < FETCHER_BODY)
			buf_put(&t->body, p, n < FETCHER_BODY - t->body.len ? n : FETCHER_BODY - t->body.len);
		return all;
	}
	if (!t->begun && !begin(t, status))
		return 0;
	size_t k = t->skip < n ? (size_t)t->skip : n;
	t->skip -= k;
	p += k;
	n -= k;
	if (n > (uint64_t)t->m.most - t->have) {
		t->too_large = true;
		return refuse(t, "the registry sent more than it had announced");
	}
	int r = write_all(t->fd, p, n);
	if (r < 0) {
		t->no_space = r == -ENOSPC || r == -EDQUOT;
		return refuse(t, t->no_space ? "no space left on device" : strerror(-r));
	}
	t->have += n;
	return all;
}

static struct fetcher *the_fetcher; /* curl gives a reader only one argument */

static size_t on_read(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;
	if (n > (uint64_t)(t->m.length - t->sent))
		n = (size_t)(t->m.length - t->sent);
	if (n == 0)
		return 0;
	ssize_t r = pread(t->fd, p, n, (off_t)(t->m.offset + t->sent));
	if (r <= 0) {
		refuse(t, "the file that is sent became shorter");
		return CURL_READFUNC_ABORT;
	}
	t->sent += r;
	int64_t now = t->heard_ns = clock_mono_ns();
	if (now - t->said_ns > SAY_EVERY_NS) {
		const struct outcome o = {.id = t->m.id, .sent = t->sent};
		t->said_ns = now;
		tell(the_fetcher, &o, true);
	}
	return (size_t)r;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;
	if (origin != SEEK_SET || offset < 0 || offset > t->m.length)
		return CURL_SEEKFUNC_FAIL;
	t->sent = offset;
	return CURL_SEEKFUNC_OK;
}

/* --- one attempt --- */

CURL *fetcher_easy(const struct fetcher *f)
{
	CURL *c = curl_easy_init();
	bool tls_only = !f->conf->insecure && !f->conf->plain;
	if (!c)
		return NULL;
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "pontoon/" PONTOON_VERSION);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, tls_only ? "https" : "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, tls_only ? "https" : "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS);
	curl_easy_setopt(c, CURLOPT_CAINFO, FETCH_CA);
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, f->conf->stall < CONNECT_SECONDS ? (long)f->conf->stall : CONNECT_SECONDS);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 262144L);
	if (f->conf->insecure) {
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (f->has_certificate) {
		curl_easy_setopt(c, CURLOPT_SSLCERT, FETCH_CERT);
		curl_easy_setopt(c, CURLOPT_SSLKEY, FETCH_KEY);
	}
	return c;
}

static bool same_origin(const char *a, const char *b)
{
	static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
	CURLU *u = curl_url(), *v = curl_url();
	bool same = u && v && curl_url_set(u, CURLUPART_URL, a, 0) == CURLUE_OK && curl_url_set(v, CURLUPART_URL, b, 0) == CURLUE_OK;
	for (size_t i = 0; same && i < ARRAY_LEN(parts); i++) {
		char *x = NULL, *y = NULL;
		same = curl_url_get(u, parts[i], &x, CURLU_DEFAULT_PORT) == CURLUE_OK && curl_url_get(v, parts[i], &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
		curl_free(x);
		curl_free(y);
	}
	curl_url_cleanup(u);
	curl_url_cleanup(v);
	return same;
}

/* The errand's address, absolute. */
static const char *resolve(const struct fetcher *f, struct transfer *t)
{
	CURLU *u = curl_url();
	char *s = NULL;
	const char *out = NULL;
	if (u && curl_url_set(u, CURLUPART_URL, f->base, 0) == CURLUE_OK && curl_url_set(u, CURLUPART_URL, t->m.url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_URL, &s, 0) == CURLUE_OK)
		out = arena_dup(&t->mem, s);
	curl_free(s);
	curl_url_cleanup(u);
	return out;
}

static void add_header(struct transfer *t, const char *name, const char *value)
{
	const char *line = arena_printf(&t->mem, "%s: %s", name, value);
	struct curl_slist *l = line ? curl_slist_append(t->headers, line) : NULL;
	t->headers = l ? l : t->headers;
	t->mem.bad |= !l;
}

static void set_headers(const struct fetcher *f, struct transfer *t, const char *url)
{
	char text[64];
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	if (*t->m.accept)
		add_header(t, "Accept", t->m.accept);
	if (*t->m.type)
		add_header(t, "Content-Type", t->m.type);
	if (t->m.method == ERRAND_PATCH) {
		snprintf(text, sizeof(text), "%lld-%lld", (long long)t->m.offset, (long long)(t->m.offset + t->m.length - 1));
		add_header(t, "Content-Range", text);
	}
	add_header(t, "Expect", ""); /* no round trip before the body */
	if (*f->authorization && same_origin(f->base, url)) {
		struct curl_slist *l = curl_slist_append(t->headers, f->authorization);
		t->headers = l ? l : t->headers;
		t->mem.bad |= !l;
	}
	if (t->m.method == ERRAND_GET && t->have) {
		snprintf(text, sizeof(text), "bytes=%llu-", (unsigned long long)t->have);
		add_header(t, "Range", text);
	}
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_method(struct transfer *t)
{
	bool sends = t->m.method == ERRAND_PATCH || t->m.method == ERRAND_PUT || t->m.method == ERRAND_POST;
	if (t->m.method == ERRAND_HEAD)
		curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
	if (!sends)
		return;
	if (t->fd >= 0) {
		curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
		curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
		curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->m.length);
		curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	} else {
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, "");
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, 0L);
	}
	curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, errand_method_name(t->m.method));
}

/* Begins an attempt. */
static void attempt(struct fetcher *f, struct transfer *t)
{
	const char *url = resolve(f, t);
	t->again_ns = 0;
	t->easy = url ? fetcher_easy(f) : NULL;
	if (!t->easy) {
		finish(f, t, 0, url ? "out of memory" : "the registry named an address that is none", false, false);
		return;
	}
	t->heard_ns = clock_mono_ns();
	t->had = t->have;
	t->begun = false;
	t->sent = 0;
	t->round = f->round;
	*t->detail = *t->why = '\0';
	curl_easy_setopt(t->easy, CURLOPT_URL, url);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->detail);
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	if (t->m.method == ERRAND_PATCH) /* on a connection in use curl would send the bytes again by itself, and some registries would append them */
		curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
	set_method(t);
	set_headers(f, t, url);
	if (t->mem.bad || curl_multi_add_handle(f->multi, t->easy) != CURLM_OK) {
		curl_easy_cleanup(t->easy);
		finish(f, t, 0, "out of memory", false, false);
	}
}

/* --- its end --- */

void fetcher_reason(const struct fetcher *f, CURLcode rc, const char *detail, char out[static FETCHER_TEXT])
{
	const char *text = *detail ? detail : curl_easy_strerror(rc);
	if (rc == CURLE_OPERATION_TIMEDOUT)
		snprintf(out, FETCHER_TEXT, "nothing came for %d seconds%s%s", f->conf->stall, *detail ? ": " : "", detail);
	else if (rc == CURLE_SSL_CONNECT_ERROR && strcasestr(text, "unexpected TLS packet"))
		snprintf(out, FETCHER_TEXT, "http: server gave HTTP response to HTTPS client: list %s in insecure-registries if it is meant to have no TLS", f->conf->domain);
	else if (strstr(text, "TLS fatal alert") && !f->has_certificate)
		snprintf(out, FETCHER_TEXT, "%s: if the registry wants a certificate of the client's, put client.cert and client.key in /etc/pontoon/certs.d/%s", text, f->conf->domain);
	else if (rc == CURLE_UNSUPPORTED_PROTOCOL)
		snprintf(out, FETCHER_TEXT, "redirected to an address without TLS or of an unknown kind (%s)", text);
	else
		snprintf(out, FETCHER_TEXT, "%s", text);
}

static void later(struct fetcher *f, struct transfer *t, const char *why)
{
	/* who waits a minute for a byte waits half a second before another attempt, then one, two, four, eight, sixteen */
	int64_t wait = t->tries < 2 ? 0 : f->conf->stall * 1000000000ll / 120 << (t->tries - 2 < LONGEST_WAIT ? t->tries - 2 : LONGEST_WAIT);
	t->again_ns = clock_mono_ns() + wait + 1;
	const struct outcome o = {.id = t->m.id, .note = tamed(&t->mem, why)};
	tell(f, &o, true);
}

/* A blob whose connection broke, or whose server is not well, is tried again. */
static bool may_retry(const struct fetcher *f, struct transfer *t)
{
	if (!t->m.resume)
		return false;
	if (t->have > t->had)
		t->tries = 0;
	return ++t->tries < f->conf->attempts;
}

static bool broken_connection(CURLcode rc)
{
	return rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR || rc == CURLE_GOT_NOTHING || rc == CURLE_PARTIAL_FILE || rc == CURLE_OPERATION_TIMEDOUT || rc == CURLE_COULDNT_CONNECT ||
	       rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_HTTP2 || rc == CURLE_HTTP2_STREAM;
}

/* Without TLS, when a registry that may be so does not speak it. */
static bool fall_back(struct fetcher *f, CURLcode rc)
{
	if (f->answered || !f->conf->insecure || strncmp(f->base, "https://", 8) != 0)
		return false;
	if (rc != CURLE_SSL_CONNECT_ERROR && rc != CURLE_COULDNT_CONNECT && rc != CURLE_RECV_ERROR && rc != CURLE_GOT_NOTHING && rc != CURLE_SEND_ERROR)
		return false;
	memmove(f->base + 4, f->base + 5, strlen(f->base + 5) + 1);
	return true;
}

static void failed(struct fetcher *f, struct transfer *t, CURLcode rc, long os_error)
{
	char why[FETCHER_TEXT], text[FETCHER_TEXT + 256];
	if (t->too_large || t->no_space) {
		finish(f, t, 0, t->why, false, false);
		return;
	}
	if (fall_back(f, rc)) {
		attempt(f, t);
		return;
	}
	if (*t->why)
		snprintf(why, sizeof(why), "%s", t->why);
	else
		fetcher_reason(f, rc, t->detail, why);
	if (rc == CURLE_COULDNT_CONNECT && os_error) {
		size_t n = strlen(why);
		snprintf(why + n, sizeof(why) - n, ": %s", strerror((int)os_error));
	}
	if ((broken_connection(rc) || *t->why) && may_retry(f, t)) {
		later(f, t, why);
		return;
	}
	const char *query = strchr(t->m.url, '?'); /* may hold a signature */
	snprintf(text, sizeof(text), "%s \"%s%.*s\": %s", errand_method_name(t->m.method), strncmp(t->m.url, "http", 4) == 0 ? "" : f->base, query ? (int)(query - t->m.url) : 200, t->m.url, why);
	finish(f, t, 0, text, false, rc == CURLE_OPERATION_TIMEDOUT);
}

static void unauthorized(struct fetcher *f, struct transfer *t)
{
	struct err e = {};
	if (t->round != f->round && t->rounds < 2) { /* another errand has authorized meanwhile */
		t->rounds++;
		attempt(f, t);
		return;
	}
	if (t->rounds >= 1 || !t->challenges.len) {
		struct answer_error said;
		char text[FETCHER_TEXT];
		answer_error(buf_str(&t->body), t->body.len, &said);
		snprintf(text, sizeof(text), "unauthorized: %.300s", *said.message ? said.message : *f->conf->auth->username ? "incorrect username or password" : "authentication required");
		finish(f, t, 401, text, true, false);
		return;
	}
	t->rounds++;
	if (fetcher_authorize(f, buf_str(&t->challenges), &e) < 0)
		finish(f, t, 401, e.msg, e.kind == ERR_UNAUTHORIZED, false);
	else
		attempt(f, t);
}

static void ended(struct fetcher *f, struct transfer *t, CURLcode rc)
{
	long status = 0, os_error = 0;
	char why[64];
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_error);
	curl_multi_remove_handle(f->multi, t->easy);
	curl_easy_cleanup(t->easy);
	t->easy = NULL;
	if (status)
		f->answered = true;
	/* an upload that is refused may end with a broken connection, after the answer */
	if (rc != CURLE_OK && !(status >= 400 && (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR))) {
		failed(f, t, rc, os_error);
		return;
	}
	if (status == 401) {
		unauthorized(f, t);
		return;
	}
	snprintf(why, sizeof(why), "the registry answered with status %ld", status);
	if ((status == 408 || status == 429 || status >= 500) && may_retry(f, t))
		later(f, t, why);
	else
		finish(f, t, status, NULL, false, false);
}

/* --- the loop --- */

/* False at the end of the job. */
static bool take(struct fetcher *f)
{
	static char text[ERRAND_MAX];
	int fd = -1;
	size_t nfds = 1;
	struct err e;
	ssize_t n = fd_recv(f->sock, text, sizeof(text), &fd, &nfds);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	struct transfer *t = calloc(1, sizeof(*t));
	if (!t)
		_exit(1);
	t->fd = nfds ? fd : -1;
	if (errand_decode(text, (size_t)n, &t->mem, &t->m, &e) < 0 || f->active == FETCHER_ACTIVE)
		_exit(1);
	t->have = t->m.method == ERRAND_GET ? (uint64_t)t->m.offset : 0;
	t->next = f->list;
	f->list = t;
	f->active++;
	attempt(f, t);
	return true;
}

/* A registry may digest a large blob before it answers a PUT. */
static int64_t patience(const struct fetcher *f, const struct transfer *t)
{
	return f->conf->stall * 1000000000ll * (t->m.method == ERRAND_PUT ? 10 : 1);
}

/* Milliseconds until something is due; begins what is, ends what has stalled. */
static int due(struct fetcher *f)
{
	int64_t now = clock_mono_ns(), wait = 1000000000;
	for (struct transfer *t = f->list, *next; t; t = next) {
		next = t->next;
		int64_t when = t->again_ns ? t->again_ns : t->heard_ns + patience(f, t);
		if (when > now)
			wait = when - now < wait ? when - now : wait;
		else if (t->again_ns)
			attempt(f, t);
		else
			ended(f, t, CURLE_OPERATION_TIMEDOUT);
	}
	return (int)(wait / 1000000) + 1;
}

static void loop(struct fetcher *f)
{
	for (;;) {
		int left, running, ms = due(f);
		struct curl_waitfd w = {.fd = f->sock, .events = CURL_WAIT_POLLIN};
		CURLMsg *m;
		curl_multi_perform(f->multi, &running);
		bool any = false;
		while ((m = curl_multi_info_read(f->multi, &left))) {
			struct transfer *t = NULL;
			if (m->msg != CURLMSG_DONE)
				continue;
			CURLcode rc = m->data.result;
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
			ended(f, t, rc);
			any = true;
		}
		if (any)
			continue;
		if (curl_multi_poll(f->multi, &w, 1, ms, NULL) != CURLM_OK)
			_exit(1);
		if (w.revents && !take(f))
			return;
	}
}

void fetcher_run(int sock, const char *dir, const struct fetcher_conf *c)
{
	static struct fetcher f;
	struct err e = {};
	f.conf = c;
	f.sock = sock;
	the_fetcher = &f;
	STR_COPY(f.base, c->base);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		err_set(&e, -ENOMEM, "curl cannot be initialised");
	else if (confine_fetch(dir, c->domain, (unsigned)sock + 1, &f.has_certificate, &e) == 0 && !(f.multi = curl_multi_init()))
		err_nomem(&e);
	/* the job's first question gets the reason */
	const struct outcome hello = {.done = true, .status = e.code ? 0 : 200, .error = e.code ? e.msg : ""};
	tell(&f, &hello, false);
	if (!e.code)
		loop(&f);
	_exit(e.code != 0);
}
