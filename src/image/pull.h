/* pull: an image comes from a registry. Blobs are spooled, several at once, verified against the manifest, unpacked and verified again against the configuration. */
#pragma once

#include "base/map.h"
#include "base/ref.h"
#include "image/job.h"
#include "image/registry.h"
#include "image/request.h"

struct pull_request {
	struct request_registry registry;
	const char *platform; /* "" = of this machine */
	bool all_tags;
	struct strv have;     /* diff ids that need not come */
};
extern const struct json_field pull_table[];

struct pull {
	const struct pull_request *request;
	struct ref ref;
	struct platform platform;
	bool platform_given;
	struct registry *registry;
};
int pull_run(struct job *j, const struct pull *p, struct err *e);
/* What the reference names, without getting it: the answer of GET /distribution/NAME/json is the result's "about". */
int pull_describe(struct job *j, const struct pull *p, struct err *e);
/* Does the registry let in who is asking? */
int pull_login(struct job *j, const struct pull *p, struct err *e);
