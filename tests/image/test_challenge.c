#include "image/auth.h"
#include "image/challenge.h"

#include "test.h"

TEST(challenges)
{
	static const struct {
		const char *text;
		enum challenge_kind kind;
		const char *realm, *service, *scope;
	} rows[] = {
		{"Bearer realm=\"https://a.example/token\",service=\"registry\",scope=\"repository:x/y:pull\"", CHALLENGE_BEARER, "https://a.example/token",
			"registry", "repository:x/y:pull"},
		{"bearer service=s , realm = \"https://a/t?x=1,2\"", CHALLENGE_BEARER, "https://a/t?x=1,2", "s", ""},
		{"Basic realm=\"a \\\"b\\\"\"", CHALLENGE_BASIC, "a \"b\"", "", ""},
		{"Basic realm=\"x\", Bearer realm=\"y\"", CHALLENGE_BEARER, "y", "", ""},
		{"Bearer realm=\"y\", Basic realm=\"x\"", CHALLENGE_BEARER, "y", "", ""},
		{"Negotiate YWJj/w==, Basic realm=\"x\"", CHALLENGE_BASIC, "x", "", ""},
		{"Bearer realm=https://a/t,service=s", CHALLENGE_BEARER, "https://a/t", "s", ""},
		{"Digest realm=\"x\", nonce=\"y\"", CHALLENGE_NONE, "", "", ""},
		{"", CHALLENGE_NONE, "", "", ""},
		{"Basic", CHALLENGE_BASIC, "", "", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct challenge c;
		struct err e = {};
		REQUIRE(challenge_parse(rows[i].text, &c, &e) == 0);
		CHECK_INT(c.kind, rows[i].kind);
		CHECK_STR(c.realm, rows[i].realm);
		CHECK_STR(c.service, rows[i].service);
		CHECK_STR(c.scope, rows[i].scope);
	}
}

TEST(bad_challenges)
{
	static const struct {
		const char *text, *part;
	} rows[] = {
		{"Bearer service=\"x\"", "without a realm"},
		{"Bearer realm=\"x", "without an end"},
		{"Bearer realm=\"x\\", "without an end"},
		{"Bearer realm=", "without a value"},
		{"Bearer realm=\"a\nb\"", "control character"},
		{"\"x\"", "does not belong"},
	};
	struct challenge c;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {};
		CHECK(challenge_parse(rows[i].text, &c, &e) < 0);
		CHECK_INT(e.kind, ERR_INVALID);
		if (!strstr(e.msg, rows[i].part))
			CHECK_STR(e.msg, rows[i].part);
	}
	char text[2048] = "Bearer realm=\"", *end = text + strlen(text);
	memset(end, 'a', 1024);
	strcpy(end + 1024, "\"");
	CHECK(challenge_parse(text, &c, NULL) < 0);
	strcpy(end + 1023, "\"");
	CHECK(challenge_parse(text, &c, NULL) == 0);
}

TEST(auth)
{
	struct auth a;
	struct err e = {};
	char basic[64];
	/* {"username":"u","password":"p?>"} : the two alphabets differ in the last letters */
	REQUIRE(auth_decode("eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA_PiJ9", &a, &e) == 0);
	CHECK_STR(a.username, "u");
	CHECK_STR(a.password, "p?>");
	CHECK(auth_basic(&a, basic, sizeof(basic)));
	CHECK_STR(basic, "dTpwPz4=");
	CHECK(!auth_basic(&a, basic, 8));
	REQUIRE(auth_decode("eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA/PiJ9", &a, &e) == 0);
	CHECK_STR(a.password, "p?>");
	/* {"auth":"dTpwPz4="}, padded and not */
	REQUIRE(auth_decode("eyJhdXRoIjoiZFRwd1B6ND0ifQ==", &a, &e) == 0);
	CHECK_STR(a.username, "u");
	CHECK_STR(a.password, "p?>");
	REQUIRE(auth_decode("eyJhdXRoIjoiZFRwd1B6ND0ifQ", &a, &e) == 0);
	CHECK_STR(a.username, "u");
	REQUIRE(auth_decode("", &a, &e) == 0);
	CHECK_STR(a.username, "");
	REQUIRE(auth_decode("e30=", &a, &e) == 0);
	CHECK_STR(a.username, "");
	auth_wipe(&a);
}

TEST(bad_auth)
{
	/* not base64; not JSON; a list; a number for a name; "auth" without a colon */
	static const char *const rows[] = {"***", "AAAA", "W10=", "eyJ1c2VybmFtZSI6MX0=", "eyJhdXRoIjoiZFE9PSJ9", "A"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct auth a;
		struct err e = {};
		CHECK(auth_decode(rows[i], &a, &e) < 0);
		CHECK_INT(e.kind, ERR_INVALID);
	}
}

TESTS(T(challenges), T(bad_challenges), T(auth), T(bad_auth))
