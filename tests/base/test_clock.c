#include "base/clock.h"
#include "base/log.h"
#include "base/strv.h"
#include "test.h"

#define NS 1000000000ll

TEST(fractions_lose_their_trailing_zeros)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{1700000000 * NS + 1, "2023-11-14T22:13:20.000000001Z"},
		{1700000000 * NS + 10, "2023-11-14T22:13:20.00000001Z"},
		{1700000000 * NS + 500000000, "2023-11-14T22:13:20.5Z"},
		{1700000000 * NS + 999999999, "2023-11-14T22:13:20.999999999Z"},
		{1709208000 * NS, "2024-02-29T12:00:00Z"},
		{-1, "1969-12-31T23:59:59.999999999Z"},
		{-NS, "1969-12-31T23:59:59Z"},
		{INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
		{INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char t[TIME_TEXT];
		CHECK_STR(time_format(rows[i].ns, t), rows[i].text);
	}
}

TEST(times_that_people_and_clients_write)
{
	const int64_t now = 1800000000 * NS;
	static const struct {
		const char *text;
		int64_t ns;
	} rows[] = {
		{"2023-11-14T22:13:20Z", 1700000000 * NS},
		{"2023-11-14T22:13:20.000000001Z", 1700000000 * NS + 1},
		{"2023-11-14T22:13:20.1234567899Z", 1700000000 * NS + 123456789},
		{"2023-11-14T21:13:20-01:00", 1700000000 * NS},
		{"2023-11-15T03:43:20+05:30", 1700000000 * NS},
		{"2023-11-14T22:13:20", 1700000000 * NS},
		{"2023-11-14T22:13", 1699999980 * NS},
		{"2023-11-14", 1699920000 * NS},
		{"2024-02-29T12:00:00Z", 1709208000 * NS},
		{"1700000000", 1700000000 * NS},
		{"1700000000.000000001", 1700000000 * NS + 1},
		{"-1.5", -NS - NS / 2},
		{"-0.5", -NS / 2},
		{"0", 0},
		{"10m", 1800000000 * NS - 600 * NS},
		{"1h30m", 1800000000 * NS - 5400 * NS},
		{"1.5s", 1800000000 * NS - 1500000000},
		{"200ms", 1800000000 * NS - 200000000},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ns = 42;
		printf("# %s\n", rows[i].text);
		CHECK_INT(time_parse(rows[i].text, now, &ns), 0);
		CHECK_INT(ns, rows[i].ns);
	}
}

TEST(what_is_no_time_is_refused)
{
	static const char *const rows[] = {"", " ", "Z", "T", "yesterday", "2023-13-01T00:00:00Z", "2023-00-01T00:00:00Z", "2023-02-30T00:00:00Z",
		"2023-02-29T00:00:00Z", "2023-04-31", "2023-11-14T24:00:00Z", "2023-11-14T22:60:00Z", "2023-11-14T22:13:61Z", "2023-11-14T22:13:20.Z",
		"2023-11-14T22:13:20ZZ", "2023-11-14T22:13:20+0100", "2023-11-14T22:13:20+25:00", "2023-11-14T22:13:20+01:60", "2023-11-14T22:13:20+-1:00",
		"2023-11-14T 2: 3: 4Z", "2023-+1-+1", "2023- 1- 1", "2023-1-1", "23-11-14", "2023-11-14T22", "20231114T221320Z", "3000-01-01T00:00:00Z",
		"1700000000.5x", "1700000000.", "1e9", "99999999999999999999", "9300000000", "--5", "+5", " 5", "10x", "m", "10mm", "1h-30m", "0x10s",
		"1e3s", "999999999999999h", "1.2.3s", "h1"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ns = 42;
		printf("# \"%s\"\n", rows[i]);
		CHECK_INT(time_parse(rows[i], 0, &ns), -EINVAL);
		CHECK_INT(ns, 42);
	}
}

TEST(ids_are_hex_and_differ)
{
	char a[ID_TEXT], b[ID_TEXT];
	random_id(a);
	random_id(b);
	CHECK_INT(strlen(a), 64);
	CHECK_INT(strspn(a, "0123456789abcdef"), 64);
	CHECK(strcspn(a, "abcdef") < 12);
	CHECK(!streq(a, b));
}

TEST(a_message_is_one_line)
{
	char text[8192] = "";
	int p[2], was = dup(2);
	char *lots = malloc(10000);
	REQUIRE(pipe(p) == 0 && was >= 0 && lots);
	memset(lots, '\n', 9999);
	lots[9999] = '\0';
	enum log_level level = log_get_level();
	log_set_level(LOG_L_INFO);
	dup2(p[1], 2);
	errno = EXDEV;
	log_debug("not shown");
	log_warn("one\ntwo \"three\"\\ \x1b[1m\r id=%d", 7);
	log_info("%s", lots);
	int kept = errno;
	dup2(was, 2);
	close(was);
	close(p[1]);
	log_set_level(level);
	ssize_t n = read(p[0], text, sizeof(text) - 1);
	close(p[0]);
	free(lots);
	REQUIRE(n > 0);
	CHECK_INT(kept, EXDEV);
	int64_t at;
	char *sp = strchr(text, ' '), *nl = strchr(text, '\n');
	REQUIRE(sp && nl);
	*sp = *nl = '\0';
	CHECK_INT(time_parse(text, 0, &at), 0);
	CHECK_STR(sp + 1, "level=warning msg=\"one\\ntwo \\\"three\\\"\\\\ \\x1b[1m\\x0d id=7\"");
	char *second = strchr(nl + 1, '\n');
	REQUIRE(second);
	CHECK(second[1] == '\0' && second[-1] == '"'); /* two calls, two lines, also when the text was cut */
}

TEST(levels_have_names)
{
	enum log_level l = LOG_L_N;
	CHECK(log_level_parse("warn", &l) == 0 && l == LOG_L_WARN);
	CHECK(log_level_parse("warning", &l) == 0 && l == LOG_L_WARN);
	CHECK(log_level_parse("DEBUG", &l) == 0 && l == LOG_L_DEBUG);
	CHECK(log_level_parse("fatal", &l) == 0 && l == LOG_L_FATAL);
	CHECK_INT(log_level_parse("loud", &l), -EINVAL);
	CHECK_INT(l, LOG_L_FATAL);
}

TESTS(T(fractions_lose_their_trailing_zeros), T(times_that_people_and_clients_write), T(what_is_no_time_is_refused), T(ids_are_hex_and_differ),
	T(a_message_is_one_line), T(levels_have_names))
