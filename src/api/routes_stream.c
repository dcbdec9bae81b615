/* The long-lived answers: attach, exec start, logs, wait. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/router.h"
#include "base/fd.h"
#include "base/log.h"
#include "engine/journal.h"
#include "model/logging.h"
#include "ops/happen.h"

#define RAW_STREAM "application/vnd.docker.raw-stream"
#define MUX_STREAM "application/vnd.docker.multiplexed-stream"

/* Clients before 1.42 know only the raw type. */
static const char *stream_type(const struct request *rq, bool tty)
{
	return !tty && rq->minor >= 42 ? MUX_STREAM : RAW_STREAM;
}

/* --- attach --- */

struct attaching {
	struct core *core;
	const struct container *c;
	struct engine_attach *at;
	bool in, out, err, logs, stream;
	char *keys;
};

struct log_first {
	struct engine_attach *at; /* NULL: the log is all */
	const struct engine_stream *s;
};

static bool put_log(void *arg, const void *p, size_t n)
{
	const struct log_first *l = arg;
	return l->at ? engine_attach_put(l->at, l->s, p, n) : write_all(l->s->sock, p, n) >= 0;
}

static bool never_idle(void *arg, int fd)
{
	(void)arg;
	(void)fd;
	return false;
}

static void attach_run(void *arg, int sock, const void *early, size_t n)
{
	struct attaching *a = arg;
	struct err e = {0};
	enum engine_stream_end end;
	bool mux = !a->c->spec->config.tty;
	struct engine_stream s = {.sock = sock, .want_stdin = a->in, .want_stdout = a->out, .want_stderr = a->err, .multiplex = mux, .detach_keys = a->keys, .early = early, .early_len = n};
	if (a->logs) {
		struct log_first first = {.at = a->at, .s = &s};
		struct engine_logs o = {.want_stdout = a->out, .want_stderr = a->err, .multiplex = mux, .tail = -1, .journal = streq(a->c->spec->host.log_type, "journald")};
		if (engine_logs(a->core->engine, a->c->id, &o, put_log, never_idle, &first, &e) < 0)
			log_warn("attach: %s", e.msg);
	}
	if (!a->stream)
		return;
	if (engine_attach_run(a->at, &s, &end, &e) < 0)
		log_warn("attach: %s", e.msg);
	else if (end == STREAM_DETACHED)
		event_of_container(a->core, a->c, "detach", NULL, NULL, NULL, NULL);
}

static void attach_done(void *arg)
{
	struct attaching *a = arg;
	engine_attach_close(a->at);
	thing_unref((void *)(uintptr_t)a->c);
	free(a->keys);
	free(a);
}

static int attach(struct request *rq, struct err *e)
{
	struct attaching *a = calloc(1, sizeof(*a));
	const char *keys = request_query(rq, "detachKeys");
	if (!a)
		return err_nomem(e);
	a->core = rq->core;
	a->in = request_bool(rq, "stdin", false);
	a->out = request_bool(rq, "stdout", false);
	a->err = request_bool(rq, "stderr", false);
	a->logs = request_bool(rq, "logs", false);
	a->stream = request_bool(rq, "stream", false);
	a->keys = strdup(keys ? keys : "");
	int r = a->keys ? op_container_get(rq->core, rq->args[0], &a->c, e) : err_nomem(e);
	if (r >= 0 && a->c->state == STATE_PAUSED)
		r = err_as(e, ERR_CONFLICT, "container %s is paused, unpause the container before attach", rq->args[0]);
	if (r >= 0)
		r = engine_detach_keys_check(a->keys, e);
	if (r >= 0 && a->stream)
		r = engine_attach_open(rq->core->engine, a->c, &a->at, e);
	if (r < 0) {
		attach_done(a);
		return r;
	}
	a->in = a->in && a->c->spec->config.open_stdin;
	event_of_container(rq->core, a->c, "attach", NULL, NULL, NULL, NULL);
	return reply_hijack(rq, stream_type(rq, a->c->spec->config.tty), attach_run, attach_done, a);
}

