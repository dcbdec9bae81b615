/* Sockets of published ports that both processes hold, with a living relay. */
#include "real.h"

static bool is_closed(int port) /* nobody listens there any more */
{
	union real_addr a;
	socklen_t n = real_addr("127.0.0.1", (uint16_t)port, &a);
	OWN(own_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, &a.any, n) < 0 && errno == ECONNREFUSED;
}

/* The descriptor given is not needed any more; a relay that is killed is followed by one that has the socket; the daemon's end leaves it to the relay, and the next
 * daemon gets it back. */
TEST(both_hold_it_and_either_may_die)
{
	struct err e = {0};
	if (!real_is_up())
		SKIP("needs root and a network namespace");
	struct relay *r = real_open();
	REQUIRE(r);
	int fd = real_bind(SOCK_STREAM, "127.0.0.1", 0);
	uint16_t port = real_port(fd);
	struct relay_port p = real_target("p1", IPPROTO_TCP, "127.0.0.2", 80);
	struct ip at = ip4(0x7f000001), other = ip4(0x7f000002);
	CHECK_INT(relay_port(r, &p, -1, &e), -ENOENT);
	REQUIRE(relay_port(r, &p, fd, &e) == 0 && relay_sync(r, &e) == 0);
	close(fd);
	CHECK(relay_port_holds(r, "p1", IPPROTO_TCP, &at, port));
	CHECK(!relay_port_holds(r, "p1", IPPROTO_TCP, &other, port) && !relay_port_holds(r, "p1", IPPROTO_UDP, &at, port) && !relay_port_holds(r, "p2", IPPROTO_TCP, &at, port));
	pid_t first = relay_pid(r);
	REQUIRE(first > 0);
	kill(first, SIGKILL);
	CHECK(SOON(relay_pid(r) > 0 && relay_pid(r) != first));
	CHECK_INT(relay_sync(r, &e), 0);
	pid_t second = relay_pid(r);
	relay_close(r, false);
	CHECK(!is_closed(port));
	r = real_open();
	REQUIRE(r);
	CHECK_INT(relay_pid(r), second);
	CHECK(relay_port_holds(r, "p1", IPPROTO_TCP, &at, port));
	CHECK_INT(relay_port(r, &p, -1, &e), 0);
	CHECK_INT(relay_settle(r, &e), 0);
	CHECK(relay_port_holds(r, "p1", IPPROTO_TCP, &at, port));
	relay_port_gone(r, "p1");
	CHECK_INT(relay_sync(r, &e), 0);
	CHECK(is_closed(port));
	relay_close(r, true);
}

static bool is_held(int reader) /* somebody has the other end of the pipe */
{
	struct pollfd f = {.fd = reader};
	return poll(&f, 1, 0) == 0;
}

/* What leads a run of ports to its socket lives as long as one of the two: here it is a pipe's end, which shows that. */
TEST(both_hold_what_leads_to_a_run)
{
	struct err e = {0};
	int ends[2];
	if (!real_is_up())
		SKIP("needs root and a network namespace");
	struct relay *r = real_open();
	REQUIRE(r && pipe2(ends, O_CLOEXEC) == 0);
	OWN(own_fd) int reader = ends[0];
	OWN(own_fd) int fd = real_bind(SOCK_STREAM, "127.0.0.1", 0);
	struct relay_port p = real_target("p1", IPPROTO_TCP, "127.0.0.2", 80);
	CHECK_INT(relay_steer(r, "p1", ends[1], &e), -ENOENT);
	REQUIRE(relay_port(r, &p, fd, &e) == 0 && relay_steer(r, "p1", ends[1], &e) == 0 && relay_sync(r, &e) == 0);
	close(ends[1]);
	CHECK_INT(relay_port(r, &p, -1, &e), 0); /* told anew: it stays */
	pid_t first = relay_pid(r);
	REQUIRE(first > 0);
	kill(first, SIGKILL);
	CHECK(SOON(relay_pid(r) > 0 && relay_pid(r) != first));
	CHECK_INT(relay_sync(r, &e), 0);
	CHECK(is_held(reader));
	relay_close(r, false);
	CHECK(is_held(reader)); /* by the relay alone */
	r = real_open();
	REQUIRE(r);
	CHECK_INT(relay_port(r, &p, -1, &e), 0);
	CHECK_INT(relay_settle(r, &e), 0);
	first = relay_pid(r);
	REQUIRE(first > 0);
	kill(first, SIGKILL);
	CHECK(SOON(relay_pid(r) > 0 && relay_pid(r) != first));
	CHECK(is_held(reader)); /* the next daemon had it back */
	relay_port_gone(r, "p1");
	CHECK_INT(relay_sync(r, &e), 0);
	CHECK(!is_held(reader));
	relay_close(r, true);
}

TEST(what_nobody_asks_for_goes)
{
	struct err e = {0};
	if (!real_is_up())
		SKIP("needs root and a network namespace");
	struct relay *r = real_open();
	REQUIRE(r);
	OWN(own_fd) int a = real_bind(SOCK_STREAM, "127.0.0.1", 0);
	OWN(own_fd) int b = real_bind(SOCK_DGRAM, "::", 0);
	uint16_t port = real_port(a), port_b = real_port(b);
	struct ip at = ip4(0x7f000001), any6 = {.family = AF_INET6};
	struct relay_port pa = real_target("a", IPPROTO_TCP, "127.0.0.2", 80), pb = real_target("b", IPPROTO_UDP, "127.0.0.2", 80);
	REQUIRE(relay_port(r, &pa, a, &e) == 0 && relay_port(r, &pb, b, &e) == 0 && relay_sync(r, &e) == 0);
	close(STEAL_FD(a));
	relay_close(r, false);
	r = real_open();
	REQUIRE(r);
	CHECK(relay_port_holds(r, "a", IPPROTO_TCP, &at, port) && relay_port_holds(r, "b", IPPROTO_UDP, &any6, port_b));
	CHECK_INT(relay_port(r, &pb, -1, &e), 0);
	CHECK_INT(relay_settle(r, &e), 0);
	CHECK(!relay_port_holds(r, "a", IPPROTO_TCP, &at, port) && relay_port_holds(r, "b", IPPROTO_UDP, &any6, port_b));
	CHECK(is_closed(port));
	relay_close(r, true);
}

/* What is no such socket is refused, and nothing of it is kept. */
TEST(only_sockets_that_serve)
{
	struct err e = {0};
	if (!real_is_up())
		SKIP("needs root and a network namespace");
	struct relay *r = real_open();
	REQUIRE(r);
	OWN(own_fd) int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	OWN(own_fd) int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	OWN(own_fd) int udp = real_bind(SOCK_DGRAM, "127.0.0.1", 0);
	struct relay_port p = real_target("x", IPPROTO_TCP, "127.0.0.2", 80);
	char id[RELAY_PORT_ID + 1];
	CHECK_INT(relay_port(r, &p, tcp, &e), -EINVAL); /* it does not listen */
	CHECK_INT(relay_port(r, &p, local, &e), -EINVAL);
	CHECK_INT(relay_port(r, &p, udp, &e), -EINVAL);
	CHECK_INT(relay_pid(r), 0);
	CHECK_INT(relay_port(r, &p, -1, &e), -ENOENT);
	memset(id, 'i', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	p = real_target(id, IPPROTO_UDP, "127.0.0.2", 80);
	CHECK_INT(relay_port(r, &p, udp, &e), -EINVAL);
	relay_close(r, true);
}

TESTS(T(both_hold_it_and_either_may_die), T(both_hold_what_leads_to_a_run), T(what_nobody_asks_for_goes), T(only_sockets_that_serve))
