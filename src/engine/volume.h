/* volume: directories below <data-root>/volumes, what is mounted on them while they are used, and the image's content that a new one begins with.
 * <data-root>/volumes/<name>/_data is what a container sees. Beside it lies `unsettled` while the store may not yet, or no longer, know the volume: a
 * directory that has it and no row goes at the next start; one without both is somebody's data and is kept.
 * Thread safe; calls for one volume are ordered by the caller (ops/ holds a lock a volume). */
#pragma once

#include "engine/engine.h"
#include "model/mounts.h"

const char *engine_volume_path(const struct engine *en, const char *name, struct arena *a); /* .../_data */
int engine_volume_make(struct engine *en, const char *name, struct err *e);   /* unsettled; one that is there is fine */
int engine_volume_settle(struct engine *en, const char *name, struct err *e); /* its row is committed */
int engine_volume_unsettle(struct engine *en, const char *name, struct err *e); /* before its row goes */
int engine_volume_remove(struct engine *en, const char *name, struct err *e); /* unmounts, removes; absent is fine */
/* Mounts what the options say; mounted already, or no options: fine. */
int engine_volume_mount(struct engine *en, const char *name, const struct kvs *options, struct err *e);
int engine_volume_umount(struct engine *en, const char *name, struct err *e); /* not mounted: fine */
struct volume_found {
	const char *name;
	bool unsettled;
};
int engine_volumes_scan(struct engine *en, struct arena *a, struct volume_found **out, size_t *n, struct err *e);

/* Binds whose source has to be there: ERR_INVALID names the one that is not. */
int engine_binds_check(const struct container_spec *s, struct err *e);
/* Copies what the image has at the destinations of a new container's volumes into those that are empty. */
int engine_volumes_fill(struct engine *en, const struct container_spec *s, const char *id, const struct engine_layers *l, struct err *e);

/* copyup.c: the tree below src into dst, which is empty; owners, modes, times, extended attributes and hard links too. src is what an image holds,
 * dst what other containers may be writing at: every step is by descriptor and follows no link. */
int copy_tree(int src, int dst, struct err *e);

/* The words of `mount -o`: flags of mount(2), a propagation (0: none), and what is left for the file system. */
struct mount_words {
	unsigned long flags, propagation;
	bool bind;
	char data[1024];
};
int mount_words_parse(const char *text, struct mount_words *out, struct err *e);
