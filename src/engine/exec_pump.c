#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "engine/exec.h"

struct pump {
	struct exec *x;
	const struct engine_stream *s;
	struct keys keys;
	int *in, *out, *err;
	bool reads, ended;
};

static void shut(int *fd)
{
	if (*fd >= 0)
		close(STEAL_FD(*fd));
}

/* True when the client pressed the detach keys. */
static bool pass_input(struct pump *p, const void *data, size_t n)
{
	OWN(own_buf) struct buf out = {0};
	bool detach = false;
	if (p->x->spec.tty)
		detach = keys_filter(&p->keys, data, n, &out);
	else
		buf_put(&out, data, n);
	if (*p->in >= 0 && out.len && write_all(*p->in, out.data, out.len) < 0)
		shut(p->in); /* the process reads no more */
	return detach;
}

/* False: detach, or the client has gone. */
static bool from_client(struct pump *p)
{
	char buf[16384];
	ssize_t n = read(p->s->sock, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n < 0)
		return false;
	if (n == 0) {
		p->reads = false;
		if (!p->x->spec.tty)
			shut(p->in);
		return true;
	}
	return !pass_input(p, buf, (size_t)n);
}

/* False: the client has gone. */
static bool from_process(struct pump *p, int *fd, int stream)
{
	char buf[32768];
	ssize_t n = read(*fd, buf, sizeof(buf));
	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) { /* a terminal says EIO when its last user has gone */
		shut(fd);
		return true;
	}
	return frame_send(p->s->sock, p->s->multiplex, stream, buf, (size_t)n) >= 0;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

void exec_pump(struct exec *x, const struct engine_stream *s, int *in, int *out, int *err)
{
	struct pump p = {.x = x, .s = s, .in = in, .out = out, .err = err, .reads = true};
	if (keys_parse(s->detach_keys, &p.keys, NULL) < 0)
		return;
	if (s->early_len && pass_input(&p, s->early, s->early_len))
		return;
	for (;;) {
		/* Once the process has ended, what it left in the pipes still counts; whoever else holds them does not keep the session. */
		if (p.ended && !readable(*out) && !readable(*err))
			return;
		struct pollfd f[4] = {{.fd = *out, .events = POLLIN}, {.fd = *err, .events = POLLIN}, {.fd = s->sock, .events = p.reads ? POLLIN : 0}, {.fd = p.ended ? -1 : x->ended_fd, .events = POLLIN}};
		if (mem_poll(f, 4, -1) < 0 && errno != EINTR)
			return;
		if (f[0].revents && !from_process(&p, out, 1))
			return;
		if (f[1].revents && !from_process(&p, err, 2))
			return;
		if (f[2].revents & POLLIN) {
			if (!from_client(&p))
				return;
		} else if (f[2].revents & (POLLHUP | POLLERR | POLLNVAL)) {
			return;
		}
		if (f[3].revents)
			p.ended = true;
	}
}
