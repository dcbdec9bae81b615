#include <errno.h>
#include <stdlib.h>

#include "base/units.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static const struct flag ls_flags[] = {{"filter", 'f', "filter", "Filter by conditions (dangling=true)"}, {"format", 0, "string", "table, json or a template"}, {"quiet", 'q', NULL, "Only names"}};
static const struct column columns[] = {{"DRIVER", "Driver"}, {"VOLUME NAME", "Name"}};

static json_t *ls_row(const json_t *v, struct arena *a)
{
	OWN(own_buf) struct buf labels = {0};
	const char *key;
	json_t *x;
	json_object_foreach(json_object_get(v, "Labels"), key, x)
		buf_printf(&labels, "%s%s=%s", labels.len ? "," : "", key, json_string_value(x) ? json_string_value(x) : "");
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Driver", text_of(v, "Driver"), "Name", text_of(v, "Name"), "Scope", text_of(v, "Scope"), "Mountpoint", text_of(v, "Mountpoint"), "Labels",
		arena_dup(a, buf_str(&labels)), "Links", "N/A", "Size", "N/A", "CreatedAt", text_of(v, "CreatedAt"));
}

static int by_name(const void *x, const void *y)
{
	json_t *const *a = x, *const *b = y;
	return strcmp(text_of(*a, "Name"), text_of(*b, "Name"));
}

static int run_ls(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *answer = NULL, *rows = json_array();
	size_t i;
	json_t *n;
	const char *f = arg_filters(a, flag_list(p, "filter"), &e);
	if (!f || http_call("GET", arena_printf(a, "/volumes?filters=%s", f), NULL, &answer, &e) < 0)
		return fail(&e, 1);
	const json_t *list = json_object_get(answer, "Volumes");
	json_t **v = arena_new(a, json_t *, json_array_size(list) + 1);
	if (!v)
		return 1;
	json_array_foreach(list, i, n)
	{
		v[i] = ls_row(n, a);
		json_array_append_new(rows, v[i]);
	}
	qsort(v, json_array_size(list), sizeof(*v), by_name);
	return print_rows(v, json_array_size(list), columns, ARRAY_LEN(columns), flag_on(p, "quiet") ? "{{.Name}}" : flag_get(p, "format"), &e) < 0 ? fail(&e, 1) : 0;
}

static const struct flag create_flags[] = {{"driver", 'd', "string", "Driver (default local)"}, {"label", 0, "list", "Set labels"}, {"name", 0, "string", NULL},
	{"opt", 'o', "map", "Options of the driver (type, device, o)"}};

static int add_pairs(json_t *body, const char *key, const struct strv *l, bool needs_value, struct err *e)
{
	json_t *map = json_object();
	for (size_t i = 0; i < l->n; i++) {
		size_t n = strcspn(l->v[i], "=");
		if (needs_value && !l->v[i][n]) {
			json_decref(map);
			return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"-o, --opt\" flag: it must be key=value", l->v[i]);
		}
		json_object_setn_new_nocheck(map, l->v[i], n, json_string_nocheck(l->v[i][n] ? l->v[i] + n + 1 : ""));
	}
	return json_object_set_new(body, key, map) < 0 ? err_nomem(e) : 0;
}

static int run_create(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	const char *name = p->args.n ? p->args.v[0] : flag_get(p, "name"), *driver = flag_get(p, "driver");
	OWN(own_json) json_t *answer = NULL, *body = json_pack("{s:s, s:s}", "Name", name ? name : "", "Driver", driver ? driver : "local");
	(void)a;
	if (p->args.n && flag_get(p, "name")) {
		err_as(&e, ERR_INVALID, "conflicting options: cannot specify a volume-name through both --name and as a positional arg");
		return fail(&e, 1);
	}
	if (add_pairs(body, "DriverOpts", flag_list(p, "opt"), true, &e) < 0 || add_pairs(body, "Labels", flag_list(p, "label"), false, &e) < 0 || http_call("POST", "/volumes/create", body, &answer, &e) < 0)
		return fail(&e, 1);
	puts(text_of(answer, "Name"));
	return 0;
}

static const struct flag rm_flags[] = {{"force", 'f', NULL, "One that is not there is no error"}};

static int rm_one(const char *name, const struct parsed *p, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *path = arena_printf(&a, "%s?force=%d", path_of(&a, "volumes", name, NULL), flag_on(p, "force"));
	return path ? http_call("DELETE", path, NULL, NULL, e) : err_nomem(e);
}

static int run_rm(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, rm_one);
}

static const struct flag prune_flags[] = {{"all", 'a', NULL, "Those with a name, too"}, {"filter", 0, "filter", "Filter by conditions (label=k)"}, {"force", 'f', NULL, "Do not ask"}};

static int run_prune(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	struct strv conditions = strv_copy(a, flag_list(p, "filter"));
	size_t i;
	json_t *name;
	bool all = flag_on(p, "all");
	if (all && strv_add(a, &conditions, "all=true") < 0)
		return 1;
	const char *filters = arg_filters(a, &conditions, &e);
	if (!filters)
		return fail(&e, 1);
	if (!flag_on(p, "force") && !confirm(all ? "WARNING! This will remove all local volumes not used by at least one container." : "WARNING! This will remove anonymous local volumes not used by at least one container."))
		return 0;
	if (http_call("POST", arena_printf(a, "/volumes/prune?filters=%s", filters), NULL, &j, &e) < 0)
		return fail(&e, 1);
	if (json_array_size(json_object_get(j, "VolumesDeleted")))
		puts("Deleted Volumes:");
	json_array_foreach(json_object_get(j, "VolumesDeleted"), i, name)
		puts(json_string_value(name));
	printf("%sTotal reclaimed space: %s\n", json_array_size(json_object_get(j, "VolumesDeleted")) ? "\n" : "", units_size(json_integer_value(json_object_get(j, "SpaceReclaimed")), a));
	return 0;
}

const struct command commands_volume[] = {
	{"ls", "volume", false, "", "List volumes", FLAGS(ls_flags), false, 0, 0, run_ls, "list"},
	{"create", "volume", false, "[VOLUME]", "Create a volume", FLAGS(create_flags), false, 0, 1, run_create, NULL},
	{"rm", "volume", false, "VOLUME [VOLUME...]", "Remove volumes", FLAGS(rm_flags), false, 1, -1, run_rm, "remove"},
	{"prune", "volume", false, "", "Remove volumes that no container has", FLAGS(prune_flags), false, 0, 0, run_prune, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
