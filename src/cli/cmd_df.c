/* system df and system prune: what is kept, and what of it nobody needs. */
#include <errno.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* --- df --- */

static const struct flag df_flags[] = {{"format", 0, "string", "table, json or a template"}, {"verbose", 'v', NULL, "Show each object"}};
static const struct column df_columns[] = {{"TYPE", "Type"}, {"TOTAL", "TotalCount"}, {"ACTIVE", "Active"}, {"SIZE", "Size"}, {"RECLAIMABLE", "Reclaimable"}};

struct sum {
	size_t total, active;
	int64_t size, free;
};

static struct sum sum_images(const json_t *df)
{
	struct sum s = {.size = number_of(df, "LayersSize")};
	int64_t used = 0;
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(df, "Images"), i, one)
	{
		bool active = number_of(one, "Containers") > 0;
		s.total++;
		s.active += active;
		if (active)
			used += number_of(one, "Size") - number_of(one, "SharedSize");
	}
	s.free = s.size - used;
	return s;
}

static bool is_active(const json_t *container)
{
	const char *state = text_of(container, "State");
	return streq(state, "running") || streq(state, "paused") || streq(state, "restarting");
}

static struct sum sum_containers(const json_t *df)
{
	struct sum s = {0};
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(df, "Containers"), i, one)
	{
		int64_t size = number_of(one, "SizeRw");
		s.total++;
		s.active += is_active(one);
		s.size += size;
		s.free += is_active(one) ? 0 : size;
	}
	return s;
}

static struct sum sum_volumes(const json_t *df)
{
	struct sum s = {0};
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(df, "Volumes"), i, one)
	{
		const json_t *usage = json_object_get(one, "UsageData");
		int64_t size = number_of(usage, "Size") > 0 ? number_of(usage, "Size") : 0;
		bool active = number_of(usage, "RefCount") > 0;
		s.total++;
		s.active += active;
		s.size += size;
		s.free += active ? 0 : size;
	}
	return s;
}

static json_t *sum_row(const char *type, const struct sum *s, struct arena *a)
{
	const char *free_text = units_size(s->free, a);
	if (s->size > 0)
		free_text = arena_printf(a, "%s (%d%%)", free_text, (int)(s->free * 100 / s->size));
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "Type", type, "TotalCount", int_text(a, (int64_t)s->total), "Active", int_text(a, (int64_t)s->active), "Size", units_size(s->size, a), "Reclaimable",
		free_text ? free_text : "");
}

static int print_list(const char *title, json_t *rows, const struct column *cols, size_t ncols, struct arena *a, struct err *e)
{
	size_t i, n = json_array_size(rows);
	json_t *one, **v = arena_new(a, json_t *, n + 1);
	if (!v)
		return err_nomem(e);
	json_array_foreach(rows, i, one)
		v[i] = one;
	printf("%s space usage:\n\n", title);
	return print_rows(v, n, cols, ncols, NULL, e);
}

static const char *age(int64_t since, struct arena *a)
{
	return units_duration(clock_real_ns() / 1000000000 - since, a);
}

static json_t *image_rows(const json_t *df, struct arena *a)
{
	json_t *rows = json_array(), *one;
	size_t i;
	json_array_foreach(json_object_get(df, "Images"), i, one)
	{
		const char *tag = json_string_value(json_array_get(json_object_get(one, "RepoTags"), 0)), *id = text_of(one, "Id"), *colon = tag ? strrchr(tag, ':') : NULL;
		int64_t size = number_of(one, "Size"), shared = number_of(one, "SharedSize");
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Repository", colon ? arena_dupn(a, tag, (size_t)(colon - tag)) : "<none>", "Tag", colon ? colon + 1 : "<none>", "ID",
			arena_printf(a, "%.12s", str_starts(id, "sha256:") ? id + 7 : id), "Created", arena_printf(a, "%s ago", age(number_of(one, "Created"), a)), "Size", units_size(size, a), "Shared",
			units_size(shared, a), "Unique", units_size(size - shared, a), "Containers", int_text(a, number_of(one, "Containers"))));
	}
	return rows;
}

static json_t *container_rows(const json_t *df, struct arena *a)
{
	json_t *rows = json_array(), *one;
	size_t i;
	json_array_foreach(json_object_get(df, "Containers"), i, one)
	{
		const char *name = json_string_value(json_array_get(json_object_get(one, "Names"), 0));
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "ID", arena_printf(a, "%.12s", text_of(one, "Id")), "Image", text_of(one, "Image"), "Size", units_size(number_of(one, "SizeRw"), a),
			"Created", arena_printf(a, "%s ago", age(number_of(one, "Created"), a)), "Status", text_of(one, "Status"), "Name", name ? name + (*name == '/') : ""));
	}
	return rows;
}

static json_t *volume_rows(const json_t *df, struct arena *a)
{
	json_t *rows = json_array(), *one;
	size_t i;
	json_array_foreach(json_object_get(df, "Volumes"), i, one)
	{
		const json_t *usage = json_object_get(one, "UsageData");
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "Name", text_of(one, "Name"), "Links", int_text(a, number_of(usage, "RefCount")), "Size", units_size(number_of(usage, "Size"), a)));
	}
	return rows;
}

