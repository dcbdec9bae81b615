#include "model/mounts.h"

#include <errno.h>
#include <string.h>

#define M(m) offsetof(struct mount_point, m)
const struct json_field mount_point_table[] = {{"Type", J_STR, M(type), 0, NULL, 0},
	{"Name", J_STR, M(name), J_OMIT, NULL, 0}, {"Source", J_STR, M(source), J_OMIT, NULL, 0},
	{"Destination", J_STR, M(destination), 0, NULL, 0}, {"Mode", J_STR, M(mode), J_OMIT, NULL, 0},
	{"Propagation", J_STR, M(propagation), J_OMIT, NULL, 0}, {"Options", J_STR, M(options), J_OMIT, NULL, 0},
	{"Subpath", J_STR, M(subpath), J_OMIT, NULL, 0}, {"RW", J_BOOL, M(rw), J_OMIT, NULL, 0},
	{"Anonymous", J_BOOL, M(anonymous), J_OMIT, NULL, 0}, {"NoCopy", J_BOOL, M(nocopy), J_OMIT, NULL, 0},
	{"MakeSource", J_BOOL, M(make_source), J_OMIT, NULL, 0}, {"Flat", J_BOOL, M(flat), J_OMIT, NULL, 0},
	{"DeepReadOnly", J_BOOL, M(deep_ro), J_OMIT, NULL, 0}, J_END};

/* The options of a --mount. */
struct options {
	const char *propagation, *subpath, *driver, *tmpfs_raw;
	bool flat, make_source, flat_ro, deep_ro, nocopy;
	struct kvs labels, driver_opts;
	int64_t size, mode;
};
#define O(m) offsetof(struct options, m)
static const struct json_field bind_table[] = {{"Propagation", J_STR, O(propagation), 0, NULL, 0},
	{"NonRecursive", J_BOOL, O(flat), 0, NULL, 0}, {"CreateMountpoint", J_BOOL, O(make_source), 0, NULL, 0},
	{"ReadOnlyNonRecursive", J_BOOL, O(flat_ro), 0, NULL, 0},
	{"ReadOnlyForceRecursive", J_BOOL, O(deep_ro), 0, NULL, 0}, J_END};
static const struct json_field driver_table[] = {
	{"Name", J_STR, O(driver), 0, NULL, 0}, {"Options", J_KV, O(driver_opts), 0, NULL, 0}, J_END};
static const struct json_field volume_table[] = {{"NoCopy", J_BOOL, O(nocopy), 0, NULL, 0},
	{"Labels", J_KV, O(labels), 0, NULL, 0}, {"Subpath", J_STR, O(subpath), 0, NULL, 0},
	{"DriverConfig", J_OBJ, 0, 0, driver_table, sizeof(struct options)}, J_END};
static const struct json_field tmpfs_table[] = {{"SizeBytes", J_I64, O(size), 0, NULL, 0},
	{"Mode", J_I64, O(mode), 0, NULL, 0}, {"Options", J_RAW, O(tmpfs_raw), 0, NULL, 0}, J_END};

char *path_clean(struct arena *a, const char *path)
{
	bool rooted = *path == '/';
	char *out = arena_alloc(a, strlen(path) + 2, 1);
	size_t n = 0;
	if (!out)
		return NULL;
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len == 2 && strncmp(path, "..", 2) == 0) {
			while (n && out[--n] != '/')
				;
		} else if (len && !(len == 1 && *path == '.')) {
			if (n || rooted)
				out[n++] = '/';
			memcpy(out + n, path, len);
			n += len;
		}
		path += len + (path[len] == '/');
	}
	if (n == 0)
		out[n++] = rooted ? '/' : '.';
	out[n] = '\0';
	return out;
}

bool bind_split(struct arena *a, const char *s, const char **source, const char **target, const char **mode)
{
	const char *colon = strchr(s, ':'), *dst = colon ? colon + 1 : s, *m = colon ? strchr(dst, ':') : NULL;
	if (!*s || colon == s || (m && strchr(m + 1, ':')))
		return false;
	*source = colon ? arena_dupn(a, s, (size_t)(colon - s)) : "";
	*target = arena_dupn(a, dst, m ? (size_t)(m - dst) : strlen(dst));
	*mode = m ? arena_dup(a, m + 1) : "";
	return !a->bad;
}

struct resolving {
	struct container_spec *s;
	const struct world *w;
	struct arena *a;
	char (*names)[ID_TEXT];
	struct mount_point *v;
	size_t n;
};

