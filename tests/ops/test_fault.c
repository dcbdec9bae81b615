/* Invariant 3, over whole verbs: a network is made, a container made, started, connected, disconnected, stopped and removed, the network removed; and of each verb the
 * k-th step on the kernel fails, for every k. After a failure the world is the one before and the kernel is what the world wants; then the verb is done
 * without a failure, and the next one has its turn. With the real kernel, runtime, monitor and name server. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "daemon/config.h"
#include "ops/container.h"
#include "test.h"

/* A kernel whose n-th step from now fails; 0: none. */
static struct failing {
	struct kernel ops;
	struct kernel *inner;
	unsigned at, steps;
	bool hit;
} failing;

static void pass_down(struct kernel *k)
{
	failing.inner->known = k->known;
	failing.inner->dns = k->dns;
	failing.inner->ports = k->ports;
}

static int fail_run(struct kernel *k, const struct step *s, struct err *e)
{
	pass_down(k);
	if (failing.at && ++failing.steps == failing.at) {
		failing.hit = true;
		failing.at = 0; /* once: undoing and trying again go well */
		return err_set(e, -EIO, "injected failure");
	}
	return failing.inner->run(failing.inner, s, e);
}

static int fail_observe(struct kernel *k, unsigned parts, struct arena *a, const struct kstate *want, const struct world *known, struct kstate *out, struct err *e)
{
	pass_down(k);
	return failing.inner->observe(failing.inner, parts, a, want, known, out, e);
}

static int fail_routes(struct kernel *k, struct arena *a, struct prefix **out, size_t *n, struct err *e)
{
	(void)k;
	return kernel_host_routes(failing.inner, a, out, n, e);
}

static void fail_free(struct kernel *k)
{
	(void)k;
	failing.inner->free(failing.inner);
}

static char dir[] = "/tmp/pontoon-fault-XXXXXX";
static struct config_daemon config;
static struct core *core;

static bool run(const char *cmd)
{
	return system(cmd) == 0;
}

/* Before there is a core: it reaps children that it does not know, and system(3) would miss its own. */
static bool make_image(const char *tar)
{
	char cmd[PATH_MAX + 128];
	snprintf(cmd, sizeof(cmd), "%s/scripts/busybox-image %s >/dev/null 2>&1", getenv("PONTOON_SOURCE"), tar);
	return run(cmd);
}

static bool import_image(const char *tar)
{
	char id[ID_TEXT];
	struct err e = {0};
	struct strv none = {0};
	OWN(own_fd) int in = open(tar, O_RDONLY | O_CLOEXEC);
	struct image_source s = {.input = in};
	if (in >= 0 && op_image_import(core, &s, "alpine", "latest", NULL, NULL, &none, id, &e) >= 0)
		return true;
	printf("# import: %s\n", e.msg);
	return false;
}

/* Namespaces of its own for the rest of the process. */
static bool enter_lab(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mkdtemp(dir) &&
	       mount("lab", dir, "tmpfs", 0, "mode=711") == 0;
}

/* A core in them. */
static bool open_core(void)
{
	static char data[64], exec[64], image[PATH_MAX], relay[PATH_MAX], file[64], tar[64];
	struct err e = {0};
	(void)umount2("/sys/fs/cgroup/unified", MNT_DETACH); /* crun refuses mixtures */
	run("ip link set lo up");
	snprintf(data, sizeof(data), "%s/d", dir);
	snprintf(exec, sizeof(exec), "%s/e", dir);
	snprintf(image, sizeof(image), "%s/pontoon-image", getenv("PONTOON_BIN"));
	snprintf(relay, sizeof(relay), "%s/pontoon-relay", getenv("PONTOON_BIN"));
	snprintf(file, sizeof(file), "%s/daemon.json", dir);
	snprintf(tar, sizeof(tar), "%s/image.tar", dir);
	if (!make_image(tar))
		return false;
	const char *argv[] = {"pontoond", "--data-root", data, "--exec-root", exec, "--config-file", file, "--image-program", image, "--relay-program", relay, "--cgroup-parent", strrchr(dir, '/')};
	if (write_file(file, "{}", 2, 0600, &e) < 0 || config_read(&config, ARRAY_LEN(argv), (char **)(uintptr_t)argv) < 0) {
		printf("# %s\n", config.errors.n ? config.errors.v[0] : e.msg);
		return false;
	}
	if (kernel_new(&config.core.net, &failing.inner, &e) < 0)
		return false;
	failing.ops = (struct kernel){.run = fail_run, .observe = fail_observe, .routes = fail_routes, .free = fail_free};
	if (core_open(&config.core, &failing.ops, &core, &e) < 0) {
		printf("# %s\n", e.msg);
		return false;
	}
	return import_image(tar);
}

