/* Every complaint about a create request, word for word. */
#include <signal.h>

#include "model/container.h"
#include "model/spec_host.h"
#include "test.h"

struct row {
	const char *body, *want; /* want NULL: accepted */
	int minor;               /* 0: 51 */
};

static const char sixty_five[] = "{\"Hostname\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}";
#define HOST(fields) "{\"HostConfig\":{" fields "}}"
#define MODE(m, more) HOST("\"NetworkMode\":\"" m "\"" more)

static const struct row rows[] = {
	{"{}", NULL, 0},
	/* modes */
	{MODE("container:", ""), "invalid network mode: invalid container format container:<name|id>", 0},
	{MODE("container", ""), "invalid network mode: invalid container format container:<name|id>", 0},
	{MODE("containers", ""), NULL, 0},
	{"{\"Hostname\":\"h\",\"HostConfig\":{\"NetworkMode\":\"container:x\"}}",
		"conflicting options: hostname and the network mode", 0},
	{"{\"Hostname\":\"h\",\"HostConfig\":{\"NetworkMode\":\"host\"}}", NULL, 0},
	{"{\"Hostname\":\"a\\n1.2.3.4 b\"}", "invalid hostname \"a\n1.2.3.4 b\": it has blanks or control characters", 0},
	{"{\"Domainname\":\"a b\"}", "invalid domain name \"a b\": it has blanks or control characters", 0},
	{"{\"HostConfig\":{\"DnsSearch\":[\"a\",\"b\\nnameserver 1.2.3.4\"]}}", "invalid DNS search domain \"b\nnameserver 1.2.3.4\": it has blanks or control characters", 0},
	{"{\"HostConfig\":{\"DnsOptions\":[\"ndots:1\\t\"]}}", "invalid DNS option \"ndots:1\t\": it has blanks or control characters", 0},
	{"{\"Hostname\":\"h\",\"HostConfig\":{\"UTSMode\":\"host\"}}", "conflicting options: hostname and the UTS mode",
		0},
	{MODE("host", ",\"Links\":[\"a:b\"]"),
		"conflicting options: host type networking can't be used with links. This would result in undefined "
		"behavior",
		0},
	{MODE("container:x", ",\"Links\":[\"a:b\"]"),
		"conflicting options: container type network can't be used with links. This would result in undefined "
		"behavior",
		0},
	{MODE("container:x", ",\"Dns\":[\"1.1.1.1\"]"), "conflicting options: dns and the network mode", 0},
	{MODE("container:x", ",\"ExtraHosts\":[\"a:1.1.1.1\"]"),
		"conflicting options: custom host-to-IP mapping and the network mode", 0},
	{MODE("container:x", ",\"PublishAllPorts\":true"),
		"conflicting options: port publishing and the container type network mode", 0},
	{MODE("container:x", ",\"PortBindings\":{\"80/tcp\":[]}"),
		"conflicting options: port publishing and the container type network mode", 0},
	{"{\"ExposedPorts\":{\"80/tcp\":{}},\"HostConfig\":{\"NetworkMode\":\"container:x\"}}",
		"conflicting options: port exposing and the container type network mode", 0},
	{"{\"MacAddress\":\"02:00:00:00:00:01\",\"HostConfig\":{\"NetworkMode\":\"host\"}}",
		"conflicting options: mac-address and the network mode", 0},
	{HOST("\"IpcMode\":\"x\""), "invalid IPC mode: x", 0},
	{HOST("\"PidMode\":\"container:\""), "invalid PID mode: container:", 0},
	{HOST("\"UTSMode\":\"x\""), "invalid UTS mode: x", 0},
	{HOST("\"CgroupnsMode\":\"x\""), "invalid cgroup namespace mode: x", 0},
	{HOST("\"Isolation\":\"hyperv\""), "invalid isolation (hyperv): linux only supports 'default'", 0},
	/* configuration */
	{"{\"WorkingDir\":\"x\"}", "the working directory 'x' is invalid, it needs to be an absolute path", 0},
	{"{\"StopSignal\":\"SIGX\"}", "invalid signal: SIGX", 0},
	{"{\"Env\":[\"A=b\",\"=x\"]}", "invalid environment variable: =x", 0},
	{"{\"Env\":[\"\"]}", "invalid environment variable: ", 0},
	{"{\"Healthcheck\":{\"Interval\":5}}", "Interval in Healthcheck cannot be less than 1ms", 0},
	{"{\"Healthcheck\":{\"Retries\":-1}}", "Retries in Healthcheck cannot be negative", 0},
	{sixty_five,
		"hostname \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" is too long (maximum "
		"64 bytes)",
		0},
	{"{\"MacAddress\":\"x\"}", "invalid MAC address: x", 0},
	{"{\"ExposedPorts\":{\"99999/tcp\":{}}}", "invalid port specification: \"99999/tcp\"", 0},
	/* restart */
	{HOST("\"RestartPolicy\":{\"Name\":\"x\"}"),
		"invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', or "
		"'unless-stopped'",
		0},
	{HOST("\"RestartPolicy\":{\"Name\":\"always\",\"MaximumRetryCount\":1}"),
		"invalid restart policy: maximum retry count can only be used with 'on-failure'", 0},
	{HOST("\"RestartPolicy\":{\"Name\":\"always\",\"MaximumRetryCount\":-1}"),
		"invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative",
		0},
	{HOST("\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":-1}"),
		"invalid restart policy: maximum retry count cannot be negative", 0},
	{HOST("\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}"), NULL, 0},
	{HOST("\"AutoRemove\":true,\"RestartPolicy\":{\"Name\":\"always\"}"),
		"can't create 'AutoRemove' container with restart policy", 0},
	{HOST("\"AutoRemove\":true,\"RestartPolicy\":{\"Name\":\"\"}"), NULL, 0},
	/* lists */
	{HOST("\"ExtraHosts\":[\"x\"]"), "bad format for add-host: \"x\"", 0},
	{HOST("\"ExtraHosts\":[\"x:1\"]"), "invalid IP address in add-host: \"1\"", 0},
	{HOST("\"ExtraHosts\":[\"a:1.2.3.4\",\"b:host-gateway\",\"c=[::1]\",\"d:::1\"]"), NULL, 0},
	{HOST("\"Dns\":[\"x\"]"), "x is not an ip address", 0},
	{HOST("\"CapAdd\":[\"net_admin\",\"CAP_KILL\",\"all\",\"foo\"]"),
		"invalid CapAdd: unknown capability: \"CAP_FOO\"", 0},
	{HOST("\"CapDrop\":[\"CAP_bar\"]"), "invalid CapDrop: unknown capability: \"CAP_BAR\"", 0},
	{HOST("\"SecurityOpt\":[\"x\"]"), "invalid --security-opt 1: \"x\"", 0},
	{HOST("\"SecurityOpt\":[\"l=y\"]"), "invalid --security-opt 2: \"l=y\"", 0},
	{HOST("\"SecurityOpt\":[\"no-new-privileges=maybe\"]"), "invalid --security-opt 2: \"no-new-privileges=maybe\"",
		0},
	{HOST("\"SecurityOpt\":[\"no-new-privileges\",\"no-new-privileges:true\",\"seccomp=unconfined\",\"label:"
	      "disable\"]"),
		NULL, 0},
	{HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"x\"}]}"), "invalid port specification: \"x\"", 0},
	{HOST("\"PortBindings\":{\"80/x\":[]}"), "invalid port specification: \"80/x\"", 0},
	{HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"80-90\"},{\"HostPort\":\"0\"},{}]}"), NULL, 0},
	{HOST("\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"x\"}]}"), "invalid IP address: x", 0},
	{HOST("\"LogConfig\":{\"Type\":\"syslog\"}"), "logger: no log driver named 'syslog' is registered", 0},
	{HOST("\"LogConfig\":{\"Type\":\"none\",\"Config\":{\"x\":\"y\"}}"), NULL, 0},
	{HOST("\"LogConfig\":{\"Config\":{\"x\":\"y\"}}"), "unknown log opt 'x' for json-file log driver", 0},
	{HOST("\"LogConfig\":{\"Type\":\"local\",\"Config\":{\"tag\":\"y\"}}"),
		"unknown log opt 'tag' for local log driver", 0},
	{HOST("\"LogConfig\":{\"Config\":{\"mode\":\"y\"}}"), "logger: logging mode not supported: y", 0},
	{HOST("\"LogConfig\":{\"Config\":{\"mode\":\"non-blocking\",\"max-buffer-size\":\"4m\"}}"), NULL, 0},
	{HOST("\"LogConfig\":{\"Config\":{\"mode\":\"non-blocking\",\"max-buffer-size\":\"x\"}}"), "logger: error parsing option max-buffer-size: invalid size: 'x'", 0},
	{HOST("\"LogConfig\":{\"Type\":\"local\",\"Config\":{\"max-buffer-size\":\"1m\"}}"), "logger: max-buffer-size option is only supported with 'mode=non-blocking'", 0},
	{HOST("\"LogConfig\":{\"Config\":{\"compress\":\"true\"}}"), NULL, 0},
	{HOST("\"LogConfig\":{\"Config\":{\"compress\":\"2\"}}"), "failed to initialize logging driver: strconv.ParseBool: parsing \"2\": invalid syntax", 0},
	{HOST("\"LogConfig\":{\"Config\":{\"compress\":\"false\",\"mode\":\"blocking\"}}"), NULL, 0},
	{HOST("\"LogConfig\":{\"Type\":\"local\",\"Config\":{\"compress\":\"F\",\"mode\":\"\"}}"), NULL, 0},
	/* resources */
	{HOST("\"Memory\":6291455"), "Minimum memory limit allowed is 6MB", 0},
	{HOST("\"Memory\":6291456"), NULL, 0},
	{HOST("\"Memory\":8388608,\"MemorySwap\":8388607"),
		"Minimum memoryswap limit should be larger than memory limit, see usage", 0},
	{HOST("\"MemorySwap\":8388607"),
		"You should always set the Memory limit when using Memoryswap limit, see usage", 0},
	{HOST("\"MemorySwappiness\":101"), "Invalid value: 101, valid memory swappiness range is 0-100", 0},
	{HOST("\"MemoryReservation\":5"), "Minimum memory reservation allowed is 6MB", 0},
	{HOST("\"Memory\":8388608,\"MemoryReservation\":8388609"),
		"Minimum memory limit can not be less than memory reservation limit, see usage", 0},
	{HOST("\"NanoCpus\":2000000001"), "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", 0},
	{HOST("\"NanoCpus\":-1"), "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", 0},
	{HOST("\"NanoCpus\":1,\"CpuPeriod\":1000"), "Conflicting options: Nano CPUs and CPU Period cannot both be set",
		0},
	{HOST("\"NanoCpus\":1,\"CpuQuota\":1000"), "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
		0},
	{HOST("\"CpuPeriod\":999"),
		"CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)", 0},
	{HOST("\"CpuQuota\":999"), "CPU cfs quota can not be less than 1ms (i.e. 1000)", 0},
	{HOST("\"CpuShares\":-1"), "invalid CPU shares (-1): value must be a positive integer", 0},
	{HOST("\"CpusetCpus\":\"0-\""), "Invalid value 0- for cpuset cpus", 0},
	{HOST("\"DeviceRequests\":[{\"Driver\":\"\",\"Count\":-1,\"DeviceIDs\":null,\"Capabilities\":[[\"gpu\",\"utility\"],[\"x\"]],\"Options\":{}}]"),
		"could not select device driver \"\" with capabilities: [[gpu utility] [x]]", 0},
	{HOST("\"CpusetCpus\":\"1-0\""), "Invalid value 1-0 for cpuset cpus", 0},
	{HOST("\"CpusetCpus\":\"0-1,3\",\"CpusetMems\":\"0\""), NULL, 0},
	{HOST("\"BlkioWeight\":5"), "Range of blkio weight is from 10 to 1000", 0},
	{HOST("\"OomScoreAdj\":1001"), "Invalid value 1001, range for oom score adj is [-1000, 1000]", 0},
	{HOST("\"ShmSize\":-1"), "SHM size can not be less than 0", 0},
	{HOST("\"Ulimits\":[{\"Name\":\"x\"}]"), "invalid ulimit type: x", 0},
	{HOST("\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":2,\"Hard\":1}]"),
		"ulimit soft limit must be less than or equal to hard limit: 2 > 1", 0},
	{HOST("\"Devices\":[{\"PathOnHost\":\"/dev/x\",\"CgroupPermissions\":\"rx\"}]"), "invalid device mode: rx", 0},
	{HOST("\"DeviceCgroupRules\":[\"c 1:2 rwm\",\"b 8:* r\",\"x 1:1 r\"]"), "invalid device cgroup rule format: 'x 1:1 r'", 0},
	{HOST("\"DeviceCgroupRules\":[\"c 1:1 rwmx\"]"), "invalid device cgroup rule format: 'c 1:1 rwmx'", 0},
	{HOST("\"DeviceCgroupRules\":[\"c 1*:1 r\"]"), "invalid device cgroup rule format: 'c 1*:1 r'", 0},
	{HOST("\"Devices\":[{\"PathOnHost\":\"x\"}]"), "invalid device specification: x", 0},
	{HOST("\"DeviceRequests\":[]"), NULL, 0},
	{HOST("\"StorageOpt\":{\"size\":\"1\"}"),
		"--storage-opt is supported only for overlay over xfs with 'pquota' mount option", 0},
	/* mounts */
	{HOST("\"Binds\":[\"/a:/b\",\"/c:/d:ro,rslave,z\"]"), NULL, 0},
	{HOST("\"Binds\":[\"\"]"), "invalid volume specification: ''", 0},
	{HOST("\"Binds\":[\":/a\"]"), "invalid volume specification: ':/a'", 0},
	{HOST("\"Binds\":[\"/a:rw\"]"), "invalid volume specification: '/a:rw'", 0},
	{HOST("\"Binds\":[\"/a:/b:ro:x\"]"), "invalid volume specification: '/a:/b:ro:x'", 0},
	{HOST("\"Binds\":[\"/a:/b:ro,rw\"]"), "invalid mode: ro,rw", 0},
	{HOST("\"Binds\":[\"/a:/\"]"),
		"invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: "
		"destination can't be '/'",
		0},
	{HOST("\"Binds\":[\"/a:/x/..\"]"),
		"invalid volume specification: '/a:/x/..': invalid mount config for type \"bind\": invalid "
		"specification: destination can't be '/'",
		0},
	{HOST("\"Binds\":[\"/a:b\"]"),
		"invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' "
		"mount path must be absolute",
		0},
	{HOST("\"Binds\":[\"/a:/b\",\"/c:/x/../b//\"]"), "Duplicate mount point: /b", 0},
	{HOST("\"Binds\":[\"/a:/b\"],\"Tmpfs\":{\"/b/\":\"\"}"), "Duplicate mount point: /b", 0},
	{HOST("\"Tmpfs\":{\"/\":\"\"}"), "invalid specification: destination can't be '/'", 0},
	{HOST("\"Tmpfs\":{\"x\":\"\"}"), "invalid mount path: 'x' mount path must be absolute", 0},
	{HOST("\"Mounts\":[{\"Type\":\"x\",\"Target\":\"/a\"}]"),
		"invalid mount config for type \"x\": mount type unknown", 0},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a\"}]"),
		"invalid mount config for type \"bind\": field Target must not be empty", 0},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Target\":\"/a\"}]"),
		"invalid mount config for type \"bind\": field Source must not be empty", 0},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Target\":\"/a\",\"Source\":\"b\"}]"),
		"invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute", 0},
	{HOST("\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/a\",\"Source\":\"b\"}]"),
		"invalid mount config for type \"tmpfs\": field Source must not be specified", 0},
	{HOST("\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/a\",\"BindOptions\":{}}]"),
		"invalid mount config for type \"tmpfs\": field BindOptions must not be specified", 0},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/b\",\"Target\":\"/"
	      "a\",\"BindOptions\":{\"Propagation\":\"x\"}}]"),
		"invalid mount config for type \"bind\": invalid propagation mode: x", 0},
	/* sysctls */
	{HOST("\"Sysctls\":{\"net.core.somaxconn\":\"1\",\"kernel.shmmax\":\"1\",\"fs.mqueue.msg_max\":\"1\"}"), NULL,
		0},
	{HOST("\"Sysctls\":{\"vm.swappiness\":\"1\"}"),
		"sysctl \"vm.swappiness\" is not in a separate kernel namespace", 0},
	{HOST("\"Sysctls\":{\"net...vm.swappiness\":\"1\"}"),
		"sysctl \"net...vm.swappiness\" is not in a separate kernel namespace", 0},
	{MODE("host", ",\"Sysctls\":{\"net.core.somaxconn\":\"1\"}"),
		"sysctl \"net.core.somaxconn\" not allowed in host network namespace", 0},
	{HOST("\"IpcMode\":\"host\",\"Sysctls\":{\"kernel.shmmax\":\"1\"}"),
		"sysctl \"kernel.shmmax\" not allowed in host ipc namespace", 0},
	{HOST("\"Sysctls\":{\"net.ipv4.conf.eth0.forwarding\":\"1\"}"),
		"interface specific sysctl setting \"net.ipv4.conf.eth0.forwarding\" must be supplied using driver "
		"option "
		"'com.docker.network.endpoint.sysctls'",
		48},
	{HOST("\"Sysctls\":{\"net.ipv4.conf.eth1.forwarding\":\"1\"}"),
		"unable to determine network endpoint for sysctl net.ipv4.conf.eth1.forwarding, use driver option "
		"'com.docker.network.endpoint.sysctls' to set per-interface sysctls",
		47},
};

