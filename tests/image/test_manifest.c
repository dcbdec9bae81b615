#include "image/manifest.h"

#include "image/config.h"
#include "image/name.h"
#include "test.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define IMAGE "application/vnd.oci.image.manifest.v1+json"

static const struct platform amd64 = {"linux", "amd64", ""}, armv7 = {"linux", "arm", "v7"};

TEST(saved)
{
	OWN(own_arena) struct arena a = {};
	struct manifest_saved_list l;
	struct err e = {};
	const char *s = "[{\"Config\":\"c.json\",\"RepoTags\":[\"docker.io/library/x\",\"x:latest\",\"y/"
			"z:1\"],\"Layers\":[\"a\",\"b\"]},"
			"{\"Config\":\"d.json\",\"RepoTags\":null,\"Layers\":null}]";
	REQUIRE(manifest_read_saved(s, strlen(s), &a, &l, &e) == 0);
	CHECK_INT(l.n, 2);
	CHECK_INT(l.v[0].tags.n, 2);
	CHECK_STR(l.v[0].tags.v[0], "x:latest");
	CHECK_STR(l.v[0].tags.v[1], "y/z:1");
	CHECK_STR(l.v[0].layers.v[1], "b");
	CHECK_INT(l.v[1].tags.n, 0);
}

TEST(saved_errors)
{
	static const struct {
		const char *text, *part;
	} rows[] = {
		{"{}", "expected a list"},
		{"[{}]", "image 1: no Config"},
		{"[1]", "image 1"},
		{"[{\"Config\":\"c\",\"RepoTags\":[\"A B\"]}]", "invalid tag \"A B\""},
		{"[", "invalid JSON"},
		{"[{\"Config\":7}]", "Config"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(own_arena) struct arena a = {};
		struct manifest_saved_list l;
		struct err e = {};
		CHECK(manifest_read_saved(rows[i].text, strlen(rows[i].text), &a, &l, &e) < 0);
		CHECK_INT(e.kind, ERR_INVALID);
		if (!strstr(e.msg, rows[i].part))
			CHECK_STR(e.msg, rows[i].part);
	}
}

static const char index_text[] =
	"{\"schemaVersion\":2,\"manifests\":["
	"{\"mediaType\":\"" IMAGE "\",\"digest\":\"" D1
	"\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}},"
	"{\"mediaType\":\"" IMAGE "\",\"digest\":\"" D2
	"\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
	"{\"mediaType\":\"" IMAGE "\",\"digest\":\"" D3
	"\",\"size\":1,\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"},"
	"\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}}]}";

TEST(choosing)
{
	OWN(own_arena) struct arena a = {};
	struct manifest_descs d;
	struct err e = {};
	REQUIRE(manifest_read_index(index_text, strlen(index_text), &a, &d, &e) == 0);
	CHECK_STR(manifest_choose(&d, NULL, &amd64)->digest, D2);
	CHECK_STR(manifest_choose(&d, NULL, &armv7)->digest, D1);
	struct platform none = {"linux", "s390x", ""};
	CHECK(!manifest_choose(&d, NULL, &none));
	CHECK(!manifest_choose(&d, "x:1", &amd64));
	CHECK_STR(manifest_platforms(&d, &a), "linux/arm/v6, linux/amd64");
	d.n = 1;
	CHECK_STR(manifest_choose(&d, NULL, &amd64)->digest, D1); /* a single one always fits */
}

