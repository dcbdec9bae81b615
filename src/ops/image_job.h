/* What this process and pontoon-image do together: theory of operation in image.c. */
#pragma once

#include "base/ref.h"
#include "engine/image_job.h"
#include "ops/op.h"
#include "ops/ops.h"

/* A job and what becomes of it. */
struct image_run {
	const char *verb;
	const char *const *argv; /* as struct image_job */
	int input, output;       /* -1 = none */
	int dir;                 /* 0 = none */
	json_t *request;         /* of the jobs that take one: the caller's; what is stored already is added to it. NULL */
	const struct image_stream *stream;
	struct strv *loaded; /* lines for the client of load; NULL */
	char *id;            /* of the last image, ID_TEXT bytes; NULL */
	json_t **result;     /* what the job told, for the caller to decref; NULL */
	int (*more)(void *arg, struct op *op, const json_t *result, struct err *e); /* joins the transaction; NULL */
	void *arg;
};
/* Runs it with the layers that are there kept from going, puts what it made in the store. */
int image_run(struct core *c, const struct image_run *r, struct arena *a, struct err *e);
/* The same for what is asked of a registry: of Docker Hub's images the configured mirrors are asked first, in turn. */
int image_run_mirrored(struct core *c, const struct image_run *r, const struct ref *ref, struct arena *a, struct err *e);
/* Removes layers that no image has any more, unless a job runs, which will do it when it ends. */
void image_sweep(struct core *c);
/* What every job that speaks with a registry is asked; NULL when out of memory. */
json_t *image_registry_request(struct core *c, const char *reference, const char *auth, int64_t parallel);
