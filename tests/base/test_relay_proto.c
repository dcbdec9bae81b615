#include "base/relay_proto.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "test.h"

static struct ip ip(const char *s)
{
	struct ip a = {0};
	CHECK(ip_parse(s, &a) == 0);
	return a;
}

static const char *two[] = {"web", "www"}, *one[] = {"db"}, *nets[] = {"n1", "n2"};

static struct relay_msg zone_msg(struct relay_host hosts[2])
{
	hosts[0] = (struct relay_host){.names = {two, 2}, .v4 = ip("10.0.0.2"), .v6 = ip("fd00::2")};
	hosts[1] = (struct relay_host){.names = {one, 1}, .v6 = ip("fd00::3")};
	return (struct relay_msg){.type = RELAY_ZONE, .zone = {"n1", "front", hosts, 2}};
}

static struct relay_msg view_msg(void)
{
	static const struct relay_link links[] = {{"mysql", "n1", "db"}};
	static struct relay_upstream ups[2];
	ups[0] = (struct relay_upstream){.ip = ip("192.0.2.1"), .port = 53, .in_container = true};
	ups[1] = (struct relay_upstream){.ip = ip("fe80::1"), .scope = 7, .port = 5353};
	return (struct relay_msg){.type = RELAY_VIEW, .view = {.sandbox = "c1", .networks = {nets, 2}, .links = links, .nlinks = 1, .upstreams = ups, .nupstreams = 2, .ndots_set = true}};
}

static struct relay_msg serve_msg(void)
{
	static struct relay_from from[2];
	from[0] = (struct relay_from){{ip("192.0.2.0"), 24}, 3};
	from[1] = (struct relay_from){{ip("fe80::"), 64}, 0};
	return (struct relay_msg){.type = RELAY_SERVE, .port = {.id = "p1", .limited = true, .from = from, .nfrom = 2}};
}

static size_t messages(struct relay_msg *m, struct relay_host hosts[2])
{
	size_t n = 0;
	m[n++] = (struct relay_msg){.type = RELAY_HELLO, .hello = {7, "1.2"}};
	m[n++] = (struct relay_msg){.type = RELAY_READY};
	m[n++] = (struct relay_msg){.type = RELAY_SANDBOX, .id = "c1"};
	m[n++] = (struct relay_msg){.type = RELAY_SANDBOX_GONE, .id = "c1"};
	m[n++] = zone_msg(hosts);
	m[n++] = (struct relay_msg){.type = RELAY_ZONE_GONE, .id = "n1"};
	m[n++] = view_msg();
	m[n++] = (struct relay_msg){.type = RELAY_SOCKETS, .need = {.sandbox = "c1", .family = AF_INET6, .count = 3}};
	m[n++] = (struct relay_msg){.type = RELAY_TCP_SOCKET, .need = {.sandbox = "c1", .request = 9, .family = AF_INET}};
	m[n++] = (struct relay_msg){.type = RELAY_PORT, .port = {.id = "p1", .proto = IPPROTO_UDP, .target = ip("10.0.0.2"), .target_port = 80}};
	m[n++] = (struct relay_msg){.type = RELAY_PORT_GONE, .id = "p1"};
	m[n++] = (struct relay_msg){.type = RELAY_SYNC, .number = 1ull << 40};
	m[n++] = (struct relay_msg){.type = RELAY_STOP};
	m[n++] = (struct relay_msg){.type = RELAY_ACK, .number = 5};
	m[n++] = (struct relay_msg){.type = RELAY_NEED_SOCKETS, .need = {.sandbox = "c1", .family = AF_INET, .count = 16}};
	m[n++] = (struct relay_msg){.type = RELAY_NEED_TCP, .need = {.sandbox = "c1", .request = 3, .family = AF_INET, .ip = ip("192.0.2.1"), .port = 53}};
	m[n++] = serve_msg();
	m[n++] = (struct relay_msg){.type = RELAY_END};
	m[n++] = (struct relay_msg){.type = RELAY_STEER, .id = "p1"};
	return n;
}

