#include "api/routes_registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	struct image_pull pull;
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
	if (w->r < 0)
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
