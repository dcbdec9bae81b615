#include <errno.h>
#include <limits.h>

#include "api/router.h"
#include "api/view.h"
#include "model/mounts.h"

static struct view view_of(const struct request *rq)
{
	return (struct view){.core = rq->core, .minor = rq->minor, .now = clock_real_ns()};
}

static bool status_matches(const struct filters *f, const struct container *c)
{
	return filters_match(f, "status", container_state_name(c->state));
}

static bool state_is_known(const char *s)
{
	for (int k = 0; k < STATE_N; k++)
		if (streq(s, container_state_name((enum container_state)k)))
			return true;
	return false;
}

/* name filters match anywhere in the name, ids by their beginning. */
static bool name_matches(const struct filters *f, const struct container *c)
{
	bool asked_name = false, asked_id = false, name = false, id = false;
	for (size_t i = 0; i < f->n; i++) {
		const char *v = f->v[i].value;
		if (streq(f->v[i].key, "name")) {
			asked_name = true;
			if (*v == '^')
				v++;
			if (*v == '/')
				v++;
			size_t n = strlen(v);
			bool end = n && v[n - 1] == '$', start = f->v[i].value[0] == '^';
			name |= start && end ? strlen(c->name) == n - 1 && strncmp(c->name, v, n - 1) == 0 : start ? strncmp(c->name, v, n) == 0 : strstr(c->name, v) != NULL;
		}
		if (streq(f->v[i].key, "id")) {
			asked_id = true;
			id |= str_starts(c->id, v);
		}
	}
	return (!asked_name || name) && (!asked_id || id);
}

static bool ancestor_matches(const struct filters *f, const struct world *w, const struct container *c)
{
	const struct image *img;
	if (!filters_have(f, "ancestor"))
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, "ancestor") && world_find_image(w, f->v[i].value, &img, NULL) >= 0 && streq(img->id, c->image))
			return true;
	return false;
}

static bool network_matches(const struct filters *f, const struct world *w, const struct container *c)
{
	const struct network *n;
	if (!filters_have(f, "network"))
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, "network") && world_find_network(w, f->v[i].value, &n, NULL) >= 0 && world_endpoint(w, c->id, n->id))
			return true;
	return false;
}

/* before and since name a container: those made earlier or later than it. */
static bool age_matches(const struct filters *f, const struct world *w, const struct container *c)
{
	const struct container *other;
	for (size_t i = 0; i < f->n; i++) {
		bool before = streq(f->v[i].key, "before"), since = streq(f->v[i].key, "since");
		if ((before || since) && world_find_container(w, f->v[i].value, &other, NULL) >= 0 && (before ? c->seq >= other->seq : c->seq <= other->seq))
			return false;
	}
	return true;
}

static bool exited_matches(const struct filters *f, const struct container *c)
{
	if (!filters_have(f, "exited"))
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->v[i].key, "exited") && c->state == STATE_EXITED && atoi(f->v[i].value) == c->exit_code)
			return true;
	return false;
}

/* A volume's name or the place where it is mounted. */
static bool volume_matches(const struct filters *f, const struct container *c)
{
	const struct mount_point *m = c->spec->mount_points.v;
	if (!filters_have(f, "volume"))
		return true;
	for (size_t i = 0; i < c->spec->mount_points.n; i++) {
		const char *name = streq(m[i].type, "volume") ? m[i].name : m[i].source;
		if (filters_match(f, "volume", m[i].destination) || (name && filters_match(f, "volume", name)))
			return true;
	}
	return false;
}

/* Do two keys, "80-89/tcp", have a port in common? */
static bool ports_meet(const char *a, const char *b)
{
	const char *const keys[] = {a, b};
	int lo[2], hi[2];
	for (size_t i = 0; i < 2; i++) {
		const char *dash = strchr(keys[i], '-');
		lo[i] = atoi(keys[i]);
		hi[i] = dash ? atoi(dash + 1) : lo[i];
	}
	return streq(strchr(a, '/'), strchr(b, '/')) && lo[0] <= hi[1] && lo[1] <= hi[0];
}

