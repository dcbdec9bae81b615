/* volume: the verbs of volumes, and what containers need of them. A volume's lock (life_lock of "volume/<name>") orders its creation, removal, mounting and
 * unmounting; it is taken after a container's, several in the order of their names. */
#pragma once

#include "engine/volume.h"
#include "ops/op.h"

struct volume_spec { /* API type VolumeCreateOptions */
	const char *name, *driver;
	struct kvs labels, options;
};
extern const struct json_field volume_spec_table[];
/* name "" = a generated one, and the volume is anonymous. One that is there already is fine. */
int op_volume_create(struct core *c, const struct volume_spec *s, char out_name[static LIMIT_VOLUME_NAME + 1], struct err *e);
int op_volume_remove(struct core *c, const char *name, bool force, struct err *e);
/* Those that no container has and the filters match, anonymous ones or all. freed: bytes. */
int op_volume_prune(struct core *c, bool all, const struct kvs *label_filters, struct arena *a, struct strv *deleted, int64_t *freed, struct err *e);

/* The names of a container's volumes, each once, in order; locked together. */
int volumes_names(const struct container_spec *s, struct arena *a, struct strv *out, struct err *e);
int volumes_lock(struct core *c, const struct strv *names, struct err *e);
void volumes_unlock(struct core *c, const struct strv *names);
/* The following hold the locks. */
/* Directories for those that are not there yet, which come back in *made; mounts of all that need one. Undone by volumes_undo. */
int volumes_make(struct core *c, const struct container_spec *s, const struct strv *names, struct arena *a, struct strv *made, struct err *e);
int volumes_put(struct op *op, const struct container_spec *s, const struct strv *made, struct err *e); /* their rows and events */
void volumes_settle(struct core *c, const struct strv *made);
void volumes_undo(struct core *c, const struct strv *made);
/* Unmounts those that no running container has. */
void volumes_release(struct core *c, const struct strv *names);

/* Mounts what the container's volumes say, before it starts. Locks. */
int volumes_mount(struct core *c, const struct container_spec *s, struct err *e);
/* After its end: locks, releases. */
void volumes_after(struct core *c, const struct container_spec *s);
/* The events of a start ("mount") or an end ("unmount"). */
void volumes_events(struct op *op, const struct container *c, const char *action);
/* Start: directories and rows agree again. */
void volumes_reconcile(struct core *c);
