/* GET /info and GET /version: what this daemon is and what this machine can do, looked up when asked. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "api/view.h"
#include "base/fd.h"
#include "engine/journal.h"
#include "net/driver.h"

static json_t *text(const char *s)
{
	return json_string_nocheck(s ? s : "");
}

/* A value of /etc/os-release. */
static const char *os_release(const char *key, const char *fallback, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	if (read_file("/etc/os-release", 65536, &b, NULL) < 0)
		return fallback;
	for (const char *p = buf_str(&b); *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t n = strlen(key);
		if (strncmp(p, key, n) != 0 || p[n] != '=')
			continue;
		p += n + 1;
		p += *p == '"';
		return arena_dupn(a, p, strcspn(p, "\"\n"));
	}
	return fallback;
}

static void count_states(const struct world *w, size_t n[static STATE_N])
{
	const struct container *c;
	for (size_t i = 0; (c = world_next(w, NOUN_CONTAINER, &i));)
		n[c->state]++;
}

static bool sysctl_is_on(const char *key)
{
	char value[16];
	return kernel_sysctl_get(key, value, sizeof(value), NULL) >= 0 && !streq(value, "0");
}

/* What containers can be limited by here. */
static const struct {
	const char *key, *warning;
	enum control control;
} limits[] = {
	{"MemoryLimit", "No memory limit support", CONTROL_MEMORY},
	{"SwapLimit", "No swap limit support", CONTROL_SWAP},
	{"OomKillDisable", "No oom kill disable support", CONTROL_OOM},
	{"CpuCfsQuota", "No cpu cfs quota support", CONTROL_CFS_QUOTA},
	{"CpuCfsPeriod", "No cpu cfs period support", CONTROL_CFS_PERIOD},
	{"CPUShares", "No cpu shares support", CONTROL_SHARES},
	{"CPUSet", "No cpuset support", CONTROL_CPUSET},
	{"PidsLimit", "No pids limit support", CONTROL_PIDS},
};

/* Sets the limits and gives what there is to warn of; null when there is nothing, as Docker says it. */
static json_t *limits_and_warnings(json_t *j, const struct core_conf *conf, const struct spec_host *host)
{
	json_t *w = json_array();
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		bool have = !(host->lacks & 1u << limits[i].control);
		json_object_set_new(j, limits[i].key, json_boolean(have));
		if (!have && !(host->cgroup2 && limits[i].control == CONTROL_OOM)) /* where there never is such a thing, nobody misses it */
			json_array_append_new(w, json_sprintf("WARNING: %s", limits[i].warning));
	}
	if (conf->net.ip_forward && !sysctl_is_on("net/ipv4/ip_forward"))
		json_array_append_new(w, json_string("WARNING: IPv4 forwarding is disabled"));
	for (size_t i = 0; i < conf->open_hosts.n; i++)
		json_array_append_new(w, json_sprintf("WARNING: %s", conf->open_hosts.v[i]));
	if (json_array_size(w))
		return w;
	json_decref(w);
	return json_null();
}

static json_t *daemon_labels(const struct kvs *labels)
{
	json_t *j = json_array();
	for (size_t i = 0; i < labels->n; i++)
		json_array_append_new(j, json_sprintf("%s=%s", labels->v[i].key, labels->v[i].value));
	return j;
}

static void info_host(json_t *j, const struct engine_info *ei, const struct utsname *u, struct arena *a)
{
	char now[TIME_TEXT];
	struct sysinfo si;
	bool v1 = ei->cgroup_version == 1;
	json_object_set_new(j, "CgroupDriver", json_string(ei->cgroup_driver));
	json_object_set_new(j, "CgroupVersion", json_string(v1 ? "1" : "2"));
	json_object_set_new(j, "SystemTime", json_string(time_format(clock_real_ns(), now)));
	json_object_set_new(j, "KernelVersion", json_string(u->release));
	json_object_set_new(j, "OperatingSystem", text(os_release("PRETTY_NAME", "Linux", a)));
	json_object_set_new(j, "OSVersion", text(os_release("VERSION_ID", "", a)));
	json_object_set_new(j, "OSType", json_string("linux"));
	json_object_set_new(j, "Architecture", json_string(u->machine));
	json_object_set_new(j, "NCPU", json_integer(get_nprocs()));
	json_object_set_new(j, "MemTotal", json_integer(sysinfo(&si) == 0 ? (json_int_t)si.totalram * si.mem_unit : 0));
	json_object_set_new(j, "Name", json_string(u->nodename));
}

