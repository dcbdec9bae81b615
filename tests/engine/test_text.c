#include "engine/engine_int.h"
#include "engine/rotate.h"
#include "engine/user.h"
#include "engine/logline.h"
#include "test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001:u:/home/user:/bin/sh\nbroken\n:::\nbig:x:4294967296:0::/:/x\nnohome:x:7:8\n";
static const char group[] = "root:x:0:\nstaff:x:50:user,other\nwheel:x:10:user\nusers:x:100:use\n";

static int look(const char *spec, const struct strv *extra, struct user_found *u, struct err *e)
{
	static const struct strv none;
	return user_lookup(passwd, group, spec, extra ? extra : &none, u, e);
}

TEST(users_by_name_number_and_group)
{
	struct user_found u;
	struct err e = {0};
	CHECK_INT(look("", NULL, &u, &e), 0);
	CHECK(u.uid == 0 && u.gid == 0);
	CHECK_STR(u.home, "/root");
	CHECK_INT(look("user", NULL, &u, &e), 0);
	CHECK(u.uid == 1000 && u.gid == 1001 && u.ngroups == 2 && u.groups[0] == 50 && u.groups[1] == 10);
	CHECK_STR(u.home, "/home/user");
	CHECK_INT(look("user:staff", NULL, &u, &e), 0);
	CHECK(u.uid == 1000 && u.gid == 50 && u.ngroups == 0);
	CHECK_INT(look("4711:77", NULL, &u, &e), 0);
	CHECK(u.uid == 4711 && u.gid == 77);
	CHECK_STR(u.home, "/");
	CHECK_INT(look("nohome", NULL, &u, &e), 0);
	CHECK_STR(u.home, "/");
	CHECK_INT(look("nobody", NULL, &u, &e), -EINVAL);
	CHECK_STR(e.msg, "unable to find user nobody: no matching entries in passwd file");
	CHECK_INT(look("big", NULL, &u, &e), -EINVAL);
	CHECK_INT(look("user:nogroup", NULL, &u, &e), -EINVAL);
	CHECK_STR(e.msg, "unable to find group nogroup: no matching entries in group file");
	const char *more[] = {"staff", "1234", "staff"};
	struct strv extra = {.v = more, .n = 3};
	CHECK_INT(look("0", &extra, &u, &e), 0);
	CHECK(u.ngroups == 2 && u.groups[0] == 50 && u.groups[1] == 1234);
}

TEST(log_lines)
{
	struct logline l;
	static const char good[] = "2026-01-02T03:04:05.678901234+00:00 stderr P some text";
	CHECK(logline_parse(good, strlen(good), &l));
	CHECK(l.stream == 2 && l.partial && l.n == 9 && l.time == 1767323045678901234ll);
	static const char empty[] = "2026-01-02T03:04:05Z stdout F ";
	CHECK(logline_parse(empty, strlen(empty), &l));
	CHECK(l.stream == 1 && !l.partial && l.n == 0);
	static const char *const bad[] = {"", " ", "x stdout F y", "2026-01-02T03:04:05Z stdin F x", "2026-01-02T03:04:05Z stdout X x", "2026-01-02T03:04:05Z stdout F", "2026-01-02T03:04:05Z"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!logline_parse(bad[i], strlen(bad[i]), &l));
}

static bool filter(const char *keys, const char *in, struct buf *out)
{
	struct keys k;
	if (keys_parse(keys, &k, NULL) != 0)
		return false;
	/* byte by byte: a sequence may come in pieces */
	for (const char *p = in; *p; p++)
		if (keys_filter(&k, (const unsigned char *)p, 1, out))
			return true;
	return false;
}

TEST(detach_keys)
{
	struct keys k;
	struct err e = {0};
	OWN(own_buf) struct buf a = {0}, b = {0}, c = {0}, d = {0};
	CHECK(filter("", "ab\x10\x11", &a));
	CHECK_STR(buf_str(&a), "ab");
	CHECK(!filter("", "a\x10x\x10\x10y", &b));
	CHECK_STR(buf_str(&b), "a\x10x\x10\x10y");
	CHECK(filter("q", "abq", &c));
	CHECK_STR(buf_str(&c), "ab");
	CHECK(filter("a,,", "xa,", &d));
	CHECK_STR(buf_str(&d), "x");
	CHECK_INT(keys_parse("ctrl-", &k, &e), -EINVAL);
	CHECK_STR(e.msg, "Invalid detach keys (ctrl-) provided");
	CHECK_INT(keys_parse("ab", &k, &e), -EINVAL);
	CHECK_INT(keys_parse("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", &k, &e), -EINVAL);
	CHECK_INT(keys_parse("ctrl-@,ctrl-[,ctrl-_", &k, &e), 0);
	CHECK(k.n == 3 && k.seq[0] == 0 && k.seq[1] == 27 && k.seq[2] == 31);
}

