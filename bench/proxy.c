/* bench-proxy: what bench/proxy drives: a target for connections, the daemon's side of a relay that serves ports, and a client.
 *   bench-proxy target ADDRESS PORT                                 a connection's first byte says what it wants: S it is read, R it is written, E one byte comes back
 *   bench-proxy serve ADDRESS PORT TARGET TARGET-PORT [COUNT]       COUNT ports from PORT on; prints the relay's pid, ends with standard input
 *   bench-proxy bytes ADDRESS PORT S|R SECONDS CONNECTIONS          prints bytes a second
 *   bench-proxy connections ADDRESS PORT SECONDS                    one after the other; prints how many a second
 *   bench-proxy waits ADDRESS PORT SECONDS                          the same, and how long each took: median and 99th percentile, us
 *   bench-proxy knocks ADDRESS PORT SECONDS                         the same, but each ends with a reset, so that nothing of it stays (TIME_WAIT, conntrack) */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "engine/relay.h"

#define CHUNK (256 << 10)

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "bench-proxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in at(const char *ip, const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		fail(ip);
	return a;
}

static int listen_at(struct sockaddr_in a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static int dial(struct sockaddr_in a, char wish)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || send(fd, &wish, 1, MSG_NOSIGNAL) != 1)
		fail("connect");
	return fd;
}

/* --- the target --- */

static void *serve_one(void *arg)
{
	static char zero[CHUNK];
	char *buf = malloc(CHUNK), wish = 0;
	int fd = (int)(intptr_t)arg;
	if (recv(fd, &wish, 1, 0) == 1 && wish == 'S')
		while (recv(fd, buf, CHUNK, 0) > 0)
			;
	while (wish == 'R' && send(fd, zero, CHUNK, MSG_NOSIGNAL) > 0)
		;
	free(buf);
	close(fd);
	return NULL;
}

static void target(char **argv)
{
	int fd = listen_at(at(argv[0], argv[1]));
	for (;;) {
		char wish = 0;
		pthread_t t;
		int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (c < 0)
			continue;
		if (recv(c, &wish, 1, MSG_PEEK) == 1 && wish == 'E') {
			(void)!recv(c, &wish, 1, 0);
			(void)!send(c, &wish, 1, MSG_NOSIGNAL);
			close(c);
		} else if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)c) == 0) {
			pthread_detach(t);
		}
	}
}

/* --- the daemon's side --- */

static int serve(char **argv)
{
	char dir[] = "/tmp/bench-proxy-XXXXXX", id[16], c;
	struct err e = {0};
	struct relay *r;
	struct sockaddr_in a = at(argv[0], argv[1]);
	int count = argv[4] ? atoi(argv[4]) : 1;
	struct rlimit l;
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	struct relay_conf conf = {.program = "", .exec_root = mkdtemp(dir), .uid = 64102, .gid = 64102};
	struct relay_port p = {.id = id, .proto = IPPROTO_TCP, .target_port = (uint16_t)atoi(argv[3])};
	if (ip_parse(argv[2], &p.target) < 0 || relay_open(&conf, &r, &e) < 0)
		fail(e.msg);
	for (int i = 0; i < count; i++) {
		OWN(own_fd) int fd = listen_at(a);
		snprintf(id, sizeof(id), "%d", i);
		if (relay_port(r, &p, fd, &e) < 0)
			fail(e.msg);
		a.sin_port = htons((uint16_t)(ntohs(a.sin_port) + 1));
	}
	if (relay_sync(r, &e) < 0)
		fail(e.msg);
	printf("%d\n", relay_pid(r));
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	relay_close(r, true);
	return 0;
}

/* --- the client --- */

struct stream {
	struct sockaddr_in to;
	char wish;
	int64_t end;
	uint64_t bytes;
};

static void *pump(void *arg)
{
	struct stream *s = arg;
	char *buf = calloc(1, CHUNK);
	int fd = dial(s->to, s->wish);
	while (clock_mono_ns() < s->end) {
		ssize_t n = s->wish == 'S' ? send(fd, buf, CHUNK, MSG_NOSIGNAL) : recv(fd, buf, CHUNK, 0);
		if (n <= 0)
			break;
		s->bytes += (uint64_t)n;
	}
	close(fd);
	free(buf);
	return NULL;
}

static int bytes(char **argv)
{
	struct stream s[64] = {0};
	pthread_t t[64];
	int n = atoi(argv[4]);
	int64_t start = clock_mono_ns(), length = (int64_t)(atof(argv[3]) * 1e9);
	uint64_t total = 0;
	for (int i = 0; i < n && i < 64; i++) {
		s[i] = (struct stream){.to = at(argv[0], argv[1]), .wish = argv[2][0], .end = start + length};
		if (pthread_create(&t[i], NULL, pump, &s[i]) != 0)
			fail("thread");
	}
	for (int i = 0; i < n && i < 64; i++) {
		pthread_join(t[i], NULL);
		total += s[i].bytes;
	}
	printf("%.0f\n", (double)total / ((double)(clock_mono_ns() - start) / 1e9));
	return 0;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return x < y ? -1 : x > y;
}

static int connections(char **argv, bool waits, bool reset)
{
	struct sockaddr_in to = at(argv[0], argv[1]);
	int64_t start = clock_mono_ns(), end = start + (int64_t)(atof(argv[2]) * 1e9), now = start;
	size_t n = 0, cap = 1u << 22;
	const struct linger none = {.l_onoff = reset};
	float *took = waits ? malloc(cap * sizeof(*took)) : NULL;
	while (now < end && n < cap) {
		char c;
		int64_t began = now;
		int fd = dial(to, 'E');
		if (recv(fd, &c, 1, 0) != 1)
			fail("no answer");
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(fd);
		now = clock_mono_ns();
		if (waits)
			took[n] = (float)(now - began) / 1000;
		n++;
	}
	printf("%.0f", (double)n / ((double)(now - start) / 1e9));
	if (waits) {
		qsort(took, n, sizeof(*took), by_size);
		printf(" %.0f %.0f", took[n / 2], took[n * 99 / 100]);
	}
	printf("\n");
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && streq(argv[1], "target"))
		target(argv + 2);
	if ((argc == 6 || argc == 7) && streq(argv[1], "serve"))
		return serve(argv + 2);
	if (argc == 7 && streq(argv[1], "bytes"))
		return bytes(argv + 2);
	if (argc == 5 && streq(argv[1], "connections"))
		return connections(argv + 2, false, false);
	if (argc == 5 && streq(argv[1], "waits"))
		return connections(argv + 2, true, false);
	if (argc == 5 && streq(argv[1], "knocks"))
		return connections(argv + 2, true, true);
	fputs("usage: see the head of bench/proxy.c; bench/proxy drives it\n", stderr);
	return 2;
}
