#include "image/errand.h"

#include <errno.h>

static const char *const methods[] = {
	[ERRAND_GET] = "GET",
	[ERRAND_HEAD] = "HEAD",
	[ERRAND_POST] = "POST",
	[ERRAND_PATCH] = "PATCH",
	[ERRAND_PUT] = "PUT",
};
static_assert(ARRAY_LEN(methods) == ERRAND_METHOD_N, "methods[] is missing one");

const char *errand_method_name(enum errand_method m)
{
	return methods[m];
}

struct errand_json {
	struct errand m;
	const char *method;
};

#define AT(f) offsetof(struct errand_json, m.f)
static const struct json_field errand_table[] = {
	{"id", J_I64, AT(id)},
	{"method", J_STR, offsetof(struct errand_json, method)},
	{"url", J_STR, AT(url)},
	{"accept", J_STR, AT(accept)},
	{"type", J_STR, AT(type)},
	{"offset", J_I64, AT(offset)},
	{"length", J_I64, AT(length)},
	{"most", J_I64, AT(most)},
	{"resume", J_BOOL, AT(resume)},
	J_END,
};

#define OAT(f) offsetof(struct outcome, f)
static const struct json_field outcome_table[] = {
	{"id", J_I64, OAT(id)},
	{"done", J_BOOL, OAT(done)},
	{"sent", J_I64, OAT(sent)},
	{"note", J_STR, OAT(note)},
	{"status", J_I64, OAT(status)},
	{"type", J_STR, OAT(type)},
	{"digest", J_STR, OAT(digest)},
	{"location", J_STR, OAT(location)},
	{"range", J_STR, OAT(range)},
	{"link", J_STR, OAT(link)},
	{"code", J_STR, OAT(code)},
	{"message", J_STR, OAT(message)},
	{"error", J_STR, OAT(error)},
	{"unauthorized", J_BOOL, OAT(unauthorized)},
	{"no_space", J_BOOL, OAT(no_space)},
	{"stalled", J_BOOL, OAT(stalled)},
	J_END,
};

static int encode(const struct json_field *t, const void *obj, char **out, struct err *e)
{
	OWN(own_json) json_t *j = json_encode(t, obj);
	char *text = j ? json_text(j) : NULL;
	if (!text)
		return err_nomem(e);
	if (strlen(text) > ERRAND_MAX) {
		free(text);
		return err_as(e, ERR_TOO_LARGE, "a request to the registry is too long");
	}
	*out = text;
	return 0;
}

int errand_encode(const struct errand *m, char **out, struct err *e)
{
	const struct errand_json j = {*m, methods[m->method]};
	return encode(errand_table, &j, out, e);
}

int errand_decode(const char *text, size_t len, struct arena *a, struct errand *out, struct err *e)
{
	struct errand_json j = {.m = {.url = "", .accept = "", .type = ""}, .method = ""};
	size_t i = 0;
	try(json_decode_text(text, len, errand_table, &j, a, e));
	while (i < ERRAND_METHOD_N && !streq(methods[i], j.method))
		i++;
	if (i == ERRAND_METHOD_N || !*j.m.url || j.m.offset < 0 || j.m.length < 0 || j.m.most < 0)
		return err_as(e, ERR_INVALID, "a request to the registry makes no sense");
	j.m.method = (enum errand_method)i;
	*out = j.m;
	return 0;
}

int outcome_encode(const struct outcome *o, char **out, struct err *e)
{
	return encode(outcome_table, o, out, e);
}

int outcome_decode(const char *text, size_t len, struct arena *a, struct outcome *out, struct err *e)
{
	struct outcome o = {.note = "", .type = "", .digest = "", .location = "", .range = "", .link = "", .code = "", .message = "", .error = ""};
	try(json_decode_text(text, len, outcome_table, &o, a, e));
	if (o.status < 0 || o.status > 999 || o.sent < 0 || (o.done && o.status == 0 && !*o.error))
		return err_as(e, ERR_INVALID, "the answer of the fetcher makes no sense");
	*out = o;
	return 0;
}
