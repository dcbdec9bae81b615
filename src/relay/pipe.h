/* pipe: what bytes wait in between two sockets, without being copied. A few are kept; a connection has one only while bytes of it wait. */
#pragma once

#include "base/own.h"

#define PIPE_BYTES (1 << 20) /* a fifth less work a byte than with 256 KiB (bench/proxy); the most that a user may have */
#define PIPES_IDLE 4

struct pipe {
	int fd[2]; /* read, write */
	bool big;  /* it got PIPE_BYTES: with many in use, the kernel gives two pages each */
};

struct pipes {
	struct pipe idle[PIPES_IDLE];
	unsigned nidle, used, max; /* used: with the idle ones */
};

bool pipe_get(struct pipes *ps, struct pipe *out); /* false: too many are in use, or descriptors */
void pipe_put(struct pipes *ps, struct pipe *p, bool empty);
void pipes_close(struct pipes *ps);
