/* The compiled system call filter, run here for every system call and compared with the profile's own rules. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>

#include "engine/engine_int.h"
#include "engine/seccomp_profile.h"
#include "test.h"

#define SIZE (64 * 1024)

static struct sock_filter program[SIZE / sizeof(struct sock_filter)];
static size_t length;

/* The classic BPF that libseccomp writes: loads of a word, comparisons, AND, RET. 1: an instruction that is none of these. */
static uint32_t run(const struct seccomp_data *d, unsigned *steps)
{
	uint32_t a = 0;
	*steps = 0;
	for (size_t pc = 0; pc < length; pc++, ++*steps) {
		const struct sock_filter *i = &program[pc];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)d + i->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += (a & i->k) ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			return 1;
		}
	}
	return 1;
}

static bool arg_matches(const json_t *arg, const struct seccomp_data *d)
{
	uint64_t have = d->args[json_integer_value(json_object_get(arg, "index"))];
	uint64_t value = (uint64_t)json_integer_value(json_object_get(arg, "value")), two = (uint64_t)json_integer_value(json_object_get(arg, "valueTwo"));
	const char *op = json_string_value(json_object_get(arg, "op"));
	return strcmp(op, "SCMP_CMP_EQ") == 0 ? have == value : strcmp(op, "SCMP_CMP_NE") == 0 ? have != value : (have & value) == two;
}

/* By the profile's text: the first rule that names the call and matches decides, else the default. */
static uint32_t expected(const json_t *profile, const char *name, const struct seccomp_data *d)
{
	size_t i, k;
	json_t *r, *n;
	json_array_foreach(json_object_get(profile, "syscalls"), i, r)
		json_array_foreach(json_object_get(r, "names"), k, n) {
			const json_t *args = json_object_get(r, "args");
			if (strcmp(json_string_value(n), name) != 0 || (args && !arg_matches(json_array_get(args, 0), d)))
				continue;
			if (strcmp(json_string_value(json_object_get(r, "action")), "SCMP_ACT_ALLOW") == 0)
				return SECCOMP_RET_ALLOW;
			return SECCOMP_RET_ERRNO | (uint32_t)json_integer_value(json_object_get(r, "errnoRet"));
		}
	return SECCOMP_RET_ERRNO | EPERM;
}

static json_t *profile_from(const char *host_config, const char *fallback)
{
	struct err e = {0};
	struct arena a = {0};
	json_t *body = json_pack("{s:s, s:o}", "Image", "i", "HostConfig", json_loads(host_config, 0, NULL));
	struct container_spec spec;
	json_t *j = NULL;
	if (spec_parse(body, &a, &spec, &e) >= 0) {
		json_t *caps = oci_capabilities(&spec.host, spec.host.privileged);
		j = oci_seccomp(&spec.host, fallback, caps, &e);
		json_decref(caps);
	}
	json_decref(body);
	arena_free(&a);
	return j;
}

static json_t *profile_for(const char *host_config)
{
	return profile_from(host_config, "");
}

static void check_call(const json_t *profile, uint32_t audit, uint32_t token, int nr)
{
	static const uint64_t args[] = {0, 1, 8, 0x20000, 0x20008, 40, 0xffffffff, 0x10000000, 0x7e020000, 0x50f00};
	char *name = seccomp_syscall_resolve_num_arch(token, nr);
	for (size_t i = 0; name && i < ARRAY_LEN(args); i++) {
		struct seccomp_data d = {.nr = nr, .arch = audit, .args = {args[i]}};
		unsigned steps;
		uint32_t got = run(&d, &steps), want = expected(profile, name, &d);
		if (got != want || steps > 64) {
			printf("# %s (%d of %x) with %llx: %x, want %x, %u steps\n", name, nr, audit, (unsigned long long)args[i], got, want, steps);
			test_failed = true;
		}
	}
	free(name);
}

static void check_profile(const char *host_config)
{
	json_t *profile = profile_for(host_config);
	REQUIRE(profile);
	ssize_t n = seccomp_compile(profile, program, sizeof(program));
	CHECK(n > 0);
	length = n > 0 ? (size_t)n / sizeof(program[0]) : 0;
	for (int nr = 0; length && nr < 600; nr++) {
#ifdef __x86_64__
		check_call(profile, AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64, nr);
		check_call(profile, AUDIT_ARCH_I386, SCMP_ARCH_X86, nr);
		check_call(profile, AUDIT_ARCH_X86_64, SCMP_ARCH_X32, nr | 0x40000000);
#else
		check_call(profile, seccomp_arch_native(), seccomp_arch_native(), nr);
#endif
	}
	struct seccomp_data foreign = {.nr = 0, .arch = 0x1234};
	unsigned steps;
	CHECK_INT(run(&foreign, &steps), SECCOMP_RET_KILL_THREAD);
	json_decref(profile);
}

TEST(the_default_filter_is_what_its_text_says) { check_profile("{}"); }
TEST(with_more_capabilities) { check_profile("{\"CapAdd\":[\"SYS_ADMIN\",\"SYS_PTRACE\",\"SYS_TIME\"]}"); }
TEST(without_any_capability) { check_profile("{\"CapDrop\":[\"ALL\"]}"); }

TEST(what_is_not_understood_is_left_to_the_runtime)
{
	static const char *const texts[] = {
		"{}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\"}",
		"{\"defaultAction\":\"SCMP_ACT_TRACE\",\"syscalls\":[]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[],\"archMap\":[]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_VAX\"],\"syscalls\":[]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":70000,\"syscalls\":[]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{}}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_GT\"}]}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *j = json_loads(texts[i], 0, NULL);
		CHECK(j);
		if (seccomp_compile(j, program, sizeof(program)) != -1) {
			printf("# compiled: %s\n", texts[i]);
			test_failed = true;
		}
		json_decref(j);
	}
}

