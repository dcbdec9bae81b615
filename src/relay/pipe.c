#include "relay/pipe.h"

#include <fcntl.h>

/* syscalls: pipe2 fcntl close */

bool pipe_get(struct pipes *ps, struct pipe *out)
{
	if (ps->nidle) {
		*out = ps->idle[--ps->nidle];
		return true;
	}
	if (ps->used >= ps->max || pipe2(out->fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	ps->used++;
	out->big = fcntl(out->fd[1], F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES;
	return true;
}

void pipe_put(struct pipes *ps, struct pipe *p, bool empty)
{
	if (empty && p->big && ps->nidle < PIPES_IDLE) {
		ps->idle[ps->nidle++] = *p;
		return;
	}
	close(p->fd[0]);
	close(p->fd[1]);
	ps->used--;
}

void pipes_close(struct pipes *ps)
{
	while (ps->nidle) {
		struct pipe p = ps->idle[--ps->nidle];
		pipe_put(ps, &p, false);
	}
}
