/* What an update changes, and what it refuses. */
#include "model/update.h"
#include "model/spec_host.h"
#include "test.h"

static int apply(const char *have, const char *body, struct arena *a, struct container_spec *s, bool *resources, struct err *e)
{
	OWN(own_json) json_t *h = NULL, *b = NULL;
	struct strv warnings = {0};
	struct spec_host host = {.minor = 51, .ncpu = 2};
	try(json_parse(have, strlen(have), &h, e));
	try(json_parse(body, strlen(body), &b, e));
	try(spec_parse(h, a, s, e));
	try(spec_check(s, &host, a, &warnings, e));
	return update_apply(s, b, &host, a, &warnings, resources, e);
}

TEST(changes)
{
	OWN(own_arena) struct arena a = {0};
	struct container_spec s;
	struct err e = {0};
	bool resources;
	REQUIRE(apply("{\"HostConfig\":{\"Memory\":16777216,\"CpuShares\":5,\"PidsLimit\":9}}", "{\"Memory\":8388608,\"CpusetCpus\":\"0\"}", &a, &s, &resources, &e) == 0);
	CHECK(resources && s.host.memory == 8388608 && s.host.cpu_shares == 5 && s.host.pids_limit == 9 && streq(s.host.cpuset_cpus, "0"));
	REQUIRE(apply("{\"HostConfig\":{\"PidsLimit\":9}}", "{\"PidsLimit\":0}", &a, &s, &resources, &e) == 0);
	CHECK(resources && s.host.pids_limit == -1);
	REQUIRE(apply("{\"HostConfig\":{\"PidsLimit\":9}}", "{\"PidsLimit\":null,\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}}", &a, &s, &resources, &e) == 0);
	CHECK(!resources && s.host.pids_limit == 9 && streq(s.host.restart_name, "on-failure") && s.host.restart_max == 3);
}

TEST(refusals)
{
	static const struct {
		const char *have, *body, *want;
	} v[] = {{"{\"HostConfig\":{\"Memory\":8388608}}", "{\"Memory\":33554432}", "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"},
		{"{\"HostConfig\":{\"AutoRemove\":true}}", "{\"RestartPolicy\":{\"Name\":\"always\"}}", "Restart policy cannot be updated because AutoRemove is enabled for the container"},
		{"{\"HostConfig\":{\"CpuQuota\":5000}}", "{\"NanoCpus\":1000000000}", "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"},
		{"{\"HostConfig\":{\"NanoCpus\":1000000000}}", "{\"CpuPeriod\":5000}", "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"},
		{"{}", "{\"NanoCpus\":99000000000}", "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"}, {"{}", "{\"Memory\":1000}", "Minimum memory limit allowed is 6MB"},
		{"{}", "{\"RestartPolicy\":{\"Name\":\"bogus\"}}", "invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
		{"{}", "{\"Memory\":\"x\"}", "Memory: expected a number, got a string"}};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(own_arena) struct arena a = {0};
		struct container_spec s;
		struct err e = {0};
		bool resources;
		CHECK(apply(v[i].have, v[i].body, &a, &s, &resources, &e) < 0);
		CHECK_STR(e.msg, v[i].want);
	}
}

TESTS(T(changes), T(refusals))
