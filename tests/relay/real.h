/* real: what the tests with a living pontoon-relay share: a network namespace of their own, the daemon's side of the relay (src/engine/relay.h), sockets in all
 * families on loopback. */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "engine/relay.h"
#include "test.h"

#define REAL_UID 64101

static char real_dir[] = "/tmp/pontoon-test-relay-XXXXXX";

UNUSED static bool real_is_up(void)
{
	static int state; /* 1: yes, -1: no */
	if (!state) {
		struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
		OWN(own_fd) int s = -1;
		bool good = geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && (s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0 && ioctl(s, SIOCSIFFLAGS, &lo) == 0;
		state = good && mkdtemp(real_dir) ? 1 : -1;
		signal(SIGPIPE, SIG_IGN);
	}
	return state > 0;
}

UNUSED static struct relay *real_open(void)
{
	struct relay_conf conf = {.program = getenv("PONTOON_RELAY"), .exec_root = real_dir, .uid = REAL_UID, .gid = REAL_UID};
	struct relay *r = NULL;
	struct err e = {0};
	if (relay_open(&conf, &r, &e) < 0)
		printf("# relay_open: %s\n", e.msg);
	return r;
}

union real_addr {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t real_addr(const char *ip, uint16_t port, union real_addr *out)
{
	*out = (union real_addr){0};
	if (inet_pton(AF_INET, ip, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		return sizeof(out->v4);
	}
	inet_pton(AF_INET6, ip, &out->v6.sin6_addr);
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(port);
	return sizeof(out->v6);
}

/* A bound socket, listening if it can; port 0: any. [::] serves both families. */
static inline int real_bind(int type, const char *ip, uint16_t port)
{
	union real_addr a;
	int on = 1, off = 0;
	socklen_t n = real_addr(ip, port, &a);
	int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC, 0);
	if (a.any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, &a.any, n) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
		printf("# bind %s: %s\n", ip, strerror(errno));
		abort();
	}
	return fd;
}

static inline uint16_t real_port(int fd)
{
	union real_addr a;
	socklen_t n = sizeof(a);
	return getsockname(fd, &a.any, &n) < 0 ? 0 : ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static inline struct relay_port real_target(const char *id, uint8_t proto, const char *ip, uint16_t port)
{
	struct relay_port p = {.id = id, .proto = proto, .target_port = port};
	if (ip_parse(ip, &p.target) < 0)
		abort();
	return p;
}

static inline void real_sleep(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	nanosleep(&t, NULL);
}

/* Waits up to 10 s; a test that passes never waits that long. */
#define SOON(cond)                                                                                                     \
	({                                                                                                             \
		bool soon_ = false;                                                                                    \
		for (int soon_i_ = 0; soon_i_ < 2000 && !(soon_ = (cond)); soon_i_++)                                  \
			real_sleep(5);                                                                                 \
		soon_;                                                                                                 \
	})
