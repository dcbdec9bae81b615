#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "base/fd.h"
#include "engine/engine_int.h"

int cgroup_version(void)
{
	struct statfs fs;
	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC ? 2 : 1;
}

const char *cgroup_path_of(const struct engine *en, const struct container *c, struct arena *a)
{
	const char *parent = str_empty(c->spec->host.cgroup_parent) ? en->conf.cgroup_parent : c->spec->host.cgroup_parent;
	return arena_printf(a, "%s%s/%s", *parent == '/' ? "" : "/", parent, c->id);
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
