/* load: the images of a `docker save` archive or an OCI image layout. Every digest that the archive states is verified. */
#pragma once

#include "base/map.h"
#include "image/job.h"

/* have: diff ids ("sha256:...", any value) of layers that need not be kept. want: that all images must be for; NULL: those for the job's host are preferred. */
int load_run(struct job *j, const struct map *have, const struct platform *want, struct err *e);
