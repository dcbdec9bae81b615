/* Clients of published UDP ports, one turn of the loop after the other. */
#include "proxy.h"

static int dial(const struct scene *s)
{
	int fd = socket(s->at.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(fd, &s->at.any, address_len(&s->at)) < 0) /* so it hears only of where it has sent to */
		abort();
	return fd;
}

static bool hears(int fd, const char *text)
{
	char got[64] = "";
	return recv(fd, got, sizeof(got) - 1, 0) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static bool target_hears(const struct scene *s, const char *text, union address *from)
{
	char got[64] = "";
	socklen_t n = sizeof(*from);
	memset(from, 0, sizeof(*from));
	return recvfrom(s->target, got, sizeof(got) - 1, 0, &from->any, &n) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static bool say(int fd, const char *text)
{
	return send(fd, text, strlen(text), 0) == (ssize_t)strlen(text);
}

static bool target_says(const struct scene *s, const union address *to, const char *text)
{
	return sendto(s->target, text, strlen(text), 0, &to->any, address_len(to)) == (ssize_t)strlen(text);
}

/* Each client has a way of its own, and hears from the address it knows, whatever family the port serves. */
TEST(answers_come_from_where_it_was_asked)
{
	const struct {
		const char *bind, *ask, *to;
	} row[] = {{"0.0.0.0", "127.0.0.3", "127.0.0.2"}, {"0.0.0.0", "127.0.0.1", "::1"}, {"::", "127.0.0.3", "127.0.0.2"}, {"::", "::1", "127.0.0.2"}, {"::1", "::1", "::1"}};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct scene s;
		union address from[2];
		int fd[2];
		px_open(&s, 1024);
		px_port(&s, "p", IPPROTO_UDP, row[i].bind, row[i].to);
		s.at = px_address(row[i].ask, ntohs(s.at.v4.sin_port));
		for (int k = 0; k < 2; k++) {
			fd[k] = dial(&s);
			CHECK(say(fd[k], "one") && say(fd[k], "two"));
			CHECK(SOON(&s, target_hears(&s, "one", &from[k])) && SOON(&s, target_hears(&s, "two", &from[k])));
		}
		CHECK(memcmp(&from[0], &from[1], sizeof(from[0])) != 0);
		CHECK(target_says(&s, &from[1], "second") && target_says(&s, &from[0], "first") && target_says(&s, &from[0], ""));
		CHECK(SOON(&s, hears(fd[0], "first")) && SOON(&s, hears(fd[1], "second")) && SOON(&s, hears(fd[0], "")));
		CHECK_INT(s.relay.proxy.nsessions, 2);
		CHECK(px_expire(&s, TIMER_SESSION) && px_expire(&s, TIMER_SESSION));
		CHECK_INT(s.relay.proxy.nsessions, 0);
		CHECK(say(fd[0], "again"));
		CHECK(SOON(&s, target_hears(&s, "again", &from[0])));
		close(fd[0]);
		close(fd[1]);
		px_close(&s);
	}
}

/* The same client asking two addresses of this host is two clients: each answer comes from the address that was asked. */
TEST(a_client_of_two_addresses)
{
	struct scene s;
	union address from[2], who;
	socklen_t n = sizeof(who);
	char got[8];
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_UDP, "0.0.0.0", "127.0.0.2");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	for (int k = 0; k < 2; k++) {
		union address at = px_address(k ? "127.0.0.5" : "127.0.0.4", ntohs(s.at.v4.sin_port));
		CHECK(sendto(fd, "ask", 3, 0, &at.any, sizeof(at.v4)) == 3);
		CHECK(SOON(&s, target_hears(&s, "ask", &from[k])));
	}
	for (int k = 0; k < 2; k++) {
		CHECK(target_says(&s, &from[k], "answer"));
		CHECK(SOON(&s, recvfrom(fd, got, sizeof(got), 0, &who.any, &n) == 6));
		CHECK_INT(ntohl(who.v4.sin_addr.s_addr), k ? 0x7f000005 : 0x7f000004);
	}
	close(fd);
	px_close(&s);
}

/* The longest datagram there is, many of them, in both directions. */
TEST(long_ones_and_many)
{
	static uint8_t big[65507], got[65536];
	struct scene s;
	union address from;
	socklen_t n = sizeof(from);
	unsigned there = 0, back = 0;
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_UDP, "127.0.0.1", "127.0.0.2");
	int fd = dial(&s);
	memset(big, 7, sizeof(big));
	CHECK(send(fd, big, sizeof(big), 0) == (ssize_t)sizeof(big));
	CHECK(SOON(&s, recvfrom(s.target, got, sizeof(got), 0, &from.any, &n) == (ssize_t)sizeof(big)) && memcmp(big, got, sizeof(big)) == 0);
	CHECK(sendto(s.target, big, sizeof(big), 0, &from.any, n) == (ssize_t)sizeof(big));
	CHECK(SOON(&s, recv(fd, got, sizeof(got), 0) == (ssize_t)sizeof(big)));
	for (int i = 0; i < 100; i++)
		CHECK(say(fd, "x"));
	CHECK(SOON(&s, target_hears(&s, "x", &from) && ++there == 100));
	for (int i = 0; i < 100; i++)
		CHECK(target_says(&s, &from, "y"));
	CHECK(SOON(&s, hears(fd, "y") && ++back == 100));
	close(fd);
	px_close(&s);
}

