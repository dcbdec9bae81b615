/* Theory of operation
 *
 * A blob goes through: asked for (HEAD), maybe mounted from another repository or begun (POST), sent (PATCH), ended with its digest (PUT). Several are on their way at once; each
 * answer of the fetcher leads to the next step (step). When the connection breaks while a blob is sent, the registry is asked how much it has (GET of the upload's
 * address) and the rest follows. */
#include <errno.h>

#include "image/push_int.h"
#include "image/answer.h"

#define TRIES 4

enum up_state { UP_WAITING, UP_ASKED, UP_BEGUN, UP_SENT, UP_LOOKED, UP_ENDED, UP_DONE };

struct up {
	struct push_blob *b;
	enum up_state state;
	int64_t errand;
	const char *location;
	int64_t offset;
	int tries;
};

struct ups {
	struct pushing *p;
	struct up *v;
	size_t n, running;
};

int pushing_refused(const struct outcome *o, const char *what, struct err *e)
{
	const char *said = *o->message ? o->message : "the registry does not say why";
	if (streq(o->code, "DENIED") || o->status == 403)
		return err_set(e, -EACCES, "denied: %s", said);
	if (streq(o->code, "UNAUTHORIZED"))
		return err_set(e, -EACCES, "unauthorized: %s", said);
	return err_set(e, -EIO, "%s: the registry answered with status %lld%s%s: %s", what, (long long)o->status, *o->code ? " " : "", o->code, said);
}

static int say(struct ups *s, const struct up *u, const char *status, int64_t current, struct err *e)
{
	const struct job_progress p = {.status = status, .id = u->b->id, .total = u->b->size};
	return u->b->layer ? job_line(s->p->job, &p, current, e) : 0;
}

static int go(struct ups *s, struct up *u, enum up_state state, struct errand m, bool with_file, struct err *e)
{
	m.accept = m.accept ? m.accept : "";
	m.type = m.type ? m.type : "";
	if (!m.url)
		return err_nomem(e);
	try(registry_send(s->p->push->registry, &m, with_file ? u->b->fd : -1, e));
	u->state = state;
	u->errand = m.id;
	return 0;
}

static const char *blobs_url(struct ups *s, const char *tail)
{
	return arena_printf(&s->p->arena, "/v2/%s/blobs/%s", s->p->push->ref.path, tail);
}

static int ask(struct ups *s, struct up *u, struct err *e)
{
	return go(s, u, UP_ASKED, (struct errand){.method = ERRAND_HEAD, .url = blobs_url(s, u->b->digest), .resume = true}, false, e);
}

static int begin(struct ups *s, struct up *u, struct err *e)
{
	const char *from = u->b->layer && u->b->layer->from && u->tries == 0 ? u->b->layer->from : "";
	const char *url = blobs_url(s, *from ? arena_printf(&s->p->arena, "uploads/?mount=%s&from=%s", u->b->digest, from) : "uploads/");
	return go(s, u, UP_BEGUN, (struct errand){.method = ERRAND_POST, .url = url}, false, e);
}

static int send_it(struct ups *s, struct up *u, struct err *e)
{
	try(say(s, u, "Pushing", u->offset, e));
	const struct errand m = {.method = ERRAND_PATCH, .url = u->location, .type = "application/octet-stream", .offset = u->offset, .length = (int64_t)u->b->size - u->offset};
	return go(s, u, UP_SENT, m, true, e);
}

static int end_it(struct ups *s, struct up *u, struct err *e)
{
	const char *url = arena_printf(&s->p->arena, "%s%cdigest=sha256%%3A%s", u->location, strchr(u->location, '?') ? '&' : '?', digest_hex(u->b->digest));
	return go(s, u, UP_ENDED, (struct errand){.method = ERRAND_PUT, .url = url, .type = "application/octet-stream"}, false, e);
}

static int done(struct ups *s, struct up *u, const char *status, struct err *e)
{
	u->state = UP_DONE;
	s->running--;
	if (map_puts(&s->p->sent, u->b->digest, u->b) < 0)
		return err_nomem(e);
	return say(s, u, status, -1, e);
}

static int keep_location(struct ups *s, struct up *u, const struct outcome *o, struct err *e)
{
	if (!*o->location)
		return u->location ? 0 : err_as(e, ERR_INVALID, "the registry does not say where to send a blob (no Location)");
	u->location = arena_dup(&s->p->arena, o->location);
	return u->location ? 0 : err_nomem(e);
}

