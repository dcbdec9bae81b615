/* Theory of operation
 *
 * One directory is open at a time: its names are read and sorted, what is no directory is written, then each directory below it is opened anew from the top by
 * its path (openat2, RESOLVE_BENEATH and no links). So the number of descriptors does not depend on the depth, and a directory that somebody
 * replaces by a link meanwhile is not entered. Paths are at most NAME_PATH long, which bounds the recursion.
 *
 * A regular file is opened O_NONBLOCK and looked at again: a pipe that took its place does not hold us up, and a device cannot be opened, because the view
 * (tar_tree_view) is mounted nodev.
 *
 * Proven by tests/image/test_program.py (pack_*), against the system's own tar and Python's. */
#include "image/tar_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/map.h"
#include "base/strv.h"
#include "image/layer.h"
#include "image/name.h"

#define CHUNK (256u << 10)
#define TRIES 4

struct inode {
	dev_t dev;
	ino_t ino;
	const char *path;
};

struct tar_tree {
	struct tar_writer *w;
	enum tar_tree_kind kind;
	struct arena arena; /* of hard links */
	struct map links;   /* struct inode: the key is its first two members */
	int top;
	char rel[NAME_PATH]; /* below top */
	char as[NAME_PATH];  /* in the archive */
	size_t nxattrs;
	struct tar_xattr xattrs[LIMIT_IMAGE_XATTRS];
	char names[LIMIT_IMAGE_XATTR], *values, *chunk;
};

