#include "base/limits.h"
#include "test.h"
#include "things.h"

static struct err e;

static int decode(const char *text, struct thing *t, struct arena *a)
{
	e = (struct err){0};
	return json_decode_text(text, strlen(text), thing_table, t, a, &e);
}

/* Decodes, encodes, and gives the text; the caller frees. */
static char *again(const char *text)
{
	OWN(own_arena) struct arena a = {0};
	struct thing t = {.unset = -1};
	if (decode(text, &t, &a) < 0)
		return strdup(e.msg);
	OWN(own_json) json_t *j = json_encode(thing_table, &t);
	return json_text(j);
}

#define NOTHING "{\"B\":false,\"Tri\":null,\"I\":0,\"Unset\":null,\"S\":\"\",\"L\":[],\"M\":{},\"Sub\":{\"L\":null},\"SubP\":null,\"V\":[],\"Map\":{},\"Groups\":{}}"

TEST(nothing_is_given)
{
	OWN(own_free) char *empty = again("{}"), *nulls = again("{\"B\":null,\"Tri\":null,\"I\":null,\"S\":null,\"L\":null,\"M\":null,\"Sub\":null,\"SubP\":null,\"V\":null,"
							      "\"Map\":null,\"Groups\":null,\"Pair\":null,\"Raw\":null,\"Set\":null,\"F\":null}");
	CHECK_STR(empty, NOTHING);
	CHECK_STR(nulls, NOTHING);
}

TEST(everything_comes_back)
{
	static const char all[] = "{\"B\":true,\"Tri\":false,\"I\":-9223372036854775808,\"Unset\":0,\"TextNumber\":12,\"F\":0.5,\"S\":\"\xc3\xa4\\n\",\"Raw\":{\"x\":[1,null]},"
				  "\"L\":[\"a\",\"\"],\"Set\":{\"80/tcp\":{}},\"M\":{\"z\":\"1\",\"a\":\"2\"},\"Sub\":{\"N\":1,\"Tri\":true,\"L\":[\"x\"]},\"SubP\":{\"N\":2,\"L\":null},"
				  "\"V\":[{\"L\":null},{\"N\":3,\"L\":null}],\"Map\":{\"net\":{\"N\":4,\"L\":null}},\"Groups\":{\"80/tcp\":[{\"N\":5,\"L\":null}],\"81/tcp\":null,\"82/tcp\":[]},"
				  "\"Pair\":[24,80]}";
	OWN(own_free) char *once = again(all);
	CHECK_STR(once, all);
}

TEST(names_match_as_in_go)
{
	OWN(own_arena) struct arena a = {0};
	struct thing t = {0};
	CHECK_INT(decode("{\"i\":1,\"tEXTnUMBER\":\"2\",\"unknown\":{\"I\":9},\"sUB\":{\"n\":3}}", &t, &a), 0);
	CHECK_INT(t.i, 1);
	CHECK_INT(t.text_number, 2);
	CHECK_INT(t.sub.n, 3);
	CHECK_INT(decode("{\"i\":1,\"I\":2}", &t, &a), 0); /* the exact name first */
	CHECK_INT(t.i, 2);
}

TEST(null_leaves_a_default)
{
	OWN(own_arena) struct arena a = {0};
	struct thing t = {.b = true, .i = 7, .s = "kept", .pair = {1, 2}};
	CHECK_INT(decode("{\"B\":null,\"I\":null,\"S\":null,\"Pair\":null}", &t, &a), 0);
	CHECK(t.b && t.i == 7 && t.pair[1] == 2);
	CHECK_STR(t.s, "kept");
}

