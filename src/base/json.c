#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <strings.h>

#include "base/limits.h"

static int decode_fields(const json_t *j, const struct json_field *t, void *obj, struct arena *a, struct err *e);

/* jansson bounds nesting at 2,048 by itself; ours is counted before it parses, so that its recursion never goes deeper. */
static bool too_deep(const char *text, size_t len)
{
	unsigned depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > LIMIT_JSON_DEPTH)
				return true;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return false;
}

int json_parse(const char *text, size_t len, json_t **out, struct err *e)
{
	json_error_t je;
	if (too_deep(text, len))
		return err_as(e, ERR_INVALID, "invalid JSON: nested deeper than %d levels", LIMIT_JSON_DEPTH);
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!j && json_error_code(&je) == json_error_end_of_input_expected)
		return err_as(e, ERR_INVALID, "unexpected content after JSON");
	if (!j && json_error_code(&je) == json_error_out_of_memory)
		return err_nomem(e);
	if (!j)
		return err_as(e, ERR_INVALID, "invalid JSON: %s (line %d, column %d)", je.text, je.line, je.column);
	*out = j;
	return 0;
}

static const char *type_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "?";
}

static int wrong_type(const char *want, const json_t *j, struct err *e)
{
	return err_as(e, ERR_INVALID, "expected %s, got %s", want, type_name(j));
}

static int name_field(const char *name, struct err *e)
{
	if (!e)
		return -EINVAL;
	if (e->code != -EINVAL)
		return e->code; /* out of memory: no field's fault */
	/* Nested fields join with a dot: "HostConfig" + "Memory: expected ..." */
	char text[sizeof(e->msg)];
	bool leaf = str_starts(e->msg, "expected ");
	snprintf(text, sizeof(text), "%s%s%.*s", name, leaf ? ": " : ".", (int)(sizeof(e->msg) / 2), e->msg);
	str_copy(e->msg, sizeof(e->msg), text);
	return e->code;
}

/* What is wrong was found in there: "unknown key "x"" + "80/tcp" + "Add": "unknown key "x" in Add.80/tcp". */
static int name_place(const char *name, struct err *e)
{
	char text[sizeof(e->msg)];
	if (!e)
		return -EINVAL;
	char *in = strstr(e->msg, "\" in ");
	snprintf(text, sizeof(text), "%.*s in %.64s%s%.*s", (int)(in ? in + 1 - e->msg : (ptrdiff_t)strlen(e->msg)), e->msg, name, in ? "." : "", (int)sizeof(text) / 2, in ? in + 5 : "");
	str_copy(e->msg, sizeof(e->msg), text);
	return e->code;
}

/* Exact name first, then Go's case-insensitive match. */
static const json_t *field_of(const json_t *j, const char *name)
{
	const json_t *v = json_object_get(j, name);
	if (v)
		return v;
	const char *key;
	json_t *item;
	json_object_foreach((json_t *)(uintptr_t)j, key, item)
	{
		if (strcasecmp(key, name) == 0)
			return item;
	}
	return NULL;
}

static int dup_string(const json_t *j, struct arena *a, const char **out, struct err *e)
{
	if (!json_is_string(j))
		return wrong_type("a string", j, e);
	if (strlen(json_string_value(j)) != json_string_length(j))
		return err_as(e, ERR_INVALID, "expected a string without NUL, got one with");
	*out = arena_dup(a, json_string_value(j));
	return *out ? 0 : err_nomem(e);
}

static int get_i64(const json_t *j, unsigned flags, int64_t *out, struct err *e)
{
	if (json_is_integer(j)) {
		*out = json_integer_value(j);
		return 0;
	}
	if (json_is_real(j)) {
		double d = json_real_value(j);
		if (d == floor(d) && fabs(d) < 9.2e18) {
			*out = (int64_t)d;
			return 0;
		}
		return err_as(e, ERR_INVALID, "expected a whole number, got %g", d);
	}
	if (json_is_string(j) && (flags & J_MAYBE_STR)) {
		char *end;
		errno = 0;
		long long v = strtoll(json_string_value(j), &end, 10);
		if (errno == 0 && *end == '\0' && end != json_string_value(j)) {
			*out = v;
			return 0;
		}
	}
	return wrong_type("a number", j, e);
}

