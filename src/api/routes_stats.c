/* GET /containers/{}/stats. One object a second while the client reads; the CPU's former values stand beside the present ones, so that a client can divide. */
#include <errno.h>
#include <stdlib.h>

#include "api/router.h"
#include "engine/stats.h"
#include "net/want.h"

#define PERIOD_MS 1000

struct sampling {
	struct request *rq;
	char id[ID_TEXT];
	json_t *last; /* the sample before, for precpu_stats */
	bool sent;
	int64_t next; /* monotonic ns of the next sample */
	struct buf ready;
};

static int take(struct core *c, const char *id, struct arena *a, json_t **out, struct err *e)
{
	struct netconf conf = c->conf->net;
	const struct container *ct;
	try(op_container_get(c, id, &ct, e));
	const char *netns = want_has_sandbox(ct) ? want_netns_path(&conf, id, a) : NULL;
	int r = -ESRCH;
	if (container_is_running(ct))
		r = engine_stats(c->engine, ct, netns, out, NULL);
	if (r < 0) /* not running, or ending at this moment */
		*out = engine_stats_none();
	if (*out) {
		json_object_set_new(*out, "name", json_sprintf("/%s", ct->name));
		json_object_set_new(*out, "id", json_string(ct->id));
	}
	thing_unref((void *)(uintptr_t)ct);
	return *out ? 0 : err_nomem(e);
}

/* A sample with the one before it, as text. */
static int add_sample(struct sampling *s, bool tell, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	json_t *now = NULL;
	char never[TIME_TEXT];
	try(take(s->rq->core, s->id, &a, &now, e));
	json_object_set_new(now, "preread", s->last ? json_incref(json_object_get(s->last, "read")) : json_string(time_format(0, never)));
	json_object_set_new(now, "precpu_stats", s->last ? json_incref(json_object_get(s->last, "cpu_stats")) : engine_stats_no_cpu());
	json_decref(s->last);
	s->last = now;
	if (!tell)
		return 0;
	OWN(own_free) char *text = json_text(now);
	if (!text)
		return err_nomem(e);
	buf_puts(&s->ready, text);
	buf_putc(&s->ready, '\n');
	return s->ready.bad ? err_nomem(e) : 0;
}

/* False: the client has gone, or the daemon ends. */
static bool wait_next(struct sampling *s)
{
	int64_t now = clock_mono_ns();
	if (!s->next)
		s->next = now;
	s->next += (int64_t)PERIOD_MS * 1000000;
	if (s->next < now)
		s->next = now; /* a slow reader gets no samples in a hurry */
	return reply_wait(s->rq, -1, (int)((s->next - now) / 1000000)) == WAIT_TIME;
}

static ssize_t read_stream(void *arg, char *buf, size_t max)
{
	struct sampling *s = arg;
	if (!s->ready.len) {
		if ((s->sent && !wait_next(s)) || add_sample(s, true, NULL) < 0)
			return s->sent ? 0 : -1;
		s->sent = true;
		if (!s->next)
			s->next = clock_mono_ns();
	}
	size_t n = s->ready.len < max ? s->ready.len : max;
	memcpy(buf, s->ready.data, n);
	buf_drop(&s->ready, n);
	return (ssize_t)n;
}

static void done(void *arg)
{
	struct sampling *s = arg;
	json_decref(s->last);
	buf_free(&s->ready);
	free(s);
}

/* Two samples a second apart, or one. */
static int answer_once(struct sampling *s, bool one_shot, struct err *e)
{
	int r = 0;
	const struct container *ct;
	try(op_container_get(s->rq->core, s->id, &ct, e));
	bool pair = !one_shot && container_is_running(ct);
	thing_unref((void *)(uintptr_t)ct);
	if (pair) {
		r = add_sample(s, false, e);
		if (r >= 0 && !wait_next(s))
			r = err_set(e, -EPIPE, "the client has gone, or the daemon ends");
	}
	if (r >= 0)
		r = add_sample(s, false, e);
	return r < 0 ? r : reply_json(s->rq, 200, json_incref(s->last));
}

static int stats(struct request *rq, struct err *e)
{
	bool stream = request_bool(rq, "stream", true), one_shot = request_bool(rq, "one-shot", false);
	const struct container *ct;
	if (stream && one_shot)
		return err_as(e, ERR_INVALID, "cannot have stream=true and one-shot=true");
	try(op_container_get(rq->core, rq->args[0], &ct, e));
	struct sampling *s = calloc(1, sizeof(*s));
	if (s) {
		s->rq = rq;
		STR_COPY(s->id, ct->id);
	}
	thing_unref((void *)(uintptr_t)ct);
	if (!s)
		return err_nomem(e);
	if (stream)
		return reply_pull(rq, "application/json", read_stream, done, s);
	int r = answer_once(s, one_shot, e);
	done(s);
	return r;
}

const struct route routes_stats[] = {
	{"GET", "/containers/{}/stats", stats, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