/* Everything of the world that a verb can change, but what a failed start leaves on purpose: its reason. */
static void picture(struct buf *out)
{
	const struct network *n;
	const struct container *c;
	const struct endpoint *ep;
	const struct port *p;
	const struct world *w = core_read(core);
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));)
		buf_printf(out, "network %s %s\n", n->id, n->name);
	for (size_t i = 0; (c = world_next(w, NOUN_CONTAINER, &i));)
		buf_printf(out, "container %s %s %s %d %lld\n", c->id, c->name, container_state_name(c->state), c->starting, (long long)c->pid);
	for (size_t i = 0; (ep = world_next(w, NOUN_ENDPOINT, &i));) {
		char ip[IP_TEXT];
		buf_printf(out, "endpoint %s %s %s\n", ep->key, ep->id, ip_format(&ep->ip4, ip));
	}
	for (size_t i = 0; (p = world_next(w, NOUN_PORT, &i));) {
		char host[IP_TEXT], ip[IP_TEXT];
		buf_printf(out, "port %s %s:%u+%u %s:%u\n", p->key, ip_format(&p->host_ip, host), p->host_port, p->count, ip_format(&p->ip, ip), p->port);
	}
	core_read_end(core);
}

static bool as_it_should_be(void)
{
	OWN(arena_free) struct arena a = {0};
	struct difference *d;
	size_t n = 0;
	struct err e = {0};
	if (op_doctor(core, false, &a, &d, &n, &e) < 0) {
		printf("# doctor: %s\n", e.msg);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		printf("# %s: %s: %s\n", d[i].unit, d[i].kind, d[i].object);
	return n == 0;
}

/* --- the verbs --- */

static int make_network(struct err *e)
{
	char id[ID_TEXT];
	struct network_spec s = {.name = "net1", .enable_v4 = -1, .enable_v6 = 1};
	return op_network_create(core, &s, id, e);
}

static int make_container(struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_json) json_t *body = json_pack("{s:s, s:[s,s], s:{s:s}}", "Image", "alpine", "Cmd", "sleep", "3600", "HostConfig", "NetworkMode", "net1");
	json_t *ports = json_loads("{\"80/tcp\":[{\"HostPort\":\"8080\"}],\"90/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"9090\"}],\"81/tcp\":[{}],\"1000-1299/tcp\":[{\"HostPort\":\"2000-2299\"}]}", 0, NULL);
	if (json_object_set_new(json_object_get(body, "HostConfig"), "PortBindings", ports) < 0)
		return -ENOMEM;
	struct strv warnings = {0};
	char id[ID_TEXT];
	return op_container_create(core, "one", NULL, body, 51, &a, id, &warnings, e);
}

static int start(struct err *e)
{
	return op_container_start(core, "one", e);
}

static int join(struct err *e)
{
	return op_network_connect(core, "bridge", "one", NULL, e);
}

static int leave(struct err *e)
{
	return op_network_disconnect(core, "net1", "one", false, e);
}

static int stop(struct err *e)
{
	return op_container_stop(core, "one", 0, NULL, e);
}

static int drop_container(struct err *e)
{
	return op_container_remove(core, "one", true, false, false, e);
}

static int drop_network(struct err *e)
{
	return op_network_remove(core, "net1", e);
}