static int get_strv(const json_t *j, unsigned flags, struct arena *a, struct strv *out, struct err *e)
{
	struct strv l = {0};
	size_t i;
	json_t *v;
	if (json_is_string(j) && (flags & J_STRING_OK)) {
		if (strv_add(a, &l, json_string_value(j)) < 0)
			return err_nomem(e);
		*out = l;
		return 0;
	}
	if (!json_is_array(j))
		return wrong_type("a list of strings", j, e);
	json_array_foreach(j, i, v)
	{
		if (!json_is_string(v) && !json_is_null(v))
			return wrong_type("a list of strings", v, e);
		if (strv_add(a, &l, json_is_null(v) ? "" : json_string_value(v)) < 0)
			return err_nomem(e);
	}
	*out = l;
	return 0;
}

static int get_kvs(const json_t *j, struct arena *a, struct kvs *out, struct err *e)
{
	if (!json_is_object(j))
		return wrong_type("an object of strings", j, e);
	size_t n = json_object_size(j), k = 0;
	struct kv *v = arena_new(a, struct kv, n * 2 + 1); /* a power of two at least as large as strv.c would have taken */
	const char *key;
	json_t *item;
	if (!v)
		return err_nomem(e);
	if (n > LIMIT_LABELS)
		return err_as(e, ERR_INVALID, "expected at most %d entries, got %zu", LIMIT_LABELS, n);
	json_object_foreach((json_t *)(uintptr_t)j, key, item)
	{
		if (json_is_null(item))
			item = NULL;
		else if (!json_is_string(item))
			return wrong_type("an object of strings", item, e);
		v[k].key = arena_dup(a, key);
		v[k].value = arena_dup(a, item ? json_string_value(item) : "");
		k++;
	}
	*out = (struct kvs){.v = v, .n = k};
	return a->bad ? err_nomem(e) : 0;
}

static int get_set(const json_t *j, struct arena *a, struct strv *out, struct err *e)
{
	struct strv l = {0};
	const char *key;
	json_t *item;
	if (!json_is_object(j))
		return wrong_type("an object", j, e);
	json_object_foreach((json_t *)(uintptr_t)j, key, item)
	{
		if (strv_add(a, &l, key) < 0)
			return err_nomem(e);
	}
	*out = l;
	return 0;
}

/* An element of a list or map: null is an object in which nothing is given, as in Go. */
static int get_item(const json_t *j, const struct json_field *t, void *obj, struct arena *a, struct err *e)
{
	return json_is_null(j) ? decode_fields(NULL, t, obj, a, e) : json_decode(j, t, obj, a, e);
}

static int get_objv(const json_t *j, const struct json_field *f, struct arena *a, struct json_vec *out, struct err *e)
{
	size_t i;
	json_t *v;
	if (!json_is_array(j))
		return wrong_type("a list of objects", j, e);
	char *items = arena_new_array(a, f->size, _Alignof(max_align_t), json_array_size(j) + 1);
	if (!items)
		return err_nomem(e);
	json_array_foreach(j, i, v)
		try(get_item(v, f->sub, items + i * f->size, a, e));
	*out = (struct json_vec){.v = items, .n = i};
	return 0;
}

static int get_map(const json_t *j, const struct json_field *f, struct arena *a, struct json_vec *out, struct err *e)
{
	const char *key;
	json_t *v;
	size_t i = 0;
	if (!json_is_object(j))
		return wrong_type("an object of objects", j, e);
	char *items = arena_new_array(a, f->size, _Alignof(max_align_t), json_object_size(j) + 1);
	if (!items)
		return err_nomem(e);
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		char *item = items + i++ * f->size;
		*(const char **)item = arena_dup(a, key);
		if (get_item(v, f->sub, item, a, e) < 0)
			return name_field(key, e);
	}
	*out = (struct json_vec){.v = items, .n = i};
	return a->bad ? err_nomem(e) : 0;
}

static int get_groups(const json_t *j, const struct json_field *f, struct arena *a, struct json_vec *out, struct err *e)
{
	const char *key;
	json_t *v;
	size_t i = 0;
	if (!json_is_object(j))
		return wrong_type("an object of lists", j, e);
	struct json_group *g = arena_new(a, struct json_group, json_object_size(j) + 1);
	if (!g)
		return err_nomem(e);
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		g[i].key = arena_dup(a, key);
		g[i].null = json_is_null(v);
		if (!g[i].null && get_objv(v, f, a, &g[i].items, e) < 0)
			return name_field(key, e);
		i++;
	}
	*out = (struct json_vec){.v = g, .n = i};
	return a->bad ? err_nomem(e) : 0;
}

static int get_raw(const json_t *j, struct arena *a, const char **out, struct err *e)
{
	char *text = json_text(j);
	*out = text ? arena_dup(a, text) : NULL;
	free(text);
	return *out ? 0 : err_nomem(e);
}

