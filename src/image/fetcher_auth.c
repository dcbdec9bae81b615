/* Theory of operation
 *
 * A registry that wants to know who asks answers 401 and says how. "Basic": name and password go along with every request. "Bearer": a token server, named by the registry,
 * gives a token for what is to be done ("scope"); it gets name and password, or a refresh token, and the registry sees only the token. Secrets go to the
 * server that the registry names, but never over a connection that is not encrypted unless the registry itself may be used so. */
#include <errno.h>
#include <string.h>

#include "image/challenge.h"
#include "image/fetcher_int.h"

#define TOKEN_SECONDS 60

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;
	buf_put(b, p, size * n);
	return b->bad ? 0 : size * n;
}

static void add_escaped(CURL *c, struct buf *b, const char *key, const char *value)
{
	char *s = curl_easy_escape(c, value, 0);
	buf_printf(b, "%c%s=%s", b->len ? '&' : '?', key, s ? s : "");
	b->bad |= !s;
	curl_free(s);
}

/* What tokens are asked for: what the registry named, and what this job will do beside it. */
static void add_scopes(const struct fetcher *f, CURL *c, struct buf *b, const struct challenge *ch)
{
	char scope[1024];
	snprintf(scope, sizeof(scope), "repository:%s:%s", f->conf->repo, f->conf->push ? "pull,push" : "pull");
	if (*f->conf->repo)
		add_escaped(c, b, "scope", scope);
	else if (*ch->scope)
		add_escaped(c, b, "scope", ch->scope);
	for (size_t i = 0; i < f->conf->mounts.n; i++) {
		snprintf(scope, sizeof(scope), "repository:%s:pull", f->conf->mounts.v[i]);
		add_escaped(c, b, "scope", scope);
	}
}

/* A refresh token goes into the body of a POST, a password into a header: neither into an address, which servers log. */
static void build_request(const struct fetcher *f, CURL *c, const struct challenge *ch, struct buf *query, struct buf *post)
{
	const struct auth *a = f->conf->auth;
	if (*a->identity_token) {
		buf_puts(post, "grant_type=refresh_token&client_id=pontoon");
		add_escaped(c, post, "service", ch->service);
		add_escaped(c, post, "refresh_token", a->identity_token);
		add_scopes(f, c, post, ch);
		return;
	}
	if (*ch->service)
		add_escaped(c, query, "service", ch->service);
	add_scopes(f, c, query, ch);
	if (*a->username)
		add_escaped(c, query, "account", a->username);
}

static int perform(const struct fetcher *f, CURL *c, const char *url, const struct buf *post, struct buf *answer, long *status, struct err *e)
{
	char detail[CURL_ERROR_SIZE] = "", basic[sizeof(f->conf->auth->username) * 2 + sizeof(f->conf->auth->password) * 2], line[sizeof(basic) + 32], why[FETCHER_TEXT];
	const struct auth *a = f->conf->auth;
	struct curl_slist *headers = NULL;
	if (!*a->identity_token && *a->username && auth_basic(a, basic, sizeof(basic))) {
		snprintf(line, sizeof(line), "Authorization: Basic %s", basic);
		headers = curl_slist_append(NULL, line);
	}
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TOKEN_SECONDS);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
	if (post->len) {
		curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L); /* the token would be sent on */
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, post->data);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)post->len);
	}
	CURLcode rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
	curl_slist_free_all(headers);
	explicit_bzero(basic, sizeof(basic));
	explicit_bzero(line, sizeof(line));
	if (rc == CURLE_OK)
		return 0;
	fetcher_reason(f, rc, detail, why);
	return err_as(e, ERR_UNAVAILABLE, "the token server: %s", why);
}

static int bearer_from(struct fetcher *f, CURL *c, const struct challenge *ch, struct err *e)
{
	OWN(own_buf) struct buf query = {}, post = {}, answer = {.max = FETCHER_BODY}, url = {};
	char token[ANSWER_TOKEN];
	long status = 0;
	build_request(f, c, ch, &query, &post);
	buf_printf(&url, "%s%s", ch->realm, buf_str(&query));
	if (strchr(ch->realm, '?') && query.len) /* the realm has parameters of its own */
		url.data[strlen(ch->realm)] = '&';
	if (query.bad || post.bad || url.bad)
		return err_nomem(e);
	int r = perform(f, c, url.data, &post, &answer, &status, e);
	if (post.len)
		explicit_bzero(post.data, post.len);
	try(r);
	if (status < 200 || status > 299) {
		struct answer_error why;
		answer_error(buf_str(&answer), answer.len, &why);
		if (status == 401 || status == 403)
			return err_as(e, ERR_UNAUTHORIZED, "unauthorized: %s", *why.message ? why.message : *f->conf->auth->username ? "incorrect username or password" : "authentication required");
		return err_as(e, ERR_UNAVAILABLE, "the token server answered with status %ld%s%s", status, *why.message ? ": " : "", why.message);
	}
	r = answer_token(buf_str(&answer), answer.len, token, e);
	if (answer.len)
		explicit_bzero(answer.data, answer.len);
	try(r);
	snprintf(f->authorization, sizeof(f->authorization), "Authorization: Bearer %s", token);
	explicit_bzero(token, sizeof(token));
	return 0;
}

static int bearer(struct fetcher *f, const struct challenge *ch, struct err *e)
{
	const struct auth *a = f->conf->auth;
	if (*a->registry_token) {
		snprintf(f->authorization, sizeof(f->authorization), "Authorization: Bearer %s", a->registry_token);
		return 0;
	}
	if (strncasecmp(ch->realm, "https://", 8) != 0 && !f->conf->insecure && !f->conf->plain)
		return err_as(e, ERR_UNAUTHORIZED, "unauthorized: the registry names a token server without TLS (%.200s): no secret is sent there", ch->realm);
	CURL *c = fetcher_easy(f);
	if (!c)
		return err_nomem(e);
	int r = bearer_from(f, c, ch, e);
	curl_easy_cleanup(c);
	return r;
}

static int basic(struct fetcher *f, struct err *e)
{
	char text[sizeof(f->conf->auth->username) * 2 + sizeof(f->conf->auth->password) * 2];
	if (!*f->conf->auth->username)
		return err_as(e, ERR_UNAUTHORIZED, "no basic auth credentials");
	if (!auth_basic(f->conf->auth, text, sizeof(text)))
		return err_as(e, ERR_INVALID, "the credentials for %s are too long", f->conf->domain);
	if (strncmp(f->base, "https://", 8) != 0 && !f->conf->insecure)
		return err_as(e, ERR_UNAUTHORIZED, "unauthorized: no secret is sent without TLS");
	snprintf(f->authorization, sizeof(f->authorization), "Authorization: Basic %s", text);
	explicit_bzero(text, sizeof(text));
	return 0;
}

int fetcher_authorize(struct fetcher *f, const char *challenges, struct err *e)
{
	struct challenge ch;
	try(challenge_parse(challenges, &ch, e));
	f->round++;
	switch (ch.kind) {
	case CHALLENGE_BEARER:
		return bearer(f, &ch, e);
	case CHALLENGE_BASIC:
		return basic(f, e);
	case CHALLENGE_NONE:
		break;
	}
	return err_as(e, ERR_UNAUTHORIZED, "unauthorized: authentication required, in a way that is not known here");
}
