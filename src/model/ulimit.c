#include "model/ulimit.h"

#include <errno.h>
#include <stdlib.h>

int ulimit_check(const struct ulimit *u, struct err *e)
{
	static const char *const names[] = {"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
		"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"};
	bool known = false;
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		known |= u->name && streq(u->name, names[k]);
	if (!known)
		return err_as(e, ERR_INVALID, "invalid ulimit type: %s", u->name ? u->name : "");
	if (u->soft < -1 || u->hard < -1)
		return err_as(e, ERR_INVALID, "invalid ulimit %s: a limit is a number or -1", u->name);
	if (u->hard != -1 && (u->soft == -1 || u->soft > u->hard))
		return err_as(e, ERR_INVALID, "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
			(long long)u->soft, (long long)u->hard);
	return 0;
}

static bool number(const char **s, int64_t *out)
{
	char *end;
	errno = 0;
	*out = strtoll(*s, &end, 10);
	bool good = end != *s && !errno;
	*s = end;
	return good;
}

int ulimit_parse(const char *s, struct arena *a, struct ulimit *out, struct err *e)
{
	struct ulimit u = {0};
	size_t n = strcspn(s, "=");
	const char *p = s + n + 1;
	bool good = n && s[n] && number(&p, &u.soft);
	u.hard = u.soft;
	if (good && *p == ':') {
		p++;
		good = number(&p, &u.hard);
	}
	if (!good || *p)
		return err_as(e, ERR_INVALID, "invalid ulimit argument: %s", s);
	u.name = arena_dupn(a, s, n);
	if (!u.name)
		return err_nomem(e);
	try(ulimit_check(&u, e));
	*out = u;
	return 0;
}

const struct ulimit *ulimit_find(const struct json_vec *l, const char *name)
{
	const struct ulimit *u = l->v;
	for (size_t i = 0; i < l->n; i++)
		if (u[i].name && streq(u[i].name, name)) /* a request that has not been judged may have one without */
			return &u[i];
	return NULL;
}