int tar_tree_view(int dir, int *out, struct err *e)
{
	OWN(own_fd) int fd = (int)syscall(SYS_open_tree, dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (fd < 0)
		return err_errno(e, -errno, "take a view of the directory");
	struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
		return err_errno(e, -errno, "restrict the view of the directory");
	*out = STEAL_FD(fd);
	return 0;
}

int tar_tree_new(struct tar_writer *w, enum tar_tree_kind kind, struct tar_tree **out, struct err *e)
{
	OWN(own_tar_tree) struct tar_tree *t = calloc(1, sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->w = w;
	t->kind = kind;
	t->values = malloc(LIMIT_IMAGE_XATTR);
	t->chunk = malloc(CHUNK);
	if (!t->values || !t->chunk)
		return err_nomem(e);
	*out = STEAL(t);
	return 0;
}

void tar_tree_free(struct tar_tree *t)
{
	if (!t)
		return;
	map_free(&t->links);
	arena_free(&t->arena);
	free(t->values);
	free(t->chunk);
	free(t);
}

static int fail(struct tar_tree *t, int code, const char *what, struct err *e)
{
	char q[NAME_QUOTED];
	return err_errno(e, code, "%s %s", what, name_quote(*t->rel ? t->rel : t->as, q));
}

/* Appends "/name" to both paths; they are cut again by the caller. */
static int enter(struct tar_tree *t, const char *name, struct err *e)
{
	size_t r = strlen(t->rel), a = strlen(t->as), n = strlen(name);
	char q[NAME_QUOTED];
	if (r + n + 2 > sizeof(t->rel) || a + n + 2 > sizeof(t->as))
		return err_as(e, ERR_INVALID, "a path is too long for an archive: %s", name_quote(t->as, q));
	snprintf(t->rel + r, sizeof(t->rel) - r, "%s%s", r ? "/" : "", name);
	snprintf(t->as + a, sizeof(t->as) - a, "%s%s", a && t->as[a - 1] != '/' ? "/" : "", name); /* "/" is the name of a root */
	return 0;
}

static bool is_whiteout(const struct tar_tree *t, const struct stat *st)
{
	return t->kind == TAR_TREE_LAYER && S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* The entry's attributes that an archive may carry, into t->xattrs. Sorted: the order of a file system's list is its own. */
static int read_xattrs(struct tar_tree *t, int fd, bool regular, struct err *e)
{
	size_t used = 0;
	t->nxattrs = 0;
	ssize_t len = flistxattr(fd, t->names, sizeof(t->names));
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : fail(t, -errno, "list the attributes of", e);
	for (const char *n = t->names; n < t->names + len; n += strlen(n) + 1) {
		if (!layer_xattr_wanted(n, regular))
			continue;
		ssize_t k = fgetxattr(fd, n, t->values + used, LIMIT_IMAGE_XATTR - used);
		if (k < 0 && errno == ENODATA)
			continue;
		if (k < 0)
			return fail(t, -errno, "read an attribute of", e);
		if (t->nxattrs == LIMIT_IMAGE_XATTRS)
			return fail(t, -E2BIG, "too many attributes:", e);
		size_t i = t->nxattrs++;
		for (; i > 0 && strcmp(t->xattrs[i - 1].name, n) > 0; i--)
			t->xattrs[i] = t->xattrs[i - 1];
		t->xattrs[i] = (struct tar_xattr){n, t->values + used, (size_t)k};
		used += (size_t)k;
	}
	return 0;
}

static struct tar_entry entry_of(const struct tar_tree *t, const struct stat *st)
{
	return (struct tar_entry){
		.path = t->as, .mode = st->st_mode, .uid = st->st_uid, .gid = st->st_gid, .mtime = st->st_mtim.tv_sec, .size = (uint64_t)st->st_size, .rdev = st->st_rdev,
	};
}

/* The path that the same file has already in the archive; NULL the first time, then it is remembered. */
static int seen(struct tar_tree *t, const struct stat *st, const char **path, struct err *e)
{
	struct inode key = {.dev = st->st_dev, .ino = st->st_ino};
	*path = NULL;
	if (st->st_nlink < 2)
		return 0;
	const struct inode *have = map_get(&t->links, &key, offsetof(struct inode, path));
	if (have) {
		*path = have->path;
		return 0;
	}
	struct inode *n = arena_new(&t->arena, struct inode, 1);
	if (!n)
		return err_nomem(e);
	*n = key;
	n->path = arena_dup(&t->arena, t->as);
	return !n->path || map_put(&t->links, n, offsetof(struct inode, path), n) < 0 ? err_nomem(e) : 0;
}

/* From `at` up to `end`, or less when the file has become shorter: the bytes that were there. */
static int copy_range(struct tar_tree *t, int fd, uint64_t at, uint64_t end, uint64_t *done, struct err *e)
{
	while (at < end) {
		size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t n = pread(fd, t->chunk, want, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(t, -errno, "read", e);
		if (n == 0)
			break;
		try(tar_write_data(t->w, t->chunk, (size_t)n, e));
		at += (uint64_t)n;
	}
	*done = at;
	return 0;
}

static int put_data(struct tar_tree *t, int fd, uint64_t size, struct err *e)
{
	uint64_t at = 0;
	while (at < size) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno != ENXIO) { /* no holes can be told here: all is data */
			try(copy_range(t, fd, at, size, &at, e));
			return tar_write_zeros(t->w, size - at, e);
		}
		uint64_t from = data < 0 || (uint64_t)data > size ? size : (uint64_t)data;
		try(tar_write_zeros(t->w, from - at, e));
		at = from;
		if (at == size)
			break;
		off_t hole = lseek(fd, (off_t)at, SEEK_HOLE);
		uint64_t to = hole < 0 || (uint64_t)hole > size ? size : (uint64_t)hole, done = at;
		try(copy_range(t, fd, at, to, &done, e));
		if (done < to) /* it is shorter by now */
			return tar_write_zeros(t->w, size - done, e);
		at = to;
	}
	return 0;
}

/* 1: it is something else by now, look again. */
static int put_file(struct tar_tree *t, int dir, const char *name, struct err *e)
{
	struct stat st;
	const char *link;
	OWN(own_fd) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO || errno == EACCES ? 1 : fail(t, -errno, "open", e);
	if (fstat(fd, &st) < 0)
		return fail(t, -errno, "look at", e);
	if (!S_ISREG(st.st_mode))
		return 1;
	struct tar_entry x = entry_of(t, &st);
	try(seen(t, &st, &link, e));
	if (link) {
		x.link = link;
		return tar_write_entry(t->w, &x, e);
	}
	try(read_xattrs(t, fd, true, e));
	x.xattrs = t->xattrs;
	x.nxattrs = t->nxattrs;
	try(tar_write_entry(t->w, &x, e));
	return put_data(t, fd, x.size, e);
}

static int put_symlink(struct tar_tree *t, int dir, const char *name, const struct stat *st, struct err *e)
{
	char target[NAME_PATH + 1];
	struct tar_entry x = entry_of(t, st);
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? 1 : fail(t, -errno, "read the link", e);
	target[n] = '\0';
	x.link = target;
	return tar_write_entry(t->w, &x, e);
}

/* What is gone of the layers below: a file named .wh.NAME. */
static int put_whiteout(struct tar_tree *t, const char *name, struct err *e)
{
	char path[NAME_PATH + 8];
	size_t n = strlen(t->as) - strlen(name);
	snprintf(path, sizeof(path), "%.*s.wh.%s", (int)n, t->as, name);
	return tar_write_text(t->w, path, "", 0, e);
}

static int put_other(struct tar_tree *t, const struct stat *st, struct err *e)
{
	const char *link;
	struct tar_entry x = entry_of(t, st);
	if (S_ISSOCK(st->st_mode))
		return 0;
	try(seen(t, st, &link, e));
	x.link = link;
	return tar_write_entry(t->w, &x, e);
}

/* Anything but a directory; of that *is_dir is set. t->as is its path. */
static int put_leaf(struct tar_tree *t, int dir, const char *name, bool *is_dir, struct err *e)
{
	struct stat st;
	*is_dir = false;
	for (int i = 0; i < TRIES; i++) {
		int r;
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : fail(t, -errno, "look at", e);
		*is_dir = S_ISDIR(st.st_mode);
		if (*is_dir)
			return 0;
		if (is_whiteout(t, &st))
			return put_whiteout(t, name, e);
		if (S_ISREG(st.st_mode))
			r = put_file(t, dir, name, e);
		else if (S_ISLNK(st.st_mode))
			r = put_symlink(t, dir, name, &st, e);
		else
			r = put_other(t, &st, e);
		if (r <= 0)
			return r;
	}
	return fail(t, -EBUSY, "it is replaced again and again:", e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes the descriptor. */
static int read_names(struct tar_tree *t, int fd, struct arena *a, struct strv *out, struct err *e)
{
	OWN(own_dir) DIR *d = fdopendir(fd);
	const struct dirent *x;
	if (!d) {
		close(fd);
		return fail(t, -errno, "list", e);
	}
	while ((errno = 0, x = readdir(d)))
		if (!streq(x->d_name, ".") && !streq(x->d_name, "..") && strv_add(a, out, x->d_name) < 0)
			return err_nomem(e);
	if (errno)
		return fail(t, -errno, "list", e);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_name);
	return 0;
}

static bool is_opaque(int fd)
{
	char y[2];
	return fgetxattr(fd, "trusted.overlay.opaque", y, sizeof(y)) == 1 && y[0] == 'y';
}

/* The directory's own entry. */
static int put_dir_entry(struct tar_tree *t, int fd, struct err *e)
{
	struct stat st;
	char path[NAME_PATH + 16];
	if (fstat(fd, &st) < 0)
		return fail(t, -errno, "look at", e);
	if (*t->as) {
		struct tar_entry x = entry_of(t, &st);
		try(read_xattrs(t, fd, false, e));
		x.xattrs = t->xattrs;
		x.nxattrs = t->nxattrs;
		try(tar_write_entry(t->w, &x, e));
	}
	if (t->kind != TAR_TREE_LAYER || !is_opaque(fd))
		return 0;
	snprintf(path, sizeof(path), "%s%s.wh..wh..opq", t->as, *t->as ? "/" : "");
	return tar_write_text(t->w, path, "", 0, e);
}

static int open_dir(const struct tar_tree *t)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	long fd;
	do
		fd = syscall(SYS_openat2, t->top, *t->rel ? t->rel : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

static int check_name(const struct tar_tree *t, const char *name, struct err *e)
{
	char q[NAME_QUOTED];
	if (t->kind == TAR_TREE_LAYER && str_starts(name, ".wh."))
		return err_as(e, ERR_INVALID, "the file %s cannot be in a layer: names that begin with .wh. mean that something is gone", name_quote(t->as, q));
	return 0;
}

/* The leaves of the directory `fd` (taken); the names of its directories go to `dirs`. */
static int put_leaves(struct tar_tree *t, int fd, struct arena *a, struct strv *dirs, struct err *e)
{
	struct strv names = {};
	size_t r = strlen(t->rel), n = strlen(t->as);
	OWN(own_fd) int dir = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* fdopendir takes the other one */
	if (dir < 0) {
		close(fd);
		return fail(t, -errno, "list", e);
	}
	try(read_names(t, fd, a, &names, e));
	for (size_t i = 0; i < names.n; i++) {
		bool is_dir = false;
		try(enter(t, names.v[i], e));
		try(check_name(t, names.v[i], e));
		try(put_leaf(t, dir, names.v[i], &is_dir, e));
		t->rel[r] = t->as[n] = '\0';
		if (is_dir && strv_add(a, dirs, names.v[i]) < 0)
			return err_nomem(e);
	}
	return 0;
}

/* The directory at t->rel and all below it. */
static int put_dir(struct tar_tree *t, struct err *e)
{
	OWN(own_arena) struct arena a = {};
	struct strv dirs = {};
	size_t r = strlen(t->rel), n = strlen(t->as);
	int fd = open_dir(t);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) /* gone, or something else by now */
		return 0;
	if (fd < 0)
		return fail(t, fd, "open", e);
	int rc = put_dir_entry(t, fd, e);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	try(put_leaves(t, fd, &a, &dirs, e));
	for (size_t i = 0; i < dirs.n; i++) {
		try(enter(t, dirs.v[i], e));
		try(put_dir(t, e));
		t->rel[r] = t->as[n] = '\0';
	}
	return 0;
}

int tar_tree_put(struct tar_tree *t, int dir, const char *name, const char *as, struct err *e)
{
	bool is_dir = true;
	*t->rel = '\0';
	if (!STR_COPY(t->as, as))
		return err_as(e, ERR_INVALID, "a path is too long for an archive");
	if (!streq(name, "."))
		try(put_leaf(t, dir, name, &is_dir, e));
	if (!is_dir)
		return 0;
	OWN(own_fd) int top = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? 0 : fail(t, -errno, "open", e);
	t->top = top;
	return put_dir(t, e);
}
