/* A request as the API reads it: "METHOD PATH", a Content-Type, lines "key=value" of its query, an empty line, its body. The connection is played here: what libmicrohttpd would
 * have decoded are these lines. Whatever a route asks of it is bounded, and what is refused has a sentence. */
#include <microhttpd.h>
#include <string.h>

#include "api/router.h"
#include "api/view.h"

#define PAIRS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const char *key, *value;
} pairs[PAIRS];
static size_t npairs;
static const char *content_type;

const char *MHD_lookup_connection_value(struct MHD_Connection *conn, enum MHD_ValueKind kind, const char *key)
{
	(void)conn;
	if (kind == MHD_HEADER_KIND)
		return strcmp(key, "Content-Type") == 0 ? content_type : NULL;
	for (size_t i = 0; i < npairs; i++)
		if (strcmp(pairs[i].key, key) == 0)
			return pairs[i].value;
	return NULL;
}

int MHD_get_connection_values(struct MHD_Connection *conn, enum MHD_ValueKind kind, MHD_KeyValueIterator it, void *cls)
{
	(void)conn;
	size_t i = 0;
	while (i < npairs && it(cls, kind, pairs[i].key, pairs[i].value) == MHD_YES)
		i++;
	return (int)i;
}

static void refused(int r, const struct err *e)
{
	if (r < 0 && (!e->msg[0] || !e->code || err_status(e) < 300))
		abort();
}

static void ask(struct request *rq)
{
	static const char *const known[] = {"label", "label!", "until", "name", "id", "status", "since", "before", NULL};
	struct filters f;
	struct kvs labels;
	struct strv list = {0};
	struct kv some[] = {{"a", "b"}, {"c", ""}};
	struct kvs have = {.v = some, .n = 2};
	int64_t n = 42, until = 0;
	struct err e = {0};
	OWN(own_json) json_t *body = NULL;
	int r = request_int(rq, "limit", 7, &n, &e);
	refused(r, &e);
	if (r < 0 && n != 42)
		abort();
	e = (struct err){0};
	r = request_filters(rq, known, &f, &e);
	refused(r, &e);
	for (size_t i = 0; r >= 0 && i < f.n; i++) {
		if (!filters_have(&f, f.v[i].key) || !filters_match(&f, f.v[i].key, f.v[i].value) || strlen(f.v[i].value) > LIMIT_HEADERS)
			abort();
		(void)filters_match_labels(&f, &have);
	}
	e = (struct err){0};
	r = request_prune_filters(rq, known, &labels, &until, &e);
	refused(r, &e);
	if (request_list(rq, "names", &list) < 0 || list.n > npairs)
		abort();
	(void)request_bool(rq, "all", true);
	e = (struct err){0};
	r = request_json(rq, &body, &e);
	refused(r, &e);
	if (r < 0 && body)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_arena) struct arena a = {0};
	char *text = arena_dupn(&a, (const char *)data, size), *rest = text, *line, path[4200];
	struct request rq = {.method = "GET"};
	struct err e = {0};
	if (strlen(text) != size)
		return 0;
	npairs = 0;
	content_type = NULL;
	line = strsep(&rest, "\n");
	char *url = strchr(line, ' ');
	if (!url)
		return 0;
	*url++ = '\0';
	rq.method = line;
	if (rest)
		content_type = strsep(&rest, "\n");
	while (rest && *(line = strsep(&rest, "\n")) && npairs < PAIRS) {
		pairs[npairs].key = strsep(&line, "=");
		pairs[npairs++].value = line;
	}
	rq.body.max = LIMIT_BODY_JSON;
	if (rest)
		buf_put(&rq.body, rest, strlen(rest));
	snprintf(path, sizeof(path), "%s", url);
	int r = router_find(&rq, path, &e);
	refused(r, &e);
	if (r >= 0 && (!rq.route || rq.nargs > ARRAY_LEN(rq.args) || rq.minor < API_MIN_MINOR || rq.minor > API_MAX_MINOR))
		abort();
	for (size_t i = 0; r >= 0 && i < rq.nargs; i++)
		if (!rq.args[i] || !*rq.args[i])
			abort();
	ask(&rq);
	buf_free(&rq.body);
	arena_free(&rq.mem);
	return 0;
}
