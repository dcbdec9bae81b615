/* Questions to registries that change nothing here. */
#include <errno.h>
#include <string.h>

#include "base/ref.h"
#include "ops/image_job.h"

/* mirrored: NULL, or whose mirrors may answer. */
static int ask(struct core *c, const char *verb, json_t *request, const struct ref *mirrored, int cancel, json_t **result, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *const argv[] = {verb, NULL};
	const struct image_stream stream = {.cancel = cancel};
	if (!request)
		return err_nomem(e);
	const struct image_run r = {.verb = verb, .argv = argv, .input = -1, .output = -1, .request = request, .stream = &stream, .result = result};
	return mirrored ? image_run_mirrored(c, &r, mirrored, &a, e) : image_run(c, &r, &a, e);
}

int op_registry_login(struct core *c, const char *server, const char *auth, int cancel, struct err *e)
{
	char host[LIMIT_REF + 1], reference[LIMIT_REF + 8];
	OWN(own_json) json_t *result = NULL;
	const char *s = server;
	if (str_starts(s, "https://"))
		s += strlen("https://");
	else if (str_starts(s, "http://"))
		s += strlen("http://");
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(s, "/"), s);
	if (str_empty(host) || streq(host, "index.docker.io") || streq(host, "registry-1.docker.io"))
		STR_COPY(host, "docker.io");
	snprintf(reference, sizeof(reference), "%s/x", host);
	struct ref r;
	if (ref_parse(reference, &r, NULL) < 0 || !streq(r.domain, host))
		return err_as(e, ERR_INVALID, "invalid registry address: %.200s", server);
	OWN(own_json) json_t *request = image_registry_request(c, reference, auth, 1);
	return ask(c, "auth", request, NULL, cancel, &result, e);
}

int op_registry_describe(struct core *c, const char *reference, const char *auth, int cancel, json_t **out, struct err *e)
{
	char full[REF_TEXT];
	struct ref r;
	OWN(own_json) json_t *result = NULL;
	try(ref_parse_tagged(reference, &r, e));
	OWN(own_json) json_t *request = image_registry_request(c, ref_familiar(&r, full), auth, 1);
	try(ask(c, "inspect", request, &r, cancel, &result, e));
	json_t *about = json_object_get(result, "about");
	if (!json_is_object(about))
		return err_set(e, -EPROTO, "pontoon-image: nothing about the image");
	*out = json_incref(about);
	return 0;
}

int op_registry_search(struct core *c, const char *term, int64_t limit, const char *auth, int cancel, json_t **out, struct err *e)
{
	char domain[LIMIT_REF + 1], reference[LIMIT_REF + 8];
	const char *word;
	OWN(own_json) json_t *result = NULL;
	if (limit < 1 || limit > LIMIT_SEARCH)
		return err_as(e, ERR_INVALID, "limit %lld is outside the range of [1, %d]", (long long)limit, LIMIT_SEARCH);
	try(ref_split_term(term, domain, &word, e));
	snprintf(reference, sizeof(reference), "%s/x", domain);
	OWN(own_json) json_t *request = image_registry_request(c, reference, auth, 1);
	if (!request)
		return err_nomem(e);
	if (json_object_set_new(request, "term", json_string(word)) < 0)
		return err_as(e, ERR_INVALID, "the word to search for is not UTF-8");
	json_object_set_new(request, "limit", json_integer(limit));
	try(ask(c, "search", request, NULL, cancel, &result, e));
	json_t *found = json_object_get(result, "about");
	if (!json_is_array(found))
		return err_set(e, -EPROTO, "pontoon-image: nothing about the search");
	*out = json_incref(found);
	return 0;
}
