/* The OCI configuration as golden files: one row a request, on cgroup v1 and on v2. */
#include "engine/engine_int.h"
#include "model/spec_host.h"
#include "model/mounts.h"
#include "test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct row {
	const char *name, *body;
	bool host_net, init;
	uint32_t uid;
};

static const struct row rows[] = {
	{"plain", "{\"Image\":\"i\",\"Cmd\":[\"sleep\",\"1h\"]}", false, false, 0},
	{"terminal", "{\"Image\":\"i\",\"Cmd\":[\"sh\"],\"Tty\":true,\"OpenStdin\":true,\"Env\":[\"HOME=/x\",\"UNSET\",\"A=b=c\"],\"WorkingDir\":\"/w\",\"HostConfig\":{\"ConsoleSize\":[24,80],\"Init\":true,"
		     "\"ReadonlyRootfs\":true}}",
		false, true, 0},
	{"user", "{\"Image\":\"i\",\"Cmd\":[\"id\"],\"User\":\"1000\",\"HostConfig\":{\"CapAdd\":[\"net_admin\",\"CAP_SYS_PTRACE\"],\"CapDrop\":[\"MKNOD\"],\"SecurityOpt\":[\"no-new-privileges\",\"seccomp=unconfined\"],"
		 "\"OomScoreAdj\":500,\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1024,\"Hard\":2048}],\"Sysctls\":{\"net.core.somaxconn\":\"1024\"}}}",
		false, false, 1000},
	{"limits", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"Memory\":67108864,\"MemoryReservation\":33554432,\"MemorySwappiness\":10,\"NanoCpus\":1500000000,\"CpuShares\":512,\"CpusetCpus\":\"0\","
		   "\"PidsLimit\":100,\"OomKillDisable\":true,\"BlkioWeight\":300,\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/null\",\"Rate\":1048576}],\"ShmSize\":1048576}}",
		false, false, 0},
	{"mounts", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"Binds\":[\"/srv/deep:/data/a/b:ro\",\"/srv/data:/data:rw,rshared\",\"/srv/hosts:/etc/hosts\"],\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/srv/c\","
		   "\"Target\":\"/c\",\"ReadOnly\":true,\"BindOptions\":{\"Propagation\":\"rslave\"}},{\"Type\":\"tmpfs\",\"Target\":\"/dev/shm\",\"TmpfsOptions\":{\"SizeBytes\":4096,\"Mode\":1023}}],"
		   "\"Tmpfs\":{\"/run\":\"size=1m,exec\"}}}",
		false, false, 0},
	{"devices", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"Devices\":[{\"PathOnHost\":\"/dev/zero\",\"PathInContainer\":\"/dev/mine\",\"CgroupPermissions\":\"r\"}],\"DeviceCgroupRules\":[\"b 8:* rw\",\"c 10:200 "
		    "rwm\",\"a *:* m\"],\"CapDrop\":[\"ALL\"],\"CapAdd\":[\"CHOWN\"]}}",
		false, false, 0},
	{"host", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"NetworkMode\":\"host\",\"PidMode\":\"host\",\"IpcMode\":\"host\",\"UTSMode\":\"host\",\"CgroupnsMode\":\"host\"}}", true, false, 0},
	{"private", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"CgroupnsMode\":\"private\",\"IpcMode\":\"none\",\"MaskedPaths\":[],\"ReadonlyPaths\":[]}}", false, false, 0},
	{"privileged", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"Privileged\":true}}", false, false, 0},
};

/* The default system call filter is long: it has a file of its own, and stands here by name where it is the same. */
static void shorten(json_t *config, bool privileged)
{
	static json_t *usual;
	json_t *lin = json_object_get(config, "linux"), *filter = json_object_get(lin, "seccomp");
	if (filter && !usual)
		usual = json_incref(filter);
	if (filter && json_equal(filter, usual))
		json_object_set_new(lin, "seccomp", json_string("the default"));
	if (privileged) { /* all of the host's */
		CHECK(json_is_array(json_object_get(lin, "devices")));
		json_object_del(lin, "devices");
	}
}

