#include "api/routes_registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/ref.h"

/* A verb that tells its progress: it runs on the stream's thread. Its error is a line of the stream, or the whole answer when nothing was told before. */
struct work {
	struct request *rq;
	int sock;
	bool told;
	int r;
	struct err e;
	int (*run)(struct work *w, struct err *e);
	struct image_pull pull;  /* of a push: reference and auth of it */
	struct strv names;       /* of a save */
	struct arena mem;
};

static bool put_line(struct work *w, const char *line)
{
	const char *parts[] = {line, "\r\n"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (write_all(w->sock, parts[i], strlen(parts[i])) < 0)
			return false;
	w->told = true;
	return true;
}

static bool put_json(struct work *w, json_t *line)
{
	OWN(own_json) json_t *j = line;
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	return text && put_line(w, text);
}

static bool on_progress(void *arg, const char *line)
{
	return put_line(arg, line);
}

static void work_run(void *arg, int sock)
{
	struct work *w = arg;
	w->sock = sock;
	w->r = w->run(w, &w->e);
	if (w->r >= 0 || !w->told)
		return;
	str_make_utf8(w->e.msg);
	(void)put_json(w, json_pack("{s:{s:s}, s:s}", "errorDetail", "message", w->e.msg, "error", w->e.msg)); /* a client that has gone needs no reason */
}

static int work_early(void *arg, struct err *e)
{
	struct work *w = arg;
	if (w->r >= 0 || w->told) /* an error line has told it */
		return 0;
	if (e)
		*e = w->e;
	return w->r;
}

static void work_done(void *arg)
{
	struct work *w = arg;
	if (w->pull.auth) /* a copy of ours, which nobody reads any more */
		explicit_bzero((char *)(uintptr_t)w->pull.auth, strlen(w->pull.auth));
	arena_free(&w->mem);
	free(w);
}

static int work_start(struct request *rq, int (*run)(struct work *w, struct err *e), struct work *w, struct err *e)
{
	if (w->mem.bad) {
		work_done(w);
		return err_nomem(e);
	}
	w->rq = rq;
	w->run = run;
	return reply_push_unless(rq, "application/json", work_run, work_early, work_done, w, e);
}

static struct work *work_new(struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	if (!w)
		err_nomem(e);
	return w;
}

static int run_pull(struct work *w, struct err *e)
{
	const char *told = NULL;
	w->pull.stream = (struct image_stream){.progress = on_progress, .arg = w, .cancel = w->sock};
	try(op_image_pull(w->rq->core, &w->pull, &w->mem, &told, e));
	(void)put_json(w, json_pack("{s:s}", "status", told)); /* stored is stored, whether the client hears it or not */
	return 0;
}

/* The request's memory may go before the stream does: copies. */
int route_pull(struct request *rq, struct err *e)
{
	const char *name = request_query(rq, "fromImage"), *tag = request_query(rq, "tag"), *auth = request_header(rq, "X-Registry-Auth"), *platform = request_query(rq, "platform");
	if (str_empty(name))
		return err_as(e, ERR_INVALID, "invalid reference format: the image is missing");
	struct work *w = work_new(e);
	if (!w)
		return -ENOMEM;
	bool digest = tag && strchr(tag, ':');
	struct ref r;
	w->pull.reference = str_empty(tag) ? arena_dup(&w->mem, name) : arena_printf(&w->mem, "%s%s%s", name, digest ? "@" : ":", tag);
	w->pull.platform = arena_dup(&w->mem, platform ? platform : "");
	w->pull.auth = arena_dup(&w->mem, auth ? auth : "");
	/* a name alone means all tags: clients that want one send it */
	w->pull.all_tags = str_empty(tag) && ref_parse(name, &r, NULL) >= 0 && !*r.tag && !*r.digest;
	return work_start(rq, run_pull, w, e);
}

static int run_push(struct work *w, struct err *e)
{
	const struct image_stream s = {.progress = on_progress, .arg = w, .cancel = w->sock};
	return op_image_push(w->rq->core, w->pull.reference, w->pull.auth, &s, &w->mem, e);
}

static int push(struct request *rq, struct err *e)
{
	const char *tag = request_query(rq, "tag"), *auth = request_header(rq, "X-Registry-Auth"), *named = str_empty(tag) ? rq->args[0] : arena_printf(&rq->mem, "%s:%s", rq->args[0], tag);
	if (!named)
		return err_nomem(e);
	try(route_image_fits(rq, "platform", 46, named, e));
	struct work *w = work_new(e);
	if (!w)
		return -ENOMEM;
	w->pull.reference = arena_dup(&w->mem, named);
	w->pull.auth = arena_dup(&w->mem, auth ? auth : "");
	int r = w->mem.bad ? err_nomem(e) : op_image_push_check(rq->core, w->pull.reference, &w->mem, e);
	if (r < 0) {
		work_done(w);
		return r;
	}
	return work_start(rq, run_push, w, e);
}

static void save_run(void *arg, int sock)
{
	struct work *w = arg;
	const struct image_stream s = {.cancel = sock};
	w->r = op_image_save(w->rq->core, &w->names, sock, &s, &w->mem, &w->e);
}

static int save(struct request *rq, const struct strv *names, struct err *e)
{
	for (size_t i = 0; i < names->n; i++)
		try(route_image_fits(rq, "platform", 48, names->v[i], e));
	struct work *w = work_new(e);
	if (!w)
		return -ENOMEM;
	w->rq = rq;
	w->names = strv_copy(&w->mem, names);
	int r = w->mem.bad ? err_nomem(e) : op_image_save_check(rq->core, &w->names, &w->mem, e);
	if (r < 0) {
		work_done(w);
		return r;
	}
	return reply_push_unless(rq, "application/x-tar", save_run, work_early, work_done, w, e);
}

static int save_one(struct request *rq, struct err *e)
{
	const char *name = rq->args[0];
	return save(rq, &(struct strv){.v = &name, .n = 1}, e);
}

static int save_many(struct request *rq, struct err *e)
{
	struct strv names = {0};
	if (request_list(rq, "names", &names) < 0)
		return err_nomem(e);
	if (!names.n)
		return err_as(e, ERR_INVALID, "no image was named");
	return save(rq, &names, e);
}

static int commit(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct strv changes = {0};
	char id[ID_TEXT];
	try(request_json(rq, &body, e));
	if (request_list(rq, "changes", &changes) < 0)
		return err_nomem(e);
	const struct image_commit q = {
		.container = request_query(rq, "container"), .repo = request_query(rq, "repo"), .tag = request_query(rq, "tag"), .author = request_query(rq, "author"), .message = request_query(rq, "comment"),
		.changes = &changes, .config = json_is_object(body) && json_object_size(body) ? body : NULL, .pause = request_bool(rq, "pause", true),
	};
	if (str_empty(q.container))
		return err_as(e, ERR_INVALID, "no container was named");
	try(op_image_commit(rq->core, &q, id, e));
	return reply_json(rq, 201, json_pack("{s:o}", "Id", json_sprintf("sha256:%s", id)));
}

/* The body is what X-Registry-Auth holds elsewhere. */
static int login(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	try(request_json(rq, &body, e));
	const char *server = json_string_value(json_object_get(body, "serveraddress"));
	OWN(own_free) char *text = json_is_object(body) ? json_text(body) : NULL;
	char *auth = text ? base64_encode(&rq->mem, text, strlen(text), true) : NULL;
	if (!auth)
		return err_as(e, ERR_INVALID, "expected credentials: username, password, serveraddress");
	int r = op_registry_login(rq->core, server ? server : "", auth, rq->fd, e);
	explicit_bzero(auth, strlen(auth));
	explicit_bzero(text, strlen(text));
	if (rq->body.data)
		explicit_bzero(rq->body.data, rq->body.len);
	try(r);
	return reply_json(rq, 200, json_pack("{s:s, s:s}", "Status", "Login Succeeded", "IdentityToken", ""));
}

static int describe(struct request *rq, struct err *e)
{
	const char *auth = request_header(rq, "X-Registry-Auth");
	json_t *about = NULL;
	try(op_registry_describe(rq->core, rq->args[0], auth, rq->fd, &about, e));
	return reply_json(rq, 200, about);
}

#define SEARCH_LIMIT 25 /* when none is given, or 0 */

struct search_filter {
	int8_t official, automated; /* -1: no matter */
	int64_t stars;              /* at least */
};

static int search_switch(const struct filters *f, const char *key, int8_t *out, struct err *e)
{
	*out = -1;
	for (size_t i = 0; i < f->n; i++) {
		const char *v = f->v[i].value;
		if (!streq(f->v[i].key, key))
			continue;
		int8_t on = streq(v, "true") || streq(v, "1");
		if ((!on && !streq(v, "false") && !streq(v, "0")) || (*out >= 0 && *out != on))
			return err_as(e, ERR_INVALID, "invalid filter '%s=[%.100s]'", key, v);
		*out = on;
	}
	return 0;
}

static int search_filter(struct request *rq, struct search_filter *out, struct err *e)
{
	static const char *const known[] = {"is-automated", "is-official", "stars", NULL};
	struct filters f;
	struct search_filter x = {0};
	try(request_filters(rq, known, &f, e));
	try(search_switch(&f, "is-official", &x.official, e));
	try(search_switch(&f, "is-automated", &x.automated, e));
	for (size_t i = 0; i < f.n; i++) {
		char *end;
		if (!streq(f.v[i].key, "stars"))
			continue;
		errno = 0;
		long long v = strtoll(f.v[i].value, &end, 10);
		if (errno || *end || end == f.v[i].value)
			return err_as(e, ERR_INVALID, "invalid filter 'stars=%.100s'", f.v[i].value);
		x.stars = v > x.stars ? v : x.stars;
	}
	*out = x;
	return 0;
}

static bool search_wanted(const struct search_filter *f, const json_t *x)
{
	return (f->official < 0 || f->official == json_is_true(json_object_get(x, "is_official"))) && (f->automated < 0 || f->automated == json_is_true(json_object_get(x, "is_automated"))) &&
	       json_integer_value(json_object_get(x, "star_count")) >= f->stars;
}

static int search(struct request *rq, struct err *e)
{
	const char *term = request_query(rq, "term");
	struct search_filter f = {0};
	int64_t limit;
	OWN(own_json) json_t *found = NULL, *wanted = json_array();
	try(request_int(rq, "limit", SEARCH_LIMIT, &limit, e));
	try(search_filter(rq, &f, e));
	try(op_registry_search(rq->core, term ? term : "", limit ? limit : SEARCH_LIMIT, request_header(rq, "X-Registry-Auth"), rq->fd, &found, e));
	for (size_t i = 0; i < json_array_size(found); i++)
		if (search_wanted(&f, json_array_get(found, i)) && json_array_append(wanted, json_array_get(found, i)) < 0)
			return err_nomem(e);
	return reply_json(rq, 200, STEAL(wanted));
}

const struct route routes_registry[] = {
	{"POST", "/images/{}/push", push, BODY_JSON},
	{"GET", "/images/get", save_many, BODY_JSON},
	{"GET", "/images/search", search, BODY_JSON},
	{"GET", "/images/{}/get", save_one, BODY_JSON},
	{"POST", "/commit", commit, BODY_JSON},
	{"POST", "/auth", login, BODY_JSON},
	{"GET", "/distribution/{}/json", describe, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
