#include "image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "image/name.h"
#include "image/source.h"
#include "image/tar.h"
#include "image/tree.h"

struct unpack {
	struct tar *tar;
	struct tree *tree;
	struct archive_entry *entry;
	const char *path;
	uint64_t size; /* of all files so far */
	struct tree_meta meta;
	struct err *e;
	const struct layer_place *place; /* NULL: it is a layer */
	char placed[NAME_PATH];          /* the path below the place */
};

static int bad(struct unpack *u, const char *what)
{
	char q[NAME_QUOTED];
	return err_as(u->e, ERR_INVALID, "%s has %s", name_quote(u->path, q), what);
}

/* Which extended attributes an archive may set. trusted.* steers overlayfs (a forged trusted.overlay.redirect would
 * show other directories), user.overlay.* does the same in mounts with userxattr, and the rest of security.* belongs to
 * the host's policy. Docker's own layers carry security.capability only. */
bool layer_xattr_wanted(const char *name, bool regular)
{
	if (streq(name, "security.capability"))
		return regular;
	return str_starts(name, "user.") && !str_starts(name, "user.overlay.");
}

static int read_xattrs(struct unpack *u, unsigned type)
{
	struct tree_meta *m = &u->meta;
	const char *name;
	const void *value;
	size_t n;

	m->nxattrs = 0;
	if (type != AE_IFREG && type != AE_IFDIR)
		return 0;
	archive_entry_xattr_reset(u->entry);
	while (archive_entry_xattr_next(u->entry, &name, &value, &n) == 0) {
		if (!name || !layer_xattr_wanted(name, type == AE_IFREG))
			continue;
		if (m->nxattrs == LIMIT_IMAGE_XATTRS)
			return bad(u, "too many extended attributes");
		if (n > LIMIT_IMAGE_XATTR || strlen(name) > NAME_MAX)
			return bad(u, "an extended attribute that is too large");
		m->xattrs[m->nxattrs++] = (struct tree_xattr){name, value, n};
	}
	return 0;
}

static int read_meta(struct unpack *u, unsigned type)
{
	struct tree_meta *m = &u->meta;
	int64_t uid = archive_entry_uid(u->entry), gid = archive_entry_gid(u->entry);

	/* 2^32-1 would mean "leave it as it is" to chown */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return bad(u, "an owner that is not a user or group id");
	m->uid = u->place && u->place->own ? u->place->uid : (uid_t)uid;
	m->gid = u->place && u->place->own ? u->place->gid : (gid_t)gid;
	m->mode = archive_entry_perm(u->entry) & 07777;
	m->mtime = (struct timespec){0};
	if (archive_entry_mtime_is_set(u->entry)) {
		m->mtime.tv_sec = archive_entry_mtime(u->entry);
		m->mtime.tv_nsec = archive_entry_mtime_nsec(u->entry);
	}
	if (m->mtime.tv_nsec < 0 || m->mtime.tv_nsec > 999999999)
		m->mtime.tv_nsec = 0;
	m->dev = type == AE_IFCHR || type == AE_IFBLK ? makedev((unsigned)archive_entry_rdevmajor(u->entry),
								(unsigned)archive_entry_rdevminor(u->entry))
						      : 0;
	return read_xattrs(u, type);
}

static int put_file(struct unpack *u)
{
	int fd = -1;
	uint64_t size = 0;
	try(tree_file(u->tree, u->path, &fd, u->e));
	int r = tar_copy(u->tar, u->entry, fd, NULL, &size, u->e);
	if (r < 0) {
		close(fd);
		return r;
	}
	u->size += size;
	return tree_file_end(u->tree, u->path, fd, &u->meta, u->e);
}

static int below_place(struct unpack *u, const char *path, char out[static NAME_PATH])
{
	const char *prefix = u->place->prefix;
	if (snprintf(out, NAME_PATH, "%s%s%s", prefix, *prefix && *path ? "/" : "", path) >= NAME_PATH)
		return bad(u, "a path that is too long");
	return 0;
}

static int put_link(struct unpack *u, const char *target)
{
	char clean[NAME_PATH];
	char q[NAME_QUOTED];
	if (name_clean(target, clean, u->e) < 0)
		return err_ctx(u->e, "target of the hard link %s", name_quote(u->path, q));
	if (u->place) {
		char below[NAME_PATH];
		try(below_place(u, clean, below));
		return tree_link(u->tree, u->path, below, u->e);
	}
	return tree_link(u->tree, u->path, clean, u->e);
}

static int put_plain(struct unpack *u)
{
	const char *hard = archive_entry_hardlink(u->entry), *target;
	if (hard)
		return put_link(u, hard);
	unsigned type = archive_entry_filetype(u->entry);
	try(read_meta(u, type));
	switch (type) {
	case AE_IFREG:
		return put_file(u);
	case AE_IFDIR:
		return tree_dir(u->tree, u->path, &u->meta, u->e);
	case AE_IFLNK:
		target = archive_entry_symlink(u->entry);
		return tree_symlink(u->tree, u->path, target ? target : "", &u->meta, u->e);
	case AE_IFCHR:
		return tree_node(u->tree, u->path, S_IFCHR, &u->meta, u->e);
	case AE_IFBLK:
		return tree_node(u->tree, u->path, S_IFBLK, &u->meta, u->e);
	case AE_IFIFO:
		return tree_node(u->tree, u->path, S_IFIFO, &u->meta, u->e);
	}
	return bad(u, "a type that no file system has");
}

