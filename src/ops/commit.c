#include <errno.h>
#include <string.h>

#include "base/ref.h"
#include "ops/container.h"
#include "ops/image_job.h"

static int tag_of(const struct image_commit *q, struct arena *a, const char **out, struct err *e)
{
	char ref[REF_TEXT];
	*out = "";
	if (str_empty(q->repo))
		return 0;
	const char *full = str_empty(q->tag) ? q->repo : arena_printf(a, "%s:%s", q->repo, q->tag);
	if (!full)
		return err_nomem(e);
	try(ref_normalise(full, ref, e));
	*out = arena_dup(a, ref);
	return *out ? 0 : err_nomem(e);
}

static json_t *strings(const struct strv *v)
{
	json_t *j = json_array();
	for (size_t i = 0; v && i < v->n; i++)
		json_array_append_new(j, json_string(v->v[i]));
	return j;
}

static int request_of(struct core *c, const struct container *ct, const struct image_commit *q, const char *tag, json_t **out, struct err *e)
{
	const struct world *w = core_read(c);
	const struct image *img = world_image(w, ct->image);
	json_t *parent = img ? json_string(img->config_text) : NULL;
	core_read_end(c);
	if (!parent)
		return err_as(e, ERR_NOT_FOUND, "No such image: %s", ct->image);
	json_t *config = q->config ? json_deep_copy(q->config) : json_encode(config_table, &ct->spec->config);
	*out = json_pack("{s:o, s:s, s:o, s:s, s:s, s:s, s:o}", "parent", parent, "container", ct->id, "config", config, "author", q->author ? q->author : "", "message", q->message ? q->message : "", "tag", tag,
		"changes", strings(q->changes));
	return *out ? 0 : err_nomem(e);
}

struct committed {
	const struct container *container;
	const char *message, *tag;
};

static int committed(void *arg, struct op *op, const json_t *result, struct err *e)
{
	const struct committed *of = arg;
	const char *id = json_string_value(json_object_get(json_array_get(json_object_get(result, "images"), 0), "id"));
	(void)e;
	op_container_event(op, of->container, "commit", "comment", of->message, "imageID", arena_printf(&op->mem, "sha256:%s", id ? id : ""), "imageRef", of->tag, NULL);
	return 0;
}

static int commit(struct core *c, const struct container *ct, const struct image_commit *q, struct arena *a, char *out_id, struct err *e)
{
	static const char *const argv[] = {"commit", NULL};
	OWN(own_json) json_t *request = NULL;
	OWN(own_fd) int upper = -1;
	const char *tag = "";
	try(tag_of(q, a, &tag, e));
	try(request_of(c, ct, q, tag, &request, e));
	try(engine_open_upper(c->engine, ct->id, &upper, e));
	struct committed of = {.container = ct, .message = q->message ? q->message : "", .tag = tag};
	const struct image_run r = {.verb = "commit", .argv = argv, .input = -1, .output = -1, .dir = upper, .request = request, .id = out_id, .more = committed, .arg = &of};
	return image_run(c, &r, a, e);
}

int op_image_commit(struct core *c, const struct image_commit *q, char out_id[static ID_TEXT], struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const struct container *ct;
	struct err again = {0};
	try(op_container_get(c, q->container, &ct, e));
	/* files that change while they are read would be torn */
	bool pause = q->pause && container_is_running(ct) && ct->state != STATE_PAUSED;
	int r = pause ? op_container_pause(c, ct->id, true, e) : 0;
	if (r >= 0)
		r = commit(c, ct, q, &a, out_id, e);
	if (pause && op_container_pause(c, ct->id, false, &again) < 0 && r >= 0 && again.kind != ERR_NOT_FOUND && again.kind != ERR_CONFLICT)
		r = err_set(e, again.code, "%s", again.msg);
	thing_unref((void *)(uintptr_t)ct);
	return r;
}