/* In lists and maps null is an element in which nothing is given; three-state fields are "not given" there too. */
TEST(null_as_an_element)
{
	OWN(own_arena) struct arena a = {0};
	struct thing t = {0};
	CHECK_INT(decode("{\"L\":[\"a\",null],\"M\":{\"k\":null},\"V\":[null,{\"N\":1}],\"Map\":{\"x\":null},\"Groups\":{\"80/tcp\":[null]}}", &t, &a), 0);
	REQUIRE(t.l.n == 2 && t.m.n == 1 && t.v.n == 2 && t.map.n == 1 && t.groups.n == 1);
	const struct part *v = t.v.v, *map = t.map.v;
	const struct json_group *g = t.groups.v;
	CHECK_STR(t.l.v[1], "");
	CHECK_STR(kvs_get(&t.m, "k"), "");
	CHECK(v[0].n == 0 && v[0].tri == -1 && v[1].n == 1 && v[1].tri == -1);
	CHECK_STR(map[0].key, "x");
	CHECK_INT(map[0].tri, -1);
	CHECK(!g[0].null && g[0].items.n == 1);
	CHECK_INT(t.tri, -1);
	CHECK_INT(t.sub.tri, -1); /* of an object that is not there at all */
}

TEST(a_lone_string_is_a_list_only_where_allowed)
{
	OWN(own_arena) struct arena a = {0};
	struct thing t = {0};
	CHECK_INT(decode("{\"L\":\"sh\"}", &t, &a), 0);
	REQUIRE(t.l.n == 1);
	CHECK_STR(t.l.v[0], "sh");
	CHECK_INT(decode("{\"Sub\":{\"L\":\"sh\"}}", &t, &a), -EINVAL);
	CHECK_STR(e.msg, "Sub.L: expected a list of strings, got a string");
}

/* Lists and maps that were read can be added to. */
TEST(what_was_read_can_grow)
{
	OWN(own_arena) struct arena a = {0};
	char text[4096] = "{\"L\":[", more[512] = "";
	for (int n = 0; n < 20; n++) {
		struct thing t = {0};
		char whole[8192];
		snprintf(whole, sizeof(whole), "%s],\"M\":{%s}}", text, more);
		CHECK_INT(decode(whole, &t, &a), 0);
		for (int i = 0; i < 40; i++) {
			char key[16];
			snprintf(key, sizeof(key), "new%d", i);
			CHECK_INT(strv_add(&a, &t.l, key), 0);
			CHECK_INT(kvs_set(&a, &t.m, key, key), 0);
		}
		CHECK_INT(t.l.n, n + 40);
		CHECK_INT(t.m.n, n + 40);
		CHECK_STR(kvs_get(&t.m, "new39"), "new39");
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\"x\"", n ? "," : "");
		snprintf(more + strlen(more), sizeof(more) - strlen(more), "%s\"k%d\":\"v\"", n ? "," : "", n);
	}
}

TEST(wrong_types_name_the_field)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"{\"B\":1}", "B: expected true or false, got a number"},
		{"{\"Tri\":\"true\"}", "Tri: expected true or false, got a string"},
		{"{\"I\":\"1\"}", "I: expected a number, got a string"},
		{"{\"I\":1.5}", "I: expected a whole number, got 1.5"},
		{"{\"I\":1e300}", "I: expected a whole number, got 1e+300"},
		{"{\"TextNumber\":\"12x\"}", "TextNumber: expected a number, got a string"},
		{"{\"TextNumber\":\"\"}", "TextNumber: expected a number, got a string"},
		{"{\"TextNumber\":\"99999999999999999999\"}", "TextNumber: expected a number, got a string"},
		{"{\"F\":[]}", "F: expected a number, got a list"},
		{"{\"S\":5}", "S: expected a string, got a number"},
		{"{\"L\":[1]}", "L: expected a list of strings, got a number"},
		{"{\"Set\":[]}", "Set: expected an object, got a list"},
		{"{\"M\":{\"k\":true}}", "M: expected an object of strings, got a boolean"},
		{"{\"M\":[\"k=v\"]}", "M: expected an object of strings, got a list"},
		{"{\"Sub\":[]}", "Sub: expected an object, got a list"},
		{"{\"SubP\":{\"L\":{}}}", "SubP.L: expected a list of strings, got an object"},
		{"{\"V\":{}}", "V: expected a list of objects, got an object"},
		{"{\"V\":[{\"N\":\"x\"}]}", "V.N: expected a number, got a string"},
		{"{\"Map\":{\"net\":{\"N\":\"x\"}}}", "Map.net.N: expected a number, got a string"},
		{"{\"Groups\":{\"80/tcp\":{}}}", "Groups.80/tcp: expected a list of objects, got an object"},
		{"{\"Pair\":[1]}", "Pair: expected a list of two numbers, got a list"},
		{"{\"Pair\":[1,\"x\"]}", "Pair: expected a number, got a string"},
		{"[]", "expected an object, got a list"},
		{"null", "expected an object, got null"},
		{"{} {}", "unexpected content after JSON"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(own_arena) struct arena a = {0};
		struct thing t = {0};
		CHECK_INT(decode(rows[i].text, &t, &a), -EINVAL);
		CHECK_INT(e.kind, ERR_INVALID);
		CHECK_STR(e.msg, rows[i].want);
	}
}

