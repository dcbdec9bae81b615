/* Limits and devices. */
#include <stdlib.h>
#include <string.h>

#include "model/spec_check.h"

#define MEMORY_LEAST (6ll << 20)

static int check_memory(struct check *c, struct err *e)
{
	struct host_config *h = &c->s->host;
	if (h->memory && h->memory < MEMORY_LEAST)
		return invalid(e, "Minimum memory limit allowed is 6MB");
	if (h->memory > 0 && h->memory_swap == 0)
		h->memory_swap = h->memory <= INT64_MAX / 2 ? h->memory * 2 : -1;
	if (h->memory > 0 && h->memory_swap > 0 && h->memory_swap < h->memory)
		return invalid(e, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (h->memory == 0 && h->memory_swap > 0)
		return invalid(e, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (h->memory > 0 && h->memory_swap != -1 && !c->host->swap_limit) {
		h->memory_swap = -1;
		try(check_warn(c,
			"Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory "
			"limited without swap.",
			e));
	}
	if (h->memory_swap < -1)
		return invalid(
			e, "invalid value: %lld, the memoryswap limit is a size or -1", (long long)h->memory_swap);
	if (h->memory_swappiness < -1 || h->memory_swappiness > 100)
		return invalid(e, "Invalid value: %lld, valid memory swappiness range is 0-100",
			(long long)h->memory_swappiness);
	if (h->memory_reservation && h->memory_reservation < MEMORY_LEAST)
		return invalid(e, "Minimum memory reservation allowed is 6MB");
	if (h->memory > 0 && h->memory_reservation > 0 && h->memory < h->memory_reservation)
		return invalid(e, "Minimum memory limit can not be less than memory reservation limit, see usage");
	if (c->host->cgroup2 && h->oom_kill_disable == 1)
		try(check_warn(c, "Your kernel does not support OomKillDisable. OomKillDisable discarded.", e));
	if (c->host->cgroup2)
		h->oom_kill_disable = -1;
	else if (h->oom_kill_disable < 0)
		h->oom_kill_disable = 0;
	if (h->oom_kill_disable == 1 && h->memory == 0)
		try(check_warn(c,
			"OOM killer is disabled for the container, but no memory limit is set, this can result in the "
			"system running out of resources.",
			e));
	return 0;
}

/* "0-2,7" */
static bool is_cpu_list(const char *s)
{
	for (;;) {
		const char *first = s;
		size_t n = strspn(s, "0123456789");
		if (!n || n > 5)
			return false;
		s += n;
		if (*s == '-') {
			n = strspn(++s, "0123456789");
			if (!n || n > 5 || atoi(s) < atoi(first))
				return false;
			s += n;
		}
		if (!*s)
			return true;
		if (*s++ != ',')
			return false;
	}
}

static int check_cpu(struct check *c, struct err *e)
{
	const struct host_config *h = &c->s->host;
	int n = c->host->ncpu;
	if (h->cpu_rt_period && h->cpu_rt_runtime && h->cpu_rt_runtime > h->cpu_rt_period)
		return invalid(e, "cpu real-time runtime cannot be higher than cpu real-time period");
	if (h->cpu_shares < 0)
		return invalid(
			e, "invalid CPU shares (%lld): value must be a positive integer", (long long)h->cpu_shares);
	if (h->nano_cpus > 0 && h->cpu_period > 0)
		return invalid(e, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
	if (h->nano_cpus > 0 && h->cpu_quota > 0)
		return invalid(e, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
	if (n && (h->nano_cpus < 0 || h->nano_cpus > n * 1000000000ll))
		return invalid(e, "range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", n, n);
	if (h->cpu_period && (h->cpu_period < 1000 || h->cpu_period > 1000000))
		return invalid(
			e, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (h->cpu_quota > 0 && h->cpu_quota < 1000)
		return invalid(e, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (!str_empty(h->cpuset_cpus) && !is_cpu_list(h->cpuset_cpus))
		return invalid(e, "Invalid value %s for cpuset cpus", h->cpuset_cpus);
	if (!str_empty(h->cpuset_mems) && !is_cpu_list(h->cpuset_mems))
		return invalid(e, "Invalid value %s for cpuset mems", h->cpuset_mems);
	return 0;
}

static int check_io(const struct host_config *h, struct err *e)
{
	if (h->blkio_weight && (h->blkio_weight < 10 || h->blkio_weight > 1000))
		return invalid(e, "Range of blkio weight is from 10 to 1000");
	if (h->io_max_bandwidth)
		return invalid(e, "invalid option: QoS maximum bandwidth configuration is not supported on linux");
	if (h->io_max_iops)
		return invalid(e, "invalid option: QoS maximum IOPs configuration is not supported on linux");
	return 0;
}

static int check_ulimits(const struct host_config *h, struct err *e)
{
	static const char *const names[] = {"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
		"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"};
	const struct ulimit *u = h->ulimits.v;
	for (size_t i = 0; i < h->ulimits.n; i++) {
		bool known = false;
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			known |= u[i].name && streq(u[i].name, names[k]);
		if (!known)
			return invalid(e, "invalid ulimit type: %s", u[i].name ? u[i].name : "");
		if (u[i].soft < -1 || u[i].hard < -1)
			return invalid(e, "invalid ulimit %s: a limit is a number or -1", u[i].name);
		if (u[i].hard != -1 && (u[i].soft == -1 || u[i].soft > u[i].hard))
			return invalid(e, "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
				(long long)u[i].soft, (long long)u[i].hard);
	}
	return 0;
}

/* "c 10:200 rwm", "b 8:* rw" */
static bool device_rule_is_good(const char *s)
{
	char major[11], minor[11], access[4];
	int end = 0;
	if (!*s || !strchr("acb", *s) || sscanf(s + 1, " %10[0-9*]:%10[0-9*] %3[rwm]%n", major, minor, access, &end) != 3)
		return false;
	bool star = (!strchr(major, '*') || streq(major, "*")) && (!strchr(minor, '*') || streq(minor, "*"));
	return star && s[1] == ' ' && s[1 + end] == '\0';
}

static int check_devices(const struct host_config *h, struct err *e)
{
	const struct device_mapping *d = h->devices.v;
	for (size_t i = 0; i < h->devices.n; i++) {
		if (str_empty(d[i].host) || *d[i].host != '/' || (!str_empty(d[i].container) && *d[i].container != '/'))
			return invalid(e, "invalid device specification: %s", d[i].host ? d[i].host : "");
		if (d[i].perms && strspn(d[i].perms, "rwm") != strlen(d[i].perms))
			return invalid(e, "invalid device mode: %s", d[i].perms);
	}
	for (size_t i = 0; i < h->device_cgroup_rules.n; i++)
		if (!device_rule_is_good(h->device_cgroup_rules.v[i]))
			return invalid(e, "invalid device cgroup rule format: '%s'", h->device_cgroup_rules.v[i]);
	/* [] or null: none is asked for */
	if (h->device_requests && strlen(h->device_requests) > strlen("[]") && !streq(h->device_requests, "null"))
		return invalid(e, "could not select device driver \"\" with capabilities: %.200s", h->device_requests);
	return 0;
}

int check_resources(struct check *c, struct err *e)
{
	const struct host_config *h = &c->s->host;
	try(check_memory(c, e));
	try(check_cpu(c, e));
	try(check_io(h, e));
	if (h->shm_size < 0)
		return invalid(e, "SHM size can not be less than 0");
	if (h->oom_score_adj < -1000 || h->oom_score_adj > 1000)
		return invalid(
			e, "Invalid value %lld, range for oom score adj is [-1000, 1000]", (long long)h->oom_score_adj);
	if (h->pids_limit < -1)
		return invalid(e, "invalid PIDs limit: %lld", (long long)h->pids_limit);
	try(check_ulimits(h, e));
	try(check_devices(h, e));
	if (h->storage_opt.n)
		return invalid(e, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
	return 0;
}
