/* tar_tree: files and directories, open by descriptor, as entries of a tar. Whoever owns the tree may change it meanwhile and is not trusted: every name is opened
 * by descriptor without following a link, what is no regular file is never opened, and a file that grows or shrinks is cut or filled to the size
 * that was announced. What vanishes before its turn is left out. Sorted by name, so that the same tree gives the same bytes.
 * Attributes: owner, mode, time, user.* and security.capability; sockets are left out. Holes are not read. */
#pragma once

#include "image/tar_write.h"

enum tar_tree_kind {
	TAR_TREE_PLAIN, /* as it is */
	TAR_TREE_LAYER, /* an upper directory of overlayfs: its whiteouts and opaque directories become ".wh." entries */
};

struct tar_tree;

/* w outlives it and may be used between the calls. Hard links are known across all calls for one tar_tree. */
int tar_tree_new(struct tar_writer *w, enum tar_tree_kind kind, struct tar_tree **out, struct err *e);
void tar_tree_free(struct tar_tree *t); /* NULL is fine */
static inline void own_tar_tree(struct tar_tree **t)
{
	tar_tree_free(*t);
}
/* What `name` is in the directory `dir` (of the last part of the path no link is followed), and everything below it. It is called `as` in the tar; as "": only
 * what is below the directory. name ".": the directory itself. Errors: ERR_INVALID for a name that a layer cannot hold or that is too long. */
int tar_tree_put(struct tar_tree *t, int dir, const char *name, const char *as, struct err *e);

/* A private view of the directory: read-only, without devices that could be opened and without what is mounted below it. Before the
 * confinement; needs CAP_SYS_ADMIN. */
int tar_tree_view(int dir, int *out, struct err *e);
