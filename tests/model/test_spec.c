#include "model/container.h"
#include "model/ulimit.h"
#include "model/spec_host.h"
#include "model/image.h"
#include "oom.h"
#include "test.h"

/* What the docker CLI 28 sends for `docker run -d --name a alpine sleep 1h`. */
static const char run_body[] = "{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,"
			       "\"AttachStdout\":false,\"AttachStderr\":false,\"Tty\":false,"
			       "\"OpenStdin\":false,\"StdinOnce\":false,\"Env\":null,\"Cmd\":[\"sleep\",\"1h\"],"
			       "\"Image\":\"alpine\",\"Volumes\":{},\"WorkingDir\":\"\","
			       "\"Entrypoint\":null,\"OnBuild\":null,\"Labels\":{},\"HostConfig\":{\"Binds\":null,"
			       "\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"\","
			       "\"Config\":{}},\"NetworkMode\":\"default\",\"PortBindings\":{},\"RestartPolicy\":{"
			       "\"Name\":\"no\",\"MaximumRetryCount\":0},"
			       "\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,\"ConsoleSize\":[24,80]"
			       ",\"CapAdd\":null,\"CapDrop\":null,"
			       "\"CgroupnsMode\":\"\",\"Dns\":[],\"DnsOptions\":[],\"DnsSearch\":[],\"ExtraHosts\":"
			       "null,\"GroupAdd\":null,\"IpcMode\":\"\","
			       "\"Cgroup\":\"\",\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":false,"
			       "\"PublishAllPorts\":false,"
			       "\"ReadonlyRootfs\":false,\"SecurityOpt\":null,\"UTSMode\":\"\",\"UsernsMode\":\"\","
			       "\"ShmSize\":0,\"Isolation\":\"\",\"CpuShares\":0,"
			       "\"Memory\":0,\"NanoCpus\":0,\"CgroupParent\":\"\",\"BlkioWeight\":0,"
			       "\"BlkioWeightDevice\":[],\"BlkioDeviceReadBps\":[],"
			       "\"BlkioDeviceWriteBps\":[],\"BlkioDeviceReadIOps\":[],\"BlkioDeviceWriteIOps\":[],"
			       "\"CpuPeriod\":0,\"CpuQuota\":0,"
			       "\"CpuRealtimePeriod\":0,\"CpuRealtimeRuntime\":0,\"CpusetCpus\":\"\",\"CpusetMems\":"
			       "\"\",\"Devices\":[],\"DeviceCgroupRules\":null,"
			       "\"DeviceRequests\":null,\"MemoryReservation\":0,\"MemorySwap\":0,\"MemorySwappiness\":-"
			       "1,\"OomKillDisable\":false,\"PidsLimit\":0,"
			       "\"Ulimits\":[],\"CpuCount\":0,\"CpuPercent\":0,\"IOMaximumIOps\":0,"
			       "\"IOMaximumBandwidth\":0,\"MaskedPaths\":null,"
			       "\"ReadonlyPaths\":null},\"NetworkingConfig\":{\"EndpointsConfig\":{\"default\":{"
			       "\"IPAMConfig\":null,\"Links\":null,\"Aliases\":null,"
			       "\"MacAddress\":\"\",\"DriverOpts\":null,\"GwPriority\":0,\"NetworkID\":\"\","
			       "\"EndpointID\":\"\",\"Gateway\":\"\",\"IPAddress\":\"\","
			       "\"IPPrefixLen\":0,\"IPv6Gateway\":\"\",\"GlobalIPv6Address\":\"\","
			       "\"GlobalIPv6PrefixLen\":0,\"DNSNames\":null}}}}";