/* The one at the destination, or a new one: what comes later replaces what --volumes-from brought. */
static struct mount_point *place(struct resolving *r, const char *destination)
{
	char *path = path_clean(r->a, destination);
	for (size_t i = 0; path && i < r->n; i++)
		if (streq(r->v[i].destination, path)) {
			r->v[i] = (struct mount_point){.destination = path};
			return &r->v[i];
		}
	struct mount_point *v = path ? arena_new(r->a, struct mount_point, r->n + 1) : NULL;
	if (!v)
		return NULL;
	if (r->n)
		memcpy(v, r->v, r->n * sizeof(*v));
	r->v = v;
	v[r->n].destination = path;
	return &v[r->n++];
}

static bool is_taken(const struct resolving *r, const char *destination)
{
	const char *path = path_clean(r->a, destination);
	for (size_t i = 0; path && i < r->n; i++)
		if (streq(r->v[i].destination, path))
			return true;
	for (size_t i = 0; path && i < r->s->host.tmpfs.n; i++) {
		const char *other = path_clean(r->a, r->s->host.tmpfs.v[i].key);
		if (other && streq(other, path))
			return true;
	}
	return false;
}

static void name_it(struct resolving *r, struct mount_point *m, const char *name)
{
	m->type = "volume";
	m->anonymous = str_empty(name);
	m->name = m->anonymous ? arena_dup(r->a, (r->names++)[0]) : arena_dup(r->a, name);
	if (!m->anonymous && str_empty(m->mode))
		m->mode = "z"; /* what Docker shows for them */
}

static int local_only(const char *driver, const char *name, struct err *e)
{
	if (str_empty(driver) || streq(driver, "local"))
		return 0;
	return err_as(e, ERR_NOT_FOUND, "create %s: error looking up volume plugin %s: plugin \"%s\" not found", name, driver, driver);
}

static int from_container(struct resolving *r, const char *spec, struct err *e)
{
	const struct container *c;
	size_t n = strcspn(spec, ":");
	const char *mode = spec[n] ? spec + n + 1 : "", *term = arena_dupn(r->a, spec, n);
	if (!*spec)
		return err_as(e, ERR_INVALID, "volumes-from specification cannot be an empty string");
	if (spec[n] && !mode_is_good(mode))
		return err_as(e, ERR_INVALID, "invalid mode: %s", mode);
	if (mode_has(mode, "nocopy") || *mode_propagation(mode, ""))
		return err_as(e, ERR_INVALID, "invalid mode: %s", mode);
	if (!term)
		return err_nomem(e);
	int found = world_find_container(r->w, term, &c, e);
	if (found < 0 && e && e->kind == ERR_NOT_FOUND) /* 400: for 404 clients pull the image */
		return err_as(e, ERR_INVALID, "No such container: %s", term);
	try(found);
	const struct mount_point *m = c->spec->mount_points.v;
	for (size_t i = 0; i < c->spec->mount_points.n; i++) {
		if (streq(m[i].type, "tmpfs"))
			continue; /* a tmpfs belongs to one container */
		struct mount_point *own = place(r, m[i].destination);
		if (!own)
			return err_nomem(e);
		const char *destination = own->destination;
		*own = (struct mount_point){.type = arena_dup(r->a, m[i].type), .name = arena_dup(r->a, m[i].name), .source = arena_dup(r->a, m[i].source),
			.destination = destination, .mode = arena_dup(r->a, *mode ? mode : m[i].mode), .propagation = arena_dup(r->a, m[i].propagation),
			.subpath = arena_dup(r->a, m[i].subpath), .rw = m[i].rw && !mode_has(mode, "ro"), .anonymous = m[i].anonymous, .nocopy = m[i].nocopy,
			.make_source = m[i].make_source, .flat = m[i].flat, .deep_ro = m[i].deep_ro};
	}
	return 0;
}

static int from_bind(struct resolving *r, const char *text, struct err *e)
{
	const char *source, *target, *mode;
	if (!bind_split(r->a, text, &source, &target, &mode))
		return err_as(e, ERR_INVALID, "invalid volume specification: '%s'", text);
	struct mount_point *m = place(r, target);
	if (!m)
		return err_nomem(e);
	m->mode = mode;
	m->rw = !mode_has(mode, "ro");
	if (*source == '/') {
		m->type = "bind";
		m->source = path_clean(r->a, source);
		m->propagation = mode_propagation(mode, "rprivate");
		m->make_source = true;
		return 0;
	}
	m->nocopy = mode_has(mode, "nocopy");
	name_it(r, m, source);
	return local_only(r->s->host.volume_driver, m->name, e);
}

static int decode(const char *raw, const struct json_field *t, struct options *o, struct arena *a, struct err *e)
{
	return str_empty(raw) || streq(raw, "null") ? 0 : json_decode_text(raw, strlen(raw), t, o, a, e);
}

