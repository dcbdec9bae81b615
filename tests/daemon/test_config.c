/* The command line and daemon.json: what each option of dockerd's does, is passed over with, or is refused with; the same in both places. */
#include "daemon/config.h"

#include <unistd.h>

#include "base/fd.h"
#include "model/ulimit.h"
#include "test.h"

static char file[] = "/tmp/pontoon-config-XXXXXX";

static void write_conf(const char *text)
{
	static int made;
	if (!made) {
		int fd = mkstemp(file);
		made = fd >= 0;
		close(fd);
	}
	CHECK_INT(write_file(file, text, strlen(text), 0600, NULL), 0);
}

/* Up to four words beside the file. */
static int read_conf(struct config_daemon *c, const char *json, const char *const *words)
{
	static char program[] = "pontoond", option[] = "--config-file";
	char *argv[8] = {program, option, file};
	int argc = 3;
	write_conf(json);
	for (; words && *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	return config_read(c, argc, argv);
}

static const char *joined(const struct strv *l, struct arena *a)
{
	const char *s = "";
	for (size_t i = 0; i < l->n; i++)
		s = arena_printf(a, "%s%s%s", s, i ? "|" : "", l->v[i]);
	return s;
}

/* One option in both places; what is wrong with it, what is said of it. */
struct row {
	const char *json, *flag[3], *wrong, *said;
};

static void check_row(const struct row *r)
{
	const char *const *const words[] = {NULL, r->flag};
	for (int i = 0; i < 2; i++) {
		struct config_daemon c;
		struct arena a = {0};
		if (i == 0 ? !r->json : !r->flag[0])
			continue;
		int good = read_conf(&c, i == 0 ? r->json : "{}", words[i]);
		CHECK_STR(joined(&c.errors, &a), r->wrong ? r->wrong : "");
		CHECK_STR(joined(&c.passed_over, &a), r->said ? r->said : "");
		CHECK_INT(good == 0, !r->wrong);
		if (test_failed)
			printf("# %s %s %s\n", i ? "flag" : "file", i ? r->flag[0] : r->json, i && r->flag[1] ? r->flag[1] : "");
		arena_free(&a);
		config_free(&c);
	}
}

#define SWARM " is passed over: there is no swarm here"
#define CONTAINERD " is passed over: Pontoon needs no containerd"
#define USERNS "userns-remap: containers have no user namespace here: their root would be the host's. Take it out if that may be"
#define STORE ": networks are not kept in a key-value store, and do not reach other hosts: take it out"

TEST(what_pontoon_has_not)
{
	static const struct row rows[] = {
		{"{\"userns-remap\":\"default\"}", {"--userns-remap", "default"}, USERNS, NULL},
		{"{\"userns-remap\":\"\"}", {"--userns-remap="}, NULL, NULL},
		{"{\"userns-remap\":true}", {NULL}, "userns-remap: expected a string", NULL},
		{"{\"selinux-enabled\":true}", {"--selinux-enabled"}, "selinux-enabled: containers would get no labels, and SELinux not keep them apart. Take it out if that may be", NULL},
		{"{\"selinux-enabled\":false}", {"--selinux-enabled=false"}, NULL, NULL},
		{NULL, {"--selinux-enabled=x"}, "invalid value \"x\" for --selinux-enabled: expected true or false", NULL},
		{"{\"authorization-plugins\":[\"a\"]}", {"--authorization-plugin", "a"},
			"authorization-plugins: no plugin would be asked, and every request be served. Take it out if the socket's group and --tlsverify keep others away well enough", NULL},
		{"{\"authorization-plugins\":[]}", {NULL}, NULL, NULL},
		{"{\"authorization-plugins\":[7]}", {NULL}, "authorization-plugins: expected a list of strings", NULL},
		{"{\"rootless\":true}", {"--rootless"}, "rootless: pontoond must be started as root", NULL},
		{"{\"cri-containerd\":true}", {"--cri-containerd"}, "cri-containerd: Pontoon starts no containerd that a kubelet could use: run one beside it, and take this out", NULL},
		{"{\"cpu-rt-runtime\":950000}", {"--cpu-rt-runtime", "950000"}, "cpu-rt-runtime: the containers' parent cgroup gets no real-time limits: take it out", NULL},
		{"{\"cpu-rt-period\":0}", {"--cpu-rt-period=0"}, NULL, NULL},
		{NULL, {"--cpu-rt-period", "1s"}, "invalid value \"1s\" for --cpu-rt-period: expected a number", NULL},
		{"{\"cluster-store\":\"etcd://x\"}", {"--cluster-store", "etcd://x"}, "cluster-store" STORE, NULL},
		{"{\"cluster-store-opts\":{\"a\":\"b\"}}", {"--cluster-store-opt", "a=b"}, "cluster-store-opts" STORE, NULL},
		{"{\"features\":{\"buildkit\":true}}", {NULL}, NULL, "features is passed over: nothing here is switched by them"},
		{"{\"features\":{\"buildkit\":false}}", {NULL}, NULL, NULL},
		{"{\"features\":[]}", {NULL}, "features: expected an object", NULL},
		{"{\"experimental\":true}", {"--experimental"}, NULL, "experimental is passed over: nothing here is experimental"},
		{"{\"experimental\":false}", {"--experimental=false"}, NULL, NULL},
		{"{\"metrics-addr\":\"127.0.0.1:9323\"}", {"--metrics-addr", "127.0.0.1:9323"}, NULL, "metrics-addr is passed over: no metrics are served there"},
		{"{\"builder\":{\"gc\":{\"enabled\":true}}}", {NULL}, NULL, "builder is passed over: there is no builder here"},
		{"{\"containerd\":\"/run/c.sock\"}", {"--containerd", "/run/c.sock"}, NULL, "containerd" CONTAINERD},
		{"{\"containerd-plugins-namespace\":\"x\"}", {"--containerd-plugins-namespace=x"}, NULL, "containerd-plugins-namespace" CONTAINERD},
		{"{\"restart\":true}", {"--restart"}, NULL, NULL},
		{"{\"restart\":false}", {"--restart=false"}, "restart: containers start again as their own restart policies say: take it out", NULL},
		{"{\"graph\":\"/x\"}", {"--graph", "/x"}, NULL, NULL},
		{"{\"node-generic-resources\":[\"g=1\"]}", {"--node-generic-resource", "g=1"}, NULL, "node-generic-resources" SWARM},
		{"{\"network-control-plane-mtu\":1400}", {"--network-control-plane-mtu", "1400"}, NULL, "network-control-plane-mtu" SWARM},
		{"{\"log-format\":\"json\"}", {"--log-format", "json"}, NULL, "log-format is passed over: the log is text: key=value"},
		{"{\"log-format\":\"text\"}", {"--log-format=text"}, NULL, NULL},
		{"{\"min-api-version\":\"1.24\"}", {NULL}, NULL, NULL},
		{"{\"min-api-version\":\"1.40\"}", {NULL}, NULL, "min-api-version is passed over: clients are served from API 1.24 on"},
		{"{\"log-opts\":{\"max-size\":\"10m\",\"compress\":\"true\"}}", {"--log-opt", "compress=true"}, NULL, "log-opts: compress is passed over: log files are not compressed"},
		{"{\"log-opts\":{\"mode\":\"non-blocking\"}}", {"--log-opt=mode=non-blocking"}, NULL, "log-opts: mode is passed over: lines are written as they come, and none is dropped"},
		{"{\"log-opts\":{\"compress\":\"false\"}}", {"--log-opt=compress=false"}, NULL, NULL},
		{"{\"raw-logs\":true}", {"--raw-logs"}, NULL, NULL},
		{"{\"api-cors-header\":\"*\",\"userland-proxy-path\":\"/x\"}", {NULL}, NULL,
			"api-cors-header is passed over: no such header is sent: pages of other origins cannot use the API|userland-proxy-path is passed over: pontoon-relay does its work; --relay-program says where that is"},
		{NULL, {"--metrics-addr"}, "flag needs an argument: --metrics-addr", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
}

TEST(what_there_is_one_way_of)
{
	static const struct row rows[] = {
		{"{\"storage-driver\":\"overlay2\"}", {"--storage-driver", "overlay2"}, NULL, NULL},
		{"{\"storage-driver\":\"\"}", {"-s", "overlay2"}, NULL, NULL},
		{"{\"storage-driver\":\"btrfs\"}", {"-s", "btrfs"}, "storage-driver: Pontoon has overlay2 only, not \"btrfs\": take it out. Images come over with docker save and pontoon load", NULL},
		{"{\"storage-opts\":[\"overlay2.override_kernel_check=true\"]}", {"--storage-opt", "overlay2.override_kernel_check=1"}, NULL, NULL},
		{"{\"storage-opts\":[\"overlay2.size=20G\"]}", {"--storage-opt", "overlay2.size=20G"},
			"storage-opts: Pontoon has no \"overlay2.size=20G\", only overlay2.override_kernel_check: take it out; how much a container writes is not bounded then", NULL},
		{"{\"storage-opts\":[\"dm.fs=xfs\"]}", {"--storage-opt=dm.fs=xfs"}, "storage-opts: Pontoon has no \"dm.fs=xfs\", only overlay2.override_kernel_check: take it out", NULL},
		{"{\"exec-opts\":[\"native.cgroupdriver=cgroupfs\"]}", {"--exec-opt", "native.cgroupdriver=cgroupfs"}, NULL, NULL},
		{"{\"exec-opts\":[\"native.cgroupdriver=systemd\"]}", {"--exec-opt", "native.cgroupdriver=systemd"}, NULL,
			"exec-opts: native.cgroupdriver=systemd is passed over: containers' cgroups are made below cgroup-parent, and systemd has no part in it"},
		{"{\"exec-opts\":[\"native.cgroupdriver=x\"]}", {"--exec-opt", "native.cgroupdriver=x"}, "exec-opts: Pontoon has native.cgroupdriver=cgroupfs only, not \"native.cgroupdriver=x\": take it out", NULL},
		{"{\"log-driver\":\"syslog\"}", {"--log-driver", "syslog"}, "log-driver: Pontoon has json-file, local, journald and none, not \"syslog\". The journal can pass logs on", NULL},
		{"{\"insecure-registries\":[\"http://a:5000/\",\"https://b\",\"10.0.0.0/8\",\"fd00::/8\",\"[fd00::1]:5000\"]}", {"--insecure-registry", "http://a"}, NULL, NULL},
		{"{\"insecure-registries\":[\"a/b\"]}", {"--insecure-registry", "a/b"}, "insecure-registries: \"a/b\" is neither host, host:port nor a subnet", NULL},
		{"{\"insecure-registries\":[\"http://\"]}", {"--insecure-registry", "http://"}, "insecure-registries: \"http://\" is neither host, host:port nor a subnet", NULL},
		{"{\"oom-score-adjust\":-1001}", {"--oom-score-adjust=-1001"}, "invalid oom-score-adjust: -1001 (-1000 to 1000)", NULL},
		{"{\"max-download-attempts\":0}", {"--max-download-attempts", "0"}, "invalid max download attempts: 0 (1 to 1000)", NULL},
		{"{\"runtimes\":{\"x\":{\"path\":\"/x\",\"runtimeArgs\":[\"-v\"]}}}", {NULL}, "runtimes: \"x\" has runtimeArgs: name a script as its path that runs it with them", NULL},
		{"{\"runtimes\":{\"x\":{\"path\":\"x\",\"runtimeArgs\":[],\"args\":[]}}}", {NULL}, NULL, NULL},
		{"{\"runtimes\":{\"x\":{\"runtimeType\":\"io.containerd.runsc.v1\"}}}", {NULL}, "runtimes: \"x\" has no path: Pontoon runs programs, and no shims of containerd", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
}

TEST(what_new_containers_get)
{
	static const struct row rows[] = {
		{"{\"default-ulimits\":{\"nofile\":{\"Name\":\"nofile\",\"Hard\":\"x\",\"Soft\":1}}}", {NULL}, "default-ulimits: nofile: expected an object with the numbers Soft and Hard", NULL},
		{"{\"default-ulimits\":{\"nofile\":7}}", {NULL}, "default-ulimits: nofile: expected an object with the numbers Soft and Hard", NULL},
		{"{\"default-ulimits\":{\"nofile\":{\"Name\":\"core\",\"Hard\":1,\"Soft\":1}}}", {NULL}, "default-ulimits: nofile: its Name is another one", NULL},
		{"{\"default-ulimits\":{\"files\":{\"Hard\":1,\"Soft\":1}}}", {"--default-ulimit", "files=1"}, "default-ulimits: invalid ulimit type: files", NULL},
		{"{\"default-ulimits\":{\"nofile\":{\"Hard\":1,\"Soft\":2}}}", {"--default-ulimit=nofile=2:1"},
			"default-ulimits: ulimit soft limit must be less than or equal to hard limit: 2 > 1", NULL},
		{NULL, {"--default-ulimit", "nofile"}, "default-ulimits: invalid ulimit argument: nofile", NULL},
		{NULL, {"--default-ulimit", "nofile=1:2:3"}, "default-ulimits: invalid ulimit argument: nofile=1:2:3", NULL},
		{"{\"default-shm-size\":\"0\"}", {"--default-shm-size", "0"}, "default-shm-size: \"0\" is no size such as 64m", NULL},
		{"{\"default-shm-size\":64}", {NULL}, "default-shm-size: expected a string", NULL},
		{"{\"default-ipc-mode\":\"host\"}", {"--default-ipc-mode", "host"}, "default-ipc-mode: \"host\" is neither private nor shareable", NULL},
		{"{\"default-cgroupns-mode\":\"x\"}", {"--default-cgroupns-mode", "x"}, "default-cgroupns-mode: \"x\" is neither private nor host", NULL},
		{"{\"seccomp-profile\":\"/none/such\"}", {"--seccomp-profile", "/none/such"}, "seccomp-profile: /none/such: open /none/such: No such file or directory", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
	struct config_daemon c;
	REQUIRE(read_conf(&c, "{\"default-ulimits\":{\"nofile\":{\"Name\":\"nofile\",\"Hard\":2048,\"Soft\":1024},\"core\":{\"Hard\":-1,\"Soft\":-1}},\"default-shm-size\":\"128M\",\"no-new-privileges\":true,"
		"\"oom-score-adjust\":-500,\"max-download-attempts\":9}", (const char *[]){"--default-ipc-mode", "shareable", NULL}) == 0);
	const struct json_vec *l = &c.core.fallback.ulimits;
	const struct ulimit *files = ulimit_find(l, "nofile"), *core = ulimit_find(l, "core");
	CHECK(l->n == 2 && files && files->soft == 1024 && files->hard == 2048 && core && core->soft == -1 && core->hard == -1);
	CHECK_INT(c.core.fallback.shm_size, 128 << 20);
	CHECK_STR(c.core.fallback.ipc_mode, "shareable");
	CHECK(c.core.fallback.no_new_privileges && c.oom_score_set && c.oom_score == -500 && c.core.max_attempts == 9);
	config_free(&c);
	REQUIRE(read_conf(&c, "{}", (const char *[]){"--default-ulimit", "nofile=1", "--default-ulimit=nofile=-1", NULL}) == 0);
	CHECK(c.core.fallback.ulimits.n == 1 && ((const struct ulimit *)c.core.fallback.ulimits.v)->hard == -1);
	CHECK(c.core.fallback.shm_size == 64 << 20 && !c.oom_score_set && c.core.max_attempts == 5);
	config_free(&c);
}

/* A file may have them in dockerd's older and newer forms. */
TEST(other_forms)
{
	struct config_daemon c;
	REQUIRE(read_conf(&c, "{\"proxies\":{\"http-proxy\":\"http://p:1\",\"https-proxy\":\"http://p:2\",\"no-proxy\":\"localhost\"},\"host-gateway-ip\":\"10.0.0.1\",\"graph\":\"/srv/x\"}", NULL) == 0);
	CHECK_STR(c.http_proxy, "http://p:1");
	CHECK_STR(c.https_proxy, "http://p:2");
	CHECK_STR(c.no_proxy, "localhost");
	CHECK(c.host_gateway_ip.n == 1 && strcmp(c.host_gateway_ip.v[0], "10.0.0.1") == 0);
	CHECK_STR(c.core.data_root, "/srv/x");
	config_free(&c);
	REQUIRE(read_conf(&c, "{\"insecure-registries\":[\"http://a:5000/\",\"https://b\",\"10.0.0.0/8\"]}", NULL) == 0);
	CHECK(c.core.insecure_registries.n == 3 && strcmp(c.core.insecure_registries.v[0], "a:5000") == 0 && strcmp(c.core.insecure_registries.v[1], "b") == 0 && strcmp(c.core.insecure_registries.v[2], "10.0.0.0/8") == 0);
	config_free(&c);
	struct arena a = {0};
	CHECK(read_conf(&c, "{\"proxies\":{\"debug\":true},\"nonsense\":1,\"host-gateway-ip\":7}", NULL) < 0);
	const char *text = joined(&c.errors, &a);
	CHECK(strstr(text, "don't match any configuration option: proxies.debug") && strstr(text, "don't match any configuration option: nonsense") && strstr(text, "host-gateway-ips: expected a list of strings"));
	config_free(&c);
	CHECK(read_conf(&c, "{\"proxies\":{\"http-proxy\":\"a\"}}", (const char *[]){"--http-proxy", "b", NULL}) < 0);
	CHECK(strstr(joined(&c.errors, &a), "specified both as a flag and in the configuration file: http-proxy: (from flag: xxxxx, from file: xxxxx)"));
	config_free(&c);
	arena_free(&a);
}

/* SIGHUP: what counts at once, what waits, what is not there at all. */
TEST(what_changes_at_once)
{
	struct config_daemon before, after;
	struct arena a = {0};
	struct strv live = {0}, fixed = {0};
	REQUIRE(read_conf(&before, "{}", NULL) == 0);
	REQUIRE(read_conf(&after, "{\"default-ulimits\":{\"core\":{\"Hard\":1,\"Soft\":1}},\"default-shm-size\":\"1m\",\"default-ipc-mode\":\"shareable\",\"default-cgroupns-mode\":\"host\",\"max-download-attempts\":1,"
		"\"no-new-privileges\":true,\"oom-score-adjust\":1,\"http-proxy\":\"x\",\"experimental\":true}", NULL) == 0);
	CHECK_INT(config_compare(&before, &after, &a, &live, &fixed), 0);
	CHECK_STR(joined(&live, &a), "default-cgroupns-mode|default-ipc-mode|default-shm-size|default-ulimits|max-download-attempts");
	CHECK_STR(joined(&fixed, &a), "http-proxy|no-new-privileges|oom-score-adjust");
	config_free(&before);
	config_free(&after);
	arena_free(&a);
	unlink(file);
}

TESTS(T(what_pontoon_has_not), T(what_there_is_one_way_of), T(what_new_containers_get), T(other_forms), T(what_changes_at_once));
