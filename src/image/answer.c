#include "image/answer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/ref.h"

/* Text of a registry for people: one line, printable. */
static void tame(char *s)
{
	str_make_utf8(s);
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = ' ';
}

void answer_error(const char *text, size_t len, struct answer_error *out)
{
	OWN(own_json) json_t *j = NULL;
	*out = (struct answer_error){};
	if (json_parse(text, len, &j, NULL) < 0)
		return;
	const json_t *first = json_array_get(json_object_get(j, "errors"), 0);
	const char *code = json_string_value(json_object_get(first, "code")), *message = json_string_value(json_object_get(first, "message"));
	if (code)
		(void)STR_COPY(out->code, code); /* cut is fine: codes are short, texts for people */
	if (!message) /* token servers that follow OAuth */
		message = json_string_value(json_object_get(j, "error_description"));
	if (!message)
		message = json_string_value(json_object_get(j, "details"));
	if (message)
		(void)STR_COPY(out->message, message);
	tame(out->code);
	tame(out->message);
}

int answer_token(const char *text, size_t len, char out[static ANSWER_TOKEN], struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	/* the parser's message might quote the token */
	if (json_parse(text, len, &j, NULL) < 0)
		return err_as(e, ERR_INVALID, "the token server's answer is not JSON");
	const json_t *t = json_object_get(j, "token");
	if (!json_is_string(t) || json_string_length(t) == 0)
		t = json_object_get(j, "access_token");
	const char *s = json_string_value(t);
	if (str_empty(s))
		return err_as(e, ERR_INVALID, "the token server's answer has no token in it");
	for (const char *p = s; *p; p++)
		if (!isgraph((unsigned char)*p)) /* it becomes part of a header */
			return err_as(e, ERR_INVALID, "the token server's answer has a token with a character that no token has");
	if (!str_copy(out, ANSWER_TOKEN, s))
		return err_as(e, ERR_INVALID, "the token server's answer has a token of more than %d bytes", ANSWER_TOKEN - 1);
	return 0;
}

int answer_tags(const char *text, size_t len, struct arena *a, struct strv *out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	if (json_parse(text, len, &j, e) < 0)
		return err_ctx(e, "list of tags");
	const json_t *tags = json_object_get(j, "tags");
	if (json_is_null(tags)) /* a repository that had some */
		return 0;
	if (!json_is_array(tags))
		return err_as(e, ERR_INVALID, "list of tags: it has no tags in it");
	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *s = json_string_value(json_array_get(tags, i));
		if (!s || !ref_tag_valid(s))
			continue;
		if (out->n == LIMIT_IMAGE_IMAGES)
			return err_as(e, ERR_TOO_LARGE, "the repository has more than %d tags", LIMIT_IMAGE_IMAGES);
		if (strv_add(a, out, s) < 0)
			return err_nomem(e);
	}
	return 0;
}

static bool shows(const char *name)
{
	for (const char *s = name; *s; s++)
		if (!isgraph((unsigned char)*s))
			return false;
	return *name && strlen(name) <= ANSWER_NAME;
}

static json_t *one_found(const json_t *x)
{
	char about[ANSWER_DESCRIPTION + 1] = "";
	const char *name = json_string_value(json_object_get(x, "name")), *said = json_string_value(json_object_get(x, "description"));
	json_int_t stars = json_integer_value(json_object_get(x, "star_count"));
	if (!name || !shows(name))
		return NULL;
	if (said)
		(void)STR_COPY(about, said); /* cut is fine: for people */
	tame(about);
	return json_pack("{s:I, s:b, s:s, s:b, s:s}", "star_count", stars > 0 ? stars : 0, "is_official", json_is_true(json_object_get(x, "is_official")), "name", name, "is_automated",
		json_is_true(json_object_get(x, "is_automated")), "description", about);
}

int answer_search(const char *text, size_t len, size_t most, json_t **out, struct err *e)
{
	OWN(own_json) json_t *j = NULL, *found = json_array();
	try(json_parse(text, len, &j, e));
	const json_t *results = json_object_get(j, "results");
	if (!json_is_array(results))
		return err_as(e, ERR_INVALID, "it has no results in it");
	for (size_t i = 0; i < json_array_size(results) && json_array_size(found) < most; i++) {
		json_t *x = one_found(json_array_get(results, i));
		if (x && json_array_append_new(found, x) < 0)
			return err_nomem(e);
	}
	if (!found)
		return err_nomem(e);
	*out = STEAL(found);
	return 0;
}

static const char *number(const char *s, uint64_t *out)
{
	char *end;
	if (!isdigit((unsigned char)*s))
		return NULL;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (errno || v > INT64_MAX)
		return NULL;
	*out = v;
	return end;
}

int answer_content_range(const char *s, uint64_t *first, struct err *e)
{
	uint64_t from = 0, to = 0;
	const char *p = s;
	if (strncasecmp(p, "bytes", 5) == 0) {
		p += 5;
		p += strspn(p, " \t");
		p = number(p, &from);
		p = p && *p == '-' ? number(p + 1, &to) : NULL;
		if (p && *p == '/' && to >= from) {
			*first = from;
			return 0;
		}
	}
	return err_as(e, ERR_INVALID, "the registry's Content-Range header \"%.60s\" is not understood", s);
}

int answer_upload_range(const char *s, uint64_t *have, struct err *e)
{
	uint64_t from = 0, to = 0;
	const char *p = strncasecmp(s, "bytes=", 6) == 0 ? s + 6 : s;
	p = number(p, &from);
	p = p && *p == '-' ? number(p + 1, &to) : NULL;
	if (!p || *p || from != 0)
		return err_as(e, ERR_INVALID, "the registry's Range header \"%.60s\" is not understood", s);
	*have = to ? to + 1 : 0; /* "0-0" is what an empty upload has, though it would be one byte */
	return 0;
}

bool answer_next_link(const char *s, char *out, size_t size)
{
	for (const char *p = s; (p = strchr(p, '<')); p++) {
		const char *end = strchr(p, '>');
		if (!end)
			return false;
		size_t n = strcspn(end, ",");
		const char *rel = memmem(end, n, "rel=", 4);
		if (rel && strncasecmp(rel + 4 + (rel[4] == '"'), "next", 4) == 0) {
			size_t len = (size_t)(end - p - 1);
			if (len == 0 || len >= size)
				return false;
			memcpy(out, p + 1, len);
			out[len] = '\0';
			return true;
		}
	}
	return false;
}
