/* What a container has written into its hosts file stays when networks come and go. */
#include "kernel/real.h"
#include "test.h"

TEST(lines)
{
	static const struct {
		const char *now, *was, *wanted, *want;
	} cases[] = {
		{"a\nb\n", "a\nb\n", "a\nc\n", "a\nc\n"},
		{"a\nb\nmine\n", "a\nb\n", "a\n", "a\nmine\n"},
		{"a\nmine", "a\n", "a\nb\n", "a\nmine\nb\n"},
		{"mine\n", "a\n", "a\nb\n", "mine\nb\n"}, /* what the user took away stays away */
		{"a\nb\n", "a\n", "a\nb\n", "a\nb\n"},
		{"", "", "x\n", "x\n"},
		{"foobar\nfoo\n", "foo\n", "", "foobar\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN(own_buf) struct buf out = {0};
		files_merge_lines(cases[i].now, cases[i].was, cases[i].wanted, &out);
		CHECK_STR(buf_str(&out), cases[i].want);
	}
}

TESTS(T(lines))
