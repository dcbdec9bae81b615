#include "api/view.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "base/fd.h"

json_t *view_tags(const struct world *w, const struct image *img, struct arena *a)
{
	size_t n;
	const struct tag **tags = world_tags_of_image(w, a, img->id, &n);
	json_t *j = json_array();
	for (size_t i = 0; j && i < n; i++)
		json_array_append_new(j, json_string(tags[i]->thing.key));
	return j;
}

static json_t *text(const char *s)
{
	return json_string_nocheck(s ? s : "");
}

static json_t *map(const struct kvs *m)
{
	json_t *j = json_object();
	for (size_t i = 0; j && i < m->n; i++)
		json_object_set_new_nocheck(j, m->v[i].key, json_string_nocheck(m->v[i].value));
	return j;
}

/* What older clients still expect of an image, from its own configuration. */
static void image_of_old(const struct view *v, const struct image *img, json_t *j)
{
	OWN(own_json) json_t *config = json_loads(img->config_text, 0, NULL);
	const json_t *version = json_object_get(config, "docker_version"), *container = json_object_get(config, "container");
	static const struct config none = {.stop_timeout = -1};
	if (v->minor < 51)
		json_object_set_new(j, "DockerVersion", text(json_string_value(version)));
	if (v->minor < 45) {
		json_object_set_new(j, "Container", text(json_string_value(container)));
		json_t *nothing = json_encode(config_table, &none);
		json_object_set_new(nothing, "Env", json_null());
		json_object_set_new(nothing, "Labels", json_null());
		json_object_set_new(j, "ContainerConfig", nothing);
	}
	if (v->minor < 44)
		json_object_set_new(j, "VirtualSize", json_integer(img->size));
}

/* Directories of the layers as overlayfs takes them: the topmost first. skip: how many of the topmost to leave out. */
json_t *view_lower_dirs(const struct view *v, const struct world *w, const struct image *img, size_t skip)
{
	OWN(own_buf) struct buf b = {0};
	for (size_t i = img ? img->diff_ids.n : 0; i > skip; i--) {
		const struct layer *l = world_get(w, NOUN_LAYER, img->diff_ids.v[i - 1]);
		if (l)
			buf_printf(&b, "%s%s/image/layers/%s/diff", b.len ? ":" : "", v->core->conf->data_root, l->dir);
	}
	return b.bad ? NULL : json_string(buf_str(&b));
}

json_t *view_image(const struct view *v, const struct world *w, const struct image *img, struct arena *a)
{
	char created[TIME_TEXT], stored[TIME_TEXT];
	json_t *layers = json_array(), *upper;
	for (size_t i = 0; layers && i < img->diff_ids.n; i++)
		json_array_append_new(layers, json_string(img->diff_ids.v[i]));
	const struct layer *top = img->diff_ids.n ? world_get(w, NOUN_LAYER, img->diff_ids.v[img->diff_ids.n - 1]) : NULL;
	upper = json_sprintf("%s/image/layers/%s/diff", v->core->conf->data_root, top ? top->dir : "");
	json_t *j = json_pack("{s:o, s:o, s:[], s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:{s:s, s:{s:o}}, s:{s:s, s:o}, s:{s:s}}", "Id", json_sprintf("sha256:%s", img->id), "RepoTags",
		view_tags(w, img, a), "RepoDigests", "Parent", "", "Comment", text(img->comment), "Created", time_format(img->created, created), "Author", text(img->author), "Config",
		json_encode(config_table, &img->config), "Architecture", text(img->architecture), "Os", text(img->os), "Size", (json_int_t)img->size, "GraphDriver", "Name", "overlay2", "Data", "UpperDir",
		upper, "RootFS", "Type", "layers", "Layers", layers, "Metadata", "LastTagTime", time_format(img->stored, stored));
	if (!j)
		return NULL;
	if (!str_empty(img->variant))
		json_object_set_new(j, "Variant", text(img->variant));
	json_t *data = json_object_get(json_object_get(j, "GraphDriver"), "Data");
	json_object_set_new(data, "MergedDir", json_string(""));
	json_object_set_new(data, "WorkDir", json_string(""));
	if (img->diff_ids.n > 1)
		json_object_set_new(data, "LowerDir", view_lower_dirs(v, w, img, 1));
	image_of_old(v, img, j);
	return j;
}

