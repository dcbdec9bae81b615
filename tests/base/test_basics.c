#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/ip.h"
#include "base/json.h"
#include "base/map.h"
#include "base/spawn.h"
#include "test.h"

#include <sys/stat.h>
#include <sys/wait.h>

TEST(arena_gives_zeroed_memory_and_fails_sticky)
{
	struct arena a = {0};
	for (size_t n = 1; n < 5000; n += 37) {
		char *p = arena_alloc(&a, n, 1);
		REQUIRE(p);
		for (size_t i = 0; i < n; i++)
			CHECK(p[i] == 0);
		memset(p, 0xff, n);
	}
	CHECK(!arena_new_array(&a, SIZE_MAX / 2, 1, 4));
	CHECK(a.bad);
	CHECK(!arena_dup(&a, "x"));
	arena_free(&a);
	CHECK(arena_dup(&a, "x") != NULL);
	arena_free(&a);
}

static int push(struct arena *a, uint64_t **v, size_t *n, size_t *cap, uint64_t x)
{
	try(arena_room(a, *v, *n, *cap));
	(*v)[(*n)++] = x;
	return 0;
}

TEST(an_arrays_room_grows_and_keeps_what_is_in_it)
{
	OWN(arena_free) struct arena a = {0};
	uint64_t *v = NULL;
	size_t n = 0, cap = 0;
	for (uint64_t i = 0; i < 1000; i++)
		REQUIRE(push(&a, &v, &n, &cap, i) == 0);
	for (uint64_t i = 0; i < 1000; i++)
		CHECK(v[i] == i);
	CHECK(n == 1000 && cap == 1024);
	const uint64_t *before = v;
	a.bad = true;
	while (n < cap)
		REQUIRE(push(&a, &v, &n, &cap, n) == 0); /* there is room */
	CHECK(push(&a, &v, &n, &cap, n) == -ENOMEM);
	CHECK(v == before && n == 1024 && cap == 1024);
}

TEST(lists_grow_and_maps_replace)
{
	OWN(arena_free) struct arena a = {0};
	struct strv l = {0};
	struct kvs m = {0};
	char text[16];
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "%d", i);
		CHECK_INT(strv_add(&a, &l, text), 0);
		CHECK_INT(kvs_set(&a, &m, text, "v"), 0);
	}
	CHECK_INT(kvs_set(&a, &m, "7", "w"), 0);
	CHECK_INT(l.n, 100);
	CHECK_INT(m.n, 100);
	CHECK_STR(l.v[77], "77");
	CHECK_STR(kvs_get(&m, "7"), "w");
	CHECK(!kvs_get(&m, "100"));
	CHECK(strv_has(&l, "99"));
	struct strv copy = strv_copy(&a, &l);
	CHECK_INT(strv_add(&a, &copy, "x"), 0);
	CHECK_INT(copy.n, 101);
}

TEST(map_survives_deletions)
{
	struct map m = {0};
	static char keys[2000][8];
	for (int i = 0; i < 2000; i++) {
		snprintf(keys[i], 8, "k%d", i);
		CHECK_INT(map_puts(&m, keys[i], keys[i]), 0);
	}
	for (int i = 0; i < 2000; i += 2)
		CHECK(map_dels(&m, keys[i]) == keys[i]);
	for (int i = 0; i < 2000; i++)
		CHECK(map_gets(&m, keys[i]) == (i % 2 ? keys[i] : NULL));
	CHECK_INT(m.n, 1000);
	map_free(&m);
}

