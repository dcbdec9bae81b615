/* Worlds on the real kernel, in namespaces of this test's own: what want describes is made, observe sees it, the
 * announcement of a new container is heard, and when the k-th step fails, for every k, what there was before is there
 * again. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernel/kernel.h"
#include "kernel/nfsock.h"
#include "kernel/real.h"
#include "net/fixture.h"

struct lab {
	struct netconf c;
	struct kernel *k;
	struct arena a;
	char dir[64];
};

static const char *const containers[] = {"a", "b"};

/* The name server's place: somebody who holds its sockets. */
static struct holder {
	char id[ID_TEXT];
	int udp, tcp;
} holders[4];

static struct holder *holder_of(const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(holders); i++)
		if (*id ? strncmp(holders[i].id, id, strlen(id)) == 0 : !*holders[i].id) /* 12 letters of an unknown container's */
			return &holders[i];
	return NULL;
}

static int hold(void *arg, const char *id, int udp, int tcp, const char *path, struct err *e)
{
	struct holder *h = holder_of(id);
	(void)arg;
	(void)path;
	if (h) {
		close(h->udp);
		close(h->tcp);
	}
	if (!h && !(h = holder_of("")))
		return err_set(e, -ENOSPC, "no place");
	*h = (struct holder){.udp = fcntl(udp, F_DUPFD_CLOEXEC, 3), .tcp = fcntl(tcp, F_DUPFD_CLOEXEC, 3)};
	STR_COPY(h->id, id);
	return 0;
}

static int let_go(void *arg, const char *id, bool wait, struct err *e)
{
	struct holder *h = holder_of(id);
	(void)arg;
	(void)wait;
	(void)e;
	if (!h)
		return 0;
	close(h->udp);
	close(h->tcp);
	h->id[0] = '\0';
	return 0;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	return getsockname(fd, (struct sockaddr *)&a, &n) < 0 ? 0 : ntohs(a.sin_port);
}

static bool is_held(void *arg, const char *id, const char *path, uint16_t *udp, uint16_t *tcp)
{
	struct holder *h = holder_of(id);
	(void)arg;
	(void)path;
	if (!h)
		return false;
	*udp = port_of(h->udp);
	*tcp = port_of(h->tcp);
	return true;
}

static const struct kernel_dns dns = {.give = hold, .take = let_go, .holds = is_held};

/* Namespaces of its own for the rest of the process: each test runs in a child. */
static bool open_lab(struct lab *l)
{
	static char data[80], exec[80];
	struct err e = {0};
	*l = (struct lab){.c = fix_conf(), .dir = "/tmp/pontoon-scene-XXXXXX"};
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(l->dir) ||
		mount("lab", l->dir, "tmpfs", 0, "mode=755") < 0)
		return false;
	snprintf(data, sizeof(data), "%s/data", l->dir);
	snprintf(exec, sizeof(exec), "%s/exec", l->dir);
	l->c.nftables = getenv("PONTOON_TEST_NFTABLES");
	l->c.data_root = data;
	l->c.exec_root = exec;
	mkdir(data, 0755);
	mkdir(exec, 0755);
	char path[160];
	snprintf(path, sizeof(path), "%s/containers", data);
	mkdir(path, 0755);
	for (size_t i = 0; i < ARRAY_LEN(containers); i++) {
		char id[ID_TEXT];
		fix_id(id, *containers[i]);
		snprintf(path, sizeof(path), "%s/containers/%s", data, id);
		mkdir(path, 0755);
	}
	if (kernel_new(&l->c, &l->k, &e) < 0) {
		printf("# %s\n", e.msg);
		return false;
	}
	l->k->dns = &dns;
	return true;
}

static void close_lab(struct lab *l)
{
	l->k->free(l->k);
	arena_free(&l->a);
	umount2(l->dir, MNT_DETACH);
	rmdir(l->dir);
}

