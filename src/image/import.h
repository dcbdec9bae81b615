/* import: a tar of a root file system becomes an image of one layer, as `docker import` does. */
#pragma once

#include "image/change.h"
#include "image/job.h"

struct import {
	const char *message;           /* "" = Docker's */
	const char *tag;               /* normalised reference, NULL = none */
	struct platform platform;
	struct change_config config;   /* --change, already applied */
};

int import_run(struct job *j, const struct import *in, struct err *e);
