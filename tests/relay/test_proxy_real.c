/* Published ports with a living relay: confined, killed, left alone, told to give way; much at once. */
#include "real.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "base/sanitized.h"

#define MANY 1000

static struct relay *up(void)
{
	struct rlimit l;
	if (!real_is_up())
		return NULL;
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	return real_open();
}

#define UP(r)                                                                                                          \
	struct relay *r = up();                                                                                        \
	if (!r)                                                                                                        \
	SKIP("needs root and a network namespace")

/* A port at `at` for a target at 127.0.0.2: what listens there, and where the port is. */
static int publish(struct relay *r, const char *id, int type, const char *at, uint16_t *port)
{
	struct err e = {0};
	OWN(own_fd) int fd = real_bind(type, at, 0);
	int target = real_bind(type, "127.0.0.2", 0);
	struct relay_port p = real_target(id, type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP, "127.0.0.2", real_port(target));
	*port = real_port(fd);
	CHECK_INT(relay_port(r, &p, fd, &e), 0);
	CHECK_INT(relay_sync(r, &e), 0);
	return target;
}

static int dial(int type, uint16_t port)
{
	union real_addr a;
	socklen_t n = real_addr("127.0.0.1", port, &a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (connect(fd, &a.any, n) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool join(int target, uint16_t port, int end[2])
{
	end[0] = dial(SOCK_STREAM, port);
	end[1] = end[0] < 0 ? -1 : accept4(target, NULL, NULL, SOCK_CLOEXEC);
	return end[1] >= 0;
}

static bool passes(int from, int to, const char *text)
{
	char got[64] = "";
	struct pollfd p = {.fd = to, .events = POLLIN};
	size_t n = strlen(text);
	return send(from, text, n, 0) == (ssize_t)n && poll(&p, 1, 10000) == 1 && recv(to, got, n, MSG_WAITALL) == (ssize_t)n && memcmp(got, text, n) == 0;
}

struct flow { /* what one end says and hears: a pattern that no two places share */
	int fd;
	size_t sent, heard, total;
	uint32_t say, hear;
	bool wrong;
};

static void fill(uint32_t *p, size_t n, uint32_t seed, size_t at)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint32_t)(at / 4 + i) * 2654435761u + seed;
}

static void flow_step(struct flow *f, short events)
{
	static uint32_t out[32768], in[32768], want[32769];
	if (events & POLLOUT && f->sent < f->total) {
		size_t n = f->total - f->sent < sizeof(out) ? f->total - f->sent : sizeof(out), skip = f->sent % 4;
		fill(out, ARRAY_LEN(out), f->say, f->sent - skip);
		ssize_t k = send(f->fd, (uint8_t *)out + skip, n - skip, MSG_DONTWAIT);
		f->sent += k > 0 ? (size_t)k : 0;
		if (f->sent == f->total)
			shutdown(f->fd, SHUT_WR);
	}
	if (events & (POLLIN | POLLHUP)) {
		ssize_t k = recv(f->fd, in, sizeof(in), MSG_DONTWAIT);
		size_t skip = f->heard % 4;
		if (k > 0) {
			fill(want, ARRAY_LEN(want), f->hear, f->heard - skip);
			f->wrong |= memcmp(in, (uint8_t *)want + skip, (size_t)k) != 0;
			f->heard += (size_t)k;
		}
		f->wrong |= k < 0 && errno != EAGAIN;
	}
}

/* Both ends say and hear `total` bytes at once. */
static bool exchange(const int end[2], size_t total)
{
	struct flow f[2] = {{.fd = end[0], .total = total, .say = 1, .hear = 2}, {.fd = end[1], .total = total, .say = 2, .hear = 1}};
	while (!f[0].wrong && !f[1].wrong && (f[0].heard < total || f[1].heard < total)) {
		struct pollfd p[2];
		for (int i = 0; i < 2; i++)
			p[i] = (struct pollfd){.fd = f[i].fd, .events = (short)((f[i].sent < total ? POLLOUT : 0) | (f[i].heard < total ? POLLIN : 0))};
		if (poll(p, 2, 20000) <= 0)
			return false;
		for (int i = 0; i < 2; i++)
			flow_step(&f[i], p[i].revents);
	}
	return !f[0].wrong && !f[1].wrong;
}

TEST(much_in_both_directions_at_once)
{
	int end[2];
	uint16_t port;
	UP(r);
	OWN(own_fd) int target = publish(r, "p", SOCK_STREAM, "127.0.0.1", &port);
	REQUIRE(join(target, port, end));
	CHECK(exchange(end, 64u << 20));
	close(end[0]);
	close(end[1]);
	relay_close(r, true);
}

static size_t descriptors(pid_t pid)
{
	char path[32];
	size_t n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	OWN(own_dir) DIR *d = opendir(path);
	while (d && readdir(d))
		n++;
	return n;
}

static size_t resident(pid_t pid) /* KiB */
{
	char path[32], line[256];
	size_t n = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	OWN(own_file) FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %zu", &n) == 1)
			break;
	return n;
}

static size_t many(void) /* connections that this machine's limit on descriptors lets the relay take at one port */
{
	struct rlimit l;
	getrlimit(RLIMIT_NOFILE, &l);
	return l.rlim_max / 8 < MANY ? l.rlim_max / 8 : MANY;
}

/* All at once, each with its own bytes; afterwards nothing is left of them, and a second round takes no more than the first. */
TEST(many_connections_leave_nothing)
{
	static int end[MANY][2];
	uint16_t port;
	size_t n = many(), rss = 0;
	UP(r);
	OWN(own_fd) int target = publish(r, "p", SOCK_STREAM, "127.0.0.1", &port);
	pid_t pid = relay_pid(r);
	size_t before = descriptors(pid);
	for (int round = 0; round < 3; round++) {
		unsigned good = 0;
		for (size_t i = 0; i < n; i++)
			REQUIRE(join(target, port, end[i]));
		CHECK(descriptors(pid) >= before + 2 * n);
		for (size_t i = 0; i < n; i++) {
			char text[16];
			snprintf(text, sizeof(text), "number %zu", i);
			good += passes(end[i][0], end[i][1], text) && passes(end[i][1], end[i][0], text);
		}
		CHECK_INT(good, n);
		for (size_t i = 0; i < n; i++) {
			close(end[i][0]);
			close(end[i][1]);
		}
		CHECK(SOON(descriptors(pid) <= before + 2 * 4)); /* the idle pipes */
		if (round == 0)
			rss = resident(pid);
		else
			CHECK(SANITIZED || resident(pid) <= rss + 512);
	}
	relay_close(r, true);
}

TEST(a_killed_relay_is_followed_by_one_that_serves)
{
	int end[2];
	char c;
	uint16_t port, udp;
	UP(r);
	OWN(own_fd) int target = publish(r, "p", SOCK_STREAM, "127.0.0.1", &port);
	OWN(own_fd) int target_udp = publish(r, "u", SOCK_DGRAM, "127.0.0.1", &udp);
	REQUIRE(join(target, port, end));
	pid_t first = relay_pid(r);
	kill(first, SIGKILL);
	CHECK(recv(end[0], &c, 1, 0) <= 0); /* what went through it is gone */
	close(end[0]);
	close(end[1]);
	int64_t since = clock_mono_ns();
	REQUIRE(join(target, port, end)); /* the kernel took it meanwhile */
	CHECK(passes(end[0], end[1], "again"));
	printf("# served again after %d ms\n", (int)((clock_mono_ns() - since) / 1000000));
	CHECK(relay_pid(r) != first);
	int fd = dial(SOCK_DGRAM, udp);
	CHECK(passes(fd, target_udp, "datagram"));
	close(fd);
	close(end[0]);
	close(end[1]);
	relay_close(r, true);
}

/* Connections outlive the daemon, and the next one: it gets the sockets back and changes nothing for those that are under way. */
TEST(connections_outlive_the_daemon)
{
	int end[2], pipe_[2];
	uint16_t port = 0;
	struct err e = {0};
	if (!real_is_up())
		SKIP("needs root and a network namespace");
	REQUIRE(pipe2(pipe_, O_CLOEXEC) == 0);
	OWN(own_fd) int target = real_bind(SOCK_STREAM, "127.0.0.2", 0);
	struct relay_port p = real_target("p", IPPROTO_TCP, "127.0.0.2", real_port(target));
	pid_t daemon = fork();
	if (daemon == 0) {
		struct relay *r = real_open();
		int fd = real_bind(SOCK_STREAM, "127.0.0.1", 0);
		uint16_t at = relay_port(r, &p, fd, &e) < 0 || relay_sync(r, &e) < 0 ? 0 : real_port(fd);
		if (write(pipe_[1], &at, sizeof(at)) == sizeof(at))
			pause();
		_exit(1);
	}
	REQUIRE(read(pipe_[0], &port, sizeof(port)) == sizeof(port) && port);
	close(pipe_[0]);
	close(pipe_[1]);
	REQUIRE(join(target, port, end));
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	CHECK(passes(end[0], end[1], "on") && passes(end[1], end[0], "and on"));
	int late[2];
	REQUIRE(join(target, port, late));
	struct relay *r = up();
	struct ip at = ip4(0x7f000001);
	CHECK(relay_port_holds(r, "p", IPPROTO_TCP, &at, port));
	CHECK_INT(relay_port(r, &p, -1, &e), 0);
	CHECK_INT(relay_settle(r, &e), 0);
	CHECK(passes(end[0], end[1], "still") && passes(late[1], late[0], "late"));
	relay_port_gone(r, "p"); /* and it is really this relay's */
	CHECK_INT(relay_sync(r, &e), 0);
	CHECK(!passes(end[0], end[1], "x"));
	for (int i = 0; i < 2; i++) {
		close(end[i]);
		close(late[i]);
	}
	relay_close(r, true);
}

/* As a daemon of another version does: takes the descriptors and tells the relay to give way. The port is served by another relay, the connection by the old one, which
 * ends with it. */
TEST(an_old_relay_ends_with_its_connections)
{
	int end[2], fresh[2];
	uint16_t port;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct relay_msg m, stop = {.type = RELAY_STOP};
	struct err e = {0};
	UP(r);
	OWN(own_fd) int target = publish(r, "p", SOCK_STREAM, "127.0.0.1", &port);
	struct relay_port p = real_target("p", IPPROTO_TCP, "127.0.0.2", real_port(target));
	REQUIRE(join(target, port, end));
	pid_t old = relay_pid(r);
	relay_close(r, false);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/relay.sock", real_dir);
	OWN(own_fd) int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	REQUIRE(connect(sock, (struct sockaddr *)&a, sizeof(a)) == 0);
	int listener = -1;
	do {
		OWN(arena_free) struct arena mem = {0};
		struct relay_fds fds = {.n = 0};
		REQUIRE(relay_proto_recv(sock, &mem, &m, &fds, &e) == 1);
		if (m.type == RELAY_PORT && fds.n == 1)
			listener = fds.v[--fds.n];
		relay_fds_close(&fds);
	} while (m.type != RELAY_READY);
	REQUIRE(listener >= 0 && relay_proto_send(sock, &stop, NULL, 0, &e) == 0);
	CHECK(SOON(recv(sock, &m, sizeof(m), MSG_DONTWAIT) == 0));
	r = real_open();
	REQUIRE(r);
	CHECK_INT(relay_pid(r), 0); /* it does not listen any more */
	CHECK(relay_port(r, &p, listener, &e) == 0 && relay_sync(r, &e) == 0);
	close(listener);
	CHECK(relay_pid(r) > 0 && relay_pid(r) != old);
	REQUIRE(join(target, port, fresh));
	CHECK(passes(fresh[0], fresh[1], "new") && passes(end[0], end[1], "old"));
	CHECK(kill(old, 0) == 0);
	close(end[0]);
	close(end[1]);
	CHECK(SOON(waitpid(old, NULL, WNOHANG) == old || kill(old, 0) < 0));
	CHECK(passes(fresh[1], fresh[0], "new"));
	close(fresh[0]);
	close(fresh[1]);
	relay_close(r, true);
}

/* One-to-one SCTP: messages stay messages. */
TEST(sctp)
{
	if (!real_is_up())
		SKIP("needs root and a network namespace");
	OWN(own_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP);
	if (fd < 0)
		SKIP("this kernel has no SCTP sockets");
	union real_addr at, to;
	socklen_t n = real_addr("127.0.0.1", 0, &at);
	struct err e = {0};
	char got[64];
	OWN(own_fd) int target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP);
	(void)real_addr("127.0.0.2", 0, &to);
	REQUIRE(bind(fd, &at.any, n) == 0 && listen(fd, 8) == 0 && bind(target, &to.any, n) == 0 && listen(target, 8) == 0);
	UP(r);
	struct relay_port p = real_target("s", IPPROTO_SCTP, "127.0.0.2", real_port(target));
	REQUIRE(relay_port(r, &p, fd, &e) == 0 && relay_sync(r, &e) == 0);
	(void)real_addr("127.0.0.1", real_port(fd), &at);
	OWN(own_fd) int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP);
	REQUIRE(connect(client, &at.any, n) == 0);
	OWN(own_fd) int server = accept4(target, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(send(client, "one", 3, 0) == 3 && send(client, "two!", 4, 0) == 4);
	CHECK_INT(recv(server, got, sizeof(got), 0), 3);
	CHECK_INT(recv(server, got, sizeof(got), 0), 4);
	CHECK(passes(server, client, "back"));
	close(STEAL_FD(client));
	CHECK_INT(recv(server, got, sizeof(got), 0), 0);
	relay_close(r, true);
}

TESTS(T(much_in_both_directions_at_once), T(many_connections_leave_nothing), T(a_killed_relay_is_followed_by_one_that_serves), T(connections_outlive_the_daemon),
	T(an_old_relay_ends_with_its_connections), T(sctp))
