/* test: a TAP harness in one header. A test file lists its tests in one visible table:
 *
 *   TEST(pool_skips_gateway) { CHECK(ip_eq(&got, &want)); }
 *   TESTS(T(pool_skips_gateway))
 *
 * CHECK marks the test failed and goes on; REQUIRE leaves the test. SKIP(reason) says why and leaves. Golden files: GOLDEN(name, text)
 * compares with tests/golden/<name> below $PONTOON_SOURCE and rewrites it when PONTOON_GOLDEN=update. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
};
static bool test_failed;
static const char *test_skip;

#define TEST(n) static void test_##n(void)
#define T(n)                                                                                                           \
	{                                                                                                              \
#n, test_##n                                                                                           \
	}
#define CHECK(c)                                                                                                       \
	do {                                                                                                           \
		if (!(c)) {                                                                                            \
			test_failed = true;                                                                            \
			printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #c);                                       \
		}                                                                                                      \
	} while (0)
#define REQUIRE(c)                                                                                                     \
	do {                                                                                                           \
		if (!(c)) {                                                                                            \
			test_failed = true;                                                                            \
			printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #c);                                       \
			return;                                                                                        \
		}                                                                                                      \
	} while (0)
#define CHECK_INT(got, want)                                                                                           \
	do {                                                                                                           \
		long long test_g_ = (long long)(got), test_w_ = (long long)(want);                                     \
		if (test_g_ != test_w_) {                                                                              \
			test_failed = true;                                                                            \
			printf("# %s:%d: %s = %lld, want %lld\n", __FILE__, __LINE__, #got, test_g_, test_w_);         \
		}                                                                                                      \
	} while (0)
#define CHECK_STR(got, want)                                                                                           \
	do {                                                                                                           \
		const char *test_g_ = (got), *test_w_ = (want);                                                        \
		if (!test_g_ || !test_w_ || strcmp(test_g_, test_w_) != 0) {                                           \
			test_failed = true;                                                                            \
			printf("# %s:%d: %s =\n#   \"%s\"\n# want \"%s\"\n", __FILE__, __LINE__, #got,                 \
			       test_g_ ? test_g_ : "(null)", test_w_ ? test_w_ : "(null)");                            \
		}                                                                                                      \
	} while (0)
#define SKIP(why)                                                                                                      \
	do {                                                                                                           \
		test_skip = (why);                                                                                     \
		return;                                                                                                \
	} while (0)

static inline void test_golden(const char *file, int line, const char *name, const char *text)
{
	const char *root = getenv("PONTOON_SOURCE"), *mode = getenv("PONTOON_GOLDEN");
	char path[4096];
	snprintf(path, sizeof(path), "%s/tests/golden/%s", root ? root : ".", name);
	if (mode && strcmp(mode, "update") == 0) {
		FILE *w = fopen(path, "w");
		if (!w || fputs(text, w) < 0 || fclose(w) != 0) {
			test_failed = true;
			printf("# %s:%d: cannot write %s: %s\n", file, line, path, strerror(errno));
		}
		return;
	}
	FILE *f = fopen(path, "r");
	size_t cap = 1u << 20, n = 0;
	char *have = malloc(cap);
	if (f && have)
		n = fread(have, 1, cap - 1, f);
	if (!f || !have || n != strlen(text) || memcmp(have, text, n) != 0) {
		test_failed = true;
		printf("# %s:%d: differs from %s (PONTOON_GOLDEN=update rewrites it); got:\n", file, line, path);
		for (const char *p = text; *p;) {
			size_t l = strcspn(p, "\n");
			printf("# | %.*s\n", (int)l, p);
			p += l + (p[l] == '\n');
		}
	}
	if (f)
		fclose(f);
	free(have);
}
#define GOLDEN(name, text) test_golden(__FILE__, __LINE__, (name), (text))

static inline int test_main(const struct test *t, size_t n, int argc, char **argv)
{
	size_t bad = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		test_failed = false;
		test_skip = NULL;
		if (argc > 1 && strcmp(argv[1], t[i].name) != 0)
			test_skip = "not asked for";
		else
			t[i].run();
		bad += test_failed;
		printf("%s %zu - %s%s%s\n", test_failed ? "not ok" : "ok", i + 1, t[i].name, test_skip ? " # SKIP " : "",
		       test_skip ? test_skip : "");
	}
	return bad != 0;
}
#define TESTS(...)                                                                                                     \
	int main(int argc, char **argv)                                                                                \
	{                                                                                                              \
		static const struct test tests[] = {__VA_ARGS__};                                                      \
		return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);                                 \
	}