static int judge(const char *body, int minor, bool cgroup2, struct arena *a, struct container_spec *s,
	struct strv *warnings, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	struct spec_host host = {.minor = minor, .ncpu = 2, .cgroup2 = cgroup2};
	try(json_parse(body, strlen(body), &j, e));
	try(spec_parse(j, a, s, e));
	return spec_check(s, &host, a, warnings, e);
}

TEST(texts)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(own_arena) struct arena a = {0};
		struct container_spec s;
		struct strv warnings = {0};
		struct err e = {0};
		int r = judge(rows[i].body, rows[i].minor ? rows[i].minor : 51, false, &a, &s, &warnings, &e);
		if (r < 0)
			CHECK_INT(e.kind, ERR_INVALID);
		if (!rows[i].want && r == 0)
			continue;
		CHECK_STR(e.msg, rows[i].want ? rows[i].want : "accepted");
	}
}

TEST(volumes)
{
	static const struct {
		const char *body, *want;
	} v[] = {{HOST("\"Binds\":[\"name:/b\"]"), ""}, {HOST("\"Binds\":[\"/b\"]"), ""}, {HOST("\"Binds\":[\"name:/b:ro,nocopy,z\"]"), ""},
		{HOST("\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/a\"}]"), ""}, {"{\"Volumes\":{\"/v\":{}}}", ""},
		{HOST("\"Binds\":[\"ab:/y:shared\"]"), "invalid volume specification: 'ab:/y:shared': invalid mount config for type \"volume\": field BindOptions must not be specified"},
		{HOST("\"Binds\":[\"/ab:/y:nocopy\"]"), "invalid volume specification: '/ab:/y:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified"},
		{HOST("\"Binds\":[\"name:/b:ro,rw\"]"), "invalid mode: ro,rw"},
		{HOST("\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/a\",\"ReadOnly\":true}]"), "invalid mount config for type \"volume\": must not set ReadOnly mode when using anonymous volumes"},
		{"{\"Volumes\":{\"v\":{}}}", "invalid volume specification: 'v': invalid mount config for type \"volume\": invalid mount path: 'v' mount path must be absolute"},
		{HOST("\"Tmpfs\":{\"/x\":\"bogus\"}"), "invalid tmpfs option [\"bogus\"]"}, {HOST("\"Tmpfs\":{\"/x\":\"rw,exec,size=1m,mode=1777,uid=3\"}"), ""}};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(own_arena) struct arena a = {0};
		struct container_spec s;
		struct strv warnings = {0};
		struct err e = {0};
		judge(v[i].body, 51, false, &a, &s, &warnings, &e);
		CHECK_STR(e.msg, v[i].want);
	}
}

