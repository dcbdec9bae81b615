#include "base/platform.h"

#include <sys/utsname.h>

#include "base/strv.h"

static const struct {
	const char *machine, *arch, *variant;
} machines[] = {
	{"x86_64", "amd64", ""},
	{"i386", "386", ""},
	{"i686", "386", ""},
	{"aarch64", "arm64", ""},
	{"armv7l", "arm", "v7"},
	{"armv6l", "arm", "v6"},
	{"riscv64", "riscv64", ""},
	{"ppc64le", "ppc64le", ""},
	{"s390x", "s390x", ""},
	{"mips64", "mips64le", ""},
	{"loongarch64", "loong64", ""},
};

static bool name_valid(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	return n > 0 && !s[n];
}

struct platform platform_of_machine(const char *machine)
{
	struct platform p = {.os = "linux"};
	STR_COPY(p.arch, machine);
	for (size_t i = 0; i < ARRAY_LEN(machines); i++)
		if (streq(machines[i].machine, machine)) {
			STR_COPY(p.arch, machines[i].arch);
			STR_COPY(p.variant, machines[i].variant);
		}
	return p;
}

struct platform platform_here(void)
{
	struct utsname u;
	return platform_of_machine(uname(&u) < 0 ? "unknown" : u.machine);
}

const char *platform_format(const struct platform *p, char out[static PLATFORM_TEXT])
{
	snprintf(out, PLATFORM_TEXT, "%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
	return out;
}

/* The names people write for an architecture, as one. */
static void normalise(struct platform *p)
{
	struct platform m = platform_of_machine(p->arch);
	if (!streq(m.arch, p->arch)) {
		STR_COPY(p->arch, m.arch);
		if (!*p->variant)
			STR_COPY(p->variant, m.variant);
	}
	if (streq(p->arch, "armhf") || streq(p->arch, "armel")) {
		STR_COPY(p->variant, streq(p->arch, "armhf") ? "v7" : "v6");
		STR_COPY(p->arch, "arm");
	}
	if (streq(p->arch, "arm64") && streq(p->variant, "v8"))
		*p->variant = '\0';
}

int platform_parse(const char *s, const struct platform *host, struct platform *out, struct err *e)
{
	struct platform p = {};
	char text[64], *part[3] = {NULL, NULL, NULL}, *save = NULL;
	size_t n = 0;

	bool fits = STR_COPY(text, s) && !strstr(s, "//") && *s && *s != '/' && s[strlen(s) - 1] != '/';
	for (char *t = fits ? strtok_r(text, "/", &save) : NULL; t; t = strtok_r(NULL, "/", &save)) {
		if (n == ARRAY_LEN(part) || !name_valid(t))
			fits = false;
		else
			part[n++] = t;
	}
	if (!fits || n == 0)
		return err_as(e, ERR_INVALID, "\"%.100s\" is an invalid platform: want os/architecture[/variant]", s);
	bool is_os = n > 1 || streq(part[0], "linux") || streq(part[0], "windows") || streq(part[0], "darwin");
	fits = STR_COPY(p.os, is_os ? part[0] : "linux") &&
	       STR_COPY(p.arch, n > 1   ? part[1]
				: is_os ? host->arch
					: part[0]) &&
	       STR_COPY(p.variant, n > 2             ? part[2]
				   : is_os && n == 1 ? host->variant
						     : "");
	if (!fits)
		return err_as(e, ERR_INVALID, "\"%.100s\" is an invalid platform: a part is too long", s);
	if (!streq(p.os, "linux"))
		return err_as(e, ERR_INVALID, "operating system \"%s\" is not supported: only linux is", p.os);
	normalise(&p);
	*out = p;
	return 0;
}

int platform_match(const struct platform *want, const struct platform *have)
{
	struct platform w = *want, h = *have;
	normalise(&w);
	normalise(&h);
	if (!streq(w.os, h.os) || !streq(w.arch, h.arch))
		return 0;
	if (streq(w.variant, h.variant))
		return 2;
	if (!*w.variant || !*h.variant)
		return 1;
	/* A newer ARM runs what was made for an older one: v7 runs v6. */
	return streq(w.arch, "arm") && strcmp(h.variant, w.variant) < 0;
}