/* --- exec --- */

struct exec_run {
	struct core *core;
	const struct container *c;
	char id[ID_TEXT];
	bool tty, in, out, err;
	int sock;
	const void *early;
	size_t early_len;
};

static bool exec_ready(void *arg, struct engine_stream *s)
{
	const struct exec_run *x = arg;
	s->sock = x->sock;
	s->want_stdin = x->in;
	s->want_stdout = x->out;
	s->want_stderr = x->err;
	s->multiplex = !x->tty;
	s->early = x->early;
	s->early_len = x->early_len;
	return true;
}

/* The head has gone out: an error can only be told in the stream, as dockerd does. */
static void exec_main(void *arg, int sock, const void *early, size_t n)
{
	struct exec_run *x = arg;
	struct err e = {0};
	x->sock = sock;
	x->early = early;
	x->early_len = n;
	if (engine_exec_start(x->core->engine, x->id, x->c, false, exec_ready, x, &e) >= 0)
		return;
	OWN(own_buf) struct buf line = {0};
	buf_printf(&line, "%s\r\n", e.msg);
	if (x->tty) {
		(void)write_all(sock, buf_str(&line), line.len); /* a client that has gone needs no error */
	} else {
		unsigned char head[8] = {1, 0, 0, 0, (unsigned char)(line.len >> 24), (unsigned char)(line.len >> 16), (unsigned char)(line.len >> 8), (unsigned char)line.len};
		if (write_all(sock, head, sizeof(head)) >= 0)
			(void)write_all(sock, buf_str(&line), line.len);
	}
}

static void exec_done(void *arg)
{
	struct exec_run *x = arg;
	thing_unref((void *)(uintptr_t)x->c);
	free(x);
}

static int exec_start(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct exec_info info;
	struct exec_run *x;
	try(request_json(rq, &body, e));
	bool detach = json_is_true(json_object_get(body, "Detach"));
	try(engine_exec_info(rq->core->engine, rq->args[0], &rq->mem, &info, e));
	if (info.started)
		return err_as(e, ERR_CONFLICT, "exec %s has already run", info.id);
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_nomem(e);
	x->core = rq->core;
	STR_COPY(x->id, info.id);
	x->tty = info.spec.tty;
	x->in = info.spec.attach_stdin;
	x->out = info.spec.attach_stdout;
	x->err = info.spec.attach_stderr;
	int r = op_container_get_running(rq->core, info.container, &x->c, e);
	if (r >= 0 && detach)
		r = engine_exec_start(rq->core->engine, x->id, x->c, true, NULL, NULL, e);
	if (r < 0 || detach) {
		exec_done(x);
		return r < 0 ? r : reply_empty(rq, 200);
	}
	return reply_hijack(rq, stream_type(rq, x->tty), exec_main, exec_done, x);
}

/* --- logs --- */

struct reading {
	struct core *core;
	struct engine_logs o;
	char id[ID_TEXT];
	int sock;
	struct arena mem; /* of o.details */
};

static bool logs_put(void *arg, const void *p, size_t n)
{
	return write_all(((const struct reading *)arg)->sock, p, n) >= 0;
}

/* Waits for the log to grow; the other end of the pair hangs up when the client has gone. */
static bool logs_idle(void *arg, int fd)
{
	const struct reading *l = arg;
	struct request rq = {.fd = l->sock};
	return request_wait(&rq, fd, -1) == WAIT_READY;
}

static void logs_run(void *arg, int sock)
{
	struct reading *l = arg;
	struct err e = {0};
	l->sock = sock;
	if (engine_logs(l->core->engine, l->id, &l->o, logs_put, logs_idle, l, &e) < 0)
		log_warn("logs: %s", e.msg);
}

static int read_time(const struct request *rq, const char *key, int64_t *out, struct err *e)
{
	const char *s = request_query(rq, key);
	if (str_empty(s) || streq(s, "0"))
		return 0;
	return time_parse(s, clock_real_ns(), out) < 0 ? err_as(e, ERR_INVALID, "invalid value for \"%s\": %s", key, s) : 0;
}

