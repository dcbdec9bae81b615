/* mounts: from the four places where a user may ask for them (--volumes-from, -v, --mount, VOLUME) to one list. Pure. */
#pragma once

#include "model/world.h"

/* API type MountPoint, with what the engine has to know besides. Stored with the container. */
struct mount_point {
	const char *type;        /* "bind", "volume", "tmpfs" */
	const char *name;        /* of a volume */
	const char *source;      /* of a bind */
	const char *destination; /* clean and absolute */
	const char *mode;        /* as it was written: "ro,z"; "z" for a named volume without */
	const char *propagation; /* of a bind */
	const char *options;     /* of a tmpfs */
	const char *subpath;     /* of a volume: what of it is mounted */
	bool rw;
	bool anonymous;          /* goes with the container when that is removed with its volumes */
	bool nocopy;             /* the image's content is not copied into it */
	bool make_source;        /* -v: a missing directory is made; --mount: it is an error */
	bool flat;               /* without what is mounted below the source */
	bool deep_ro;            /* what is mounted below is read-only, too, or it fails */
	struct kvs labels, driver_opts; /* of a volume that this makes; not stored */
};
extern const struct json_field mount_point_table[];

/* "source:target:mode", "source:target" or "target", cut; mode "" if there is none. False: it is none of these. */
bool bind_split(struct arena *a, const char *s, const char **source, const char **target, const char **mode);
/* At most one word of each kind: rw or ro, z or Z, nocopy, a propagation, a consistency. */
bool mode_is_good(const char *mode);
/* Is the word in the comma separated mode? Its propagation mode, if it has one. */
bool mode_has(const char *mode, const char *word);
const char *mode_propagation(const char *mode, const char *otherwise);
/* The path without "//", "." and "..", as Go's path.Clean makes it. NULL when out of memory. */
char *path_clean(struct arena *a, const char *path);

/* How many names of anonymous volumes mounts_resolve may take. */
size_t mounts_names(const struct container_spec *s);
/* Fills s->mount_points. names: that many ids of 64 digits for volumes without a name. s must have been checked and
 * merged with its image. Errors: NOT_FOUND for the container of --volumes-from, INVALID for its mode. */
int mounts_resolve(struct container_spec *s, const struct world *w, char (*names)[ID_TEXT], struct arena *a, struct err *e);
/* Does a container have the volume among its mount points? */
bool mounts_use(const struct container *c, const char *volume);
/* Names, as "[id id]", of the containers that have it; NULL when none has. */
const char *world_volume_users(const struct world *w, const char *volume, struct arena *a);
