/* tree: writes one layer's files below one directory, from names chosen by an enemy. Every path is resolved by the kernel with the
 * directory as its root (openat2, RESOLVE_IN_ROOT): no name, symbolic link or hard link leads out. Uses: mkdir, mknod, link, symlink, open O_EXCL.
 * Paths are clean (name_clean); "" is the directory itself. Not thread safe; nobody else may write in the directory meanwhile. */
#pragma once

#include <sys/stat.h>

#include "base/err.h"
#include "base/limits.h"
#include "image/job.h"

struct tree;

struct tree_xattr {
	const char *name;
	const void *value;
	size_t len;
};

struct tree_meta {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits with setuid, setgid, sticky */
	struct timespec mtime;
	dev_t dev; /* devices */
	struct tree_xattr xattrs[LIMIT_IMAGE_XATTRS]; /* already chosen: user.*, security.capability */
	size_t nxattrs;
};

/* `root` stays the caller's. Counts down b->entries for directories that no entry named, b->dir_text for times of directories. */
int tree_new(int root, struct job_budget *b, struct tree **out, struct err *e);
void tree_free(struct tree *t); /* NULL is fine; removes nothing */
static inline void own_tree(struct tree **t)
{
	tree_free(*t);
}

/* A later entry takes an earlier one's place; a directory over a directory keeps what is in it. Directories above that no entry named
 * are made with mode 0755. Of "" only the time is taken: a container's "/" stays root's, mode 0755, as in Docker. */
int tree_dir(struct tree *t, const char *path, const struct tree_meta *m, struct err *e);
/* A new empty file, open for writing; finish it with tree_file_end, which closes it. */
int tree_file(struct tree *t, const char *path, int *fd, struct err *e);
int tree_file_end(struct tree *t, const char *path, int fd, const struct tree_meta *m, struct err *e);
int tree_symlink(struct tree *t, const char *path, const char *target, const struct tree_meta *m, struct err *e);
/* A second name of `target`, which must be in this layer and not a directory. */
int tree_link(struct tree *t, const char *path, const char *target, struct err *e);
/* type: S_IFCHR, S_IFBLK, S_IFIFO */
int tree_node(struct tree *t, const char *path, mode_t type, const struct tree_meta *m, struct err *e);
/* Hides `path` of the layers below: a device 0:0. What this layer itself has there stays (the whiteout then makes a directory opaque). */
int tree_whiteout(struct tree *t, const char *path, struct err *e);
/* The directory hides everything that the layers below have in it. */
int tree_opaque(struct tree *t, const char *path, struct err *e);
/* Sets the times of all directories: after the last entry. */
int tree_end(struct tree *t, struct err *e);

/* The tree is one in use: mounts in it may be crossed, and there are no whiteouts. */
void tree_in_use(struct tree *t);
/* What stands at the path; -errno. */
int tree_look(const struct tree *t, const char *path, struct stat *st);
