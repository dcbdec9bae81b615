/* The OCI runtime configuration (runtime-spec 1.0) of a container: Docker's defaults, as values. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/units.h"
#include "engine/engine_int.h"
#include "model/mounts.h"

static const char *const default_caps[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"};
static const char *const all_caps[] = {"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_CHOWN", "CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN",
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT",
	"CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM"};

static bool names_cap(const struct strv *l, const char *cap)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *s = l->v[i];
		if (strcasecmp(s, cap) == 0 || strcasecmp(s, cap + strlen("CAP_")) == 0)
			return true;
	}
	return false;
}

static bool names_all(const struct strv *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcasecmp(l->v[i], "ALL") == 0 || strcasecmp(l->v[i], "CAP_ALL") == 0)
			return true;
	return false;
}

bool oci_wants_all_caps(const struct host_config *h, bool privileged)
{
	return privileged || names_all(&h->cap_add);
}

static bool is_default(const char *cap)
{
	for (size_t i = 0; i < ARRAY_LEN(default_caps); i++)
		if (streq(default_caps[i], cap))
			return true;
	return false;
}

json_t *oci_capabilities(const struct host_config *h, bool privileged)
{
	json_t *j = json_array();
	bool add_all = privileged || names_all(&h->cap_add), drop_all = names_all(&h->cap_drop);
	for (size_t i = 0; j && i < ARRAY_LEN(all_caps); i++) {
		const char *cap = all_caps[i];
		bool has = add_all || (is_default(cap) && !drop_all) || names_cap(&h->cap_add, cap);
		if (!privileged && names_cap(&h->cap_drop, cap))
			has = false;
		if (has)
			json_array_append_new(j, json_string(cap));
	}
	return j;
}

static json_t *texts(const struct strv *l)
{
	json_t *j = json_array();
	for (size_t i = 0; j && i < l->n; i++)
		json_array_append_new(j, json_string_nocheck(l->v[i]));
	return j;
}

static json_t *rlimits(const struct host_config *h)
{
	json_t *j = json_array();
	const struct ulimit *u = h->ulimits.v;
	for (size_t i = 0; i < h->ulimits.n; i++) {
		char type[64] = "RLIMIT_";
		for (size_t k = 0; u[i].name[k] && k < 40; k++) {
			char c = u[i].name[k];
			type[7 + k] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
			type[8 + k] = '\0';
		}
		json_array_append_new(j, json_pack("{s:s, s:I, s:I}", "type", type, "hard", (json_int_t)u[i].hard, "soft", (json_int_t)u[i].soft));
	}
	return j;
}

static bool option_is(const struct strv *opts, const char *key, const char **value)
{
	size_t n = strlen(key);
	for (size_t i = 0; i < opts->n; i++) {
		if (strncmp(opts->v[i], key, n) != 0 || (opts->v[i][n] && opts->v[i][n] != '=' && opts->v[i][n] != ':'))
			continue;
		*value = opts->v[i][n] ? opts->v[i] + n + 1 : "";
		return true;
	}
	return false;
}

static bool no_new_privileges(const struct host_config *h)
{
	const char *v;
	bool on = true; /* without a value */
	return option_is(&h->security_opt, "no-new-privileges", &v) && (units_parse_bool(v, &on) < 0 || on);
}

static bool env_has(const struct strv *env, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return true;
	return false;
}

