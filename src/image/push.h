/* push: an image goes to a registry: the layers it does not have, the configuration, a manifest of schema 2 for each tag. What is kept otherwise than with gzip is packed
 * anew, and kept so from then on. */
#pragma once

#include "base/ref.h"
#include "image/registry.h"
#include "image/request.h"
#include "image/stored.h"

struct push_request {
	struct request_registry registry; /* reference: the repository */
	struct json_vec images;           /* struct stored_image; tags: without the repository */
};
extern const struct json_field push_table[];

struct push {
	const struct push_request *request;
	struct ref ref;
	struct registry *registry;
	int layers; /* the daemon's directory of layers */
};
int push_run(struct job *j, const struct push *p, struct err *e);
