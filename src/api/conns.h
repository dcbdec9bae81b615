/* conns: who is connected, and who has been silent longest. When the limit comes near, the idlest connection is ended, so that the newest is never the one that is
 * refused: 512 clients that say nothing, or send a head or a body byte by byte, cannot keep another one out. Thread safe. */
#pragma once

#include <stddef.h>

struct conns;
struct conn;

struct conns *conns_new(size_t limit); /* NULL: out of memory */
void conns_free(struct conns *cs);     /* all have been removed */
struct conn *conns_add(struct conns *cs, int fd); /* may end another one; NULL: out of memory */
void conns_remove(struct conns *cs, struct conn *c); /* before fd is closed */
void conns_touch(struct conns *cs, struct conn *c);  /* it has said something */
void conns_busy(struct conns *cs, struct conn *c);   /* a handler works for it: it is not idle, however long that takes, until conns_idle */
void conns_idle(struct conns *cs, struct conn *c);
