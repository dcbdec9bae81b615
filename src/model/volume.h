/* volume: a named directory below <data-root>/volumes that outlives containers. Key = name. */
#pragma once

#include "base/json.h"
#include "model/thing.h"

/* The label that says that nobody gave it a name: `volume prune` asks for it. */
#define VOLUME_ANONYMOUS "com.docker.volume.anonymous"

struct volume {
	struct thing thing;
	char name[LIMIT_VOLUME_NAME + 1];
	struct kvs labels, options; /* options: type, o, device: what is mounted there while it is used */
	int64_t created;            /* ns */
};

struct volume *volume_new(const char *name);
json_t *volume_to_json(const struct volume *v);
int volume_from_json(struct volume *v, const json_t *j, struct err *e);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]+ ; INVALID in Docker's words */
int volume_name_check(const char *name, struct err *e);
/* What the driver `local` takes: type and device go together, o needs both. */
int volume_options_check(const struct kvs *options, struct err *e);
bool volume_is_anonymous(const struct volume *v);