/* Worlds: 0 docker0 alone, 1 with a container, 2 with two, one of them also on a second network. */
static struct world *world(struct lab *l, int which)
{
	struct world *w = fix_world();
	if (which >= 1)
		fix_joined(w, &l->c, 'a', "a", "bridge");
	if (which >= 2) {
		struct network *n = fix_network('7', "second", "10.7.0.0/24", 20);
		n->mtu = 1400;
		fix_put(w, n);
		fix_joined(w, &l->c, 'b', "b", "second");
	}
	return w;
}

static struct kstate want_of(struct lab *l, const struct world *w)
{
	struct kstate s = {.mem = &l->a};
	struct err e = {0};
	if (want_all(w, &l->c, &s, &e) < 0)
		abort();
	return s;
}

/* The plan from what is there to this world. */
static struct plan drift(struct lab *l, const struct world *w)
{
	struct kstate want = want_of(l, w), have = {.mem = &l->a};
	struct plan p = {0};
	struct err e = {0};
	if (l->k->observe(l->k, KERNEL_ALL, &l->a, &want, w, &have, &e) < 0 || plan_diff(&l->a, &have, &want, &p, &e) < 0) {
		printf("# %s\n", e.msg);
		abort();
	}
	return p;
}

static bool settled(struct lab *l, const struct world *w)
{
	struct plan p = drift(l, w);
	struct buf text = {0};
	plan_text(&p, &l->a, &text);
	for (char *save, *line = p.n ? strtok_r(text.data, "\n", &save) : NULL; line;
		line = strtok_r(NULL, "\n", &save))
		printf("# | %s\n", line);
	buf_free(&text);
	return p.n == 0;
}

static bool apply(struct lab *l, struct kernel *k, const struct plan *p, const struct world *known)
{
	struct err e = {0};
	l->k->known = k->known = known;
	int r = kernel_apply(k, p, &e);
	if (r < 0 && !strstr(e.msg, "injected"))
		printf("# %s\n", e.msg);
	if (r < 0 && strstr(e.msg, "taking back failed"))
		test_failed = true;
	return r >= 0;
}

static struct plan between(struct lab *l, const struct world *from, const struct world *to)
{
	struct kstate have = want_of(l, from), want = want_of(l, to);
	struct plan p = {0};
	struct err e = {0};
	if (plan_diff(&l->a, &have, &want, &p, &e) < 0)
		abort();
	return p;
}

static bool bring_up(struct lab *l, const struct world *w)
{
	struct plan p = drift(l, w);
	return apply(l, l->k, &p, w) && settled(l, w);
}

TEST(made_and_seen)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	struct world *w[3];
	for (int i = 0; i < 3; i++)
		w[i] = world(&l, i);
	CHECK(bring_up(&l, w[0])); /* from nothing */
	static const int route[] = {1, 2, 1, 0, 2, 0};
	for (size_t i = 0, now = 0; i < ARRAY_LEN(route); now = (size_t)route[i++]) { /* as operations do it */
		struct plan p = between(&l, w[now], w[route[i]]);
		CHECK(apply(&l, l.k, &p, w[route[i]]) && settled(&l, w[route[i]]));
	}
	CHECK(bring_up(&l, w[2]) && bring_up(&l, w[0])); /* as reconcile does it */
	for (int i = 0; i < 3; i++)
		world_free(w[i]);
	close_lab(&l);
}

/* --- every step fails once --- */

static void fail_each(int from, int to, bool after)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	struct world *a = world(&l, from), *b = world(&l, to);
	REQUIRE(bring_up(&l, a));
	struct plan p = between(&l, a, b);
	REQUIRE(p.n > 3);
	for (unsigned k = 1; k <= p.n && !test_failed; k++) {
		struct kernel *inner, *faulty;
		struct err e = {0};
		REQUIRE(kernel_new(&l.c, &inner, &e) == 0);
		inner->known = b;
		inner->dns = &dns;
		faulty = kernel_faulty(inner, k, after);
		if (faulty)
			faulty->dns = &dns;
		REQUIRE(faulty);
		CHECK(!apply(&l, faulty, &p, b));
		if (!settled(&l, a)) {
			printf("# after the failure of step %u of %zu\n", k, p.n);
			test_failed = true;
		}
		faulty->free(faulty);
	}
	world_free(a);
	world_free(b);
	close_lab(&l);
}

