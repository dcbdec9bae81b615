#include <errno.h>
#include <sys/eventfd.h>

#include "api/router.h"
#include "api/view.h"

static struct view view_of(const struct request *rq)
{
	return (struct view){.core = rq->core, .minor = rq->minor, .now = clock_real_ns()};
}

static int ping(struct request *rq, struct err *e)
{
	static const char *const headers[] = {"Builder-Version", "1", "Swarm", "inactive", "Cache-Control", "no-cache, no-store, must-revalidate", "Pragma", "no-cache", NULL};
	(void)e;
	return reply_text(rq, 200, "text/plain; charset=utf-8", "OK", headers);
}

static int version(struct request *rq, struct err *e)
{
	struct view v = view_of(rq);
	(void)e;
	return reply_json(rq, 200, view_version(&v, &rq->mem));
}

static int info(struct request *rq, struct err *e)
{
	struct view v = view_of(rq);
	(void)e;
	json_t *j = view_info(&v, core_read(rq->core), &rq->mem);
	core_read_end(rq->core);
	return reply_json(rq, 200, j);
}

struct watching {
	struct request *rq;
	struct events_sub *sub;
	struct filters filters;
	int64_t until; /* INT64_MAX: no end */
	struct buf ready; /* text not yet given */
};

/* One of the key's values begins the text, or none is given. */
static bool begins(const struct filters *f, const char *key, const char *text)
{
	bool asked = false;
	for (size_t i = 0; i < f->n; i++) {
		if (!streq(f->v[i].key, key))
			continue;
		asked = true;
		if (*f->v[i].value && str_starts(text, f->v[i].value))
			return true;
	}
	return !asked;
}

/* "exec_create: sh -c x" is an exec_create, "health_status: healthy" a health_status. */
static bool action_matches(const struct filters *f, const char *action)
{
	size_t n = strcspn(action, ":");
	if (filters_match(f, "event", action))
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, "event") && action[n] && strlen(f->v[i].value) == n && strncmp(f->v[i].value, action, n) == 0)
			return true;
	return false;
}

/* Of an image: what it is called with or without its tag, or its id. */
static bool image_matches(const struct filters *f, const struct event *ev)
{
	const char *name = kvs_get(&ev->attributes, streq(ev->type, "image") ? "name" : "image");
	if (!filters_have(f, "image"))
		return true;
	for (size_t i = 0; i < f->n; i++) {
		const char *v = f->v[i].value;
		size_t n = strlen(v);
		if (streq(f->v[i].key, "image") && ((name && strncmp(name, v, n) == 0 && (!name[n] || name[n] == ':')) || (streq(ev->type, "image") && streq(ev->id, v))))
			return true;
	}
	return false;
}

/* What names a thing of a type lets through only events of that type. */
static bool thing_matches(const struct filters *f, const struct event *ev)
{
	static const char *const types[] = {"container", "network", "volume", "daemon", "plugin", "service", "node", "secret", "config"};
	const char *name = kvs_get(&ev->attributes, "name");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (filters_have(f, types[i]) && !(streq(ev->type, types[i]) && (begins(f, types[i], ev->id) || begins(f, types[i], name ? name : ""))))
			return false;
	return true;
}

static bool event_matches(const struct filters *f, const struct event *ev)
{
	return filters_match(f, "type", ev->type) && filters_match(f, "scope", "local") && action_matches(f, ev->action) && filters_match_labels(f, &ev->attributes) && thing_matches(f, ev) && image_matches(f, ev);
}

/* 1: a line is ready, 0: none waits, -1: no more can come */
static int next_line(struct watching *w)
{
	OWN(arena_free) struct arena a = {0};
	struct view v = view_of(w->rq);
	struct event ev;
	int r;
	while ((r = events_next(w->sub, &a, &ev)) == 1) {
		if (ev.time > w->until)
			return -1;
		if (!event_matches(&w->filters, &ev))
			continue;
		OWN(own_json) json_t *j = view_event(&v, &ev);
		OWN(own_free) char *text = j ? json_text(j) : NULL;
		if (!text)
			return -1;
		buf_printf(&w->ready, "%s\n", text);
		return 1;
	}
	return r;
}

