/* Theory of operation
 *
 * A runtime compiles the "seccomp" part of an OCI configuration anew for every container: with the default filter that is a third of the time of a
 * start. The same text always gives the same program, so it is compiled here once and handed to crun as an annotation (crun(1),
 * run.oci.seccomp_bpf_data: it then installs these instructions instead of compiling). Other runtimes do not know the annotation and compile the text,
 * which stays in the configuration. What this file does not understand to the last key is left to the runtime: NULL.
 *
 * The instructions are sorted as a binary tree (SCMP_FLTATR_CTL_OPTIMIZE 2), so a system call of the container passes some nine comparisons instead of
 * hundreds. tests/engine/test_seccomp.c runs the program for every system call of every architecture and compares with the rules. */
#include <errno.h>
#include <nettle/base64.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/engine_int.h"

#define PROGRAMS 8 /* kept; more sets of capabilities than that are rare on one host */
#define BPF_SIZE (64 * 1024)

struct seccomp_program {
	char *text, *bpf; /* the profile; base64 */
};
struct seccomp_cache {
	pthread_mutex_t lock;
	struct seccomp_program v[PROGRAMS];
	size_t next;
};

struct seccomp_cache *seccomp_cache_new(void)
{
	struct seccomp_cache *c = calloc(1, sizeof(*c));
	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void clear(struct seccomp_program *p)
{
	free(p->text);
	free(p->bpf);
	*p = (struct seccomp_program){0};
}

void seccomp_cache_free(struct seccomp_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < PROGRAMS; i++)
		clear(&c->v[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static bool action_of(const char *name, const json_t *number, uint32_t *out)
{
	json_int_t n = number ? json_integer_value(number) : EPERM;
	if (n < 0 || n > UINT16_MAX)
		return false;
	if (streq(name, "SCMP_ACT_ALLOW"))
		*out = SCMP_ACT_ALLOW;
	else if (streq(name, "SCMP_ACT_ERRNO"))
		*out = SCMP_ACT_ERRNO((uint32_t)n);
	else
		return false;
	return true;
}

static bool add_architectures(scmp_filter_ctx ctx, const json_t *list)
{
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v) {
		static const char prefix[] = "SCMP_ARCH_";
		const char *name = json_string_value(v);
		char lower[32];
		size_t n = 0;
		if (!name || !str_starts(name, prefix))
			return false;
		for (name += strlen(prefix); name[n] && n + 1 < sizeof(lower); n++)
			lower[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] + 32 : name[n]);
		lower[n] = '\0';
		uint32_t arch = seccomp_arch_resolve_name(lower);
		int r = arch ? seccomp_arch_add(ctx, arch) : -EINVAL;
		if (r < 0 && r != -EEXIST)
			return false;
	}
	return true;
}

/* One comparison a rule, as the default filter has them. */
static bool comparison(const json_t *args, struct scmp_arg_cmp *out)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} ops[] = {{"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
	int index;
	json_int_t value, two = 0;
	const char *op;
	if (json_array_size(args) != 1 || json_unpack(json_array_get(args, 0), "{s:i, s:I, s?I, s:s !}", "index", &index, "value", &value, "valueTwo", &two, "op", &op) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (!streq(op, ops[i].name))
			continue;
		*out = (struct scmp_arg_cmp){(unsigned)index, ops[i].op, (scmp_datum_t)value, (scmp_datum_t)two};
		return index >= 0 && index < 6;
	}
	return false;
}

static bool add_rule(scmp_filter_ctx ctx, json_t *rule, uint32_t usual)
{
	json_t *names, *number = NULL, *args = NULL, *v;
	const char *action;
	struct scmp_arg_cmp cmp;
	uint32_t act;
	size_t i;
	if (json_unpack(rule, "{s:o, s:s, s?o, s?o !}", "names", &names, "action", &action, "errnoRet", &number, "args", &args) < 0 || !action_of(action, number, &act) ||
		(args && !comparison(args, &cmp)))
		return false;
	if (act == usual)
		return true;
	json_array_foreach(names, i, v) {
		int call = json_is_string(v) ? seccomp_syscall_resolve_name(json_string_value(v)) : __NR_SCMP_ERROR;
		if (call == __NR_SCMP_ERROR)
			continue; /* newer than the library: the usual action, as a runtime does it */
		if ((args ? seccomp_rule_add_array(ctx, act, call, 1, &cmp) : seccomp_rule_add(ctx, act, call, 0)) < 0)
			return false;
	}
	return true;
}

static bool translate(scmp_filter_ctx *ctx, json_t *profile)
{
	json_t *number = NULL, *archs = NULL, *rules, *v;
	const char *action;
	uint32_t usual;
	size_t i;
	if (json_unpack(profile, "{s:s, s?o, s?o, s:o !}", "defaultAction", &action, "defaultErrnoRet", &number, "architectures", &archs, "syscalls", &rules) < 0 ||
		!action_of(action, number, &usual))
		return false;
	*ctx = seccomp_init(usual);
	if (!*ctx || seccomp_attr_set(*ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 || !add_architectures(*ctx, archs))
		return false;
	json_array_foreach(rules, i, v)
		if (!add_rule(*ctx, v, usual))
			return false;
	return true;
}

ssize_t seccomp_compile(json_t *profile, void *out, size_t size)
{
	scmp_filter_ctx ctx = NULL;
	OWN(own_fd) int fd = memfd_create("seccomp", MFD_CLOEXEC);
	bool done = fd >= 0 && translate(&ctx, profile) && seccomp_export_bpf(ctx, fd) >= 0;
	if (ctx)
		seccomp_release(ctx);
	ssize_t n = done ? pread(fd, out, size, 0) : -1;
	return n > 0 && (size_t)n < size ? n : -1;
}

static char *compiled(json_t *profile)
{
	OWN(own_free) uint8_t *raw = malloc(BPF_SIZE);
	ssize_t n = raw ? seccomp_compile(profile, raw, BPF_SIZE) : -1;
	char *text = n > 0 ? malloc(BASE64_ENCODE_RAW_LENGTH((size_t)n) + 1) : NULL;
	if (text) {
		base64_encode_raw(text, (size_t)n, raw);
		text[BASE64_ENCODE_RAW_LENGTH((size_t)n)] = '\0';
	}
	return text;
}

char *seccomp_bpf(struct seccomp_cache *c, json_t *profile)
{
	OWN(own_free) char *text = json_dumps(profile, JSON_COMPACT | JSON_SORT_KEYS);
	char *out = NULL;
	if (!text)
		return NULL;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; !out && i < PROGRAMS; i++)
		if (c->v[i].text && streq(c->v[i].text, text))
			out = strdup(c->v[i].bpf);
	if (!out && (out = compiled(profile))) {
		struct seccomp_program *p = &c->v[c->next];
		char *copy = strdup(out);
		if (copy) {
			clear(p);
			*p = (struct seccomp_program){STEAL(text), copy};
			c->next = (c->next + 1) % PROGRAMS;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return out;
}
