/* image_job: pontoon-image run once for a job, and the layers that it made: the daemon itself parses no archive. Errors are the program's own words. */
#pragma once

#include "engine/engine.h"

struct image_job {
	const char *const *argv; /* sub-command and options after the program's name: "import", "--message", ... ; --root and --job are added */
	int input, output;       /* descriptors of the archive read or written; -1 = none */
	const char *request;     /* in the place of an input: what the job is asked for, which may hold secrets; NULL */
	int cancel;              /* a socket: the job ends when its other end is gone; 0 = none */
	int dir;                 /* the directory that "pack" and "push" read: descriptor 4 of the program; 0 = none */
	const char *have;        /* lines of diff ids already stored; NULL */
	bool (*progress)(void *arg, const char *json_line); /* false: cancel */
	void *arg;
};
struct image_job_result {
	json_t *result;      /* as src/image/job.h says; caller decrefs */
	char tmp_dir[512];   /* data_root/image/tmp/<job>: layers to be renamed to data_root/image/layers/<dir>; caller removes it with engine_image_job_end */
};
int engine_image_job(struct engine *en, const struct image_job *j, struct image_job_result *out, struct err *e);
/* Moves the named layer directories from the job's place to layers/ (fsync'd), or throws them away when keep = false. */
int engine_image_job_end(struct engine *en, struct image_job_result *r, bool keep, struct err *e);
/* Directories for jobs to read: that of all layers; what a container has changed. */
int engine_open_layers(struct engine *en, int *out, struct err *e);
int engine_open_upper(struct engine *en, const char *id, int *out, struct err *e);
int engine_layer_remove(struct engine *en, const char *dir, struct err *e);
/* Names of all directories under layers/; removes everything under tmp/. */
int engine_layers_scan(struct engine *en, struct arena *a, struct strv *dirs, struct err *e);
