/* Theory of operation
 *
 * A volume is a row and a directory. The directory is made first, with a mark in it (engine/volume.h), then filled, then the row is committed, then
 * the mark goes; removal is the reverse. So a crash leaves either a volume or a marked directory without a row, which the next start removes. A directory
 * with neither is somebody's data (of a store that was lost, say): it becomes a volume again. tests/scenario/test_volume.py kills the daemon at any moment. */
#include "ops/volume.h"

#include <errno.h>
#include <stdlib.h>

#include "base/du.h"
#include "base/log.h"
#include "ops/happen.h"

#define S(m) offsetof(struct volume_spec, m)
const struct json_field volume_spec_table[] = {{"Name", J_STR, S(name), 0, NULL, 0}, {"Driver", J_STR, S(driver), 0, NULL, 0}, {"Labels", J_KV, S(labels), 0, NULL, 0},
	{"DriverOpts", J_KV, S(options), 0, NULL, 0}, J_END};

static const char *lock_name(const char *name, char out[static LIMIT_VOLUME_NAME + 16])
{
	snprintf(out, LIMIT_VOLUME_NAME + 16, "volume/%s", name);
	return out;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

int volumes_names(const struct container_spec *s, struct arena *a, struct strv *out, struct err *e)
{
	const struct mount_point *m = s->mount_points.v;
	*out = (struct strv){0};
	for (size_t i = 0; i < s->mount_points.n; i++)
		if (streq(m[i].type, "volume") && !strv_has(out, m[i].name) && strv_add(a, out, m[i].name) < 0)
			return err_nomem(e);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_text);
	return 0;
}

int volumes_lock(struct core *c, const struct strv *names, struct err *e)
{
	char key[LIMIT_VOLUME_NAME + 16];
	for (size_t i = 0; i < names->n; i++) {
		int r = life_lock(c, lock_name(names->v[i], key), e);
		if (r < 0) {
			volumes_unlock(c, &(struct strv){.v = names->v, .n = i});
			return r;
		}
	}
	return 0;
}

void volumes_unlock(struct core *c, const struct strv *names)
{
	char key[LIMIT_VOLUME_NAME + 16];
	for (size_t i = names->n; i-- > 0;)
		life_unlock(c, lock_name(names->v[i], key));
}

/* The mount point that makes the volume: the first of its name. */
static const struct mount_point *maker(const struct container_spec *s, const char *name)
{
	const struct mount_point *m = s->mount_points.v;
	for (size_t i = 0; i < s->mount_points.n; i++)
		if (streq(m[i].type, "volume") && streq(m[i].name, name))
			return &m[i];
	return NULL;
}

static int check_new(const char *name, const struct kvs *options, struct err *e)
{
	if (volume_name_check(name, e) < 0 || volume_options_check(options, e) < 0)
		return err_ctx(e, "create %s", name);
	return 0;
}

/* Whether it is there, and its options. */
static int look(struct core *c, const char *name, struct arena *a, bool *there, struct kvs *options, struct err *e)
{
	const struct world *w = core_read(c);
	const struct volume *v = world_volume(w, name);
	bool full = !v && world_count(w, NOUN_VOLUME) >= LIMIT_VOLUMES;
	*there = v != NULL;
	*options = v ? kvs_copy(a, &v->options) : (struct kvs){0};
	core_read_end(c);
	if (full)
		return err_as(e, ERR_UNAVAILABLE, "there are %d volumes already: remove some first", LIMIT_VOLUMES);
	return a->bad ? err_nomem(e) : 0;
}

int volumes_make(struct core *c, const struct container_spec *s, const struct strv *names, struct arena *a, struct strv *made, struct err *e)
{
	for (size_t i = 0; i < names->n; i++) {
		struct kvs options;
		bool there;
		const struct mount_point *m = maker(s, names->v[i]);
		try(look(c, names->v[i], a, &there, &options, e));
		if (!there) {
			options = m->driver_opts;
			try(check_new(names->v[i], &options, e));
			if (strv_add(a, made, names->v[i]) < 0)
				return err_nomem(e);
			try(engine_volume_make(c->engine, names->v[i], e));
		}
		try(engine_volume_mount(c->engine, names->v[i], &options, e));
	}
	return 0;
}

static int put_one(struct op *op, const char *name, const struct kvs *labels, const struct kvs *options, bool anonymous, struct err *e)
{
	struct volume *v = volume_new(name);
	if (!v)
		return err_nomem(e);
	v->labels = kvs_copy(&v->thing.mem, labels);
	v->options = kvs_copy(&v->thing.mem, options);
	v->created = clock_real_ns();
	if (anonymous)
		(void)kvs_set(&v->thing.mem, &v->labels, VOLUME_ANONYMOUS, "");
	if (v->thing.mem.bad) {
		thing_unref(v);
		return err_nomem(e);
	}
	op_event(op, "volume", "create", name, "driver", "local", NULL);
	return world_put(op->next, v, e);
}

