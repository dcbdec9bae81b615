#include "ops/archive.h"

#include <errno.h>
#include <stdlib.h>

#include "net/want.h"
#include "ops/container.h"
#include "ops/happen.h"
#include "ops/host.h"
#include "ops/volume.h"

struct archive {
	struct core *core;
	struct arena mem;
	struct archive_of of;
	const char *term; /* as the client wrote it */
	bool mounted;     /* volumes with options, for a container that does not run */
};

static int fill(struct core *c, const char *term, struct archive *a, struct err *e)
{
	struct netconf conf = c->conf->net;
	const struct container *ct;
	const struct world *w = core_read(c);
	int r = world_find_container(w, term, &ct, e);
	const struct image *img = r >= 0 ? world_image(w, ct->image) : NULL;
	if (r >= 0 && !img)
		r = err_as(e, ERR_NOT_FOUND, "No such image: sha256:%s", ct->image);
	if (r >= 0)
		r = container_layers(w, img, &a->mem, &a->of.layers, e);
	if (r >= 0) {
		a->of.c = thing_ref(ct);
		a->of.image = thing_ref(img);
		const char *files = world_netns_owner(w, ct)->id;
		a->of.hosts = want_file_path(&conf, files, "hosts", &a->mem);
		a->of.hostname = want_file_path(&conf, files, "hostname", &a->mem);
		a->of.resolv = want_file_path(&conf, files, "resolv.conf", &a->mem);
		a->term = arena_dup(&a->mem, term);
	}
	core_read_end(c);
	return r >= 0 && a->mem.bad ? err_nomem(e) : r;
}

int archive_open(struct core *c, const char *term, struct archive **out, struct err *e)
{
	struct archive *a = calloc(1, sizeof(*a));
	if (!a)
		return err_nomem(e);
	a->core = c;
	int r = fill(c, term, a, e);
	if (r >= 0 && a->of.c->state == STATE_REMOVING)
		r = err_as(e, ERR_CONFLICT, "container %s is marked for removal", a->of.c->id);
	if (r >= 0)
		r = volumes_mount(c, a->of.c->spec, e);
	a->mounted = r >= 0;
	if (r < 0) {
		archive_close(a);
		return r;
	}
	*out = a;
	return 0;
}

void archive_close(struct archive *a)
{
	if (!a)
		return;
	if (a->mounted)
		volumes_after(a->core, a->of.c->spec);
	thing_unref((void *)(uintptr_t)a->of.c);
	thing_unref((void *)(uintptr_t)a->of.image);
	arena_free(&a->mem);
	free(a);
}

const char *archive_id(const struct archive *a)
{
	return a->of.c->id;
}

static int missing(const struct archive *a, const char *path, int r, struct err *e)
{
	return r < 0 && e && e->kind == ERR_NOT_FOUND ? err_as(e, ERR_NOT_FOUND, "Could not find the file %s in container %s", path, a->term) : r;
}

int archive_stat(struct archive *a, const char *path, json_t **out, struct err *e)
{
	return missing(a, path, engine_path_stat(a->core->engine, &a->of, path, out, e), e);
}

static int happened(const struct archive *a, const char *action, int r)
{
	if (r >= 0)
		event_of_container(a->core, a->of.c, action, NULL, NULL, NULL, NULL);
	return r;
}

int archive_take(struct archive *a, const char *path, int out, struct err *e)
{
	return happened(a, "archive-path", missing(a, path, engine_archive_take(a->core->engine, &a->of, path, out, e), e));
}

int archive_put(struct archive *a, const char *path, int in, bool keep_kinds, bool as_user, struct err *e)
{
	return happened(a, "extract-to-dir", missing(a, path, engine_archive_put(a->core->engine, &a->of, path, in, keep_kinds, as_user, e), e));
}

int archive_export(struct archive *a, int out, struct err *e)
{
	return happened(a, "export", engine_export(a->core->engine, &a->of, out, e));
}

int archive_changes(struct archive *a, json_t **out, struct err *e)
{
	return engine_changes(a->core->engine, &a->of, out, e);
}