TEST(start_fails_before_each_step)
{
	fail_each(0, 1, false);
}
TEST(start_fails_after_each_step)
{
	fail_each(0, 1, true);
}
TEST(network_fails_at_each_step)
{
	fail_each(1, 2, false);
}
TEST(removal_fails_at_each_step)
{
	fail_each(2, 0, false);
}

/* --- the announcement --- */

static bool is_announcement(const unsigned char *f, ssize_t n, const struct ip *a)
{
	return n >= 42 && f[12] == 0x08 && f[13] == 0x06 && memcmp(f + 28, a->b, 4) == 0 &&
	       memcmp(f + 38, a->b, 4) == 0;
}

/* Heard at another port of the bridge. */
TEST(new_address_is_announced)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	struct world *one = world(&l, 1), *two = world(&l, 1);
	struct ip b = fix_ip("172.17.0.3");
	fix_joined(two, &l.c, 'b', "b", "bridge");
	REQUIRE(bring_up(&l, one));
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex("vetha111111")};
	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	struct plan p = between(&l, one, two);
	REQUIRE(apply(&l, l.k, &p, two));
	unsigned char frame[2048];
	bool heard = false;
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	while (!heard && poll(&ready, 1, 5000) > 0)
		heard = is_announcement(frame, recv(fd, frame, sizeof(frame), 0), &b);
	CHECK(heard);
	close(fd);
	world_free(one);
	world_free(two);
	close_lab(&l);
}

/* A lost docker0 comes back under its ports, which keep their addresses. */
TEST(lost_bridge)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	struct world *w = world(&l, 1);
	REQUIRE(bring_up(&l, w));
	REQUIRE(system("ip link del docker0") == 0);
	CHECK(!settled(&l, w));
	CHECK(bring_up(&l, w));
	world_free(w);
	close_lab(&l);
}

static bool pings(struct lab *l, char from, const char *to, int seconds)
{
	char id[ID_TEXT], line[256];
	fix_id(id, from);
	snprintf(line, sizeof(line), "nsenter --net=%s/netns/%.12s busybox ping -c 1 -W %d %s >/dev/null 2>&1",
		l->c.exec_root, id, seconds, to);
	return system(line) == 0;
}

static bool answers(struct lab *l, char from, const char *to)
{
	return pings(l, from, to, 10); /* a busy machine */
}

static bool there(const char *link)
{
	return if_nametoindex(link) != 0;
}

/* Packets go between two sandboxes and to the gateway; one that is taken away is silent when the plan returns. */
TEST(sandboxes_talk)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	if (system("command -v busybox nsenter >/dev/null") != 0)
		SKIP("needs busybox and nsenter");
	struct world *one = world(&l, 1), *two = world(&l, 1);
	fix_joined(two, &l.c, 'b', "b", "bridge");
	REQUIRE(bring_up(&l, two));
	CHECK(answers(&l, 'a', "172.17.0.3") && answers(&l, 'b', "172.17.0.2"));
	CHECK(answers(&l, 'a', "172.17.0.1"));
	struct plan p = between(&l, two, one);
	CHECK(apply(&l, l.k, &p, one));
	CHECK(!pings(&l, 'a', "172.17.0.3", 1));
	CHECK(settled(&l, one) && answers(&l, 'a', "172.17.0.1"));
	world_free(one);
	world_free(two);
	close_lab(&l);
}

