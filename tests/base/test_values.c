/* err, buf, strv, map and ip: the small values that everything is made of. */
#include "base/buf.h"
#include "base/ip.h"
#include "base/map.h"
#include "test.h"

TEST(an_error_carries_code_kind_and_text)
{
	static const struct {
		enum err_kind kind;
		int code;
	} kinds[] = {{ERR_INTERNAL, -EIO}, {ERR_INVALID, -EINVAL}, {ERR_UNAUTHORIZED, -EACCES}, {ERR_FORBIDDEN, -EPERM}, {ERR_NOT_FOUND, -ENOENT},
		{ERR_CONFLICT, -EEXIST}, {ERR_TOO_LARGE, -E2BIG}, {ERR_NOT_MODIFIED, -EALREADY}, {ERR_NOT_IMPLEMENTED, -ENOSYS}, {ERR_UNAVAILABLE, -EBUSY}};
	struct err e = {0};
	CHECK_INT(ARRAY_LEN(kinds), ERR_KIND_N);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		CHECK_INT(err_as(&e, kinds[i].kind, "no %s", "way"), kinds[i].code);
		CHECK_INT(err_as(NULL, kinds[i].kind, "no %s", "way"), kinds[i].code);
		CHECK(e.code == kinds[i].code && e.kind == kinds[i].kind);
	}
	CHECK_INT(err_as(&e, ERR_NOT_FOUND, "network %s not found", "x"), -ENOENT);
	CHECK_INT(err_ctx(&e, "connect %s", "web"), -ENOENT);
	CHECK_STR(e.msg, "connect web: network x not found");
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	CHECK_INT(err_set(&e, -EAGAIN, "again: %s", e.msg), -EAGAIN); /* an argument inside the text that is replaced */
	CHECK_STR(e.msg, "again: connect web: network x not found");
	CHECK_INT(err_errno(&e, -EACCES, "open %s", "f"), -EACCES);
	CHECK_STR(e.msg, "open f: Permission denied");
	CHECK_INT(err_nomem(&e), -ENOMEM);
}

TEST(a_long_error_is_cut)
{
	struct err e = {0};
	char lots[5000];
	memset(lots, 'x', sizeof(lots) - 1);
	lots[sizeof(lots) - 1] = '\0';
	err_set(&e, -EIO, "%s", lots);
	CHECK_INT(strlen(e.msg), sizeof(e.msg) - 1);
	err_ctx(&e, "why");
	CHECK(str_starts(e.msg, "why: xxx") && strlen(e.msg) == sizeof(e.msg) - 1);
	err_errno(&e, -EIO, "%s", lots);
	CHECK_INT(strlen(e.msg), sizeof(e.msg) - 1);
	err_ctx(&e, "%s", lots);
	CHECK_INT(strlen(e.msg), sizeof(e.msg) - 1);
}

