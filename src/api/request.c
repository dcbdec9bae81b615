#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/server.h"
#include "base/mem.h"

const char *request_query(const struct request *rq, const char *key)
{
	return MHD_lookup_connection_value(rq->conn, MHD_GET_ARGUMENT_KIND, key);
}

bool request_bool(const struct request *rq, const char *key, bool fallback)
{
	static const char *const no[] = {"", "0", "no", "false", "none"};
	const char *s = request_query(rq, key);
	if (!s)
		return fallback;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (strcasecmp(s, no[i]) == 0)
			return false;
	return true;
}

int request_int(const struct request *rq, const char *key, int64_t fallback, int64_t *out, struct err *e)
{
	const char *s = request_query(rq, key);
	char *end;
	if (str_empty(s)) {
		*out = fallback;
		return 0;
	}
	errno = 0;
	long long v = strtoll(s, &end, 10);
	if (errno || *end)
		return err_as(e, ERR_INVALID, "bad parameter %s=%s: expected a number", key, s);
	*out = v;
	return 0;
}

struct list_query {
	struct request *rq;
	const char *key;
	struct strv *out;
	int r;
};

static enum MHD_Result list_one(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct list_query *q = cls;
	(void)kind;
	if (streq(key, q->key))
		q->r = strv_add(&q->rq->mem, q->out, value ? value : "");
	return q->r < 0 ? MHD_NO : MHD_YES;
}

int request_list(struct request *rq, const char *key, struct strv *out)
{
	struct list_query q = {.rq = rq, .key = key, .out = out};
	MHD_get_connection_values(rq->conn, MHD_GET_ARGUMENT_KIND, list_one, &q);
	return q.r;
}

int request_platform(struct request *rq, const char *key, int since, const char **out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	const char *text = request_query(rq, key);
	*out = "";
	if (rq->minor < since || str_empty(text))
		return 0;
	if (json_parse(text, strlen(text), &j, e) < 0)
		return err_ctx(e, "failed to parse platform");
	const char *os = json_string_value(json_object_get(j, "os")), *arch = json_string_value(json_object_get(j, "architecture")), *variant = json_string_value(json_object_get(j, "variant"));
	if (str_empty(os) || str_empty(arch))
		return err_as(e, ERR_INVALID, "both OS and Architecture must be provided");
	*out = arena_printf(&rq->mem, "%s/%s%s%s", os, arch, str_empty(variant) ? "" : "/", variant ? variant : "");
	return *out ? 0 : err_nomem(e);
}