/* publish and expose name ports of the container, as Docker's do. Their values have been judged. */
static bool ports_match(const struct filters *f, const struct container *c, struct arena *a)
{
	const struct json_group *g = c->spec->host.port_bindings.v;
	const struct strv *exposed = &c->spec->config.exposed_ports;
	bool published = !filters_have(f, "publish"), open = !filters_have(f, "expose");
	for (size_t i = 0; i < f->n; i++) {
		const char *key;
		bool publish = streq(f->v[i].key, "publish"), expose = streq(f->v[i].key, "expose");
		if ((!publish && !expose) || spec_port_key(a, f->v[i].value, &key, NULL) < 0)
			continue;
		for (size_t k = 0; publish && k < c->spec->host.port_bindings.n; k++)
			published |= ports_meet(key, g[k].key);
		for (size_t k = 0; expose && k < exposed->n; k++)
			open |= ports_meet(key, exposed->v[k]);
	}
	return published && open;
}

static bool health_is_known(const char *s)
{
	for (int k = 0; k < HEALTH_N; k++)
		if (streq(s, health_status_name((enum health_status)k)))
			return true;
	return false;
}

static bool matches(struct core *core, const struct filters *f, const struct world *w, const struct container *c, struct arena *a)
{
	if (filters_have(f, "health") && !filters_match(f, "health", health_status_name(health_of(core, c->id))))
		return false;
	if (filters_have(f, "is-task") && (filters_match(f, "is-task", "true") || filters_match(f, "is-task", "1")))
		return false; /* tasks are a swarm's */
	return status_matches(f, c) && name_matches(f, c) && filters_match_labels(f, &c->spec->config.labels) && ancestor_matches(f, w, c) && network_matches(f, w, c) && age_matches(f, w, c) &&
	       exited_matches(f, c) && ports_match(f, c, a) && volume_matches(f, c);
}

static bool is_number(const char *s)
{
	s += *s == '-';
	size_t n = strspn(s, "0123456789");
	return n > 0 && n < 10 && !s[n];
}

static int check_filter(const struct filter *f, struct arena *a, struct err *e)
{
	static const char *const truths[] = {"true", "1", "false", "0"};
	const char *key;
	bool truth = false;
	for (size_t i = 0; i < ARRAY_LEN(truths); i++)
		truth |= streq(f->value, truths[i]);
	if ((streq(f->key, "status") && !state_is_known(f->value)) || (streq(f->key, "exited") && !is_number(f->value)))
		return err_as(e, ERR_INVALID, "invalid filter '%s=%.100s'", f->key, f->value);
	if (streq(f->key, "is-task") && !truth)
		return err_as(e, ERR_INVALID, "invalid filter 'is-task=[%.100s]'", f->value);
	if (streq(f->key, "health") && !health_is_known(f->value))
		return err_as(e, ERR_INVALID, "Unrecognised filter value for health: %.100s", f->value);
	return streq(f->key, "publish") || streq(f->key, "expose") ? spec_port_key(a, f->value, &key, e) : 0;
}

static int list(struct request *rq, struct err *e)
{
	static const char *const known[] = {"id", "name", "label", "status", "network", "ancestor", "publish", "expose", "volume", "before", "since", "exited", "health", "is-task", NULL};
	struct view v = view_of(rq);
	struct filters f;
	int64_t limit;
	size_t n = 0;
	const struct container *c;
	try(request_filters(rq, known, &f, e));
	for (size_t i = 0; i < f.n; i++)
		try(check_filter(&f.v[i], &rq->mem, e));
	try(request_int(rq, "limit", -1, &limit, e));
	bool all = request_bool(rq, "all", false) || limit > 0 || filters_have(&f, "status") || filters_have(&f, "exited");
	const struct world *w = core_read(rq->core);
	int r = 0;
	for (size_t i = 0; r >= 0 && i < f.n; i++)
		if (streq(f.v[i].key, "before") || streq(f.v[i].key, "since"))
			r = world_find_container(w, f.v[i].value, &c, e);
	if (r < 0) {
		core_read_end(rq->core);
		return r;
	}
	const struct container **rows = arena_new(&rq->mem, const struct container *, world_count(w, NOUN_CONTAINER) + 1);
	for (size_t i = 0; rows && (c = world_next(w, NOUN_CONTAINER, &i));)
		if ((all || container_is_running(c)) && matches(rq->core, &f, w, c, &rq->mem))
			rows[n++] = c;
	json_t *j = rows ? json_array() : NULL;
	for (size_t k = 0; j && k < n && (limit <= 0 || k < (size_t)limit); k++) /* newest first */
		json_array_append_new(j, view_container_row(&v, w, rows[n - 1 - k], &rq->mem));
	core_read_end(rq->core);
	for (size_t k = 0; request_bool(rq, "size", false) && k < json_array_size(j); k++)
		reply_add_size(rq->core, json_array_get(j, k));
	return reply_json(rq, 200, j);
}

