/* view: a container's files as one tree of mounts of our own: its root file system and, where the container has them, volumes and binds. Made before the
 * confinement; what is in it is a container's and not trusted. Afterwards paths are walked with the view as their root. */
#pragma once

#include "base/err.h"
#include "base/strv.h"
#include "image/name.h"

/* root: path of the mounted root file system. binds: "ro\nDESTINATION\nSOURCE\nSUBPATH" (or "rw..."), those nearer to the root first. Needs CAP_SYS_ADMIN. */
int view_open(const char *root, const struct strv *binds, bool writable, int *out, struct err *e);
/* The path as it is without links, relative to the view ("" = its root). last: a link at its end is followed, too (it always is before "/" or "/.").
 * NOT_FOUND, or INVALID for a way through what is no directory. */
int view_resolve(int view, const char *path, bool last, char out[static NAME_PATH], struct err *e);
int view_open_dir(int view, const char *resolved); /* O_PATH; -errno */
