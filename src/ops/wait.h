/* wait: those who wait for a container's end. The public face is in ops.h. */
#pragma once

#include "ops/ops.h"

/* Called by op_commit under the world's write lock, before the merge: tells waiters of exits and removals. */
void wait_note(struct core *c, const struct change *ch, size_t n);