/* What containers are locked up with here. */
static json_t *security_options(const struct core_conf *conf, int cgroup_version)
{
	json_t *j = json_array();
	if (access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0)
		json_array_append_new(j, json_sprintf("name=seccomp,profile=%s", str_empty(conf->seccomp_path) ? "builtin" : conf->seccomp_path));
	if (conf->fallback.no_new_privileges)
		json_array_append_new(j, json_string("name=no-new-privileges"));
	if (cgroup_version == 2) /* each container has a namespace of cgroups of its own, unless it says otherwise */
		json_array_append_new(j, json_string("name=cgroupns"));
	return j;
}

/* "runc" is what this field is called; another runtime gives its name too. */
static const char *runtime_commit(const struct engine_info *ei, struct arena *a)
{
	return streq(ei->runtime, "runc") ? ei->runtime_version : arena_printf(a, "%s-%s", ei->runtime, ei->runtime_version);
}

static json_t *commit(const struct view *v, const char *id)
{
	json_t *j = json_pack("{s:s}", "ID", id);
	if (v->minor < 49) /* what the packager expected, which is what was found */
		json_object_set_new(j, "Expected", json_string(id));
	return j;
}

static size_t entries(const char *dir)
{
	size_t n = 0;
	OWN(own_dir) DIR *d = opendir(dir);
	for (const struct dirent *entry; d && (entry = readdir(d));)
		n += entry->d_name[0] != '.';
	return n;
}

/* As curl in pontoon-image finds it, which asks for no HTTP_PROXY: any client of a CGI program could set that. Its password is nobody's business. */
static json_t *proxy(const char *name, const char *other)
{
	const char *v = getenv(name), *at, *after;
	if (!v && other)
		v = getenv(other);
	if (!v)
		return json_string("");
	at = strrchr(v, '@');
	after = strstr(v, "://");
	after = after && after < at ? after + 3 : v;
	return at ? json_sprintf("%.*sxxxxx:xxxxx%s", (int)(after - v), v, at) : json_string(v);
}

/* What says something of the daemon itself, and what only older clients still read. */
static void info_daemon(const struct view *v, json_t *j)
{
	static const struct {
		const char *key, *name, *other;
	} proxies[] = {{"HttpProxy", "http_proxy", NULL}, {"HttpsProxy", "https_proxy", "HTTPS_PROXY"}, {"NoProxy", "no_proxy", "NO_PROXY"}};
	for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
		json_object_set_new(j, proxies[i].key, proxy(proxies[i].name, proxies[i].other));
	json_object_set_new(j, "NFd", json_integer((json_int_t)entries("/proc/self/fd")));
	json_object_set_new(j, "NGoroutines", json_integer((json_int_t)entries("/proc/self/task")));
	json_object_set_new(j, "NEventsListener", json_integer((json_int_t)events_subscribers(v->core->events)));
	json_object_set_new(j, "Isolation", json_string(""));
	if (v->minor < 42) { /* limits of kernel memory: the kernel has them no more */
		json_object_set_new(j, "KernelMemory", json_false());
		json_object_set_new(j, "KernelMemoryTCP", json_false());
	}
}

static json_t *list(const struct strv *l)
{
	json_t *j = json_array();
	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(j, json_string(l->v[i]));
	return j;
}

static json_t *registry(const struct strv *insecure, const struct strv *mirrors)
{
	json_t *j = json_pack("{s:[], s:[], s:[s], s:{s:{s:s, s:o, s:b, s:b}}, s:o}", "AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames", "InsecureRegistryCIDRs", "127.0.0.0/8",
		"IndexConfigs", "docker.io", "Name", "docker.io", "Mirrors", list(mirrors), "Secure", 1, "Official", 1, "Mirrors", list(mirrors));
	for (size_t i = 0; i < insecure->n; i++) {
		const char *s = insecure->v[i];
		if (strchr(s, '/'))
			json_array_append_new(json_object_get(j, "InsecureRegistryCIDRs"), json_string(s));
		else
			json_object_set_new(json_object_get(j, "IndexConfigs"), s, json_pack("{s:s, s:[], s:b, s:b}", "Name", s, "Mirrors", "Secure", 0, "Official", 0));
	}
	return j;
}

