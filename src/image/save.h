/* save: images become an archive that `docker load` takes: manifest.json and an OCI layout over the same blobs, plain tars. The same images give the same bytes. */
#pragma once

#include "image/request.h"
#include "image/stored.h"

struct save_request {
	struct json_vec images; /* struct stored_image */
};
extern const struct json_field save_table[];

/* layers: the daemon's directory of layers; out: where the archive goes. */
int save_run(struct job *j, const struct save_request *q, int layers, int out, struct err *e);
