/* reply: how answers are made; the streams that outlive a handler, so that the server can end them. */
#pragma once

#include "api/server.h"

struct streams;
struct streams *streams_new(void);
void streams_free(struct streams *s); /* NULL is fine */
void streams_end(struct streams *s);  /* tells every stream to end and waits for that; a client that does not take the rest soon loses its connection */
struct streams *server_streams(struct server *s);
/* Frees an announced hijack that the client did not live to see. */
void reply_drop_hijack(struct request *rq);
/* Adds a header to the answer that reply_*() made. */
int reply_header(struct request *rq, const char *name, const char *value);
