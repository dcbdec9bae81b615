#include "cli/help.h"
#include "cli/cmd.h"
#include "cli/template.h"
#include "base/units.h"
#include "test.h"

static const char *run(const char *template, const char *json)
{
	static char out[4096];
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = json_loads(json, JSON_DECODE_ANY, NULL);
	struct err e = {0};
	int r = template_run(template, j, &b, &e);
	snprintf(out, sizeof(out), "%s", r < 0 ? e.msg : buf_str(&b));
	return out;
}

TEST(templates)
{
	static const char j[] = "{\"ID\":\"abc\",\"N\":3,\"T\":true,\"L\":[\"x\",\"y\"],\"M\":{\"a\":\"1\",\"b\":\"2\"},\"S\":{\"P\":{\"Q\":\"deep\"}},\"E\":[],\"Z\":null}";
	static const struct {
		const char *template, *want;
	} rows[] = {
		{"{{.ID}} {{.N}} {{.T}}", "abc 3 true"},
		{"{{.S.P.Q}}", "deep"},
		{"{{.Nope}}|{{.Z}}", "<no value>|<no value>"},
		{"{{json .M}} {{json .ID}}", "{\"a\":\"1\",\"b\":\"2\"} \"abc\""},
		{"{{range .L}}[{{.}}]{{end}}", "[x][y]"},
		{"{{range $i, $v := .L}}{{$i}}={{$v}};{{end}}", "0=x;1=y;"},
		{"{{range $k, $v := .M}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "},
		{"{{range .E}}x{{else}}none{{end}}", "none"},
		{"{{if .T}}yes{{else}}no{{end}}", "yes"},
		{"{{if .E}}a{{else if .T}}b{{else}}c{{end}}", "b"},
		{"{{with .S}}{{.P.Q}}{{end}}", "deep"},
		{"{{if eq .ID \"abc\"}}same{{end}}{{if ne .N 3}}x{{end}}{{if gt .N 2}}more{{end}}", "samemore"},
		{"{{len .L}} {{index .L 1}} {{index .M \"b\"}}", "2 y 2"},
		{"{{join .L \", \"}} {{upper .ID}} {{.ID | title}} {{truncate .ID 2}}", "x, y ABC Abc ab"},
		{"{{range (split \"a/b\" \"/\")}}<{{.}}>{{end}}", "<a><b>"},
		{"{{printf \"%s-%d-%5s|\" .ID .N \"z\"}}", "abc-3-    z|"},
		{"a {{- /* gone */ -}} b", "ab"},
		{"{{$x := .N}}{{$x}}", "3"},
		{"{{.L}} {{.M}}", "[x y] map[a:1 b:2]"},
		{"{{and .T .ID}} {{or .E .ID}} {{not .T}}", "abc abc false"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_STR(run(rows[i].template, j), rows[i].want);
	static const char *const bad[] = {"{{", "{{.ID", "{{if .T}}", "{{end}}", "{{nope .ID}}", "{{$y}}", "{{range .L}}", "{{.ID extra}}", "{{\"x}}", "{{(.ID}}"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(strncmp(run(bad[i], j), "template parsing error: ", 24) == 0);
}

TEST(sizes_and_durations)
{
	OWN(arena_free) struct arena a = {0};
	int64_t n;
	CHECK_STR(units_size(0, &a), "0B");
	CHECK_STR(units_size(1980000, &a), "1.98MB");
	CHECK_STR(units_size(7330000000, &a), "7.33GB");
	CHECK_STR(units_duration(0, &a), "Less than a second");
	CHECK_STR(units_duration(61, &a), "About a minute");
	CHECK_STR(units_duration(3600, &a), "About an hour");
	CHECK_STR(units_duration(86400 * 3, &a), "3 days");
	CHECK_INT(units_parse_bytes("64m", &n), 0);
	CHECK_INT(n, 64 << 20);
	CHECK_INT(units_parse_bytes("1.5gib", &n), 0);
	CHECK_INT(n, 3ll << 29);
	CHECK_INT(units_parse_bytes("x", &n), -EINVAL);
	bool on = false;
	CHECK(units_parse_bool("True", &on) == 0 && on && units_parse_bool("f", &on) == 0 && !on && units_parse_bool("1", &on) == 0 && on);
	CHECK(units_parse_bool("yes", &on) == -EINVAL && units_parse_bool("", &on) == -EINVAL && units_parse_bool("tRUE", &on) == -EINVAL && on);
	CHECK_INT(units_parse_bytes("5q", &n), -EINVAL);
	CHECK_INT(units_parse_bytes("-5", &n), -EINVAL);
}

static const char *publish(const char *spec)
{
	static char out[4096];
	OWN(own_json) json_t *x = json_object(), *b = json_object();
	struct err e = {0};
	if (ports_publish(spec, x, b, &e) < 0) {
		snprintf(out, sizeof(out), "%s", e.msg);
		return out;
	}
	OWN(own_free) char *t = json_dumps(b, JSON_COMPACT);
	snprintf(out, sizeof(out), "%s", t);
	return out;
}

TEST(published_ports)
{
	CHECK_STR(publish("80"), "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}]}");
	CHECK_STR(publish("8080:80/UDP"), "{\"80/udp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}");
	CHECK_STR(publish("127.0.0.1::80"), "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"\"}]}");
	CHECK_STR(publish("[::1]:8080:80"), "{\"80/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"8080\"}]}");
	CHECK_STR(publish("8000-8001:80-81"), "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000\"}],\"81/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8001\"}]}");
	CHECK_STR(publish("8000-8009:80"), "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000-8009\"}]}");
	CHECK_STR(publish("8000-8002:80-81"), "invalid ranges specified for container and host Ports: 80-81 and 8000-8002");
	CHECK_STR(publish("x:80"), "invalid hostPort: x");
	CHECK_STR(publish("80:x"), "invalid containerPort: x");
	CHECK_STR(publish("80:0"), "invalid containerPort: 0");
	CHECK_STR(publish("1.2.3:80:80"), "invalid IP address: 1.2.3");
	CHECK_STR(publish("80/xyz"), "invalid proto: xyz");
	CHECK_STR(publish("80:"), "no port specified: 80:<empty>");
	CHECK_STR(publish("target=80"), "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}]}");
	CHECK_STR(publish("published=8000-8009,Target=80,protocol=UDP,mode=host"), "{\"80/udp\":[{\"HostIp\":\"\",\"HostPort\":\"8000-8009\"}]}");
	CHECK_STR(publish("published=9000"), "no port specified: 9000:/tcp<empty>");
	CHECK_STR(publish("target=80,published=x"), "invalid hostPort: x");
	CHECK_STR(publish("target=80,protocol=icmp"), "invalid proto: icmp");
	CHECK_STR(publish("target=80,mode=hosts"), "invalid publish mode value (hosts): must be either 'ingress' or 'host'");
	CHECK_STR(publish("target=80,targe=1"), "invalid field key targe");
	CHECK_STR(publish("target=80,"), "invalid field: ");
}

TEST(flags)
{
	static const struct flag table[] = {{"name", 0, "string", "x"}, {"env", 'e', "list", "x"}, {"detach", 'd', NULL, "x"}, {"tty", 't', NULL, "x"}};
	OWN(arena_free) struct arena a = {0};
	struct parsed p;
	struct err e = {0};
	char *good[] = {(char[]){"-dt"}, (char[]){"--name=n"}, (char[]){"-eA=1"}, (char[]){"-e"}, (char[]){"B"}, (char[]){"image"}, (char[]){"--name"}, NULL};
	CHECK_INT(flags_parse(table, 4, good, true, &a, &p, &e), 0);
	CHECK(flag_on(&p, "detach") && flag_on(&p, "tty"));
	CHECK_STR(flag_get(&p, "name"), "n");
	CHECK_INT(flag_list(&p, "env")->n, 2);
	CHECK_INT(p.args.n, 2);
	CHECK_STR(p.args.v[1], "--name");
	char *unknown[] = {(char[]){"--nope"}, NULL}, *letter[] = {(char[]){"-z"}, NULL}, *bare[] = {(char[]){"--name"}, NULL}, *off[] = {(char[]){"--detach=false"}, NULL};
	CHECK_INT(flags_parse(table, 4, unknown, true, &a, &p, &e), -EINVAL);
	CHECK_STR(e.msg, "unknown flag: --nope");
	CHECK_INT(flags_parse(table, 4, letter, true, &a, &p, &e), -EINVAL);
	CHECK_STR(e.msg, "unknown shorthand flag: 'z' in -z");
	CHECK_INT(flags_parse(table, 4, bare, true, &a, &p, &e), -EINVAL);
	CHECK_STR(e.msg, "flag needs an argument: --name");
	CHECK_INT(flags_parse(table, 4, off, true, &a, &p, &e), 0);
	CHECK(!flag_on(&p, "detach"));
}

TEST(heads_of_answers)
{
	struct http h = HTTP_NONE;
	static const char good[] = "HTTP/1.1 201 Created\r\ncontent-length: 12\r\nContent-Type: application/json\r\n\r\n", bad[] = "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n";
	CHECK_INT(http_parse_head(&h, good, strlen(good), NULL), 0);
	CHECK(h.status == 201 && h.has_length && h.left == 12);
	CHECK_STR(h.type, "application/json");
	CHECK(!h.kept.len);
	for (int i = 0; i < 2; i++) { /* of the last answer only */
		h.keep = "Content-type";
		CHECK_INT(http_parse_head(&h, good, strlen(good), NULL), 0);
		CHECK_STR(buf_str(&h.kept), "application/json");
	}
	h.keep = "X";
	CHECK_INT(http_parse_head(&h, "HTTP/1.1 200 OK\nX: y", 20, NULL), 0);
	CHECK_STR(buf_str(&h.kept), "y");
	http_close(&h);
	CHECK(http_parse_head(&h, bad, strlen(bad), NULL) < 0);
	CHECK(http_parse_head(&h, "SSH-2.0-OpenSSH", 15, NULL) < 0);
}

TEST(near_misses)
{
	CHECK_INT(help_distance("images", "images", 2), 0);
	CHECK_INT(help_distance("iamges", "images", 2), 2);
	CHECK_INT(help_distance("conect", "connect", 2), 1);
	CHECK_INT(help_distance("", "rm", 2), 2);
	CHECK_INT(help_distance("completely", "rm", 2), 3);
	CHECK_INT(help_distance("a-word-that-is-longer-than-any-command", "rm", 2), 3);
}

TESTS(T(templates), T(sizes_and_durations), T(published_ports), T(flags), T(heads_of_answers), T(near_misses))
