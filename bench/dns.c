/* bench-dns: questions at a rate, and how long answers take.
 *   bench-dns load ADDRESS RATE SECONDS NAME [FIRST LAST]    RATE questions a second whatever happens (open loop); times are counted from when a question was due, so a
 *                                                            server that stands still cannot hide it. NAME may hold one %d: FIRST to LAST in turn.
 *   bench-dns most ADDRESS WINDOW SECONDS NAME [FIRST LAST]  always WINDOW questions under way (closed loop)
 *   bench-dns flood ADDRESS RATE SECONDS NAME [FIRST LAST]   open loop, answers are not waited for
 *   bench-dns serve DIR SANDBOXES NAMES                      the daemon's side of a relay: network namespaces DIR/n0, ... with name servers as containers have them, and a network
 *                                                            with hosts host-0, ...; *.slow is asked of a server that never answers. Prints the relay's pid, ends with standard input
 *   bench-dns answer ADDRESS PORT                            a bare responder: recvmmsg, one fixed A record, sendmmsg
 * With BENCH_NS="DIR COUNT" in the environment the questions come from those namespaces in turn. A load prints: sent answered wrong, answers a second, and 50th, 99th, 99.9th percentile and maximum in us. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "engine/relay.h"
#include "kernel/netns.h"

#define SOCKETS 8
#define SOCKETS_MOST 256
#define SLOTS   16384 /* ids of one socket */
#define BATCH   32
#define LOST_NS 2000000000
#define BUCKETS 200000 /* of 1 us; longer ones count as the last */

struct load {
	unsigned sockets;
	int fd[SOCKETS_MOST];
	int64_t due[SOCKETS_MOST][SLOTS]; /* 0: not asked, or answered */
	uint16_t next[SOCKETS_MOST];
	uint64_t sent, answered, wrong, took[BUCKETS];
	int64_t slowest;
	const char *name;
	unsigned first, last, now;
	bool deaf;
};

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "bench-dns: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in at(const char *ip, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		fail(ip);
	return a;
}