const char *request_header(const struct request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

int request_json(struct request *rq, json_t **out, struct err *e)
{
	const char *type = request_header(rq, "Content-Type");
	if (rq->body.len == 0) {
		*out = NULL;
		return 0;
	}
	if (!type || strncasecmp(type, "application/json", strlen("application/json")) != 0)
		return err_as(e, ERR_INVALID, "unsupported Content-Type header (%s): must be 'application/json'", type ? type : "");
	return json_parse(rq->body.data, rq->body.len, out, e);
}

/* Room doubles: a head holds thousands of values. */
static int filter_add(struct request *rq, struct filters *f, const char *key, const char *value)
{
	if ((f->n & (f->n - 1)) == 0) { /* 0, 1, 2, 4, ...: full */
		struct filter *v = arena_new(&rq->mem, struct filter, f->n ? f->n * 2 : 1);
		if (!v)
			return -ENOMEM;
		if (f->n)
			memcpy(v, f->v, f->n * sizeof(*v));
		f->v = v;
	}
	f->v[f->n++] = (struct filter){.key = arena_dup(&rq->mem, key), .value = arena_dup(&rq->mem, value)};
	return rq->mem.bad ? -ENOMEM : 0;
}

static int filter_values(struct request *rq, const char *key, json_t *values, struct filters *f, struct err *e)
{
	const char *name;
	json_t *v;
	size_t i;
	int r = 0;
	if (json_is_object(values)) { /* {"a=b":true} */
		json_object_foreach(values, name, v)
		{
			if (r >= 0 && json_is_true(v))
				r = filter_add(rq, f, key, name);
		}
	} else if (json_is_array(values)) { /* ["a=b"] */
		json_array_foreach(values, i, v)
		{
			if (!json_is_string(v))
				return err_as(e, ERR_INVALID, "invalid filter '%s'", key);
			if (r >= 0)
				r = filter_add(rq, f, key, json_string_value(v));
		}
	} else {
		return err_as(e, ERR_INVALID, "invalid filter '%s'", key);
	}
	return r < 0 ? err_nomem(e) : 0;
}

int request_filters(struct request *rq, const char *const *known, struct filters *out, struct err *e)
{
	const char *text = request_query(rq, "filters");
	OWN(own_json) json_t *j = NULL;
	*out = (struct filters){0};
	if (str_empty(text))
		return 0;
	try(json_parse(text, strlen(text), &j, e));
	if (!json_is_object(j))
		return err_as(e, ERR_INVALID, "invalid filters: expected an object");
	const char *key;
	json_t *values;
	json_object_foreach(j, key, values)
	{
		size_t i = 0;
		while (known[i] && !streq(known[i], key))
			i++;
		if (!known[i])
			return err_as(e, ERR_INVALID, "invalid filter '%s'", key);
		try(filter_values(rq, key, values, out, e));
	}
	return 0;
}

int request_prune_filters(struct request *rq, const char *const *known, struct kvs *labels, int64_t *until, struct err *e)
{
	struct filters f;
	try(request_filters(rq, known, &f, e));
	struct kv *v = arena_new(&rq->mem, struct kv, f.n + 1);
	if (!v)
		return err_nomem(e);
	*labels = (struct kvs){.v = v};
	*until = 0;
	for (size_t i = 0; i < f.n; i++) {
		if (!streq(f.v[i].key, "until"))
			v[labels->n++] = (struct kv){f.v[i].key, f.v[i].value};
		else if (time_parse(f.v[i].value, clock_real_ns(), until) < 0)
			return err_as(e, ERR_INVALID, "failed to parse value as time or duration: \"%.100s\"", f.v[i].value);
	}
	return 0;
}

bool filters_have(const struct filters *f, const char *key)
{
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, key))
			return true;
	return false;
}

bool filters_match(const struct filters *f, const char *key, const char *value)
{
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, key) && streq(f->v[i].value, value))
			return true;
	return !filters_have(f, key);
}

bool filters_match_labels(const struct filters *f, const struct kvs *labels)
{
	for (size_t i = 0; i < f->n; i++) {
		if (!streq(f->v[i].key, "label"))
			continue;
		const char *term = f->v[i].value, *eq = strchr(term, '=');
		bool found = false;
		for (size_t k = 0; k < labels->n && !found; k++) {
			size_t len = strlen(labels->v[k].key);
			found = eq ? len == (size_t)(eq - term) && strncmp(labels->v[k].key, term, len) == 0 && streq(labels->v[k].value, eq + 1)
				   : streq(labels->v[k].key, term);
		}
		if (!found)
			return false;
	}
	return true;
}

enum wait_end request_wait_or(const struct request *rq, int fd, int end, int ms)
{
	/* POLLHUP and POLLERR always come. Over TCP a client that has gone is seen as one that sends no more; one that only closed its half is ended too, as by dockerd. */
	short gone = rq->tcp ? POLLRDHUP : 0;
	struct pollfd p[3] = {{.fd = fd, .events = POLLIN}, {.fd = rq->fd, .events = gone}, {.fd = end, .events = POLLIN}};
	for (;;) {
		int r = mem_poll(p, 3, ms);
		if (r == 0)
			return WAIT_TIME;
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 || (p[1].revents & (POLLHUP | POLLERR | POLLNVAL | gone)))
			return WAIT_GONE;
		if (p[0].revents)
			return WAIT_READY;
		if (p[2].revents)
			return WAIT_END;
	}
}

enum wait_end request_wait(const struct request *rq, int fd, int ms)
{
	return request_wait_or(rq, fd, -1, ms);
}