TEST(text_that_is_no_json)
{
	static const char *const rows[] = {"", " ", "{", "{\"a\":1,}", "{a:1}", "{'a':1}", "{\"a\":01}", "{\"a\":1,\"a\":2}", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
		"\"\\ud800\"", "\"\\u0000\"", "\"a\nb\"", "nul", "[1 2]", "99999999999999999999", "{\"a\":1e999}"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(own_json) json_t *j = NULL;
		CHECK_INT(json_parse(rows[i], strlen(rows[i]), &j, &e), -EINVAL);
		CHECK(!j && e.kind == ERR_INVALID && str_starts(e.msg, "invalid JSON: "));
	}
	OWN(own_json) json_t *nul = NULL;
	CHECK_INT(json_parse("{}\0{}", 5, &nul, &e), -EINVAL);
}

TEST(depth_is_limited_before_parsing)
{
	char text[2 * LIMIT_JSON_DEPTH + 8];
	for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
		OWN(own_json) json_t *j = NULL;
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		CHECK_INT(json_parse(text, 2 * depth, &j, &e), depth > LIMIT_JSON_DEPTH ? -EINVAL : 0);
	}
	CHECK(strstr(e.msg, "nested deeper than 64 levels"));
	OWN(own_json) json_t *j = NULL;
	char flat[1024] = "[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]";
	CHECK_INT(json_parse(flat, strlen(flat), &j, &e), 0); /* brackets in a string do not nest */
}

TEST(too_many_labels)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_buf) struct buf b = {0};
	struct thing t = {0};
	buf_puts(&b, "{\"M\":{");
	for (int i = 0; i <= LIMIT_LABELS; i++)
		buf_printf(&b, "%s\"k%d\":\"\"", i ? "," : "", i);
	buf_puts(&b, "}}");
	CHECK_INT(decode(buf_str(&b), &t, &a), -EINVAL);
	CHECK_STR(e.msg, "M: expected at most 1024 entries, got 1025");
}

/* An error of a field whose name is longer than the text of an error. */
TEST(long_names_are_cut)
{
	OWN(own_arena) struct arena a = {0};
	OWN(own_buf) struct buf b = {0};
	struct thing t = {0};
	buf_puts(&b, "{\"Map\":{\"");
	for (int i = 0; i < 5000; i++)
		buf_putc(&b, 'n');
	buf_puts(&b, "\":{\"N\":\"x\"}}}");
	CHECK_INT(decode(buf_str(&b), &t, &a), -EINVAL);
	CHECK(str_starts(e.msg, "Map.nnnn") && strlen(e.msg) < sizeof(e.msg));
}

TESTS(T(nothing_is_given), T(everything_comes_back), T(names_match_as_in_go), T(null_leaves_a_default), T(null_as_an_element),
	T(a_lone_string_is_a_list_only_where_allowed), T(what_was_read_can_grow), T(wrong_types_name_the_field), T(text_that_is_no_json),
	T(depth_is_limited_before_parsing), T(too_many_labels), T(long_names_are_cut))
