/* stream: one connection through a published port: what stream.c and sctp.c share. */
#pragma once

#include "relay/relay.h"

struct half { /* the client's side, or the target's: what comes from there */
	struct source source;
	bool readable, writable; /* as far as is known */
	bool ended;              /* nothing more comes from there */
	bool passed;             /* and the other side has been told */
	struct pipe pipe;        /* fd[0] < 0: none */
	size_t held;             /* bytes in it */
	struct letter *letter;   /* SCTP: one message that the other side has not taken */
};

struct stream {
	struct port *port;
	struct stream *prev, *next; /* of the port */
	struct task task;
	struct timer connect;
	bool connected;
	struct half side[2]; /* client, target */
	union address client;
	uint16_t offset; /* of the port that was asked for, in a run */
};

#define STREAM_BYTES (1 << 20) /* moved in one direction before others have their turn */

/* Moves what can be moved from in to out: the number of bytes; -errno: one of the two sockets is of no use any more. */
ssize_t stream_move(struct stream *s, struct half *in, struct half *out);
ssize_t sctp_move(struct half *in, struct half *out);
void sctp_forget(struct half *h);
int sctp_prepare(int fd); /* a socket toward a target */