static int put(struct unpack *u)
{
	enum name_kind kind = NAME_PLAIN;
	const char *hidden = NULL;
	char where[NAME_PATH];
	size_t n;

	try(name_classify(u->path, &kind, &hidden, u->e));
	switch (kind) {
	case NAME_PLAIN:
		return put_plain(u);
	case NAME_IGNORED:
		return 0;
	case NAME_OPAQUE:
		n = (size_t)(strrchr(u->path, '/') ? strrchr(u->path, '/') - u->path : 0);
		memcpy(where, u->path, n);
		where[n] = '\0';
		return tree_opaque(u->tree, where, u->e);
	case NAME_WHITEOUT:
		n = (size_t)(hidden - u->path) - strlen(".wh.");
		memcpy(where, u->path, n);
		strcpy(where + n, hidden);
		return tree_whiteout(u->tree, where, u->e);
	}
	return 0;
}

int layer_unpack_into(struct job *j, int fd, int diff, struct sink *tee, const struct job_progress *p, struct layer *out, struct err *e)
{
	OWN(own_tar) struct tar *tar = NULL;
	OWN(own_tree) struct tree *tree = NULL;
	struct unpack u = {.e = e};
	char diff_id[DIGEST_TEXT];
	int r;

	try(tar_open(j, fd, p, tee, &tar, e));
	try(tree_new(diff, &j->budget, &tree, e));
	u.tar = tar;
	u.tree = tree;
	while ((r = tar_next(tar, &u.entry, &u.path, e)) > 0)
		try(put(&u));
	try(r);
	try(tar_end(tar, diff_id, e));
	try(tree_end(tree, e));
	memcpy(out->diff_id, diff_id, sizeof(diff_id));
	out->size = (int64_t)u.size;
	return 0;
}

#define BLOB_PATH (JOB_DIR + 8)

static const char *blob_path(const char *dir, char out[static BLOB_PATH])
{
	snprintf(out, BLOB_PATH, "%s/blob", dir);
	return out;
}

int layer_unpack(struct job *j, int fd, const struct job_progress *p, struct layer *out, struct err *e)
{
	OWN(own_fd) int diff = -1, blob = -1;
	OWN(own_sink) struct sink *tee = NULL;
	struct layer l = {};
	char path[BLOB_PATH];
	try(job_new_layer(j, l.dir, &diff, e));
	blob = openat(j->dir, blob_path(l.dir, path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (blob < 0)
		return err_errno(e, -errno, "create %s", path);
	try(sink_open(blob, SINK_ZSTD, &tee, e));
	try(layer_unpack_into(j, fd, diff, tee, p, &l, e));
	try(sink_end(tee, NULL, e));
	*out = l;
	return 0;
}

int layer_unpack_file(struct job *j, int dir, const char *name, const struct job_progress *p, struct layer *out, struct err *e)
{
	OWN(own_fd) int diff = -1, fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct layer l = {};
	char path[BLOB_PATH];
	if (fd < 0)
		return err_errno(e, -errno, "open %s", name);
	if (!source_is_packed(fd))
		return layer_unpack(j, fd, p, out, e);
	try(job_new_layer(j, l.dir, &diff, e));
	try(layer_unpack_into(j, fd, diff, NULL, p, &l, e));
	if (linkat(dir, name, j->dir, blob_path(l.dir, path), 0) < 0)
		return err_errno(e, -errno, "keep %s", name);
	*out = l;
	return 0;
}

/* What stands there already must be of the same kind, if that was asked for. */
static int check_kind(struct unpack *u)
{
	struct stat st;
	char q[NAME_QUOTED];
	bool dir = archive_entry_filetype(u->entry) == AE_IFDIR && !archive_entry_hardlink(u->entry);
	if (!u->place->keep_kinds || tree_look(u->tree, u->path, &st) < 0 || S_ISDIR(st.st_mode) == dir)
		return 0;
	return err_as(u->e, ERR_INVALID, dir ? "cannot overwrite non-directory %s with directory" : "cannot overwrite directory %s with non-directory", name_quote(u->path, q));
}

static int put_placed(struct unpack *u, const char *path)
{
	if (!*path)
		return 0; /* the place itself stays as it is */
	u->path = path;
	try(below_place(u, path, u->placed));
	u->path = u->placed;
	try(check_kind(u));
	return put_plain(u);
}

int layer_extract(struct job *j, int fd, int root, const struct layer_place *place, struct err *e)
{
	OWN(own_tar) struct tar *tar = NULL;
	OWN(own_tree) struct tree *tree = NULL;
	struct unpack u = {.e = e, .place = place};
	char digest[DIGEST_TEXT];
	const char *path;
	int r;
	try(tar_open(j, fd, NULL, NULL, &tar, e));
	try(tree_new(root, &j->budget, &tree, e));
	tree_in_use(tree);
	u.tar = tar;
	u.tree = tree;
	while ((r = tar_next(tar, &u.entry, &path, e)) > 0)
		try(put_placed(&u, path));
	try(r);
	try(tar_end(tar, digest, e));
	return tree_end(tree, e);
}
