#include "engine/seccomp_profile.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__x86_64__)
#define ARCH     "SCMP_ARCH_X86_64"
#define ARCH_GO  "amd64"
#elif defined(__aarch64__)
#define ARCH     "SCMP_ARCH_AARCH64"
#define ARCH_GO  "arm64"
#elif defined(__riscv)
#define ARCH     "SCMP_ARCH_RISCV64"
#define ARCH_GO  "riscv64"
#else
#define ARCH     ""
#define ARCH_GO  ""
#endif

static bool has(const json_t *list, const char *s)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
		if (json_is_string(item) && streq(json_string_value(item), s))
			return true;
	return false;
}

static int set_architectures(json_t *out, const json_t *profile, struct err *e)
{
	const json_t *given = json_object_get(profile, "architectures"), *map = json_object_get(profile, "archMap");
	size_t i, k;
	json_t *entry, *sub;
	if (json_array_size(given) && json_array_size(map))
		return err_as(e, ERR_INVALID, "'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'");
	json_t *list = json_array_size(given) ? json_deep_copy(given) : json_array();
	json_array_foreach(map, i, entry)
	{
		const char *arch = json_string_value(json_object_get(entry, "architecture"));
		if (!arch || !streq(arch, ARCH))
			continue;
		json_array_append_new(list, json_string(arch));
		json_array_foreach(json_object_get(entry, "subArchitectures"), k, sub)
			json_array_append(list, sub);
	}
	if (json_array_size(list))
		return json_object_set_new(out, "architectures", list) < 0 ? err_nomem(e) : 0;
	json_decref(list);
	return 0;
}

/* "4.8": this kernel is of that version, or later. */
static bool kernel_is(const char *least)
{
	struct utsname u;
	unsigned major, minor, have_major, have_minor;
	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &have_major, &have_minor) != 2 || sscanf(least, "%u.%u", &major, &minor) != 2)
		return false;
	return have_major > major || (have_major == major && have_minor >= minor);
}

/* The rule is not for this architecture, these capabilities, this kernel. */
static bool passes_by(const json_t *rule, const json_t *caps)
{
	const json_t *in = json_object_get(rule, "includes"), *ex = json_object_get(rule, "excludes");
	const char *least = json_string_value(json_object_get(in, "minKernel")), *before = json_string_value(json_object_get(ex, "minKernel"));
	size_t i;
	json_t *cap;
	if (has(json_object_get(ex, "arches"), ARCH_GO) || (!str_empty(before) && kernel_is(before)))
		return true;
	json_array_foreach(json_object_get(ex, "caps"), i, cap)
		if (json_is_string(cap) && has(caps, json_string_value(cap)))
			return true;
	if (json_array_size(json_object_get(in, "arches")) && !has(json_object_get(in, "arches"), ARCH_GO))
		return true;
	json_array_foreach(json_object_get(in, "caps"), i, cap)
		if (!json_is_string(cap) || !has(caps, json_string_value(cap)))
			return true;
	return !str_empty(least) && !kernel_is(least);
}

static int add_rule(json_t *list, const json_t *rule, struct err *e)
{
	static const char *const keys[] = {"action", "errnoRet", "args"};
	const json_t *name = json_object_get(rule, "name"), *names = json_object_get(rule, "names");
	bool one = json_is_string(name) && !str_empty(json_string_value(name));
	if (one && json_array_size(names))
		return err_as(e, ERR_INVALID, "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'");
	if ((!one && !json_is_array(names)) || !json_is_string(json_object_get(rule, "action")))
		return err_as(e, ERR_INVALID, "a rule of the seccomp profile has no names or no action");
	json_t *out = json_object();
	(void)json_object_set_new(out, "names", one ? json_pack("[O]", name) : json_incref((json_t *)(uintptr_t)names));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(rule, keys[i]);
		if (v && !json_is_null(v))
			(void)json_object_set(out, keys[i], v);
	}
	return json_array_append_new(list, out) < 0 ? err_nomem(e) : 0;
}

static int convert(json_t *out, const json_t *profile, const json_t *caps, struct err *e)
{
	static const char *const keys[] = {"defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"};
	json_t *list = json_array(), *rules = json_object_get(profile, "syscalls"), *rule;
	size_t i;
	if (json_object_set_new(out, "syscalls", list) < 0)
		return err_nomem(e);
	if (!json_is_object(profile) || !json_is_string(json_object_get(profile, "defaultAction")))
		return err_as(e, ERR_INVALID, "a seccomp profile is an object with a defaultAction");
	for (i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(profile, keys[i]);
		if (v && !json_is_null(v))
			(void)json_object_set(out, keys[i], v);
	}
	try(set_architectures(out, profile, e));
	json_array_foreach(rules, i, rule)
		if (!passes_by(rule, caps))
			try(add_rule(list, rule, e));
	return 0;
}

json_t *seccomp_profile(const json_t *profile, const json_t *caps, struct err *e)
{
	json_t *out = json_object();
	if (out && convert(out, profile, caps, e) >= 0)
		return out;
	if (!out)
		err_nomem(e);
	json_decref(out);
	return NULL;
}
