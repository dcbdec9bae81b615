/* search: what a registry finds for a word: Docker Hub's GET /v1/search, which a few other registries have too. */
#pragma once

#include "base/ref.h"
#include "image/job.h"
#include "image/registry.h"
#include "image/request.h"

struct search_request {
	struct request_registry registry; /* reference: of any image of it */
	const char *term;
	int64_t limit; /* at most so many */
};
extern const struct json_field search_table[];

struct search {
	const struct search_request *request;
	struct ref ref; /* its domain alone counts */
	struct registry *registry;
};
/* The answer of GET /images/search is the result's "about". */
int search_run(struct job *j, const struct search *s, struct err *e);
