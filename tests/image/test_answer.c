/* What registries say beside blobs; which of them may be insecure; the messages between job and fetcher. */
#include "image/answer.h"

#include "image/errand.h"
#include "image/insecure.h"
#include "image/manifest.h"
#include "test.h"

static const char *code(const char *text)
{
	static struct answer_error a;
	answer_error(text, strlen(text), &a);
	return a.code;
}

static const char *message(const char *text)
{
	static struct answer_error a;
	answer_error(text, strlen(text), &a);
	return a.message;
}

TEST(errors)
{
	CHECK_STR(code("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"},{\"code\":\"X\"}]}"), "DENIED");
	CHECK_STR(message("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"},{\"code\":\"X\"}]}"), "no");
	CHECK_STR(message("{\"details\":\"wrong password\"}"), "wrong password");
	CHECK_STR(message("{\"error\":\"x\",\"error_description\":\"long ago\"}"), "long ago");
	CHECK_STR(message("{\"errors\":[{\"message\":\"a\\u001b[31mb\\nc\"}]}"), "a [31mb c");
	CHECK_STR(message("<html>"), "");
	CHECK_STR(message(""), "");
	CHECK_STR(code("{\"errors\":{}}"), "");
	CHECK_STR(code("{\"errors\":[1]}"), "");
}

TEST(tokens)
{
	char out[ANSWER_TOKEN] = "before";
	struct err e;
	CHECK_INT(answer_token("{}", 2, out, &e), -EINVAL);
	CHECK_STR(out, "before");
	CHECK_INT(answer_token("{\"token\":\"abc.def-1_2\"}", 23, out, &e), 0);
	CHECK_STR(out, "abc.def-1_2");
	CHECK_INT(answer_token("{\"token\":\"\",\"access_token\":\"x\"}", 31, out, &e), 0);
	CHECK_STR(out, "x");
	CHECK_INT(answer_token("{\"token\":\"a b\"}", 15, out, &e), -EINVAL);
	CHECK_INT(answer_token("{\"token\":\"a\\r\\nX: y\"}", 21, out, &e), -EINVAL);
	CHECK_INT(answer_token("{\"token\":1}", 11, out, &e), -EINVAL);
	CHECK_INT(answer_token("SECRET", 6, out, &e), -EINVAL);
	CHECK(!strstr(e.msg, "SECRET"));
}

TEST(tags)
{
	OWN(own_arena) struct arena a = {};
	struct strv v = {};
	struct err e;
	const char *s = "{\"name\":\"x\",\"tags\":[\"1\",\"-bad\",\"ok_2\",3]}";
	CHECK_INT(answer_tags(s, strlen(s), &a, &v, &e), 0);
	REQUIRE(v.n == 2);
	CHECK_STR(v.v[0], "1");
	CHECK_STR(v.v[1], "ok_2");
	CHECK_INT(answer_tags("{\"tags\":null}", 13, &a, &v, &e), 0);
	CHECK_INT(v.n, 2);
	CHECK_INT(answer_tags("{}", 2, &a, &v, &e), -EINVAL);
}

TEST(search)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"{\"results\":[]}", "[]"},
		{"{\"num_results\":1,\"results\":[{\"name\":\"a/b\",\"description\":\"x\\ny\\u0007\",\"star_count\":7,\"is_official\":true,\"is_automated\":false,\"is_trusted\":true}]}",
			"[{\"star_count\":7,\"is_official\":true,\"name\":\"a/b\",\"is_automated\":false,\"description\":\"x y \"}]"},
		{"{\"results\":[{},7,null,{\"name\":\"\"},{\"name\":\"a b\"},{\"name\":\"\\u001b[2J\"},{\"name\":\"ok\",\"description\":null,\"star_count\":-3,\"is_official\":1}]}",
			"[{\"star_count\":0,\"is_official\":false,\"name\":\"ok\",\"is_automated\":false,\"description\":\"\"}]"},
		{"{\"results\":{}}", NULL},
		{"{}", NULL},
		{"[]", NULL},
		{"<html>", NULL},
		{"", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(own_json) json_t *j = NULL;
		CHECK_INT(answer_search(rows[i].text, strlen(rows[i].text), 10, &j, NULL), rows[i].want ? 0 : -EINVAL);
		OWN(own_free) char *text = j ? json_text(j) : NULL;
		CHECK_STR(text ? text : "", rows[i].want ? rows[i].want : "");
	}
	/* bounds: how many, how long, and no half character */
	OWN(own_json) json_t *many = json_array(), *out = NULL, *top = NULL;
	char longest[3 * ANSWER_DESCRIPTION + 2] = "x";
	for (size_t i = 0; i < ANSWER_DESCRIPTION; i++)
		memcpy(longest + 1 + 3 * i, "\xe2\x82\xac", 4);
	for (int i = 0; i < 9; i++)
		json_array_append_new(many, json_pack("{s:s, s:s}", "name", "n", "description", longest));
	top = json_pack("{s:O}", "results", many);
	OWN(own_free) char *text = json_text(top);
	CHECK_INT(answer_search(text, strlen(text), 4, &out, NULL), 0);
	CHECK_INT(json_array_size(out), 4);
	CHECK(json_string_length(json_object_get(json_array_get(out, 3), "description")) <= ANSWER_DESCRIPTION);
}

