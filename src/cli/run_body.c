#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/limits_body.h"

const struct flag run_flags[RUN_FLAGS] = {
	{"detach", 'd', NULL, "Run in the background and print the ID"},
	{"detach-keys", 0, "string", "Key sequence for detaching"},
	{"sig-proxy", 0, NULL, "Pass signals on to the process (default true)"},
	/* from here on create has them too */
	{"add-host", 0, "list", "Add a line to /etc/hosts (host:ip)"},
	{"annotation", 0, "map", "Set annotations of the OCI configuration"},
	{"attach", 'a', "list", "Attach to STDIN, STDOUT or STDERR"},
	{"blkio-weight", 0, "int", "Block IO weight (10 to 1000)"},
	{"blkio-weight-device", 0, "list", "Block IO weight of a device (/dev/sda:500)"},
	{"cap-add", 0, "list", "Add Linux capabilities"},
	{"cap-drop", 0, "list", "Drop Linux capabilities"},
	{"cgroup-parent", 0, "string", "Parent cgroup"},
	{"cgroupns", 0, "string", "Cgroup namespace (host|private)"},
	{"cidfile", 0, "string", "Write the container's ID to this file"},
	{"cpu-period", 0, "int", "CPU CFS period (microseconds)"},
	{"cpu-quota", 0, "int", "CPU CFS quota (microseconds)"},
	{"cpu-rt-period", 0, "int", "CPU real-time period (microseconds)"},
	{"cpu-rt-runtime", 0, "int", "CPU real-time runtime (microseconds)"},
	{"cpu-shares", 'c', "int", "CPU shares (relative weight)"},
	{"cpus", 0, "decimal", "Number of CPUs"},
	{"cpuset-cpus", 0, "string", "CPUs to run on (0-3, 0,1)"},
	{"cpuset-mems", 0, "string", "Memory nodes to use (0-3, 0,1)"},
	{"device", 0, "list", "Give a device of the host to the container"},
	{"device-cgroup-rule", 0, "list", "Rule for the devices cgroup"},
	{"device-read-bps", 0, "list", "Limit of bytes read a second (/dev/sda:1mb)"},
	{"device-read-iops", 0, "list", "Limit of reads a second (/dev/sda:1000)"},
	{"device-write-bps", 0, "list", "Limit of bytes written a second"},
	{"device-write-iops", 0, "list", "Limit of writes a second"},
	{"disable-content-trust", 0, NULL, NULL},
	{"dns", 0, "list", "DNS servers"},
	{"dns-option", 0, "list", "DNS options"},
	{"dns-search", 0, "list", "DNS search domains"},
	{"domainname", 0, "string", "NIS domain name"},
	{"entrypoint", 0, "string", "Replace the image's ENTRYPOINT"},
	{"env", 'e', "list", "Set environment variables"},
	{"env-file", 0, "list", "Read environment variables from a file"},
	{"expose", 0, "list", "Expose a port or a range"},
	{"group-add", 0, "list", "Further groups"},
	{"health-cmd", 0, "string", "Command of the health check"},
	{"health-interval", 0, "duration", "Time between checks (default 30s)"},
	{"health-retries", 0, "int", "Failures in a row that make it unhealthy (default 3)"},
	{"health-start-interval", 0, "duration", "Time between checks in the start period (default 5s)"},
	{"health-start-period", 0, "duration", "Time in which failures do not count"},
	{"health-timeout", 0, "duration", "Time that a check may take (default 30s)"},
	{"hostname", 'h', "string", "Host name"},
	{"init", 0, NULL, "Run an init that forwards signals and reaps processes"},
	{"interactive", 'i', NULL, "Keep STDIN open"},
	{"ip", 0, "string", "IPv4 address"},
	{"ip6", 0, "string", "IPv6 address"},
	{"ipc", 0, "string", "IPC mode"},
	{"isolation", 0, "string", NULL},
	{"label", 'l', "list", "Set labels"},
	{"label-file", 0, "list", "Read labels from a file"},
	{"link", 0, "list", "Link to another container"},
	{"link-local-ip", 0, "list", "Link-local addresses"},
	{"log-driver", 0, "string", "Logging driver"},
	{"log-opt", 0, "list", "Options of the logging driver"},
	{"mac-address", 0, "string", "MAC address"},
	{"memory", 'm', "bytes", "Memory limit"},
	{"memory-reservation", 0, "bytes", "Soft memory limit"},
	{"memory-swap", 0, "bytes", "Limit of memory plus swap, -1 for unlimited swap"},
	{"memory-swappiness", 0, "int", "Swappiness (0 to 100)"},
	{"mount", 0, "mount", "Attach a file system (type=bind,src=..,dst=..)"},
	{"name", 0, "string", "Name of the container"},
	{"network", 0, "network", "Network to join"},
	{"net", 0, "network", NULL},
	{"network-alias", 0, "list", "Alias on the network"},
	{"net-alias", 0, "list", NULL},
	{"no-healthcheck", 0, NULL, "Run no health check"},
	{"oom-kill-disable", 0, NULL, "No OOM killer"},
	{"oom-score-adj", 0, "int", "OOM preference (-1000 to 1000)"},
	{"pid", 0, "string", "PID namespace"},
	{"pids-limit", 0, "int", "Limit of processes, -1 for none"},
	{"platform", 0, "string", "Platform of the image"},
	{"privileged", 0, NULL, "All capabilities and devices"},
	{"publish", 'p', "list", "Publish a port to the host"},
	{"publish-all", 'P', NULL, "Publish all exposed ports"},
	{"pull", 0, "string", "Pull the image before (always|missing|never)"},
	{"quiet", 'q', NULL, "No output of a pull"},
	{"read-only", 0, NULL, "Mount the root file system read-only"},
	{"restart", 0, "string", "Restart policy"},
	{"rm", 0, NULL, "Remove the container when it ends"},
	{"runtime", 0, "string", "OCI runtime"},
	{"security-opt", 0, "list", "Security options"},
	{"shm-size", 0, "bytes", "Size of /dev/shm"},
	{"stop-signal", 0, "string", "Signal to stop the container"},
	{"stop-timeout", 0, "int", "Seconds before it is killed"},
	{"storage-opt", 0, "list", "Storage options"},
	{"sysctl", 0, "map", "Kernel parameters"},
	{"tmpfs", 0, "list", "Mount a tmpfs"},
	{"tty", 't', NULL, "Allocate a terminal"},
	{"ulimit", 0, "ulimit", "Resource limits (nofile=1024:2048)"},
	{"user", 'u', "string", "User name or UID (name|uid[:group|gid])"},
	{"userns", 0, "string", "User namespace"},
	{"uts", 0, "string", "UTS namespace"},
	{"volume", 'v', "list", "Bind a directory or a volume (/host:/container[:ro], name:/container)"},
	{"volume-driver", 0, "string", "Driver of new volumes"},
	{"volumes-from", 0, "list", "Mount volumes of another container"},
	{"workdir", 'w', "string", "Working directory"},
};

