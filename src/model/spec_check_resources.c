/* Limits and devices. */
#include <stdlib.h>
#include <string.h>

#include "model/spec_check.h"
#include "model/ulimit.h"

#define MEMORY_LEAST (6ll << 20)

static bool lacks(const struct check *c, enum control what)
{
	return c->host->lacks & 1u << what;
}

/* What was asked for and cannot be is told, and left out. */
static int discard(struct check *c, bool asked, enum control what, const char *text, bool *gone, struct err *e)
{
	*gone = asked && lacks(c, what);
	return *gone ? check_warn(c, text, e) : 0;
}

static int discard_memory(struct check *c, struct err *e)
{
	struct host_config *h = &c->s->host;
	bool gone;
	try(discard(c, h->memory > 0, CONTROL_MEMORY, "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.", &gone, e));
	if (gone) {
		h->memory = 0;
		h->memory_swap = -1;
	}
	try(discard(c, h->memory > 0 && h->memory_swap != -1, CONTROL_SWAP, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.", &gone, e));
	if (gone)
		h->memory_swap = -1;
	try(discard(c, h->memory_swappiness >= 0, CONTROL_SWAPPINESS, "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.", &gone, e));
	if (gone)
		h->memory_swappiness = -1;
	try(discard(c, h->memory_reservation > 0, CONTROL_RESERVATION, "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.", &gone, e));
	if (gone)
		h->memory_reservation = 0;
	return 0;
}

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
	try(discard_memory(c, e));
	bool no_oom = c->host->cgroup2 || lacks(c, CONTROL_OOM);
	if (no_oom && h->oom_kill_disable == 1)
		try(check_warn(c, "Your kernel does not support OomKillDisable. OomKillDisable discarded.", e));
	if (no_oom)
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

#define CPU_MOST 8192

/* "0-2,7" into bits. False when it is not such a list. */
static bool cpu_list(const char *s, unsigned char bits[static CPU_MOST / 8])
{
	memset(bits, 0, CPU_MOST / 8);
	for (;;) {
		size_t n = strspn(s, "0123456789");
		if (!n || n > 5)
			return false;
		int first = atoi(s), last = first;
		s += n;
		if (*s == '-') {
			n = strspn(++s, "0123456789");
			if (!n || n > 5 || (last = atoi(s)) < first)
				return false;
			s += n;
		}
		if (last >= CPU_MOST)
			return false;
		for (int i = first; i <= last; i++)
			bits[i / 8] |= (unsigned char)(1u << i % 8);
		if (!*s)
			return true;
		if (*s++ != ',')
			return false;
	}
}

/* there: what the host has; NULL or "": unknown. */
static int check_cpu_list(const char *asked, const char *there, const char *noun, const char *nouns, struct err *e)
{
	unsigned char want[CPU_MOST / 8], have[CPU_MOST / 8];
	if (str_empty(asked))
		return 0;
	if (!cpu_list(asked, want))
		return invalid(e, "Invalid value %s for cpuset %s", asked, noun);
	if (str_empty(there) || !cpu_list(there, have))
		return 0;
	for (size_t i = 0; i < sizeof(want); i++)
		if (want[i] & ~have[i])
			return invalid(e, "Requested %s are not available - requested %s, available: %s", nouns, asked, there);
	return 0;
}

static int discard_cpu(struct check *c, struct err *e)
{
	struct host_config *h = &c->s->host;
	bool gone;
	if (h->nano_cpus > 0 && (lacks(c, CONTROL_CFS_QUOTA) || lacks(c, CONTROL_CFS_PERIOD)))
		return invalid(e, "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
	try(discard(c, h->cpu_shares > 0, CONTROL_SHARES, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.", &gone, e));
	if (gone)
		h->cpu_shares = 0;
	try(discard(c, h->cpu_period || h->cpu_quota, CONTROL_CFS_QUOTA, "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.", &gone, e));
	if (gone)
		h->cpu_period = h->cpu_quota = 0;
	try(discard(c, !str_empty(h->cpuset_cpus) || !str_empty(h->cpuset_mems), CONTROL_CPUSET, "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.", &gone, e));
	if (gone)
		h->cpuset_cpus = h->cpuset_mems = "";
	return 0;
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
	try(discard_cpu(c, e));
	try(check_cpu_list(h->cpuset_cpus, c->host->cpus, "cpus", "CPUs", e));
	return check_cpu_list(h->cpuset_mems, c->host->mems, "mems", "memory nodes", e);
}

static int discard_io(struct check *c, struct err *e)
{
	struct host_config *h = &c->s->host;
	const struct {
		struct json_vec *list;
		enum control what;
		const char *text;
	} lists[] = {
		{&h->blkio_weight_devices, CONTROL_WEIGHT_DEVICE, "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded."},
		{&h->blkio_read_bps, CONTROL_READ_BPS, "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded."},
		{&h->blkio_write_bps, CONTROL_WRITE_BPS, "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded."},
		{&h->blkio_read_iops, CONTROL_READ_IOPS, "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded."},
		{&h->blkio_write_iops, CONTROL_WRITE_IOPS, "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded."},
	};
	bool gone;
	try(discard(c, h->blkio_weight > 0, CONTROL_WEIGHT, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.", &gone, e));
	if (gone)
		h->blkio_weight = 0;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		try(discard(c, lists[i].list->n > 0, lists[i].what, lists[i].text, &gone, e));
		if (gone)
			*lists[i].list = (struct json_vec){0};
	}
	return 0;
}

static int check_io(struct check *c, struct err *e)
{
	const struct host_config *h = &c->s->host;
	if (h->blkio_weight && (h->blkio_weight < 10 || h->blkio_weight > 1000))
		return invalid(e, "Range of blkio weight is from 10 to 1000");
	if (h->io_max_bandwidth)
		return invalid(e, "invalid option: QoS maximum bandwidth configuration is not supported on linux");
	if (h->io_max_iops)
		return invalid(e, "invalid option: QoS maximum IOPs configuration is not supported on linux");
	return discard_io(c, e);
}

static int check_ulimits(const struct host_config *h, struct err *e)
{
	const struct ulimit *u = h->ulimits.v;
	for (size_t i = 0; i < h->ulimits.n; i++)
		try(ulimit_check(&u[i], e));
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

/* Device drivers are plugins, which are not here: the first request is refused as dockerd refuses it. [] or null: none is asked for. */
static int refuse_request(const char *requests, struct err *e)
{
	OWN(own_json) json_t *list = requests ? json_loads(requests, JSON_DECODE_ANY, NULL) : NULL;
	OWN(own_buf) struct buf b = {0};
	const json_t *first = json_array_get(list, 0);
	const char *driver = json_string_value(json_object_get(first, "Driver"));
	size_t i, k;
	json_t *set, *one;
	if (!first)
		return 0;
	json_array_foreach(json_object_get(first, "Capabilities"), i, set)
	{
		buf_puts(&b, i ? " [" : "[");
		json_array_foreach(set, k, one)
			buf_printf(&b, "%s%.40s", k ? " " : "", json_string_value(one) ? json_string_value(one) : "");
		buf_putc(&b, ']');
	}
	return invalid(e, "could not select device driver \"%.100s\" with capabilities: [%.400s]", driver ? driver : "", buf_str(&b));
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
	return refuse_request(h->device_requests, e);
}

int check_resources(struct check *c, struct err *e)
{
	const struct host_config *h = &c->s->host;
	bool gone;
	try(check_memory(c, e));
	try(check_cpu(c, e));
	try(check_io(c, e));
	if (h->shm_size < 0)
		return invalid(e, "SHM size can not be less than 0");
	if (h->oom_score_adj < -1000 || h->oom_score_adj > 1000)
		return invalid(
			e, "Invalid value %lld, range for oom score adj is [-1000, 1000]", (long long)h->oom_score_adj);
	if (h->pids_limit < -1)
		return invalid(e, "invalid PIDs limit: %lld", (long long)h->pids_limit);
	try(discard(c, h->pids_limit > 0, CONTROL_PIDS, "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.", &gone, e));
	if (gone)
		c->s->host.pids_limit = 0;
	try(check_ulimits(h, e));
	try(check_devices(h, e));
	if (h->storage_opt.n)
		return invalid(e, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
	return 0;
}