static int get_pair(const json_t *j, int64_t *out, struct err *e)
{
	int64_t v[2];
	if (!json_is_array(j) || json_array_size(j) != 2)
		return wrong_type("a list of two numbers", j, e);
	for (size_t i = 0; i < 2; i++)
		try(get_i64(json_array_get(j, i), 0, &v[i], e));
	out[0] = v[0];
	out[1] = v[1];
	return 0;
}

static int get_field(const json_t *j, const struct json_field *f, void *at, struct arena *a, struct err *e)
{
	switch (f->kind) {
	case J_BOOL:
	case J_TRI:
		if (!json_is_boolean(j))
			return wrong_type("true or false", j, e);
		if (f->kind == J_BOOL)
			*(bool *)at = json_is_true(j);
		else
			*(int8_t *)at = json_is_true(j);
		return 0;
	case J_I64:
		return get_i64(j, f->flags, at, e);
	case J_F64:
		if (!json_is_number(j))
			return wrong_type("a number", j, e);
		*(double *)at = json_number_value(j);
		return 0;
	case J_STR:
		return dup_string(j, a, at, e);
	case J_STRV:
		return get_strv(j, f->flags, a, at, e);
	case J_KV:
		return get_kvs(j, a, at, e);
	case J_SET:
		return get_set(j, a, at, e);
	case J_OBJ:
		return json_decode(j, f->sub, at, a, e);
	case J_OBJP: {
		void *o = arena_new_array(a, f->size, _Alignof(max_align_t), 1);
		if (!o)
			return err_nomem(e);
		try(json_decode(j, f->sub, o, a, e));
		*(void **)at = o;
		return 0;
	}
	case J_OBJV:
		return get_objv(j, f, a, at, e);
	case J_MAPV:
		return get_map(j, f, a, at, e);
	case J_MAPVV:
		return get_groups(j, f, a, at, e);
	case J_RAW:
		return get_raw(j, a, at, e);
	case J_PAIR:
		return get_pair(j, at, e);
	}
	return -EINVAL;
}

/* j is an object, or NULL: then every field is absent. */
static int decode_fields(const json_t *j, const struct json_field *t, void *obj, struct arena *a, struct err *e)
{
	for (; t->name; t++) {
		void *at = (char *)obj + t->off;
		const json_t *v = j ? field_of(j, t->name) : NULL;
		bool absent = !v || json_is_null(v);
		if (absent && t->kind == J_TRI)
			*(int8_t *)at = -1;
		if (absent && t->kind == J_OBJ) /* it may hold J_TRI */
			try(decode_fields(NULL, t->sub, at, a, e));
		if (!absent && get_field(v, t, at, a, e) < 0)
			return name_field(t->name, e);
	}
	return 0;
}

int json_decode(const json_t *j, const struct json_field *t, void *obj, struct arena *a, struct err *e)
{
	return json_is_object(j) ? decode_fields(j, t, obj, a, e) : wrong_type("an object", j, e);
}

/* lists: in how many lists or maps the objects are. */
static int check_in(const json_t *j, const struct json_field *sub, int lists, struct err *e)
{
	const char *key;
	json_t *v;
	size_t i;
	if (!lists)
		return json_check_known(j, sub, e);
	json_array_foreach(j, i, v)
		try(check_in(v, sub, lists - 1, e));
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		if (check_in(v, sub, lists - 1, e) < 0)
			return name_place(key, e);
	}
	return 0;
}

int json_check_known(const json_t *j, const struct json_field *t, struct err *e)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		const struct json_field *f = t;
		while (f->name && field_of(j, f->name) != v)
			f++;
		if (!f->name)
			return err_as(e, ERR_INVALID, "unknown key \"%.64s\"", key);
		if (f->sub && check_in(v, f->sub, f->kind == J_MAPVV ? 2 : f->kind == J_OBJV || f->kind == J_MAPV, e) < 0)
			return name_place(f->name, e);
	}
	return 0;
}

int json_decode_text(const char *text, size_t len, const struct json_field *t, void *obj, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	try(json_parse(text, len, &j, e));
	return json_decode(j, t, obj, a, e);
}

/* Memory ran out half-way: better nothing than a part. */
static json_t *drop(json_t *j)
{
	json_decref(j);
	return NULL;
}

static json_t *put_strv(const struct strv *l)
{
	json_t *j = json_array();
	for (size_t i = 0; j && i < l->n; i++)
		if (json_array_append_new(j, json_string_nocheck(l->v[i])) < 0)
			return drop(j);
	return j;
}

static json_t *put_kvs(const struct kvs *m)
{
	json_t *j = json_object();
	for (size_t i = 0; j && i < m->n; i++)
		if (json_object_set_new_nocheck(j, m->v[i].key, json_string_nocheck(m->v[i].value)) < 0)
			return drop(j);
	return j;
}