json_t *view_image_row(const struct view *v, const struct world *w, const struct image *img, bool count, struct arena *a)
{
	json_t *j = json_pack("{s:o, s:s, s:o, s:[], s:I, s:I, s:i, s:o, s:I}", "Id", json_sprintf("sha256:%s", img->id), "ParentId", "", "RepoTags", view_tags(w, img, a), "RepoDigests", "Created",
		(json_int_t)(img->created / 1000000000), "Size", (json_int_t)img->size, "SharedSize", -1, "Labels", img->config.labels.n ? map(&img->config.labels) : json_null(), "Containers",
		count || v->minor >= 51 ? (json_int_t)world_containers_of_image(w, img->id) : -1);
	if (j && v->minor < 44)
		json_object_set_new(j, "VirtualSize", json_integer(img->size));
	return j;
}

static void add_subnet(json_t *list, const struct subnet *s)
{
	char t[PREFIX_TEXT], ip[IP_TEXT];
	if (!s->net.ip.family)
		return;
	json_t *j = json_pack("{s:s}", "Subnet", prefix_format(&s->net, t));
	if (s->has_range)
		json_object_set_new(j, "IPRange", json_string(prefix_format(&s->range, t)));
	if (ip_is_set(&s->gateway))
		json_object_set_new(j, "Gateway", json_string(ip_format(&s->gateway, ip)));
	if (s->naux) {
		json_t *aux = json_object();
		for (size_t i = 0; i < s->naux; i++)
			json_object_set_new(aux, s->aux[i].name, json_string(ip_format(&s->aux[i].ip, ip)));
		json_object_set_new(j, "AuxiliaryAddresses", aux);
	}
	json_array_append_new(list, j);
}

static json_t *joined_json(const struct world *w, const struct network *n, struct arena *a)
{
	size_t count;
	const struct endpoint **eps = world_endpoints_of_network(w, a, n->id, &count);
	json_t *j = json_object();
	for (size_t i = 0; j && i < count; i++) {
		const struct endpoint *ep = eps[i];
		const struct container *c = world_container(w, ep->container);
		char mac[MAC_TEXT] = "", t[PREFIX_TEXT] = "", u[PREFIX_TEXT] = "";
		if (!ep->joined || !c)
			continue;
		struct prefix p4 = {.ip = ep->ip4, .len = n->v4.net.len}, p6 = {.ip = ep->ip6, .len = n->v6.net.len};
		if (mac_is_set(&ep->mac))
			mac_format(&ep->mac, mac);
		json_object_set_new(j, c->id, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", c->name, "EndpointID", ep->id, "MacAddress", mac, "IPv4Address", prefix_format(&p4, t), "IPv6Address",
			prefix_format(&p6, u)));
	}
	return j;
}

json_t *view_network(const struct view *v, const struct world *w, const struct network *n, bool containers, struct arena *a)
{
	char created[TIME_TEXT];
	json_t *subnets = json_array();
	add_subnet(subnets, &n->v4);
	add_subnet(subnets, &n->v6);
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", n->name, "Id", n->id, "Created", time_format(n->created, created), "Scope", "local", "Driver", driver_kind_name(n->driver));
	if (!j)
		return NULL;
	if (v->minor >= 48)
		json_object_set_new(j, "EnableIPv4", json_boolean(n->enable_v4 || n->driver != DRIVER_BRIDGE));
	json_object_set_new(j, "EnableIPv6", json_boolean(n->enable_v6));
	json_object_set_new(j, "IPAM", json_pack("{s:s, s:o, s:o}", "Driver", "default", "Options", n->ipam_options.n ? map(&n->ipam_options) : json_null(), "Config", subnets));
	json_object_set_new(j, "Internal", json_boolean(n->internal));
	json_object_set_new(j, "Attachable", json_boolean(n->attachable));
	json_object_set_new(j, "Ingress", json_false());
	json_object_set_new(j, "ConfigFrom", json_pack("{s:s}", "Network", n->config_from));
	json_object_set_new(j, "ConfigOnly", json_boolean(n->config_only));
	json_object_set_new(j, "Containers", containers ? joined_json(w, n, a) : json_object());
	json_object_set_new(j, "Options", map(&n->options));
	json_object_set_new(j, "Labels", map(&n->labels));
	return j;
}

