#include "model/volume.h"

#include <errno.h>

struct row {
	struct kvs labels, options;
	int64_t created;
};
static const struct json_field row_table[] = {{"labels", J_KV, offsetof(struct row, labels), J_OMIT, NULL, 0},
	{"options", J_KV, offsetof(struct row, options), J_OMIT, NULL, 0},
	{"created", J_I64, offsetof(struct row, created), 0, NULL, 0}, J_END};

struct volume *volume_new(const char *name)
{
	struct volume *v = thing_new(NOUN_VOLUME, sizeof(*v));
	if (!v)
		return NULL;
	STR_COPY(v->name, name);
	v->thing.key = v->name;
	return v;
}

json_t *volume_to_json(const struct volume *v)
{
	struct row r = {.labels = v->labels, .options = v->options, .created = v->created};
	return json_encode(row_table, &r);
}

int volume_from_json(struct volume *v, const json_t *j, struct err *e)
{
	struct row r = {0};
	try(json_decode(j, row_table, &r, &v->thing.mem, e));
	v->labels = r.labels;
	v->options = r.options;
	v->created = r.created;
	return 0;
}

/* Without the locale. */
static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int volume_name_check(const char *name, struct err *e)
{
	size_t n = strlen(name);
	bool ok = is_alnum(name[0]);
	if (n == 1)
		return err_as(e, ERR_INVALID,
			"volume name is too short, names should be at least two alphanumeric characters");
	for (size_t i = 0; ok && i < n; i++)
		ok = is_alnum(name[i]) || strchr("_.-", name[i]);
	if (!ok)
		return err_as(e, ERR_INVALID,
			"\"%s\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" "
			"are allowed. If you intended to pass a host directory, use absolute path",
			name);
	if (n > LIMIT_VOLUME_NAME)
		return err_as(e, ERR_INVALID, "\"%.64s...\" is longer than the %d bytes of a volume name", name,
			LIMIT_VOLUME_NAME);
	return 0;
}

int volume_options_check(const struct kvs *o, struct err *e)
{
	static const char *const known[] = {"type", "o", "device", "size"};
	static const char *const needs[][2] = {{"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"}};
	for (size_t i = 0; i < o->n; i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			found |= streq(o->v[i].key, known[k]);
		if (!found)
			return err_as(e, ERR_INVALID, "invalid option: \"%s\"", o->v[i].key);
	}
	if (kvs_get(o, "size"))
		return err_as(e, ERR_INVALID, "quota size requested but no quota support");
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		if (kvs_get(o, needs[i][0]) && !kvs_get(o, needs[i][1]))
			return err_as(e, ERR_INVALID, "missing required option: \"%s\"", needs[i][1]);
	return 0;
}

bool volume_is_anonymous(const struct volume *v)
{
	return kvs_get(&v->labels, VOLUME_ANONYMOUS) != NULL;
}
