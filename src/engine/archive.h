/* archive: files of a container, running or not: what a path is, as a tar, out of a tar; the whole; what it changed. Its root is mounted as long as it is
 * needed and no longer. The daemon itself reads no archive and walks no path of a container but in `changes`: that is pontoon-image's, confined.
 * Thread safe. What is not there: NOT_FOUND "no such file or directory". */
#pragma once

#include "engine/engine.h"

struct archive_of { /* whose files */
	const struct container *c;
	const struct image *image;
	struct engine_layers layers;
	const char *hosts, *hostname, *resolv; /* bound over /etc/...; NULL: none */
};
int engine_path_stat(struct engine *en, const struct archive_of *o, const char *path, json_t **out, struct err *e); /* as X-Docker-Container-Path-Stat has it */
int engine_archive_take(struct engine *en, const struct archive_of *o, const char *path, int out, struct err *e);
/* keep_kinds: noOverwriteDirNonDir. as_user: everything gets the container's user as owner. */
int engine_archive_put(struct engine *en, const struct archive_of *o, const char *path, int in, bool keep_kinds, bool as_user, struct err *e);
int engine_export(struct engine *en, const struct archive_of *o, int out, struct err *e);
int engine_changes(struct engine *en, const struct archive_of *o, json_t **out, struct err *e); /* [{"Path","Kind"}]: 0 changed, 1 added, 2 deleted */
