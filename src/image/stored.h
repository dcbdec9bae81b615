/* stored: images that the daemon has, as it names them in a request, and the tars that their layers came from. */
#pragma once

#include "base/json.h"
#include "image/digest.h"
#include "image/job.h"

struct stored_layer {
	const char *diff_id, *dir; /* dir: below the daemon's directory of layers, which is open as descriptor 4 */
	const char *from;          /* push: a repository of the same registry that has it; "" = none is known */
};
struct stored_image {
	const char *id; /* hex */
	const char *config;
	struct strv tags;
	struct json_vec layers; /* struct stored_layer, bottom first */
};
extern const struct json_field stored_image_table[];

/* The layer's tar as it is kept, compressed. The daemon's directory is trusted, the names in the request are not. */
int stored_open(int layers, const struct stored_layer *l, int *out, struct err *e);
/* Its plain bytes, from a descriptor of stored_open, into a sink; NULL: only counted. They must be what the diff id says. */
struct sink;
int stored_plain(struct job *j, int fd, const struct stored_layer *l, struct sink *to, uint64_t *size, struct err *e);