static int create(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct strv warnings = {0};
	char id[ID_TEXT];
	try(request_json(rq, &body, e));
	try(op_container_create(rq->core, request_query(rq, "name"), rq->minor >= 41 ? request_query(rq, "platform") : NULL, body, rq->minor, &rq->mem, id, &warnings, e));
	json_t *list_json = json_array();
	for (size_t i = 0; i < warnings.n; i++)
		json_array_append_new(list_json, json_string(warnings.v[i]));
	return reply_json(rq, 201, json_pack("{s:s, s:o}", "Id", id, "Warnings", list_json));
}

static int inspect(struct request *rq, struct err *e)
{
	struct view v = view_of(rq);
	const struct container *c;
	const struct world *w = core_read(rq->core);
	int r = world_find_container(w, rq->args[0], &c, e);
	json_t *j = r >= 0 ? view_container(&v, w, c, &rq->mem) : NULL;
	core_read_end(rq->core);
	if (j && request_bool(rq, "size", false))
		reply_add_size(rq->core, j);
	return r < 0 ? r : reply_json(rq, 200, j);
}

static int done(struct request *rq, int r)
{
	return r < 0 ? r : reply_empty(rq, 204);
}

static int start(struct request *rq, struct err *e)
{
	return done(rq, op_container_start(rq->core, rq->args[0], e));
}

/* t absent: the container's own time-out. */
static int timeout_of(const struct request *rq, int *out, struct err *e)
{
	int64_t t;
	if (str_empty(request_query(rq, "t"))) {
		*out = INT_MIN;
		return 0;
	}
	try(request_int(rq, "t", 0, &t, e));
	*out = t < 0 ? -1 : t > INT_MAX ? INT_MAX : (int)t;
	return 0;
}

static int stop(struct request *rq, struct err *e)
{
	int t;
	try(timeout_of(rq, &t, e));
	return done(rq, op_container_stop(rq->core, rq->args[0], t, request_query(rq, "signal"), e));
}

static int restart(struct request *rq, struct err *e)
{
	int t;
	try(timeout_of(rq, &t, e));
	return done(rq, op_container_restart(rq->core, rq->args[0], t, request_query(rq, "signal"), e));
}

static int kill_it(struct request *rq, struct err *e)
{
	return done(rq, op_container_kill(rq->core, rq->args[0], request_query(rq, "signal"), e));
}

static int pause_it(struct request *rq, struct err *e)
{
	return done(rq, op_container_pause(rq->core, rq->args[0], true, e));
}

static int unpause(struct request *rq, struct err *e)
{
	return done(rq, op_container_pause(rq->core, rq->args[0], false, e));
}

static int rename_it(struct request *rq, struct err *e)
{
	return done(rq, op_container_rename(rq->core, rq->args[0], request_query(rq, "name"), e));
}

static int remove_it(struct request *rq, struct err *e)
{
	return done(rq, op_container_remove(rq->core, rq->args[0], request_bool(rq, "force", false), request_bool(rq, "v", false), request_bool(rq, "link", false), e));
}

/* rm --link: "<container>/<alias>". */
static int remove_link(struct request *rq, struct err *e)
{
	if (!request_bool(rq, "link", false))
		return err_as(e, ERR_NOT_FOUND, "No such container: %s/%s", rq->args[0], rq->args[1]);
	return done(rq, op_container_unlink(rq->core, rq->args[0], rq->args[1], e));
}

static int update(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct strv warnings = {0};
	try(request_json(rq, &body, e));
	try(op_container_update(rq->core, rq->args[0], body, &rq->mem, &warnings, e));
	json_t *list_json = json_array();
	for (size_t i = 0; i < warnings.n; i++)
		json_array_append_new(list_json, json_string(warnings.v[i]));
	return reply_json(rq, 200, json_pack("{s:o}", "Warnings", list_json));
}

/* Published ports, live. */
static int ports(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	try(request_json(rq, &body, e));
	if (!json_is_object(body))
		return err_as(e, ERR_INVALID, "invalid JSON: expected an object with Add and Remove");
	return done(rq, op_container_ports(rq->core, rq->args[0], body, e));
}