/* Whatever ports come and go, and when it is made again. */
TEST(bridge_keeps_its_mac)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	static const char *const steps[] = {"ip link add veth0theirs type veth peer name veth1theirs",
		"ip link set veth0theirs address 02:00:00:00:00:01 master docker0 up", "ip link del veth0theirs",
		"ip link del docker0"};
	struct world *w = world(&l, 0);
	REQUIRE(bring_up(&l, w));
	REQUIRE(system("ip -o link show docker0 | grep -q 'link/ether 02:50:'") == 0);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		REQUIRE(system(steps[i]) == 0);
		CHECK(bring_up(&l, w));
		CHECK(system("ip -o link show docker0 | grep -q 'link/ether 02:50:'") == 0);
	}
	world_free(w);
	close_lab(&l);
}

/* Links and rules of others stay as they are, whatever is made and removed. */
TEST(foreign_things_stay)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	struct world *none = world(&l, 0), *two = world(&l, 2);
	REQUIRE(bring_up(&l, none));
	if (l.c.nftables) /* nothing of ours is there to stand between */
		setenv("FOREIGN_AT", "1", 1);
	REQUIRE(system("ip link add veth0theirs type veth peer name veth1theirs && ip link add br-theirs type bridge &&"
		       " ip addr add 172.17.9.9/32 dev docker0 && iptables -I FORWARD ${FOREIGN_AT:-3} -s 192.0.2.1 -j DROP &&"
		       " iptables -t nat -I POSTROUTING 1 -s 192.0.2.2 -j RETURN") == 0);
	CHECK(bring_up(&l, two) && bring_up(&l, none));
	CHECK(there("veth0theirs") && there("veth1theirs") && there("br-theirs"));
	CHECK(system("ip -o addr show dev docker0 | grep -q 172.17.9.9/32") == 0);
	CHECK(system("iptables -C FORWARD -s 192.0.2.1 -j DROP && iptables -t nat -C POSTROUTING -s 192.0.2.2 -j RETURN") == 0);
	world_free(none);
	world_free(two);
	close_lab(&l);
}

/* The user's own bridge is taken as it is, and an undo neither removes it nor sets it down. */
TEST(adopted_bridge_survives_an_undo)
{
	struct lab l;
	struct err e = {0};
	if (!open_lab(&l))
		SKIP("needs root");
	struct kobj bridge = {.kind = K_BRIDGE, .bridge = {.name = "theirs", .adopt = true}};
	struct kobj up = {.kind = K_UP, .up = {.link = "theirs", .keep = true}};
	struct step v[] = {{.op = STEP_ADD, .after = &bridge}, {.op = STEP_ADD, .after = &up}};
	struct plan p = {.v = v, .n = ARRAY_LEN(v)};
	CHECK_INT(kernel_apply(l.k, &p, &e), -ENODEV); /* never made */
	REQUIRE(system("ip link add theirs type bridge") == 0);
	CHECK_INT(kernel_apply(l.k, &p, &e), 0);
	CHECK_INT(kernel_undo(l.k, &p, &e), 0);
	CHECK(system("ip link show theirs | grep -q '[<,]UP[,>]'") == 0);
	close_lab(&l);
}

/* An error carries the object and the kernel's words. */
TEST(errors_say_what)
{
	struct lab l;
	struct err e = {0};
	if (!open_lab(&l))
		SKIP("needs root");
	struct kobj bridge = {.kind = K_BRIDGE, .bridge = {.name = "br", .mtu = 1, .alias = "pontoon:x"}};
	struct step s = {.op = STEP_ADD, .after = &bridge};
	CHECK(l.k->run(l.k, &s, &e) < 0);
	CHECK(strstr(e.msg, "br") && strstr(e.msg, "mtu less than device minimum"));
	CHECK(!there("br"));
	close_lab(&l);
}