/* PATH, HOSTNAME, TERM and HOME unless the image or user sets them; a name without "=" is dropped, as Docker does for unset ones. */
static json_t *environment(const struct oci_in *in, const struct strv *env)
{
	json_t *j = json_array();
	if (!env_has(env, "PATH"))
		json_array_append_new(j, json_string("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	if (!env_has(env, "HOSTNAME"))
		json_array_append_new(j, json_sprintf("HOSTNAME=%s", in->run->uts_hostname));
	if (in->terminal && !env_has(env, "TERM"))
		json_array_append_new(j, json_sprintf("TERM=%s", in->terminal));
	for (size_t i = 0; i < env->n; i++)
		if (strchr(env->v[i], '='))
			json_array_append_new(j, json_string_nocheck(env->v[i]));
	if (!env_has(env, "HOME"))
		json_array_append_new(j, json_sprintf("HOME=%s", in->home));
	return j;
}

json_t *oci_process(const struct oci_in *in, const struct strv *args, const struct strv *env, const char *cwd, bool tty, bool privileged, struct arena *a)
{
	const struct host_config *h = &in->run->c->spec->host;
	json_t *groups = json_array(), *caps = oci_capabilities(h, privileged), *user;
	(void)a;
	/* The primary group is among the others: a program that drops it (setgid) must not thereby gain what is closed to that group. */
	json_array_append_new(groups, json_integer(in->gid));
	for (size_t i = 0; groups && i < in->ngroups; i++)
		if (in->groups[i] != in->gid)
			json_array_append_new(groups, json_integer(in->groups[i]));
	user = json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)in->uid, "gid", (json_int_t)in->gid, "additionalGids", groups);
	json_t *sets = json_pack("{s:O, s:O}", "bounding", caps, "permitted", caps);
	json_object_set(sets, "effective", caps);
	json_decref(caps);
	json_t *p = json_pack("{s:b, s:o, s:o, s:o, s:s, s:o, s:b, s:I, s:o}", "terminal", tty, "user", user, "args", texts(args), "env", environment(in, env), "cwd", str_empty(cwd) ? "/" : cwd, "capabilities",
		sets, "noNewPrivileges", no_new_privileges(h), "oomScoreAdj", (json_int_t)h->oom_score_adj, "rlimits", rlimits(h));
	if (p && in->uid != 0) {
		/* A user other than root starts with what file capabilities give it: only the bounding set stays. */
		json_t *s = json_object_get(p, "capabilities");
		json_object_del(s, "permitted");
		json_object_del(s, "effective");
	}
	if (p && tty && h->console_h > 0 && h->console_w > 0)
		json_object_set_new(p, "consoleSize", json_pack("{s:I, s:I}", "height", (json_int_t)h->console_h, "width", (json_int_t)h->console_w));
	return p;
}

static void set_int(json_t *o, const char *key, int64_t v)
{
	if (v)
		json_object_set_new(o, key, json_integer(v));
}

static void set_text(json_t *o, const char *key, const char *v)
{
	if (!str_empty(v))
		json_object_set_new(o, key, json_string_nocheck(v));
}

static void allow(json_t *list, const char *type, int major, int minor, const char *access)
{
	json_t *d = json_pack("{s:b, s:s, s:s}", "allow", 1, "type", type, "access", access);
	if (major >= 0)
		json_object_set_new(d, "major", json_integer(major));
	if (minor >= 0)
		json_object_set_new(d, "minor", json_integer(minor));
	json_array_append_new(list, d);
}

static json_t *device_rules(const struct host_config *h)
{
	static const int nodes[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}};
	json_t *j = json_array();
	if (h->privileged) {
		json_array_append_new(j, json_pack("{s:b, s:s}", "allow", 1, "access", "rwm"));
		return j;
	}
	json_array_append_new(j, json_pack("{s:b, s:s}", "allow", 0, "access", "rwm"));
	allow(j, "c", -1, -1, "m");
	allow(j, "b", -1, -1, "m");
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
		allow(j, "c", nodes[i][0], nodes[i][1], "rwm");
	allow(j, "c", 136, -1, "rwm");
	for (size_t i = 0; i < h->device_cgroup_rules.n; i++) {
		char type, major[12], minor[12], access[4];
		if (sscanf(h->device_cgroup_rules.v[i], "%c %11[0-9*]:%11[0-9*] %3s", &type, major, minor, access) == 4)
			allow(j, (char[]){type, '\0'}, *major == '*' ? -1 : atoi(major), *minor == '*' ? -1 : atoi(minor), access);
	}
	return j;
}