static int size_of(const struct request *rq, int *h, int *w, struct err *e)
{
	int64_t a, b;
	try(request_int(rq, "h", 0, &a, e));
	try(request_int(rq, "w", 0, &b, e));
	if (a < 0 || b < 0 || a > 65535 || b > 65535)
		return err_as(e, ERR_INVALID, "invalid terminal size %lldx%lld", (long long)b, (long long)a);
	*h = (int)a;
	*w = (int)b;
	return 0;
}

static int resize(struct request *rq, struct err *e)
{
	int h, w;
	try(size_of(rq, &h, &w, e));
	int r = op_container_resize(rq->core, rq->args[0], h, w, e);
	return r < 0 ? r : reply_empty(rq, 200);
}

static int top(struct request *rq, struct err *e)
{
	json_t *j;
	try(op_container_top(rq->core, rq->args[0], request_query(rq, "ps_args"), &j, e));
	return reply_json(rq, 200, j);
}

static int prune(struct request *rq, struct err *e)
{
	static const char *const known[] = {"label", "label!", "until", NULL};
	struct kvs labels;
	struct strv gone = {0};
	int64_t until, freed;
	try(request_prune_filters(rq, known, &labels, &until, e));
	try(op_container_prune(rq->core, &labels, until, &rq->mem, &gone, &freed, e));
	json_t *ids = json_array();
	for (size_t i = 0; i < gone.n; i++)
		json_array_append_new(ids, json_string(gone.v[i]));
	return reply_json(rq, 200, json_pack("{s:o, s:I}", "ContainersDeleted", ids, "SpaceReclaimed", (json_int_t)freed));
}

static int exec_create(struct request *rq, struct err *e)
{
	OWN(own_json) json_t *body = NULL;
	struct exec_spec s = {0};
	char id[ID_TEXT];
	try(request_json(rq, &body, e));
	if (!body)
		return err_as(e, ERR_INVALID, "No exec command specified");
	try(json_decode(body, exec_spec_table, &s, &rq->mem, e));
	try(op_exec_create(rq->core, rq->args[0], &s, id, e));
	return reply_json(rq, 201, json_pack("{s:s}", "Id", id));
}

static int exec_inspect(struct request *rq, struct err *e)
{
	struct exec_info x;
	try(engine_exec_info(rq->core->engine, rq->args[0], &rq->mem, &x, e));
	return reply_json(rq, 200, view_exec(&x));
}

static int exec_resize(struct request *rq, struct err *e)
{
	int h, w;
	try(size_of(rq, &h, &w, e));
	int r = engine_exec_resize(rq->core->engine, rq->args[0], h, w, e);
	return r < 0 ? r : reply_empty(rq, rq->minor < 30 ? 201 : 200);
}

const struct route routes_container[] = {
	{"GET", "/containers/json", list, BODY_JSON},
	{"POST", "/containers/create", create, BODY_JSON},
	{"POST", "/containers/prune", prune, BODY_JSON},
	{"GET", "/containers/{}/json", inspect, BODY_JSON},
	{"POST", "/containers/{}/start", start, BODY_JSON},
	{"POST", "/containers/{}/stop", stop, BODY_JSON},
	{"POST", "/containers/{}/restart", restart, BODY_JSON},
	{"POST", "/containers/{}/kill", kill_it, BODY_JSON},
	{"POST", "/containers/{}/pause", pause_it, BODY_JSON},
	{"POST", "/containers/{}/unpause", unpause, BODY_JSON},
	{"POST", "/containers/{}/rename", rename_it, BODY_JSON},
	{"POST", "/containers/{}/resize", resize, BODY_JSON},
	{"POST", "/containers/{}/update", update, BODY_JSON},
	{"POST", "/containers/{}/ports", ports, BODY_JSON},
	{"GET", "/containers/{}/top", top, BODY_JSON},
	{"DELETE", "/containers/{}/{}", remove_link, BODY_JSON},
	{"DELETE", "/containers/{}", remove_it, BODY_JSON},
	{"POST", "/containers/{}/exec", exec_create, BODY_JSON},
	{"GET", "/exec/{}/json", exec_inspect, BODY_JSON},
	{"POST", "/exec/{}/resize", exec_resize, BODY_JSON},
	{NULL, NULL, NULL, BODY_JSON},
};
