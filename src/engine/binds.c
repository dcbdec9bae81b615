/* Where the mounts of a container come from: missing sources of -v are made, those of --mount are refused, volumes are looked up. What is below a
 * volume may be anything a container wrote: a part of one is opened here without leaving the volume, and bound to <bundle>/part<n>, which the runtime gets. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "engine/binds.h"
#include "engine/volume.h"

#define MOUNTINFO_MAX (16u << 20)

static int bind_part(const char *at, int fd, struct err *e)
{
	char self[32];
	struct stat st;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0)
		return err_errno(e, -errno, "look at %s", at);
	OWN(own_fd) int file = S_ISDIR(st.st_mode) ? -1 : open(at, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if ((S_ISDIR(st.st_mode) ? mkdir(at, 0700) : file) < 0 || mount(self, at, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_errno(e, -errno, "mount %s", at);
	return 0;
}

static int volume_part(const char *bundle, size_t i, const struct mount_point *m, struct arena *a, const char **volume, struct err *e)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	OWN(own_fd) int at = open(*volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
	OWN(own_fd) int fd = at < 0 ? -1 : (int)syscall(SYS_openat2, at, m->subpath, &how, sizeof(how));
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? err_as(e, ERR_INVALID, "cannot access path %s of volume %s: no such file or directory", m->subpath, m->name)
							    : err_errno(e, -errno, "open %s of volume %s", m->subpath, m->name);
	*volume = arena_printf(a, "%s/part%zu", bundle, i);
	return *volume ? bind_part(*volume, fd, e) : err_nomem(e);
}

/* The mount that a path lies on: its place, and the optional fields of its line, which tell whether it is shared. */
static bool mount_of(const char *path, char *text, const char **place, const char **fields)
{
	size_t best = 0;
	char *save = NULL;
	*fields = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *dash = strstr(line, " - "), *at = line;
		for (int i = 0; at && i < 4; i++)
			at = (at = strchr(at, ' ')) ? at + 1 : NULL;
		char *end = at ? strchr(at, ' ') : NULL;
		if (!dash || !end || end > dash)
			continue;
		*end = *dash = '\0';
		size_t n = strlen(at);
		bool below = streq(at, "/") || (strncmp(path, at, n) == 0 && (path[n] == '/' || path[n] == '\0'));
		if (below && n >= best) { /* a later line lies on an earlier one */
			best = n;
			*place = at;
			*fields = end + 1;
		}
	}
	return *fields != NULL;
}

static int check_propagation(const struct mount_point *m, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	char real[PATH_MAX];
	const char *place, *fields;
	bool shared = strstr(m->propagation, "shared"), slave = strstr(m->propagation, "slave");
	if (!shared && !slave)
		return 0;
	try(read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &text, e));
	if (!realpath(m->source, real))
		return err_errno(e, -errno, "find %s", m->source);
	if (!mount_of(real, text.data, &place, &fields))
		return err_set(e, -ENOENT, "the mount of %s was not found", real);
	bool is_shared = strstr(fields, "shared:"), is_slave = strstr(fields, "master:");
	if (shared && !is_shared)
		return err_set(e, -EINVAL, "path %s is mounted on %s but it is not a shared mount", m->source, place);
	if (slave && !is_shared && !is_slave)
		return err_set(e, -EINVAL, "path %s is mounted on %s but it is not a shared or slave mount", m->source, place);
	return 0;
}

static int need_source(const struct mount_point *m, struct err *e)
{
	if (m->make_source || access(m->source, F_OK) == 0)
		return 0;
	return err_as(e, ERR_INVALID, "invalid mount config for type \"bind\": bind source path does not exist: %s", m->source);
}

int engine_binds_check(const struct container_spec *s, struct err *e)
{
	const struct mount_point *m = s->mount_points.v;
	for (size_t i = 0; i < s->mount_points.n; i++)
		if (streq(m[i].type, "bind"))
			try(need_source(&m[i], e));
	return 0;
}

static int bind_source(const struct mount_point *m, struct err *e)
{
	try(need_source(m, e));
	if (access(m->source, F_OK) < 0 && mkdir_p(m->source, 0755, e) < 0)
		return err_ctx(e, "error while creating mount source path '%s'", m->source);
	return check_propagation(m, e);
}

/* A runtime may set the flags of a bind anew: what is read-only or nosuid where it comes from must be so in the container. */
static const char *flags_of(const char *path, struct arena *a)
{
	struct statvfs st;
	if (statvfs(path, &st) < 0)
		return "";
	return arena_printf(a, "%s%s%s%s", st.f_flag & ST_RDONLY ? ",ro" : "", st.f_flag & ST_NOSUID ? ",nosuid" : "", st.f_flag & ST_NODEV ? ",nodev" : "", st.f_flag & ST_NOEXEC ? ",noexec" : "");
}

int binds_prepare(struct engine *en, const struct container *c, struct arena *a, const struct bind_from **out, struct err *e)
{
	char bundle[PATH_SIZE];
	const struct mount_point *m = c->spec->mount_points.v;
	size_t n = c->spec->mount_points.n;
	struct bind_from *v = arena_new(a, struct bind_from, n + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		if (streq(m[i].type, "tmpfs"))
			continue;
		bool volume = streq(m[i].type, "volume");
		v[i].path = volume ? engine_volume_path(en, m[i].name, a) : m[i].source;
		if (!v[i].path)
			return err_nomem(e);
		if (!volume)
			try(bind_source(&m[i], e));
		else if (access(v[i].path, F_OK) < 0)
			return err_set(e, -ENOENT, "the directory of volume %s is missing: %s", m[i].name, v[i].path);
		if (volume && !str_empty(m[i].subpath))
			try(volume_part(path_bundle(en, c->id, bundle), i, &m[i], a, &v[i].path, e));
		v[i].flags = flags_of(v[i].path, a);
		if (!v[i].flags)
			return err_nomem(e);
	}
	*out = v;
	return 0;
}

const char *path_shm(const struct engine *en, const char *id, char out[static PATH_SIZE + 8])
{
	char bundle[PATH_SIZE];
	snprintf(out, PATH_SIZE + 8, "%s/shm", path_bundle(en, id, bundle));
	return out;
}

/* A /dev/shm that another container may join has to be the host's mount: one of the container's own name space cannot be bound elsewhere. */
int shm_make(struct engine *en, const struct container *c, struct err *e)
{
	char path[PATH_SIZE + 8], options[64];
	if (!streq(c->spec->host.ipc_mode, "shareable"))
		return 0;
	snprintf(options, sizeof(options), "mode=1777,size=%lld", (long long)c->spec->host.shm_size);
	try(mkdir_p(path_shm(en, c->id, path), 0700, e));
	return mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0 ? err_errno(e, -errno, "mount %s", path) : 0;
}

int bundle_umount(struct engine *en, const char *id, struct err *e)
{
	char bundle[PATH_SIZE], path[PATH_SIZE + 256];
	const struct dirent *x;
	OWN(own_dir) DIR *d = opendir(path_bundle(en, id, bundle));
	while (d && (x = readdir(d))) {
		if (!streq(x->d_name, "shm") && !str_starts(x->d_name, "part"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", bundle, x->d_name);
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
			return err_errno(e, -errno, "unmount %s", path);
	}
	return 0;
}
