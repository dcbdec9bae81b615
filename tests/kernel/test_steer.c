/* Ports of a run lead to its one socket, on the loopback of a namespace of the test's own. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/steer.h"
#include "net/fixture.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address(const char *ip, uint16_t port, union address *a)
{
	struct ip at = fix_ip(ip);
	*a = (union address){0};
	if (at.family == AF_INET6) {
		a->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&a->v6.sin6_addr, at.b, 16);
		return sizeof(a->v6);
	}
	a->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	memcpy(&a->v4.sin_addr, at.b, 4);
	return sizeof(a->v4);
}

static bool enter(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && system("ip link set lo up; echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6") == 0;
}

static int listener(const char *ip, uint16_t port, bool dual)
{
	union address a;
	socklen_t n = address(ip, port, &a);
	int only = !dual, fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a.any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (bind(fd, &a.any, n) < 0 || listen(fd, 16) < 0)
		abort();
	return fd;
}

/* The port that whoever accepts sees; 0: nobody listens. */
static unsigned asked(int at, const char *ip, uint16_t port)
{
	union address a;
	socklen_t n = address(ip, port, &a);
	OWN(own_fd) int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, &a.any, n) < 0)
		return 0;
	OWN(own_fd) int got = accept4(at, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	n = sizeof(a);
	return got >= 0 && getsockname(got, &a.any, &n) == 0 ? ntohs(a.v4.sin_port) : 1;
}

static struct kobj run(const char *ip, uint16_t first, uint16_t count)
{
	return (struct kobj){.kind = K_LISTEN, .listen = {.proto = IPPROTO_TCP, .ip = fix_ip(ip), .port = first, .count = count}};
}

TEST(one_socket_for_all)
{
	struct err e = {0};
	if (!enter())
		SKIP("needs root");
	struct kobj o = run("::", 20000, 10000);
	OWN(own_fd) int at = listener("::", 20000, true);
	OWN(own_fd) int other = listener("0.0.0.0", 30000, false);
	int link = steer_run(at, &o, &e);
	if (link == -EPERM || link == -ENOSYS)
		SKIP("this kernel has no BPF");
	REQUIRE(link >= 0);
	static const uint16_t within[] = {20000, 25000, 29999};
	for (size_t i = 0; i < ARRAY_LEN(within); i++) {
		CHECK_INT(asked(at, "127.0.0.1", within[i]), within[i]);
		CHECK_INT(asked(at, "::1", within[i]), within[i]);
	}
	CHECK_INT(asked(at, "127.0.0.1", 19999), 0);
	CHECK_INT(asked(other, "127.0.0.1", 30000), 30000);
	CHECK_INT(asked(at, "127.0.0.1", 30001), 0);
	OWN(own_fd) int copy = fcntl(link, F_DUPFD_CLOEXEC, 3); /* as another process has it */
	close(link);
	CHECK_INT(asked(at, "127.0.0.1", 25000), 25000);
	own_fd(&copy);
	copy = -1;
	CHECK_INT(asked(at, "127.0.0.1", 25000), 0);
	CHECK_INT(asked(at, "127.0.0.1", 20000), 20000);
}

TEST(a_run_at_one_address)
{
	struct err e = {0};
	if (!enter())
		SKIP("needs root");
	struct kobj four = run("127.0.0.2", 20000, 300), six = run("::1", 20000, 300);
	OWN(own_fd) int at4 = listener("127.0.0.2", 20000, false);
	OWN(own_fd) int at6 = listener("::1", 20000, false);
	OWN(own_fd) int one = steer_run(at4, &four, &e);
	if (one == -EPERM || one == -ENOSYS)
		SKIP("this kernel has no BPF");
	OWN(own_fd) int two = steer_run(at6, &six, &e);
	REQUIRE(one >= 0 && two >= 0);
	CHECK_INT(asked(at4, "127.0.0.2", 20299), 20299);
	CHECK_INT(asked(at4, "127.0.0.1", 20299), 0);
	CHECK_INT(asked(at6, "::1", 20001), 20001);
	CHECK_INT(asked(at6, "::1", 20300), 0);
}

