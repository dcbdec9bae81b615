#include "base/tls_pump.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 16384 /* a TLS record */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int tls_handshake(gnutls_session_t s, int net, int ms)
{
	int64_t end = now_ms() + ms;
	for (;;) {
		int r = gnutls_handshake(s);
		if (r >= 0 || gnutls_error_is_fatal(r))
			return r < 0 ? r : 0;
		struct pollfd p = {.fd = net, .events = gnutls_record_get_direction(s) ? POLLOUT : POLLIN};
		int64_t left = end - now_ms();
		if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
			return GNUTLS_E_TIMEDOUT;
	}
}

struct pump {
	gnutls_session_t s;
	int net, plain;
	char in[BLOCK], out[BLOCK]; /* to the plain socket, to the network */
	size_t nin, nout, at_in, at_out;
	bool net_ended, plain_ended; /* nothing more comes from there */
	bool in_closed, out_closed;  /* and the other side has been told */
	bool broken;
};

static bool again(ssize_t r)
{
	return r < 0 && (errno == EAGAIN || errno == EINTR);
}

static void read_net(struct pump *p)
{
	if (p->nin || p->net_ended)
		return;
	ssize_t r = gnutls_record_recv(p->s, p->in, sizeof(p->in));
	if (r > 0)
		p->nin = (size_t)r;
	else if (r == 0)
		p->net_ended = true;
	else if (gnutls_error_is_fatal((int)r))
		p->broken = true;
}

static void write_plain(struct pump *p)
{
	while (p->nin) {
		ssize_t r = send(p->plain, p->in + p->at_in, p->nin, MSG_NOSIGNAL);
		if (r < 0) {
			p->broken = !again(r);
			return;
		}
		p->at_in += (size_t)r;
		p->nin -= (size_t)r;
	}
	p->at_in = 0;
	if (p->net_ended && !p->in_closed) {
		(void)shutdown(p->plain, SHUT_WR);
		p->in_closed = true;
	}
}

static void read_plain(struct pump *p)
{
	if (p->nout || p->plain_ended)
		return;
	ssize_t r = recv(p->plain, p->out, sizeof(p->out), 0);
	if (r > 0)
		p->nout = (size_t)r;
	else if (r == 0)
		p->plain_ended = true;
	else
		p->broken = !again(r);
}

static void write_net(struct pump *p)
{
	while (p->nout) {
		ssize_t r = gnutls_record_send(p->s, p->out + p->at_out, p->nout);
		if (r < 0) {
			p->broken = gnutls_error_is_fatal((int)r);
			return;
		}
		p->at_out += (size_t)r;
		p->nout -= (size_t)r;
	}
	p->at_out = 0;
	if (p->plain_ended && !p->out_closed) {
		int r = gnutls_bye(p->s, GNUTLS_SHUT_WR);
		p->out_closed = r >= 0;
		p->broken |= r < 0 && gnutls_error_is_fatal(r);
	}
}

/* Waits for what can go on. A full buffer is not read into; what GnuTLS holds already is not waited for. */
static void wait_for_either(const struct pump *p)
{
	struct pollfd f[2] = {{.fd = p->net}, {.fd = p->plain}};
	if (!p->nin && !p->net_ended)
		f[0].events |= POLLIN;
	if (p->nout || (p->plain_ended && !p->out_closed))
		f[0].events |= POLLOUT;
	if (!p->nout && !p->plain_ended)
		f[1].events |= POLLIN;
	if (p->nin)
		f[1].events |= POLLOUT;
	if (!p->nin && !p->net_ended && gnutls_record_check_pending(p->s))
		return;
	for (int i = 0; i < 2; i++) /* one that is not waited for would wake us with its hang-up again and again */
		if (!f[i].events)
			f[i].fd = -1;
	(void)poll(f, 2, -1);
}

void tls_pump(gnutls_session_t s, int net, int plain)
{
	struct pump p = {.s = s, .net = net, .plain = plain};
	while (!p.broken && !(p.in_closed && p.out_closed)) {
		read_net(&p);
		if (!p.broken)
			write_plain(&p);
		if (!p.broken)
			read_plain(&p);
		if (!p.broken)
			write_net(&p);
		if (!p.broken && !(p.in_closed && p.out_closed))
			wait_for_either(&p);
	}
	(void)shutdown(plain, SHUT_RDWR);
	(void)shutdown(net, SHUT_RDWR);
}