TEST(tags)
{
	static const struct {
		const char *annotations, *tag;
	} rows[] = {
		{"{\"io.containerd.image.name\":\"docker.io/library/a:1\",\"org.opencontainers.image.ref.name\":\"1\"}",
			"a:1"},
		{"{\"org.opencontainers.image.ref.name\":\"a:1\"}", "a:1"},
		{"{\"org.opencontainers.image.ref.name\":\"q.io/a\"}", "q.io/a:latest"},
		{"{\"org.opencontainers.image.ref.name\":\"latest\"}", NULL},
		{"{\"org.opencontainers.image.ref.name\":\"not a:name\"}", NULL},
		{"null", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(own_arena) struct arena a = {};
		struct manifest_descs d;
		struct err e = {};
		const char *s = arena_printf(
			&a, "{\"manifests\":[{\"digest\":\"" D1 "\",\"annotations\":%s}]}", rows[i].annotations);
		REQUIRE(manifest_read_index(s, strlen(s), &a, &d, &e) == 0);
		if (rows[i].tag)
			CHECK_STR(d.v[0].tag, rows[i].tag);
		else
			CHECK(!d.v[0].tag);
	}
}

TEST(image_manifest)
{
	OWN(own_arena) struct arena a = {};
	struct manifest_image m;
	struct err e = {};
	const char *s = "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
			"vnd.docker.container.image.v1+json\",\"digest\":\"" D1
			"\",\"size\":5},\"layers\":[{\"mediaType\":\"x\",\"digest\":\"" D2 "\",\"size\":6}]}";
	REQUIRE(manifest_read_image(s, strlen(s), &a, &m, &e) == 0);
	CHECK_STR(m.config.digest, D1);
	CHECK_STR(m.layers.v[0].digest, D2);
	s = "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"helm\",\"digest\":\"" D1 "\"}}";
	CHECK(manifest_read_image(s, strlen(s), &a, &m, &e) < 0 && strstr(e.msg, "not a container image"));
	s = "{\"schemaVersion\":1}";
	CHECK(manifest_read_image(s, strlen(s), &a, &m, &e) < 0 && strstr(e.msg, "schemaVersion 1"));
	s = "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:12\"}}";
	CHECK(manifest_read_image(s, strlen(s), &a, &m, &e) < 0 && strstr(e.msg, "not a sha256 digest"));
	s = "{\"schemaVersion\":2}";
	CHECK(manifest_read_image(s, strlen(s), &a, &m, &e) < 0 && strstr(e.msg, "no config"));
}

TEST(config_facts)
{
	OWN(own_arena) struct arena a = {};
	struct config_facts f;
	struct err e = {};
	const char *s = "{\"architecture\":\"arm\",\"variant\":\"v7\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
			"\"diff_ids\":[\"" D1 "\"]}}";
	REQUIRE(config_read(s, strlen(s), &a, &f, &e) == 0);
	CHECK_STR(f.platform.variant, "v7");
	CHECK_STR(f.diff_ids.v[0], D1);
	s = "{\"rootfs\":{\"diff_ids\":[\"md5:1\"]}}";
	CHECK(config_read(s, strlen(s), &a, &f, &e) < 0 && strstr(e.msg, "\"md5:1\" is not a sha256 diff id"));
	s = "{\"rootfs\":{\"diff_ids\":7}}";
	CHECK(config_read(s, strlen(s), &a, &f, &e) < 0 && strstr(e.msg, "diff_ids"));
	CHECK_INT(e.kind, ERR_INVALID);
}

TEST(platforms)
{
	struct platform p;
	struct err e = {};
	CHECK(platform_parse("linux/arm64/v8", &amd64, &p, &e) == 0);
	CHECK_STR(p.arch, "arm64");
	CHECK_STR(p.variant, "");
	CHECK(platform_parse("aarch64", &amd64, &p, &e) == 0);
	CHECK_STR(p.arch, "arm64");
	CHECK(platform_parse("linux", &armv7, &p, &e) == 0);
	CHECK_STR(p.variant, "v7");
	CHECK(platform_parse("linux/x86_64", &armv7, &p, &e) == 0);
	CHECK_STR(p.arch, "amd64");
	CHECK(platform_parse("windows/amd64", &amd64, &p, &e) == -EINVAL);
	const char *bad[] = {"", "/", "linux/", "linux//x", "a/b/c/d", "linux/a b", "linux/aaaaaaaaaaaaaaaaaaaaaaa"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(platform_parse(bad[i], &amd64, &p, &e) == -EINVAL);
	struct platform host = platform_of_machine("x86_64"), odd = platform_of_machine("z80");
	CHECK_STR(host.arch, "amd64");
	CHECK_STR(odd.arch, "z80");
	struct platform v6 = {"linux", "arm", "v6"};
	CHECK_INT(platform_match(&armv7, &v6), 1);
	CHECK_INT(platform_match(&v6, &armv7), 0);
	CHECK_INT(platform_match(&armv7, &armv7), 2);
}

TEST(names)
{
	static const struct {
		const char *in, *out;
	} rows[] = {{"a", "a"}, {"./a//b/", "a/b"}, {"/a", "a"}, {".", ""}, {"./", ""}, {"/", ""},
		{"..a/b..", "..a/b.."}, {"..", NULL}, {"a/..", NULL}, {"../a", NULL}, {"", NULL}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[NAME_PATH] = "untouched";
		struct err e = {};
		int r = name_clean(rows[i].in, out, &e);
		CHECK_INT(r, rows[i].out ? 0 : -EINVAL);
		CHECK_STR(out, rows[i].out ? rows[i].out : "untouched");
	}
	char long_name[NAME_PATH + 100], out[NAME_PATH];
	for (size_t i = 0; i < sizeof(long_name); i++)
		long_name[i] = i % 50 == 49 ? '/' : 'x';
	long_name[LIMIT_IMAGE_PATH] = '\0';
	CHECK_INT(name_clean(long_name, out, NULL), 0);
	long_name[LIMIT_IMAGE_PATH] = 'y';
	long_name[LIMIT_IMAGE_PATH + 1] = '\0';
	CHECK_INT(name_clean(long_name, out, NULL), -EINVAL);
}

TEST(links_in_archives)
{
	static const struct {
		const char *at, *target, *out;
	} rows[] = {
		{"x/layer.tar", "../y/layer.tar", "y/layer.tar"},
		{"x/y/z", "../../a", "a"},
		{"x/y", "z", "x/z"},
		{"x", "./z", "z"},
		{"x/y", "/abs", "abs"},
		{"x", "..", NULL},
		{"x/y", "../../z", NULL},
		{"x/y", "a/../../b", "b"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[NAME_PATH] = "";
		int r = name_resolve(rows[i].at, rows[i].target, out, NULL);
		CHECK_INT(r, rows[i].out ? 0 : -EINVAL);
		CHECK_STR(out, rows[i].out ? rows[i].out : "");
	}
}

TEST(quoting)
{
	char q[NAME_QUOTED], big[1000];
	CHECK_STR(name_quote("a\n\"\\\xff", q), "\"a\\x0a\\x22\\x5c\\xff\"");
	memset(big, 1, sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CHECK(strlen(name_quote(big, q)) < NAME_QUOTED);
}

TESTS(T(saved), T(saved_errors), T(choosing), T(tags), T(image_manifest), T(config_facts), T(platforms), T(names),
	T(links_in_archives), T(quoting))
