#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "engine/binds.h"
#include "model/mounts.h"

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
	else if (in->shm)
		add(j, "bind", in->shm, "/dev/shm", "bind,nosuid,noexec,nodev");
	else if (!h->ipc_mode || !streq(h->ipc_mode, "none"))
		add(j, "tmpfs", "shm", "/dev/shm", arena_printf(a, "nosuid,noexec,nodev,mode=1777,size=%lld", (long long)h->shm_size));
}

static bool shadows(const struct container *c, const char *target)
{
	const struct mount_point *m = c->spec->mount_points.v;
	for (size_t i = 0; i < c->spec->mount_points.n; i++)
		if (streq(m[i].destination, target))
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

static const char *bind_options(const struct mount_point *m, const char *flags, struct arena *a)
{
	const char *propagation = str_empty(m->propagation) ? "rprivate" : m->propagation;
	/* Not "rw": that would make a source writable that is mounted read-only. */
	return arena_printf(a, "%s%s%s,%s", m->flat ? "bind" : "rbind", m->rw ? "" : m->deep_ro ? ",rro" : ",ro", flags, propagation);
}

/* What the user says replaces the opposite: runtimes do not all take the last word of two. */
static const char *tmpfs_options(const char *first, const char *own, struct arena *a)
{
	own += *own == ',';
	return arena_printf(a, "%s%s%s%s%s%s%s", mode_has(own, "exec") ? "" : "noexec,", mode_has(own, "suid") ? "" : "nosuid,", mode_has(own, "dev") ? "" : "nodev,", first, *first ? "," : "", own,
		*own ? "" : "rw");
}

static void mount_points(json_t *j, const struct oci_in *in, struct arena *a)
{
	const struct mount_point *m = in->run->c->spec->mount_points.v;
	const struct host_config *h = &in->run->c->spec->host;
	for (size_t i = 0; i < in->run->c->spec->mount_points.n; i++) {
		if (streq(m[i].type, "tmpfs"))
			add(j, "tmpfs", "tmpfs", m[i].destination, tmpfs_options(m[i].rw ? "" : "ro", m[i].options ? m[i].options : "", a));
		else
			add(j, "bind", in->sources ? in->sources[i].path : m[i].source, m[i].destination, bind_options(&m[i], in->sources ? in->sources[i].flags : "", a));
	}
	for (size_t i = 0; i < h->tmpfs.n; i++)
		add(j, "tmpfs", "tmpfs", h->tmpfs.v[i].key, tmpfs_options("", h->tmpfs.v[i].value, a));
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
		mount_points(others, in, a);
		j = in_order(std, others);
	}
	if (!j)
		err_nomem(e);
	return j;
}
