/* update: what POST /containers/{}/update changes of a container: resources and the restart policy. Pure. */
#pragma once

#include "model/spec.h"

/* Puts what the body gives into s and judges it with Docker's texts; warnings in a. *resources: something other than the policy was given. */
int update_apply(struct container_spec *s, const json_t *body, const struct spec_host *host, struct arena *a, struct strv *warnings, bool *resources, struct err *e);
