/* copy: files out of a container's view and into it, for `cp`. After the confinement. */
#pragma once

#include "image/job.h"
#include "image/layer.h"

/* Tells {"name","size","mode","mtime","linkTarget"} of the path, as X-Docker-Container-Path-Stat has it. */
int copy_stat(struct job *j, int view, const char *path, struct err *e);
/* The path as a tar, to out. */
int copy_take(struct job *j, int view, const char *path, int out, struct err *e);
/* The tar of j->in below the path, which must be a directory. read_only: the root file system is. */
struct copy_in {
	const char *path;
	bool read_only;
	struct layer_place place; /* its prefix is made here */
};
int copy_put(struct job *j, int view, const struct copy_in *in, struct err *e);
uint32_t copy_go_mode(mode_t m); /* Go's os.FileMode */
