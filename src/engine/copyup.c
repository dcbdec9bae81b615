#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "base/map.h"
#include "engine/volume.h"

#define XATTR_LIST 65536 /* XATTR_LIST_MAX */

struct copying {
	int root; /* of the copy */
	struct arena mem;
	struct map linked; /* (device, inode) of a file with several names -> its path below root */
};

struct file_key {
	uint64_t dev, ino;
};

static int fail(const char *what, const char *name, struct err *e)
{
	return err_errno(e, -errno, "copy the image's content into the volume: %s %.200s", what, name);
}

/* Labels are the host's business, overlay's own attributes are not seen here. */
static bool is_copied(const char *xattr)
{
	return !streq(xattr, "security.selinux") && !str_starts(xattr, "trusted.overlay.");
}

static int copy_xattrs(int src, int dst, const char *name, struct err *e)
{
	OWN(own_free) char *list = NULL, *value = NULL;
	ssize_t n = flistxattr(src, NULL, 0);
	if (n <= 0)
		return n == 0 || errno == ENOTSUP ? 0 : fail("attributes of", name, e);
	list = malloc(XATTR_LIST);
	value = malloc(LIMIT_IMAGE_XATTR);
	if (!list || !value)
		return err_nomem(e);
	n = flistxattr(src, list, XATTR_LIST);
	if (n < 0)
		return fail("attributes of", name, e);
	for (const char *p = list; p < list + n; p += strlen(p) + 1) {
		ssize_t len = is_copied(p) ? fgetxattr(src, p, value, LIMIT_IMAGE_XATTR) : -1;
		if (len >= 0 && fsetxattr(dst, p, value, (size_t)len, 0) < 0 && errno != ENOTSUP)
			return fail("attributes of", name, e);
	}
	return 0;
}

/* The owner first: changing it takes away the set-id bits. */
static int copy_attributes(int src, int dst, const struct stat *st, const char *name, struct err *e)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	if (fchown(dst, st->st_uid, st->st_gid) < 0)
		return fail("chown", name, e);
	try(copy_xattrs(src, dst, name, e));
	if (fchmod(dst, st->st_mode & 07777) < 0 || futimens(dst, times) < 0)
		return fail("chmod", name, e);
	return 0;
}

static int copy_bytes(int src, int dst, const char *name, struct err *e)
{
	ssize_t n;
	do {
		n = sendfile(dst, src, NULL, 1u << 30);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? fail("write", name, e) : 0;
}

/* A further name of a file that was copied. 1: done. */
static int link_again(struct copying *c, const struct stat *st, int dst, const char *name, const char *path, struct err *e)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	struct file_key *k = arena_new(&c->mem, struct file_key, 1);
	if (st->st_nlink < 2)
		return 0;
	if (!k)
		return err_nomem(e);
	*k = (struct file_key){st->st_dev, st->st_ino};
	const char *first = map_get(&c->linked, k, sizeof(*k));
	if (!first) {
		char *own = arena_dup(&c->mem, path);
		return !own || map_put(&c->linked, k, sizeof(*k), own) < 0 ? err_nomem(e) : 0;
	}
	OWN(own_fd) int fd = (int)syscall(SYS_openat2, c->root, first, &how, sizeof(how));
	return fd >= 0 && linkat(fd, "", dst, name, AT_EMPTY_PATH) == 0; /* gone meanwhile: it is copied once more */
}

static int copy_file(struct copying *c, int src, int dst, const char *name, const char *path, const struct stat *st, struct err *e)
{
	int r = link_again(c, st, dst, name, path, e);
	if (r != 0)
		return r < 0 ? r : 0;
	OWN(own_fd) int in = openat(src, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	OWN(own_fd) int out = in < 0 ? -1 : openat(dst, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return fail("open", name, e);
	try(copy_bytes(in, out, name, e));
	return copy_attributes(in, out, st, name, e);
}

static int copy_other(int src, int dst, const char *name, const struct stat *st, struct err *e)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	char target[LIMIT_IMAGE_PATH + 1];
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(src, name, target, sizeof(target) - 1);
		if (n < 0)
			return fail("read link", name, e);
		target[n] = '\0';
		if (symlinkat(target, dst, name) < 0)
			return fail("make link", name, e);
	} else if (mknodat(dst, name, st->st_mode & (S_IFMT | 07777), st->st_rdev) < 0) {
		return fail("make", name, e);
	}
	if (fchownat(dst, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 || utimensat(dst, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail("chown", name, e);
	if (S_ISLNK(st->st_mode))
		return 0;
	OWN(own_fd) int fd = openat(dst, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char self[32];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return fd < 0 || chmod(self, st->st_mode & 07777) < 0 ? fail("chmod", name, e) : 0;
}

static int copy_dir(struct copying *c, int src, int dst, const char *path, unsigned depth, struct err *e);

static int copy_entry(struct copying *c, int src, int dst, const char *name, const char *path, unsigned depth, struct err *e)
{
	struct stat st;
	if (fstatat(src, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail("look at", name, e);
	if (S_ISREG(st.st_mode))
		return copy_file(c, src, dst, name, path, &st, e);
	if (!S_ISDIR(st.st_mode))
		return copy_other(src, dst, name, &st, e);
	if (mkdirat(dst, name, 0700) < 0)
		return fail("make", name, e);
	OWN(own_fd) int in = openat(src, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), out = openat(dst, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || out < 0)
		return fail("open", name, e);
	return copy_dir(c, in, out, path, depth + 1, e);
}

static int copy_dir(struct copying *c, int src, int dst, const char *path, unsigned depth, struct err *e)
{
	struct stat st;
	const struct dirent *x;
	if (depth > LIMIT_IMAGE_DEPTH)
		return err_as(e, ERR_INVALID, "the image's content for a volume is more than %d directories deep", LIMIT_IMAGE_DEPTH);
	OWN(own_fd) int again = openat(src, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN(own_dir) DIR *d = again < 0 ? NULL : fdopendir(again);
	if (!d || fstat(src, &st) < 0)
		return fail("read", path, e);
	again = -1;
	while ((errno = 0, x = readdir(d))) {
		if (streq(x->d_name, ".") || streq(x->d_name, ".."))
			continue;
		OWN(own_free) char *below = NULL;
		if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", x->d_name) < 0)
			return err_nomem(e);
		try(copy_entry(c, src, dst, x->d_name, below, depth, e));
	}
	if (errno)
		return fail("read", path, e);
	return copy_attributes(src, dst, &st, path, e);
}

int copy_tree(int src, int dst, struct err *e)
{
	struct copying c = {.root = dst};
	int r = copy_dir(&c, src, dst, "", 0, e);
	map_free(&c.linked);
	arena_free(&c.mem);
	return r;
}