/* Docker's form, for capabilities "CAP_A" and "CAP_B"; its profile as runtimes take it, or what is wrong. */
TEST(conditions_of_rules_are_judged_here)
{
#define ALLOW "\"action\":\"SCMP_ACT_ALLOW\""
#define RULE(condition) "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"bpf\"]," ALLOW "," condition "}]}"
#define KEPT "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{" ALLOW ",\"names\":[\"bpf\"]}]}"
#define NONE "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[]}"
	static const char *const v[][2] = {
		{RULE("\"includes\":{\"caps\":[\"CAP_A\",\"CAP_B\"]}"), KEPT},
		{RULE("\"includes\":{\"caps\":[\"CAP_A\",\"CAP_SYS_ADMIN\"]}"), NONE},
		{RULE("\"excludes\":{\"caps\":[\"CAP_B\"]}"), NONE},
		{RULE("\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}"), KEPT},
		{RULE("\"includes\":{\"arches\":[\"vax\"]}"), NONE},
		{RULE("\"includes\":{\"arches\":[\"amd64\",\"arm64\",\"riscv64\"]}"), KEPT},
		{RULE("\"excludes\":{\"arches\":[\"amd64\",\"arm64\",\"riscv64\"]}"), NONE},
		{RULE("\"includes\":{\"minKernel\":\"3.0\"}"), KEPT},
		{RULE("\"includes\":{\"minKernel\":\"999.0\"}"), NONE},
		{RULE("\"excludes\":{\"minKernel\":\"3.0\"}"), NONE},
		{RULE("\"includes\":{},\"excludes\":{},\"comment\":\"x\",\"args\":null,\"errnoRet\":1"), "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{" ALLOW ",\"errnoRet\":1,\"names\":[\"bpf\"]}]}"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"name\":\"bpf\"," ALLOW "}]}", KEPT},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_VAX\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]}]}", NONE},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"name\":\"bpf\",\"names\":[\"bpf\"]," ALLOW "}]}",
			"'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\"}]}",
			"'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[7]}", "a rule of the seccomp profile has no names or no action"},
		{"{\"syscalls\":[]}", "a seccomp profile is an object with a defaultAction"},
		{"[]", "a seccomp profile is an object with a defaultAction"},
	};
	json_t *caps = json_pack("[s, s]", "CAP_A", "CAP_B");
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct err e = {0};
		json_t *in = json_loads(v[i][0], 0, NULL), *out = in ? seccomp_profile(in, caps, &e) : NULL;
		char *text = out ? json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
		CHECK(in);
		CHECK_STR(text ? text : e.msg, v[i][1]);
		free(text);
		json_decref(in);
		json_decref(out);
	}
#if defined(__x86_64__)
	struct err e = {0};
	json_t *in = json_loads("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]}]}", 0, NULL), *out = seccomp_profile(in, caps, &e);
	char *text = json_dumps(json_object_get(out, "architectures"), JSON_COMPACT);
	CHECK_STR(text, "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"]");
	free(text);
	json_decref(in);
	json_decref(out);
#endif
	json_decref(caps);
}

/* Whose profile counts: the container's own, the daemon's, the built-in one; a privileged container has only one that it asks for. */
TEST(whose_profile_counts)
{
#define MINE "{\\\"defaultAction\\\":\\\"SCMP_ACT_LOG\\\"}"
	static const char daemons[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
	static const struct {
		const char *host_config, *fallback, *action; /* "": unconfined */
	} v[] = {
		{"{}", "", "SCMP_ACT_ERRNO"},
		{"{}", daemons, "SCMP_ACT_ALLOW"},
		{"{}", "unconfined", ""},
		{"{\"SecurityOpt\":[\"seccomp=" MINE "\"]}", daemons, "SCMP_ACT_LOG"},
		{"{\"SecurityOpt\":[\"seccomp=builtin\"]}", daemons, "SCMP_ACT_ERRNO"},
		{"{\"SecurityOpt\":[\"seccomp=unconfined\"]}", daemons, ""},
		{"{\"Privileged\":true}", daemons, ""},
		{"{\"Privileged\":true,\"SecurityOpt\":[\"seccomp=" MINE "\"]}", daemons, "SCMP_ACT_LOG"},
		{"{\"Privileged\":true,\"SecurityOpt\":[\"seccomp=builtin\"]}", daemons, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		json_t *j = profile_from(v[i].host_config, v[i].fallback);
		const char *action = json_string_value(json_object_get(j, "defaultAction"));
		CHECK(j);
		CHECK_STR(action ? action : "", v[i].action);
		json_decref(j);
	}
}

TEST(programs_are_kept)
{
	struct seccomp_cache *c = seccomp_cache_new();
	REQUIRE(c);
	char *first = NULL;
	for (int i = 0; i < 20; i++) { /* more than are kept */
		json_t *j = json_pack("{s:s, s:i, s:[{s:[s], s:s}]}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet", i + 1, "syscalls", "names", "read", "action", "SCMP_ACT_ALLOW");
		char *one = seccomp_bpf(c, j), *again = seccomp_bpf(c, j);
		CHECK(one && again && strcmp(one, again) == 0);
		CHECK(one && strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == strlen(one));
		CHECK(!first || !one || strcmp(first, one) != 0);
		free(first);
		first = one;
		free(again);
		json_decref(j);
	}
	free(first);
	seccomp_cache_free(c);
}

TESTS(T(the_default_filter_is_what_its_text_says), T(with_more_capabilities), T(without_any_capability), T(what_is_not_understood_is_left_to_the_runtime), T(conditions_of_rules_are_judged_here), T(whose_profile_counts), T(programs_are_kept))