json_t *oci_resources(const struct host_config *h, int version)
{
	json_t *mem = json_object(), *cpu = json_object(), *r = json_pack("{s:o}", "devices", device_rules(h));
	int64_t quota = h->cpu_quota, period = h->cpu_period;
	if (h->nano_cpus) {
		period = 100000;
		quota = h->nano_cpus / (1000000000 / 100000);
	}
	set_int(mem, "limit", h->memory);
	set_int(mem, "reservation", h->memory_reservation);
	/* Without a value Docker allows as much swap again as memory. */
	set_int(mem, "swap", h->memory_swap ? h->memory_swap : h->memory ? h->memory * 2 : 0);
	if (h->memory_swappiness >= 0 && version == 1)
		json_object_set_new(mem, "swappiness", json_integer(h->memory_swappiness));
	if (h->oom_kill_disable == 1 && version == 1)
		json_object_set_new(mem, "disableOOMKiller", json_true());
	set_int(cpu, "shares", h->cpu_shares);
	set_int(cpu, "quota", quota);
	set_int(cpu, "period", period);
	set_int(cpu, "realtimePeriod", h->cpu_rt_period);
	set_int(cpu, "realtimeRuntime", h->cpu_rt_runtime);
	set_text(cpu, "cpus", h->cpuset_cpus);
	set_text(cpu, "mems", h->cpuset_mems);
	if (json_object_size(mem))
		json_object_set(r, "memory", mem);
	if (json_object_size(cpu))
		json_object_set(r, "cpu", cpu);
	json_decref(mem);
	json_decref(cpu);
	if (h->pids_limit > 0) /* -1: none, as a new cgroup has none */
		json_object_set_new(r, "pids", json_pack("{s:I}", "limit", (json_int_t)h->pids_limit));
	return r;
}

/* The nodes of --device, each with the access that was asked for. */
static void allow_devices(json_t *rules, const struct host_config *h, const json_t *devices)
{
	const struct device_mapping *d = h->devices.v;
	for (size_t i = 0; i < h->devices.n && i < json_array_size(devices); i++) {
		const json_t *node = json_array_get(devices, i);
		allow(rules, json_string_value(json_object_get(node, "type")), (int)json_integer_value(json_object_get(node, "major")), (int)json_integer_value(json_object_get(node, "minor")),
			str_empty(d[i].perms) ? "rwm" : d[i].perms);
	}
}

static void add_ns(json_t *list, const char *type, const char *path)
{
	json_t *n = json_pack("{s:s}", "type", type);
	set_text(n, "path", path);
	json_array_append_new(list, n);
}

static bool mode_host(const char *m)
{
	return m && streq(m, "host");
}

static json_t *namespaces(const struct oci_in *in, struct arena *a)
{
	const struct host_config *h = &in->run->c->spec->host;
	json_t *j = json_array();
	add_ns(j, "mount", NULL);
	if (in->run->netns_path)
		add_ns(j, "network", in->run->netns_path);
	if (!mode_host(h->uts_mode))
		add_ns(j, "uts", NULL);
	if (in->run->join_pid.pid)
		add_ns(j, "pid", arena_printf(a, "/proc/%lld/ns/pid", (long long)in->run->join_pid.pid));
	else if (!mode_host(h->pid_mode))
		add_ns(j, "pid", NULL);
	if (in->run->join_ipc.pid)
		add_ns(j, "ipc", arena_printf(a, "/proc/%lld/ns/ipc", (long long)in->run->join_ipc.pid));
	else if (!mode_host(h->ipc_mode))
		add_ns(j, "ipc", NULL);
	bool private = str_empty(h->cgroupns_mode) ? in->cgroup_version == 2 : !mode_host(h->cgroupns_mode);
	if (private)
		add_ns(j, "cgroup", NULL);
	return j;
}

static json_t *sysctls(const struct oci_in *in)
{
	const struct host_config *h = &in->run->c->spec->host;
	json_t *j = json_object();
	const char *net = h->network_mode;
	if (in->run->netns_path && !str_starts(net ? net : "", "container:")) {
		json_object_set_new(j, "net.ipv4.ip_unprivileged_port_start", json_string("0"));
		json_object_set_new(j, "net.ipv4.ping_group_range", json_string("0 2147483647"));
	}
	/* The NIS domain; in the host's UTS namespace it would be the host's. */
	if (!str_empty(in->run->c->spec->config.domainname) && !mode_host(h->uts_mode))
		json_object_set_new(j, "kernel.domainname", json_string_nocheck(in->run->c->spec->config.domainname));
	for (size_t i = 0; i < h->sysctls.n; i++)
		json_object_set_new(j, h->sysctls.v[i].key, json_string_nocheck(h->sysctls.v[i].value));
	return j;
}