static int logs_options(const struct request *rq, const struct container *c, struct engine_logs *o, struct err *e)
{
	const char *tail = request_query(rq, "tail");
	*o = (struct engine_logs){.want_stdout = request_bool(rq, "stdout", false), .want_stderr = request_bool(rq, "stderr", false), .timestamps = request_bool(rq, "timestamps", false),
		.follow = request_bool(rq, "follow", false) && container_is_running(c), .multiplex = !c->spec->config.tty, .tail = -1, .journal = streq(c->spec->host.log_type, "journald")};
	if (!o->want_stdout && !o->want_stderr)
		return err_as(e, ERR_INVALID, "Bad parameters: you must choose at least one stream");
	if (streq(c->spec->host.log_type, "none") || (o->journal && !journal_can_read()))
		return err_as(e, ERR_NOT_IMPLEMENTED, "configured logging driver does not support reading");
	if (!str_empty(tail) && !streq(tail, "all")) {
		char *end;
		o->tail = strtoll(tail, &end, 10);
		if (*end || o->tail < 0)
			o->tail = -1; /* as dockerd: what is no number means all */
	}
	try(read_time(rq, "since", &o->since, e));
	return read_time(rq, "until", &o->until, e);
}

static void logs_done(void *arg)
{
	struct reading *l = arg;
	arena_free(&l->mem);
	free(l);
}

static int logs(struct request *rq, struct err *e)
{
	const struct container *c;
	struct reading *l = calloc(1, sizeof(*l));
	if (!l)
		return err_nomem(e);
	int r = op_container_get(rq->core, rq->args[0], &c, e);
	if (r < 0) {
		free(l);
		return r;
	}
	l->core = rq->core;
	STR_COPY(l->id, c->id);
	r = logs_options(rq, c, &l->o, e);
	if (r >= 0 && request_bool(rq, "details", false))
		l->o.details = log_details(c->spec, &l->mem);
	const char *type = stream_type(rq, c->spec->config.tty);
	thing_unref((void *)(uintptr_t)c);
	if (r < 0) {
		free(l);
		return r;
	}
	return reply_push(rq, type, logs_run, logs_done, l);
}

/* --- wait --- */

struct waiting {
	struct request *rq;
	struct waiter *w;
	bool told;
};

static ssize_t wait_read(void *arg, char *buf, size_t max)
{
	struct waiting *w = arg;
	int64_t code;
	if (w->told)
		return 0;
	while (!waiter_result(w->w, &code))
		if (reply_wait(w->rq, waiter_fd(w->w), -1) != WAIT_READY)
			return -1; /* at the daemon's end too: there is no answer */
	w->told = true;
	OWN(own_json) json_t *j = json_pack("{s:I}", "StatusCode", (json_int_t)code);
	if (j && w->rq->minor < 42)
		json_object_set_new(j, "Error", json_null());
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	if (!text || strlen(text) + 1 > max)
		return -1;
	return snprintf(buf, max, "%s\n", text);
}

static void wait_done(void *arg)
{
	struct waiting *w = arg;
	waiter_close(w->rq->core, w->w);
	free(w);
}

static int wait_for(struct request *rq, struct err *e)
{
	enum wait_condition cond;
	try(wait_condition_parse(request_query(rq, "condition"), &cond, e));
	struct waiting *w = calloc(1, sizeof(*w));
	if (!w)
		return err_nomem(e);
	w->rq = rq;
	int r = waiter_open(rq->core, rq->args[0], cond, &w->w, e);
	if (r < 0) {
		free(w);
		return r;
	}
	return reply_pull(rq, "application/json", wait_read, wait_done, w);
}

const struct route routes_stream[] = {
	{"POST", "/containers/{}/attach", attach, BODY_JSON},
	{"POST", "/containers/{}/wait", wait_for, BODY_JSON},
	{"GET", "/containers/{}/logs", logs, BODY_JSON},
	{"POST", "/exec/{}/start", exec_start, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