/* When link_remove returns, name and address are free, though the kernel is not done; what it refuses is told. */
TEST(links_go_at_once)
{
	struct lab l;
	struct err e = {0};
	if (!open_lab(&l))
		SKIP("needs root");
	for (int i = 0; i < 20 && !test_failed; i++) {
		REQUIRE(system("ip link add br0 type bridge && ip addr add 10.9.0.1/24 dev br0 && ip link set br0 up && ip link add v0 master br0 type veth peer name v1") == 0);
		int bridge = (int)if_nametoindex("br0"), veth = (int)if_nametoindex("v0");
		CHECK(link_remove(veth, &e) == 0 && !there("v0") && !there("v1"));
		CHECK(link_remove(bridge, &e) == 0 && !there("br0"));
		CHECK(system("ip -4 route get 10.9.0.1 2>/dev/null | grep -q local") != 0);
		CHECK(link_remove(bridge, &e) == 0); /* gone already */
	}
	CHECK(link_remove((int)if_nametoindex("lo"), &e) == -EOPNOTSUPP && e.msg[0] && there("lo"));
	close_lab(&l);
}

/* A connection whose end nobody answers keeps the sandbox's namespace; its link goes all the same. */
TEST(connections_keep_no_link)
{
	static const char open_one[] =
		"set -e; cd %s; ip link set lo up; busybox nc -ll -p 5000 -e sleep 60 & echo $! >nc; ns=$(ls exec/netns/*); for i in $(seq 500); do\n"
		"nsenter --net=$ns busybox nc 172.17.0.1 5000 >/dev/null </dev/zero & echo $! >client; sleep 0.05; nsenter --net=$ns grep -q ' 01 ' /proc/net/tcp && break; kill $(cat client) || :; done\n"
		"nsenter --net=$ns grep -q ' 01 ' /proc/net/tcp; iptables -I INPUT -p tcp --dport 5000 -j DROP; kill $(cat client)";
	struct lab l;
	char line[1024];
	if (!open_lab(&l))
		SKIP("needs root");
	if (system("command -v busybox nsenter iptables >/dev/null") != 0)
		SKIP("needs busybox, nsenter and iptables");
	struct world *none = world(&l, 0), *one = world(&l, 1);
	REQUIRE(bring_up(&l, none) && bring_up(&l, one));
	snprintf(line, sizeof(line), open_one, l.dir);
	REQUIRE(system(line) == 0);
	struct plan drop = between(&l, one, none);
	CHECK(apply(&l, l.k, &drop, none));
	bool gone = false;
	for (int i = 0; i < 500 && !gone; i++) {
		(void)usleep(10000);
		gone = system("ip -br link | grep -q ^veth") != 0;
	}
	CHECK(gone && settled(&l, none));
	snprintf(line, sizeof(line), "kill $(cat %s/nc); iptables -D INPUT 1", l.dir);
	CHECK(system(line) == 0);
	world_free(none);
	world_free(one);
	close_lab(&l);
}

static int descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Sandboxes come and go, and no descriptor stays. */
TEST(nothing_leaks)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	struct world *none = world(&l, 0), *one = world(&l, 1);
	REQUIRE(bring_up(&l, none));
	int before = descriptors();
	for (int i = 0; i < 50 && !test_failed; i++) {
		struct plan make = between(&l, none, one), drop = between(&l, one, none);
		CHECK(apply(&l, l.k, &make, one) && apply(&l, l.k, &drop, none));
	}
	CHECK(settled(&l, none));
	for (int i = 0; i < 500 && descriptors() != before; i++) /* the kernel's last answers come later */
		(void)usleep(10000);
	CHECK_INT(descriptors(), before);
	world_free(none);
	world_free(one);
	close_lab(&l);
}

static unsigned port_id(void)
{
	struct nfsock s = NFSOCK_NONE;
	struct err e = {0};
	unsigned id = nfsock_open(&s, &e) < 0 ? 0 : mnl_socket_get_portid(s.nl.sock);
	nfsock_close(&s);
	return id;
}

