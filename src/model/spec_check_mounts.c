/* Binds, mounts and tmpfs: their syntax, and that no two stand on one place. */
#include <errno.h>
#include <string.h>

#include "model/spec_check.h"

#define ROOT_TARGET "invalid specification: destination can't be '/'"

/* The path without "//", "." and "..", as Go's path.Clean makes it. NULL when out of memory. */
static char *clean(struct arena *a, const char *path)
{
	bool rooted = *path == '/';
	char *out = arena_alloc(a, strlen(path) + 2, 1);
	size_t n = 0;
	if (!out)
		return NULL;
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len == 2 && strncmp(path, "..", 2) == 0) {
			while (n && out[--n] != '/')
				;
		} else if (len && !(len == 1 && *path == '.')) {
			if (n || rooted)
				out[n++] = '/';
			memcpy(out + n, path, len);
			n += len;
		}
		path += len + (path[len] == '/');
	}
	if (n == 0)
		out[n++] = rooted ? '/' : '.';
	out[n] = '\0';
	return out;
}

/* What is wrong with a target, or NULL; *target becomes the clean path. */
static const char *bad_target(struct arena *a, const char **target)
{
	const char *path = clean(a, *target);
	if (!path)
		return NULL;
	if (streq(path, "/"))
		return ROOT_TARGET;
	if (**target != '/')
		return arena_printf(a, "invalid mount path: '%s' mount path must be absolute", *target);
	*target = path;
	return NULL;
}

static bool is_one(const char *s, size_t n, const char *const *words, size_t nwords)
{
	for (size_t i = 0; i < nwords; i++)
		if (strlen(words[i]) == n && strncmp(s, words[i], n) == 0)
			return true;
	return false;
}

static const char *const propagations[] = {"private", "rprivate", "slave", "rslave", "shared", "rshared"};

/* At most one word of each kind. */
static bool is_mode(const char *s)
{
	static const char *const rw[] = {"rw", "ro"}, *const label[] = {"z", "Z"}, *const copy[] = {"nocopy"},
				 *const consistency[] = {"consistent", "cached", "delegated"};
	const struct {
		const char *const *words;
		size_t n;
	} kinds[] = {{rw, ARRAY_LEN(rw)}, {label, ARRAY_LEN(label)}, {copy, ARRAY_LEN(copy)},
		{consistency, ARRAY_LEN(consistency)}, {propagations, ARRAY_LEN(propagations)}};
	bool seen[ARRAY_LEN(kinds)] = {0};
	while (*s) {
		size_t n = strcspn(s, ","), k = 0;
		while (k < ARRAY_LEN(kinds) && !is_one(s, n, kinds[k].words, kinds[k].n))
			k++;
		if (k == ARRAY_LEN(kinds) || seen[k] || (s[n] == ',' && !s[n + 1]))
			return false;
		seen[k] = true;
		s += n + (s[n] == ',');
	}
	return true;
}

static int take_target(struct check *c, struct strv *targets, const char *target, struct err *e)
{
	if (strv_has(targets, target))
		return invalid(e, "Duplicate mount point: %s", target);
	return strv_add(c->a, targets, target) < 0 ? err_nomem(e) : 0;
}

static int no_volumes(const char *what, struct err *e)
{
	return err_as(e, ERR_NOT_IMPLEMENTED,
		"volumes are not supported by this version of Pontoon: bind a directory of the host instead of '%s'",
		what);
}