struct body {
	const struct parsed *p;
	struct arena *a;
	struct err *e;
	json_t *config, *host;
};

static void text(json_t *o, const char *key, const char *v)
{
	if (v)
		json_object_set_new(o, key, json_string(v));
}

static void list(json_t *o, const char *key, const struct strv *l)
{
	if (!l->n)
		return;
	json_t *j = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(j, json_string(l->v[i]));
	json_object_set_new(o, key, j);
}

/* A file of KEY=VALUE or KEY lines; # starts a comment. */
static int lines_of(const char *path, struct strv *out, struct arena *a, struct err *e)
{
	OWN(own_buf) struct buf f = {0};
	char *save = NULL;
	if (read_file(path, 1u << 20, &f, e) < 0)
		return -ENOENT;
	for (char *line = f.data ? strtok_r(f.data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		line[strcspn(line, "\r")] = '\0';
		if (*line && *line != '#' && strv_add(a, out, line) < 0)
			return err_nomem(e);
	}
	return 0;
}

/* A name without "=" takes the value of our own environment, or is left out. */
int environment_body(json_t *config, const struct parsed *p, struct arena *a, struct err *e)
{
	struct strv all = {0}, env = {0};
	const struct strv *files = flag_list(p, "env-file"), *own = flag_list(p, "env");
	for (size_t i = 0; i < files->n; i++)
		try(lines_of(files->v[i], &all, a, e));
	for (size_t i = 0; i < own->n; i++)
		strv_add(a, &all, own->v[i]);
	for (size_t i = 0; i < all.n; i++) {
		const char *v = strchr(all.v[i], '=') ? NULL : getenv(all.v[i]);
		if (*all.v[i] == '=' || !*all.v[i])
			return err_as(e, ERR_INVALID, "invalid environment variable: %s", all.v[i]);
		if (strchr(all.v[i], '='))
			strv_add(a, &env, all.v[i]);
		else if (v)
			strv_add(a, &env, arena_printf(a, "%s=%s", all.v[i], v));
	}
	list(config, "Env", &env);
	return a->bad ? err_nomem(e) : 0;
}

static int key_values(struct body *b, json_t *o, const char *key, const struct strv *l)
{
	json_t *m = json_object();
	for (size_t i = 0; i < l->n; i++) {
		size_t n = strcspn(l->v[i], "=");
		const char *k = arena_dupn(b->a, l->v[i], n);
		json_object_set_new(m, k ? k : "", json_string(l->v[i][n] ? l->v[i] + n + 1 : ""));
	}
	if (l->n)
		json_object_set(o, key, m);
	json_decref(m);
	return 0;
}

static int labels(struct body *b)
{
	struct strv all = {0};
	const struct strv *files = flag_list(b->p, "label-file"), *own = flag_list(b->p, "label");
	for (size_t i = 0; i < files->n; i++)
		try(lines_of(files->v[i], &all, b->a, b->e));
	for (size_t i = 0; i < own->n; i++)
		strv_add(b->a, &all, own->v[i]);
	return key_values(b, b->config, "Labels", &all);
}

static int ulimits(struct body *b)
{
	const struct strv *l = flag_list(b->p, "ulimit");
	json_t *j = json_array();
	int r = 0;
	for (size_t i = 0; r >= 0 && i < l->n; i++) {
		const char *s = l->v[i], *eq = strchr(s, '=');
		char *end;
		long long soft = eq ? strtoll(eq + 1, &end, 10) : 0, hard = soft;
		if (eq && end != eq + 1 && *end == ':')
			hard = strtoll(end + 1, &end, 10);
		if (!eq || eq == s || !eq[1] || *end)
			r = err_as(b->e, ERR_INVALID, "invalid ulimit argument: %s", s);
		else
			json_array_append_new(j, json_pack("{s:s, s:I, s:I}", "Name", arena_dupn(b->a, s, (size_t)(eq - s)), "Hard", (json_int_t)hard, "Soft", (json_int_t)soft));
	}
	if (r >= 0 && l->n)
		json_object_set(b->host, "Ulimits", j);
	json_decref(j);
	return r;
}

static void devices(struct body *b)
{
	const struct strv *l = flag_list(b->p, "device");
	json_t *j = json_array();
	for (size_t i = 0; i < l->n; i++) {
		char *s = arena_dup(b->a, l->v[i]), *inner = strchr(s, ':'), *perms = inner ? strchr(inner + 1, ':') : NULL;
		if (inner)
			*inner++ = '\0';
		if (perms)
			*perms++ = '\0';
		json_array_append_new(j, json_pack("{s:s, s:s, s:s}", "PathOnHost", s, "PathInContainer", inner && *inner ? inner : s, "CgroupPermissions", perms ? perms : "rwm"));
	}
	if (l->n)
		json_object_set(b->host, "Devices", j);
	json_decref(j);
}

/* Where a field of --mount goes: in the mount itself or in the options of its type. */
static const struct {
	const char *field, *part, *key;
	char kind; /* t: text, s: switch, b: bytes, o: octal, m: map */
} mount_fields[] = {{"type", NULL, "Type", 't'}, {"source", NULL, "Source", 't'}, {"src", NULL, "Source", 't'}, {"target", NULL, "Target", 't'}, {"dst", NULL, "Target", 't'}, {"destination", NULL, "Target", 't'},
	{"consistency", NULL, "Consistency", 't'}, {"readonly", NULL, "ReadOnly", 's'}, {"ro", NULL, "ReadOnly", 's'}, {"bind-propagation", "BindOptions", "Propagation", 't'},
	{"bind-nonrecursive", "BindOptions", "NonRecursive", 's'}, {"bind-create-src", "BindOptions", "CreateMountpoint", 's'}, {"volume-nocopy", "VolumeOptions", "NoCopy", 's'},
	{"volume-subpath", "VolumeOptions", "Subpath", 't'}, {"volume-label", "VolumeOptions", "Labels", 'm'}, {"tmpfs-size", "TmpfsOptions", "SizeBytes", 'b'}, {"tmpfs-mode", "TmpfsOptions", "Mode", 'o'}};

static json_t *part_of(json_t *m, const char *name)
{
	json_t *part = name ? json_object_get(m, name) : m;
	if (part)
		return part;
	json_object_set_new(m, name, json_object());
	return json_object_get(m, name);
}

static bool add_pair(json_t *part, const char *key, const char *pair)
{
	json_t *map = part_of(part, key);
	size_t n = strcspn(pair, "=");
	return n && json_object_setn_new_nocheck(map, pair, n, json_string(pair[n] ? pair + n + 1 : "")) == 0;
}

static bool mount_field(json_t *m, const char *field, const char *v)
{
	int64_t n;
	char *end;
	if (streq(field, "volume-driver") && v)
		return json_object_set_new(part_of(part_of(m, "VolumeOptions"), "DriverConfig"), "Name", json_string(v)) == 0;
	if (streq(field, "volume-opt") && v)
		return add_pair(part_of(part_of(m, "VolumeOptions"), "DriverConfig"), "Options", v);
	if (streq(field, "bind-recursive") && v) {
		const char *key = streq(v, "disabled") ? "NonRecursive" : streq(v, "writable") ? "ReadOnlyNonRecursive" : streq(v, "readonly") ? "ReadOnlyForceRecursive" : NULL;
		return streq(v, "enabled") || (key && json_object_set_new(part_of(m, "BindOptions"), key, json_true()) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(mount_fields); i++) {
		if (!streq(mount_fields[i].field, field))
			continue;
		json_t *part = part_of(m, mount_fields[i].part);
		const char *key = mount_fields[i].key;
		switch (mount_fields[i].kind) {
		case 't':
			return v && json_object_set_new(part, key, json_string(v)) == 0;
		case 's':
			return json_object_set_new(part, key, json_boolean(!v || streq(v, "true") || streq(v, "1"))) == 0;
		case 'b':
			return v && units_parse_bytes(v, &n) >= 0 && json_object_set_new(part, key, json_integer(n)) == 0;
		case 'o':
			n = v ? strtol(v, &end, 8) : 0;
			return v && *v && !*end && json_object_set_new(part, key, json_integer(n)) == 0;
		default:
			return v && add_pair(part, key, v);
		}
	}
	return false;
}

/* type=bind,source=/a,target=/b,readonly */
static int one_mount(struct body *b, const char *spec, json_t *out)
{
	char *save = NULL, *s = arena_dup(b->a, spec);
	json_t *m = json_pack("{s:s}", "Type", "volume");
	int r = s && m ? 0 : err_nomem(b->e);
	for (char *f = r < 0 ? NULL : strtok_r(s, ",", &save); r >= 0 && f; f = strtok_r(NULL, ",", &save)) {
		char *v = strchr(f, '=');
		if (v)
			*v++ = '\0';
		if (!mount_field(m, f, v))
			r = err_as(b->e, ERR_INVALID, "invalid argument \"%s\" for \"--mount\" flag: %s '%s'", spec, v ? "unexpected key or value in" : "invalid field", f);
	}
	if (r >= 0 && !json_object_get(m, "Target"))
		r = err_as(b->e, ERR_INVALID, "invalid argument \"%s\" for \"--mount\" flag: target is required", spec);
	if (r < 0)
		json_decref(m);
	else
		json_array_append_new(out, m);
	return r;
}

static int mounts(struct body *b)
{
	const struct strv *l = flag_list(b->p, "mount"), *t = flag_list(b->p, "tmpfs");
	json_t *j = json_array(), *m = json_object();
	int r = 0;
	for (size_t i = 0; r >= 0 && i < l->n; i++)
		r = one_mount(b, l->v[i], j);
	for (size_t i = 0; i < t->n; i++) {
		size_t n = strcspn(t->v[i], ":");
		json_object_set_new(m, arena_dupn(b->a, t->v[i], n), json_string(t->v[i][n] ? t->v[i] + n + 1 : ""));
	}
	if (r >= 0 && l->n)
		json_object_set(b->host, "Mounts", j);
	if (t->n)
		json_object_set(b->host, "Tmpfs", m);
	json_decref(j);
	json_decref(m);
	return r;
}

static int ports(struct body *b)
{
	const struct strv *p = flag_list(b->p, "publish"), *x = flag_list(b->p, "expose");
	json_t *exposed = json_object(), *bindings = json_object();
	int r = 0;
	for (size_t i = 0; r >= 0 && i < p->n; i++)
		r = ports_publish(p->v[i], exposed, bindings, b->e);
	for (size_t i = 0; r >= 0 && i < x->n; i++)
		r = ports_expose(x->v[i], exposed, b->e);
	if (r >= 0 && json_object_size(exposed))
		json_object_set(b->config, "ExposedPorts", exposed);
	if (r >= 0 && json_object_size(bindings))
		json_object_set(b->host, "PortBindings", bindings);
	json_decref(exposed);
	json_decref(bindings);
	return r;
}

/* A source that begins with "." is a path of this directory, not a volume. */
static void binds(struct body *b)
{
	const struct strv *l = flag_list(b->p, "volume");
	struct strv out = {0};
	for (size_t i = 0; i < l->n; i++) {
		const char *s = l->v[i], *colon = strchr(s, ':'), *whole = NULL;
		if (*s == '.' && colon) {
			const char *from = arena_dupn(b->a, s, (size_t)(colon - s));
			OWN(own_free) char *real = from ? realpath(from, NULL) : NULL;
			OWN(own_free) char *here = real ? NULL : getcwd(NULL, 0);
			whole = real ? arena_printf(b->a, "%s%s", real, colon) : here ? arena_printf(b->a, "%s/%s", here, s) : NULL;
		}
		(void)strv_add(b->a, &out, whole ? whole : s);
	}
	list(b->host, "Binds", &out);
}

static void simple(struct body *b)
{
	static const struct {
		const char *flag, *key;
		char kind; /* c: config text, h: host text, H: host list, s: host switch */
	} map[] = {{"hostname", "Hostname", 'c'}, {"domainname", "Domainname", 'c'}, {"user", "User", 'c'}, {"workdir", "WorkingDir", 'c'}, {"stop-signal", "StopSignal", 'c'},
		{"pid", "PidMode", 'h'}, {"ipc", "IpcMode", 'h'}, {"uts", "UTSMode", 'h'}, {"userns", "UsernsMode", 'h'}, {"cgroupns", "CgroupnsMode", 'h'}, {"cgroup-parent", "CgroupParent", 'h'},
		{"runtime", "Runtime", 'h'}, {"isolation", "Isolation", 'h'}, {"volumes-from", "VolumesFrom", 'H'}, {"volume-driver", "VolumeDriver", 'h'},
		{"cap-add", "CapAdd", 'H'}, {"cap-drop", "CapDrop", 'H'}, {"dns", "Dns", 'H'}, {"dns-option", "DnsOptions", 'H'}, {"dns-search", "DnsSearch", 'H'}, {"add-host", "ExtraHosts", 'H'},
		{"group-add", "GroupAdd", 'H'}, {"link", "Links", 'H'}, {"security-opt", "SecurityOpt", 'H'}, {"device-cgroup-rule", "DeviceCgroupRules", 'H'}, {"privileged", "Privileged", 's'},
		{"read-only", "ReadonlyRootfs", 's'}, {"rm", "AutoRemove", 's'}, {"publish-all", "PublishAllPorts", 's'}, {"init", "Init", 's'}, {"oom-kill-disable", "OomKillDisable", 's'}};
	for (size_t i = 0; i < ARRAY_LEN(map); i++) {
		const char *v = flag_get(b->p, map[i].flag);
		if (map[i].kind == 'H')
			list(b->host, map[i].key, flag_list(b->p, map[i].flag));
		else if (v && map[i].kind == 's')
			json_object_set_new(b->host, map[i].key, json_boolean(flag_on(b->p, map[i].flag)));
		else if (v)
			text(map[i].kind == 'c' ? b->config : b->host, map[i].key, v);
	}
}

static int number(struct body *b, json_t *o, const char *key, const char *flag, bool bytes)
{
	const char *v = flag_get(b->p, flag);
	char *end = NULL;
	int64_t n = 0;
	if (!v)
		return 0;
	bool good = bytes ? units_parse_bytes(v, &n) >= 0 : (n = strtoll(v, &end, 10), *v && !*end);
	if (!good)
		return err_as(b->e, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: %s", v, flag, bytes ? "invalid size" : "expected a number");
	json_object_set_new(o, key, json_integer(n));
	return 0;
}

static int numbers(struct body *b)
{
	try(number(b, b->host, "OomScoreAdj", "oom-score-adj", false));
	try(number(b, b->host, "MemorySwappiness", "memory-swappiness", false));
	try(number(b, b->config, "StopTimeout", "stop-timeout", false));
	try(number(b, b->host, "ShmSize", "shm-size", true));
	try(limits_numbers(b->p, b->host, b->e));
	try(limits_devices(b->p, b->host, b->e));
	try(limits_restart(b->p, b->host, b->e));
	return limits_health(b->p, b->config, b->e);
}

/* A seccomp profile is a file here and its content there. */
static int security(struct body *b)
{
	json_t *l = json_object_get(b->host, "SecurityOpt");
	for (size_t i = 0; i < json_array_size(l); i++) {
		OWN(own_buf) struct buf f = {0};
		const char *s = json_string_value(json_array_get(l, i)), *file = s + strlen("seccomp=");
		if (!str_starts(s, "seccomp=") || streq(file, "unconfined") || streq(file, "builtin"))
			continue;
		if (read_file(file, 1u << 20, &f, b->e) < 0)
			return err_ctx(b->e, "opening seccomp profile (%s) failed", file);
		json_array_set_new(l, i, json_sprintf("seccomp=%s", buf_str(&f)));
	}
	return 0;
}

static void streams_of(struct body *b)
{
	bool detach = flag_on(b->p, "detach"), in = flag_on(b->p, "interactive");
	const struct strv *at = flag_list(b->p, "attach");
	bool out = !detach && (!at->n || strv_has(at, "stdout") || strv_has(at, "STDOUT")), err = !detach && (!at->n || strv_has(at, "stderr") || strv_has(at, "STDERR"));
	json_object_set_new(b->config, "AttachStdin", json_boolean(!detach && in));
	json_object_set_new(b->config, "AttachStdout", json_boolean(out));
	json_object_set_new(b->config, "AttachStderr", json_boolean(err));
	json_object_set_new(b->config, "OpenStdin", json_boolean(in));
	json_object_set_new(b->config, "StdinOnce", json_boolean(!detach && in));
	json_object_set_new(b->config, "Tty", json_boolean(flag_on(b->p, "tty")));
}

static int fill(struct body *b)
{
	const struct strv *log = flag_list(b->p, "log-opt");
	const char *net = NULL, *entry = flag_get(b->p, "entrypoint"), *driver = flag_get(b->p, "log-driver");
	int rows, cols;
	json_t *networking = NULL;
	struct strv cmd = {.v = b->p->args.v + 1, .n = b->p->args.n - 1};
	text(b->config, "Image", b->p->args.v[0]);
	list(b->config, "Cmd", &cmd);
	if (entry)
		json_object_set_new(b->config, "Entrypoint", json_pack("[s]", entry));
	streams_of(b);
	simple(b);
	try(networks_body(b->p, b->a, &net, &networking, b->e));
	json_object_set_new(b->config, "NetworkingConfig", networking);
	text(b->host, "NetworkMode", net);
	if (driver || log->n) {
		json_object_set_new(b->host, "LogConfig", json_pack("{s:s}", "Type", driver ? driver : ""));
		try(key_values(b, json_object_get(b->host, "LogConfig"), "Config", log));
	}
	if (terminal_size(&rows, &cols))
		json_object_set_new(b->host, "ConsoleSize", json_pack("[i,i]", rows, cols));
	try(environment_body(b->config, b->p, b->a, b->e));
	try(labels(b));
	try(numbers(b));
	try(key_values(b, b->host, "Sysctls", flag_list(b->p, "sysctl")));
	try(key_values(b, b->host, "Annotations", flag_list(b->p, "annotation")));
	try(key_values(b, b->host, "StorageOpt", flag_list(b->p, "storage-opt")));
	try(ulimits(b));
	devices(b);
	binds(b);
	try(mounts(b));
	try(ports(b));
	try(security(b));
	json_object_set(b->config, "HostConfig", b->host);
	return b->a->bad ? err_nomem(b->e) : 0;
}

json_t *run_body(const struct parsed *p, struct arena *a, struct err *e)
{
	struct body b = {.p = p, .a = a, .e = e, .config = json_object(), .host = json_object()};
	int r = fill(&b);
	json_decref(b.host);
	if (r >= 0)
		return b.config;
	json_decref(b.config);
	return NULL;
}
