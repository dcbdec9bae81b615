/* What the kernel remembers of connections through published ports, and what it forgets when they change. All on the
 * loopback of a namespace of the test's own: "containers" are addresses of 127/8, and two rules of NAT lead to them. */
#include <arpa/inet.h>
#include <sched.h>

#include "base/fd.h"
#include "kernel/kernel.h"
#include "net/fixture.h"

static struct kernel *k;
static struct netconf conf;

static bool enter(void)
{
	struct err e = {0};
	conf = fix_conf();
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && system("ip link set lo up") == 0 && kernel_new(&conf, &k, &e) == 0;
}

static bool send_to(const char *from, const char *to, uint16_t port, uint16_t source)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(source)}, b = {.sin_family = AF_INET, .sin_port = htons(port)};
	OWN(own_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, from, &a.sin_addr);
	inet_pton(AF_INET, to, &b.sin_addr);
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && sendto(fd, "?", 1, 0, (struct sockaddr *)&b, sizeof(b)) == 1;
}

static bool tracked(uint16_t port, uint16_t source)
{
	OWN(own_buf) struct buf b = {0};
	char text[64];
	snprintf(text, sizeof(text), "sport=%u dport=%u ", source, port);
	return read_file("/proc/net/nf_conntrack", 1 << 20, &b, NULL) >= 0 && strstr(buf_str(&b), text);
}

static struct flow flow(uint16_t host_port, uint16_t port)
{
	return (struct flow){.proto = IPPROTO_UDP, .host = fix_ip("0.0.0.0"), .ip = fix_ip("127.0.0.2"), .host_port = host_port, .count = 1, .port = port};
}

static bool run(enum step_op op, const struct kobj *before, const struct kobj *after)
{
	struct step s = {.op = op, .before = before, .after = after};
	struct err e = {0};
	return k->run(k, &s, &e) >= 0;
}

TEST(ports_come_and_go)
{
	if (!enter())
		SKIP("needs root");
	if (access("/proc/net/nf_conntrack", R_OK) < 0)
		SKIP("this kernel does not show what it tracks");
	REQUIRE(system("nft 'add table ip t; add chain ip t o { type nat hook output priority -100; }; add rule ip t o udp dport 8080 dnat to 127.0.0.2:90; "
		       "add rule ip t o udp dport 8081 dnat to 127.0.0.2:91'") == 0);
	REQUIRE(send_to("127.0.0.1", "127.0.0.1", 8080, 5000) && send_to("127.0.0.1", "127.0.0.1", 8081, 5001) && send_to("127.0.0.1", "127.0.0.1", 8082, 5002) &&
		send_to("127.0.0.1", "127.0.0.1", 9999, 5003) && send_to("127.0.0.2", "127.0.0.9", 7, 5004));
	for (uint16_t i = 0; i < 5; i++)
		CHECK(tracked((uint16_t[]){8080, 8081, 8082, 9999, 7}[i], (uint16_t)(5000 + i)));
	struct flow both[] = {flow(8080, 90), flow(8081, 91)}, one[] = {flow(8081, 91)}, more[] = {flow(8081, 91), flow(8082, 92)};
	struct kobj first = {.kind = K_FLOWS, .flows = {.container = "c", .v = both, .n = 2}}, second = {.kind = K_FLOWS, .flows = {.container = "c", .v = one, .n = 1}},
		    third = {.kind = K_FLOWS, .flows = {.container = "c", .v = more, .n = 2}};
	/* published as they lead: nothing is forgotten */
	CHECK(run(STEP_ADD, NULL, &first));
	CHECK(tracked(8080, 5000) && tracked(8081, 5001) && tracked(8082, 5002));
	/* one goes: its connection alone */
	CHECK(run(STEP_CHANGE, &first, &second));
	CHECK(!tracked(8080, 5000) && tracked(8081, 5001) && tracked(8082, 5002) && tracked(9999, 5003) && tracked(7, 5004));
	/* one comes: who has talked to the host by that number is led anew */
	CHECK(run(STEP_CHANGE, &second, &third));
	CHECK(tracked(8081, 5001) && !tracked(8082, 5002) && tracked(9999, 5003) && tracked(7, 5004));
	/* all go, and the address: also what came from it */
	CHECK(run(STEP_DEL, &third, NULL));
	CHECK(!tracked(8081, 5001) && tracked(9999, 5003) && !tracked(7, 5004));
	k->free(k);
}

TESTS(T(ports_come_and_go))