/* Every field that a request can have, with a value that is not its default. */
static const char full_body[] =
	"{\"Hostname\":\"h\",\"Domainname\":\"d\",\"User\":\"1:2\",\"AttachStdin\":true,\"AttachStdout\":true,"
	"\"AttachStderr\":true,"
	"\"ExposedPorts\":{\"80\":{},\"53/UDP\":{},\"1000-1002/"
	"tcp\":{}},\"Tty\":true,\"OpenStdin\":true,\"StdinOnce\":true,\"Env\":[\"A=b\",\"C\"],"
	"\"Cmd\":\"one\",\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":2000000,\"Timeout\":3000000,"
	"\"StartPeriod\":4000000,"
	"\"StartInterval\":5000000,\"Retries\":3},\"ArgsEscaped\":true,\"Image\":\"i\",\"Volumes\":{\"/"
	"v\":{}},\"WorkingDir\":\"/w\","
	"\"Entrypoint\":[\"e\"],\"NetworkDisabled\":true,\"MacAddress\":\"02:00:00:00:00:01\",\"OnBuild\":[\"o\"],"
	"\"Labels\":{\"l\":\"v\"},"
	"\"StopSignal\":\"SIGINT\",\"StopTimeout\":0,\"Shell\":[\"sh\",\"-c\"],\"HostConfig\":{\"Binds\":[\"/a:/"
	"b:ro\"],\"ContainerIDFile\":\"c\","
	"\"LogConfig\":{\"Type\":\"local\",\"Config\":{\"max-size\":\"1m\"}},\"NetworkMode\":\"mine\",\"PortBindings\":"
	"{\"80/tcp\":[{\"HostIp\":"
	"\"127.0.0.1\",\"HostPort\":\"8080\"},{\"HostIp\":\"\",\"HostPort\":\"\"}],\"90/"
	"tcp\":null},\"RestartPolicy\":{\"Name\":\"on-failure\","
	"\"MaximumRetryCount\":4},\"AutoRemove\":true,\"VolumeDriver\":\"local\",\"VolumesFrom\":[\"x\"],"
	"\"ConsoleSize\":[24,80],"
	"\"Annotations\":{\"n\":\"m\"},\"CapAdd\":[\"CAP_SYS_TIME\"],\"CapDrop\":[\"ALL\"],\"CgroupnsMode\":"
	"\"private\",\"Dns\":[\"1.1.1.1\"],"
	"\"DnsOptions\":[\"ndots:1\"],\"DnsSearch\":[\"s\"],\"ExtraHosts\":[\"h:1.2.3.4\"],\"GroupAdd\":[\"3\"],"
	"\"IpcMode\":\"shareable\","
	"\"Cgroup\":\"cg\",\"Links\":[\"a:b\"],\"OomScoreAdj\":-5,\"PidMode\":\"host\",\"Privileged\":true,"
	"\"PublishAllPorts\":true,"
	"\"ReadonlyRootfs\":true,\"SecurityOpt\":[\"no-new-privileges\"],\"StorageOpt\":{\"size\":\"1G\"},\"Tmpfs\":{"
	"\"/t\":\"size=1m\"},"
	"\"UTSMode\":\"host\",\"UsernsMode\":\"host\",\"ShmSize\":1048576,\"Sysctls\":{\"net.core.somaxconn\":\"1\"},"
	"\"Runtime\":\"runc\","
	"\"Isolation\":\"default\",\"CpuShares\":1,\"Memory\":8388608,\"NanoCpus\":500000000,\"CgroupParent\":\"/"
	"p\",\"BlkioWeight\":100,"
	"\"BlkioWeightDevice\":[{\"Path\":\"/dev/a\",\"Weight\":10}],\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/"
	"a\",\"Rate\":1}],"
	"\"BlkioDeviceWriteBps\":[{\"Path\":\"/dev/a\",\"Rate\":2}],\"BlkioDeviceReadIOps\":[{\"Path\":\"/dev/"
	"a\",\"Rate\":3}],"
	"\"BlkioDeviceWriteIOps\":[{\"Path\":\"/dev/"
	"a\",\"Rate\":4}],\"CpuPeriod\":1000,\"CpuQuota\":2000,\"CpuRealtimePeriod\":3,"
	"\"CpuRealtimeRuntime\":2,\"CpusetCpus\":\"0-1\",\"CpusetMems\":\"0\",\"Devices\":[{\"PathOnHost\":\"/dev/"
	"x\",\"PathInContainer\":\"/dev/y\","
	"\"CgroupPermissions\":\"rwm\"}],\"DeviceCgroupRules\":[\"c 1:3 "
	"r\"],\"DeviceRequests\":[{\"Driver\":\"\",\"Count\":-1}],"
	"\"MemoryReservation\":7340032,\"MemorySwap\":-1,\"MemorySwappiness\":0,\"OomKillDisable\":true,\"PidsLimit\":"
	"7,"
	"\"Ulimits\":[{\"Name\":\"nofile\",\"Hard\":2,\"Soft\":1}],\"CpuCount\":1,\"CpuPercent\":2,\"IOMaximumIOps\":3,"
	"\"IOMaximumBandwidth\":4,"
	"\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/s\",\"Target\":\"/"
	"m\",\"ReadOnly\":true,\"Consistency\":\"cached\",\"BindOptions\":"
	"{\"Propagation\":\"rslave\"}}],\"MaskedPaths\":[\"/x\"],\"ReadonlyPaths\":[\"/"
	"y\"],\"Init\":true},\"NetworkingConfig\":{\"EndpointsConfig\":"
	"{\"mine\":{\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.2\",\"IPv6Address\":\"fd00::2\",\"LinkLocalIPs\":[\"169."
	"254.1.1\"]},\"Links\":[\"q:r\"],"
	"\"Aliases\":[\"al\"],\"MacAddress\":\"02:00:00:00:00:02\",\"DriverOpts\":{\"k\":\"v\"},\"GwPriority\":9}}}}";