static json_t *runtimes(const struct engine *en, struct arena *a)
{
	struct kvs all = {0};
	json_t *j = json_object();
	engine_runtimes(en, a, &all);
	for (size_t i = 0; i < all.n; i++)
		json_object_set_new(j, all.v[i].key, json_pack("{s:s}", "path", all.v[i].value));
	return j;
}

/* Of the directory that holds layers and containers. */
static const char *filesystem(const char *path)
{
	static const struct {
		long type;
		const char *name;
	} known[] = {{EXT4_SUPER_MAGIC, "extfs"}, {XFS_SUPER_MAGIC, "xfs"}, {BTRFS_SUPER_MAGIC, "btrfs"}, {TMPFS_MAGIC, "tmpfs"}, {F2FS_SUPER_MAGIC, "f2fs"}, {OVERLAYFS_SUPER_MAGIC, "overlayfs"}, {NFS_SUPER_MAGIC, "nfs"}};
	struct statfs fs;
	for (size_t i = 0; statfs(path, &fs) == 0 && i < ARRAY_LEN(known); i++)
		if (fs.f_type == known[i].type)
			return known[i].name;
	return "<unknown>";
}

/* Does a directory tell what its entries are? overlayfs wants it. */
static bool has_types(const char *path)
{
	OWN(own_dir) DIR *d = opendir(path);
	for (const struct dirent *entry; d && (entry = readdir(d));)
		if (entry->d_type == DT_UNKNOWN)
			return false;
	return d;
}

static json_t *plugins(void)
{
	json_t *networks = json_array();
	for (int k = 0; k < DRIVER_N; k++)
		json_array_append_new(networks, json_string(driver_of((enum driver_kind)k)->name));
	json_t *logs = json_pack("[s, s, s]", "json-file", "local", "none");
	if (journal_is_there())
		json_array_insert_new(logs, 0, json_string("journald"));
	return json_pack("{s:[s], s:o, s:n, s:o}", "Volume", "local", "Network", networks, "Authorization", "Log", logs);
}

static json_t *pools(const struct netconf *conf)
{
	char base[PREFIX_TEXT];
	json_t *j = json_array();
	for (size_t i = 0; i < conf->npools; i++)
		json_array_append_new(j, json_pack("{s:s, s:i}", "Base", prefix_format(&conf->pools[i].base, base), "Size", conf->pools[i].size));
	return j;
}

