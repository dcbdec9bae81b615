#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "engine/size.h"
#include "net/links.h"
#include "ops/container.h"
#include "ops/happen.h"
#include "ops/volume.h"

#define REMOVE_TRIES 20 /* of a container that is started again and again meanwhile */

static int mark_removing(struct core *c, const char *id, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	try(op_begin(c, "removing", &op, e));
	op.about = id;
	try(container_edit(&op, id, &next, e));
	next->state = STATE_REMOVING;
	try(world_put(op.next, next, e));
	return op_commit(&op, e);
}

/* Its anonymous volumes that no other container has; the locks of all its volumes are held. */
static int drop_volumes(struct op *op, const struct container *ct, struct arena *a, struct strv *dropped, struct err *e)
{
	const struct mount_point *m = ct->spec->mount_points.v;
	for (size_t i = 0; i < ct->spec->mount_points.n; i++) {
		if (!m[i].anonymous || strv_has(dropped, m[i].name) || !world_volume(op->next, m[i].name) || world_volume_users(op->next, m[i].name, &op->mem))
			continue;
		if (strv_add(a, dropped, m[i].name) < 0)
			return err_nomem(e);
		try(engine_volume_unsettle(op->core->engine, m[i].name, e));
		op_event(op, "volume", "destroy", m[i].name, "driver", "local", NULL);
		try(world_del(op->next, NOUN_VOLUME, m[i].name, e));
	}
	return 0;
}

/* volumes: where the names of those go that it takes along; NULL: they stay. */
static int forget(struct core *c, const char *id, struct arena *a, struct strv *volumes, struct err *e)
{
	OWN(op_end) struct op op = {0};
	size_t n;
	try(op_begin(c, "remove", &op, e));
	op.about = id;
	op.durable = true;
	const struct container *now = world_container(op.next, id);
	if (!now)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", id);
	const struct endpoint **eps = world_endpoints_of_container(op.next, &op.mem, id, &n);
	for (size_t i = 0; i < n; i++) {
		char key[THING_KEY];
		endpoint_key(key, id, eps[i]->network);
		try(world_del(op.next, NOUN_ENDPOINT, key, e));
	}
	try(portmap_release(op.next, id, e));
	op_container_event(&op, now, "destroy", NULL);
	const struct container *held = thing_ref(now);
	int r = world_del(op.next, NOUN_CONTAINER, id, e);
	if (r >= 0 && volumes)
		r = drop_volumes(&op, held, a, volumes, e);
	thing_unref((void *)(uintptr_t)held);
	return r < 0 ? r : op_commit(&op, e);
}

static int forget_with_volumes(struct core *c, const char *id, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv names, dropped = {0};
	const struct container *ct;
	try(op_container_get(c, id, &ct, e));
	int r = volumes_names(ct->spec, &a, &names, e);
	if (r >= 0)
		r = volumes_lock(c, &names, e);
	if (r >= 0) {
		r = forget(c, id, &a, &dropped, e);
		if (r < 0)
			volumes_settle(c, &dropped);
		else
			volumes_undo(c, &dropped);
		volumes_release(c, &names);
		volumes_unlock(c, &names);
	}
	thing_unref((void *)(uintptr_t)ct);
	return r;
}

/* The mark makes a crash in between end in a removed container: reconcile goes on where this stopped. */
int container_remove_locked(struct core *c, const char *id, bool volumes, struct err *e)
{
	try(mark_removing(c, id, e));
	engine_exec_forget(c->engine, id);
	int r = engine_delete(c->engine, id, true, e);
	if (r >= 0)
		r = engine_container_unmake(c->engine, id, e);
	if (r < 0)
		return err_ctx(e, "unable to remove filesystem for %s", id);
	return volumes ? forget_with_volumes(c, id, e) : forget(c, id, NULL, NULL, e);
}

/* The container's spec without the link of that alias; -ENOENT when it has none. */
static int without_link(struct op *op, const char *id, const char *alias, struct container **out, struct err *e)
{
	struct arena mem = {0};
	OWN(own_json) json_t *j = NULL;
	const struct container *now = world_container(op->next, id);
	struct container_spec *spec = arena_new(&mem, struct container_spec, 1);
	struct strv left = {0};
	j = now ? spec_to_json(now->spec) : NULL;
	int r = !spec || !j ? err_nomem(e) : spec_from_json(j, &mem, spec, e);
	for (size_t i = 0; r >= 0 && i < spec->host.links.n; i++) {
		const char *at = spec->host.links.v[i] + ID_TEXT;
		size_t n = strcspn(at, ":");
		if (n != strlen(alias) || strncmp(at, alias, n) != 0)
			r = strv_add(&mem, &left, spec->host.links.v[i]) < 0 ? err_nomem(e) : 0;
	}
	if (r >= 0 && left.n == spec->host.links.n)
		r = err_as(e, ERR_NOT_FOUND, "No such container: %s/%s", now->name, alias);
	if (r >= 0) {
		spec->host.links = left;
		*out = container_respec(now, spec, &mem);
		r = *out ? 0 : err_nomem(e);
	}
	arena_free(&mem); /* empty when the container took it over */
	return r;
}

