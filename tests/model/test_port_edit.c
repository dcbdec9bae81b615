#include "model/port_edit.h"
#include "test.h"

/* The bindings after an edit, "80/tcp 127.0.0.1 8080; ...", or the error. */
static const char *edit(const char *bindings, const char *body, const struct port *const *now, size_t n, struct arena *a, struct port_gone *gone, size_t *ngone)
{
	struct container_spec s;
	json_t *j = NULL, *b = NULL;
	struct err e = {0};
	const char *text = arena_printf(a, "{\"HostConfig\":{\"PortBindings\":%s}}", bindings), *out = "";
	if (json_parse(text, strlen(text), &j, &e) < 0 || spec_parse(j, a, &s, &e) < 0 || json_parse(body, strlen(body), &b, &e) < 0)
		return arena_dup(a, e.msg);
	int r = port_edit(&s, b, now, n, a, gone, 4, ngone, &e);
	json_decref(j);
	json_decref(b);
	if (r < 0)
		return arena_dup(a, e.msg);
	const struct json_group *g = s.host.port_bindings.v;
	for (size_t i = 0; i < s.host.port_bindings.n; i++) {
		const struct port_binding *p = g[i].items.v;
		for (size_t k = 0; k < g[i].items.n; k++)
			out = arena_printf(a, "%s%s%s %s %s", out, *out ? "; " : "", g[i].key, *p[k].host_ip ? p[k].host_ip : "-", *p[k].host_port ? p[k].host_port : "-");
	}
	return out;
}

TEST(bindings_come_and_go)
{
	static const struct {
		const char *bindings, *body, *want;
	} rows[] = {
		{"{}", "{\"Add\":{\"80\":[{\"HostPort\":\"8080\"}],\"53/UDP\":[]}}", "80/tcp - 8080; 53/udp - -"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "{\"Add\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"}]}}", "80/tcp - 8080; 80/tcp 127.0.0.1 8080"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "{\"Add\":{\"80/tcp\":[{\"HostPort\":\"8080\"}]}}", "port 8080:80/tcp is published already"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"},{\"HostPort\":\"8081\"}],\"81/tcp\":[{}]}", "{\"Remove\":{\"80/tcp\":[{\"HostPort\":\"8081\"}]}}", "80/tcp - 8080; 81/tcp - -"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"},{\"HostPort\":\"8081\"}],\"81/tcp\":[{}]}", "{\"Remove\":{\"80/tcp\":[]}}", "81/tcp - -"},
		{"{\"80/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"1\"},{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"1\"}]}", "{\"Remove\":{\"80/tcp\":[{\"HostIp\":\"0:0::1\"}]}}", "80/tcp 127.0.0.1 1"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "{\"Remove\":{\"80/tcp\":[{\"HostPort\":\"8081\"}]}}", "port 8081:80/tcp is not published"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "{\"Remove\":{\"80/udp\":[]}}", "port 80/udp is not published"},
		{"{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "{\"Remove\":{\"80/tcp\":[]},\"Add\":{\"80/tcp\":[{\"HostPort\":\"8080\"}]}}", "80/tcp - 8080"},
		/* a range is taken apart only where something is taken out of it */
		{"{\"80-82/tcp\":[{\"HostPort\":\"8080-8082\"}],\"90-92/tcp\":[{\"HostPort\":\"9090-9092\"}]}", "{\"Remove\":{\"81/tcp\":[]}}",
			"80/tcp - 8080; 82/tcp - 8082; 90-92/tcp - 9090-9092"},
		{"{}", "{\"Add\":{\"80-81/tcp\":[{\"HostPort\":\"8080-8081\"}]}}", "80/tcp - 8080; 81/tcp - 8081"},
		{"{}", "{\"Add\":{\"1-32769/tcp\":[]}}", "more than 32768 ports at once are too many: do it in parts"},
		{"{}", "{\"Remove\":{\"1-20000/tcp\":[{},{\"HostPort\":\"1\"}]}}", "more than 32768 ports at once are too many: do it in parts"},
		{"{\"80/tcp\":[{\"HostPort\":\"1\"}]}", "{\"Add\":{\"80/tcp\":[{\"HostPort\":\"2\"},{\"HostPort\":\"3\"},{\"HostPort\":\"4\"},{\"HostPort\":\"5\"}]}}",
			"80/tcp - 1; 80/tcp - 2; 80/tcp - 3; 80/tcp - 4; 80/tcp - 5"},
		{"{}", "{\"Add\":{\"80/tcp\":[{\"HostPrt\":\"8080\"}]}}", "unknown key \"HostPrt\" in Add.80/tcp"},
		{"{}", "{\"add\":{\"80/tcp\":[{\"hostPort\":\"8080\"}]}}", "80/tcp - 8080"},
		{"{}", "{\"Add\":{},\"Delete\":{}}", "unknown key \"Delete\""},
		{"{}", "{\"Add\":{\"80/tcp\":[]},\"add\":{\"81/tcp\":[]}}", "unknown key \"add\""},
		{"{}", "{}", "no port to add or to remove"},
		{"{}", "{\"Add\":{\"0/tcp\":[]}}", "invalid port specification: \"0/tcp\""},
		{"{}", "{\"Add\":{\"80/tcp\":[8080]}}", "Add.80/tcp: expected an object, got a number"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena a = {0};
		struct port_gone gone[4];
		size_t n;
		CHECK_STR(edit(rows[i].bindings, rows[i].body, NULL, 0, &a, gone, &n), rows[i].want);
		arena_free(&a);
	}
}

/* Of two that the daemon chose, the one with this number. */
TEST(numbers_that_were_given_out)
{
	struct arena a = {0};
	struct port_gone gone[4];
	size_t n;
	struct port *p = port_new("c", 0), *q = port_new("c", 1);
	p->proto = q->proto = IPPROTO_TCP;
	p->host_port = 32768;
	q->host_port = 32769;
	p->port = q->port = 80;
	const struct port *now[] = {p, q};
	CHECK_STR(edit("{\"80/tcp\":[{},{}]}", "{\"Remove\":{\"80/tcp\":[{\"HostPort\":\"32769\"}]}}", now, 2, &a, gone, &n), "80/tcp - -");
	CHECK(n == 1 && gone[0].host_port == 32769 && gone[0].proto == IPPROTO_TCP);
	CHECK_STR(edit("{\"80/tcp\":[{},{}]}", "{\"Remove\":{\"80/tcp\":[{\"HostPort\":\"32770\"}]}}", now, 2, &a, gone, &n), "port 32770:80/tcp is not published");
	CHECK_STR(edit("{\"80/tcp\":[{\"HostPort\":\"32768-32800\"}]}", "{\"Remove\":{\"80/tcp\":[{\"HostPort\":\"32768\"}]}}", now, 2, &a, gone, &n), "");
	thing_unref(p);
	thing_unref(q);
	arena_free(&a);
}

TESTS(T(bindings_come_and_go), T(numbers_that_were_given_out))
