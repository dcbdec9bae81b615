#include "engine/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_int.h"
#include "engine/image_job.h"
#include "engine/user.h"
#include "engine/volume.h"

static size_t depth(const char *path)
{
	size_t n = 0;
	for (; *path; path++)
		n += *path == '/';
	return n;
}

static int by_depth(const void *x, const void *y)
{
	const struct mount_point *a = *(const struct mount_point *const *)x, *b = *(const struct mount_point *const *)y;
	size_t i = depth(a->destination), k = depth(b->destination);
	return i < k ? -1 : i > k;
}

static int add_bind(struct arena *a, struct strv *argv, bool rw, const char *destination, const char *source, const char *sub, struct err *e)
{
	if (strchr(destination, '\n') || strchr(source, '\n') || strchr(sub, '\n'))
		return 0; /* no path that pontoon-image could be told: it is not seen */
	const char *spec = arena_printf(a, "%s\n%s\n%s\n%s", rw ? "rw" : "ro", destination, source, sub);
	return !spec || strv_add(a, argv, "--bind") < 0 || strv_add(a, argv, spec) < 0 ? err_nomem(e) : 0;
}

/* What the container sees in its root: volumes, binds and the files of its networks. */
static int add_binds(struct engine *en, const struct archive_of *o, struct arena *a, struct strv *argv, struct err *e)
{
	const struct mount_point *m = o->c->spec->mount_points.v;
	const char *const files[][2] = {{o->resolv, "/etc/resolv.conf"}, {o->hostname, "/etc/hostname"}, {o->hosts, "/etc/hosts"}};
	size_t n = o->c->spec->mount_points.n;
	const struct mount_point **v = arena_new(a, const struct mount_point *, n + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (files[i][0] && access(files[i][0], F_OK) == 0)
			try(add_bind(a, argv, true, files[i][1], files[i][0], "", e));
	for (size_t i = 0; i < n; i++)
		v[i] = &m[i];
	qsort(v, n, sizeof(*v), by_depth);
	for (size_t i = 0; i < n; i++) {
		if (streq(v[i]->type, "tmpfs"))
			continue; /* its own name space alone has it */
		const char *source = streq(v[i]->type, "volume") ? engine_volume_path(en, v[i]->name, a) : v[i]->source;
		if (!source)
			return err_nomem(e);
		try(add_bind(a, argv, v[i]->rw, v[i]->destination, source, v[i]->subpath ? v[i]->subpath : "", e));
	}
	return 0;
}

struct copying {
	const char *verb, *path, *owner;
	int in, out;
	bool keep_kinds, read_only;
};

static int words(struct engine *en, const struct archive_of *o, const struct copying *k, struct arena *a, struct strv *argv, struct err *e)
{
	char root[PATH_SIZE];
	const char *path = arena_printf(a, "%s%s", *k->path == '/' ? "" : "/", k->path);
	const char *const fixed[] = {k->verb, "--container", path_root(en, o->c->id, root), "--path", path ? path : ""};
	const struct {
		bool is;
		const char *flag, *value;
	} more[] = {{k->owner != NULL, "--owner", k->owner}, {k->keep_kinds, "--keep-kinds", "yes"}, {k->read_only, "--read-only", "yes"}};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (strv_add(a, argv, fixed[i]) < 0)
			return err_nomem(e);
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		if (more[i].is && (strv_add(a, argv, more[i].flag) < 0 || strv_add(a, argv, more[i].value) < 0))
			return err_nomem(e);
	return add_binds(en, o, a, argv, e);
}

static int run_job(struct engine *en, const struct image_job *j, json_t **out, struct err *e)
{
	struct image_job_result result = {0};
	try(engine_image_job(en, j, &result, e));
	if (out)
		*out = json_incref(result.result);
	json_decref(result.result);
	result.result = NULL;
	return engine_image_job_end(en, &result, false, e);
}

static int copy(struct engine *en, const struct archive_of *o, const struct copying *k, json_t **out, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv argv = {0};
	try(words(en, o, k, &a, &argv, e));
	const char **v = arena_new(&a, const char *, argv.n + 1);
	if (!v)
		return err_nomem(e);
	memcpy(v, argv.v, argv.n * sizeof(*v));
	struct image_job j = {.argv = v, .input = k->in, .output = k->out};
	try(root_hold(en, o->c->id, &o->layers, e));
	int r = run_job(en, &j, out, e);
	root_release(en, o->c->id);
	return r;
}

int engine_path_stat(struct engine *en, const struct archive_of *o, const char *path, json_t **out, struct err *e)
{
	const struct copying k = {.verb = "stat", .path = path, .in = -1, .out = -1};
	return copy(en, o, &k, out, e);
}

int engine_archive_take(struct engine *en, const struct archive_of *o, const char *path, int out, struct err *e)
{
	const struct copying k = {.verb = "take", .path = path, .in = -1, .out = out};
	return copy(en, o, &k, NULL, e);
}

int engine_archive_put(struct engine *en, const struct archive_of *o, const char *path, int in, bool keep_kinds, bool as_user, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct copying k = {.verb = "put", .path = path, .in = in, .out = -1, .keep_kinds = keep_kinds, .read_only = o->c->spec->host.readonly_rootfs};
	const char *user = o->c->spec->config.user;
	if (as_user && !str_empty(user)) {
		struct user_found found;
		char root[PATH_SIZE];
		try(root_hold(en, o->c->id, &o->layers, e));
		int r = user_resolve(path_root(en, o->c->id, root), user, &o->c->spec->host.group_add, &found, e);
		root_release(en, o->c->id);
		try(r);
		k.owner = arena_printf(&a, "%u:%u", found.uid, found.gid);
		if (!k.owner)
			return err_nomem(e);
	}
	return copy(en, o, &k, NULL, e);
}

int engine_export(struct engine *en, const struct archive_of *o, int out, struct err *e)
{
	static const char *const argv[] = {"pack", NULL};
	char root[PATH_SIZE];
	try(root_hold(en, o->c->id, &o->layers, e));
	OWN(own_fd) int dir = open(path_root(en, o->c->id, root), O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct image_job j = {.argv = argv, .input = -1, .output = out, .dir = dir};
	int r = dir < 0 ? err_errno(e, -errno, "open %s", root) : run_job(en, &j, NULL, e);
	root_release(en, o->c->id);
	return r;
}
