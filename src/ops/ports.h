/* ports: published ports within operations: the host's facts for choosing them, another choice when the kernel says that a port is taken, and who keeps their
 * sockets: pontoon-relay, or, without the proxy, this process. Under op_lock. */
#pragma once

#include "net/portmap.h"
#include "ops/op.h"

#define PORT_TRIES 10

int ports_open(struct core *c, struct err *e);
void ports_close(struct core *c);

/* What earlier tries of an operation found to be taken by other programs. */
struct ports_try {
	struct port_busy busy[PORT_TRIES];
	size_t n;
};
/* The container's ports, as its endpoints in op->next want them. t may be NULL. */
int ports_publish(struct op *op, const char *container, const struct ports_try *t, struct err *e);
/* Tells of long runs that the kernel cannot lead to one socket, as it stands now; under op_lock, as places are taken meanwhile. Texts in a. */
int ports_warn(const struct core *c, const struct container *ct, struct arena *a, struct strv *warnings, struct err *e);
/* op_commit with Docker's words around a port that cannot be had. */
int ports_commit(struct op *op, const char *container, struct err *e);
/* The operation failed with r: notes the port that was taken; true when it may be tried again with another one. */
bool ports_again(struct core *c, const char *container, struct ports_try *t, int r);
/* After a plan: sockets that were given up are closed, those that were given are served. */
void ports_settle(struct core *c);
