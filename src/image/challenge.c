#include "image/challenge.h"

#include <string.h>
#include <strings.h>

#include "base/strv.h"

#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN68 TOKEN "/=" /* what "Negotiate" has in the place of parameters */

struct text {
	const char *at;
	struct err *e;
};

static int bad(const struct text *t, const char *what)
{
	return err_as(t->e, ERR_INVALID, "the registry's WWW-Authenticate header has %s", what);
}

static void skip(struct text *t, const char *set)
{
	t->at += strspn(t->at, set);
}

/* A token or a quoted string into out. */
static int value(struct text *t, char *out, size_t size)
{
	size_t n = 0;
	if (*t->at != '"') {
		size_t len = strspn(t->at, TOKEN68 ":?@");
		/* some registries forget the quotes: then a comma or a blank ends the value */
		if (len == 0)
			return bad(t, "a parameter without a value");
		if (len >= size)
			return bad(t, "a parameter that is too long");
		memcpy(out, t->at, len);
		out[len] = '\0';
		t->at += len;
		return 0;
	}
	for (t->at++; *t->at && *t->at != '"'; t->at++) {
		if (*t->at == '\\' && t->at[1])
			t->at++;
		if ((unsigned char)*t->at < ' ' || *t->at == 0x7f)
			return bad(t, "a control character");
		if (n + 1 >= size)
			return bad(t, "a parameter that is too long");
		out[n++] = *t->at;
	}
	if (*t->at != '"')
		return bad(t, "a quoted text without an end");
	t->at++;
	out[n] = '\0';
	return 0;
}

static int put(struct text *t, const char *name, size_t n, const char *v, struct challenge *c)
{
	bool fits = true;
	if (n == 5 && strncasecmp(name, "realm", n) == 0)
		fits = STR_COPY(c->realm, v);
	else if (n == 7 && strncasecmp(name, "service", n) == 0)
		fits = STR_COPY(c->service, v);
	else if (n == 5 && strncasecmp(name, "scope", n) == 0)
		fits = STR_COPY(c->scope, v);
	return fits ? 0 : bad(t, "a parameter that is too long");
}

/* The parameters of one challenge: up to the end, or to a word that no "=" follows, which is the next scheme. */
static int params(struct text *t, struct challenge *c)
{
	char v[1024];
	for (;;) {
		skip(t, " \t,");
		size_t n = strspn(t->at, TOKEN);
		size_t gap = n + strspn(t->at + n, " \t");
		if (n == 0 || t->at[gap] != '=')
			return 0;
		const char *name = t->at;
		t->at += gap + 1;
		skip(t, " \t");
		try(value(t, v, sizeof(v)));
		try(put(t, name, n, v, c));
	}
}

int challenge_parse(const char *s, struct challenge *out, struct err *e)
{
	struct text t = {s, e};
	struct challenge best = {.kind = CHALLENGE_NONE};
	for (;;) {
		struct challenge c = {.kind = CHALLENGE_NONE};
		skip(&t, " \t,");
		if (!*t.at)
			break;
		size_t n = strspn(t.at, TOKEN);
		if (n == 0)
			return bad(&t, "a character that does not belong there");
		if (n == 6 && strncasecmp(t.at, "bearer", n) == 0)
			c.kind = CHALLENGE_BEARER;
		else if (n == 5 && strncasecmp(t.at, "basic", n) == 0)
			c.kind = CHALLENGE_BASIC;
		t.at += n;
		if (c.kind == CHALLENGE_NONE) { /* its parameters may be a token68 */
			skip(&t, " \t");
			size_t len = strspn(t.at, TOKEN68);
			if (len && (!t.at[len] || t.at[len] == ','))
				t.at += len;
		}
		try(params(&t, &c));
		if (c.kind == CHALLENGE_BEARER && !*c.realm)
			return bad(&t, "a bearer without a realm");
		if (c.kind > best.kind)
			best = c;
	}
	*out = best;
	return 0;
}