int volumes_put(struct op *op, const struct container_spec *s, const struct strv *made, struct err *e)
{
	for (size_t i = 0; i < made->n; i++) {
		const struct mount_point *m = maker(s, made->v[i]);
		try(put_one(op, made->v[i], &m->labels, &m->driver_opts, m->anonymous, e));
	}
	return 0;
}

/* A mark that stays on a volume with a row does no harm: the next start takes it away. */
void volumes_settle(struct core *c, const struct strv *made)
{
	for (size_t i = 0; i < made->n; i++) {
		struct err e = {0};
		if (engine_volume_settle(c->engine, made->v[i], &e) < 0)
			log_warn("volume: %s", e.msg);
	}
}

void volumes_undo(struct core *c, const struct strv *made)
{
	for (size_t i = 0; i < made->n; i++) {
		struct err e = {0};
		if (engine_volume_remove(c->engine, made->v[i], &e) < 0)
			log_warn("volume: the next start removes what is left of %s: %s", made->v[i], e.msg);
	}
}

static bool is_running_with(const struct world *w, const char *name)
{
	const struct container *ct;
	for (size_t i = 0; (ct = world_next(w, NOUN_CONTAINER, &i));)
		if ((container_is_running(ct) || ct->starting) && mounts_use(ct, name))
			return true;
	return false;
}

void volumes_release(struct core *c, const struct strv *names)
{
	for (size_t i = 0; i < names->n; i++) {
		struct err e = {0};
		const struct world *w = core_read(c);
		const struct volume *v = world_volume(w, names->v[i]);
		bool idle = v && v->options.n && !is_running_with(w, names->v[i]);
		core_read_end(c);
		if (idle && engine_volume_umount(c->engine, names->v[i], &e) < 0)
			log_warn("volume: %s", e.msg);
	}
}

int volumes_mount(struct core *c, const struct container_spec *s, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv names;
	try(volumes_names(s, &a, &names, e));
	if (!names.n)
		return 0;
	try(volumes_lock(c, &names, e));
	int r = 0;
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		struct kvs options;
		bool there;
		r = look(c, names.v[i], &a, &there, &options, e);
		if (r >= 0 && !there)
			r = err_as(e, ERR_NOT_FOUND, "get %s: no such volume", names.v[i]);
		if (r >= 0)
			r = engine_volume_mount(c->engine, names.v[i], &options, e);
	}
	volumes_unlock(c, &names);
	return r;
}

void volumes_after(struct core *c, const struct container_spec *s)
{
	OWN(arena_free) struct arena a = {0};
	struct strv names;
	if (volumes_names(s, &a, &names, NULL) < 0 || !names.n || volumes_lock(c, &names, NULL) < 0)
		return;
	volumes_release(c, &names);
	volumes_unlock(c, &names);
}

void volumes_events(struct op *op, const struct container *c, const char *action)
{
	const struct mount_point *m = c->spec->mount_points.v;
	for (size_t i = 0; i < c->spec->mount_points.n; i++) {
		if (!streq(m[i].type, "volume"))
			continue;
		if (streq(action, "mount"))
			op_event(op, "volume", "mount", m[i].name, "container", c->id, "destination", m[i].destination, "driver", "local", "propagation", "", "read/write", m[i].rw ? "true" : "false", NULL);
		else
			op_event(op, "volume", "unmount", m[i].name, "container", c->id, "driver", "local", NULL);
	}
}

static int create_locked(struct core *c, const struct volume_spec *s, const char *name, bool anonymous, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(op_end) struct op op = {0};
	struct strv made = {0};
	struct kvs options;
	bool there;
	try(look(c, name, &a, &there, &options, e));
	if (there)
		return 0;
	try(check_new(name, &s->options, e));
	if (strv_add(&a, &made, name) < 0)
		return err_nomem(e);
	int r = engine_volume_make(c->engine, name, e);
	if (r >= 0)
		r = op_begin(c, "volume create", &op, e);
	op.durable = true;
	op.about = name;
	if (r >= 0)
		r = put_one(&op, name, &s->labels, &s->options, anonymous, e);
	if (r >= 0)
		r = op_commit(&op, e);
	if (r < 0)
		volumes_undo(c, &made);
	else
		volumes_settle(c, &made);
	return r;
}

int op_volume_create(struct core *c, const struct volume_spec *s, char out_name[static LIMIT_VOLUME_NAME + 1], struct err *e)
{
	char name[LIMIT_VOLUME_NAME + 1], id[ID_TEXT], key[LIMIT_VOLUME_NAME + 16];
	bool anonymous = str_empty(s->name);
	random_id(id);
	const char *wanted = anonymous ? id : s->name;
	if (!str_empty(s->driver) && !streq(s->driver, "local"))
		return err_as(e, ERR_NOT_FOUND, "create %s: error looking up volume plugin %s: plugin \"%s\" not found", wanted, s->driver, s->driver);
	if (volume_name_check(wanted, e) < 0)
		return err_ctx(e, "create %s", wanted);
	STR_COPY(name, wanted);
	try(life_lock(c, lock_name(name, key), e));
	int r = create_locked(c, s, name, anonymous, e);
	life_unlock(c, lock_name(name, key));
	if (r >= 0)
		memcpy(out_name, name, sizeof(name));
	return r;
}

