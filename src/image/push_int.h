/* Shared by push.c (images and manifests) and push_blobs.c (blobs on their way). */
#pragma once

#include "base/map.h"
#include "image/push.h"

struct push_blob { /* one that the registry will have */
	const struct stored_layer *layer; /* NULL: the configuration */
	char id[13]; /* for people: of the diff id */
	char digest[DIGEST_TEXT];
	uint64_t size;
	int fd;
	char repacked[24]; /* name of the file in the job's directory; "" = as it is kept */
};

struct pushing {
	struct job *job;
	const struct push *push;
	struct arena arena;
	unsigned files;
	struct map sent;         /* digests that this job has seen there */
	struct json_vec pushed;  /* struct job_pushed */
	struct json_vec blobs;   /* struct job_blob */
};

int pushing_file(struct pushing *p, char *name, size_t size, struct err *e);
/* Sends those that are not there, several at once. */
int pushing_blobs(struct pushing *p, struct push_blob *v, size_t n, struct err *e);
/* An answer of 400 or more to a push. */
int pushing_refused(const struct outcome *o, const char *what, struct err *e);
