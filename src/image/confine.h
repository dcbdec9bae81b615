/* confine: takes from this process everything that reading an archive does not need. Called once, before the first byte of the archive is read.
 * After it: the root is the job's directory, in name spaces of its own; a few capabilities; a list of system calls, all others kill the process. */
#pragma once

#include "base/err.h"

/* What is needed on top of reading an archive and writing a layer. */
enum confine_kind {
	CONFINE_UNPACK, /* nothing */
	CONFINE_PACK,   /* reading a tree of files */
};
/* dir: absolute or relative path of the job's directory. keep: descriptors 0..keep-1 stay open. Any failure: the process must not go on. */
int confine(const char *dir, unsigned keep, enum confine_kind kind, struct err *e);
