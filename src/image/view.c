#include "image/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"

#define LINKS_MOST 40 /* as the kernel's own */

/* Opens as the container would see it. */
static int open_inside(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
	long fd;
	do /* EAGAIN: something was renamed or mounted during the walk */
		fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

int view_open_dir(int view, const char *resolved)
{
	return open_inside(view, resolved, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
}

/* A place to mount on, as the runtime would make it. */
static int open_place(int root, const char *path, bool dir, struct err *e)
{
	int fd = open_inside(root, path, O_PATH, 0);
	const char *slash = strrchr(path, '/');
	char above[NAME_PATH];
	if (fd != -ENOENT || !slash || slash - path >= (ptrdiff_t)sizeof(above))
		return fd < 0 ? err_errno(e, fd, "open %s of the container", path) : fd;
	memcpy(above, path, (size_t)(slash - path));
	above[slash - path] = '\0';
	OWN(own_fd) int at = *above ? open_place(root, above, true, e) : open_inside(root, "", O_PATH | O_DIRECTORY, 0);
	if (at < 0)
		return *above ? at : err_errno(e, at, "open the container's root");
	OWN(own_fd) int file = dir ? -1 : openat(at, slash + 1, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (dir ? mkdirat(at, slash + 1, 0755) < 0 && errno != EEXIST : file < 0)
		return err_errno(e, -errno, "make %s of the container", path);
	fd = openat(at, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(e, -errno, "open %s of the container", path) : fd;
}

static int take_tree(int dir, const char *path, unsigned flags, uint64_t attributes, struct err *e)
{
	struct mount_attr a = {.attr_set = attributes};
	OWN(own_fd) int fd = (int)syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | flags);
	if (fd < 0 || (attributes && syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)) < 0))
		return err_errno(e, -errno, "take a view of %s", *path ? path : "the container");
	return STEAL_FD(fd);
}

static int add_bind(int root, char *spec, struct err *e)
{
	struct stat st;
	char *part[4] = {spec, NULL, NULL, NULL};
	for (int i = 1; i < 4; i++) {
		part[i] = strchr(part[i - 1], '\n');
		if (!part[i])
			return err_set(e, -EINVAL, "a bind that is not understood");
		*part[i]++ = '\0';
	}
	OWN(own_fd) int whole = open(part[2], O_PATH | O_CLOEXEC);
	if (whole < 0)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "open %s", part[2]); /* what is missing is not seen */
	OWN(own_fd) int source = *part[3] ? open_inside(whole, part[3], O_PATH, 0) : fcntl(whole, F_DUPFD_CLOEXEC, 0);
	if (source < 0)
		return 0;
	if (fstat(source, &st) < 0)
		return err_errno(e, -errno, "look at %s", part[2]);
	OWN(own_fd) int tree = take_tree(source, "", AT_EMPTY_PATH, streq(part[0], "ro") ? MOUNT_ATTR_RDONLY : 0, e);
	OWN(own_fd) int at = tree < 0 ? -1 : open_place(root, part[1], S_ISDIR(st.st_mode), e);
	if (at < 0)
		return e ? e->code : -EIO;
	if (syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_errno(e, -errno, "mount %s of the container", part[1]);
	return 0;
}

int view_open(const char *root, const struct strv *binds, bool writable, int *out, struct err *e)
{
	const uint64_t restricted = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(e, -errno, "make a mount name space");
	OWN(own_fd) int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open %s", root);
	for (size_t i = 0; i < binds->n; i++) {
		OWN(own_free) char *spec = strdup(binds->v[i]);
		if (!spec)
			return err_nomem(e);
		try(add_bind(fd, spec, e));
	}
	int view = take_tree(fd, "", AT_EMPTY_PATH, restricted | (writable ? 0 : MOUNT_ATTR_RDONLY), e);
	if (view < 0)
		return view;
	*out = view;
	return 0;
}

struct walk {
	char rest[2 * NAME_PATH]; /* still to go */
	char *cur;                /* where we are, without links */
	int links;
};

/* A link's target goes before what is left. */
static int follow(struct walk *w, const char *target, const char *after)
{
	char next[sizeof(w->rest)];
	if (++w->links > LINKS_MOST || snprintf(next, sizeof(next), "%s%s", target, after) >= (int)sizeof(next))
		return -ELOOP;
	if (*target == '/')
		*w->cur = '\0';
	memcpy(w->rest, next, sizeof(next));
	return 0;
}

static int step(int view, struct walk *w, const char *name, const char *after, bool last)
{
	char target[NAME_PATH];
	size_t len = strlen(w->cur);
	struct stat st;
	OWN(own_fd) int at = view_open_dir(view, w->cur);
	if (at < 0)
		return at;
	ssize_t n = readlinkat(at, name, target, sizeof(target) - 1);
	if (n < 0 && errno != EINVAL)
		return -errno;
	if (n >= 0 && (*after || last)) {
		target[n] = '\0';
		return follow(w, target, after);
	}
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (*after && !S_ISDIR(st.st_mode) && n < 0)
		return -ENOTDIR;
	if (snprintf(w->cur + len, NAME_PATH - len, "%s%s", len ? "/" : "", name) >= (int)(NAME_PATH - len))
		return -ENAMETOOLONG;
	memmove(w->rest, after, strlen(after) + 1);
	return 0;
}

int view_resolve(int view, const char *path, bool last, char out[static NAME_PATH], struct err *e)
{
	struct walk w = {.cur = out};
	int r = STR_COPY(w.rest, path) ? 0 : -ENAMETOOLONG;
	*out = '\0';
	while (r >= 0) {
		char name[NAME_MAX + 1];
		size_t skip = strspn(w.rest, "/"), n = strcspn(w.rest + skip, "/");
		const char *after = w.rest + skip + n; /* "" or begins with "/" */
		if (!n)
			return 0;
		if (n > NAME_MAX) {
			r = -ENAMETOOLONG;
			break;
		}
		memcpy(name, w.rest + skip, n);
		name[n] = '\0';
		if (streq(name, ".") || streq(name, "..")) {
			char *slash = strrchr(out, '/');
			if (name[1])
				*(slash ? slash : out) = '\0';
			memmove(w.rest, after, strlen(after) + 1);
			continue;
		}
		r = step(view, &w, name, after, last);
	}
	if (r == -ENOENT)
		return err_as(e, ERR_NOT_FOUND, "no such file or directory");
	return r == -ENOTDIR || r == -ELOOP || r == -ENAMETOOLONG ? err_as(e, ERR_INVALID, "lstat %s: %s", path, strerror(-r)) : err_errno(e, r, "lstat %s", path);
}
