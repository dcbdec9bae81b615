#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/fd.h"
#include "cli/cmd.h"

static struct termios saved;
static bool is_raw;

bool terminal_raw(void)
{
	struct termios t;
	if (is_raw || tcgetattr(STDIN_FILENO, &saved) < 0)
		return is_raw;
	t = saved;
	cfmakeraw(&t);
	is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
	return is_raw;
}

void terminal_restore(void)
{
	if (is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved); /* a terminal that has gone needs no mode */
	is_raw = false;
}

bool terminal_size(int *rows, int *cols)
{
	struct winsize ws;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
		return false;
	*rows = ws.ws_row;
	*cols = ws.ws_col;
	return ws.ws_row && ws.ws_col;
}

/* The frames of a stream without a terminal, across reads. */
struct frames {
	unsigned char head[8];
	size_t have;
	uint32_t left;
};

static int put(int fd, const char *p, size_t n, struct err *e)
{
	int r = write_all(fd, p, n);
	return r < 0 ? err_errno(e, r, "write") : 0;
}

static int take_frames(struct frames *f, const char *p, size_t n, struct err *e)
{
	while (n) {
		if (!f->left) {
			size_t want = sizeof(f->head) - f->have, k = n < want ? n : want;
			memcpy(f->head + f->have, p, k);
			f->have += k;
			p += k;
			n -= k;
			if (f->have < sizeof(f->head))
				break;
			f->left = (uint32_t)f->head[4] << 24 | (uint32_t)f->head[5] << 16 | (uint32_t)f->head[6] << 8 | f->head[7];
			if (f->head[0] > 3)
				return err_set(e, -EPROTO, "unrecognized stream: %d", f->head[0]);
			if (!f->left)
				f->have = 0;
			continue;
		}
		size_t k = n < f->left ? n : f->left;
		try(put(f->head[0] == 2 ? STDERR_FILENO : STDOUT_FILENO, p, k, e));
		f->left -= (uint32_t)k;
		if (!f->left)
			f->have = 0;
		p += k;
		n -= k;
	}
	return 0;
}

int demux(struct http *h, bool multiplexed, struct err *e)
{
	struct frames f = {0};
	char buf[65536];
	ssize_t n;
	while ((n = http_read(h, buf, sizeof(buf), e)) > 0)
		try(multiplexed ? take_frames(&f, buf, (size_t)n, e) : put(STDOUT_FILENO, buf, (size_t)n, e));
	return n < 0 ? (int)n : 0;
}

/* The daemon acts on the detach keys; we only notice them, to know why the stream ends. */
struct keys {
	unsigned char seq[16];
	size_t n, at;
	bool typed;
};

static void keys_read(struct keys *k, const char *s)
{
	if (str_empty(s))
		s = "ctrl-p,ctrl-q";
	while (*s && k->n < sizeof(k->seq)) {
		size_t n = strcspn(s, ",");
		if (n == 6 && strncmp(s, "ctrl-", 5) == 0)
			k->seq[k->n++] = (unsigned char)(s[5] & 0x1f);
		else if (n == 1)
			k->seq[k->n++] = (unsigned char)*s;
		else
			return; /* the daemon refuses what is wrong */
		s += n + (s[n] == ',');
	}
}

static void keys_note(struct keys *k, const char *p, size_t n)
{
	for (size_t i = 0; i < n && k->n && !k->typed; i++) {
		unsigned char c = (unsigned char)p[i];
		k->at = c == k->seq[k->at] ? k->at + 1 : c == k->seq[0];
		k->typed = k->at == k->n;
	}
}

static void tell_size(const struct streams *s)
{
	int rows, cols;
	if (s->tty && s->resize && terminal_size(&rows, &cols))
		s->resize(s->arg, rows, cols);
}

/* 1: its input has ended */
static int from_stdin(const struct streams *s, struct keys *k)
{
	char buf[16384];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		shutdown(s->h->fd, SHUT_WR);
		return 1;
	}
	if (s->tty)
		keys_note(k, buf, (size_t)n);
	return write_all(s->h->fd, buf, (size_t)n) < 0; /* a process that reads no more: its output still counts */
}

static int from_daemon(const struct streams *s, struct frames *f, struct err *e)
{
	char buf[65536];
	ssize_t n = read(s->h->fd, buf, sizeof(buf));
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return err_errno(e, -errno, "read from the daemon");
	if (n <= 0)
		return 1;
	return s->tty ? put(STDOUT_FILENO, buf, (size_t)n, e) : take_frames(f, buf, (size_t)n, e);
}

static int pump(const struct streams *s, int winch, struct err *e)
{
	struct frames f = {0};
	struct keys k = {0};
	bool in = s->stdin_on;
	int r = 0;
	keys_read(&k, s->detach_keys);
	if (s->h->in.len)
		r = s->tty ? put(STDOUT_FILENO, s->h->in.data, s->h->in.len, e) : take_frames(&f, s->h->in.data, s->h->in.len, e);
	while (r == 0) {
		struct pollfd p[3] = {{.fd = s->h->fd, .events = POLLIN}, {.fd = in ? STDIN_FILENO : -1, .events = POLLIN}, {.fd = winch, .events = POLLIN}};
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return err_errno(e, -errno, "poll");
		if (p[0].revents)
			r = from_daemon(s, &f, e);
		if (r == 0 && p[1].revents && from_stdin(s, &k))
			in = false;
		if (p[2].revents) {
			struct signalfd_siginfo si;
			if (read(winch, &si, sizeof(si)) > 0)
				tell_size(s);
		}
	}
	return r < 0 ? r : k.typed;
}

int streams_run(const struct streams *s, struct err *e)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	OWN(own_fd) int winch = signalfd(-1, &set, SFD_CLOEXEC);
	if (s->tty && s->stdin_on)
		(void)terminal_raw(); /* input that is no terminal stays as it is */
	tell_size(s);
	int r = pump(s, winch, e);
	terminal_restore();
	return r;
}