/* retried: the verb may succeed in spite of the failure, because what has ended is recorded sooner or later. */
static bool fail_each_step(const char *name, int (*verb)(struct err *e), bool retried)
{
	for (unsigned k = 1;; k++) {
		OWN(own_buf) struct buf before = {0}, after = {0};
		struct err e = {0};
		picture(&before);
		failing.at = k;
		failing.steps = 0;
		failing.hit = false;
		int r = verb(&e);
		failing.at = 0;
		bool hit = failing.hit;
		if (r >= 0 && (!hit || retried)) {
			printf("# %s: %u steps failed in turn\n", name, hit ? k : k - 1);
			return as_it_should_be();
		}
		picture(&after);
		if (!hit || r >= 0 || strcmp(buf_str(&before), buf_str(&after)) != 0 || !as_it_should_be()) {
			printf("# %s, step %u: r=%d hit=%d %s\n# before:\n%s# after:\n%s", name, k, r, hit, e.msg, buf_str(&before), buf_str(&after));
			return false;
		}
	}
}

/* syncs: flushes of the store at most. A `run --rm` is a create, a start, an end (which leaves it to the removal) and a removal. */
static const struct {
	const char *name;
	int (*verb)(struct err *e);
	bool retried;
	unsigned syncs;
} verbs[] = {{"network create", make_network, false, 1}, {"create", make_container, false, 1}, {"start", start, false, 1}, {"connect", join, false, 1}, {"disconnect", leave, false, 1},
	{"stop", stop, true, 1}, {"start again", start, false, 1}, {"remove by force", drop_container, true, 2}, {"network remove", drop_network, false, 1}};

struct cost {
	unsigned steps, syncs;
};

static unsigned syncs_so_far(void)
{
	pthread_mutex_lock(&core->op_lock);
	unsigned n = store_syncs(core->store);
	pthread_mutex_unlock(&core->op_lock);
	return n;
}

static bool count_costs(struct cost out[static ARRAY_LEN(verbs)])
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		struct err e = {0};
		unsigned before = syncs_so_far();
		failing.steps = 0;
		failing.at = UINT_MAX;
		int r = verbs[i].verb(&e);
		failing.at = 0;
		out[i] = (struct cost){failing.steps, syncs_so_far() - before};
		if (r < 0) {
			printf("# %s: %s\n", verbs[i].name, e.msg);
			return false;
		}
	}
	return true;
}

static bool make_others(unsigned networks, unsigned containers)
{
	for (unsigned i = 0; i < networks + containers; i++) {
		OWN(arena_free) struct arena a = {0};
		OWN(own_json) json_t *body = json_pack("{s:s, s:[s]}", "Image", "alpine", "Cmd", "true");
		struct strv warnings = {0};
		struct err e = {0};
		char id[ID_TEXT], name[16];
		snprintf(name, sizeof(name), "other%u", i);
		struct network_spec s = {.name = name, .enable_v4 = -1};
		if ((i < networks ? op_network_create(core, &s, id, &e) : op_container_create(core, name, NULL, body, 51, &a, id, &warnings, &e)) < 0) {
			printf("# %s: %s\n", name, e.msg);
			return false;
		}
	}
	return true;
}

/* What an operation does to the kernel and to the disk has nothing to do with how much else there is. */
static void costs_do_not_grow(void)
{
	struct cost alone[ARRAY_LEN(verbs)], beside[ARRAY_LEN(verbs)];
	REQUIRE(count_costs(alone) && make_others(4, 60) && count_costs(beside));
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		printf("# %s: steps %u, beside others %u; syncs %u, %u\n", verbs[i].name, alone[i].steps, beside[i].steps, alone[i].syncs, beside[i].syncs);
		CHECK_INT(beside[i].steps, alone[i].steps);
		CHECK(alone[i].syncs <= verbs[i].syncs && beside[i].syncs <= verbs[i].syncs);
	}
}

TEST(every_verb_every_step)
{
	if (!enter_lab())
		SKIP("needs root and namespaces");
	REQUIRE(open_core());
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		REQUIRE(fail_each_step(verbs[i].name, verbs[i].verb, verbs[i].retried));
	costs_do_not_grow();
	core_close(core);
	config_free(&config);
	char cmd[256];
	snprintf(cmd, sizeof(cmd), "find /sys/fs/cgroup -mindepth 2 -depth -type d -path '*/%s*' -exec rmdir {} + 2>/dev/null", strrchr(dir, '/') + 1);
	(void)run(cmd);
	CHECK(umount2(dir, MNT_DETACH) == 0 && rmdir(dir) == 0);
}

TESTS(T(every_verb_every_step))