TEST(runtime_words_become_dockers)
{
	static const struct {
		const char *program, *text, *want;
		enum err_kind kind;
	} rows[] = {
		{"nope", "executable file `nope` not found in $PATH: No such file or directory", "P: exec: \"nope\": executable file not found in $PATH: unknown", ERR_INVALID},
		{"nope", "runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH", "P: exec: \"nope\": executable file not found in $PATH: unknown", ERR_INVALID},
		{NULL, "writing file `pids.max`: Invalid argument\n", "P: writing file `pids.max`: Invalid argument: unknown", ERR_INTERNAL},
		{"sh", "something else", "P: something else: unknown", ERR_INTERNAL},
		{"/etc/passwd", "open executable: Permission denied", "P: exec: \"/etc/passwd\": permission denied: unknown", ERR_INVALID},
		{"/etc", "open executable: Operation not permitted", "P: exec: \"/etc\": permission denied: unknown", ERR_INVALID},
		{"", "open executable: Operation not permitted", "P: exec: \"\": executable file not found in $PATH: unknown", ERR_INVALID},
		{"/x", "mount `/a` to `/b`: Permission denied", "P: /a: permission denied: unknown", ERR_INVALID},
		{NULL, "time=\"2026-01-01T00:00:00Z\" level=error msg=\"runc create failed: failed to write \\\"1:3\\\": no \\\\ device\"\n", "P: runc create failed: failed to write \"1:3\": no \\ device: unknown", ERR_INTERNAL},
		{"nope", "time=\"2026-01-01T00:00:00Z\" level=error msg=\"runc create failed: exec: \\\"nope\\\": executable file not found in $PATH\"", "P: exec: \"nope\": executable file not found in $PATH: unknown", ERR_INVALID},
		{"/etc/passwd", "time=\"2026-01-01T00:00:00Z\" level=error msg=\"runc create failed: unable to start container process: exec: \\\"/etc/passwd\\\": permission denied\"", "P: exec: \"/etc/passwd\": permission denied: unknown", ERR_INVALID},
		{NULL, "time=\"2026-01-01T00:00:00Z\" level=error msg=\"cut in the mid\\", "P: cut in the mid\\: unknown", ERR_INTERNAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		CHECK(runtime_error("P", rows[i].program, rows[i].text, &e) < 0);
		CHECK_STR(e.msg, rows[i].want);
		CHECK_INT(e.kind, rows[i].kind);
	}
}

TEST(no_limit_is_the_largest_number)
{
	json_t *j = json_pack("{s:i, s:i, s:i, s:[s]}", "hard", -1, "soft", -1, "other", -1, "args", "\"hard\":-1,");
	REQUIRE(j);
	char *text = oci_text(j);
	CHECK_STR(text, "{\"hard\":18446744073709551615,\"soft\":18446744073709551615,\"other\":-1,\"args\":[\"\\\"hard\\\":-1,\"]}");
	free(text);
	json_decref(j);
	j = json_pack("{s:i, s:i}", "hard", -12, "soft", 7);
	text = oci_text(j);
	CHECK_STR(text, "{\"hard\":-12,\"soft\":7}");
	free(text);
	json_decref(j);
}

TEST(logs_that_grow_fast_are_looked_at_soon)
{
	CHECK_INT(rotate_pause(500, 0, 1 << 20), ROTATE_MS);
	CHECK_INT(rotate_pause(ROTATE_MIN, 0, 1 << 20), 2 * ROTATE_MIN);      /* quiet so far */
	CHECK_INT(rotate_pause(100, 100, 1 << 20), 200);                      /* slow: it is not full for long */
	CHECK_INT(rotate_pause(100, 100 << 10, 100 << 10), 49);               /* 1 KiB a ms: half of the 100 ms it has left */
	CHECK_INT(rotate_pause(500, 200 << 20, 1 << 20), ROTATE_MIN);         /* as fast as it can */
	CHECK_INT(rotate_pause(100, INT64_MAX, 0), ROTATE_MIN);
	CHECK_INT(rotate_pause(0, 1, INT64_MAX), ROTATE_MIN);                 /* the clock has not moved */
	CHECK_INT(rotate_pause(INT64_MAX, 1, INT64_MAX), ROTATE_MS);
	CHECK_INT(rotate_pause(100, -5, 100), 200);                           /* somebody cut it */
}

TESTS(T(no_limit_is_the_largest_number), T(logs_that_grow_fast_are_looked_at_soon), T(users_by_name_number_and_group), T(log_lines), T(detach_keys), T(runtime_words_become_dockers))
