/* nl: one netlink request, its acknowledgement, and dumps, over libmnl. The kernel's extended-ack text goes into struct err. Not thread safe. */
#pragma once

#include <libmnl/libmnl.h>

#include "base/err.h"

struct nl {
	struct mnl_socket *sock;
	unsigned seq;
};

/* Opens a socket in the calling thread's network namespace: of rtnetlink; of another protocol, e.g. NETLINK_NETFILTER. */
int nl_open(struct nl *nl, struct err *e);
int nl_open_protocol(struct nl *nl, int protocol, struct err *e);
void nl_close(struct nl *nl);
static inline void own_nl(struct nl *nl)
{
	nl_close(nl);
}
#define NL_NONE {.sock = NULL, .seq = 0}

/* Sends a request built in a buffer of NL_BUF bytes and waits for its acknowledgement. -errno as the kernel gave it. */
#define NL_BUF 8192
int nl_call(struct nl *nl, struct nlmsghdr *m, struct err *e);
/* Several at once, `len` bytes of them; those that want an acknowledgement say so, the last but a closing one must. The first error counts. */
int nl_batch(struct nl *nl, void *messages, size_t len, struct err *e);
/* The same as nl_call, and each(message, arg) gets what is answered before the acknowledgement. */
int nl_get(struct nl *nl, struct nlmsghdr *m, int (*each)(const struct nlmsghdr *m, void *arg), void *arg, struct err *e);
/* Calls each(message, arg) for every answer of a dump; an interrupted dump is told as -EINTR after its end (the caller starts again). */
int nl_dump(struct nl *nl, struct nlmsghdr *m, int (*each)(const struct nlmsghdr *m, void *arg), void *arg, struct err *e);
