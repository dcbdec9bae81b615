/* spec_check: the parts of spec_check(). Private to model/. */
#pragma once

#include "model/spec.h"
#include "model/spec_host.h"

struct check {
	struct container_spec *s;
	const struct spec_host *host;
	struct arena *a;
	struct strv *warnings;
};

#define invalid(e, ...) err_as((e), ERR_INVALID, __VA_ARGS__)

int check_warn(struct check *c, const char *text, struct err *e);
int check_modes(struct check *c, struct err *e);     /* spec_check_modes.c: namespaces and what they exclude, sysctls */
int check_resources(struct check *c, struct err *e); /* spec_check_resources.c */
int check_restart(const struct host_config *h, struct err *e);
int check_mounts(struct check *c, struct err *e);    /* spec_check_mounts.c */
/* True for "kind" and "kind:...". */
bool mode_is(const char *mode, const char *kind);