TEST(a_buffer_grows_drops_and_hands_over)
{
	struct buf b = {0};
	CHECK_STR(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d ", i);
	CHECK_INT(b.len, 4000);
	buf_drop(&b, 3996);
	CHECK_STR(buf_str(&b), "999 ");
	buf_drop(&b, 0);
	buf_put(&b, "a\0b", 3);
	CHECK(b.len == 7 && memcmp(b.data, "999 a\0b", 8) == 0);
	OWN(own_free) char *s = buf_steal(&b);
	CHECK(s && !b.data && !b.len && !b.bad);
	OWN(own_free) char *none = buf_steal(&b);
	CHECK_STR(none, "");
}

TEST(a_full_buffer_says_so_and_keeps_what_it_has)
{
	OWN(own_buf) struct buf b = {.max = 5};
	buf_puts(&b, "12345");
	CHECK(!b.bad);
	buf_putc(&b, '6');
	CHECK(b.bad);
	CHECK_STR(buf_str(&b), "12345");
	buf_drop(&b, 5);
	buf_putc(&b, 'x'); /* sticky */
	CHECK_INT(b.len, 0);
	CHECK(!buf_steal(&b));
}

TEST(strings)
{
	char small[4];
	CHECK(STR_COPY(small, "abc") && streq(small, "abc"));
	CHECK(!STR_COPY(small, "abcd") && streq(small, "abc"));
	CHECK(str_empty(NULL) && str_empty("") && !str_empty("x"));
	CHECK(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("a", "ab"));
	char text[] = "\xc3\xa4 \xff \xc3 \xe2\x82 \xed\xa0\x80 \xf0\x9f\x98\x80 \xc0\xaf\xe2\x82\xac\xf0\x9f\x98";
	str_make_utf8(text);
	CHECK_STR(text, "\xc3\xa4 ? ? ?? ??? \xf0\x9f\x98\x80 ??\xe2\x82\xac???");
}

/* Against a plain array, with keys from so few that runs collide, wrap around and are torn apart by deletions. */
TEST(a_map_does_what_an_array_does)
{
	static char keys[300][8];
	bool in[300] = {false};
	struct map m = {0};
	size_t n = 0;
	unsigned chance = 1;
	for (int i = 0; i < 300; i++)
		snprintf(keys[i], sizeof(keys[i]), "%d", i);
	for (int step = 0; step < 60000; step++) {
		chance = chance * 1103515245u + 12345u;
		size_t i = (chance >> 8) % 300;
		if (chance >> 30) { /* three of four are put first, later deleted: the table runs full and empty */
			bool put = step / 1000 % 2 == 0;
			if (put) {
				CHECK_INT(map_puts(&m, keys[i], &in[i]), 0);
				n += !in[i];
			} else {
				CHECK(map_dels(&m, keys[i]) == (in[i] ? &in[i] : NULL));
				n -= in[i];
			}
			in[i] = put;
		} else {
			CHECK(map_gets(&m, keys[i]) == (in[i] ? &in[i] : NULL));
		}
		REQUIRE(m.n == n);
	}
	size_t seen = 0;
	const struct map_entry *e;
	for (size_t i = 0; (e = map_next(&m, &i));)
		seen += *(bool *)e->value;
	CHECK_INT(seen, n);
	for (int i = 0; i < 300; i++)
		CHECK(map_gets(&m, keys[i]) == (in[i] ? &in[i] : NULL));
	map_free(&m);
	CHECK(!map_gets(&m, "1") && !map_dels(&m, "1"));
}

TEST(map_keys_are_bytes)
{
	struct map m = {0};
	int one, two;
	char copy[] = "a\0b";
	CHECK_INT(map_put(&m, "a\0b", 3, &one), 0);
	CHECK_INT(map_put(&m, "a\0c", 3, &two), 0);
	CHECK(map_get(&m, "a\0b", 3) == &one && map_get(&m, "a\0c", 3) == &two && !map_get(&m, "a", 1));
	CHECK_INT(map_put(&m, copy, 3, &two), 0); /* replaces the value and the key */
	CHECK_INT(m.n, 2);
	const struct map_entry *e;
	bool replaced = false;
	for (size_t i = 0; (e = map_next(&m, &i));)
		replaced |= e->key == copy && e->value == &two;
	CHECK(replaced);
	map_free(&m);
}

static struct ip ip_of(const char *s)
{
	struct ip a = {0};
	CHECK_INT(ip_parse(s, &a), 0);
	return a;
}

TEST(address_kinds)
{
	static const struct {
		const char *text;
		bool none, loop, link, multi;
	} rows[] = {{"0.0.0.0", 1, 0, 0, 0}, {"127.255.0.1", 0, 1, 0, 0}, {"169.254.1.1", 0, 0, 1, 0}, {"169.255.1.1", 0, 0, 0, 0}, {"224.0.0.1", 0, 0, 0, 1},
		{"239.255.255.255", 0, 0, 0, 1}, {"240.0.0.1", 0, 0, 0, 0}, {"172.17.0.2", 0, 0, 0, 0}, {"::", 1, 0, 0, 0}, {"::1", 0, 1, 0, 0}, {"::2", 0, 0, 0, 0},
		{"fe80::1", 0, 0, 1, 0}, {"febf::1", 0, 0, 1, 0}, {"fec0::1", 0, 0, 0, 0}, {"ff02::1", 0, 0, 0, 1}, {"fd00::1", 0, 0, 0, 0}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip a = ip_of(rows[i].text);
		printf("# %s\n", rows[i].text);
		CHECK_INT(ip_is_unspecified(&a), rows[i].none);
		CHECK_INT(ip_is_loopback(&a), rows[i].loop);
		CHECK_INT(ip_is_linklocal(&a), rows[i].link);
		CHECK_INT(ip_is_multicast(&a), rows[i].multi);
	}
}

TEST(address_order_and_edges)
{
	struct ip a = ip_of("9.255.255.255"), b = ip_of("10.0.0.0"), six = ip_of("::"), none = {0};
	char t[IP_TEXT];
	CHECK(ip_cmp(&a, &b) < 0 && ip_cmp(&b, &a) > 0 && ip_cmp(&b, &six) < 0 && !ip_eq(&a, &b));
	CHECK(ip_next(&a) && ip_eq(&a, &b));
	CHECK_INT(ip4_host(&b), 10 << 24);
	CHECK_INT(ip4_host(&six), 0);
	struct ip made = ip4(0x0a000000);
	CHECK(ip_eq(&made, &b));
	a = ip_of("255.255.255.255");
	CHECK(!ip_next(&a) && ip_is_unspecified(&a));
	CHECK(!ip_prev(&a));
	CHECK_STR(ip_format(&a, t), "255.255.255.255");
	CHECK(!ip_prev(&six));
	CHECK_STR(ip_format(&six, t), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	CHECK(!ip_is_set(&none));
	CHECK_STR(ip_format(&none, t), "");
	static const char *const bad[] = {"", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/8", "fe80::1%eth0", ":::", "1:2:3:4:5:6:7:8:9", "g::", "localhost"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_INT(ip_parse(bad[i], &none), -EINVAL);
		CHECK(!ip_is_set(&none));
	}
}

TEST(prefixes)
{
	static const struct {
		const char *a, *b;
		bool overlap, a_has_b;
	} rows[] = {{"10.0.0.0/8", "10.1.2.3/32", 1, 1}, {"10.0.0.0/9", "10.128.0.0/9", 0, 0}, {"0.0.0.0/0", "255.255.255.255/32", 1, 1}, {"10.1.2.3/32", "10.0.0.0/8", 1, 0},
		{"172.17.0.0/16", "172.18.0.0/16", 0, 0}, {"::/0", "1.2.3.4/32", 0, 0}, {"fd00::/8", "fd12:3456::1/64", 1, 1}, {"fd00::/127", "fd00::1/128", 1, 1},
		{"fd00::/127", "fd00::2/128", 0, 0}, {"10.0.0.0/30", "10.0.0.3/30", 1, 1}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct prefix a, b;
		CHECK(prefix_parse(rows[i].a, &a) == 0 && prefix_parse(rows[i].b, &b) == 0);
		CHECK_INT(prefix_overlap(&a, &b), rows[i].overlap);
		CHECK_INT(prefix_overlap(&b, &a), rows[i].overlap);
		CHECK_INT(prefix_has(&a, &b.ip), rows[i].a_has_b);
	}
	struct prefix p, q;
	char t[IP_TEXT], pt[PREFIX_TEXT];
	CHECK_INT(prefix_parse("10.1.2.3/20", &p), 0);
	CHECK_STR(prefix_format(&p, pt), "10.1.2.3/20"); /* as written */
	struct ip first = prefix_first(&p), last = prefix_last(&p);
	CHECK_STR(ip_format(&first, t), "10.1.0.0");
	CHECK_STR(ip_format(&last, t), "10.1.15.255");
	CHECK(prefix_parse("10.1.15.9/20", &q) == 0 && prefix_eq(&p, &q));
	CHECK(prefix_parse("10.1.0.0/21", &q) == 0 && !prefix_eq(&p, &q));
	static const char *const bad[] = {"", "/", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/8/8", "::/129", "::/1280", "10.0/8"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(prefix_parse(bad[i], &p), -EINVAL);
	CHECK_STR(prefix_format(&p, pt), "10.1.2.3/20"); /* untouched */
}

TESTS(T(an_error_carries_code_kind_and_text), T(a_long_error_is_cut), T(a_buffer_grows_drops_and_hands_over), T(a_full_buffer_says_so_and_keeps_what_it_has),
	T(strings), T(a_map_does_what_an_array_does), T(map_keys_are_bytes), T(address_kinds), T(address_order_and_edges), T(prefixes))