static int print_verbose(const json_t *df, struct arena *a, struct err *e)
{
	static const struct column image_columns[] = {{"REPOSITORY", "Repository"}, {"TAG", "Tag"}, {"IMAGE ID", "ID"}, {"CREATED", "Created"}, {"SIZE", "Size"}, {"SHARED SIZE", "Shared"}, {"UNIQUE SIZE", "Unique"},
		{"CONTAINERS", "Containers"}};
	static const struct column container_columns[] = {{"CONTAINER ID", "ID"}, {"IMAGE", "Image"}, {"SIZE", "Size"}, {"CREATED", "Created"}, {"STATUS", "Status"}, {"NAMES", "Name"}};
	static const struct column volume_columns[] = {{"VOLUME NAME", "Name"}, {"LINKS", "Links"}, {"SIZE", "Size"}};
	OWN(own_json) json_t *images = image_rows(df, a), *containers = container_rows(df, a), *volumes = volume_rows(df, a);
	try(print_list("Images", images, image_columns, ARRAY_LEN(image_columns), a, e));
	try(print_list("\nContainers", containers, container_columns, ARRAY_LEN(container_columns), a, e));
	return print_list("\nLocal Volumes", volumes, volume_columns, ARRAY_LEN(volume_columns), a, e);
}

static int run_df(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *df = NULL;
	if (http_call("GET", "/system/df", NULL, &df, &e) < 0)
		return fail(&e, 1);
	if (flag_on(p, "verbose")) {
		const char *format = flag_get(p, "format");
		return (format ? print_template(format, df, &e) : print_verbose(df, a, &e)) < 0 ? fail(&e, 1) : 0;
	}
	struct sum images = sum_images(df), containers = sum_containers(df), volumes = sum_volumes(df);
	json_t *rows[] = {sum_row("Images", &images, a), sum_row("Containers", &containers, a), sum_row("Local Volumes", &volumes, a)};
	int r = print_rows(rows, ARRAY_LEN(rows), df_columns, ARRAY_LEN(df_columns), flag_get(p, "format"), &e);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		json_decref(rows[i]);
	return r < 0 ? fail(&e, 1) : 0;
}

/* --- prune --- */

static const struct flag prune_flags[] = {{"all", 'a', NULL, "Every image that no container has, not only those without a name"}, {"filter", 0, "filter", "Filter by conditions (until=24h)"}, {"force", 'f', NULL, "Do not ask"},
	{"volumes", 0, NULL, "Anonymous volumes too"}};

static int prune_one(const char *noun, const char *title, const char *key, const struct strv *conditions, int64_t *freed, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	json_t *one;
	size_t i;
	const char *filters = arg_filters(a, conditions, e);
	if (!filters)
		return e->code;
	try(http_call("POST", arena_printf(a, "/%s/prune?filters=%s", noun, filters), NULL, &j, e));
	const json_t *gone = json_object_get(j, key);
	*freed += number_of(j, "SpaceReclaimed");
	if (!json_array_size(gone))
		return 0;
	printf("Deleted %s:\n", title);
	json_array_foreach(gone, i, one)
	{
		const char *untagged = json_string_value(json_object_get(one, "Untagged"));
		if (json_is_string(one))
			puts(json_string_value(one));
		else
			printf("%s: %s\n", untagged ? "untagged" : "deleted", untagged ? untagged : text_of(one, "Deleted"));
	}
	putchar('\n');
	return 0;
}

static int prune_all(const struct parsed *p, int64_t *freed, struct arena *a, struct err *e)
{
	const struct strv *given = flag_list(p, "filter");
	struct strv images = strv_copy(a, given), volumes = {0};
	if (strv_add(a, &images, flag_on(p, "all") ? "dangling=false" : "dangling=true") < 0)
		return err_nomem(e);
	for (size_t i = 0; i < given->n; i++) /* a volume has no age */
		if (!str_starts(given->v[i], "until=") && strv_add(a, &volumes, given->v[i]) < 0)
			return err_nomem(e);
	try(prune_one("containers", "Containers", "ContainersDeleted", given, freed, a, e));
	try(prune_one("networks", "Networks", "NetworksDeleted", given, freed, a, e));
	if (flag_on(p, "volumes"))
		try(prune_one("volumes", "Volumes", "VolumesDeleted", &volumes, freed, a, e));
	return prune_one("images", "Images", "ImagesDeleted", &images, freed, a, e);
}

static int run_prune(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	int64_t freed = 0;
	const char *warning = arena_printf(a, "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n%s  - all %s\n",
		flag_on(p, "volumes") ? "  - all anonymous volumes not used by at least one container\n" : "", flag_on(p, "all") ? "images without at least one container associated to them" : "dangling images");
	if (!warning || (!flag_on(p, "force") && !confirm(warning)))
		return warning ? 0 : 1;
	if (prune_all(p, &freed, a, &e) < 0)
		return fail(&e, 1);
	printf("Total reclaimed space: %s\n", units_size(freed, a));
	return 0;
}

const struct command commands_df[] = {
	{"df", "system", false, "", "Show what is kept and how much of it nobody needs", FLAGS(df_flags), false, 0, 0, run_df, NULL},
	{"prune", "system", false, "", "Remove what is not in use", FLAGS(prune_flags), false, 0, 0, run_prune, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