static int unlink_locked(struct core *c, const char *id, const char *alias, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	try(op_begin(c, "unlink", &op, e));
	op.durable = true;
	op.about = id;
	try(without_link(&op, id, alias, &next, e));
	try(world_put(op.next, next, e));
	return op_commit(&op, e);
}

int op_container_unlink(struct core *c, const char *term, const char *alias, struct err *e)
{
	char id[ID_TEXT];
	if (container_lock(c, term, id, NULL) < 0)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s/%s", term, alias);
	int r = unlink_locked(c, id, alias, e);
	life_unlock(c, id);
	return r;
}

/* 1: it runs (again); 0: it was removed, or somebody else has done it. */
static int remove_once(struct core *c, char id[static ID_TEXT], bool volumes, struct err *e)
{
	int r = container_lock(c, id, id, NULL);
	if (r == -ENOENT)
		return 0; /* --rm was quicker */
	if (r < 0)
		return err_set(e, r, "lock container %s", id);
	const struct container *now = world_container(core_read(c), id);
	bool again = now && (container_is_running(now) || now->state == STATE_RESTARTING);
	core_read_end(c);
	r = again ? 1 : container_remove_locked(c, id, volumes, e);
	life_unlock(c, id);
	return r;
}

int op_container_remove(struct core *c, const char *term, bool force, bool volumes, bool link, struct err *e)
{
	char id[ID_TEXT];
	if (link)
		return err_as(e, ERR_INVALID, "invalid link %s: expected <container>/<alias>", term);
	try(force ? container_settle(c, term, id, e) : container_resolve(c, term, id, e));
	const struct container *ct;
	try(op_container_get(c, id, &ct, e));
	bool again = ct->state == STATE_RESTARTING;
	bool runs = container_is_running(ct) || ct->starting || again;
	bool paused = ct->state == STATE_PAUSED;
	thing_unref((void *)(uintptr_t)ct);
	if (runs && !force)
		return err_as(e, ERR_CONFLICT, "cannot remove container \"%s\": container is %s: %s", term, paused ? "paused" : again ? "restarting" : "running",
			paused ? "unpause and stop the container before removing or force remove" : "stop the container before removing or force remove");
	for (int tries = 0; tries < REMOVE_TRIES; tries++) {
		if (runs) {
			int r = container_stop_wait(c, id, 0, "SIGKILL", e);
			if (r < 0 && r != -EALREADY)
				return r == -ENOENT ? 0 : r;
		}
		int r = remove_once(c, id, volumes, e);
		if (r <= 0)
			return r;
		if (!force)
			break;
		runs = true; /* its restart policy, or somebody, has started it in between */
	}
	return err_as(e, ERR_CONFLICT, "cannot remove container \"%s\": container is running: stop the container before removing or force remove", term);
}

static bool prune_matches(const struct container *ct, const struct kvs *labels, int64_t until)
{
	if (container_is_running(ct) || ct->starting || ct->state == STATE_RESTARTING)
		return false;
	if (until && ct->created > until)
		return false;
	for (size_t i = 0; i < labels->n; i++) /* key "label" or "label!", value "k" or "k=v" */
		if (kvs_has_term(&ct->spec->config.labels, labels->v[i].value) == streq(labels->v[i].key, "label!"))
			return false;
	return true;
}

int op_container_prune(struct core *c, const struct kvs *label_filters, int64_t until, struct arena *a, struct strv *deleted, int64_t *freed, struct err *e)
{
	struct strv ids = {0};
	int64_t sum = 0;
	const struct container *ct;
	const struct world *w = core_read(c);
	int r = 0;
	for (size_t i = 0; r >= 0 && (ct = world_next(w, NOUN_CONTAINER, &i));)
		if (prune_matches(ct, label_filters, until))
			r = strv_add(a, &ids, ct->id);
	core_read_end(c);
	for (size_t i = 0; r >= 0 && i < ids.n; i++) {
		struct err one = {0};
		int64_t size = engine_container_size(c->engine, ids.v[i]);
		/* One that was started or removed meanwhile is not pruned; that is no error. */
		bool gone = op_container_remove(c, ids.v[i], false, false, false, &one) >= 0;
		sum += gone ? size : 0;
		if (gone)
			r = strv_add(a, deleted, ids.v[i]);
		else if (one.kind != ERR_CONFLICT && one.kind != ERR_NOT_FOUND)
			log_warn("prune: %s", one.msg);
	}
	*freed = sum;
	if (r >= 0)
		event_of_prune(c, "container", sum);
	return r < 0 ? err_nomem(e) : 0;
}