static json_t *config(const struct row *r, int version, struct arena *a, struct err *e)
{
	json_t *body = NULL;
	struct container_spec *spec = arena_new(a, struct container_spec, 1);
	struct strv warnings = {0};
	struct spec_host host = {.minor = 41, .cgroup2 = version == 2};
	if (json_parse(r->body, strlen(r->body), &body, e) < 0 || spec_parse(body, a, spec, e) < 0 || spec_check(spec, &host, a, &warnings, e) < 0 ||
		mounts_resolve(spec, NULL, NULL, a, e) < 0) {
		json_decref(body);
		return NULL;
	}
	json_decref(body);
	struct arena mem = {0};
	struct container *c = container_new(ID, "name", spec, &mem);
	struct strv args = spec->config.cmd;
	c->args = &args;
	struct engine_run run = {.c = c, .netns_path = r->host_net ? NULL : "/run/netns/x", .hosts = "/dev/null", .hostname = "/dev/null", .resolv = "/dev/null", .uts_hostname = "0123456789ab"};
	static const uint32_t groups[] = {10, 50};
	struct oci_in in = {.run = &run, .root = "/var/lib/merged", .cgroup_version = version, .cgroup_path = "/pontoon/" ID, .init = r->init ? "/usr/bin/tini-static" : "", .uid = r->uid, .gid = r->uid,
		.groups = groups, .ngroups = r->uid ? 2 : 0, .home = r->uid ? "/home/u" : "/root", .terminal = spec->config.tty ? "xterm" : NULL};
	json_t *j = oci_config(&in, a, e);
	thing_unref(&c->thing);
	return j;
}

static void compare(int version)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN(arena_free) struct arena a = {0};
		struct err e = {0};
		char name[64];
		OWN(own_json) json_t *j = config(&rows[i], version, &a, &e);
		if (!j)
			printf("# %s: %s\n", rows[i].name, e.msg);
		REQUIRE(j);
		if (i == 0 && version == 1) {
			OWN(own_free) char *filter = json_dumps(json_object_get(json_object_get(j, "linux"), "seccomp"), JSON_INDENT(1));
			GOLDEN("engine/oci_seccomp.json", filter);
		}
		shorten(j, strcmp(rows[i].name, "privileged") == 0);
		OWN(own_free) char *text = json_dumps(j, JSON_INDENT(1));
		snprintf(name, sizeof(name), "engine/oci_%s_v%d.json", rows[i].name, version);
		GOLDEN(name, text);
	}
}

TEST(cgroup_v1)
{
	compare(1);
}

TEST(cgroup_v2)
{
	compare(2);
}

/* The truth values are Go's. */
TEST(no_new_privileges)
{
	static const char *const v[] = {"true", "1", "T", "false", "0", "F"};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		OWN(arena_free) struct arena a = {0};
		struct err e = {0};
		struct row r = {.body = arena_printf(&a, "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"SecurityOpt\":[\"no-new-privileges=%s\"]}}", v[i])};
		OWN(own_json) json_t *j = config(&r, 2, &a, &e);
		CHECK_INT(json_is_true(json_object_get(json_object_get(j, "process"), "noNewPrivileges")), i < 3);
	}
}

TEST(what_the_host_lacks_is_said)
{
	static const struct row bad[] = {
		{"device", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"Devices\":[{\"PathOnHost\":\"/dev/none-such\",\"PathInContainer\":\"/dev/x\",\"CgroupPermissions\":\"rwm\"}]}}", false, false, 0},
		{"block", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/none-such\",\"Rate\":1}]}}", false, false, 0},
		{"seccomp", "{\"Image\":\"i\",\"Cmd\":[\"x\"],\"HostConfig\":{\"SecurityOpt\":[\"seccomp={\"]}}", false, false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN(arena_free) struct arena a = {0};
		struct err e = {0};
		CHECK(!config(&bad[i], 2, &a, &e));
		CHECK_INT(e.kind, ERR_INVALID);
		CHECK(e.msg[0]);
	}
}

TESTS(T(cgroup_v1), T(cgroup_v2), T(no_new_privileges), T(what_the_host_lacks_is_said))
