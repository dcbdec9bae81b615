/* binds: where the mounts of a container come from: sources of binds, volumes and parts of them, a shared /dev/shm. Private to engine/. */
#pragma once

#include "engine/engine_int.h"

/* Of each of the container's mount points, in the arena; the bundle's directory is there. */
struct bind_from {
	const char *path, *flags; /* flags: ",ro,nosuid": what is so at the source */
};
int binds_prepare(struct engine *en, const struct container *c, struct arena *a, const struct bind_from **out, struct err *e);
int bundle_umount(struct engine *en, const char *id, struct err *e); /* what these two mount in the bundle */
const char *path_shm(const struct engine *en, const char *id, char out[static PATH_SIZE + 8]);
int shm_make(struct engine *en, const struct container *c, struct err *e); /* of mode shareable; others need none */