static size_t question(struct load *l, uint8_t *p, uint16_t id)
{
	char name[256], *save, *part;
	size_t n = 12;
	unsigned number = l->now;
	l->now = l->now >= l->last ? l->first : l->now + 1;
	const char *d = strstr(l->name, "%d");
	if (d)
		snprintf(name, sizeof(name), "%.*s%u%s", (int)(d - l->name), l->name, number, d + 2);
	else
		snprintf(name, sizeof(name), "%s", l->name);
	memcpy(p, (uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 12);
	for (part = strtok_r(name, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
		size_t len = strlen(part);
		p[n++] = (uint8_t)len;
		memcpy(p + n, part, len);
		n += len;
	}
	memcpy(p + n, (uint8_t[]){0, 0, 1, 0, 1}, 5);
	return n + 5;
}

static void ask(struct load *l, unsigned s, const int64_t *due, unsigned n)
{
	static uint8_t bytes[BATCH][300];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	for (unsigned i = 0; i < n; i++) {
		uint16_t id = l->next[s]++ % SLOTS;
		l->due[s][id] = due[i];
		iov[i] = (struct iovec){bytes[i], question(l, bytes[i], id)};
		m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	for (unsigned done = 0; done < n;) {
		int k = sendmmsg(l->fd[s], m + done, n - done, 0);
		if (k < 0)
			fail("send");
		done += (unsigned)k;
	}
	l->sent += n;
}

static unsigned hear(struct load *l, unsigned s)
{
	static uint8_t bytes[BATCH][1500];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	int n = recvmmsg(l->fd[s], m, BATCH, MSG_DONTWAIT, NULL);
	int64_t now = clock_mono_ns();
	for (int i = 0; i < n; i++) {
		uint16_t id = (uint16_t)(bytes[i][0] << 8 | bytes[i][1]);
		if (m[i].msg_len < 12 || id >= SLOTS || !l->due[s][id])
			continue;
		int64_t took = now - l->due[s][id];
		l->due[s][id] = 0;
		l->answered++;
		l->wrong += (bytes[i][3] & 15) || !(bytes[i][6] | bytes[i][7]);
		l->took[took / 1000 < BUCKETS ? took / 1000 : BUCKETS - 1]++;
		l->slowest = took > l->slowest ? took : l->slowest;
	}
	return n > 0 ? (unsigned)n : 0;
}

static void hear_all(struct load *l, int ms)
{
	struct pollfd p[SOCKETS_MOST];
	for (unsigned s = 0; s < l->sockets; s++)
		p[s] = (struct pollfd){.fd = l->fd[s], .events = POLLIN};
	if (l->deaf || poll(p, l->sockets, ms) <= 0)
		return;
	for (unsigned s = 0; s < l->sockets; s++)
		while (p[s].revents && hear(l, s) == BATCH)
			;
}

static uint64_t percentile(const struct load *l, double part)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < BUCKETS; i++)
		if ((n += l->took[i]) >= (uint64_t)((double)l->answered * part))
			return i;
	return 0;
}

static void open_loop(struct load *l, double rate, double seconds)
{
	int64_t start = clock_mono_ns(), end = start + (int64_t)(seconds * 1e9), now = start, due[BATCH];
	double gap = 1e9 / rate;
	uint64_t k = 0;
	while (now < end) {
		unsigned n = 0, s = (unsigned)(k / BATCH % l->sockets);
		while (n < BATCH && start + (int64_t)((double)k * gap) <= now)
			due[n++] = start + (int64_t)((double)k++ * gap);
		if (n)
			ask(l, s, due, n);
		if (n < BATCH)
			hear_all(l, 0);
		if (!n)
			sched_yield();
		now = clock_mono_ns();
	}
}

static void closed_loop(struct load *l, unsigned window, double seconds)
{
	int64_t start = clock_mono_ns(), end = start + (int64_t)(seconds * 1e9), now = start, last = start, due[BATCH];
	uint64_t lost = 0;
	unsigned s = 0;
	while (now < end) {
		uint64_t under_way = l->sent - l->answered - lost, before = l->answered;
		while (under_way < window) {
			unsigned n = window - under_way < BATCH ? (unsigned)(window - under_way) : BATCH;
			for (unsigned i = 0; i < n; i++)
				due[i] = now;
			ask(l, s++ % l->sockets, due, n);
			under_way += n;
		}
		hear_all(l, 20);
		now = clock_mono_ns();
		if (l->answered != before)
			last = now;
		else if (now - last > 200000000) /* those are lost */
			lost = l->sent - l->answered;
	}
}

static void enter(const char *dir, unsigned n)
{
	char path[300];
	struct err e;
	snprintf(path, sizeof(path), "%s/n%u", dir, n);
	OWN(own_fd) int fd = netns_open(path, &e);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		fail(path);
}

static int load(char **argv, int argc)
{
	struct load *l = calloc(1, sizeof(*l));
	struct sockaddr_in to = at(argv[2], 53);
	double seconds = atof(argv[4]);
	int room = 4 << 20;
	l->name = argv[5];
	l->first = l->now = argc > 6 ? (unsigned)atoi(argv[6]) : 0;
	l->last = argc > 7 ? (unsigned)atoi(argv[7]) : 0;
	l->deaf = argv[1][0] == 'f';
	const char *spread = getenv("BENCH_NS");
	char dir[256];
	l->sockets = SOCKETS;
	if (spread && (sscanf(spread, "%200s %u", dir, &l->sockets) != 2 || l->sockets > SOCKETS_MOST))
		fail("BENCH_NS");
	for (unsigned s = 0; s < l->sockets; s++) {
		if (spread)
			enter(dir, s);
		l->fd[s] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		(void)setsockopt(l->fd[s], SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		if (connect(l->fd[s], (struct sockaddr *)&to, sizeof(to)) < 0)
			fail("connect");
	}
	int64_t start = clock_mono_ns();
	if (argv[1][0] == 'm')
		closed_loop(l, (unsigned)atoi(argv[3]), seconds);
	else
		open_loop(l, atof(argv[3]), seconds);
	double took = (double)(clock_mono_ns() - start) / 1e9;
	uint64_t within = l->answered;
	for (int64_t end = clock_mono_ns() + LOST_NS; !l->deaf && l->answered < l->sent && clock_mono_ns() < end;)
		hear_all(l, 10);
	printf("%llu %llu %llu %.0f %llu %llu %llu %.0f\n", (unsigned long long)l->sent, (unsigned long long)l->answered, (unsigned long long)l->wrong, (double)within / took,
		(unsigned long long)percentile(l, 0.5), (unsigned long long)percentile(l, 0.99), (unsigned long long)percentile(l, 0.999), (double)l->slowest / 1000);
	return 0;
}

static void answer(char **argv)
{
	static uint8_t bytes[BATCH][600];
	static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 10, 0, 0, 1};
	struct sockaddr_in a = at(argv[2], (unsigned)atoi(argv[3])), from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){1 << 20}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail("bind");
	for (;;) {
		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){bytes[i], 512};
			m[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &iov[i], .msg_iovlen = 1}};
		}
		int n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			bytes[i][2] |= 0x80;
			bytes[i][7] = 1;
			memcpy(bytes[i] + m[i].msg_len, record, sizeof(record));
			iov[i].iov_len = m[i].msg_len + sizeof(record);
		}
		for (int done = 0; n > 0 && done < n;) {
			int k = sendmmsg(fd, m + done, (unsigned)(n - done), 0);
			done += k > 0 ? k : 1;
		}
	}
}

