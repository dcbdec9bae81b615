/* Shared by pull.c (what is wanted) and pull_blobs.c (layers on their way). */
#pragma once

#include "image/digest.h"
#include "image/layer.h"
#include "image/manifest.h"
#include "image/pull.h"

struct pulling {
	struct job *job;
	const struct pull *pull;
	struct arena arena;
	struct map have; /* diff ids: stored before, or unpacked in this job */
	unsigned files;  /* counts names in the job's directory */
	struct json_vec images, layers; /* struct job_image, struct job_layer */
	size_t cap_images, cap_layers;
};

/* A new file of the job, open for both. name may be NULL: then it has none any more. */
#define PULL_NAME 24
int pulling_file(struct pulling *p, char *name, struct err *e);
/* All layers of one image that are not there yet; new ones are added to p->layers. */
int pulling_layers(struct pulling *p, const struct manifest_image *m, const struct strv *diff_ids, struct err *e);
/* "/v2/<repository>/<kind>/<what>" */
const char *pulling_url(struct pulling *p, const char *kind, const char *what);