static int parse(const char *text, struct arena *a, struct container_spec *out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	try(json_parse(text, strlen(text), &j, e));
	return spec_parse(j, a, out, e);
}

static char *pretty(json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(4)), *line;
	json_decref(j);
	line = text ? malloc(strlen(text) + 2) : NULL;
	if (line)
		sprintf(line, "%s\n", text);
	free(text);
	return line;
}

/* What `docker inspect` shows of a plain container, key for key. */
TEST(plain_container)
{
	OWN(own_arena) struct arena a = {0};
	struct container_spec s;
	struct strv warnings = {0};
	struct err e = {0};
	struct spec_host host = {.minor = 51, .ncpu = 2};
	REQUIRE(parse(run_body, &a, &s, &e) == 0);
	REQUIRE(spec_check(&s, &host, &a, &warnings, &e) == 0);
	CHECK_INT(warnings.n, 0);
	CHECK_INT(s.host.console_h, 24);
	CHECK_INT(s.host.console_w, 80);
	CHECK(s.endpoints.n == 1 && streq(((struct endpoint_settings *)s.endpoints.v)->network, "bridge"));
	OWN(own_free) char *config = pretty(json_encode(config_table, &s.config));
	OWN(own_free) char *host_config = pretty(json_encode(host_config_table, &s.host));
	GOLDEN("model/plain-config.json", config);
	GOLDEN("model/plain-hostconfig.json", host_config);
}

TEST(every_field)
{
	OWN(own_arena) struct arena a = {0};
	struct container_spec s, back;
	struct err e = {0};
	REQUIRE(parse(full_body, &a, &s, &e) == 0);
	OWN(own_json) json_t *j = spec_to_json(&s);
	OWN(own_free) char *text = pretty(json_incref(j));
	GOLDEN("model/every-field.json", text);
	REQUIRE(spec_from_json(j, &a, &back, &e) == 0);
	OWN(own_free) char *again = pretty(spec_to_json(&back));
	CHECK_STR(again, text);
	CHECK(s.config.has_cmd && s.config.cmd.n == 1 && streq(s.config.cmd.v[0], "one"));
	CHECK_INT(s.config.stop_timeout, 0);
	CHECK_INT(s.host.memory_swappiness, 0);
	CHECK_INT(s.host.init, 1);
}

/* Go's decoder does not mind the case of a key; null is "not given"; the wrong type names the field. */
TEST(like_go)
{
	OWN(own_arena) struct arena a = {0};
	struct container_spec s;
	struct err e = {0};
	REQUIRE(parse("{\"cmd\":[\"x\"],\"hostconfig\":{\"memory\":8388608,\"maskedpaths\":[]},\"networkingconfig\":{"
		      "\"endpointsconfig\":{\"n\":{}}}}",
			&a, &s, &e) == 0);
	CHECK(s.config.has_cmd && s.host.memory == 8388608 && s.host.has_masked_paths && s.host.masked_paths.n == 0 &&
		s.endpoints.n == 1);
	REQUIRE(parse("{\"HostConfig\":null,\"NetworkingConfig\":null,\"Cmd\":null}", &a, &s, &e) == 0);
	CHECK(!s.config.has_cmd && streq(s.host.network_mode, "bridge") && s.host.masked_paths.n > 5 &&
		s.host.shm_size == 64 << 20);
	REQUIRE(parse("{\"Config\":{\"Cmd\":[\"no\"]}}", &a, &s, &e) == 0);
	CHECK_INT(s.config.cmd.n, 0);
	CHECK_INT(parse("{\"HostConfig\":{\"Memory\":\"1\"}}", &a, &s, &e), -EINVAL);
	CHECK_STR(e.msg, "HostConfig.Memory: expected a number, got a string");
	CHECK_INT(parse("{\"HostConfig\":{\"ConsoleSize\":[1]}}", &a, &s, &e), -EINVAL);
	CHECK_STR(e.msg, "HostConfig.ConsoleSize: expected a list of two numbers, got a list");
	CHECK_INT(parse("{\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":null}}}", &a, &s, &e), -EINVAL);
	CHECK_STR(e.msg, "invalid config for network n: EndpointsConfig is nil");
	CHECK_INT(parse("[]", &a, &s, &e), -EINVAL);
	CHECK_INT(spec_parse(NULL, &a, &s, &e), -EINVAL);
	CHECK_STR(e.msg, "config cannot be empty in order to create a container");
}

