#include "base/units.h"
#include "cli/limits_body.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

static int put_number(const struct parsed *p, json_t *o, const char *key, const char *flag, struct err *e)
{
	const char *v = flag_get(p, flag);
	char *end;
	if (!v)
		return 0;
	errno = 0;
	long long n = strtoll(v, &end, 10);
	if (!*v || *end || errno)
		return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: expected a number", v, flag);
	json_object_set_new(o, key, json_integer(n));
	return 0;
}

static int put_bytes(const struct parsed *p, json_t *o, const char *key, const char *flag, struct err *e)
{
	const char *v = flag_get(p, flag);
	int64_t n;
	if (!v)
		return 0;
	if (streq(v, "-1") && streq(flag, "memory-swap"))
		n = -1;
	else if (units_parse_bytes(v, &n) < 0)
		return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: invalid size: '%s'", v, flag, v);
	json_object_set_new(o, key, json_integer(n));
	return 0;
}

static int put_cpus(const struct parsed *p, json_t *host, struct err *e)
{
	const char *v = flag_get(p, "cpus");
	char *end;
	if (!v)
		return 0;
	double n = strtod(v, &end);
	if (!*v || *end || n < 0 || n > 1e6)
		return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--cpus\" flag: failed to parse %s as a rational number", v, v);
	json_object_set_new(host, "NanoCpus", json_integer((json_int_t)(n * 1e9 + 0.5)));
	return 0;
}

int limits_numbers(const struct parsed *p, json_t *host, struct err *e)
{
	static const char *const numbers[][2] = {{"CpuPeriod", "cpu-period"}, {"CpuQuota", "cpu-quota"}, {"CpuShares", "cpu-shares"}, {"CpuRealtimePeriod", "cpu-rt-period"}, {"CpuRealtimeRuntime", "cpu-rt-runtime"},
		{"PidsLimit", "pids-limit"}, {"BlkioWeight", "blkio-weight"}};
	static const char *const bytes[][2] = {{"Memory", "memory"}, {"MemoryReservation", "memory-reservation"}, {"MemorySwap", "memory-swap"}};
	static const char *const texts[][2] = {{"CpusetCpus", "cpuset-cpus"}, {"CpusetMems", "cpuset-mems"}};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		try(put_number(p, host, numbers[i][0], numbers[i][1], e));
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
		try(put_bytes(p, host, bytes[i][0], bytes[i][1], e));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (flag_get(p, texts[i][1]))
			json_object_set_new(host, texts[i][0], json_string(flag_get(p, texts[i][1])));
	return put_cpus(p, host, e);
}

/* "/dev/sda:1mb" */
int limits_devices(const struct parsed *p, json_t *host, struct err *e)
{
	static const struct {
		const char *flag, *key, *value;
		bool bytes;
	} kinds[] = {{"blkio-weight-device", "BlkioWeightDevice", "Weight", false}, {"device-read-bps", "BlkioDeviceReadBps", "Rate", true}, {"device-write-bps", "BlkioDeviceWriteBps", "Rate", true},
		{"device-read-iops", "BlkioDeviceReadIOps", "Rate", false}, {"device-write-iops", "BlkioDeviceWriteIOps", "Rate", false}};
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		const struct strv *l = flag_list(p, kinds[k].flag);
		json_t *list = l->n ? json_array() : NULL;
		if (list)
			json_object_set_new(host, kinds[k].key, list);
		for (size_t i = 0; i < l->n; i++) {
			const char *colon = strchr(l->v[i], ':');
			char *end = NULL;
			int64_t n = 0;
			bool good = colon && colon != l->v[i] && *l->v[i] == '/' && colon[1];
			if (good && kinds[k].bytes)
				good = units_parse_bytes(colon + 1, &n) >= 0;
			else if (good)
				good = (n = strtoll(colon + 1, &end, 10)) >= 0 && !*end;
			if (!good)
				return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: invalid %s for device: %s", l->v[i], kinds[k].flag, kinds[k].bytes ? "rate" : "value", l->v[i]);
			json_array_append_new(list, json_pack("{s:s%, s:I}", "Path", l->v[i], (size_t)(colon - l->v[i]), kinds[k].value, (json_int_t)n));
		}
	}
	return 0;
}

int limits_restart(const struct parsed *p, json_t *host, struct err *e)
{
	const char *v = flag_get(p, "restart");
	char *end = NULL;
	if (!v)
		return 0;
	size_t n = strcspn(v, ":");
	long count = v[n] ? strtol(v + n + 1, &end, 10) : 0;
	if (v[n] && (!v[n + 1] || *end))
		return err_as(e, ERR_INVALID, "invalid restart policy format: maximum retry count must be an integer");
	json_object_set_new(host, "RestartPolicy", json_pack("{s:s%, s:i}", "Name", v, n, "MaximumRetryCount", (int)count));
	return 0;
}

/* "1m30s" */
static int put_duration(const struct parsed *p, json_t *o, const char *key, const char *flag, bool *any, struct err *e)
{
	const char *v = flag_get(p, flag);
	int64_t t;
	if (!v)
		return 0;
	if (!*v || !strchr("smh", v[strlen(v) - 1]) || *v == '-' || time_parse(v, 0, &t) < 0)
		return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: time: invalid duration \"%s\"", v, flag, v);
	json_object_set_new(o, key, json_integer(-t));
	*any = true;
	return 0;
}

int limits_health(const struct parsed *p, json_t *config, struct err *e)
{
	static const char *const times[][2] = {{"Interval", "health-interval"}, {"Timeout", "health-timeout"}, {"StartPeriod", "health-start-period"}, {"StartInterval", "health-start-interval"}};
	const char *cmd = flag_get(p, "health-cmd");
	bool none = flag_on(p, "no-healthcheck"), any = cmd != NULL;
	OWN(own_json) json_t *h = json_object();
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		try(put_duration(p, h, times[i][0], times[i][1], &any, e));
	try(put_number(p, h, "Retries", "health-retries", e));
	any |= flag_get(p, "health-retries") != NULL;
	if (none && any)
		return err_as(e, ERR_INVALID, "--no-healthcheck conflicts with --health-* options");
	if (cmd)
		json_object_set_new(h, "Test", json_pack("[s, s]", "CMD-SHELL", cmd));
	if (none)
		json_object_set_new(h, "Test", json_pack("[s]", "NONE"));
	if (any || none)
		json_object_set(config, "Healthcheck", h);
	return 0;
}

json_t *update_body(const struct parsed *p, struct arena *a, struct err *e)
{
	json_t *body = json_object();
	(void)a;
	if (body && limits_numbers(p, body, e) >= 0 && limits_restart(p, body, e) >= 0)
		return body;
	json_decref(body);
	return NULL;
}
