/* nfsock: sockets of netfilter in sandboxes. Whoever closes one while the kernel has not yet freed what was deleted in its namespace waits for that, and so does every
 * link that comes or goes there: such a socket is closed later, by a thread, and used again meanwhile. Thread safe. */
#pragma once

#include <sys/types.h>

#include "kernel/nl.h"

struct nfsock {
	struct nl nl;
	ino_t ns;
	int64_t due; /* to be closed not before; 0: at any time */
};
#define NFSOCK_NONE {.nl = NL_NONE}

/* In the host's namespace, before all others; again does nothing. */
int nfsock_start(struct err *e);
/* In the calling thread's namespace. */
int nfsock_open(struct nfsock *out, struct err *e);
void nfsock_deleted(struct nfsock *s); /* a transaction has deleted something */
void nfsock_close(struct nfsock *s);
static inline void own_nfsock(struct nfsock *s)
{
	nfsock_close(s);
}