/* What the daemon's configuration says counts where the request says nothing, and only there. */
TEST(falls_back)
{
	static struct ulimit limits[] = {{"nofile", 20, 10}, {"core", -1, 0}};
	static const struct spec_fallback daemons = {.ulimits = {limits, 2}, .shm_size = 1 << 20, .ipc_mode = "shareable", .cgroupns_mode = "private", .no_new_privileges = true};
	static const struct {
		const char *body;
		bool cgroup2;
		long shm;
		const char *ipc, *cgroupns, *security;
		int files; /* the hard limit of open ones */
	} v[] = {
		{"{}", false, 1 << 20, "shareable", "private", "no-new-privileges", 20},
		{"{\"HostConfig\":{\"ShmSize\":0,\"IpcMode\":\"\",\"CgroupnsMode\":\"\"}}", true, 1 << 20, "shareable", "private", "no-new-privileges", 20},
		{"{\"hostconfig\":{\"shmsize\":5,\"ipcmode\":\"private\",\"cgroupnsmode\":\"host\",\"securityopt\":[\"no-new-privileges=false\"],\"ulimits\":[{\"Name\":\"nofile\",\"Hard\":2,\"Soft\":1}]}}", true, 5, "private", "host", "no-new-privileges=false", 2},
		{"{\"HostConfig\":{\"Privileged\":true}}", false, 1 << 20, "shareable", "", "no-new-privileges", 20},
		{"{\"HostConfig\":{\"Privileged\":true}}", true, 1 << 20, "shareable", "private", "no-new-privileges", 20},
	};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(own_arena) struct arena a = {0};
		OWN(own_json) json_t *j = NULL;
		struct container_spec s;
		struct err e = {0};
		REQUIRE(json_parse(v[i].body, strlen(v[i].body), &j, &e) == 0 && spec_parse(j, &a, &s, &e) == 0);
		REQUIRE(spec_fall_back(&s, j, &daemons, v[i].cgroup2, &a, &e) == 0);
		CHECK_INT(s.host.shm_size, v[i].shm);
		CHECK_STR(s.host.ipc_mode, v[i].ipc);
		CHECK_STR(s.host.cgroupns_mode ? s.host.cgroupns_mode : "", v[i].cgroupns);
		CHECK(s.host.security_opt.n == 1 && streq(s.host.security_opt.v[0], v[i].security));
		const struct ulimit *files = ulimit_find(&s.host.ulimits, "nofile"), *core = ulimit_find(&s.host.ulimits, "core");
		CHECK(s.host.ulimits.n == 2 && files && files->hard == v[i].files && core && core->hard == -1);
		struct container_spec plain, nameless;
		OWN(own_json) json_t *bad = json_pack("{s:{s:[{s:i}]}}", "HostConfig", "Ulimits", "Hard", 1);
		CHECK(spec_parse(bad, &a, &nameless, &e) == 0 && spec_fall_back(&nameless, bad, &daemons, true, &a, &e) == 0 && nameless.host.ulimits.n == 3);
		REQUIRE(spec_parse(j, &a, &plain, &e) == 0 && spec_fall_back(&plain, j, &(struct spec_fallback){0}, true, &a, &e) == 0);
		CHECK(plain.host.shm_size == (v[i].shm == 5 ? 5 : 64 << 20) && streq(plain.host.ipc_mode, "private"));
	}
}

TEST(port_keys)
{
	OWN(own_arena) struct arena a = {0};
	static const char *const rows[][2] = {{"80", "80/tcp"}, {"53/UDP", "53/udp"}, {"1-65535/sctp", "1-65535/sctp"},
		{"0", NULL}, {"65536", NULL}, {"", NULL}, {"80/", NULL}, {"80/x", NULL}, {"9-8", NULL}, {"-8", NULL},
		{"8-", NULL}, {"8-9-10", NULL}, {" 8", NULL}, {"+8", NULL}, {"000080", NULL}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = NULL;
		struct err e = {0};
		int r = spec_port_key(&a, rows[i][0], &got, &e);
		if (rows[i][1])
			CHECK_STR(got, rows[i][1]);
		else
			CHECK(r == -EINVAL && str_starts(e.msg, "invalid port specification: \""));
	}
}

