#include "image/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "image/tar_tree.h"
#include "image/view.h"

uint32_t copy_go_mode(mode_t m)
{
	uint32_t g = m & 0777;
	g |= S_ISDIR(m) ? 1u << 31 : S_ISLNK(m) ? 1u << 27 : S_ISBLK(m) ? 1u << 26 : S_ISCHR(m) ? 1u << 26 | 1u << 21 : S_ISFIFO(m) ? 1u << 25 : S_ISSOCK(m) ? 1u << 24 : 0;
	return g | (m & S_ISUID ? 1u << 23 : 0) | (m & S_ISGID ? 1u << 22 : 0) | (m & S_ISVTX ? 1u << 20 : 0);
}

/* What it is called: the last part of the path without "." and ".." as they are written ("/tmp/.." is "/"). "/." at its end means what is in the directory: "." then. */
static const char *base_of(const char *path, char out[static NAME_PATH])
{
	size_t n = strlen(path), up = 0;
	if (n && path[n - 1] == '.' && (n == 1 || path[n - 2] == '/'))
		return ".";
	while (n > 0) {
		while (n > 0 && path[n - 1] == '/')
			n--;
		size_t start = n;
		while (start > 0 && path[start - 1] != '/')
			start--;
		size_t len = n - start;
		if (len == 2 && path[start] == '.' && path[start + 1] == '.')
			up++;
		else if (len && !(len == 1 && path[start] == '.') && (up == 0 || up-- == 0)) {
			snprintf(out, NAME_PATH, "%.*s", (int)len, path + start);
			return out;
		}
		n = start;
	}
	return "/";
}

static bool follows(const char *path)
{
	size_t n = strlen(path);
	return n && (path[n - 1] == '/' || (path[n - 1] == '.' && (n == 1 || path[n - 2] == '/')));
}

/* The directory that holds what was found, and its name there ("." for the view's root). */
static int parent_of(int view, const char *found, const char **name)
{
	char above[NAME_PATH];
	const char *slash = strrchr(found, '/');
	size_t n = slash ? (size_t)(slash - found) : 0;
	memcpy(above, found, n);
	above[n] = '\0';
	*name = slash ? slash + 1 : *found ? found : ".";
	return view_open_dir(view, above);
}

int copy_stat(struct job *j, int view, const char *path, struct err *e)
{
	char found[NAME_PATH], target[NAME_PATH] = "", base[NAME_PATH], when[TIME_TEXT];
	const char *name;
	struct stat st;
	try(view_resolve(view, path, follows(path), found, e));
	OWN(own_fd) int dir = parent_of(view, found, &name);
	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || dir == -ENOENT ? err_as(e, ERR_NOT_FOUND, "no such file or directory") : err_errno(e, dir < 0 ? dir : -errno, "lstat %s", path);
	if (S_ISLNK(st.st_mode)) {
		char where[NAME_PATH];
		struct err broken = {};
		if (view_resolve(view, path, true, where, &broken) >= 0)
			snprintf(target, sizeof(target), "/%s", where);
		else if (readlinkat(dir, name, target, sizeof(target) - 1) < 0) /* leads nowhere: as it is written */
			return err_errno(e, -errno, "readlink %s", path);
	}
	str_make_utf8(target);
	const char *called = base_of(path, base);
	str_make_utf8(base);
	return job_tell_json(j, json_pack("{s:s, s:I, s:I, s:s, s:s}", "name", called, "size", (json_int_t)st.st_size, "mode", (json_int_t)copy_go_mode(st.st_mode), "mtime",
		st.st_mtim.tv_sec || st.st_mtim.tv_nsec ? time_format((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, when) : "1970-01-01T00:00:00Z", "linkTarget", target), e);
}

int copy_take(struct job *j, int view, const char *path, int out, struct err *e)
{
	OWN(own_sink) struct sink *s = NULL;
	OWN(own_tar_tree) struct tar_tree *t = NULL;
	char found[NAME_PATH], base[NAME_PATH];
	const char *name;
	try(view_resolve(view, path, follows(path), found, e));
	const char *as = base_of(path, base);
	bool inside = streq(as, ".") || streq(as, "/");
	OWN(own_fd) int dir = inside ? view_open_dir(view, found) : parent_of(view, found, &name);
	if (dir < 0)
		return dir == -ENOENT ? err_as(e, ERR_NOT_FOUND, "no such file or directory") : err_errno(e, dir, "open %s", path);
	try(sink_open(out, SINK_PLAIN, &s, e));
	struct tar_writer w = tar_writer_to(s);
	try(tar_tree_new(&w, TAR_TREE_PLAIN, &t, e));
	try(tar_tree_put(t, dir, inside ? "." : name, as, e));
	try(tar_write_end(&w, e));
	try(sink_end(s, NULL, e));
	return job_tell_json(j, json_object(), e);
}

static int check_writable(int view, int dir, bool read_only, struct err *e)
{
	struct stat top, here;
	struct statvfs fs;
	if (fstat(view, &top) < 0 || fstat(dir, &here) < 0 || fstatvfs(dir, &fs) < 0)
		return err_errno(e, -errno, "look at the directory");
	if (top.st_dev == here.st_dev && read_only)
		return err_set(e, -EROFS, "container rootfs is marked read-only");
	return fs.f_flag & ST_RDONLY ? err_set(e, -EROFS, "mounted volume is marked read-only") : 0;
}

int copy_put(struct job *j, int view, const struct copy_in *in, struct err *e)
{
	char found[NAME_PATH];
	struct layer_place place = in->place;
	try(view_resolve(view, in->path, true, found, e));
	OWN(own_fd) int dir = view_open_dir(view, found);
	if (dir == -ENOTDIR)
		return err_as(e, ERR_INVALID, "extraction point is not a directory");
	if (dir < 0)
		return dir == -ENOENT ? err_as(e, ERR_NOT_FOUND, "no such file or directory") : err_errno(e, dir, "open %s", in->path);
	try(check_writable(view, dir, in->read_only, e));
	place.prefix = found;
	try(layer_extract(j, j->in, view, &place, e));
	return job_tell_json(j, json_object(), e);
}