/* The connection broke, or the registry stumbled, while the blob was sent. */
static int recover(struct ups *s, struct up *u, const struct outcome *o, struct err *e)
{
	bool hopeless = o->unauthorized || o->no_space || (o->status >= 400 && o->status < 500 && o->status != 416 && o->status != 408 && o->status != 429);
	if (hopeless || ++u->tries == TRIES)
		return o->status ? pushing_refused(o, u->b->digest, e) : outcome_failed(o, e);
	try(say(s, u, "Retrying", -1, e));
	return go(s, u, UP_LOOKED, (struct errand){.method = ERRAND_GET, .url = u->location, .resume = true}, false, e);
}

static int looked(struct ups *s, struct up *u, const struct outcome *o, struct err *e)
{
	uint64_t have = 0;
	if (o->status >= 300 || o->status == 0 || !*o->range || answer_upload_range(o->range, &have, NULL) < 0 || have > u->b->size) {
		u->offset = 0; /* the upload is gone */
		u->location = NULL;
		return begin(s, u, e);
	}
	try(keep_location(s, u, o, e));
	u->offset = (int64_t)have;
	return have == u->b->size ? end_it(s, u, e) : send_it(s, u, e);
}

static int step(struct ups *s, struct up *u, const struct outcome *o, struct err *e)
{
	bool good = o->status >= 200 && o->status < 300;
	switch (u->state) {
	case UP_ASKED:
		try(outcome_failed(o, e));
		if (good)
			return done(s, u, "Layer already exists", e);
		return o->status == 404 ? begin(s, u, e) : pushing_refused(o, u->b->digest, e);
	case UP_BEGUN:
		try(outcome_failed(o, e));
		if (o->status == 201)
			return done(s, u, arena_printf(&s->p->arena, "Mounted from %s", u->b->layer && u->b->layer->from ? u->b->layer->from : ""), e);
		if (!good)
			return pushing_refused(o, u->b->digest, e);
		try(keep_location(s, u, o, e));
		return send_it(s, u, e);
	case UP_SENT:
		if (!good)
			return recover(s, u, o, e);
		try(keep_location(s, u, o, e));
		return end_it(s, u, e);
	case UP_LOOKED:
		return looked(s, u, o, e);
	case UP_ENDED:
		if (!good)
			return recover(s, u, o, e);
		if (*o->digest && !streq(o->digest, u->b->digest))
			return err_as(e, ERR_INVALID, "the registry stored %s as %.100s", u->b->digest, o->digest);
		return done(s, u, "Pushed", e);
	case UP_WAITING:
	case UP_DONE:
		break;
	}
	return 0;
}

static int take(struct ups *s, const struct outcome *o, struct err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		struct up *u = &s->v[i];
		if (u->state == UP_WAITING || u->state == UP_DONE || u->errand != o->id)
			continue;
		if (o->done)
			return step(s, u, o, e);
		return u->state == UP_SENT && !*o->note ? say(s, u, "Pushing", u->offset + o->sent, e) : 0;
	}
	return 0;
}

static int run(struct ups *s, struct err *e)
{
	int64_t most = s->p->push->request->registry.parallel;
	most = most <= 0 ? REQUEST_PARALLEL : most > FETCHER_ACTIVE ? FETCHER_ACTIVE : most;
	for (size_t next = 0;;) {
		OWN(own_arena) struct arena a = {};
		struct outcome o;
		for (; next < s->n && s->running < (size_t)most; next++) {
			if (s->v[next].state == UP_DONE)
				continue;
			s->running++;
			try(ask(s, &s->v[next], e));
		}
		if (s->running == 0)
			return 0;
		int r = registry_next(s->p->push->registry, -1, &a, &o, e);
		try(r);
		if (r > 0)
			try(take(s, &o, e));
	}
}

int pushing_blobs(struct pushing *p, struct push_blob *v, size_t n, struct err *e)
{
	struct ups s = {.p = p, .n = n, .v = arena_new(&p->arena, struct up, n + 1)};
	if (!s.v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		bool repeated = map_gets(&p->sent, v[i].digest);
		for (size_t k = 0; k < i && !repeated; k++)
			repeated = streq(v[k].digest, v[i].digest);
		s.v[i] = (struct up){.b = &v[i], .state = repeated ? UP_DONE : UP_WAITING};
		if (repeated)
			try(say(&s, &s.v[i], "Layer already exists", -1, e));
	}
	return run(&s, e);
}
