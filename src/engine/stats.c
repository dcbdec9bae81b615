#include "engine/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/fd.h"
#include "engine/engine_int.h"
#include "kernel/linkstats.h"

#define FILE_MOST (1u << 20)

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)(v > INT64_MAX ? INT64_MAX : v)));
}

static uint64_t get(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

json_t *stats_pairs(const char *text)
{
	json_t *o = json_object();
	char key[64];
	uint64_t v;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (sscanf(text, "%63[a-zA-Z0-9_.] %" SCNu64, key, &v) == 2)
			set(o, key, v);
	return o;
}

static void add_io(json_t *list, unsigned major, unsigned minor, const char *op, uint64_t value)
{
	json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:I}", "major", (int)major, "minor", (int)minor, "op", op, "value", (json_int_t)value));
}

json_t *stats_blkio_v1(const char *text)
{
	json_t *list = json_array();
	unsigned major, minor;
	char op[16];
	uint64_t v;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (sscanf(text, "%u:%u %15[A-Za-z] %" SCNu64, &major, &minor, op, &v) == 4)
			add_io(list, major, minor, op, v);
	return list;
}

void stats_io_v2(const char *text, json_t *bytes, json_t *ops)
{
	static const struct {
		const char *key, *op;
		bool bytes;
	} fields[] = {{"rbytes=", "read", true}, {"wbytes=", "write", true}, {"rios=", "read", false}, {"wios=", "write", false}};
	unsigned major, minor;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		size_t n = strcspn(text, "\n");
		if (sscanf(text, "%u:%u", &major, &minor) != 2)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			const char *at = memmem(text, n, fields[i].key, strlen(fields[i].key));
			if (at)
				add_io(fields[i].bytes ? bytes : ops, major, minor, fields[i].op, strtoull(at + strlen(fields[i].key), NULL, 10));
		}
	}
}

uint64_t stats_system_cpu(const char *text, uint64_t hz, unsigned *cpus)
{
	uint64_t sum = 0;
	*cpus = 0;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		if (!str_starts(text, "cpu"))
			break;
		if (text[3] != ' ') {
			(*cpus)++;
			continue;
		}
		char *p = (char *)(uintptr_t)text + 4;
		for (int i = 0; i < 8; i++) /* user, nice, system, idle, iowait, irq, softirq, steal */
			sum += strtoull(p, &p, 10);
	}
	return hz ? sum * (1000000000 / hz) : 0;
}

struct reader { /* of one container's cgroup */
	int64_t pid;
	struct buf text;
};

/* A file of the controller; "" if there is none. */
static const char *file_of(struct reader *r, const char *controller, const char *name)
{
	char dir[PATH_SIZE], path[PATH_SIZE + 64];
	buf_free(&r->text);
	if (cgroup_directory(r->pid, controller, dir, NULL) < 0)
		return "";
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)read_file(path, FILE_MOST, &r->text, NULL); /* kernels differ in what they count */
	return buf_str(&r->text);
}

static uint64_t number_of(struct reader *r, const char *controller, const char *name)
{
	const char *s = file_of(r, controller, name);
	return str_starts(s, "max") ? UINT64_MAX : strtoull(s, NULL, 10);
}

static void system_cpu(json_t *cpu)
{
	OWN(own_buf) struct buf b = {0};
	unsigned cpus;
	(void)read_file("/proc/stat", FILE_MOST, &b, NULL); /* absent: 0, and no client divides by it */
	set(cpu, "system_cpu_usage", stats_system_cpu(buf_str(&b), (uint64_t)sysconf(_SC_CLK_TCK), &cpus));
	set(cpu, "online_cpus", cpus);
}

static json_t *per_cpu(const char *text)
{
	json_t *list = json_array();
	char *end;
	for (uint64_t v = strtoull(text, &end, 10); end != text; v = strtoull(text, &end, 10)) {
		json_array_append_new(list, json_integer((json_int_t)v));
		text = end;
	}
	return list;
}

static json_t *cpu_v1(struct reader *r)
{
	uint64_t tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	json_t *usage = json_object();
	set(usage, "total_usage", number_of(r, "cpuacct", "cpuacct.usage"));
	json_object_set_new(usage, "percpu_usage", per_cpu(file_of(r, "cpuacct", "cpuacct.usage_percpu")));
	OWN(own_json) json_t *stat = stats_pairs(file_of(r, "cpuacct", "cpuacct.stat")), *cfs = stats_pairs(file_of(r, "cpu", "cpu.stat"));
	set(usage, "usage_in_kernelmode", get(stat, "system") * tick);
	set(usage, "usage_in_usermode", get(stat, "user") * tick);
	return json_pack("{s:o, s:{s:I, s:I, s:I}}", "cpu_usage", usage, "throttling_data", "periods", (json_int_t)get(cfs, "nr_periods"), "throttled_periods", (json_int_t)get(cfs, "nr_throttled"), "throttled_time",
		(json_int_t)get(cfs, "throttled_time"));
}