/* A socket that has gone is led to by nobody, and its own family alone is. */
TEST(what_cannot_be_led)
{
	struct err e = {0};
	if (!enter())
		SKIP("needs root");
	struct kobj o = run("0.0.0.0", 20000, 300);
	int at = listener("0.0.0.0", 20000, false);
	OWN(own_fd) int link = steer_run(at, &o, &e);
	if (link == -EPERM || link == -ENOSYS)
		SKIP("this kernel has no BPF");
	CHECK_INT(asked(at, "127.0.0.1", 20001), 20001);
	CHECK_INT(asked(at, "::1", 20001), 0);
	close(at);
	CHECK_INT(asked(-1, "127.0.0.1", 20001), 0);
	CHECK(steer_run(-1, &o, &e) < 0 && strstr(e.msg, "BPF"));
}

/* Each namespace has its own sixty-four, and a place is free again with the last descriptor. */
TEST(no_more_than_sixty_four)
{
	struct err e = {0};
	int link[65];
	size_t n = 0;
	if (!enter())
		SKIP("needs root");
	struct kobj o = run("0.0.0.0", 20000, 300);
	OWN(own_fd) int at = listener("0.0.0.0", 20000, false);
	while (n < ARRAY_LEN(link) && (link[n] = steer_nothing(&e)) >= 0)
		n++;
	if (!n && (link[0] == -EPERM || link[0] == -ENOSYS))
		SKIP("this kernel has no BPF");
	CHECK_INT(n, 64);
	REQUIRE(n == 64);
	CHECK_INT(steer_run(at, &o, &e), -E2BIG);
	CHECK_STR(e.msg, "64 programs that look for sockets (BPF, sk_lookup) are there already, and the kernel takes no more");
	CHECK_INT(asked(at, "127.0.0.1", 20001), 0);
	close(link[--n]);
	OWN(own_fd) int led = steer_run(at, &o, &e);
	CHECK(led >= 0);
	CHECK_INT(asked(at, "127.0.0.1", 20001), 20001); /* past those that lead nothing */
	while (n)
		close(link[--n]);
}

/* This thread's bpf(command) fails from now on, as where a security module or a lack of capabilities forbids it. */
static bool forbid(unsigned command)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, command, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog p = {.len = ARRAY_LEN(f), .filter = f};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}

static size_t descriptors(void)
{
	size_t n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* In a child, which keeps the filter for itself. */
static void refused(unsigned command, const char *want)
{
	struct err e = {0};
	int status;
	struct kobj o = run("0.0.0.0", 20000, 300);
	OWN(own_fd) int at = listener("0.0.0.0", 20000, false);
	fflush(stdout);
	pid_t child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		size_t before = descriptors();
		bool ok = forbid(command) && steer_run(at, &o, &e) == -EPERM && strstr(e.msg, want) && descriptors() == before;
		if (!ok)
			printf("# forbidden %u: \"%s\", want \"%s\"\n", command, e.msg, want);
		fflush(stdout);
		_exit(!ok);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	CHECK_INT(status, 0);
}

TEST(what_the_kernel_refuses)
{
	if (!enter())
		SKIP("needs root");
	refused(BPF_MAP_CREATE, "a map of sockets (BPF)");
	struct err e = {0};
	OWN(own_fd) int link = steer_nothing(&e);
	if (link < 0)
		SKIP("this kernel has no BPF");
	refused(BPF_MAP_UPDATE_ELEM, "a map of sockets (BPF)");
	refused(BPF_PROG_LOAD, "a program that looks for sockets (BPF, sk_lookup)");
	refused(BPF_LINK_CREATE, "attach a program that looks for sockets");
}

TESTS(T(one_socket_for_all), T(a_run_at_one_address), T(what_cannot_be_led), T(no_more_than_sixty_four), T(what_the_kernel_refuses))
