/* Connections through published ports, one turn of the loop after the other. */
#include "proxy.h"

#include <sys/resource.h>

#include "base/limits.h"

static int dial(const struct scene *s)
{
	int fd = socket(s->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, &s->at.any, address_len(&s->at)) < 0)
		abort();
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int taken(const struct scene *s) /* what has come to the target; -1: nothing */
{
	return accept4(s->target, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Both ends of a new connection. */
static bool join(struct scene *s, int end[2])
{
	end[0] = dial(s);
	return SOON(s, (end[1] = taken(s)) >= 0);
}

static void part(struct scene *s, const int end[2])
{
	close(end[0]);
	close(end[1]);
	px_turn(s);
}

static bool hears(int fd, const char *text)
{
	char got[64] = "";
	return recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static bool hears_end(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static bool hears_reset(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static void hang_up(int fd)
{
	const struct linger now = {.l_onoff = 1};
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

TEST(bytes_and_ends_pass_in_both_directions)
{
	const struct {
		const char *at, *to;
		int first; /* who ends first */
	} row[] = {{"127.0.0.1", "127.0.0.2", 0}, {"127.0.0.1", "127.0.0.2", 1}, {"::1", "127.0.0.2", 0}, {"127.0.0.1", "::1", 1}};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct scene s;
		int end[2], a = row[i].first, b = 1 - a;
		px_open(&s, 1024);
		px_port(&s, "p", IPPROTO_TCP, row[i].at, row[i].to);
		REQUIRE(join(&s, end));
		CHECK(send(end[0], "ping", 4, 0) == 4 && send(end[1], "pong!", 5, 0) == 5);
		CHECK(SOON(&s, hears(end[1], "ping")) && SOON(&s, hears(end[0], "pong!")));
		CHECK(send(end[a], "last", 4, 0) == 4 && shutdown(end[a], SHUT_WR) == 0);
		CHECK(SOON(&s, hears(end[b], "last")) && SOON(&s, hears_end(end[b])));
		CHECK(send(end[b], "more", 4, 0) == 4); /* the other direction is still open */
		CHECK(SOON(&s, hears(end[a], "more")));
		CHECK_INT(s.relay.proxy.nstreams, 1);
		close(end[b]);
		CHECK(SOON(&s, hears_end(end[a])));
		CHECK(SOON(&s, s.relay.proxy.nstreams == 0));
		close(end[a]);
		px_close(&s);
	}
}

TEST(a_reset_passes_in_both_directions)
{
	for (int a = 0; a < 2; a++) {
		struct scene s;
		int end[2];
		px_open(&s, 1024);
		px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
		REQUIRE(join(&s, end));
		hang_up(end[a]);
		CHECK(SOON(&s, hears_reset(end[1 - a])));
		CHECK_INT(s.relay.proxy.nstreams, 0);
		close(end[1 - a]);
		px_close(&s);
	}
}

/* The answer of a target that does not want to hear the rest arrives. */
TEST(what_came_before_a_reset_arrives)
{
	struct scene s;
	int end[2];
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	REQUIRE(join(&s, end));
	CHECK(send(end[0], "unread", 6, 0) == 6);
	CHECK(SOON(&s, recv(end[1], &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1));
	CHECK(send(end[1], "no", 2, 0) == 2);
	close(end[1]); /* with unread bytes: a reset */
	CHECK(SOON(&s, hears(end[0], "no")));
	CHECK(SOON(&s, s.relay.proxy.nstreams == 0));
	close(end[0]);
	px_close(&s);
}

TEST(a_target_that_refuses_or_is_silent)
{
	struct scene s;
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	close(s.target);
	s.target = -1;
	int fd = dial(&s);
	CHECK(SOON(&s, hears_reset(fd)));
	CHECK_INT(s.relay.proxy.nstreams, 0);
	close(fd);
	/* A queue that is full drops SYNs. */
	px_port(&s, "q", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	CHECK(listen(s.target, 0) == 0);
	int full[3];
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(full[i], &s.to.any, sizeof(s.to.v4));
	}
	fd = dial(&s);
	CHECK(SOON(&s, s.relay.proxy.nstreams == 1));
	px_turn(&s);
	CHECK(recv(fd, &(char){0}, 1, MSG_PEEK) < 0 && errno == EAGAIN);
	CHECK(px_expire(&s, TIMER_CONNECT));
	CHECK(SOON(&s, hears_reset(fd)));
	CHECK_INT(s.relay.proxy.nstreams, 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(full); i++)
		close(full[i]);
	px_close(&s);
}

/* Sends until nothing is taken any more. */
static size_t stuff(struct scene *s, int fd)
{
	static const uint8_t block[65536];
	size_t total = 0;
	for (int idle = 0; idle < 2;) {
		ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT);
		total += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		px_turn(s);
	}
	return total;
}

/* Until the end. */
static size_t take_all(struct scene *s, int fd)
{
	static uint8_t block[65536];
	size_t total = 0;
	ssize_t n;
	while (SOON(s, (n = recv(fd, block, sizeof(block), MSG_DONTWAIT)) >= 0) && n)
		total += (size_t)n;
	return total;
}

/* A reader that takes nothing stops the sender, while the other direction goes on, and costs one pipe; when it reads, everything arrives, the end too. */
TEST(a_slow_reader_stops_the_sender)
{
	for (int pipes = 0; pipes < 2; pipes++) { /* without a pipe too */
		struct scene s;
		int end[2];
		px_open(&s, 1024);
		px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
		if (!pipes)
			s.relay.proxy.pipes.max = 0;
		REQUIRE(join(&s, end));
		size_t sent = stuff(&s, end[0]);
		CHECK(sent > PIPE_BYTES && sent < 64u << 20);
		CHECK_INT(s.relay.proxy.pipes.used - s.relay.proxy.pipes.nidle, pipes);
		CHECK(send(end[1], "back", 4, 0) == 4 && shutdown(end[0], SHUT_WR) == 0);
		CHECK(SOON(&s, hears(end[0], "back")));
		CHECK_INT(take_all(&s, end[1]), sent);
		CHECK_INT(s.relay.proxy.pipes.used, s.relay.proxy.pipes.nidle);
		part(&s, end);
		CHECK(SOON(&s, s.relay.proxy.nstreams == 0));
		px_close(&s);
	}
}

/* A port whose connections are all in use leaves its clients in the kernel's queue; each end lets one in. */
TEST(limits_make_clients_wait)
{
	struct scene s;
	int fd[6], got[6];
	px_open(&s, 32); /* 8 streams, 4 a port */
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	CHECK_INT(s.relay.proxy.max_streams_port, 4);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = dial(&s);
	for (size_t i = 0; i < 4; i++)
		CHECK(SOON(&s, (got[i] = taken(&s)) >= 0));
	px_turn(&s);
	CHECK_INT(s.relay.proxy.nstreams, 4);
	got[4] = got[5] = taken(&s);
	CHECK(got[4] < 0);
	close(fd[0]);
	px_turn(&s);
	CHECK_INT(s.relay.proxy.nstreams, 4); /* it has not ended: the target may go on */
	close(got[0]);
	CHECK(SOON(&s, (got[4] = taken(&s)) >= 0));
	CHECK_INT(s.relay.proxy.nstreams, 4);
	for (size_t i = 1; i < ARRAY_LEN(fd); i++) {
		close(fd[i]);
		CHECK(got[i] >= 0 || SOON(&s, (got[i] = taken(&s)) >= 0));
		close(got[i]);
	}
	CHECK(SOON(&s, s.relay.proxy.nstreams == 0));
	px_close(&s);
}

/* All places taken by two ports: a third waits, and gets the first that is given back. */
TEST(a_port_waits_for_a_place_among_all)
{
	static const char *const id[] = {"a", "b", "c"};
	struct scene s;
	struct {
		union address at;
		int target;
	} port[3];
	int fd[9], n = 0, got = -1;
	px_open(&s, 32);
	for (int i = 0; i < 3; i++) {
		px_port(&s, id[i], IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
		port[i].at = s.at;
		port[i].target = s.target;
	}
	for (int i = 0; i < 9; i++) {
		s.at = port[i / 4].at;
		fd[n++] = dial(&s);
	}
	CHECK(SOON(&s, s.relay.proxy.nstreams == 8 && px_get(&s, "c")->is_waiting));
	CHECK_INT(px_get(&s, "c")->nstreams, 0);
	s.target = port[1].target;
	CHECK(SOON(&s, (got = taken(&s)) >= 0));
	hang_up(got);
	CHECK(SOON(&s, px_get(&s, "c")->nstreams == 1));
	CHECK_INT(s.relay.proxy.nstreams, 8);
	CHECK(s.relay.proxy.waiting == px_get(&s, "c")); /* for one more */
	port_del(&s.relay, "c");
	CHECK(!s.relay.proxy.waiting && !s.relay.proxy.last_waiting);
	for (int i = 0; i < n; i++)
		close(fd[i]);
	close(port[0].target);
	close(port[2].target);
	px_close(&s);
}

/* Without descriptors the port pauses instead of spinning, and then goes on. */
TEST(descriptors_that_run_out)
{
	struct scene s;
	struct rlimit was, few;
	int end[2];
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	end[0] = dial(&s);
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = (rlim_t)end[0]; /* the next descriptor would be above */
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK(SOON(&s, px_get(&s, "p")->pause.next));
	CHECK_INT(s.relay.proxy.nstreams, 0);
	CHECK(!s.relay.loop.tasks && px_get(&s, "p")->pause.next);
	setrlimit(RLIMIT_NOFILE, &was);
	CHECK(px_expire(&s, TIMER_PAUSE));
	CHECK_INT(s.relay.proxy.nstreams, 1);
	CHECK(SOON(&s, (end[1] = taken(&s)) >= 0));
	part(&s, end);
	px_close(&s);
}

static void limit(struct scene *s, const char *id, const struct relay_from *from, size_t n)
{
	struct relay_port p = {.id = id, .proto = IPPROTO_TCP, .limited = true, .from = from, .nfrom = n};
	struct err e;
	CHECK(port_serve(&s->relay, &p, &e) == 0);
}

/* Who is not let in gets a reset; who is no longer let in, too. A socket of both families sees IPv4 clients as such. */
TEST(only_clients_that_are_let_in)
{
	struct scene s;
	struct relay_from lo4 = {.net = {.len = 8}}, lo6 = {.net = {.len = 128}};
	CHECK(ip_parse("127.0.0.0", &lo4.net.ip) == 0 && ip_parse("::1", &lo6.net.ip) == 0);
	for (int six = 0; six < 2; six++) {
		int end[2];
		px_open(&s, 1024);
		px_port(&s, "p", IPPROTO_TCP, "::", "127.0.0.2");
		s.at = px_address(six ? "::1" : "127.0.0.1", ntohs(s.at.v6.sin6_port));
		REQUIRE(join(&s, end));
		limit(&s, "p", six ? &lo6 : &lo4, 1);
		CHECK_INT(s.relay.proxy.nstreams, 1);
		limit(&s, "p", six ? &lo4 : &lo6, 1);
		CHECK(SOON(&s, hears_reset(end[0])));
		close(end[0]);
		close(end[1]);
		for (int i = 0; i < 2; i++) {
			end[0] = dial(&s);
			CHECK(SOON(&s, hears_reset(end[0])));
			CHECK(taken(&s) < 0);
			close(end[0]);
			limit(&s, "p", NULL, 0);
		}
		limit(&s, "p", six ? &lo6 : &lo4, 1);
		REQUIRE(join(&s, end));
		part(&s, end);
		px_close(&s);
	}
}

/* Nothing is served between PORT and SERVE; another target ends what went to the old one; connections of other ports go on. */
TEST(a_port_that_changes)
{
	struct scene s, other;
	struct err e;
	int end[2], keep[2];
	px_open(&s, 1024);
	px_port(&s, "stays", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	other = s;
	REQUIRE(join(&s, keep));
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	REQUIRE(join(&s, end));
	struct relay_port p = {.id = "p", .proto = IPPROTO_TCP, .target = address_ip(&s.to), .target_port = ntohs(s.to.v4.sin_port)};
	CHECK(port_put(&s.relay, &p, -1, &e) == 0);
	CHECK(send(end[0], "on", 2, 0) == 2);
	CHECK(SOON(&s, hears(end[1], "on"))); /* the same target: it goes on */
	int waits[2] = {dial(&s), -1};
	px_turn(&s);
	CHECK(taken(&s) < 0); /* not before SERVE */
	CHECK(port_serve(&s.relay, &p, &e) == 0);
	CHECK(SOON(&s, (waits[1] = taken(&s)) >= 0));
	part(&s, waits);
	p.target = ip4(0x7f000003);
	CHECK(port_put(&s.relay, &p, -1, &e) == 0);
	CHECK(SOON(&s, hears_reset(end[0])) && SOON(&s, hears_reset(end[1])));
	close(end[0]);
	close(end[1]);
	port_del(&s.relay, "p");
	CHECK(send(keep[0], "here", 4, 0) == 4);
	CHECK(SOON(&s, hears(keep[1], "here")));
	part(&s, keep);
	close(other.target);
	px_close(&s);
	/* What cannot be is refused. */
	px_open(&s, 1024);
	CHECK(port_put(&s.relay, &p, -1, &e) < 0);
	px_close(&s);
}

/* Told to give way: nobody new is taken, connections go on, and with the last of them it ends. */
TEST(it_gives_way)
{
	struct scene s;
	int end[2];
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	REQUIRE(join(&s, end));
	proxy_drain(&s.relay);
	CHECK(!s.relay.loop.ended);
	int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(late, &s.at.any, sizeof(s.at.v4)) < 0 && errno == ECONNREFUSED);
	close(late);
	CHECK(send(end[0], "on", 2, 0) == 2);
	CHECK(SOON(&s, hears(end[1], "on")) && !s.relay.loop.ended);
	part(&s, end);
	CHECK(SOON(&s, s.relay.loop.ended));
	px_close(&s);
	px_open(&s, 1024); /* with nothing under way, at once */
	px_port(&s, "p", IPPROTO_TCP, "127.0.0.1", "127.0.0.2");
	proxy_drain(&s.relay);
	CHECK(s.relay.loop.ended);
	px_close(&s);
}

TESTS(T(bytes_and_ends_pass_in_both_directions), T(a_reset_passes_in_both_directions), T(what_came_before_a_reset_arrives), T(a_target_that_refuses_or_is_silent),
	T(a_slow_reader_stops_the_sender), T(limits_make_clients_wait), T(a_port_waits_for_a_place_among_all), T(descriptors_that_run_out), T(only_clients_that_are_let_in),
	T(a_port_that_changes), T(it_gives_way))
