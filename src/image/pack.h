/* pack: a directory tree becomes a tar: what export and copying out of a container need. */
#pragma once

#include "image/job.h"
#include "image/tar_tree.h"

struct pack {
	int source;       /* the directory: a view (tar_tree_view) */
	int out;          /* where the tar goes */
	const char *name; /* of the entry in it; "." = all that is in it */
	const char *as;   /* its path in the tar; "" = the directory has no entry of its own */
};
int pack_run(struct job *j, const struct pack *p, struct err *e);