TEST(rewrites)
{
	OWN(own_arena) struct arena a = {0};
	struct container_spec s;
	struct strv w = {0};
	struct err e = {0};
	REQUIRE(judge(HOST("\"Memory\":8388608"), 51, false, &a, &s, &w, &e) == 0);
	CHECK(s.host.memory_swap == 16777216 && s.host.oom_kill_disable == 0 && streq(s.host.cgroupns_mode, "host"));
	REQUIRE(judge(HOST("\"Memory\":8388608"), 51, true, &a, &s, &w, &e) == 0);
	CHECK(s.host.oom_kill_disable == -1 && streq(s.host.cgroupns_mode, "private") && w.n == 0);
	REQUIRE(judge(HOST("\"OomKillDisable\":true"), 51, true, &a, &s, &w, &e) == 0);
	CHECK(w.n == 1 && streq(w.v[0], "Your kernel does not support OomKillDisable. OomKillDisable discarded."));
	w.n = 0;
	REQUIRE(judge(MODE("host", ",\"PortBindings\":{\"80/tcp\":[]}"), 51, true, &a, &s, &w, &e) == 0);
	CHECK(w.n == 1 && streq(w.v[0], "Published ports are discarded when using host network mode"));
	w.n = 0;
	REQUIRE(judge("{\"HostConfig\":{\"NetworkMode\":\"n\",\"Sysctls\":{\"net.ipv4.conf.eth0.a\":\"1\",\"net.x\":"
		      "\"2\",\"net.ipv6.conf.eth0.b\":\"3\"}},"
		      "\"NetworkingConfig\":{\"EndpointsConfig\":{\"m\":{},\"n\":{\"DriverOpts\":{\"com.docker.network."
		      "endpoint.sysctls\":\"z=1\"}}}}}",
			47, false, &a, &s, &w, &e) == 0);
	const struct endpoint_settings *ep = s.endpoints.v;
	REQUIRE(s.endpoints.n == 2 && s.host.sysctls.n == 1 && w.n == 1);
	CHECK_STR(kvs_get(&ep[1].driver_opts, "com.docker.network.endpoint.sysctls"),
		"net.ipv4.conf.IFNAME.a=1,net.ipv6.conf.IFNAME.b=3,z=1");
	CHECK_STR(w.v[0], "Migrated sysctl \"net.ipv4.conf.eth0.a,net.ipv6.conf.eth0.b\" to "
			  "DriverOpts{\"com.docker.network.endpoint.sysctls\":\"net.ipv4.conf.IFNAME.a=1,net.ipv6.conf."
			  "IFNAME.b=3\"}.");
	w.n = 0;
	REQUIRE(judge(HOST("\"Sysctls\":{\"net.ipv4.conf.eth0.a\":\"1\"}"), 47, false, &a, &s, &w, &e) == 0);
	ep = s.endpoints.v;
	CHECK(s.endpoints.n == 1 && streq(ep->network, "bridge") && s.host.sysctls.n == 0 && w.n == 1);
}