/* [["noexec"],["uid","1000"]] -> ",noexec,uid=1000" */
static const char *tmpfs_words(const char *raw, struct arena *a)
{
	OWN(own_json) json_t *list = str_empty(raw) ? NULL : json_loads(raw, 0, NULL);
	const char *text = "";
	size_t i;
	json_t *pair;
	json_array_foreach(list, i, pair)
	{
		const char *key = json_string_value(json_array_get(pair, 0)), *value = json_string_value(json_array_get(pair, 1));
		if (key && text)
			text = value ? arena_printf(a, "%s,%s=%s", text, key, value) : arena_printf(a, "%s,%s", text, key);
	}
	return text;
}

static int from_mount(struct resolving *r, const struct mount_spec *s, struct err *e)
{
	struct options o = {0};
	bool bind = streq(s->type, "bind"), tmpfs = streq(s->type, "tmpfs");
	try(decode(s->bind, bind_table, &o, r->a, e));
	try(decode(s->volume, volume_table, &o, r->a, e));
	try(decode(s->tmpfs, tmpfs_table, &o, r->a, e));
	struct mount_point *m = place(r, s->target);
	if (!m)
		return err_nomem(e);
	*m = (struct mount_point){.destination = m->destination, .type = s->type, .mode = "", .rw = !s->read_only, .nocopy = o.nocopy, .flat = o.flat, .make_source = o.make_source,
		.deep_ro = o.deep_ro, .labels = o.labels, .driver_opts = o.driver_opts};
	if (bind) {
		m->source = path_clean(r->a, s->source);
		m->propagation = str_empty(o.propagation) ? "rprivate" : o.propagation;
		if (o.deep_ro && !s->read_only)
			return err_as(e, ERR_INVALID, "invalid mount config for type \"bind\": must set ReadOnly mode when using ReadOnlyForceRecursive");
	} else if (tmpfs) {
		const char *words = tmpfs_words(o.tmpfs_raw, r->a);
		m->options = arena_printf(r->a, "%s", o.size > 0 ? arena_printf(r->a, ",size=%lld", (long long)o.size) : "");
		if (m->options && o.mode > 0)
			m->options = arena_printf(r->a, "%s,mode=%llo", m->options, (long long)o.mode);
		m->options = m->options && words ? arena_printf(r->a, "%s%s", m->options, words) : NULL;
		if (o.size < 0)
			return err_as(e, ERR_INVALID, "invalid mount config for type \"tmpfs\": invalid option for tmpfs mount: size < 0");
	} else {
		if (!str_empty(o.subpath) && (*o.subpath == '/' || strstr(o.subpath, "..")))
			return err_as(e, ERR_INVALID, "invalid mount config for type \"volume\": subpath must be a relative path within the volume");
		m->subpath = o.subpath;
		name_it(r, m, s->source);
		try(local_only(o.driver, m->name, e));
	}
	return r->a->bad ? err_nomem(e) : 0;
}

size_t mounts_names(const struct container_spec *s)
{
	return s->host.binds.n + s->host.mounts.n + s->config.volumes.n;
}

int mounts_resolve(struct container_spec *s, const struct world *w, char (*names)[ID_TEXT], struct arena *a, struct err *e)
{
	struct resolving r = {.s = s, .w = w, .a = a, .names = names};
	const struct mount_spec *m = s->host.mounts.v;
	for (size_t i = 0; i < s->host.volumes_from.n; i++)
		try(from_container(&r, s->host.volumes_from.v[i], e));
	for (size_t i = 0; i < s->host.binds.n; i++)
		try(from_bind(&r, s->host.binds.v[i], e));
	for (size_t i = 0; i < s->host.mounts.n; i++)
		try(from_mount(&r, &m[i], e));
	for (size_t i = 0; i < s->config.volumes.n; i++) {
		if (is_taken(&r, s->config.volumes.v[i]))
			continue;
		struct mount_point *p = place(&r, s->config.volumes.v[i]);
		if (!p)
			return err_nomem(e);
		p->rw = true;
		p->mode = "";
		name_it(&r, p, NULL);
		try(local_only(s->host.volume_driver, p->name, e));
	}
	if (a->bad)
		return err_nomem(e);
	s->mount_points = (struct json_vec){.v = r.v, .n = r.n};
	return 0;
}

bool mounts_use(const struct container *c, const char *volume)
{
	const struct mount_point *m = c->spec->mount_points.v;
	for (size_t i = 0; i < c->spec->mount_points.n; i++)
		if (streq(m[i].type, "volume") && streq(m[i].name, volume))
			return true;
	return false;
}

const char *world_volume_users(const struct world *w, const char *volume, struct arena *a)
{
	const struct container *c;
	const char *text = NULL;
	for (size_t i = 0; (c = world_next(w, NOUN_CONTAINER, &i));)
		if (mounts_use(c, volume))
			text = arena_printf(a, "%s%s%s", text ? text : "[", text ? " " : "", c->id);
	return text ? arena_printf(a, "%s]", text) : NULL;
}
