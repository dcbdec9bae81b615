/* update: resources of a container, live when it runs, and its restart policy. */
#include <errno.h>

#include "base/log.h"
#include "model/update.h"
#include "ops/container.h"

/* A container like the present one, of the changed description. */
static int changed(const struct container *now, const json_t *body, const struct spec_host *host, struct arena *a, struct strv *warnings, bool *live, struct container **out, struct err *e)
{
	struct arena mem = {0};
	OWN(own_json) json_t *j = spec_to_json(now->spec);
	struct container_spec *s = arena_new(&mem, struct container_spec, 1);
	struct strv own = {0};
	int r = j && s ? spec_from_json(j, &mem, s, e) : err_nomem(e);
	if (r >= 0)
		r = update_apply(s, body, host, &mem, &own, live, e);
	for (size_t i = 0; r >= 0 && i < own.n; i++)
		if (strv_add(a, warnings, own.v[i]) < 0)
			r = err_nomem(e);
	struct container *c = r >= 0 ? container_respec(now, s, &mem) : NULL;
	if (r >= 0 && !c)
		r = err_nomem(e);
	arena_free(&mem);
	*out = c;
	return r;
}

static int update_locked(struct core *c, const char *id, const json_t *body, struct arena *a, struct strv *warnings, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	struct spec_host host;
	bool resources = false;
	engine_host(c->engine, a, &host);
	try(op_begin(c, "update", &op, e));
	op.durable = true;
	op.about = id;
	const struct container *now = world_container(op.next, id);
	if (!now)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", id);
	if (now->state == STATE_REMOVING || now->state == STATE_DEAD)
		return err_as(e, ERR_CONFLICT, "Cannot update container %s: Container is marked for removal and cannot be \"update\".", id);
	if (changed(now, body, &host, a, warnings, &resources, &next, e) < 0)
		return err_ctx(e, "Cannot update container %s", id);
	const struct container *before = thing_ref(now), *after = thing_ref(next);
	bool live = resources && (container_is_running(now) || now->state == STATE_PAUSED);
	op_container_event(&op, next, "update", NULL);
	int r = world_put(op.next, next, e);
	if (r >= 0 && live && engine_update(c->engine, after, e) < 0)
		r = err_ctx(e, "Cannot update container %s", id);
	if (r >= 0) {
		r = op_commit(&op, e);
		struct err undo = {0};
		if (r < 0 && live && engine_update(c->engine, before, &undo) < 0)
			log_error("update of %.12s failed, and its limits could not be put back: %s", id, undo.msg);
	}
	thing_unref((void *)(uintptr_t)before);
	thing_unref((void *)(uintptr_t)after);
	return r;
}

int op_container_update(struct core *c, const char *term, const json_t *body, struct arena *a, struct strv *warnings, struct err *e)
{
	char id[ID_TEXT];
	try(container_lock(c, term, id, e));
	int r = update_locked(c, id, body, a, warnings, e);
	life_unlock(c, id);
	return r;
}