TEST(addresses)
{
	struct ip a, b;
	struct prefix p, q;
	char t[PREFIX_TEXT], u[IP_TEXT], mt[MAC_TEXT];
	CHECK_INT(ip_parse("172.17.0.255", &a), 0);
	CHECK(ip_next(&a));
	CHECK_STR(ip_format(&a, u), "172.17.1.0");
	CHECK(ip_prev(&a));
	CHECK_STR(ip_format(&a, u), "172.17.0.255");
	CHECK_INT(ip_parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &b), 0);
	CHECK(!ip_next(&b));
	CHECK_INT(ip_parse("1.2.3", &a), -EINVAL);
	CHECK_INT(prefix_parse("172.17.3.4/16", &p), 0);
	q = prefix_masked(&p);
	CHECK_STR(prefix_format(&q, t), "172.17.0.0/16");
	struct ip last = prefix_last(&p);
	CHECK_STR(ip_format(&last, u), "172.17.255.255");
	CHECK(prefix_has(&p, &last));
	CHECK_INT(prefix_parse("1.2.3.4/33", &p), -EINVAL);
	CHECK_INT(prefix_parse("1.2.3.4/08", &p), -EINVAL);
	CHECK_INT(prefix_parse("fd00::/48", &p), 0);
	CHECK_INT(prefix_parse("fd00:0:0:1::/64", &q), 0);
	CHECK(prefix_overlap(&p, &q) && prefix_overlap(&q, &p));
	ip_parse("172.17.0.3", &a);
	struct mac m = mac_from_ip4(&a);
	CHECK_STR(mac_format(&m, mt), "02:42:ac:11:00:03");
	CHECK_INT(mac_parse("02:42:ac:11:00:0g", &m), -EINVAL);
	CHECK_INT(mac_parse("02-42-AC-11-00-0f", &m), 0);
}

TEST(times_look_like_gos)
{
	char t[TIME_TEXT];
	int64_t ns;
	CHECK_STR(time_format(0, t), "0001-01-01T00:00:00Z");
	CHECK_STR(time_format(1700000000123400000ll, t), "2023-11-14T22:13:20.1234Z");
	CHECK_STR(time_format(1700000000000000000ll, t), "2023-11-14T22:13:20Z");
	CHECK_INT(time_parse("2023-11-14T22:13:20.1234Z", 0, &ns), 0);
	CHECK_INT(ns, 1700000000123400000ll);
	CHECK_INT(time_parse("2023-11-14T23:13:20+01:00", 0, &ns), 0);
	CHECK_INT(ns, 1700000000000000000ll);
	CHECK_INT(time_parse("1700000000.5", 0, &ns), 0);
	CHECK_INT(ns, 1700000000500000000ll);
	CHECK_INT(time_parse("1h30m", 10000ll * 1000000000, &ns), 0);
	CHECK_INT(ns, 4600ll * 1000000000);
	CHECK_INT(time_parse("yesterday", 0, &ns), -EINVAL);
}

struct sub {
	int64_t n;
	struct strv l;
};
struct obj {
	bool b;
	int8_t tri;
	const char *s;
	struct strv l;
	struct kvs m;
	struct sub sub;
	struct json_vec groups;
};
static const struct json_field sub_table[] = {{"N", J_I64, offsetof(struct sub, n), J_OMIT, NULL, 0}, {"L", J_STRV, offsetof(struct sub, l), J_NULL, NULL, 0}, J_END};
static const struct json_field obj_table[] = {
	{"B", J_BOOL, offsetof(struct obj, b), 0, NULL, 0},
	{"Tri", J_TRI, offsetof(struct obj, tri), 0, NULL, 0},
	{"S", J_STR, offsetof(struct obj, s), 0, NULL, 0},
	{"L", J_STRV, offsetof(struct obj, l), J_STRING_OK, NULL, 0},
	{"M", J_KV, offsetof(struct obj, m), 0, NULL, 0},
	{"Sub", J_OBJ, offsetof(struct obj, sub), 0, sub_table, sizeof(struct sub)},
	{"G", J_MAPVV, offsetof(struct obj, groups), 0, sub_table, sizeof(struct sub)},
	J_END};