/* Mount events can come in through a bind only if they can come into the root it is on. */
static const char *root_propagation(const struct container *c)
{
	const struct mount_point *m = c->spec->mount_points.v;
	const char *p = "rprivate";
	for (size_t i = 0; i < c->spec->mount_points.n; i++) {
		if (m[i].propagation && strstr(m[i].propagation, "shared"))
			return "shared";
		if (m[i].propagation && strstr(m[i].propagation, "slave"))
			p = "rslave";
	}
	return p;
}

static json_t *linux_part(const struct oci_in *in, struct arena *a, struct err *e)
{
	const struct host_config *h = &in->run->c->spec->host;
	json_t *caps = oci_capabilities(h, h->privileged);
	json_t *seccomp = oci_seccomp(h, in->seccomp, caps, e);
	json_decref(caps);
	if (!seccomp)
		return NULL;
	json_t *j = json_pack("{s:s, s:o, s:o, s:o, s:s}", "cgroupsPath", in->cgroup_path, "namespaces", namespaces(in, a), "resources", oci_resources(h, in->cgroup_version), "sysctl", sysctls(in),
		"rootfsPropagation", root_propagation(in->run->c));
	if (!json_is_null(seccomp))
		json_object_set(j, "seccomp", seccomp);
	json_decref(seccomp);
	if (!h->privileged) {
		json_object_set_new(j, "maskedPaths", texts(&h->masked_paths));
		json_object_set_new(j, "readonlyPaths", texts(&h->readonly_paths));
	}
	json_t *devices = oci_devices(h, e);
	if (!devices || oci_block_io(h, json_object_get(j, "resources"), e) < 0) {
		json_decref(devices);
		json_decref(j);
		return NULL;
	}
	if (!h->privileged)
		allow_devices(json_object_get(json_object_get(j, "resources"), "devices"), h, devices);
	json_object_set_new(j, "devices", devices);
	return j;
}

json_t *oci_config(const struct oci_in *in, struct arena *a, struct err *e)
{
	const struct container *c = in->run->c;
	const struct config *cf = &c->spec->config;
	struct strv args = {0};
	if (*in->init) {
		strv_add(a, &args, "/sbin/docker-init");
		strv_add(a, &args, "--");
	}
	for (size_t i = 0; i < c->args->n; i++)
		strv_add(a, &args, c->args->v[i]);
	json_t *mounts = oci_mounts(in, a, e), *lin = mounts ? linux_part(in, a, e) : NULL;
	if (!lin || a->bad) {
		json_decref(mounts);
		json_decref(lin);
		if (e && !e->code)
			err_nomem(e);
		return NULL;
	}
	json_t *j = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2", "process",
		oci_process(in, &args, &cf->env, cf->working_dir, cf->tty, c->spec->host.privileged, a), "root", "path", in->root, "readonly", c->spec->host.readonly_rootfs, "hostname",
		in->run->uts_hostname, "mounts", mounts, "linux", lin);
	for (size_t i = 0; j && i < c->spec->host.annotations.n; i++) {
		if (i == 0)
			json_object_set_new(j, "annotations", json_object());
		json_object_set_new_nocheck(json_object_get(j, "annotations"), c->spec->host.annotations.v[i].key, json_string_nocheck(c->spec->host.annotations.v[i].value));
	}
	if (j && mode_host(c->spec->host.uts_mode))
		json_object_del(j, "hostname");
	return j;
}

/* A limit of -1, none, becomes the largest number of the specification's unsigned 64 bits, which jansson does not have: runc refuses less than 0. In texts of
 * users these words have their quotes escaped, and are left alone. */
char *oci_text(const json_t *j)
{
	static const char none[] = "\":-1";
	OWN(own_free) char *text = json_text(j);
	OWN(own_buf) struct buf b = {0};
	const char *done = text, *p = text;
	while (p && (p = strstr(p, none))) {
		p += strlen(none);
		const char *key = p - strlen("\"hard\":-1");
		if (key < text || (strncmp(key, "\"hard", 5) != 0 && strncmp(key, "\"soft", 5) != 0) || (*p != ',' && *p != '}'))
			continue;
		buf_put(&b, done, (size_t)(p - done) - 2);
		buf_puts(&b, "18446744073709551615");
		done = p;
	}
	if (!text)
		return NULL;
	buf_puts(&b, done);
	return b.bad ? NULL : buf_steal(&b);
}
