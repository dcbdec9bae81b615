/* container: parts of the container verbs that the other files of ops/ share. The life lock is held unless said otherwise. */
#pragma once

#include "ops/op.h"
#include "ops/ops.h"

struct exit_record {
	int code;
	bool oom_killed;
	int64_t when; /* ns */
};

/* The process has ended: records it, takes the network away, removes the container if it asked for that. Takes the life lock itself. */
void container_exited(struct core *c, const char *id, const struct exit_record *rec);

/* Resolves a term to a full id without holding anything afterwards. */
int container_resolve(struct core *c, const char *term, char id[static ID_TEXT], struct err *e);
/* The same, after the end of a start that is under way. */
int container_settle(struct core *c, const char *term, char id[static ID_TEXT], struct err *e);
/* Resolves and takes the life lock; fails if the container went meanwhile. */
int container_lock(struct core *c, const char *term, char id[static ID_TEXT], struct err *e);
int container_start_locked(struct core *c, const char *id, struct err *e);
/* Removes a container that does not run: store, directories; and, if told, its anonymous volumes. */
int container_remove_locked(struct core *c, const char *id, bool volumes, struct err *e);
/* What is mounted on its volumes goes if no other running container has them. */
void container_release_volumes(struct core *c, const char *id);
/* Directory names of an image's layers, bottom first, in the arena. The caller reads the world. */
int container_layers(const struct world *w, const struct image *img, struct arena *a, struct engine_layers *out, struct err *e);
/* Sends its stop signal and waits, then SIGKILL. No lock held. */
int container_stop_wait(struct core *c, const char *id, int timeout, const char *signal, struct err *e);
/* A changed copy of the container in the fork. The caller fills *out, then puts it. */
int container_edit(struct op *op, const char *id, struct container **out, struct err *e);
