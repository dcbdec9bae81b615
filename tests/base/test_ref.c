#include "base/ref.h"

#include "base/strv.h"
#include "test.h"

TEST(normalise)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"alpine", "alpine:latest"},
		{"alpine:3.18", "alpine:3.18"},
		{"library/alpine", "alpine:latest"},
		{"docker.io/library/alpine", "alpine:latest"},
		{"index.docker.io/library/alpine:x", "alpine:x"},
		{"docker.io/alpine", "alpine:latest"},
		{"user/app", "user/app:latest"},
		{"docker.io/a/b/c", "a/b/c:latest"},
		{"docker.io/library/a/b", "library/a/b:latest"},
		{"quay.io/x/y:1", "quay.io/x/y:1"},
		{"localhost/x", "localhost/x:latest"},
		{"localhost:5000/x", "localhost:5000/x:latest"},
		{"Host/x", "Host/x:latest"},
		{"[::1]:5000/x:t", "[::1]:5000/x:t"},
		{"a.b-c__d---e", "a.b-c__d---e:latest"},
		{"x:_T.a-g", "x:_T.a-g"},
		/* without docker.io/ these would be another repository, or an id */
		{"docker.io/a.b/c", "docker.io/a.b/c:latest"},
		{"docker.io/localhost/c", "docker.io/localhost/c:latest"},
		{"docker.io/library/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			"docker.io/library/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef:latest"},
		{"x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			"x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		{"x:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			"x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[REF_TEXT] = "", again[REF_TEXT] = "";
		struct err e = {};
		CHECK_INT(ref_normalise(rows[i].in, out, &e), 0);
		CHECK_STR(out, rows[i].out);
		CHECK_INT(ref_normalise(out, again, &e), 0);
		CHECK_STR(again, out);
	}
}

TEST(errors)
{
	static const struct {
		const char *in, *msg;
	} rows[] = {
		{"", "invalid reference format"},
		{":tag", "invalid reference format"},
		{"a:", "invalid reference format"},
		{"a:b:c", "invalid reference format"},
		{"a//b", "invalid reference format"},
		{"-a", "invalid reference format"},
		{"a-", "invalid reference format"},
		{"a..b", "invalid reference format"},
		{"a___b", "invalid reference format"},
		{"a b", "invalid reference format"},
		{"a/", "invalid reference format"},
		{"/a", "invalid reference format"},
		{"a:.x", "invalid reference format"},
		{"a@sha256:12", "invalid reference format"},
		{"a@md5:0123456789abcdef0123456789abcdef", "invalid reference format"},
		{"b.c:x/a", "invalid reference format"},
		{"UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"},
		{"q.io/Up:1", "invalid reference format: repository name (Up) must be lowercase"},
		{"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			"invalid repository name (0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef), "
			"cannot specify "
			"64-byte hexadecimal strings"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[REF_TEXT] = "untouched";
		struct err e = {};
		CHECK_INT(ref_normalise(rows[i].in, out, &e), -EINVAL);
		CHECK_STR(e.msg, rows[i].msg);
		CHECK_INT(e.kind, ERR_INVALID);
		CHECK_STR(out, "untouched");
	}
}

TEST(lengths)
{
	char name[600], out[REF_TEXT];
	struct err e = {};
	memset(name, 'a', sizeof(name));
	name[255 - strlen("docker.io/library/")] = '\0';
	CHECK_INT(ref_normalise(name, out, &e), 0);
	memset(name, 'a', sizeof(name));
	name[256 - strlen("docker.io/library/")] = '\0';
	CHECK_INT(ref_normalise(name, out, &e), -EINVAL);
	CHECK_STR(e.msg, "repository name must not be more than 255 characters");
	memset(name, 'a', sizeof(name));
	name[599] = '\0';
	CHECK_INT(ref_normalise(name, out, &e), -EINVAL);
	memset(name, 'a', sizeof(name));
	memcpy(name, "x:", 2);
	name[2 + 128] = '\0';
	CHECK_INT(ref_normalise(name, out, &e), 0);
	name[2 + 128] = 'a';
	name[2 + 129] = '\0';
	CHECK_INT(ref_normalise(name, out, &e), -EINVAL);
}

TEST(parts)
{
	struct ref r;
	char text[REF_TEXT];
	REQUIRE(ref_parse("alpine", &r, NULL) == 0);
	CHECK_STR(r.domain, "docker.io");
	CHECK_STR(r.path, "library/alpine");
	CHECK_STR(r.tag, "");
	REQUIRE(ref_parse_tagged("quay.io:443/x/y", &r, NULL) == 0);
	CHECK_STR(r.domain, "quay.io:443");
	CHECK_STR(r.tag, "latest");
	CHECK_STR(ref_repo(&r, text), "quay.io:443/x/y");
	CHECK(ref_is_sha256("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
	CHECK(!ref_is_sha256("sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
	CHECK(!ref_is_sha256("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"));
	CHECK(!ref_is_sha256("sha256:"));
}

TEST(search_terms)
{
	static const struct {
		const char *term, *domain, *rest; /* domain NULL: refused */
	} rows[] = {
		{"word", "docker.io", "word"},
		{"two words", "docker.io", "two words"},
		{"team/word", "docker.io", "team/word"},
		{"library/word", "docker.io", "word"},
		{"docker.io/library/word", "docker.io", "word"},
		{"index.docker.io/team/word", "docker.io", "team/word"},
		{"localhost/word", "localhost", "word"},
		{"localhost:5000/library/word", "localhost:5000", "library/word"},
		{"[::1]:5000/word", "[::1]:5000", "word"},
		{"a.example/two/words", "a.example", "two/words"},
		{"LOCALHOST/word", "docker.io", "LOCALHOST/word"},
		{"/word", "docker.io", "/word"},
		{"", NULL, NULL},
		{"library/", NULL, NULL},
		{"a.example/", NULL, NULL},
		{"a..example/x", NULL, NULL},
		{"a.example:/x", NULL, NULL},
		{"http://a.example/x", NULL, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char domain[LIMIT_REF + 1] = "";
		const char *rest = "";
		CHECK_INT(ref_split_term(rows[i].term, domain, &rest, NULL), rows[i].domain ? 0 : -EINVAL);
		CHECK_STR(domain, rows[i].domain ? rows[i].domain : "");
		CHECK_STR(rest, rows[i].rest ? rows[i].rest : "");
	}
}

TESTS(T(normalise), T(errors), T(lengths), T(parts), T(search_terms))