/* Whatever allocation fails while a request is read, judged and written: an error, or the same result (what failed was
 * not needed). */
TEST(no_memory)
{
	OWN(own_free) char *want = NULL;
	unsigned k = 0;
	bool failed = true;
	for (; failed; k++) {
		OWN(own_arena) struct arena a = {0};
		OWN(own_json) json_t *j = NULL;
		OWN(own_json) json_t *out = NULL;
		OWN(own_free) char *text = NULL;
		struct container_spec s;
		struct strv warnings = {0};
		struct spec_host host = {.minor = 51};
		struct err e = {0};
		REQUIRE(json_parse(run_body, strlen(run_body), &j, &e) == 0);
		oom_after = k;
		int r = spec_parse(j, &a, &s, &e);
		if (r >= 0)
			r = spec_check(&s, &host, &a, &warnings, &e);
		if (r >= 0 && (!(out = spec_to_json(&s)) || !(text = json_text(out))))
			r = -ENOMEM;
		struct container *c = NULL;
		if (r >= 0) {
			struct container_spec *kept = arena_new(&a, struct container_spec, 1);
			if (kept)
				*kept = s;
			c = kept ? container_new("id", "name", kept, &a) : NULL;
			r = c ? 0 : -ENOMEM;
		}
		failed = !oom_after; /* used up */
		oom_after = 0;
		CHECK(r == 0 || r == -ENOMEM);
		if (!want && r == 0)
			want = STEAL(text);
		else if (r == 0)
			CHECK_STR(text, want);
		thing_unref(c);
		if (test_failed)
			break;
	}
	printf("# %u allocations failed in turn\n", k - 2);
	CHECK(k > 200);
}

TEST(images)
{
	static const char good[] = "{\"architecture\":\"arm64\",\"variant\":\"v8\",\"os\":\"linux\",\"created\":\"2024-"
				   "01-02T03:04:05.5Z\",\"author\":\"me\","
				   "\"config\":{\"Env\":[\"PATH=/"
				   "bin\"],\"Cmd\":[\"sh\"],\"ExposedPorts\":{\"80\":{},\"odd\":{}},\"Healthcheck\":{"
				   "\"Test\":[\"NONE\"]}},"
				   "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:"
				   "0123456789012345678901234567890123456789012345678901234567890123\"]},"
				   "\"history\":[{\"created_by\":\"x\"}],\"new\":1}";
	struct image *img;
	struct err e = {0};
	REQUIRE(image_new("abc", good, &img, &e) == 0);
	CHECK(streq(img->config_text, good) && streq(img->architecture, "arm64") && streq(img->variant, "v8") &&
		streq(img->author, "me"));
	CHECK_INT(img->created, 1704164645500000000);
	CHECK(img->diff_ids.n == 1 && img->config.has_cmd && !img->config.has_entrypoint &&
		img->config.stop_timeout == -1);
	CHECK(streq(img->history, "[{\"created_by\":\"x\"}]"));
	CHECK(strv_has(&img->config.exposed_ports, "80/tcp") && strv_has(&img->config.exposed_ports, "odd"));
	thing_unref(img);
	static const char *const bad[] = {
		"", "[]", "{", "{\"rootfs\":{\"diff_ids\":[\"../x\"]}}", "{\"created\":\"soon\"}", "{\"config\":7}"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_INT(image_new("abc", bad[i], &img, &e), -EINVAL);
		CHECK(str_starts(e.msg, "image configuration abc: "));
	}
	REQUIRE(image_new("abc", "{\"created\":\"0001-01-01T00:00:00Z\",\"config\":null}", &img, &e) == 0);
	CHECK_INT(img->created, 0);
	thing_unref(img);
	for (unsigned k = 1, failed = 1; failed; k++) {
		oom_after = k;
		int r = image_new("abc", good, &img, &e);
		failed = !oom_after;
		oom_after = 0;
		if (r == 0)
			thing_unref(img);
		CHECK(r == 0 || (failed && (r == -ENOMEM || r == -EINVAL)));
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		T(plain_container), T(every_field), T(like_go), T(falls_back), T(port_keys), T(no_memory), T(images)};
	oom_setup();
	return test_main(tests, ARRAY_LEN(tests), argc, argv);
}
