#include "image/change.h"

#include <string.h>

#include "image/config.h"
#include "image/digest.h"
#include "image/word.h"
#include "test.h"

/* Applies the lines and returns the resulting "config" as JSON text, or the error's text. */
static const char *apply(struct arena *a, const char *lines)
{
	struct change_config c;
	struct platform p = {.os = "linux", .arch = "amd64"};
	struct config_import in = {
		.platform = &p, .message = "", .created = "2026-01-02T03:04:05Z", .config = &c, .diff_id = "sha256:0"};
	struct err e = {};
	char *text = NULL;

	change_config_init(&c);
	if (change_apply(&c, lines, a, &e) < 0) {
		CHECK_INT(e.kind, ERR_INVALID);
		return arena_dup(a, e.msg);
	}
	if (config_make(&in, &text, &e) < 0)
		return arena_dup(a, e.msg);
	json_t *j = NULL;
	const char *s = "?";
	if (json_parse(text, strlen(text), &j, &e) == 0) {
		char *part = json_text(json_object_get(j, "config"));
		s = arena_dup(a, part);
		free(part);
	}
	json_decref(j);
	free(text);
	return s;
}

#define HAS(lines, part)                                                                                               \
	do {                                                                                                           \
		OWN(own_arena) struct arena a = {};                                                                    \
		const char *got = apply(&a, lines);                                                                    \
		if (!strstr(got, part)) {                                                                              \
			test_failed = true;                                                                            \
			printf("# %s:%d: %s\n#   gives %s\n#   lacks %s\n", __FILE__, __LINE__, lines, got, part);     \
		}                                                                                                      \
	} while (0)
#define FAILS(lines, text)                                                                                             \
	do {                                                                                                           \
		OWN(own_arena) struct arena a = {};                                                                    \
		CHECK_STR(apply(&a, lines), text);                                                                     \
	} while (0)