json_t *view_info(const struct view *v, const struct world *w, struct arena *a)
{
	size_t n[STATE_N] = {0};
	struct engine_info ei;
	struct spec_host host;
	struct utsname u;
	const struct core_conf *conf = v->core->conf;
	engine_info(v->core->engine, &ei);
	engine_host(v->core->engine, a, &host);
	count_states(w, n);
	if (uname(&u) < 0)
		memset(&u, 0, sizeof(u));
	json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:[[s,s], [s,s]]}", "ID", v->core->id, "Containers", (int)world_count(w, NOUN_CONTAINER), "ContainersRunning",
		(int)(n[STATE_RUNNING] + n[STATE_RESTARTING]), "ContainersPaused", (int)n[STATE_PAUSED], "ContainersStopped", (int)(n[STATE_CREATED] + n[STATE_EXITED] + n[STATE_DEAD] + n[STATE_REMOVING]),
		"Images", (int)world_count(w, NOUN_IMAGE), "Driver", "overlay2", "DriverStatus", "Backing Filesystem", filesystem(conf->data_root), "Supports d_type", has_types(conf->data_root) ? "true" : "false");
	if (!j)
		return NULL;
	info_host(j, &ei, &u, a);
	info_daemon(v, j);
	json_object_set_new(j, "Plugins", plugins());
	if (conf->net.npools)
		json_object_set_new(j, "DefaultAddressPools", pools(&conf->net));
	json_object_set_new(j, "IPv4Forwarding", json_boolean(sysctl_is_on("net/ipv4/ip_forward")));
	json_object_set_new(j, "BridgeNfIptables", json_boolean(sysctl_is_on("net/bridge/bridge-nf-call-iptables")));
	json_object_set_new(j, "BridgeNfIp6tables", json_boolean(sysctl_is_on("net/bridge/bridge-nf-call-ip6tables")));
	json_object_set_new(j, "Debug", json_boolean(conf->debug));
	json_object_set_new(j, "LoggingDriver", json_string(str_empty(conf->log_driver) ? "json-file" : conf->log_driver));
	json_object_set_new(j, "IndexServerAddress", json_string("https://index.docker.io/v1/"));
	json_object_set_new(j, "RegistryConfig", registry(&conf->insecure_registries, &conf->registry_mirrors));
	json_object_set_new(j, "GenericResources", json_null());
	json_object_set_new(j, "DockerRootDir", text(conf->data_root));
	json_object_set_new(j, "Labels", daemon_labels(&conf->labels));
	json_object_set_new(j, "ExperimentalBuild", json_false());
	json_object_set_new(j, "ServerVersion", json_string(PONTOON_VERSION));
	json_object_set_new(j, "Runtimes", runtimes(v->core->engine, a));
	json_object_set_new(j, "DefaultRuntime", json_string(ei.runtime));
	json_object_set_new(j, "Swarm", json_pack("{s:s, s:s, s:s, s:b, s:s, s:n}", "NodeID", "", "NodeAddr", "", "LocalNodeState", "inactive", "ControlAvailable", 0, "Error", "", "RemoteManagers"));
	json_object_set_new(j, "LiveRestoreEnabled", json_boolean(conf->live_restore));
	json_object_set_new(j, "InitBinary", json_string(ei.init_binary));
	json_object_set_new(j, "RuncCommit", commit(v, runtime_commit(&ei, a)));
	json_object_set_new(j, "ContainerdCommit", commit(v, ""));
	json_object_set_new(j, "InitCommit", commit(v, ""));
	json_object_set_new(j, "SecurityOptions", security_options(conf, ei.cgroup_version));
	if (v->minor >= 49)
		json_object_set_new(j, "FirewallBackend", json_pack("{s:s}", "Driver", conf->firewall_backend));
	json_object_set_new(j, "Warnings", limits_and_warnings(j, conf, &host));
	return j;
}

json_t *view_version(const struct view *v, struct arena *a)
{
	struct engine_info ei;
	struct utsname u;
	char max[16], min[16];
	(void)a;
	engine_info(v->core->engine, &ei);
	if (uname(&u) < 0)
		memset(&u, 0, sizeof(u));
	snprintf(max, sizeof(max), "1.%d", API_MAX_MINOR);
	snprintf(min, sizeof(min), "1.%d", API_MIN_MINOR);
	const char *arch = streq(u.machine, "x86_64") ? "amd64" : streq(u.machine, "aarch64") ? "arm64" : u.machine;
	json_t *engine = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}}", "Name", "Engine", "Version", PONTOON_VERSION, "Details", "ApiVersion", max, "MinAPIVersion", min, "Os", "linux", "Arch", arch,
		"KernelVersion", u.release, "Experimental", "false", "GitCommit", "", "GoVersion", "", "BuildTime", "");
	return json_pack("{s:{s:s}, s:[o, {s:s, s:s, s:{s:s}}, {s:s, s:s, s:{s:s}}], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Platform", "Name", "Pontoon", "Components", engine, "Name", ei.runtime, "Version",
		ei.runtime_version, "Details", "GitCommit", "", "Name", "conmon", "Version", ei.conmon_version, "Details", "GitCommit", "", "Version", PONTOON_VERSION, "ApiVersion", max, "MinAPIVersion", min, "GitCommit", "", "GoVersion", "",
		"Os", "linux", "Arch", arch, "KernelVersion", u.release, "BuildTime", "");
}
