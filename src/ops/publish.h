/* publish: names for pontoon-relay: after an operation's commit the zones and views that it changed, at start all of them. A name is in
 * force when publish_list returns. Under op_lock. */
#pragma once

#include "ops/op.h"

int publish_open(struct core *c, struct err *e);
void publish_close(struct core *c, bool stop);
/* Notes what the changes touch; in op->mem. */
struct publish_list {
	struct strv networks, containers;
};
int publish_note(const struct world *before, const struct world *after, struct arena *a, const struct change *ch, size_t n, struct publish_list *out);
/* As they are in this world, which for an operation is its fork: names are in force before anybody is told of the change. What fails is logged: the kernel and
 * the store are as they should be, and the relay gets it all again when it starts anew. */
void publish_list(struct core *c, const struct world *w, const struct netconf *conf, const struct publish_list *l);
/* Views alone: the host's resolvers have changed. */
void publish_views(struct core *c, const struct netconf *conf);
/* Everything, after reconcile; what the relay still has of an earlier daemon goes. */
void publish_all(struct core *c, const struct netconf *conf);
