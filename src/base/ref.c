#include "base/ref.h"

#include <string.h>

#include "base/strv.h"

/* The grammar is ASCII only; <ctype.h> would follow the locale. */
static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_upper(c) || is_digit(c);
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* Length of the separator at s that may stand between two letters of a path component: . _ __ or any number of -. */
static size_t separator(const char *s)
{
	if (*s == '-')
		return strspn(s, "-");
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return *s == '.';
}

/* [a-z0-9]+ (separator [a-z0-9]+)* joined with '/'. */
static bool path_valid(const char *s)
{
	for (;;) {
		if (!is_lower(*s) && !is_digit(*s))
			return false;
		while (is_lower(*s) || is_digit(*s))
			s++;
		if (!*s)
			return true;
		size_t n = *s == '/' ? 1 : separator(s);
		if (n == 0)
			return false;
		s += n;
	}
}

static bool port_valid(const char *s)
{
	size_t n = strspn(s, "0123456789");
	return n > 0 && !s[n];
}

/* Labels of letters, digits and inner dashes joined with dots, or an IPv6 address in brackets; then an optional port. */
static bool domain_valid(const char *s)
{
	if (*s == '[') {
		size_t n = strspn(s + 1, "0123456789abcdefABCDEF:");
		if (n == 0 || s[1 + n] != ']')
			return false;
		s += n + 2;
		return !*s || (*s == ':' && port_valid(s + 1));
	}
	for (;;) {
		if (!is_alnum(*s))
			return false;
		while (is_alnum(*s) || (*s == '-' && is_alnum(s[1 + strspn(s + 1, "-")])))
			s++;
		if (!*s)
			return true;
		if (*s == ':')
			return port_valid(s + 1);
		if (*s++ != '.')
			return false;
	}
}

bool ref_tag_valid(const char *tag)
{
	size_t n = 0;
	for (; is_alnum(tag[n]) || tag[n] == '_' || (n > 0 && (tag[n] == '.' || tag[n] == '-')); n++)
		;
	return n > 0 && n <= LIMIT_TAG && !tag[n];
}

static bool hex_valid(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_hex(s[i]))
			return false;
	return !s[n];
}

bool ref_is_sha256(const char *s)
{
	return str_starts(s, "sha256:") && hex_valid(s + 7, 64);
}

static bool digest_valid(const char *s)
{
	return ref_is_sha256(s) || (str_starts(s, "sha512:") && hex_valid(s + 7, 128));
}

/* The first part is a domain when it could not be a user's name on Docker Hub. */
static bool is_domain(const char *s, size_t n)
{
	bool odd = n == 9 && strncmp(s, "localhost", 9) == 0;
	for (size_t i = 0; i < n; i++)
		odd = odd || s[i] == '.' || s[i] == ':' || is_upper(s[i]);
	return odd;
}

static bool is_upper_in(const char *s)
{
	for (; *s; s++)
		if (is_upper(*s))
			return true;
	return false;
}

static int bad(struct err *e)
{
	return err_as(e, ERR_INVALID, "invalid reference format");
}

static int check_name(const struct ref *r, struct err *e)
{
	if (is_upper_in(r->path))
		return err_as(
			e, ERR_INVALID, "invalid reference format: repository name (%s) must be lowercase", r->path);
	if (!path_valid(r->path) || !domain_valid(r->domain))
		return bad(e);
	if (strlen(r->domain) + 1 + strlen(r->path) > LIMIT_REF)
		return err_as(e, ERR_INVALID, "repository name must not be more than %d characters", LIMIT_REF);
	return 0;
}

/* Cuts "@digest" and ":tag" off the text of everything after the domain. */
static int cut_tail(char *rest, struct ref *r, struct err *e)
{
	char *at = strchr(rest, '@'), *colon;
	if (at) {
		*at++ = '\0';
		if (!digest_valid(at) || !STR_COPY(r->digest, at))
			return bad(e);
	}
	colon = strchr(rest, ':');
	if (colon) {
		*colon++ = '\0';
		if (!ref_tag_valid(colon) || !STR_COPY(r->tag, colon)) {
			if (is_upper_in(rest))
				return err_as(e, ERR_INVALID,
					"invalid reference format: repository name (%s) must be lowercase", rest);
			return bad(e);
		}
	}
	return 0;
}

