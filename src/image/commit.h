/* commit: what a container has changed becomes a layer, on top of its image's, and an image. */
#pragma once

#include "image/request.h"
#include "image/job.h"

struct commit_request {
	const char *parent;    /* the configuration of the container's image */
	const char *container; /* id */
	const char *config;    /* the container's Config, JSON */
	const char *author, *message, *tag; /* "" = none; tag: normalised */
	struct strv changes;
};
extern const struct json_field commit_table[];

/* upper: a view (tar_tree_view) of the container's own directory. */
int commit_run(struct job *j, const struct commit_request *q, int upper, struct err *e);
