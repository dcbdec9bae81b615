/* Theory of operation
 *
 * Ten thousand listening sockets take 35 MB of the kernel and as many descriptors in two processes. One is enough: before the kernel looks for a listener it asks the
 * programs that are attached to the network namespace (BPF, sk_lookup), and ours says, for any port of the run, "this one". Nothing is rewritten: the host's INPUT
 * rules see the port that the client asked for, and the accepted socket has it (getsockname), or the datagram tells it (IP_RECVORIGDSTADDR). What the firewall's NAT leads to a container never comes here.
 *
 * The program, made for each run, is
 *
 *     if (protocol != the run's || local_port < first || local_port > last || [the host address is another]) pass;
 *     sk = map[0]; if (sk) { assign(ctx, sk); release(sk); } pass;
 *
 * where a socket of the wrong family is refused by assign(), which leaves everything as it was. The map forgets the socket when it is closed, and map and program go
 * with the last descriptor of the link. A namespace takes 64 programs, those of others included. Of a run beyond them, as on kernels without it, the first port alone is served, which who
 * creates the container is told (ports_warn); a run that NAT does not lead anywhere is refused.
 *
 * tests/kernel/test_steer.c */
#include "kernel/steer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

#define PASS 0x7fff /* a jump to the end, until that is known */

struct code {
	struct bpf_insn v[48];
	size_t n;
};

static int bpf(enum bpf_cmd cmd, union bpf_attr *a)
{
	return (int)syscall(SYS_bpf, cmd, a, sizeof(*a));
}

static void put(struct code *c, uint8_t code, uint8_t to, uint8_t from, int16_t off, int32_t imm)
{
	assert(c->n < ARRAY_LEN(c->v));
	c->v[c->n++] = (struct bpf_insn){.code = code, .dst_reg = to & 15, .src_reg = from & 15, .off = off, .imm = imm};
}

/* Passes unless the context's word at `field` stands so to the value. */
static void pass_if(struct code *c, size_t field, uint8_t relation, uint32_t value)
{
	put(c, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, (int16_t)field, 0);
	put(c, BPF_JMP32 | relation | BPF_K, BPF_REG_2, 0, PASS, (int32_t)value);
}

static void pass_unless_at(struct code *c, const struct ip *at)
{
	uint32_t word[4];
	memcpy(word, at->b, sizeof(word));
	if (ip_is_unspecified(at))
		return;
	pass_if(c, offsetof(struct bpf_sk_lookup, family), BPF_JNE, at->family);
	for (size_t i = 0; i < (at->family == AF_INET6 ? 4u : 1u); i++)
		pass_if(c, at->family == AF_INET6 ? offsetof(struct bpf_sk_lookup, local_ip6) + 4 * i : offsetof(struct bpf_sk_lookup, local_ip4), BPF_JNE, word[i]);
}

static void write_program(struct code *c, int map, const struct kobj *o)
{
	pass_if(c, offsetof(struct bpf_sk_lookup, protocol), BPF_JNE, o->listen.proto);
	pass_if(c, offsetof(struct bpf_sk_lookup, local_port), BPF_JLT, o->listen.port);
	pass_if(c, offsetof(struct bpf_sk_lookup, local_port), BPF_JGT, (uint32_t)o->listen.port + o->listen.count - 1);
	pass_unless_at(c, &o->listen.ip);
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	put(c, BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0); /* the key */
	put(c, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map);
	put(c, 0, 0, 0, 0, 0);
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0);
	put(c, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4);
	put(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	put(c, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, PASS, 0);
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_7, BPF_REG_0, 0, 0);
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_7, 0, 0);
	put(c, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0);
	put(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_assign);
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_7, 0, 0);
	put(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_release);
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].off == PASS)
			c->v[i].off = (int16_t)(c->n - i - 1);
	put(c, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, SK_PASS);
	put(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int make_map(struct err *e)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = sizeof(uint32_t), .value_size = sizeof(uint64_t), .max_entries = 1};
	int map = bpf(BPF_MAP_CREATE, &a);
	return map < 0 ? err_errno(e, -errno, "a map of sockets (BPF)") : map;
}

static int load(int map, const struct kobj *o)
{
	struct code c = {.n = 0};
	write_program(&c, map, o);
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_SK_LOOKUP, .expected_attach_type = BPF_SK_LOOKUP, .insns = (uintptr_t)c.v, .insn_cnt = (uint32_t)c.n, .license = (uintptr_t)"GPL"};
	return bpf(BPF_PROG_LOAD, &a);
}

static int attach(int map, const struct kobj *o, struct err *e)
{
	OWN(own_fd) int program = load(map, o);
	if (program < 0)
		return err_errno(e, -errno, "a program that looks for sockets (BPF, sk_lookup)");
	OWN(own_fd) int ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	union bpf_attr a = {.link_create = {.prog_fd = (uint32_t)program, .target_fd = (uint32_t)ns, .attach_type = BPF_SK_LOOKUP}};
	int link = ns < 0 ? -1 : bpf(BPF_LINK_CREATE, &a);
	if (link < 0 && errno == E2BIG)
		return err_set(e, -E2BIG, "64 programs that look for sockets (BPF, sk_lookup) are there already, and the kernel takes no more");
	return link < 0 ? err_errno(e, -errno, "attach a program that looks for sockets") : link;
}

int steer_run(int listener, const struct kobj *o, struct err *e)
{
	uint32_t key = 0;
	uint64_t value = (uint64_t)listener;
	OWN(own_fd) int map = make_map(e);
	union bpf_attr a = {.map_fd = (uint32_t)map, .key = (uintptr_t)&key, .value = (uintptr_t)&value};
	if (map < 0)
		return map;
	if (bpf(BPF_MAP_UPDATE_ELEM, &a) < 0)
		return err_errno(e, -errno, "a map of sockets (BPF)");
	return attach(map, o, e);
}

int steer_nothing(struct err *e)
{
	const struct kobj o = {.kind = K_LISTEN, .listen = {.proto = IPPROTO_TCP, .count = 1}};
	OWN(own_fd) int map = make_map(e);
	return map < 0 ? map : attach(map, &o, e);
}