/* The row goes, then the directory. */
static int remove_locked(struct core *c, const char *name, struct err *e)
{
	OWN(op_end) struct op op = {0};
	const struct volume *v;
	try(op_begin(c, "volume remove", &op, e));
	op.durable = true;
	op.about = name;
	try(world_find_volume(op.next, name, &v, e));
	const char *users = world_volume_users(op.next, name, &op.mem);
	if (users)
		return err_as(e, ERR_CONFLICT, "remove %s: volume is in use - %s", name, users);
	try(engine_volume_unsettle(c->engine, name, e));
	op_event(&op, "volume", "destroy", name, "driver", "local", NULL);
	int r = world_del(op.next, NOUN_VOLUME, name, e);
	if (r >= 0)
		r = op_commit(&op, e);
	if (r < 0) {
		volumes_settle(c, &(struct strv){.v = &name, .n = 1});
		return r;
	}
	op_end(&op);
	return engine_volume_remove(c->engine, name, e);
}

int op_volume_remove(struct core *c, const char *name, bool force, struct err *e)
{
	char key[LIMIT_VOLUME_NAME + 16];
	int r = volume_name_check(name, NULL) < 0 ? err_as(e, ERR_NOT_FOUND, "get %s: no such volume", name) : life_lock(c, lock_name(name, key), e);
	if (r >= 0) {
		r = remove_locked(c, name, e);
		life_unlock(c, lock_name(name, key));
	}
	return r == -ENOENT && force ? 0 : r;
}

static bool prune_matches(const struct volume *v, bool all, const struct kvs *labels)
{
	if (!all && !volume_is_anonymous(v))
		return false;
	for (size_t i = 0; i < labels->n; i++) /* key "label" or "label!", value "k" or "k=v" */
		if (kvs_has_term(&v->labels, labels->v[i].value) == streq(labels->v[i].key, "label!"))
			return false;
	return true;
}

int op_volume_prune(struct core *c, bool all, const struct kvs *label_filters, struct arena *a, struct strv *deleted, int64_t *freed, struct err *e)
{
	struct strv names = {0};
	const struct volume *v;
	const struct world *w = core_read(c);
	int r = 0;
	for (size_t i = 0; r >= 0 && (v = world_next(w, NOUN_VOLUME, &i));)
		if (prune_matches(v, all, label_filters) && !world_volume_users(w, v->name, a))
			r = strv_add(a, &names, v->name);
	core_read_end(c);
	*freed = 0;
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		struct err one = {0};
		const char *path = engine_volume_path(c->engine, names.v[i], a);
		int64_t size = path ? du_size(path) : 0;
		/* One that got a user or went meanwhile is not pruned; that is no error. */
		if (op_volume_remove(c, names.v[i], false, &one) >= 0) {
			r = strv_add(a, deleted, names.v[i]);
			*freed += size;
		} else if (one.kind != ERR_CONFLICT && one.kind != ERR_NOT_FOUND) {
			log_warn("prune: %s", one.msg);
		}
	}
	if (r >= 0)
		event_of_prune(c, "volume", *freed);
	return r < 0 ? err_nomem(e) : 0;
}

static int adopt(struct core *c, const char *name, struct err *e)
{
	OWN(op_end) struct op op = {0};
	try(op_begin(c, "volume adopt", &op, e));
	op.durable = true;
	op.about = name;
	try(put_one(&op, name, &(struct kvs){0}, &(struct kvs){0}, false, e));
	return op_commit(&op, e);
}

static int agree(struct core *c, const struct volume_found *f, struct err *e)
{
	bool known = world_volume(core_read(c), f->name);
	core_read_end(c);
	if (known && f->unsettled)
		return engine_volume_settle(c->engine, f->name, e);
	if (known || volume_name_check(f->name, NULL) < 0)
		return 0;
	if (f->unsettled)
		return engine_volume_remove(c->engine, f->name, e);
	log_warn("the directory of volume %s has no row in the store: it is a volume again, without its labels and options", f->name);
	return adopt(c, f->name, e);
}

void volumes_reconcile(struct core *c)
{
	OWN(arena_free) struct arena a = {0};
	struct volume_found *found;
	struct strv names = {0};
	const struct volume *v;
	struct err e = {0};
	size_t n;
	if (engine_volumes_scan(c->engine, &a, &found, &n, &e) < 0) {
		log_error("reconcile: volumes: %s", e.msg);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (agree(c, &found[i], &e) < 0)
			log_error("reconcile: volume %s: %s", found[i].name, e.msg);
	const struct world *w = core_read(c);
	for (size_t i = 0; (v = world_next(w, NOUN_VOLUME, &i));)
		(void)strv_add(&a, &names, v->name); /* at worst one stays mounted until it is used */
	core_read_end(c);
	volumes_release(c, &names);
}
