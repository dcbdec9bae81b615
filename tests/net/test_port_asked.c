/* Which bindings stand in a row, and how long a row is. */
#include "base/limits.h"
#include "net/fixture.h"
#include "net/port_asked.h"

/* "tcp 20000-20999 @ +0; ..." of these bindings */
static void long_runs(const char *bindings, const char *want)
{
	struct arena a = {0};
	struct err e = {0};
	struct container_spec s = {0};
	struct port_long *v;
	size_t n;
	json_t *j = NULL;
	OWN(own_buf) struct buf got = {0};
	const char *body = arena_printf(&a, "{\"HostConfig\":{\"PortBindings\":{%s}}}", bindings);
	REQUIRE(json_parse(body, strlen(body), &j, &e) == 0 && spec_parse(j, &a, &s, &e) == 0);
	json_decref(j);
	REQUIRE(port_asked_long(&s.host, &a, &v, &n) == 0);
	for (size_t i = 0; i < n; i++)
		buf_printf(&got, "%s%s %u-%u @%s %+d", i ? "; " : "", port_proto_name(v[i].proto), v[i].host.first, v[i].host.last, v[i].host_ip, v[i].step);
	CHECK_STR(buf_str(&got), want);
	arena_free(&a);
}

TEST(ranges)
{
	long_runs("", "");
	long_runs("\"80/tcp\":[{\"HostPort\":\"80\"}]", "");
	long_runs("\"1000-1255/tcp\":[{\"HostPort\":\"1000-1255\"}]", "");
	long_runs("\"1000-1256/tcp\":[{\"HostPort\":\"2000-2256\"}]", "tcp 2000-2256 @ +1000");
	long_runs("\"1000-1256/sctp\":[{\"HostPort\":\"1-257\",\"HostIp\":\"192.0.2.1\"},{\"HostPort\":\"2-258\",\"HostIp\":\"::1\"}]", "sctp 1-257 @192.0.2.1 -999; sctp 2-258 @::1 -998");
	long_runs("\"1000-1256/tcp\":[{\"HostPort\":\"\"}],\"80/tcp\":[{\"HostPort\":\"1000-9000\"}],\"81/tcp\":null", ""); /* a choice is no run */
}

TEST(one_by_one)
{
	OWN(own_buf) struct buf b = {0};
	for (int i = LIMIT_PORT_RUN; i >= 0; i--)
		buf_printf(&b, "%s\"%d/tcp\":[{\"HostPort\":\"%d\"}],\"%d/udp\":[{\"HostPort\":\"%d\"}]", b.len ? "," : "", 100 + i, 20000 + i, 100 + i, 20000 + i);
	long_runs(buf_str(&b), "tcp 20000-20256 @ +19900; udp 20000-20256 @ +19900");
	buf_puts(&b, ",\"357-360/tcp\":[{\"HostPort\":\"20257-20260\"}],\"361/tcp\":[{\"HostPort\":\"20262\"}],\"362/tcp\":[{\"HostPort\":\"20261\"}]");
	long_runs(buf_str(&b), "tcp 20000-20260 @ +19900; udp 20000-20256 @ +19900");
	b.len = 0;
	for (int i = 0; i <= LIMIT_PORT_RUN; i++)
		buf_printf(&b, "%s\"%d/tcp\":[{\"HostPort\":\"%d\"}]", b.len ? "," : "", 100 + i, 20000 + i + (i >= 128));
	long_runs(buf_str(&b), ""); /* one is left out in the middle */
}

TESTS(T(ranges), T(one_by_one))