TEST(json_round_trip_and_errors)
{
	OWN(arena_free) struct arena a = {0};
	struct obj o = {0};
	struct err e = {0};
	static const char in[] = "{\"b\":true,\"S\":\"x\",\"L\":\"one\",\"M\":{\"k\":\"v\"},\"Sub\":{\"N\":7},\"G\":{\"80/tcp\":[{\"N\":1}],\"81/tcp\":null},\"unknown\":1}";
	CHECK_INT(json_decode_text(in, strlen(in), obj_table, &o, &a, &e), 0);
	OWN(own_json) json_t *j = json_encode(obj_table, &o);
	OWN(own_free) char *text = json_text(j);
	CHECK_STR(text, "{\"B\":true,\"Tri\":null,\"S\":\"x\",\"L\":[\"one\"],\"M\":{\"k\":\"v\"},\"Sub\":{\"N\":7,\"L\":null},"
			"\"G\":{\"80/tcp\":[{\"N\":1,\"L\":null}],\"81/tcp\":null}}");
	CHECK_INT(json_decode_text("{\"Sub\":{\"N\":\"x\"}}", 17, obj_table, &o, &a, &e), -EINVAL);
	CHECK_STR(e.msg, "Sub.N: expected a number, got a string");
	CHECK_INT(json_decode_text("{} x", 4, obj_table, &o, &a, &e), -EINVAL);
	CHECK_STR(e.msg, "unexpected content after JSON");
	char deep[200];
	memset(deep, '[', sizeof(deep));
	CHECK_INT(json_decode_text(deep, sizeof(deep), obj_table, &o, &a, &e), -EINVAL);
}

TEST(spawn_runs_feeds_and_reports)
{
	OWN(own_buf) struct buf out = {0};
	struct err e = {0};
	int status;
	const char *cat[] = {"cat", NULL};
	struct spawn s = {.argv = cat};
	struct spawn_io io = {.in = "hello", .in_len = 5, .out = &out};
	CHECK_INT(spawn_run(&s, &io, &status, &e), 0);
	CHECK_STR(buf_str(&out), "hello");
	CHECK_INT(status, 0);
	const char *none[] = {"/nonexistent/program", NULL};
	s.argv = none;
	CHECK_INT(spawn_run(&s, &io, &status, &e), -ENOENT);
	CHECK(strstr(e.msg, "No such file"));
	const char *slow[] = {"sleep", "60", NULL};
	s.argv = slow;
	io = (struct spawn_io){.timeout_ms = 50};
	CHECK_INT(spawn_run(&s, &io, &status, &e), -ETIMEDOUT);
	/* Descriptors: swapped numbers, and nothing else above 2. */
	const char *ls[] = {"sh", "-c", "ls /proc/self/fd | wc -l", NULL};
	s.argv = ls;
	buf_free(&out);
	out = (struct buf){0};
	io = (struct spawn_io){.out = &out};
	CHECK_INT(spawn_run(&s, &io, &status, &e), 0);
	CHECK_STR(buf_str(&out), "4\n");
}

TEST(remove_tree_takes_all_and_follows_nothing)
{
	char dir[] = "/tmp/pontoon-test-XXXXXX", path[256];
	struct err e = {0};
	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keep", dir);
	CHECK_INT(write_file_atomic(path, "x", 1, 0600, true, &e), 0);
	snprintf(path, sizeof(path), "%s/tree/a/b/c", dir);
	CHECK_INT(mkdir_p(path, 0700, &e), 0);
	snprintf(path, sizeof(path), "%s/tree/a/link", dir);
	CHECK_INT(symlink("../../keep", path), 0);
	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "%s/tree/a/f%d", dir, i);
		CHECK_INT(write_file(path, "x", 1, 0600, &e), 0);
	}
	snprintf(path, sizeof(path), "%s/tree", dir);
	CHECK_INT(remove_tree(path, &e), 0);
	CHECK(access(path, F_OK) < 0);
	CHECK_INT(remove_tree(path, &e), 0);
	snprintf(path, sizeof(path), "%s/keep", dir);
	OWN(own_buf) struct buf b = {0};
	CHECK_INT(read_file(path, 10, &b, &e), 0);
	CHECK_STR(buf_str(&b), "x");
	CHECK_INT(remove_tree(dir, &e), 0);
}

TESTS(T(arena_gives_zeroed_memory_and_fails_sticky), T(an_arrays_room_grows_and_keeps_what_is_in_it), T(lists_grow_and_maps_replace), T(map_survives_deletions), T(addresses), T(times_look_like_gos),
	T(json_round_trip_and_errors), T(spawn_runs_feeds_and_reports), T(remove_tree_takes_all_and_follows_nothing))