static ssize_t events_read(void *arg, char *buf, size_t max)
{
	struct watching *w = arg;
	while (!w->ready.len) {
		int r = next_line(w);
		if (r < 0)
			return 0;
		if (r == 1)
			break;
		bool ends = w->until < INT64_MAX;
		int64_t left = ends ? (w->until - clock_real_ns()) / 1000000 : -1;
		if (ends && left <= 0)
			return 0;
		enum wait_end end = reply_wait(w->rq, events_fd(w->sub), left > INT32_MAX ? INT32_MAX : (int)left);
		if (end == WAIT_GONE || end == WAIT_END)
			return end == WAIT_END ? 0 : -1;
	}
	size_t n = w->ready.len < max ? w->ready.len : max;
	memcpy(buf, w->ready.data, n);
	buf_drop(&w->ready, n);
	return (ssize_t)n;
}

static void events_done(void *arg)
{
	struct watching *w = arg;
	events_unsubscribe(w->sub);
	buf_free(&w->ready);
	free(w);
}

static int read_time(const struct request *rq, const char *key, int64_t absent, int64_t *out, struct err *e)
{
	const char *s = request_query(rq, key);
	if (str_empty(s) || streq(s, "0")) {
		*out = str_empty(s) ? absent : 0;
		return 0;
	}
	return time_parse(s, clock_real_ns(), out) < 0 ? err_as(e, ERR_INVALID, "invalid value for %s: %s", key, s) : 0;
}

static int events(struct request *rq, struct err *e)
{
	static const char *const known[] = {"container", "daemon", "event", "image", "label", "network", "type", "volume", "scope", "plugin", "service", "node", "secret", "config", NULL};
	int64_t since;
	struct watching *w = calloc(1, sizeof(*w));
	if (!w)
		return err_nomem(e);
	w->rq = rq;
	int r = read_time(rq, "since", 0, &since, e);
	if (r >= 0)
		r = read_time(rq, "until", INT64_MAX, &w->until, e);
	if (r >= 0 && w->until < since)
		r = err_as(e, ERR_INVALID, "`since` time (%s) cannot be after `until` time (%s)", request_query(rq, "since"), request_query(rq, "until"));
	if (r >= 0)
		r = request_filters(rq, known, &w->filters, e);
	if (!since && (request_query(rq, "since") || request_query(rq, "until")))
		since = 1; /* ns, no event is older: only who asks for no time at all gets the new ones alone */
	if (r >= 0)
		r = events_subscribe(rq->core->events, since, &w->sub, e);
	if (r < 0) {
		free(w);
		return r;
	}
	return reply_pull(rq, "application/json", events_read, events_done, w);
}

static int doctor(struct request *rq, struct err *e)
{
	struct difference *d;
	size_t n;
	bool repair = streq(rq->method, "POST") && request_bool(rq, "repair", false);
	try(op_doctor(rq->core, repair, &rq->mem, &d, &n, e));
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Unit", d[i].unit, "Kind", d[i].kind, "Object", d[i].object, "Want", d[i].want, "Have", d[i].have));
	return reply_json(rq, 200, json_pack("{s:b, s:o}", "Repaired", repair, "Differences", list));
}

static json_t *exposure_row(const struct exposure *x)
{
	char host[IP_TEXT], ip[IP_TEXT];
	const struct port *p = &x->port;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:i, s:s, s:s, s:s}", "Container", x->container, "ID", x->id, "Network", x->network,
		"Protocol", port_proto_name(p->proto), "HostIP", ip_format(&p->host_ip, host), "HostPort", (int)p->host_port, "Count", (int)p->count, "IP", ip_format(&p->ip, ip), "Port",
		(int)p->port, "Scope", port_scope_name(p->scope), "From", x->from, "DecidedBy", x->decider);
}

static int exposure(struct request *rq, struct err *e)
{
	struct exposure *v;
	size_t n;
	try(op_exposure(rq->core, &rq->mem, &v, &n, e));
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, exposure_row(&v[i]));
	return reply_json(rq, 200, list);
}

const struct route routes_system[] = {
	{"GET", "/_ping", ping, BODY_JSON},
	{"GET", "/version", version, BODY_JSON},
	{"GET", "/info", info, BODY_JSON},
	{"GET", "/events", events, BODY_JSON},
	{"GET", "/pontoon/doctor", doctor, BODY_JSON},
	{"POST", "/pontoon/doctor", doctor, BODY_JSON},
	{"GET", "/pontoon/exposure", exposure, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
