/* confine: takes from this process everything that reading an archive does not need. Called once, before the first byte of the archive is read.
 * After it: the root is the job's directory, in name spaces of its own; a few capabilities; a list of system calls, all others kill the process. */
#pragma once

#include "base/err.h"

/* What is needed on top of reading an archive and writing a layer. */
enum {
	CONFINE_UNPACK = 0,
	CONFINE_PACK = 1,    /* reading a tree of files */
	CONFINE_ERRANDS = 2, /* speaking with a fetcher */
	CONFINE_WORKERS = 4, /* processes of its own, each as confined as it is, which end with it */
};
/* dir: absolute or relative path of the job's directory. keep: descriptors 0..keep-1 stay open. Any failure: the process must not go on. */
int confine(const char *dir, unsigned keep, unsigned needs, struct err *e);