/* Whoever leaves a socket that has deleted something makes nobody wait: it is used again in its namespace, and closed some time later. */
TEST(sockets_are_closed_later)
{
	struct lab l;
	struct err e = {0};
	struct nfsock s = NFSOCK_NONE;
	if (!open_lab(&l))
		SKIP("needs root");
	int before = descriptors();
	CHECK(port_id() && descriptors() == before);
	REQUIRE(nfsock_open(&s, &e) == 0);
	nfsock_deleted(&s);
	nfsock_close(&s);
	for (int i = 0; i < 500 && descriptors() != before; i++)
		(void)usleep(10000);
	CHECK_INT(descriptors(), before);
	REQUIRE(nfsock_open(&s, &e) == 0);
	unsigned id = mnl_socket_get_portid(s.nl.sock);
	nfsock_deleted(&s);
	s.due += INT64_C(60000000000);
	nfsock_close(&s);
	CHECK_INT(descriptors(), before + 1);
	CHECK(port_id() == id && port_id() == id);
	REQUIRE(unshare(CLONE_NEWNET) == 0);
	REQUIRE(nfsock_open(&s, &e) == 0 && s.due == 0); /* another namespace's is not taken */
	nfsock_close(&s);
	CHECK_INT(descriptors(), before + 1);
	close_lab(&l);
}

/* Its rules are there, are mended, and go with the last network that has names, while the sandbox stays. */
TEST(rules_of_the_name_server)
{
	struct lab l;
	if (!open_lab(&l))
		SKIP("needs root");
	if (system("command -v nft nsenter >/dev/null") != 0)
		SKIP("needs nft and nsenter");
	struct world *none = world(&l, 0), *names = world(&l, 2), *plain = world(&l, 0);
	char list[256], spoil[256];
	snprintf(list, sizeof(list), "nsenter --net=$(ls %s/exec/netns/b*) nft list ruleset | grep -q 'udp dport 53 dnat to 127.0.0.11:[0-9]*$'", l.dir);
	snprintf(spoil, sizeof(spoil), "nsenter --net=$(ls %s/exec/netns/b*) nft flush chain ip pontoon-dns postrouting", l.dir);
	REQUIRE(bring_up(&l, none) && bring_up(&l, names));
	CHECK(system(list) == 0);
	CHECK(system(spoil) == 0 && !settled(&l, names));
	CHECK(bring_up(&l, names) && system(list) == 0);
	fix_joined(plain, &l.c, 'b', "b", "bridge");
	struct plan leave = between(&l, names, plain);
	CHECK(apply(&l, l.k, &leave, plain) && system(list) != 0);
	CHECK(bring_up(&l, plain));
	CHECK(bring_up(&l, names) && system(list) == 0);
	world_free(none);
	world_free(names);
	world_free(plain);
	close_lab(&l);
}

/* Each in a child: namespaces cannot be left. */
static int run_alone(const struct test *t, size_t n, int argc, char **argv)
{
	int bad = 0;
	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		if (argc > 1 && !streq(argv[1], t[i].name)) {
			printf("ok %zu - %s # SKIP not asked for\n", i + 1, t[i].name);
			continue;
		}
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			setvbuf(stdout, NULL, _IOLBF, 0);
			t[i].run();
			printf("%s %zu - %s%s%s\n", test_failed ? "not ok" : "ok", i + 1, t[i].name,
				test_skip ? " # SKIP " : "", test_skip ? test_skip : "");
			fflush(stdout);
			_exit(test_failed);
		}
		int status = 1;
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
			bad = 1;
			if (pid < 0 || WIFSIGNALED(status))
				printf("not ok %zu - %s\n", i + 1, t[i].name);
		}
	}
	return bad;
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {T(made_and_seen), T(start_fails_before_each_step),
		T(start_fails_after_each_step), T(network_fails_at_each_step), T(removal_fails_at_each_step),
		T(new_address_is_announced), T(lost_bridge), T(sandboxes_talk), T(bridge_keeps_its_mac), T(foreign_things_stay),
		T(adopted_bridge_survives_an_undo), T(errors_say_what), T(links_go_at_once), T(connections_keep_no_link), T(nothing_leaks),
		T(sockets_are_closed_later), T(rules_of_the_name_server)};
	return run_alone(tests, ARRAY_LEN(tests), argc, argv);
}