TEST(ranges)
{
	uint64_t n = 7;
	CHECK_INT(answer_content_range("bytes 100-199/200", &n, NULL), 0);
	CHECK_INT(n, 100);
	CHECK_INT(answer_content_range("Bytes  0-0/*", &n, NULL), 0);
	CHECK_INT(n, 0);
	static const char *const bad[] = {"", "bytes", "bytes 5", "bytes 5-4/9", "bytes -5/9", "bytes */200", "lines 1-2/3", "bytes 99999999999999999999-1/2", "bytes 1-2"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(answer_content_range(bad[i], &n, NULL), -EINVAL);
	CHECK_INT(answer_upload_range("0-99", &n, NULL), 0);
	CHECK_INT(n, 100);
	CHECK_INT(answer_upload_range("bytes=0-0", &n, NULL), 0);
	CHECK_INT(n, 0);
	static const char *const worse[] = {"", "1-2", "0", "0-", "0-1x", "-", "0--1"};
	for (size_t i = 0; i < ARRAY_LEN(worse); i++)
		CHECK_INT(answer_upload_range(worse[i], &n, NULL), -EINVAL);
}

TEST(links)
{
	char out[64] = "";
	CHECK(answer_next_link("</v2/x/tags/list?n=2&last=b>; rel=\"next\"", out, sizeof(out)));
	CHECK_STR(out, "/v2/x/tags/list?n=2&last=b");
	CHECK(answer_next_link("<a>; rel=prev, <b>; rel=next", out, sizeof(out)));
	CHECK_STR(out, "b");
	CHECK(!answer_next_link("", out, sizeof(out)));
	CHECK(!answer_next_link("<a>; rel=prev", out, sizeof(out)));
	CHECK(!answer_next_link("<>; rel=next", out, sizeof(out)));
	CHECK(!answer_next_link("<a; rel=next", out, sizeof(out)));
	CHECK(!answer_next_link("</xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx>; rel=next", out, sizeof(out)));
}

TEST(insecure)
{
	static const char *v[] = {"plain.test", "other.test:5000", "10.9.0.0/16", "fd00::/8", "nonsense/"};
	const struct strv list = {v, ARRAY_LEN(v)}, none = {};
	static const char *const yes[] = {"localhost", "localhost:5000", "127.0.0.1:80", "127.9.9.9", "[::1]:5000", "plain.test", "plain.test:99", "other.test:5000", "10.9.255.1:5000", "[fd12::1]:5000"};
	static const char *const no[] = {"docker.io", "other.test", "other.test:5001", "10.10.0.1", "xlocalhost", "localhost.evil.test", "127.0.0.1.evil.test", "[fe80::1]:5000"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!insecure_allows(&list, yes[i]))
			CHECK_STR(yes[i], "is refused");
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (insecure_allows(&list, no[i]))
			CHECK_STR(no[i], "is allowed");
	CHECK(!insecure_allows(&none, "plain.test"));
	CHECK(insecure_allows(&none, "localhost:5000"));
}

TEST(kinds_of_manifests)
{
	CHECK_INT(manifest_kind_of("application/vnd.oci.image.index.v1+json; charset=utf-8", "", 0), MANIFEST_INDEX);
	CHECK_INT(manifest_kind_of("application/vnd.docker.distribution.manifest.v2+json", "", 0), MANIFEST_IMAGE);
	CHECK_INT(manifest_kind_of("application/vnd.docker.distribution.manifest.v1+prettyjws", "", 0), MANIFEST_OLD);
	CHECK_INT(manifest_kind_of("application/json", "{\"schemaVersion\":1}", 19), MANIFEST_OLD);
	CHECK_INT(manifest_kind_of("", "{\"manifests\":[]}", 16), MANIFEST_INDEX);
	CHECK_INT(manifest_kind_of("", "{\"config\":{}}", 13), MANIFEST_IMAGE);
	CHECK_INT(manifest_kind_of("text/html", "<p>", 3), MANIFEST_UNKNOWN);
	CHECK_INT(manifest_kind_of("", "{}", 2), MANIFEST_UNKNOWN);
}

TEST(messages)
{
	OWN(own_arena) struct arena a = {};
	OWN(own_free) char *text = NULL, *back = NULL;
	struct errand m = {.id = 3, .method = ERRAND_PATCH, .url = "/v2/x", .accept = "a", .type = "t", .offset = 5, .length = 6, .most = 7, .resume = true}, n;
	struct outcome o = {.id = 3, .done = true, .status = 202, .location = "/l", .range = "0-1", .error = "", .no_space = true}, p;
	struct err e;
	REQUIRE(errand_encode(&m, &text, &e) == 0 && errand_decode(text, strlen(text), &a, &n, &e) == 0);
	CHECK(n.id == 3 && n.method == ERRAND_PATCH && n.offset == 5 && n.length == 6 && n.most == 7 && n.resume);
	CHECK_STR(n.url, "/v2/x");
	REQUIRE(outcome_encode(&o, &back, &e) == 0 && outcome_decode(back, strlen(back), &a, &p, &e) == 0);
	CHECK(p.done && p.status == 202 && p.no_space && !p.unauthorized);
	CHECK_STR(p.location, "/l");
	CHECK_STR(p.message, "");
	static const char *const bad[] = {"{}", "{\"method\":\"GET\"}", "{\"method\":\"EAT\",\"url\":\"x\"}", "{\"method\":\"GET\",\"url\":\"x\",\"most\":-1}", "[]", ""};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(errand_decode(bad[i], strlen(bad[i]), &a, &n, &e), -EINVAL);
	static const char *const worse[] = {"{\"done\":true}", "{\"status\":1000}", "{\"sent\":-1}", "{\"status\":\"x\"}"};
	for (size_t i = 0; i < ARRAY_LEN(worse); i++)
		CHECK_INT(outcome_decode(worse[i], strlen(worse[i]), &a, &p, &e), -EINVAL);
}

TESTS(T(errors), T(tokens), T(tags), T(search), T(ranges), T(links), T(insecure), T(kinds_of_manifests), T(messages))