TEST(every_message_survives)
{
	struct relay_msg m[RELAY_TYPE_N], got;
	struct relay_host hosts[2];
	size_t n = messages(m, hosts);
	CHECK_INT(n, RELAY_TYPE_N);
	for (size_t i = 0; i < n; i++) {
		OWN(own_arena) struct arena a = {0};
		OWN(own_buf) struct buf b = {0}, again = {0};
		struct err e = {0};
		CHECK_INT(m[i].type, i);
		REQUIRE(relay_proto_encode(&m[i], &b, &e) == 0);
		REQUIRE(relay_proto_decode(&a, b.data, b.len, &got, &e) == 0);
		REQUIRE(relay_proto_encode(&got, &again, &e) == 0);
		CHECK(b.len == again.len && memcmp(b.data, again.data, b.len) == 0);
	}
}

TEST(fields_arrive)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_buf) struct buf b = {0}, c = {0};
	struct relay_host hosts[2];
	struct relay_msg m = zone_msg(hosts), got, v = view_msg();
	REQUIRE(relay_proto_encode(&m, &b, NULL) == 0 && relay_proto_decode(&a, b.data, b.len, &got, NULL) == 0);
	CHECK_STR(got.zone.network, "n1");
	CHECK_STR(got.zone.name, "front");
	REQUIRE(got.zone.nhosts == 2 && got.zone.hosts[0].names.n == 2);
	CHECK_STR(got.zone.hosts[0].names.v[1], "www");
	CHECK(ip_eq(&got.zone.hosts[0].v4, &hosts[0].v4) && ip_eq(&got.zone.hosts[1].v6, &hosts[1].v6) && !ip_is_set(&got.zone.hosts[1].v4));
	REQUIRE(relay_proto_encode(&v, &c, NULL) == 0 && relay_proto_decode(&a, c.data, c.len, &got, NULL) == 0);
	CHECK(got.view.ndots_set && !got.view.internal_only);
	REQUIRE(got.view.nlinks == 1 && got.view.nupstreams == 2 && got.view.networks.n == 2);
	CHECK_STR(got.view.links[0].alias, "mysql");
	CHECK_STR(got.view.links[0].network, "n1");
	CHECK_STR(got.view.links[0].target, "db");
	CHECK(got.view.upstreams[0].in_container && !got.view.upstreams[1].in_container);
	CHECK_INT(got.view.upstreams[1].scope, 7);
	CHECK_INT(got.view.upstreams[1].port, 5353);
}

TEST(who_may_use_a_port_arrives)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_buf) struct buf b = {0};
	struct relay_msg m = serve_msg(), got;
	REQUIRE(relay_proto_encode(&m, &b, NULL) == 0 && relay_proto_decode(&a, b.data, b.len, &got, NULL) == 0);
	CHECK_STR(got.port.id, "p1");
	CHECK(got.port.limited);
	REQUIRE(got.port.nfrom == 2);
	for (size_t i = 0; i < 2; i++) {
		CHECK(prefix_eq(&got.port.from[i].net, &m.port.from[i].net));
		CHECK_INT(got.port.from[i].ifindex, m.port.from[i].ifindex);
	}
}

/* A prefix longer than its address, or one of no family, would let the wrong clients in. */
TEST(prefixes_that_are_none_are_refused)
{
	const struct prefix wrong[] = {{ip("192.0.2.0"), 33}, {ip("fe80::"), 129}, {{0}, 0}};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		OWN(own_arena) struct arena a = {0};
		OWN(own_buf) struct buf b = {0};
		const struct relay_from from = {wrong[i], 0};
		struct relay_msg m = {.type = RELAY_SERVE, .port = {.id = "p", .limited = true, .from = &from, .nfrom = 1}}, got;
		REQUIRE(relay_proto_encode(&m, &b, NULL) == 0);
		CHECK_INT(relay_proto_decode(&a, b.data, b.len, &got, NULL), -EBADMSG);
	}
}

/* What a daemon must understand of every relay, and a relay of every daemon: bytes written down when version 1 was all there was. */
TEST(what_is_kept_forever)
{
	static const struct {
		enum relay_type type;
		uint8_t p[24];
		size_t n;
	} kept[] = {
		{RELAY_HELLO, {0, 0, 0, 0, 0, 1, 0, 1, '1'}, 9},
		{RELAY_READY, {1, 0}, 2},
		{RELAY_SANDBOX, {2, 0, 0, 2, 'c', '1'}, 6},
		{RELAY_PORT, {9, 0, 0, 2, 'p', '1', 17, 4, 10, 0, 0, 2, 0, 80}, 14},
		{RELAY_STOP, {12, 0}, 2},
	};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		OWN(own_arena) struct arena a = {0};
		OWN(own_buf) struct buf b = {0};
		struct relay_msg got;
		REQUIRE(relay_proto_decode(&a, kept[i].p, kept[i].n, &got, NULL) == 0);
		CHECK_INT(got.type, kept[i].type);
		REQUIRE(relay_proto_encode(&got, &b, NULL) == 0);
		CHECK(b.len == kept[i].n && memcmp(b.data, kept[i].p, b.len) == 0);
	}
}

