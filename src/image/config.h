/* config: an image's configuration: the JSON text whose SHA-256 is the image's id. Pure. */
#pragma once

#include "image/change.h"
#include "base/platform.h"

/* Makes the configuration of an imported image with one layer, in the shape of Docker's own. `created`: RFC 3339 text. The text is malloc'd. */
struct config_import {
	const struct platform *platform;
	const char *message; /* "" = "Imported from -" */
	const char *created;
	const struct change_config *config;
	const char *diff_id;
};
int config_make(const struct config_import *in, char **out, struct err *e);

/* Makes the configuration of an image that a container becomes: its parent's, with the container's own run configuration, one more history entry and maybe a layer.
 * What is not known here stays as it is. */
struct config_commit {
	const char *parent, *container, *config, *author, *message, *created;
	const char *diff_id; /* NULL: the container has changed nothing */
	const struct strv *changes; /* see change.h */
};
int config_make_commit(const struct config_commit *in, char **out, struct arena *a, struct err *e);

/* What must be known of a foreign configuration. */
struct config_facts {
	struct platform platform; /* arch "" when the text does not say */
	struct strv diff_ids;     /* "sha256:...", bottom first, each checked for form */
};
/* Errors: ERR_INVALID when it is not a configuration of a Linux image. */
int config_read(const char *text, size_t len, struct arena *a, struct config_facts *out, struct err *e);
