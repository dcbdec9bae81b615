/* proxy: what the tests of published ports share: the relay's loop in this process, turned by hand, with real sockets on loopback. Nothing here depends on
 * a clock: time passes by px_expire, and what should happen is waited for (SOON) as long as a slow machine may take. */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "relay/relay.h"
#include "test.h"

struct scene {
	struct relay relay;
	int target;           /* listening, or bound for UDP */
	union address at, to; /* the port's address; the target's */
};

static inline union address px_address(const char *text, uint16_t port)
{
	struct ip ip;
	union address a;
	if (ip_parse(text, &ip) < 0)
		abort();
	address_set(&a, &ip, port);
	return a;
}

/* A bound socket, listening if it can, and where it is. [::] serves both families. */
static inline int px_bind(int type, const char *ip, union address *out)
{
	union address a = px_address(ip, 0);
	int off = 0;
	socklen_t n = address_len(&a);
	int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a.any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0 || bind(fd, &a.any, n) < 0 || (type == SOCK_STREAM && listen(fd, 256) < 0) || getsockname(fd, &a.any, &n) < 0) {
		printf("# bind %s: %s\n", ip, strerror(errno));
		abort();
	}
	*out = a;
	return fd;
}

static inline void px_open(struct scene *s, unsigned descriptors)
{
	struct err e;
	*s = (struct scene){.target = -1};
	signal(SIGPIPE, SIG_IGN);
	s->relay.host.relay = &s->relay;
	if (loop_open(&s->relay.loop, &e) < 0)
		abort();
	proxy_open(&s->relay, descriptors);
}

/* A port of this id, and a target for it. `at` may be [::]: clients then use 127.0.0.1 or ::1. */
static inline void px_port(struct scene *s, const char *id, uint8_t proto, const char *at, const char *to)
{
	int type = proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
	struct err e;
	int fd = px_bind(type, at, &s->at);
	s->target = px_bind(type, to, &s->to);
	if (proto == IPPROTO_UDP) /* as src/engine/relay_port.c */
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (proto == IPPROTO_UDP && s->at.any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	struct relay_port p = {.id = id, .proto = proto, .target = address_ip(&s->to), .target_port = ntohs(s->to.v4.sin_port)};
	if (port_put(&s->relay, &p, fd, &e) < 0 || port_serve(&s->relay, &p, &e) < 0)
		abort();
}

static inline struct port *px_get(struct scene *s, const char *id)
{
	return map_gets(&s->relay.proxy.ports, id);
}

static inline void px_close(struct scene *s)
{
	proxy_close(&s->relay);
	loop_close(&s->relay.loop);
	if (s->target >= 0)
		close(s->target);
}

/* Enough turns for anything that takes a few steps: a task that is always there to do would never let it come to rest. */
static inline void px_turn(struct scene *s)
{
	struct err e = {0};
	for (int i = 0; i < 30; i++)
		if (loop_turn(&s->relay.loop, false, &e) < 0)
			abort();
}

/* Turns until it is so; a test that passes never waits long. */
#define SOON(s, cond)                                                                                                  \
	({                                                                                                             \
		bool soon_ = false;                                                                                    \
		for (int soon_i_ = 0; soon_i_ < 5000 && !(soon_ = (cond)); soon_i_++) {                                \
			px_turn(s);                                                                                    \
			if (soon_i_ > 10)                                                                              \
				(void)poll(NULL, 0, 1);                                                                \
		}                                                                                                      \
		soon_;                                                                                                 \
	})

/* Lets time pass for the timer of a kind that was armed longest ago. */
static inline bool px_expire(struct scene *s, enum timer_kind kind)
{
	struct timer *t = loop_first(&s->relay.loop, kind);
	if (t)
		t->due = 0;
	px_turn(s);
	return t;
}