/* Every message cut at every length, and with a byte too many, is refused. */
TEST(cut_messages_are_refused)
{
	struct relay_msg m[RELAY_TYPE_N], got;
	struct relay_host hosts[2];
	size_t n = messages(m, hosts);
	for (size_t i = 0; i < n; i++) {
		OWN(own_buf) struct buf b = {0};
		struct err e = {0};
		REQUIRE(relay_proto_encode(&m[i], &b, NULL) == 0);
		size_t whole = b.len;
		buf_putc(&b, 0);
		for (size_t k = 0; k <= b.len; k++) {
			OWN(own_arena) struct arena a = {0};
			if (k != whole)
				CHECK_INT(relay_proto_decode(&a, b.data, k, &got, &e), -EBADMSG);
		}
	}
}

TEST(a_count_beyond_the_bytes_takes_no_memory)
{
	OWN(own_arena) struct arena a = {0};
	static const uint8_t p[] = {RELAY_ZONE, 0, 0, 1, 'n', 0, 1, 'm', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0};
	struct relay_msg got;
	CHECK_INT(relay_proto_decode(&a, p, sizeof(p), &got, NULL), -EBADMSG);
	CHECK(a.used < 1000);
}

TEST(large_zones_and_descriptors_pass_a_socket)
{
	int sv[2], in[2];
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0 && pipe2(in, O_CLOEXEC) == 0);
	for (size_t n = 1; n <= 20000; n = n * 20) {
		OWN(own_arena) struct arena a = {0};
		struct relay_host *h = arena_new(&a, struct relay_host, n);
		struct err e = {0};
		for (size_t i = 0; i < n; i++)
			h[i] = (struct relay_host){.names = {two, 2}, .v4 = ip4((uint32_t)i)};
		struct relay_msg m = {.type = RELAY_ZONE, .zone = {"n", "net", h, n}}, got;
		struct relay_fds fds = {0};
		REQUIRE(relay_proto_send(sv[0], &m, in, 2, &e) == 0);
		REQUIRE(relay_proto_recv(sv[1], &a, &got, &fds, &e) == 1);
		CHECK_INT(fds.n, 2);
		CHECK_INT(got.zone.nhosts, n);
		CHECK(got.zone.nhosts == n && ip4_host(&got.zone.hosts[n - 1].v4) == n - 1);
		relay_fds_close(&fds);
	}
	close(sv[0]);
	struct relay_fds none = {0};
	struct relay_msg got;
	OWN(own_arena) struct arena a = {0};
	CHECK_INT(relay_proto_recv(sv[1], &a, &got, &none, NULL), 0);
	close(sv[1]);
	close(in[0]);
	close(in[1]);
}

/* A body that its sender can still change is not read. */
TEST(an_unsealed_body_is_refused)
{
	int sv[2];
	uint8_t head[2] = {RELAY_ZONE, 1};
	struct relay_msg got;
	struct relay_fds fds = {0};
	OWN(own_arena) struct arena a = {0};
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	OWN(own_fd) int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	REQUIRE(fd >= 0 && write(fd, "\0\0\0\0\0\0\0\0", 8) == 8);
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl = {0};
	struct iovec iov = {head, 2};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl.space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	REQUIRE(sendmsg(sv[0], &m, 0) == 2);
	CHECK_INT(relay_proto_recv(sv[1], &a, &got, &fds, NULL), -EBADMSG);
	CHECK_INT(fds.n, 0);
	close(sv[0]);
	close(sv[1]);
}

TESTS(T(every_message_survives), T(fields_arrive), T(who_may_use_a_port_arrives), T(prefixes_that_are_none_are_refused),
	T(what_is_kept_forever), T(cut_messages_are_refused), T(a_count_beyond_the_bytes_takes_no_memory), T(large_zones_and_descriptors_pass_a_socket),
	T(an_unsealed_body_is_refused))
