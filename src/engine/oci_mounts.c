#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "engine/engine_int.h"

/* options: comma separated */
static void add(json_t *list, const char *type, const char *source, const char *dest, const char *options)
{
	json_t *o = json_array();
	while (*options) {
		size_t n = strcspn(options, ",");
		json_array_append_new(o, json_stringn(options, n));
		options += n + (options[n] == ',');
	}
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "destination", dest, "type", type, "source", source, "options", o));
}

static void standard(json_t *j, const struct oci_in *in, struct arena *a)
{
	const struct host_config *h = &in->run->c->spec->host;
	bool p = h->privileged;
	add(j, "proc", "proc", "/proc", "nosuid,noexec,nodev");
	add(j, "tmpfs", "tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k");
	add(j, "devpts", "devpts", "/dev/pts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	if (in->run->netns_path)
		add(j, "sysfs", "sysfs", "/sys", p ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro");
	else /* sysfs belongs to a network namespace: the host's is bound */
		add(j, "bind", "/sys", "/sys", p ? "rbind,nosuid,noexec,nodev" : "rbind,nosuid,noexec,nodev,ro");
	if (in->run->netns_path)
		add(j, "cgroup", "cgroup", "/sys/fs/cgroup", p ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro");
	add(j, "mqueue", "mqueue", "/dev/mqueue", "nosuid,noexec,nodev");
	if (h->ipc_mode && streq(h->ipc_mode, "host"))
		add(j, "bind", "/dev/shm", "/dev/shm", "rbind");
	else if (!h->ipc_mode || !streq(h->ipc_mode, "none"))
		add(j, "tmpfs", "shm", "/dev/shm", arena_printf(a, "nosuid,noexec,nodev,mode=1777,size=%lld", (long long)h->shm_size));
}

static bool shadows(const struct container *c, const char *target)
{
	const struct host_config *h = &c->spec->host;
	const struct mount_spec *m = h->mounts.v;
	size_t n = strlen(target);
	for (size_t i = 0; i < h->binds.n; i++) {
		const char *dst = strchr(h->binds.v[i], ':');
		if (dst && strncmp(dst + 1, target, n) == 0 && (dst[1 + n] == '\0' || dst[1 + n] == ':'))
			return true;
	}
	for (size_t i = 0; i < h->mounts.n; i++)
		if (m[i].target && streq(m[i].target, target))
			return true;
	return false;
}

static void network_files(json_t *j, const struct oci_in *in)
{
	const struct engine_run *r = in->run;
	const char *const files[][2] = {{r->resolv, "/etc/resolv.conf"}, {r->hostname, "/etc/hostname"}, {r->hosts, "/etc/hosts"}};
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (files[i][0] && access(files[i][0], F_OK) == 0 && !shadows(r->c, files[i][1]))
			add(j, "bind", files[i][0], files[i][1], "rbind,rprivate");
}

/* "ro,z,rshared" of a bind: rw or ro, a propagation mode; SELinux letters and consistency words mean nothing here. */
static const char *bind_options(const char *mode, struct arena *a)
{
	static const char *const propagation[] = {"rprivate", "private", "rshared", "shared", "rslave", "slave"};
	const char *prop = "rprivate", *rw = "rw", *recursive = "rbind";
	while (*mode) {
		size_t n = strcspn(mode, ",");
		if (n == 2 && strncmp(mode, "ro", 2) == 0)
			rw = "ro";
		for (size_t i = 0; i < ARRAY_LEN(propagation); i++)
			if (strlen(propagation[i]) == n && strncmp(mode, propagation[i], n) == 0)
				prop = propagation[i];
		mode += n + (mode[n] == ',');
	}
	return arena_printf(a, "%s,%s,%s", recursive, rw, prop);
}

static void user_binds(json_t *j, const struct host_config *h, struct arena *a)
{
	for (size_t i = 0; i < h->binds.n; i++) {
		const char *s = h->binds.v[i], *dst = strchr(s, ':'), *mode = dst ? strchr(dst + 1, ':') : NULL;
		if (!dst)
			continue;
		add(j, "bind", arena_dupn(a, s, (size_t)(dst - s)), arena_dupn(a, dst + 1, mode ? (size_t)(mode - dst - 1) : strlen(dst + 1)), bind_options(mode ? mode + 1 : "", a));
	}
}

static const char *tmpfs_options(const struct mount_spec *m, struct arena *a)
{
	OWN(own_json) json_t *o = m->tmpfs ? json_loads(m->tmpfs, 0, NULL) : NULL;
	const json_t *size = json_object_get(o, "SizeBytes"), *mode = json_object_get(o, "Mode");
	const char *s = m->read_only ? "noexec,nosuid,nodev,ro" : "noexec,nosuid,nodev";
	if (json_integer_value(size))
		s = arena_printf(a, "%s,size=%lld", s, (long long)json_integer_value(size));
	return json_integer_value(mode) ? arena_printf(a, "%s,mode=%llo", s, (long long)json_integer_value(mode)) : s;
}

static void user_mounts(json_t *j, const struct host_config *h, struct arena *a)
{
	const struct mount_spec *m = h->mounts.v;
	for (size_t i = 0; i < h->mounts.n; i++) {
		if (streq(m[i].type, "tmpfs")) {
			add(j, "tmpfs", "tmpfs", m[i].target, tmpfs_options(&m[i], a));
			continue;
		}
		OWN(own_json) json_t *o = m[i].bind ? json_loads(m[i].bind, 0, NULL) : NULL;
		const char *prop = json_string_value(json_object_get(o, "Propagation"));
		add(j, "bind", m[i].source, m[i].target, bind_options(arena_printf(a, "%s,%s", m[i].read_only ? "ro" : "rw", prop ? prop : "rprivate"), a));
	}
	for (size_t i = 0; i < h->tmpfs.n; i++)
		add(j, "tmpfs", "tmpfs", h->tmpfs.v[i].key, arena_printf(a, "noexec,nosuid,nodev%s%s", *h->tmpfs.v[i].value ? "," : "", h->tmpfs.v[i].value));
}

static const char *destination(const json_t *m)
{
	return json_string_value(json_object_get(m, "destination"));
}

static size_t depth(const char *path)
{
	size_t n = 0;
	for (; *path; path++)
		n += *path != '/' && (path[1] == '/' || path[1] == '\0');
	return n;
}

static bool overridden(const json_t *standard_mount, const json_t *by)
{
	size_t i;
	json_t *m;
	const char *dst = destination(standard_mount);
	json_array_foreach(by, i, m)
		if (streq(destination(m), dst) || (streq(destination(m), "/dev") && str_starts(dst, "/dev/")))
			return true;
	return false;
}

/* The standard mounts that the user did not replace, then all others, those nearer to the root first: a mount must not hide one that was made below it. */
static json_t *in_order(const json_t *std, const json_t *others)
{
	size_t i, left = json_array_size(others);
	json_t *m, *j = json_array();
	json_array_foreach(std, i, m)
		if (!overridden(m, others))
			json_array_append(j, m);
	for (size_t d = 0; left; d++) {
		json_array_foreach(others, i, m) {
			if (depth(destination(m)) != d)
				continue;
			json_array_append(j, m);
			left--;
		}
	}
	return j;
}

json_t *oci_mounts(const struct oci_in *in, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *std = json_array(), *others = json_array();
	json_t *j = NULL;
	if (std && others) {
		standard(std, in, a);
		network_files(others, in);
		if (*in->init)
			add(others, "bind", in->init, "/sbin/docker-init", "bind,ro");
		user_binds(others, &in->run->c->spec->host, a);
		user_mounts(others, &in->run->c->spec->host, a);
		j = in_order(std, others);
	}
	if (!j)
		err_nomem(e);
	return j;
}

int bind_prepare(const struct container *c, struct err *e)
{
	const struct host_config *h = &c->spec->host;
	const struct mount_spec *m = h->mounts.v;
	for (size_t i = 0; i < h->binds.n; i++) {
		char source[PATH_SIZE];
		size_t n = strcspn(h->binds.v[i], ":");
		if (n >= sizeof(source))
			return err_as(e, ERR_INVALID, "invalid volume specification: '%.200s...': the path is too long", h->binds.v[i]);
		memcpy(source, h->binds.v[i], n);
		source[n] = '\0';
		if (access(source, F_OK) < 0 && mkdir_p(source, 0755, e) < 0)
			return err_ctx(e, "error while creating mount source path '%s'", source);
	}
	for (size_t i = 0; i < h->mounts.n; i++)
		if (streq(m[i].type, "bind") && access(m[i].source, F_OK) < 0)
			return err_as(e, ERR_INVALID, "invalid mount config for type \"bind\": bind source path does not exist: %s", m[i].source);
	return 0;
}
