/* Theory of operation
 *
 * A layer is a list of names, in any order, and an enemy may have written it: "a -> /etc", then "a/passwd"; a
 * directory, then a link in its place; a hard link to "../../x". None of this is examined here. The parent of each name
 * is opened with openat2(2) and RESOLVE_IN_ROOT: the kernel walks symbolic links as if the layer's directory were "/",
 * so a walk cannot end outside of it. RESOLVE_NO_XDEV and RESOLVE_NO_MAGICLINKS are added because a layer has neither
 * mounts nor /proc. Then one *at() call acts on the last part of the name, which is never followed: O_EXCL | O_NOFOLLOW
 * for files, and mkdirat, mknodat, linkat, symlinkat do not follow.
 *
 * Creation is tried first, and only EEXIST leads to the slow path (make_room), so an ordinary file costs: create,
 * write, fchown, fchmod, futimens, close. The descriptor of the last parent is kept, since entries come in order of
 * directories. It is dropped whenever something is removed: only then can a name stand for another directory than
 * before.
 *
 * Whiteouts (OCI image specification): ".wh.x" hides x of the layers below, never x of its own layer, whatever their
 * order. overlayfs knows a device 0:0 for "x is gone" and the attribute trusted.overlay.opaque for "this directory
 * starts empty". So: ".wh.x" and then a directory x (or the other way round) is an opaque directory x; ".wh.x" and a
 * file x is just the file, which hides what is below anyway.
 *
 * Times of directories are set last, since each new file in a directory changes them.
 *
 * Proven by tests/image/test_program.py (each rule, and hostile archives) and tests/image/test_layer.c (limits, deep
 * trees).
 */
#include "image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/arena.h"
#include "base/fd.h"
#include "image/name.h"

struct dir_time {
	const char *path;
	struct timespec mtime;
};

struct tree {
	int root;
	bool in_use;
	int parent; /* descriptor of parent_path, -1 = none */
	char parent_path[NAME_PATH];
	struct job_budget *budget;
	struct arena arena;
	struct dir_time *times;
	size_t ntimes, captimes;
};