int ref_parse(const char *s, struct ref *out, struct err *e)
{
	struct ref r = {};
	char rest[REF_TEXT];

	if (strlen(s) == 64 && hex_valid(s, 64))
		return err_as(e, ERR_INVALID,
			"invalid repository name (%s), cannot specify 64-byte hexadecimal strings", s);
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : 0;
	if (n > 0 && is_domain(s, n)) {
		if (n >= sizeof(r.domain))
			return bad(e);
		memcpy(r.domain, s, n);
		s = slash + 1;
	}
	if (!*r.domain || streq(r.domain, "index.docker.io"))
		STR_COPY(r.domain, "docker.io");
	if (!STR_COPY(rest, s))
		return bad(e);
	try(cut_tail(rest, &r, e));
	bool official = streq(r.domain, "docker.io") && !strchr(rest, '/') && *rest;
	int len = snprintf(r.path, sizeof(r.path), "%s%s", official ? "library/" : "", rest);
	if (len < 0 || (size_t)len >= sizeof(r.path))
		return err_as(e, ERR_INVALID, "repository name must not be more than %d characters", LIMIT_REF);
	try(check_name(&r, e));
	*out = r;
	return 0;
}

int ref_parse_tagged(const char *s, struct ref *out, struct err *e)
{
	struct ref r;
	try(ref_parse(s, &r, e));
	if (!*r.tag && !*r.digest)
		STR_COPY(r.tag, "latest");
	*out = r;
	return 0;
}

/* The short form must be read as the same repository again: without its domain docker.io/a.b/c would be c on the host a.b, and 64 hex
 * digits would be an id. */
const char *ref_repo(const struct ref *r, char out[static REF_TEXT])
{
	const char *path = r->path, *slash = strchr(path, '/');
	bool official = str_starts(path, "library/") && !strchr(path + 8, '/');
	bool brief = streq(r->domain, "docker.io") && !(slash && is_domain(path, (size_t)(slash - path))) && !(official && hex_valid(path + 8, 64));
	if (brief && official)
		path += 8;
	snprintf(out, REF_TEXT, "%s%s%s", brief ? "" : r->domain, brief ? "" : "/", path);
	return out;
}

const char *ref_familiar(const struct ref *r, char out[static REF_TEXT])
{
	ref_repo(r, out);
	size_t n = strlen(out);
	snprintf(out + n, REF_TEXT - n, "%s%s%s%s", *r->tag ? ":" : "", r->tag, *r->digest ? "@" : "", r->digest);
	return out;
}

int ref_normalise(const char *s, char out[static REF_TEXT], struct err *e)
{
	struct ref r;
	try(ref_parse_tagged(s, &r, e));
	if (*r.digest)
		r.tag[0] = '\0';
	ref_familiar(&r, out);
	return 0;
}

int ref_split_term(const char *term, char domain[static LIMIT_REF + 1], const char **rest, struct err *e)
{
	char first[LIMIT_REF + 1] = "";
	size_t n = strcspn(term, "/");
	const char *what = term;
	if (strstr(term, "://"))
		return err_as(e, ERR_INVALID, "invalid repository name: repository name (%.200s) should not have a scheme", term);
	if (term[n] && n < sizeof(first))
		memcpy(first, term, n);
	if (strpbrk(first, ".:") || streq(first, "localhost")) {
		if (!domain_valid(first))
			return err_as(e, ERR_INVALID, "invalid registry name in %.200s", term);
		what = term + n + 1;
	} else
		STR_COPY(first, "docker.io");
	if (streq(first, "index.docker.io"))
		STR_COPY(first, "docker.io");
	if (streq(first, "docker.io") && str_starts(what, "library/"))
		what += strlen("library/");
	if (!*what)
		return err_as(e, ERR_INVALID, "there is no word to search for");
	str_copy(domain, LIMIT_REF + 1, first);
	*rest = what;
	return 0;
}
