/* container: identity, state and the shared spec. Key = id. */
#pragma once

#include "model/spec.h"

enum container_state { /* as `docker ps` names them */
	STATE_CREATED,
	STATE_RUNNING,
	STATE_PAUSED,
	STATE_RESTARTING,
	STATE_REMOVING,
	STATE_EXITED,
	STATE_DEAD,
	STATE_N
};
const char *container_state_name(enum container_state s);

struct container {
	struct thing thing;
	char id[ID_TEXT];
	char name[LIMIT_NAME + 1];         /* without the slash */
	char image[ID_TEXT];               /* image id, 64 hex without "sha256:" */
	const struct container_spec *spec; /* in the arena of thing.spec_owner */
	/* resolved at create from spec and image */
	const struct strv *args; /* entrypoint + cmd; in the spec owner's arena */
	enum container_state state;
	bool starting;       /* between attach and running; never in the store's "running" */
	int64_t pid;         /* 0 = none */
	int64_t monitor_pid; /* conmon */
	int64_t exit_code;
	bool oom_killed;
	bool stopped_by_user; /* for restart policies */
	bool restarts;        /* it is stopped to be started again: --rm does not mean this end; not stored */
	char error[512];
	int64_t created, started, finished; /* ns; 0 = never */
	int64_t restart_count;
	int64_t restart_wait; /* ns, the last one of the restart policy; not stored */
	int64_t seq;      /* creation order */
	char boot_id[40]; /* of the boot in which it was last started */
};

/* Takes over the arena `spec_mem` (emptying it), which holds everything `spec` points to. */
struct container *container_new(
	const char *id, const char *name, const struct container_spec *spec, struct arena *spec_mem);
/* The same with another spec, whose memory it takes over. */
struct container *container_respec(const struct container *c, const struct container_spec *spec, struct arena *spec_mem);
struct container *container_copy(const struct container *c); /* shares the spec */
/* The final argument vector by Docker's rule (entrypoint of either + cmd; the image's cmd only if neither was
 * overridden). */
struct strv container_args(struct arena *a, const struct config *own, const struct config *image);
bool container_is_running(const struct container *c);       /* running, paused or restarting with a process */
json_t *container_state_to_json(const struct container *c); /* the mutable columns, for the store */
int container_state_from_json(struct container *c, const json_t *j, struct err *e);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]+ ; else 400 "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" */
int container_name_check(const char *name, struct err *e);
void container_name_generate(unsigned entropy, char *out, size_t size); /* adjective_surname, own word lists */