int tree_new(int root, struct job_budget *b, struct tree **out, struct err *e)
{
	struct tree *t = calloc(1, sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->root = root;
	t->parent = -1;
	t->budget = b;
	*out = t;
	return 0;
}

static void forget_parent(struct tree *t)
{
	if (t->parent >= 0)
		close(t->parent);
	t->parent = -1;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	forget_parent(t);
	arena_free(&t->arena);
	free(t->times);
	free(t);
}

/* Names the file; a full disk is said in one sentence whatever call noticed it. */
static int fail(int code, const char *what, const char *path, struct err *e)
{
	char q[NAME_QUOTED];
	if (code == -ENOSPC || code == -EDQUOT)
		return err_set(e, code, "no space left on device while writing %s", name_quote(path, q));
	if (code == -ENAMETOOLONG || code == -ELOOP || code == -ENOTDIR || code == -EXDEV)
		return err_as(e, ERR_INVALID, "%s %s: %s", what, name_quote(path, q), strerror(-code));
	return err_errno(e, code, "%s %s", what, name_quote(path, q));
}

#define LOOP_TRIES 64

/* Opens a directory of the layer; symbolic links on the way are walked inside of the layer. */
static int open_in(const struct tree *t, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_DIRECTORY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (t->in_use ? 0 : RESOLVE_NO_XDEV),
	};
	for (int loops = 0;;) {
		long fd = syscall(SYS_openat2, t->root, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* EAGAIN: something was renamed or mounted anywhere during the walk, so the kernel could not be sure */
		if (errno == EAGAIN || errno == EINTR)
			continue;
		/* The kernel counts links on over its own second try of a walk that a rename disturbed (fs/namei.c, total_link_count), so a chain of
		 * more than 20 may seem too long: only what stays so is. */
		if (errno != ELOOP || ++loops == LOOP_TRIES)
			return -errno;
	}
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int set_opaque(int dir, const char *name)
{
	OWN(own_fd) int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

/* Makes `name` a directory where there is none, or where a whiteout of this layer stands: then opaque. -EEXIST for
 * anything else. */
static int make_implied(struct tree *t, int dir, const char *name)
{
	struct stat st;
	if (mkdirat(dir, name, 0755) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_whiteout(&st))
		return -errno;
	forget_parent(t);
	if (unlinkat(dir, name, 0) < 0 || mkdirat(dir, name, 0755) < 0)
		return -errno;
	return set_opaque(dir, name);
}

/* Opens the directory `path` and makes what is missing of it. */
static int open_making(struct tree *t, const char *path, int *out, struct err *e)
{
	char part[NAME_PATH];
	OWN(own_fd) int at = open_in(t, "", O_PATH);
	if (at < 0)
		return fail(at, "open", path, e);
	for (const char *end = path; *end;) {
		const char *name = end + (end > path);
		end = name + strcspn(name, "/");
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		int next = open_in(t, part, O_PATH);
		if (next == -ENOENT || next == -ENOTDIR) {
			if (t->budget->entries == 0)
				return err_as(e, ERR_TOO_LARGE, "the archive has too many entries for one job");
			t->budget->entries--; /* a name of four bytes can ask for a directory of its own */
			int r = make_implied(t, at, part + (name - path));
			if (r == -EEXIST)
				return fail(-ENOTDIR, "make the directory", part, e);
			if (r < 0)
				return fail(r, "make the directory", part, e);
			next = open_in(t, part, O_PATH);
		}
		if (next < 0)
			return fail(next, "open the directory", part, e);
		close(at);
		at = next;
	}
	*out = STEAL_FD(at);
	return 0;
}

/* The directory that holds `path`, and the last part of it. The descriptor stays the tree's and is valid until the next
 * call. */
static int parent_of(struct tree *t, const char *path, int *dir, const char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	*name = slash ? slash + 1 : path;
	if (t->parent >= 0 && strlen(t->parent_path) == n && memcmp(t->parent_path, path, n) == 0) {
		*dir = t->parent;
		return 0;
	}
	forget_parent(t);
	memcpy(t->parent_path, path, n);
	t->parent_path[n] = '\0';
	int fd = open_in(t, t->parent_path, O_PATH);
	if (fd < 0)
		try(open_making(t, t->parent_path, &fd, e));
	t->parent = fd;
	*dir = fd;
	return 0;
}

/* The kernel would let a file go on which something is mounted in another name space, and the mount with it: a container would lose its /etc/hosts. */
static bool is_mount(const struct tree *t, int at, const char *name)
{
	struct statx st;
	return t->in_use && statx(at, name, AT_SYMLINK_NOFOLLOW, 0, &st) == 0 && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* Takes away what stands at `path`, so that something else can, and opens the parent again: it may be another one now.
 */
static int make_room(struct tree *t, const char *path, int *at, const char **name, struct err *e)
{
	int r = is_mount(t, *at, *name) ? -EBUSY : unlinkat(*at, *name, 0) < 0 ? -errno : 0;
	if (r == -EISDIR)
		r = remove_tree_at(*at, *name, e);
	else if (r < 0)
		fail(r, "replace", path, e);
	forget_parent(t);
	try(r);
	return parent_of(t, path, at, name, e);
}

static int not_root(const char *path, struct err *e)
{
	return *path ? 0 : err_as(e, ERR_INVALID, "the layer's root is not a directory");
}

static int set_xattrs(int fd, const struct tree_meta *m, const char *path, struct err *e)
{
	for (size_t i = 0; i < m->nxattrs; i++) {
		const struct tree_xattr *x = &m->xattrs[i];
		char q[NAME_QUOTED];
		/* a file system without such attributes loses them, as Docker does */
		if (fsetxattr(fd, x->name, x->value, x->len, 0) == 0 || errno == EOPNOTSUPP)
			continue;
		if (errno == EINVAL || errno == ERANGE || errno == E2BIG)
			return err_as(e, ERR_INVALID, "a bad extended attribute of %s: %s", name_quote(path, q),
				strerror(errno));
		return err_errno(e, -errno, "set an extended attribute of %s", name_quote(path, q));
	}
	return 0;
}

/* Owner first: changing it clears setuid and capabilities. */
static int set_meta(int fd, const struct tree_meta *m, const char *path, struct err *e)
{
	if (fchown(fd, m->uid, m->gid) < 0)
		return fail(-errno, "set the owner of", path, e);
	if (fchmod(fd, m->mode) < 0)
		return fail(-errno, "set the mode of", path, e);
	return set_xattrs(fd, m, path, e);
}

static int remember_time(struct tree *t, const char *path, const struct timespec *mtime, struct err *e)
{
	size_t cost = strlen(path) + 1 + sizeof(struct dir_time);
	if (cost > t->budget->dir_text)
		return err_as(e, ERR_TOO_LARGE, "the layer has too many directories");
	if (t->ntimes == t->captimes) {
		size_t cap = t->captimes ? 2 * t->captimes : 256;
		struct dir_time *v = reallocarray(t->times, cap, sizeof(*v));
		if (!v)
			return err_nomem(e);
		t->times = v;
		t->captimes = cap;
	}
	const char *copy = arena_dup(&t->arena, path);
	if (!copy)
		return err_nomem(e);
	t->budget->dir_text -= cost;
	t->times[t->ntimes++] = (struct dir_time){copy, *mtime};
	return 0;
}

int tree_dir(struct tree *t, const char *path, const struct tree_meta *m, struct err *e)
{
	int at;
	const char *name;
	struct stat st = {};

	if (!*path)
		return remember_time(t, path, &m->mtime, e);
	try(parent_of(t, path, &at, &name, e));
	if (mkdirat(at, name, 0700) < 0) {
		if (errno != EEXIST || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail(-errno, "make the directory", path, e);
		if (!S_ISDIR(st.st_mode)) {
			try(make_room(t, path, &at, &name, e));
			if (mkdirat(at, name, 0700) < 0)
				return fail(-errno, "make the directory", path, e);
		}
	}
	OWN(own_fd) int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, "open the directory", path, e);
	if (is_whiteout(&st) && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return fail(-errno, "make opaque", path, e);
	try(set_meta(fd, m, path, e));
	return remember_time(t, path, &m->mtime, e);
}

int tree_file(struct tree *t, const char *path, int *out, struct err *e)
{
	int at, flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	const char *name;

	try(not_root(path, e));
	try(parent_of(t, path, &at, &name, e));
	int fd = openat(at, name, flags, 0600);
	if (fd < 0 && errno == EEXIST) {
		try(make_room(t, path, &at, &name, e));
		fd = openat(at, name, flags, 0600);
	}
	if (fd < 0)
		return fail(-errno, "create", path, e);
	*out = fd;
	return 0;
}

int tree_file_end(struct tree *t UNUSED, const char *path, int fd, const struct tree_meta *m, struct err *e)
{
	const struct timespec times[2] = {m->mtime, m->mtime};
	int r = set_meta(fd, m, path, e);
	if (r == 0 && futimens(fd, times) < 0)
		r = fail(-errno, "set the time of", path, e);
	close(fd);
	return r;
}

/* Owner and time of something that is not opened: links, devices, pipes. */
static int set_meta_at(int at, const char *name, const struct tree_meta *m, const char *path, struct err *e)
{
	const struct timespec times[2] = {m->mtime, m->mtime};
	if (fchownat(at, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(-errno, "set the owner of", path, e);
	if (utimensat(at, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(-errno, "set the time of", path, e);
	return 0;
}

int tree_symlink(struct tree *t, const char *path, const char *target, const struct tree_meta *m, struct err *e)
{
	int at;
	const char *name;

	try(not_root(path, e));
	if (!*target || strlen(target) > LIMIT_IMAGE_PATH)
		return fail(-ENAMETOOLONG, *target ? "target of the link" : "empty target of the link", path, e);
	try(parent_of(t, path, &at, &name, e));
	if (symlinkat(target, at, name) < 0) {
		if (errno != EEXIST)
			return fail(-errno, "make the link", path, e);
		try(make_room(t, path, &at, &name, e));
		if (symlinkat(target, at, name) < 0)
			return fail(-errno, "make the link", path, e);
	}
	return set_meta_at(at, name, m, path, e);
}

/* Opens the parent of a hard link's target without making anything. */
static int target_parent(struct tree *t, const char *target, int *out, const char **name, struct err *e)
{
	char dir[NAME_PATH], q[NAME_QUOTED];
	const char *slash = strrchr(target, '/');
	size_t n = slash ? (size_t)(slash - target) : 0;

	memcpy(dir, target, n);
	dir[n] = '\0';
	int fd = open_in(t, dir, O_PATH);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || !*target)
		return err_as(e, ERR_INVALID, "a hard link's target %s is not in the layer", name_quote(target, q));
	if (fd < 0)
		return fail(fd, "open the parent of", target, e);
	*out = fd;
	*name = slash ? slash + 1 : target;
	return 0;
}

int tree_link(struct tree *t, const char *path, const char *target, struct err *e)
{
	int at;
	const char *name, *tname = "";
	char q[NAME_QUOTED];
	struct stat st, have;
	OWN(own_fd) int from = -1;

	try(not_root(path, e));
	try(target_parent(t, target, &from, &tname, e));
	if (fstatat(from, tname, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_as(e, ERR_INVALID, "a hard link's target %s is not in the layer", name_quote(target, q));
	if (S_ISDIR(st.st_mode) || is_whiteout(&st))
		return err_as(
			e, ERR_INVALID, "a hard link's target %s is a directory or a whiteout", name_quote(target, q));
	try(parent_of(t, path, &at, &name, e));
	if (linkat(from, tname, at, name, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return fail(-errno, "make the hard link", path, e);
	if (fstatat(at, name, &have, AT_SYMLINK_NOFOLLOW) == 0 && have.st_ino == st.st_ino && have.st_dev == st.st_dev)
		return 0; /* a link to itself, or the same link again */
	try(make_room(t, path, &at, &name, e));
	if (linkat(from, tname, at, name, 0) == 0)
		return 0;
	if (errno == ENOENT) /* the target was inside of the directory that the link replaces */
		return err_as(e, ERR_INVALID, "a hard link's target %s is not in the layer", name_quote(target, q));
	return fail(-errno, "make the hard link", path, e);
}

int tree_node(struct tree *t, const char *path, mode_t type, const struct tree_meta *m, struct err *e)
{
	int at;
	const char *name;

	try(not_root(path, e));
	try(parent_of(t, path, &at, &name, e));
	if (mknodat(at, name, type | m->mode, m->dev) < 0) {
		if (errno != EEXIST)
			return fail(-errno, "make the device", path, e);
		try(make_room(t, path, &at, &name, e));
		if (mknodat(at, name, type | m->mode, m->dev) < 0)
			return fail(-errno, "make the device", path, e);
	}
	return set_meta_at(at, name, m, path, e);
}

int tree_whiteout(struct tree *t, const char *path, struct err *e)
{
	int at;
	const char *name;
	struct stat st;

	try(not_root(path, e));
	try(parent_of(t, path, &at, &name, e));
	if (mknodat(at, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return fail(-errno, "make the whiteout", path, e);
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(-errno, "look at", path, e);
	int r = S_ISDIR(st.st_mode) ? set_opaque(at, name) : 0;
	return r < 0 ? fail(r, "make opaque", path, e) : 0;
}

int tree_opaque(struct tree *t, const char *path, struct err *e)
{
	char below[NAME_PATH + 2];
	int at;
	const char *name;

	/* the parent of anything in it is the directory itself, which is made if no entry did */
	snprintf(below, sizeof(below), "%s%sx", path, *path ? "/" : "");
	try(parent_of(t, below, &at, &name, e));
	int r = set_opaque(at, ".");
	return r < 0 ? fail(r, "make opaque", path, e) : 0;
}

int tree_end(struct tree *t, struct err *e)
{
	forget_parent(t);
	for (size_t i = 0; i < t->ntimes; i++) { /* in order: the last entry of a directory counts */
		const struct dir_time *d = &t->times[i];
		const struct timespec times[2] = {d->mtime, d->mtime};
		OWN(own_fd) int fd = open_in(t, d->path, O_RDONLY | O_NOFOLLOW);
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue; /* a later entry took its place */
		if (fd < 0)
			return fail(fd, "open the directory", d->path, e);
		if (futimens(fd, times) < 0)
			return fail(-errno, "set the time of", d->path, e);
	}
	return 0;
}

void tree_in_use(struct tree *t)
{
	t->in_use = true;
}

int tree_look(const struct tree *t, const char *path, struct stat *st)
{
	char above[NAME_PATH];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	memcpy(above, path, n);
	above[n] = '\0';
	OWN(own_fd) int at = open_in(t, above, O_PATH);
	if (at < 0)
		return at;
	return fstatat(at, slash ? slash + 1 : path, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}
