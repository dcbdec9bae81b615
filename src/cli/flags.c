#include "cli/flags.h"

#include <strings.h>

static const struct flag *by_name(const struct parsed *p, const char *name, size_t n)
{
	for (size_t i = 0; i < p->n; i++)
		if (strlen(p->table[i].name) == n && strncmp(p->table[i].name, name, n) == 0)
			return &p->table[i];
	return NULL;
}

static const struct flag *by_letter(const struct parsed *p, char c)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->table[i].short_name == c)
			return &p->table[i];
	return NULL;
}

static int keep(struct parsed *p, const struct flag *f, const char *value, struct arena *a, struct err *e)
{
	if (f->value && streq(f->value, "filter") && !strchr(value, '='))
		return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"%s--filter\" flag: bad format of filter (expected name=value)", value, f->short_name ? "-f, " : "");
	return strv_add(a, &p->values[f - p->table], value) < 0 ? err_nomem(e) : 0;
}

static bool is_bool(const char *s)
{
	return strcasecmp(s, "true") == 0 || strcasecmp(s, "false") == 0 || streq(s, "1") || streq(s, "0");
}

static int long_flag(struct parsed *p, char **argv, size_t *i, struct arena *a, struct err *e)
{
	const char *arg = argv[*i] + 2, *eq = strchr(arg, '=');
	size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
	const struct flag *f = by_name(p, arg, n);
	if (!f && n == 4 && strncmp(arg, "help", 4) == 0) {
		p->help = true;
		return 0;
	}
	if (!f)
		return err_as(e, ERR_INVALID, "unknown flag: --%.*s", (int)n, arg);
	if (!f->value) {
		if (eq && !is_bool(eq + 1))
			return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: expected true or false", eq + 1, f->name);
		return keep(p, f, eq ? eq + 1 : "true", a, e);
	}
	if (eq)
		return keep(p, f, eq + 1, a, e);
	if (!argv[*i + 1])
		return err_as(e, ERR_INVALID, "flag needs an argument: --%s", f->name);
	return keep(p, f, argv[++*i], a, e);
}

static int short_flags(struct parsed *p, char **argv, size_t *i, struct arena *a, struct err *e)
{
	const char *group = argv[*i];
	for (const char *c = group + 1; *c; c++) {
		const struct flag *f = by_letter(p, *c);
		if (!f && *c == 'h') {
			p->help = true;
			return 0;
		}
		if (!f)
			return err_as(e, ERR_INVALID, "unknown shorthand flag: '%c' in %s", *c, group);
		if (!f->value) {
			try(keep(p, f, "true", a, e));
			continue;
		}
		if (c[1])
			return keep(p, f, c[1] == '=' ? c + 2 : c + 1, a, e);
		if (!argv[*i + 1])
			return err_as(e, ERR_INVALID, "flag needs an argument: '%c' in %s", *c, group);
		return keep(p, f, argv[++*i], a, e);
	}
	return 0;
}

int flags_parse(const struct flag *table, size_t n, char **argv, bool stop_at_first, struct arena *a, struct parsed *out, struct err *e)
{
	struct parsed p = {.table = table, .n = n, .values = arena_new(a, struct strv, n + 1)};
	bool over = false;
	if (!p.values)
		return err_nomem(e);
	for (size_t i = 0; argv[i]; i++) {
		const char *s = argv[i];
		if (!over && streq(s, "--")) {
			over = true;
			continue;
		}
		if (over || s[0] != '-' || !s[1]) {
			if (strv_add(a, &p.args, s) < 0)
				return err_nomem(e);
			over |= stop_at_first;
			continue;
		}
		try(s[1] == '-' ? long_flag(&p, argv, &i, a, e) : short_flags(&p, argv, &i, a, e));
	}
	*out = p;
	return 0;
}

const struct strv *flag_list(const struct parsed *p, const char *name)
{
	static const struct strv none;
	const struct flag *f = by_name(p, name, strlen(name));
	return f ? &p->values[f - p->table] : &none;
}

const char *flag_get(const struct parsed *p, const char *name)
{
	const struct strv *l = flag_list(p, name);
	return l->n ? l->v[l->n - 1] : NULL;
}

bool flag_on(const struct parsed *p, const char *name)
{
	const char *v = flag_get(p, name);
	return v && (streq(v, "1") || strcasecmp(v, "true") == 0);
}