TEST(commands)
{
	HAS("CMD [\"sh\",\"-c\",\"x y\"]", "\"Cmd\":[\"sh\",\"-c\",\"x y\"]");
	HAS("cmd echo  $HOME \"a\"", "\"Cmd\":[\"/bin/sh\",\"-c\",\"echo  $HOME \\\"a\\\"\"]");
	HAS("CMD [broken", "\"Cmd\":[\"/bin/sh\",\"-c\",\"[broken\"]");
	HAS("CMD []", "\"Cmd\":null");
	HAS("ENTRYPOINT [\"/init\"]", "\"Entrypoint\":[\"/init\"]");
	FAILS("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only");
	HAS("ONBUILD RUN make", "\"OnBuild\":[\"RUN make\"]");
	FAILS("ONBUILD", "ONBUILD requires at least one argument");
	FAILS("ONBUILD onbuild CMD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	FAILS("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger");
}

TEST(pairs)
{
	HAS("ENV A=1 B='x y' C=a\\ b", "\"Env\":[\"A=1\",\"B=x y\",\"C=a b\"]");
	HAS("ENV OLD form of  it", "\"Env\":[\"OLD=form of  it\"]");
	HAS("ENV A=1\nENV A=2 B=$A", "\"Env\":[\"A=2\",\"B=1\"]");
	HAS("ENV A=1\nENV B=${A}x C=${Z:-d$A} D=${A:+yes} E='$A' F=\"$A\" G=\\$A H=$ I=${Z:+no}",
		"\"Env\":[\"A=1\",\"B=1x\",\"C=d1\",\"D=yes\",\"E=$A\",\"F=1\",\"G=$A\",\"H=$\",\"I=\"]");
	HAS("LABEL a=b \"c d\"=e", "\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}");
	HAS("LABEL a=1\nLABEL a=2", "\"Labels\":{\"a\":\"2\"}");
	FAILS("ENV", "ENV requires at least one argument");
	FAILS("ENV A", "ENV must have two arguments");
	FAILS("ENV =x", "ENV names can not be blank");
	FAILS("ENV A=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value");
	FAILS("ENV A=\"b", "unexpected end of statement while looking for matching double-quote");
	FAILS("LABEL A=${x", "unsupported modifier in substitution of ${x...}");
	FAILS("LABEL A=${x:-y", "syntax error: missing '}'");
}

TEST(paths_and_users)
{
	HAS("WORKDIR /a/./b/../c/", "\"WorkingDir\":\"/a/c\"");
	HAS("WORKDIR /a\nWORKDIR b\nWORKDIR ../../../x", "\"WorkingDir\":\"/x\"");
	HAS("WORKDIR ..", "\"WorkingDir\":\"/\"");
	HAS("ENV D=/data\nWORKDIR $D/x", "\"WorkingDir\":\"/data/x\"");
	HAS("USER web:www", "\"User\":\"web:www\"");
	HAS("VOLUME /a /b /a", "\"Volumes\":{\"/a\":{},\"/b\":{}}");
	HAS("VOLUME [\"/a b\"]", "\"Volumes\":{\"/a b\":{}}");
	FAILS("WORKDIR", "WORKDIR requires exactly one argument");
	FAILS("USER", "USER requires exactly one argument");
	FAILS("VOLUME", "VOLUME requires at least one argument");
	FAILS("VOLUME [\"\"]", "VOLUME specified can not be an empty string");
}

TEST(ports)
{
	HAS("EXPOSE 80 443/UDP", "\"ExposedPorts\":{\"80/tcp\":{},\"443/udp\":{}}");
	HAS("EXPOSE 7000-7002/sctp", "\"ExposedPorts\":{\"7000/sctp\":{},\"7001/sctp\":{},\"7002/sctp\":{}}");
	HAS("ENV P=99\nEXPOSE $P", "\"ExposedPorts\":{\"99/tcp\":{}}");
	FAILS("EXPOSE", "EXPOSE requires at least one argument");
	FAILS("EXPOSE x", "invalid containerPort: x");
	FAILS("EXPOSE 0", "invalid containerPort: 0");
	FAILS("EXPOSE 65536", "invalid containerPort: 65536");
	FAILS("EXPOSE 9-8", "invalid containerPort: 9-8");
	FAILS("EXPOSE 80/icmp", "invalid proto: icmp");
}

TEST(signals)
{
	HAS("STOPSIGNAL SIGTERM", "\"StopSignal\":\"SIGTERM\"");
	HAS("STOPSIGNAL 9", "\"StopSignal\":\"9\"");
	HAS("STOPSIGNAL RTMIN+3", "\"StopSignal\":\"RTMIN+3\"");
	FAILS("STOPSIGNAL 65", "invalid signal: 65");
	FAILS("STOPSIGNAL SIGX", "invalid signal: SIGX");
	FAILS("STOPSIGNAL RTMIN-3", "invalid signal: RTMIN-3");
}

TEST(health)
{
	HAS("HEALTHCHECK NONE", "\"Healthcheck\":{\"Test\":[\"NONE\"]}");
	HAS("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=4 CMD curl -f x",
		"\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"curl -f "
		"x\"],\"Interval\":90000000000,\"Timeout\":500000000,\"Retries\":4}");
	HAS("HEALTHCHECK CMD [\"a\",\"b\"]", "\"Healthcheck\":{\"Test\":[\"CMD\",\"a\",\"b\"]}");
	FAILS("HEALTHCHECK", "HEALTHCHECK requires at least one argument");
	FAILS("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
	FAILS("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
	FAILS("HEALTHCHECK TCP 80", "Unknown type \"TCP\" in HEALTHCHECK (try CMD)");
	FAILS("HEALTHCHECK --interval=x CMD y", "invalid duration \"x\" for --interval");
	FAILS("HEALTHCHECK --interval=1us CMD y", "Interval \"interval\" cannot be less than 1ms");
	FAILS("HEALTHCHECK --retries=-1 CMD y", "--retries must be at least 0, not \"-1\"");
	FAILS("HEALTHCHECK --color=red CMD y", "Unknown flag: color");
}

TEST(lines)
{
	HAS("# a comment\n\n  CMD a \\\n b\r\nUSER x", "\"User\":\"x\"");
	HAS("CMD a \\\n b", "\"Cmd\":[\"/bin/sh\",\"-c\",\"a  b\"]");
	HAS("LABEL \xe1=\xc3\xa4", "\"Labels\":{\"?\":\"\xc3\xa4\"}"); /* what is no UTF-8 would make JSON that nobody can read */
	FAILS("foo bar", "unknown instruction: FOO");
	FAILS("USER a\nRUN ls", "RUN is not a valid change command");
}

TEST(digests)
{
	char d[DIGEST_TEXT];
	CHECK_STR(digest_of("", 0, d), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK_STR(digest_of("abc", 3, d), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TESTS(T(commands), T(pairs), T(paths_and_users), T(ports), T(signals), T(health), T(lines), T(digests))