/* target | source:target | source:target:mode */
static int check_bind(struct check *c, const char *s, struct strv *targets, struct err *e)
{
	const char *colon = strchr(s, ':'), *dst = colon ? colon + 1 : s, *mode = colon ? strchr(dst, ':') : NULL;
	if (!*s || colon == s || (mode && strchr(mode + 1, ':')) || (colon && !mode && is_mode(dst)))
		return invalid(e, "invalid volume specification: '%s'", s);
	if (mode && !is_mode(mode + 1))
		return invalid(e, "invalid mode: %s", mode + 1);
	const char *type = colon && *s == '/' ? "bind" : "volume",
		   *target = arena_dupn(c->a, dst, mode ? (size_t)(mode - dst) : strlen(dst));
	const char *wrong = !target ? NULL : !*target ? "field Target must not be empty" : bad_target(c->a, &target);
	if (c->a->bad)
		return err_nomem(e);
	if (wrong)
		return invalid(e, "invalid volume specification: '%s': invalid mount config for type \"%s\": %s", s,
			type, wrong);
	if (!streq(type, "bind"))
		return no_volumes(s, e);
	return take_target(c, targets, target, e);
}

static bool has_options(const char *raw)
{
	return raw && !streq(raw, "null");
}

/* What is wrong with a mount, or NULL; *target becomes the clean path. */
static const char *bad_mount(struct check *c, const struct mount_spec *m, const char *type, const char **target)
{
	bool bind = streq(type, "bind"), volume = streq(type, "volume"), tmpfs = streq(type, "tmpfs");
	const char *source = m->source ? m->source : "";
	if (!bind && has_options(m->bind))
		return "field BindOptions must not be specified";
	if (!volume && has_options(m->volume))
		return "field VolumeOptions must not be specified";
	if (!streq(type, "image") && has_options(m->image))
		return "field ImageOptions must not be specified";
	if (!tmpfs && has_options(m->tmpfs))
		return "field TmpfsOptions must not be specified";
	if (!streq(type, "cluster") && has_options(m->cluster))
		return "field ClusterOptions must not be specified";
	if (!**target)
		return "field Target must not be empty";
	const char *wrong = bad_target(c->a, target);
	if (wrong || c->a->bad)
		return wrong;
	if (bind && !*source)
		return "field Source must not be empty";
	if (bind && *source != '/')
		return arena_printf(c->a, "invalid mount path: '%s' mount path must be absolute", source);
	if (tmpfs && *source)
		return "field Source must not be specified";
	return bind || volume || tmpfs ? NULL : "mount type unknown";
}

static int check_propagation(const struct mount_spec *m, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	if (!has_options(m->bind))
		return 0;
	try(json_parse(m->bind, strlen(m->bind), &j, e));
	const char *p = json_string_value(json_object_get(j, "Propagation"));
	if (!str_empty(p) && !is_one(p, strlen(p), propagations, ARRAY_LEN(propagations)))
		return invalid(e, "invalid mount config for type \"bind\": invalid propagation mode: %s", p);
	return 0;
}

static int check_mount(struct check *c, const struct mount_spec *m, struct strv *targets, struct err *e)
{
	const char *type = m->type ? m->type : "", *target = m->target ? m->target : "";
	const char *wrong = bad_mount(c, m, type, &target);
	if (c->a->bad)
		return err_nomem(e);
	if (wrong)
		return invalid(e, "invalid mount config for type \"%s\": %s", type, wrong);
	try(check_propagation(m, e));
	if (streq(type, "volume"))
		return no_volumes(target, e);
	return take_target(c, targets, target, e);
}

int check_mounts(struct check *c, struct err *e)
{
	const struct host_config *h = &c->s->host;
	const struct mount_spec *m = h->mounts.v;
	struct strv targets = {0};
	for (size_t i = 0; i < h->tmpfs.n; i++) {
		const char *target = h->tmpfs.v[i].key, *wrong = bad_target(c->a, &target);
		if (c->a->bad)
			return err_nomem(e);
		if (wrong)
			return invalid(e, "%s", wrong);
		try(take_target(c, &targets, target, e));
	}
	for (size_t i = 0; i < h->mounts.n; i++)
		try(check_mount(c, &m[i], &targets, e));
	for (size_t i = 0; i < h->binds.n; i++)
		try(check_bind(c, h->binds.v[i], &targets, e));
	if (c->s->config.volumes.n)
		return no_volumes(c->s->config.volumes.v[0], e);
	return 0;
}