/* --- the daemon's side --- */

struct box {
	int fd[2];
};

static int open_box(void *arg, struct err *e)
{
	struct box *b = arg;
	char text[600];
	uint16_t port[2];
	if (system("ip link set lo up") != 0)
		return err_set(e, -EIO, "ip");
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in a = at("127.0.0.11", 0);
		socklen_t n = sizeof(a);
		b->fd[i] = socket(AF_INET, (i ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)setsockopt(b->fd[i], SOL_SOCKET, SO_RCVBUFFORCE, &(int){1 << 20}, sizeof(int));
		if (bind(b->fd[i], (struct sockaddr *)&a, sizeof(a)) < 0 || (i && listen(b->fd[i], 64) < 0) || getsockname(b->fd[i], (struct sockaddr *)&a, &n) < 0)
			return err_errno(e, -errno, "a name server's socket");
		port[i] = ntohs(a.sin_port);
	}
	/* the rules, and the buffer above, as in src/kernel/dns.c */
	snprintf(text, sizeof(text), "nft 'table ip pontoon-dns { chain output { type nat hook output priority -100; ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:%u; "
		"ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:%u; }; chain postrouting { type nat hook postrouting priority 100; ip saddr 127.0.0.11 udp sport %u snat to 127.0.0.11:53; "
		"ip saddr 127.0.0.11 tcp sport %u snat to 127.0.0.11:53; }; }'", port[0], port[1], port[0], port[1]);
	return system(text) == 0 ? 0 : err_set(e, -EIO, "nft");
}

static void put_names(struct relay *r, unsigned n, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct relay_host *h = arena_new(&a, struct relay_host, n);
	struct relay_zone z = {.network = "net", .name = "front", .hosts = h, .nhosts = n};
	for (unsigned i = 0; i < n; i++) { /* as a container has them: name, short id, hostname */
		h[i].v4 = ip4(0x0a000000 + i + 2);
		(void)strv_add(&a, &h[i].names, arena_printf(&a, "host-%u", i));
		(void)strv_add(&a, &h[i].names, arena_printf(&a, "%012x", i * 2654435761u));
	}
	if (a.bad || relay_zone(r, &z, e) < 0)
		fail(e->msg);
}

static int serve(char **argv)
{
	const char *net = "net";
	char path[300], id[16], c;
	struct err e = {0};
	struct relay *r;
	struct relay_conf conf = {.program = "", .exec_root = argv[2], .uid = 64102, .gid = 64102};
	struct sockaddr_in silent = at("127.0.0.1", 0);
	socklen_t n = sizeof(silent);
	int hole = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(hole, (struct sockaddr *)&silent, n) < 0 || getsockname(hole, (struct sockaddr *)&silent, &n) < 0)
		fail("a silent server");
	struct relay_upstream up = {.ip = ip4(0x7f000001), .port = ntohs(silent.sin_port)};
	if (relay_open(&conf, &r, &e) < 0)
		fail(e.msg);
	for (int i = 0; i < atoi(argv[3]); i++) {
		struct box b;
		struct relay_view v = {.sandbox = id, .networks = {&net, 1}, .upstreams = &up, .nupstreams = 1};
		snprintf(path, sizeof(path), "%s/n%d", argv[2], i);
		snprintf(id, sizeof(id), "c%d", i);
		OWN(own_fd) int ns = netns_make(path, &e) < 0 ? -1 : netns_open(path, &e);
		if (ns < 0 || netns_run(ns, open_box, &b, &e) < 0 || relay_sandbox(r, id, b.fd[0], b.fd[1], path, &e) < 0 || relay_view(r, &v, &e) < 0)
			fail(e.msg);
		close(b.fd[0]);
		close(b.fd[1]);
	}
	put_names(r, (unsigned)atoi(argv[4]), &e);
	if (relay_sync(r, &e) < 0)
		fail(e.msg);
	printf("%d\n", relay_pid(r));
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	relay_close(r, true);
	for (int i = 0; i < atoi(argv[3]); i++) {
		snprintf(path, sizeof(path), "%s/n%d", argv[2], i);
		(void)netns_drop(path, NULL);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "answer"))
		answer(argv);
	if (argc == 5 && !strcmp(argv[1], "serve"))
		return serve(argv);
	if (argc >= 6 && (!strcmp(argv[1], "load") || !strcmp(argv[1], "most") || !strcmp(argv[1], "flood")))
		return load(argv, argc);
	fputs("usage: see the head of bench/dns.c; bench/dns drives it\n", stderr);
	return 2;
}