json_t *view_exec(const struct exec_info *x)
{
	json_t *args = json_array();
	for (size_t i = 1; i < x->spec.cmd.n; i++)
		json_array_append_new(args, json_string_nocheck(x->spec.cmd.v[i]));
	json_t *p = json_pack("{s:b, s:o, s:o, s:b, s:o}", "tty", x->spec.tty, "entrypoint", text(x->spec.cmd.n ? x->spec.cmd.v[0] : ""), "arguments", args, "privileged", x->spec.privileged, "user",
		text(x->spec.user));
	return json_pack("{s:s, s:b, s:o, s:o, s:b, s:b, s:b, s:b, s:s, s:s, s:s, s:I}", "ID", x->id, "Running", x->running, "ExitCode", x->ended ? json_integer(x->exit_code) : json_null(),
		"ProcessConfig", p, "OpenStdin", x->spec.attach_stdin, "OpenStderr", x->spec.attach_stderr, "OpenStdout", x->spec.attach_stdout, "CanRemove", x->ended, "ContainerID", x->container,
		"DetachKeys", x->spec.detach_keys ? x->spec.detach_keys : "", "Status", x->running ? "running" : x->ended ? "exited" : "created", "Pid", (json_int_t)x->pid);
}

json_t *view_event(const struct view *v, const struct event *ev)
{
	json_t *j = json_object();
	const char *from = kvs_get(&ev->attributes, "image");
	if (v->minor < 52 && streq(ev->type, "container")) {
		json_object_set_new(j, "status", text(ev->action));
		json_object_set_new(j, "id", text(ev->id));
		if (from)
			json_object_set_new(j, "from", text(from));
	}
	json_object_set_new(j, "Type", text(ev->type));
	json_object_set_new(j, "Action", text(ev->action));
	json_object_set_new(j, "Actor", json_pack("{s:o, s:o}", "ID", text(ev->id), "Attributes", map(&ev->attributes)));
	json_object_set_new(j, "scope", json_string("local"));
	json_object_set_new(j, "time", json_integer(ev->time / 1000000000));
	json_object_set_new(j, "timeNano", json_integer(ev->time));
	return j;
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

static json_t *warnings(const struct netconf *conf)
{
	char value[16];
	json_t *j = json_array();
	if (conf->ip_forward && (kernel_sysctl_get("net/ipv4/ip_forward", value, sizeof(value), NULL) < 0 || streq(value, "0")))
		json_array_append_new(j, json_string("WARNING: IPv4 forwarding is disabled"));
	if (json_array_size(j))
		return j;
	json_decref(j);
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
	static const char *const limits[] = {"MemoryLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit", "SwapLimit"};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		json_object_set_new(j, limits[i], json_true());
	json_object_set_new(j, "OomKillDisable", json_boolean(v1));
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

/* What says something of the daemon itself, and what only older clients still read. */
static void info_daemon(const struct view *v, json_t *j)
{
	static const char *const no_proxy[] = {"HttpProxy", "HttpsProxy", "NoProxy"};
	for (size_t i = 0; i < ARRAY_LEN(no_proxy); i++)
		json_object_set_new(j, no_proxy[i], json_string(""));
	json_object_set_new(j, "NFd", json_integer((json_int_t)entries("/proc/self/fd")));
	json_object_set_new(j, "NGoroutines", json_integer((json_int_t)entries("/proc/self/task")));
	json_object_set_new(j, "NEventsListener", json_integer((json_int_t)events_subscribers(v->core->events)));
	json_object_set_new(j, "Isolation", json_string(""));
	if (v->minor < 42) { /* limits of kernel memory: the kernel has them no more */
		json_object_set_new(j, "KernelMemory", json_false());
		json_object_set_new(j, "KernelMemoryTCP", json_false());
	}
}

static json_t *registry(void)
{
	return json_pack("{s:[], s:[], s:[s], s:{s:{s:s, s:[], s:b, s:b}}, s:[]}", "AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames", "InsecureRegistryCIDRs", "127.0.0.0/8",
		"IndexConfigs", "docker.io", "Name", "docker.io", "Mirrors", "Secure", 1, "Official", 1, "Mirrors");
}

static json_t *runtimes(const struct engine_conf *conf, const struct engine_info *ei)
{
	json_t *j = json_object();
	for (size_t i = 0; i < conf->runtimes.n; i++)
		json_object_set_new(j, conf->runtimes.v[i].key, json_pack("{s:s}", "path", conf->runtimes.v[i].value));
	json_object_set_new(j, ei->runtime, json_pack("{s:s}", "path", ei->runtime_path));
	return j;
}

json_t *view_info(const struct view *v, const struct world *w, struct arena *a)
{
	size_t n[STATE_N] = {0};
	struct engine_info ei;
	struct utsname u;
	const struct core_conf *conf = v->core->conf;
	engine_info(v->core->engine, &ei);
	count_states(w, n);
	if (uname(&u) < 0)
		memset(&u, 0, sizeof(u));
	json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:[[s,s]], s:{s:[s], s:[s,s,s], s:n, s:[s]}}", "ID", v->core->id, "Containers", (int)world_count(w, NOUN_CONTAINER), "ContainersRunning",
		(int)(n[STATE_RUNNING] + n[STATE_RESTARTING]), "ContainersPaused", (int)n[STATE_PAUSED], "ContainersStopped", (int)(n[STATE_CREATED] + n[STATE_EXITED] + n[STATE_DEAD] + n[STATE_REMOVING]),
		"Images", (int)world_count(w, NOUN_IMAGE), "Driver", "overlay2", "DriverStatus", "Supports d_type", "true", "Plugins", "Volume", "local", "Network", "bridge", "host", "null", "Authorization",
		"Log", "json-file");
	if (!j)
		return NULL;
	info_host(j, &ei, &u, a);
	info_daemon(v, j);
	json_object_set_new(j, "IPv4Forwarding", json_true());
	json_object_set_new(j, "BridgeNfIptables", json_boolean(access("/proc/sys/net/bridge/bridge-nf-call-iptables", F_OK) == 0));
	json_object_set_new(j, "BridgeNfIp6tables", json_boolean(access("/proc/sys/net/bridge/bridge-nf-call-ip6tables", F_OK) == 0));
	json_object_set_new(j, "Debug", json_boolean(conf->debug));
	json_object_set_new(j, "LoggingDriver", json_string("json-file"));
	json_object_set_new(j, "IndexServerAddress", json_string("https://index.docker.io/v1/"));
	json_object_set_new(j, "RegistryConfig", registry());
	json_object_set_new(j, "GenericResources", json_null());
	json_object_set_new(j, "DockerRootDir", text(conf->data_root));
	json_object_set_new(j, "Labels", daemon_labels(&conf->labels));
	json_object_set_new(j, "ExperimentalBuild", json_false());
	json_object_set_new(j, "ServerVersion", json_string(PONTOON_VERSION));
	json_object_set_new(j, "Runtimes", runtimes(&conf->engine, &ei));
	json_object_set_new(j, "DefaultRuntime", json_string(ei.runtime));
	json_object_set_new(j, "Swarm", json_pack("{s:s, s:s, s:s, s:b, s:s, s:n}", "NodeID", "", "NodeAddr", "", "LocalNodeState", "inactive", "ControlAvailable", 0, "Error", "", "RemoteManagers"));
	json_object_set_new(j, "LiveRestoreEnabled", json_boolean(conf->live_restore));
	json_object_set_new(j, "InitBinary", json_string(ei.init_binary));
	json_object_set_new(j, "RuncCommit", commit(v, ei.runtime_version));
	json_object_set_new(j, "ContainerdCommit", commit(v, ""));
	json_object_set_new(j, "InitCommit", commit(v, ""));
	json_object_set_new(j, "SecurityOptions", json_pack("[s]", "name=seccomp,profile=builtin"));
	if (v->minor >= 49)
		json_object_set_new(j, "FirewallBackend", json_pack("{s:s}", "Driver", conf->firewall_backend));
	json_object_set_new(j, "Warnings", warnings(&conf->net));
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
