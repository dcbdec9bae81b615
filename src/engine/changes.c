/* changes: an overlay's upper directory is the list of what a container changed: its whiteouts are what was deleted, what the layers below have too was
 * changed, the rest was added. The upper directory may change under us: it is walked by descriptors, and no link is followed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "engine/archive.h"
#include "engine/engine_int.h"

enum kind { CHANGED, ADDED, DELETED };

struct changes {
	int *lower; /* descriptors of the layers below, topmost first */
	size_t nlower;
	json_t *list;
};

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int dir)
{
	char y[2];
	return fgetxattr(dir, "trusted.overlay.opaque", y, sizeof(y)) == 1 && *y == 'y';
}

/* 1: the layer has it; 0: it says nothing; -1: it hides it. */
static int layer_has(int layer, const char *path)
{
	char part[PATH_MAX];
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	bool opaque = false;
	for (const char *end = path;; end++) {
		struct stat st;
		end += strcspn(end, "/");
		if ((size_t)(end - path) >= sizeof(part))
			return 0;
		memcpy(part, path, (size_t)(end - path));
		part[end - path] = '\0';
		if (fstatat(layer, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return opaque ? -1 : 0;
		if (is_whiteout(&st))
			return -1;
		if (!*end)
			return 1;
		if (!S_ISDIR(st.st_mode))
			return -1;
		OWN(own_fd) int dir = (int)syscall(SYS_openat2, layer, part, &how, sizeof(how));
		opaque |= dir >= 0 && is_opaque(dir);
	}
}

static bool was_there(const struct changes *x, const char *path)
{
	for (size_t i = 0; i < x->nlower; i++) {
		int r = layer_has(x->lower[i], path);
		if (r)
			return r > 0;
	}
	return false;
}

static int tell(struct changes *x, const char *path, enum kind kind, struct err *e)
{
	OWN(own_free) char *text = NULL;
	if (asprintf(&text, "/%s", path) < 0)
		return err_nomem(e);
	str_make_utf8(text);
	return json_array_append_new(x->list, json_pack("{s:s, s:i}", "Path", text, "Kind", (int)kind)) < 0 ? err_nomem(e) : 0;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static int names_of(int dir, struct arena *a, struct strv *out, struct err *e)
{
	OWN(own_fd) int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN(own_dir) DIR *d = again < 0 ? NULL : fdopendir(again);
	const struct dirent *n;
	if (!d)
		return err_errno(e, -errno, "read a directory");
	again = -1;
	while ((n = readdir(d)))
		if (!streq(n->d_name, ".") && !streq(n->d_name, "..") && strv_add(a, out, n->d_name) < 0)
			return err_nomem(e);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_name);
	return 0;
}

/* What an opaque directory hides of the one that was there before. */
static int tell_hidden(struct changes *x, int dir, const char *path, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	struct strv seen = {0};
	struct stat st;
	for (size_t i = 0; i < x->nlower; i++) {
		struct strv names = {0};
		OWN(own_fd) int at = (int)syscall(SYS_openat2, x->lower[i], path, &how, sizeof(how));
		if (at >= 0)
			try(names_of(at, &a, &names, e));
		for (size_t k = 0; k < names.n; k++) {
			const char *below = arena_printf(&a, "%s/%s", path, names.v[k]);
			if (!below)
				return err_nomem(e);
			if (strv_has(&seen, names.v[k]) || fstatat(dir, names.v[k], &st, AT_SYMLINK_NOFOLLOW) == 0 || !was_there(x, below))
				continue;
			try(strv_add(&a, &seen, names.v[k]));
			try(tell(x, below, DELETED, e));
		}
	}
	return 0;
}

static int walk(struct changes *x, int dir, const char *path, unsigned level, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv names = {0};
	try(names_of(dir, &a, &names, e));
	for (size_t i = 0; i < names.n; i++) {
		struct stat st;
		const char *below = arena_printf(&a, "%s%s%s", path, *path ? "/" : "", names.v[i]);
		if (!below)
			return err_nomem(e);
		if (fstatat(dir, names.v[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile */
		bool before = was_there(x, below);
		if (is_whiteout(&st)) {
			if (before)
				try(tell(x, below, DELETED, e));
			continue;
		}
		try(tell(x, below, before ? CHANGED : ADDED, e));
		OWN(own_fd) int sub = S_ISDIR(st.st_mode) && level < LIMIT_IMAGE_DEPTH ? openat(dir, names.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (sub < 0)
			continue;
		try(walk(x, sub, below, level + 1, e));
		if (before && is_opaque(sub))
			try(tell_hidden(x, sub, below, e));
	}
	return 0;
}

static int open_lower(struct engine *en, const struct engine_layers *l, struct changes *x, struct err *e)
{
	char path[PATH_SIZE];
	x->lower = calloc(l->n + 1, sizeof(*x->lower));
	if (!x->lower)
		return err_nomem(e);
	for (size_t i = 0; i <= l->n; i++) { /* the shared init layer, then the image's, topmost first */
		if (i == 0)
			snprintf(path, sizeof(path), "%s/image/init", en->conf.data_root);
		else
			snprintf(path, sizeof(path), "%s/image/layers/%s/diff", en->conf.data_root, l->dirs[l->n - i]);
		x->lower[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (x->lower[i] < 0)
			return err_errno(e, -errno, "open %s", path);
		x->nlower++;
	}
	return 0;
}

int engine_changes(struct engine *en, const struct archive_of *o, json_t **out, struct err *e)
{
	char path[PATH_SIZE];
	struct changes x = {.list = json_array()};
	OWN(own_fd) int upper = open(path_container(en, o->c->id, "upper", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = upper < 0 ? err_errno(e, -errno, "open %s", path) : x.list ? open_lower(en, &o->layers, &x, e) : err_nomem(e);
	if (r >= 0)
		r = walk(&x, upper, "", 0, e);
	for (size_t i = 0; i < x.nlower; i++)
		close(x.lower[i]);
	free(x.lower);
	if (r < 0) {
		json_decref(x.list);
		return r;
	}
	*out = x.list;
	return 0;
}