static json_t *put_set(const struct strv *l)
{
	json_t *j = json_object();
	for (size_t i = 0; j && i < l->n; i++)
		if (json_object_set_new_nocheck(j, l->v[i], json_object()) < 0)
			return drop(j);
	return j;
}

static json_t *put_vec(const struct json_field *f, const struct json_vec *v)
{
	json_t *j = json_array();
	for (size_t i = 0; j && i < v->n; i++)
		if (json_array_append_new(j, json_encode(f->sub, (const char *)v->v + i * f->size)) < 0)
			return drop(j);
	return j;
}

static json_t *put_map(const struct json_field *f, const struct json_vec *v)
{
	json_t *j = json_object();
	for (size_t i = 0; j && i < v->n; i++) {
		const char *item = (const char *)v->v + i * f->size;
		if (json_object_set_new_nocheck(j, *(const char *const *)item, json_encode(f->sub, item)) < 0)
			return drop(j);
	}
	return j;
}

static json_t *put_groups(const struct json_field *f, const struct json_vec *v)
{
	json_t *j = json_object();
	const struct json_group *g = v->v;
	for (size_t i = 0; j && i < v->n; i++)
		if (json_object_set_new_nocheck(j, g[i].key, g[i].null ? json_null() : put_vec(f, &g[i].items)) < 0)
			return drop(j);
	return j;
}

/* The value, and whether it counts as empty for J_OMIT and J_NULL. */
static json_t *put_field(const struct json_field *f, const void *at, bool *empty)
{
	*empty = false;
	switch (f->kind) {
	case J_BOOL:
		*empty = !*(const bool *)at;
		return json_boolean(*(const bool *)at);
	case J_TRI:
		*empty = *(const int8_t *)at < 0;
		return *(const int8_t *)at < 0 ? json_null() : json_boolean(*(const int8_t *)at);
	case J_I64:
		*empty = f->flags & J_UNSET ? *(const int64_t *)at == -1 : !*(const int64_t *)at;
		return json_integer(*(const int64_t *)at);
	case J_F64:
		*empty = *(const double *)at == 0;
		return json_real(*(const double *)at);
	case J_STR: {
		const char *s = *(const char *const *)at;
		*empty = str_empty(s);
		return json_string_nocheck(s ? s : "");
	}
	case J_STRV:
		*empty = !((const struct strv *)at)->n;
		return put_strv(at);
	case J_KV:
		*empty = !((const struct kvs *)at)->n;
		return put_kvs(at);
	case J_SET:
		*empty = !((const struct strv *)at)->n;
		return put_set(at);
	case J_OBJ:
		return json_encode(f->sub, at);
	case J_OBJP: {
		const void *o = *(const void *const *)at;
		*empty = !o;
		return o ? json_encode(f->sub, o) : json_null();
	}
	case J_OBJV:
		*empty = !((const struct json_vec *)at)->n;
		return put_vec(f, at);
	case J_MAPV:
		*empty = !((const struct json_vec *)at)->n;
		return put_map(f, at);
	case J_MAPVV:
		*empty = !((const struct json_vec *)at)->n;
		return put_groups(f, at);
	case J_RAW: {
		const char *s = *(const char *const *)at;
		*empty = !s;
		return s ? json_loads(s, JSON_DECODE_ANY, NULL) : json_null();
	}
	case J_PAIR: {
		const int64_t *v = at;
		*empty = !v[0] && !v[1];
		return json_pack("[I, I]", (json_int_t)v[0], (json_int_t)v[1]);
	}
	}
	return NULL;
}

json_t *json_encode(const struct json_field *t, const void *obj)
{
	json_t *j = json_object();
	for (; j && t->name; t++) {
		bool empty;
		json_t *v = put_field(t, (const char *)obj + t->off, &empty);
		if (empty && (t->flags & (J_OMIT | J_NULL | J_UNSET))) {
			json_decref(v);
			if (!(t->flags & J_NULL))
				continue;
			v = json_null();
		}
		if (json_object_set_new_nocheck(j, t->name, v) < 0) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}

static int put_text(const char *text, size_t n, void *to)
{
	struct buf *b = to;
	buf_put(b, text, n);
	return b->bad ? -1 : 0;
}

/* Into a buffer of ours: when memory runs out for a key, jansson 2.14 does not notice and goes on without it. */
char *json_text(const json_t *j)
{
	OWN(own_buf) struct buf b = {0};
	if (json_dump_callback(j, put_text, &b, JSON_COMPACT | JSON_ENCODE_ANY) < 0 || b.bad)
		return NULL;
	return buf_steal(&b);
}
