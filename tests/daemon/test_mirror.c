#include "daemon/mirror.h"
#include "test.h"

TEST(what_a_mirror_may_be)
{
	static const struct {
		const char *text, *want; /* kept as; or said */
		bool good;
	} rows[] = {
		{"https://mirror.test", "https://mirror.test/", true},
		{"https://mirror.test/", "https://mirror.test/", true},
		{"http://10.0.0.1:5000", "http://10.0.0.1:5000/", true},
		{"https://[2001:db8::1]:5000/", "https://[2001:db8::1]:5000/", true},
		{"mirror.test", "invalid mirror: \"mirror.test\" is not a valid URI", false},
		{"", "invalid mirror: \"\" is not a valid URI", false},
		{"https://", "invalid mirror: \"https://\" is not a valid URI", false},
		{"https:///", "invalid mirror: \"https:///\" is not a valid URI", false},
		{"https://a b", "invalid mirror: \"https://a b\" is not a valid URI", false},
		{"ftp://mirror.test", "invalid mirror: unsupported scheme \"ftp\" in \"ftp://mirror.test\"", false},
		{"://mirror.test", "invalid mirror: unsupported scheme \"\" in \"://mirror.test\"", false},
		{"httpsx://mirror.test", "invalid mirror: unsupported scheme \"httpsx\" in \"httpsx://mirror.test\"", false},
		{"https://mirror.test/path", "invalid mirror: path, query, or fragment at end of the URI \"https://mirror.test/path\"", false},
		{"https://mirror.test?q", "invalid mirror: path, query, or fragment at end of the URI \"https://mirror.test?q\"", false},
		{"https://mirror.test/#f", "invalid mirror: path, query, or fragment at end of the URI \"https://mirror.test/#f\"", false},
		{"https://me:secret@mirror.test", "invalid mirror: username/password not allowed in URI \"https://xxxxx@mirror.test\"", false},
	};
	struct arena a = {0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *kept = "";
		struct err e = {0};
		CHECK_INT(mirror_parse(rows[i].text, &a, &kept, &e) == 0, rows[i].good);
		CHECK_STR(rows[i].good ? kept : e.msg, rows[i].want);
	}
	arena_free(&a);
}

TESTS(T(what_a_mirror_may_be));
