/* change: the instructions of a Dockerfile that `import --change` accepts, applied to an image's run configuration.
 * Pure. Errors are ERR_INVALID with Docker's text where it has one ("unknown instruction: FOO"). */
#pragma once

#include "base/json.h"
#include "base/strv.h"

struct change_health {
	struct strv test; /* ["NONE"], ["CMD", ...] or ["CMD-SHELL", "..."] */
	int64_t interval, timeout, start_period, start_interval; /* ns; 0 = default */
	int64_t retries;
};

/* The "config" of an image, as far as instructions can set it. Lists live in the arena. */
struct change_config {
	const char *user, *working_dir, *stop_signal; /* "" = not set */
	struct strv exposed_ports, env, cmd, volumes, entrypoint, on_build;
	struct kvs labels;
	struct change_health *health; /* NULL = not set */
};

extern const struct json_field change_health_table[];

/* An empty configuration. */
void change_config_init(struct change_config *c);
/* Applies the text of one --change: one instruction a line; "\" at the end of a line joins the next; "#" starts a comment line.
 * On failure *c may hold a part of the changes. */
int change_apply(struct change_config *c, const char *text, struct arena *a, struct err *e);
