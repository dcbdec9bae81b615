/* Binds, mounts and tmpfs: their syntax, and that no two stand on one place. */
#include <errno.h>
#include <string.h>

#include "model/mounts.h"
#include "model/spec_check.h"

#define ROOT_TARGET "invalid specification: destination can't be '/'"

/* What is wrong with a target, or NULL; *target becomes the clean path. */
static const char *bad_target(struct arena *a, const char **target)
{
	const char *path = path_clean(a, *target);
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

bool mode_has(const char *mode, const char *word)
{
	for (; *mode; mode += strcspn(mode, ","), mode += *mode == ',')
		if (is_one(mode, strcspn(mode, ","), &word, 1))
			return true;
	return false;
}

const char *mode_propagation(const char *mode, const char *otherwise)
{
	for (size_t i = 0; i < ARRAY_LEN(propagations); i++)
		if (mode_has(mode, propagations[i]))
			return propagations[i];
	return otherwise;
}

bool mode_is_good(const char *s)
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

/* target | source:target | source:target:mode */
static int check_bind(struct check *c, const char *s, struct strv *targets, struct err *e)
{
	const char *source, *target, *mode;
	if (!bind_split(c->a, s, &source, &target, &mode) || (!*mode && strchr(s, ':') && mode_is_good(target)))
		return c->a->bad ? err_nomem(e) : invalid(e, "invalid volume specification: '%s'", s);
	if (!mode_is_good(mode))
		return invalid(e, "invalid mode: %s", mode);
	const char *type = *source == '/' ? "bind" : "volume";
	const char *wrong = !*target ? "field Target must not be empty" : bad_target(c->a, &target);
	if (!wrong && *source == '/' && mode_has(mode, "nocopy"))
		wrong = "field VolumeOptions must not be specified";
	if (!wrong && *source != '/' && *mode_propagation(mode, ""))
		wrong = "field BindOptions must not be specified";
	if (c->a->bad)
		return err_nomem(e);
	if (wrong)
		return invalid(e, "invalid volume specification: '%s': invalid mount config for type \"%s\": %s", s,
			type, wrong);
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
	if (streq(type, "volume") && !*(m->source ? m->source : "") && m->read_only)
		return invalid(e, "invalid mount config for type \"volume\": must not set ReadOnly mode when using anonymous volumes");
	return take_target(c, targets, target, e);
}

static int check_tmpfs(const char *options, struct err *e)
{
	static const char *const words[] = {"defaults", "rw", "ro", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "remount", "mand", "nomand", "atime", "noatime", "diratime",
		"nodiratime", "bind", "rbind", "private", "rprivate", "shared", "rshared", "slave", "rslave", "relatime", "norelatime", "strictatime", "nostrictatime", "unbindable", "runbindable"};
	static const char *const valued[] = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"};
	for (size_t n; *options; options += n + (options[n] == ',')) {
		n = strcspn(options, ",");
		size_t key = strcspn(options, "=,");
		if (n && !(key < n ? is_one(options, key, valued, ARRAY_LEN(valued)) : is_one(options, n, words, ARRAY_LEN(words))))
			return invalid(e, "invalid tmpfs option [\"%.*s\"]", (int)n, options);
	}
	return 0;
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
		try(check_tmpfs(h->tmpfs.v[i].value, e));
		try(take_target(c, &targets, target, e));
	}
	for (size_t i = 0; i < h->mounts.n; i++)
		try(check_mount(c, &m[i], &targets, e));
	for (size_t i = 0; i < h->binds.n; i++)
		try(check_bind(c, h->binds.v[i], &targets, e));
	for (size_t i = 0; i < c->s->config.volumes.n; i++) {
		const char *target = c->s->config.volumes.v[i], *wrong = *target ? bad_target(c->a, &target) : "field Target must not be empty";
		if (wrong || c->a->bad)
			return wrong ? invalid(e, "invalid volume specification: '%s': invalid mount config for type \"volume\": %s", c->s->config.volumes.v[i], wrong) : err_nomem(e);
	}
	return 0;
}
