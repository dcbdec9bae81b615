/* publish: names for pontoon-relay: after an operation's commit the zones and views that it changed, at start all of them. A name is in
 * force when publish_changes returns. Under op_lock. */
#pragma once

#include "ops/op.h"

int publish_open(struct core *c, struct err *e);
void publish_close(struct core *c, bool stop);
/* Before the merge: notes what the changes touch; in op->mem. */
struct publish_list {
	struct strv networks, containers;
};
int publish_note(const struct world *before, const struct world *after, struct arena *a, const struct change *ch, size_t n, struct publish_list *out);
/* After the merge. What fails is logged: the kernel and the store are as they should be, and the relay gets it all again when it starts anew. */
void publish_list(struct core *c, const struct netconf *conf, const struct publish_list *l);
/* Everything, after reconcile; what the relay still has of an earlier daemon goes. */
/* Views alone: the host's resolvers have changed. */
void publish_views(struct core *c, const struct netconf *conf);
void publish_all(struct core *c, const struct netconf *conf);