/* What the host cannot do: told and left out, or refused. */
TEST(hosts)
{
	static const struct {
		const char *body;
		unsigned lacks;
		const char *warning, *error;
	} v[] = {
		{"\"Memory\":8388608", 1u << CONTROL_MEMORY, "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.", ""},
		{"\"Memory\":8388608", 1u << CONTROL_SWAP, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.", ""},
		{"\"MemorySwappiness\":5", 1u << CONTROL_SWAPPINESS, "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.", ""},
		{"\"MemoryReservation\":8388608", 1u << CONTROL_RESERVATION, "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.", ""},
		{"\"OomKillDisable\":true", 1u << CONTROL_OOM, "Your kernel does not support OomKillDisable. OomKillDisable discarded.", ""},
		{"\"PidsLimit\":5", 1u << CONTROL_PIDS, "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.", ""},
		{"\"CpuShares\":5", 1u << CONTROL_SHARES, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.", ""},
		{"\"CpuQuota\":5000", 1u << CONTROL_CFS_QUOTA, "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.", ""},
		{"\"NanoCpus\":1000000000", 1u << CONTROL_CFS_PERIOD, "", "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"},
		{"\"CpusetCpus\":\"99\"", 1u << CONTROL_CPUSET, "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.", ""},
		{"\"BlkioWeight\":100", 1u << CONTROL_WEIGHT, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.", ""},
		{"\"BlkioWeightDevice\":[{\"Path\":\"/dev/x\",\"Weight\":100}]", 1u << CONTROL_WEIGHT_DEVICE, "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.", ""},
		{"\"BlkioDeviceWriteIOps\":[{\"Path\":\"/dev/x\",\"Rate\":100}]", 1u << CONTROL_WRITE_IOPS, "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.", ""},
		{"\"Memory\":8388608,\"PidsLimit\":5,\"CpuShares\":5,\"CpusetCpus\":\"0-3,7\",\"CpusetMems\":\"0\",\"BlkioWeight\":100", 0, "", ""},
		{"\"CpusetCpus\":\"0-4\"", 0, "", "Requested CPUs are not available - requested 0-4, available: 0-3,7"},
		{"\"CpusetCpus\":\"8191\"", 0, "", "Requested CPUs are not available - requested 8191, available: 0-3,7"},
		{"\"CpusetCpus\":\"8192\"", 0, "", "Invalid value 8192 for cpuset cpus"},
		{"\"CpusetMems\":\"0,1\"", 0, "", "Requested memory nodes are not available - requested 0,1, available: 0"},
	};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(own_arena) struct arena a = {0};
		OWN(own_json) json_t *j = NULL;
		char body[512];
		struct container_spec s;
		struct strv warnings = {0};
		struct err e = {0};
		const struct spec_host host = {.minor = 51, .ncpu = 8, .lacks = v[i].lacks, .cpus = "0-3,7", .mems = "0"};
		snprintf(body, sizeof(body), "{\"HostConfig\":{%s}}", v[i].body);
		REQUIRE(json_parse(body, strlen(body), &j, &e) == 0 && spec_parse(j, &a, &s, &e) == 0);
		spec_check(&s, &host, &a, &warnings, &e);
		CHECK_STR(e.msg, v[i].error);
		CHECK_INT(warnings.n, *v[i].warning != 0);
		CHECK_STR(warnings.n ? warnings.v[0] : "", v[i].warning);
		/* what is left out is told once */
		warnings.n = 0;
		if (!*v[i].error)
			CHECK(spec_check(&s, &host, &a, &warnings, &e) == 0 && warnings.n == 0);
	}
}

TEST(names)
{
	static const char *const good[] = {"ab", "a.b-c_D", "0x"}, *const bad[] = {"", "a", "-a", "a b", "a/b",
									   "\303\244b", ".."};
	struct err e = {0};
	char name[LIMIT_NAME + 3], made[64];
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_INT(container_name_check(good[i], &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(container_name_check(bad[i], &e), -EINVAL);
	container_name_check("a b", &e);
	CHECK_STR(e.msg, "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
	memset(name, 'a', sizeof(name));
	name[LIMIT_NAME + 1] = '\0';
	CHECK_INT(container_name_check(name, &e), -EINVAL);
	name[LIMIT_NAME] = '\0';
	CHECK_INT(container_name_check(name, &e), 0);
	for (unsigned i = 0; i < 5000; i++) {
		container_name_generate(i * 2654435761u, made, sizeof(made));
		REQUIRE(container_name_check(made, &e) == 0);
	}
}

TEST(signals)
{
	static const struct {
		const char *name;
		int want;
	} list[] = {{"TERM", SIGTERM}, {"SIGTERM", SIGTERM}, {"sigkill", SIGKILL}, {"9", 9}, {"64", 64}, {"RTMIN", 34},
		{"SIGRTMIN+3", 37}, {"RTMAX-1", 63}, {"RTMAX", 64}, {"CLD", SIGCHLD}, {"", 0}, {"0", 0}, {"65", 0},
		{"-9", 0}, {" 9", 0}, {"9x", 0}, {"RTMIN-1", 0}, {"RTMIN+ 1", 0}, {"RTMIN+31", 0}, {"RTMAX+1", 0},
		{"SIG", 0}, {"99999999999999999999", 0}};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		int got = 0;
		int r = signal_parse(list[i].name, &got);
		CHECK_INT(r, list[i].want ? 0 : -EINVAL);
		CHECK_INT(got, list[i].want);
	}
	CHECK_STR(signal_name(SIGTERM), "SIGTERM");
	CHECK(!signal_name(40) && !signal_name(0));
}

static struct strv words(struct arena *a, const char *text)
{
	struct strv l = {0};
	char *copy = arena_dup(a, text);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		strv_add(a, &l, w);
	return l;
}

/* Docker's rule of entrypoint and command, from either side. */
TEST(arguments)
{
	static const struct {
		const char *entry, *cmd, *image_entry, *image_cmd, *want;
	} list[] = {{"", "", "e", "c", "e c"}, {"", "x y", "e", "c", "e x y"}, {"z", "", "e", "c", "z"},
		{"z", "x", "e", "c", "z x"}, {"", "", "", "c", "c"}, {"", "x", "", "c", "x"}, {"", "", "", "", ""}};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		OWN(own_arena) struct arena a = {0};
		struct config own = {.entrypoint = words(&a, list[i].entry), .cmd = words(&a, list[i].cmd)};
		struct config image = {
			.entrypoint = words(&a, list[i].image_entry), .cmd = words(&a, list[i].image_cmd)};
		struct strv got = container_args(&a, &own, &image), want = words(&a, list[i].want);
		REQUIRE(got.n == want.n);
		for (size_t k = 0; k < got.n; k++)
			CHECK_STR(got.v[k], want.v[k]);
	}
	OWN(own_arena) struct arena a = {0};
	struct config none = {.has_entrypoint = true}, image = {.entrypoint = words(&a, "e"), .cmd = words(&a, "c")};
	CHECK_INT(container_args(&a, &none, &image).n, 0); /* given as []: nothing of the image's is used */
}

/* Words of a runtime may be cut anywhere; what is stored is UTF-8. */
TEST(state_of_bytes)
{
	struct arena mem = {0};
	struct container_spec *spec = arena_new(&mem, struct container_spec, 1);
	struct err e = {0};
	spec_defaults(spec);
	struct container *c = container_new("id", "n", spec, &mem), *back = container_copy(c);
	STR_COPY(c->error, "bad \377\300\200 \303\274 \342\202");
	c->state = STATE_EXITED;
	c->exit_code = 137;
	c->finished = 5;
	OWN(own_json) json_t *j = container_state_to_json(c);
	OWN(own_free) char *text = json_text(j);
	REQUIRE(text);
	OWN(own_json) json_t *read = NULL;
	REQUIRE(json_parse(text, strlen(text), &read, &e) == 0);
	REQUIRE(container_state_from_json(back, read, &e) == 0);
	CHECK_STR(back->error, "bad ??? \303\274 ??");
	CHECK(back->state == STATE_EXITED && back->exit_code == 137 && back->finished == 5);
	json_object_set_new(read, "state", json_integer(99));
	CHECK(container_state_from_json(back, read, &e) < 0);
	thing_unref(c);
	thing_unref(back);
}

TESTS(T(texts), T(volumes), T(rewrites), T(hosts), T(names), T(signals), T(arguments), T(state_of_bytes))