/* What ICMP says of a target that is not there is passed over: when it is there, it is served, by the same session. */
TEST(a_target_that_comes_later)
{
	struct scene s;
	union address from;
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_UDP, "127.0.0.1", "127.0.0.2");
	int fd = dial(&s), on = 1;
	close(s.target);
	for (int i = 0; i < 3; i++) {
		CHECK(say(fd, "anybody"));
		px_turn(&s);
	}
	CHECK(SOON(&s, s.relay.proxy.nsessions == 1));
	s.target = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)setsockopt(s.target, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CHECK(bind(s.target, &s.to.any, sizeof(s.to.v4)) == 0);
	CHECK(say(fd, "now"));
	CHECK(SOON(&s, target_hears(&s, "now", &from)));
	CHECK_INT(s.relay.proxy.nsessions, 1);
	CHECK(target_says(&s, &from, "yes"));
	CHECK(SOON(&s, hears(fd, "yes"))); /* and the client has not heard of an error */
	close(fd);
	px_close(&s);
}

/* More clients than places: the one that has been silent longest makes place, of the same port, or of another when all are taken. */
TEST(places_are_limited)
{
	struct scene s;
	union address from;
	int fd[7];
	px_open(&s, 64); /* 8, 4 a port */
	px_port(&s, "p", IPPROTO_UDP, "127.0.0.1", "127.0.0.2");
	for (int i = 0; i < 4; i++) {
		fd[i] = dial(&s);
		CHECK(say(fd[i], "a") && SOON(&s, target_hears(&s, "a", &from)));
	}
	CHECK(say(fd[0], "b") && SOON(&s, target_hears(&s, "b", &from))); /* now the second is the oldest */
	fd[4] = dial(&s);
	CHECK(say(fd[4], "c") && SOON(&s, target_hears(&s, "c", &from)));
	CHECK_INT(px_get(&s, "p")->sessions.n, 4);
	CHECK_INT(s.relay.proxy.nsessions, 4);
	s.relay.proxy.max_sessions = 4; /* as if another port had taken the rest */
	int first = s.target;
	union address at = s.at;
	px_port(&s, "q", IPPROTO_UDP, "127.0.0.1", "127.0.0.2");
	fd[5] = dial(&s);
	CHECK(say(fd[5], "d") && SOON(&s, target_hears(&s, "d", &from)));
	CHECK_INT(px_get(&s, "p")->sessions.n, 3);
	CHECK_INT(s.relay.proxy.nsessions, 4);
	port_del(&s.relay, "q");
	CHECK_INT(s.relay.proxy.nsessions, 3);
	/* A batch whose later clients take the places of its earlier ones. */
	close(s.target);
	s.target = first;
	s.at = at;
	s.relay.proxy.max_sessions_port = 1;
	for (int i = 0; i < 5; i++)
		CHECK(say(fd[i], "e"));
	unsigned heard = 0;
	CHECK(SOON(&s, target_hears(&s, "e", &from) && ++heard == 5));
	for (int i = 0; i < 6; i++)
		close(fd[i]);
	px_close(&s);
}

TEST(only_clients_that_are_let_in)
{
	struct scene s;
	union address from;
	struct err e;
	struct relay_from one = {.net = {.ip = ip4(0x7f000009), .len = 32}}, lo = {.net = {.ip = ip4(0x7f000000), .len = 8}, .ifindex = 1}, other = lo;
	struct relay_port p = {.id = "p", .proto = IPPROTO_UDP, .limited = true, .from = &one, .nfrom = 1};
	px_open(&s, 1024);
	px_port(&s, "p", IPPROTO_UDP, "::", "127.0.0.2");
	s.at = px_address("127.0.0.1", ntohs(s.at.v6.sin6_port));
	int fd = dial(&s);
	CHECK(port_serve(&s.relay, &p, &e) == 0 && say(fd, "a"));
	px_turn(&s);
	other.ifindex = 4000;
	p.from = &other; /* the right address by the wrong interface */
	CHECK(SOON(&s, !s.relay.loop.tasks) && port_serve(&s.relay, &p, &e) == 0 && say(fd, "b"));
	px_turn(&s);
	p.from = &lo;
	CHECK(SOON(&s, !s.relay.loop.tasks) && port_serve(&s.relay, &p, &e) == 0 && say(fd, "c"));
	CHECK(SOON(&s, target_hears(&s, "c", &from)));
	close(fd);
	px_close(&s);
}

TESTS(T(answers_come_from_where_it_was_asked), T(a_client_of_two_addresses), T(long_ones_and_many), T(a_target_that_comes_later), T(places_are_limited),
	T(only_clients_that_are_let_in))
