#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/fd.h"
#include "engine/engine_int.h"

int cgroup_version(void)
{
	struct statfs fs;
	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC ? 2 : 1;
}

/* By enum control. */
static const struct {
	const char *file;       /* of cgroup v1 */
	const char *controller; /* of cgroup v2; NULL: there is no such thing */
} controls[] = {
	[CONTROL_MEMORY] = {"memory/memory.limit_in_bytes", "memory"},
	[CONTROL_SWAP] = {"memory/memory.memsw.limit_in_bytes", "memory"},
	[CONTROL_RESERVATION] = {"memory/memory.soft_limit_in_bytes", "memory"},
	[CONTROL_SWAPPINESS] = {"memory/memory.swappiness", NULL},
	[CONTROL_OOM] = {"memory/memory.oom_control", NULL},
	[CONTROL_PIDS] = {"pids", "pids"},
	[CONTROL_CFS_QUOTA] = {"cpu/cpu.cfs_quota_us", "cpu"},
	[CONTROL_CFS_PERIOD] = {"cpu/cpu.cfs_period_us", "cpu"},
	[CONTROL_SHARES] = {"cpu/cpu.shares", "cpu"},
	[CONTROL_CPUSET] = {"cpuset/cpuset.cpus", "cpuset"},
	[CONTROL_WEIGHT] = {"blkio/blkio.weight", "io"},
	[CONTROL_WEIGHT_DEVICE] = {"blkio/blkio.weight_device", "io"},
	[CONTROL_READ_BPS] = {"blkio/blkio.throttle.read_bps_device", "io"},
	[CONTROL_WRITE_BPS] = {"blkio/blkio.throttle.write_bps_device", "io"},
	[CONTROL_READ_IOPS] = {"blkio/blkio.throttle.read_iops_device", "io"},
	[CONTROL_WRITE_IOPS] = {"blkio/blkio.throttle.write_iops_device", "io"},
};
static_assert(ARRAY_LEN(controls) == CONTROL_N, "controls[] is missing one");

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\n' || !p[n]))
			return true;
	return false;
}

static unsigned lacking(int version)
{
	OWN(own_buf) struct buf b = {0};
	char path[256];
	unsigned bits = 0;
	if (version == 2)
		(void)read_file("/sys/fs/cgroup/cgroup.controllers", 4096, &b, NULL); /* unreadable: nothing can be limited */
	for (size_t i = 0; i < CONTROL_N; i++) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", controls[i].file);
		bool has = version == 2 ? controls[i].controller && has_word(buf_str(&b), controls[i].controller) : access(path, F_OK) == 0;
		bits |= has ? 0 : 1u << i;
	}
	return bits;
}

static const char *list_of(const char *const *files, struct arena *a)
{
	for (; *files; files++) {
		OWN(own_buf) struct buf b = {0};
		if (read_file(*files, 65536, &b, NULL) >= 0 && *buf_str(&b) && *buf_str(&b) != '\n')
			return arena_dupn(a, buf_str(&b), strcspn(buf_str(&b), "\n"));
	}
	return NULL;
}

void engine_host(const struct engine *en, struct arena *a, struct spec_host *out)
{
	static const char *const cpus[] = {"/sys/fs/cgroup/cpuset/cpuset.cpus", "/sys/fs/cgroup/cpuset.cpus.effective", "/sys/devices/system/cpu/online", NULL},
				 *const mems[] = {"/sys/fs/cgroup/cpuset/cpuset.mems", "/sys/fs/cgroup/cpuset.mems.effective", "/sys/devices/system/node/online", NULL};
	*out = (struct spec_host){
		.ncpu = get_nprocs(), .cgroup2 = en->info.cgroup_version == 2, .lacks = lacking(en->info.cgroup_version), .cpus = list_of(cpus, a), .mems = list_of(mems, a)};
}

/* "a/../../b" is "/b": nothing leads out of the hierarchy. */
static const char *clean(const char *path, struct arena *a)
{
	char *out = arena_alloc(a, strlen(path) + 2, 1), *end = out;
	if (!out)
		return NULL;
	*end = '\0';
	while (*(path += strspn(path, "/"))) {
		size_t n = strcspn(path, "/");
		if (n == 2 && strncmp(path, "..", 2) == 0) {
			char *slash = strrchr(out, '/');
			end = slash ? slash : out;
		} else if (n != 1 || *path != '.') {
			*end++ = '/';
			memcpy(end, path, n);
			end += n;
		}
		*end = '\0';
		path += n;
	}
	return out;
}

const char *cgroup_path_of(const struct engine *en, const struct container *c, struct arena *a)
{
	const char *parent = str_empty(c->spec->host.cgroup_parent) ? en->conf.cgroup_parent : c->spec->host.cgroup_parent;
	parent = clean(parent, a);
	return parent ? arena_printf(a, "%s/%s", parent, c->id) : NULL;
}

static bool names_controller(const char *list, size_t n, const char *controller)
{
	size_t len = strlen(controller);
	for (const char *p = list; p < list + n; p += strcspn(p, ",:"), p += *p == ',') {
		size_t k = strcspn(p, ",:");
		if (k == len && strncmp(p, controller, k) == 0)
			return true;
		if (p[k] == ':')
			break;
	}
	return false;
}

int cgroup_directory(int64_t pid, const char *controller, char out[static PATH_SIZE], struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	char path[64];
	snprintf(path, sizeof(path), "/proc/%lld/cgroup", (long long)pid);
	try(read_file(path, 65536, &b, e));
	for (const char *p = buf_str(&b); *p;) {
		size_t n = strcspn(p, "\n");
		const char *ctl = memchr(p, ':', n), *dir = ctl ? memchr(ctl + 1, ':', (size_t)(p + n - ctl - 1)) : NULL;
		if (dir) {
			size_t clen = (size_t)(dir - ctl - 1);
			int dlen = (int)(p + n - dir - 1);
			if (*controller ? names_controller(ctl + 1, clen, controller) : clen == 0) {
				snprintf(out, PATH_SIZE, "/sys/fs/cgroup%s%s%.*s", *controller ? "/" : "", controller, dlen, dir + 1);
				return 0;
			}
		}
		p += n + (p[n] == '\n');
	}
	return err_set(e, -ENOENT, "the cgroup of process %lld was not found", (long long)pid);
}

int cgroup_pids(int64_t pid, struct arena *a, pid_t **out, size_t *n, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	char dir[PATH_SIZE], path[PATH_SIZE + 16];
	try(cgroup_directory(pid, cgroup_version() == 2 ? "" : "pids", dir, e));
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	try(read_file(path, 1u << 20, &b, e));
	pid_t *v = arena_new(a, pid_t, b.len / 2 + 1);
	if (!v)
		return err_nomem(e);
	*n = 0;
	for (char *p = b.data; p && *p;) {
		char *end;
		long one = strtol(p, &end, 10);
		if (end == p)
			break;
		v[(*n)++] = (pid_t)one;
		p = end + strspn(end, "\n");
	}
	*out = v;
	return 0;
}
