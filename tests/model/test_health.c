/* The rules of HEALTHCHECK. */
#include "model/health.h"
#include "test.h"

#define S 1000000000ll

static struct config with(const char *body, struct arena *a)
{
	OWN(own_json) json_t *j = NULL;
	struct config c = {.stop_timeout = -1};
	struct err e = {0};
	if (json_parse(body, strlen(body), &j, &e) < 0 || json_decode(j, config_table, &c, a, &e) < 0)
		printf("# %s\n", e.msg);
	return c;
}

TEST(who_is_checked)
{
	static const struct {
		const char *body;
		bool checked;
	} v[] = {{"{}", false}, {"{\"Healthcheck\":{}}", false}, {"{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", false}, {"{\"Healthcheck\":{\"Test\":[\"CMD\"]}}", false}, {"{\"Healthcheck\":{\"Test\":[\"ODD\",\"x\"]}}", false},
		{"{\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"]}}", true}, {"{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"]}}", true}};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(own_arena) struct arena a = {0};
		struct health_plan p;
		struct config c = with(v[i].body, &a);
		CHECK_INT(health_plan(&c, &p), v[i].checked);
		if (v[i].checked)
			CHECK(p.interval == 30 * S && p.timeout == 30 * S && p.retries == 3 && p.start_period == 0 && p.start_interval == 5 * S);
	}
}

TEST(what_is_run)
{
	OWN(own_arena) struct arena a = {0};
	struct config c = with("{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\",\"b c\"]}}", &a);
	struct strv cmd = health_command(&c, &a);
	CHECK(cmd.n == 2 && streq(cmd.v[1], "b c"));
	c = with("{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"x && y\"]}}", &a);
	cmd = health_command(&c, &a);
	CHECK(cmd.n == 3 && streq(cmd.v[0], "/bin/sh") && streq(cmd.v[1], "-c") && streq(cmd.v[2], "x && y"));
	c = with("{\"Shell\":[\"/bin/ash\",\"-ec\"],\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"x\"]}}", &a);
	cmd = health_command(&c, &a);
	CHECK(cmd.n == 3 && streq(cmd.v[0], "/bin/ash") && streq(cmd.v[1], "-ec"));
}

TEST(results)
{
	const struct health_plan p = {.interval = 10 * S, .timeout = S, .retries = 2, .start_period = 60 * S, .start_interval = 2 * S};
	struct health h = {.status = HEALTH_STARTING};
	/* in the start period failures do not count, and probes come quickly */
	CHECK(!health_result(&h, &p, 100 * S, 110 * S, 1) && h.streak == 0 && h.status == HEALTH_STARTING);
	CHECK(health_wait(&h, &p, 100 * S, 110 * S) == 2 * S);
	CHECK(health_result(&h, &p, 100 * S, 120 * S, 0) && h.status == HEALTH_HEALTHY);
	CHECK(health_wait(&h, &p, 100 * S, 120 * S) == 10 * S);
	/* once it was healthy they do */
	CHECK(!health_result(&h, &p, 100 * S, 130 * S, 1) && h.streak == 1 && h.status == HEALTH_HEALTHY);
	CHECK(!health_result(&h, &p, 100 * S, 131 * S, 0) && h.streak == 0);
	CHECK(!health_result(&h, &p, 100 * S, 132 * S, 1) && health_result(&h, &p, 100 * S, 133 * S, -1) && h.status == HEALTH_UNHEALTHY);
	CHECK(!health_result(&h, &p, 100 * S, 134 * S, 2) && h.streak == 3);
	CHECK(health_result(&h, &p, 100 * S, 135 * S, 0) && h.status == HEALTH_HEALTHY && h.streak == 0);
	/* after the period, still starting */
	h = (struct health){.status = HEALTH_STARTING};
	CHECK(health_wait(&h, &p, 100 * S, 160 * S) == 10 * S);
	CHECK(!health_result(&h, &p, 100 * S, 160 * S, 1) && h.streak == 1 && h.status == HEALTH_STARTING);
	CHECK(health_result(&h, &p, 100 * S, 161 * S, 1) && h.status == HEALTH_UNHEALTHY);
}

TEST(image_and_own)
{
	OWN(own_arena) struct arena a = {0};
	struct config img = with("{\"Healthcheck\":{\"Test\":[\"CMD\",\"i\"],\"Interval\":7000000000,\"Retries\":9}}", &a), none = with("{}", &a), own = none;
	REQUIRE(health_merge(&own, &img, &a) == 0);
	CHECK(streq(own.healthcheck->test.v[1], "i") && own.healthcheck->retries == 9);
	own = with("{\"Healthcheck\":{\"Interval\":1000000000}}", &a);
	REQUIRE(health_merge(&own, &img, &a) == 0);
	CHECK(streq(own.healthcheck->test.v[1], "i") && own.healthcheck->interval == S && own.healthcheck->retries == 9);
	own = with("{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", &a);
	REQUIRE(health_merge(&own, &img, &a) == 0);
	struct health_plan p;
	CHECK(!health_plan(&own, &p));
	own = with("{\"Healthcheck\":{\"Test\":[\"CMD\",\"o\"]}}", &a);
	REQUIRE(health_merge(&own, &none, &a) == 0);
	CHECK(streq(own.healthcheck->test.v[1], "o"));
}

TESTS(T(who_is_checked), T(what_is_run), T(results), T(image_and_own))