static json_t *cpu_v2(struct reader *r)
{
	OWN(own_json) json_t *s = stats_pairs(file_of(r, "", "cpu.stat"));
	return json_pack("{s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}}", "cpu_usage", "total_usage", (json_int_t)get(s, "usage_usec") * 1000, "usage_in_kernelmode", (json_int_t)get(s, "system_usec") * 1000,
		"usage_in_usermode", (json_int_t)get(s, "user_usec") * 1000, "throttling_data", "periods", (json_int_t)get(s, "nr_periods"), "throttled_periods", (json_int_t)get(s, "nr_throttled"),
		"throttled_time", (json_int_t)get(s, "throttled_usec") * 1000);
}

static json_t *memory(struct reader *r, bool v2)
{
	struct sysinfo si;
	json_t *m = json_object();
	uint64_t limit = v2 ? number_of(r, "", "memory.max") : number_of(r, "memory", "memory.limit_in_bytes"), all = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : limit;
	set(m, "usage", v2 ? number_of(r, "", "memory.current") : number_of(r, "memory", "memory.usage_in_bytes"));
	if (!v2) {
		set(m, "max_usage", number_of(r, "memory", "memory.max_usage_in_bytes"));
		uint64_t failed = number_of(r, "memory", "memory.failcnt");
		if (failed)
			set(m, "failcnt", failed);
	}
	json_object_set_new(m, "stats", stats_pairs(v2 ? file_of(r, "", "memory.stat") : file_of(r, "memory", "memory.stat")));
	set(m, "limit", limit && limit < all ? limit : all); /* no limit is the machine's memory */
	return m;
}

static json_t *pids(struct reader *r, bool v2)
{
	const char *controller = v2 ? "" : "pids";
	json_t *p = json_object();
	set(p, "current", number_of(r, controller, "pids.current"));
	uint64_t limit = number_of(r, controller, "pids.max");
	if (limit && limit != UINT64_MAX)
		set(p, "limit", limit);
	return p;
}

static json_t *block_io(struct reader *r, bool v2)
{
	static const char *const others[] = {"io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive"};
	json_t *bytes, *ops, *io;
	if (v2) {
		bytes = json_array();
		ops = json_array();
		stats_io_v2(file_of(r, "", "io.stat"), bytes, ops);
	} else {
		bytes = stats_blkio_v1(file_of(r, "blkio", "blkio.throttle.io_service_bytes_recursive"));
		ops = stats_blkio_v1(file_of(r, "blkio", "blkio.throttle.io_serviced_recursive"));
	}
	io = json_pack("{s:o, s:o}", "io_service_bytes_recursive", bytes, "io_serviced_recursive", ops);
	for (size_t i = 0; io && i < ARRAY_LEN(others); i++)
		json_object_set_new(io, others[i], v2 ? json_null() : json_array());
	return io;
}

static void add_link(void *arg, const char *name, const struct rtnl_link_stats64 *s)
{
	json_object_set_new(arg, name, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rx_bytes", (json_int_t)s->rx_bytes, "rx_packets", (json_int_t)s->rx_packets, "rx_errors", (json_int_t)s->rx_errors, "rx_dropped",
		(json_int_t)s->rx_dropped, "tx_bytes", (json_int_t)s->tx_bytes, "tx_packets", (json_int_t)s->tx_packets, "tx_errors", (json_int_t)s->tx_errors, "tx_dropped", (json_int_t)s->tx_dropped));
}

json_t *engine_stats_no_cpu(void)
{
	return json_pack("{s:{s:i, s:i, s:i}, s:{s:i, s:i, s:i}}", "cpu_usage", "total_usage", 0, "usage_in_kernelmode", 0, "usage_in_usermode", 0, "throttling_data", "periods", 0, "throttled_periods", 0,
		"throttled_time", 0);
}

json_t *engine_stats_none(void)
{
	static const char *const io[] = {"io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive",
		"sectors_recursive"};
	char never[TIME_TEXT];
	json_t *nothing = json_object();
	for (size_t i = 0; nothing && i < ARRAY_LEN(io); i++)
		json_object_set_new(nothing, io[i], json_null());
	return json_pack("{s:s, s:{}, s:o, s:i, s:{}, s:o, s:{}}", "read", time_format(0, never), "pids_stats", "blkio_stats", nothing, "num_procs", 0, "storage_stats", "cpu_stats", engine_stats_no_cpu(), "memory_stats");
}

int engine_stats(struct engine *en, const struct container *c, const char *netns, json_t **out, struct err *e)
{
	struct reader r = {.pid = c->pid};
	char now[TIME_TEXT], dir[PATH_SIZE];
	bool v2 = en->info.cgroup_version == 2;
	try(cgroup_directory(c->pid, v2 ? "" : "memory", dir, e));
	json_t *cpu = v2 ? cpu_v2(&r) : cpu_v1(&r), *links = json_object();
	if (cpu)
		system_cpu(cpu);
	json_t *j = json_pack("{s:s, s:o, s:o, s:i, s:{}, s:o, s:o}", "read", time_format(clock_real_ns(), now), "pids_stats", pids(&r, v2), "blkio_stats", block_io(&r, v2), "num_procs", 0, "storage_stats", "cpu_stats",
		cpu, "memory_stats", memory(&r, v2));
	buf_free(&r.text);
	/* A namespace that goes at this moment is the end of the container, and no error. */
	if (netns && linkstats_read(netns, add_link, links, NULL) >= 0 && json_object_size(links))
		json_object_set(j, "networks", links);
	json_decref(links);
	*out = j;
	return j ? 0 : err_nomem(e);
}
