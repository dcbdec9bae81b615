#include "daemon/config_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/units.h"

#define CONFIG_FILE_MAX (1u << 20)

void config_wrong(struct config_daemon *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)strv_add(&c->mem, &c->errors, text);
}

static void set(struct config_daemon *c, const struct conf_row *r, const char *name, const char *value)
{
	void *at = (char *)c + r->off;
	char *end;
	switch (r->kind) {
	case CONF_BOOL:
		if (units_parse_bool(value, at) < 0)
			config_wrong(c, "invalid value \"%s\" for %s: expected true or false", value, name);
		break;
	case CONF_INT:
		errno = 0;
		*(int64_t *)at = strtoll(value, &end, 10);
		if (errno || *end || end == value)
			config_wrong(c, "invalid value \"%s\" for %s: expected a number", value, name);
		break;
	case CONF_STR:
		*(const char **)at = arena_dup(&c->mem, value);
		break;
	case CONF_LIST:
		(void)strv_add(&c->mem, at, value);
		break;
	case CONF_KV:
		break; /* only in the file: set_json */
	}
}

static void parse_args(struct config_daemon *c, int argc, char **argv, enum given *given)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *eq = strchr(arg, '=');
		size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
		const struct conf_row *r = conf_of_flag(arg, len);
		const struct conf_foreign *f = r ? NULL : conf_foreign_flag(arg, len);
		if (!r && !f) {
			config_wrong(c, *arg == '-' ? "unknown flag: %.*s" : "unexpected argument: %.*s", (int)len, arg);
			continue;
		}
		const char *value = eq ? eq + 1 : NULL;
		if (!value && (r ? r->kind == CONF_BOOL : conf_foreign_is_switch(f)))
			value = "true";
		else if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value) {
			config_wrong(c, "flag needs an argument: %s", arg);
			continue;
		}
		if (f) {
			conf_foreign_arg(c, f, value);
			continue;
		}
		given[r - conf_rows] = GIVEN_FLAG;
		set(c, r, r->flag, value);
	}
}

const char *conf_expected(enum conf_kind kind)
{
	static const char *const what[] = {"true or false", "a number", "a string", "a list of strings", "an object"};
	return what[kind];
}

/* {"crun":{"path":"/usr/bin/crun"}} */
static void set_runtimes(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *name;
	json_t *o;
	json_object_foreach((json_t *)(uintptr_t)v, name, o)
	{
		const char *path = json_string_value(json_object_get(o, "path"));
		if (!path)
			config_wrong(c, "runtimes: \"%s\" has no path: Pontoon runs programs, and no shims of containerd", name);
		else if (json_array_size(json_object_get(o, "runtimeArgs")))
			config_wrong(c, "runtimes: \"%s\" has runtimeArgs: name a script as its path that runs it with them", name);
		else
			(void)kvs_set(&c->mem, (struct kvs *)((char *)c + r->off), name, path);
	}
}

/* {"base":"10.10.0.0/16","size":24} */
static void set_pool(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *base = json_string_value(json_object_get(v, "base"));
	if (!base || !json_is_integer(json_object_get(v, "size")))
		config_wrong(c, "%s: expected objects with base and size", r->key);
	else
		set(c, r, r->key, arena_printf(&c->mem, "base=%s,size=%" JSON_INTEGER_FORMAT, base, json_integer_value(json_object_get(v, "size"))));
}

/* {"bridge":{"com.docker.network.driver.mtu":"1400"}} */
static void set_network_opts(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *driver, *key;
	json_t *opts, *value;
	json_object_foreach((json_t *)(uintptr_t)v, driver, opts)
	{
		json_object_foreach(opts, key, value)
		{
			if (json_is_string(value))
				set(c, r, r->key, arena_printf(&c->mem, "%s=%s=%s", driver, key, json_string_value(value)));
			else
				config_wrong(c, "%s: %s: expected a string", r->key, key);
		}
	}
}

/* {"nofile":{"Name":"nofile","Hard":2048,"Soft":1024}} */
static void set_ulimits(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *key;
	json_t *o;
	json_object_foreach((json_t *)(uintptr_t)v, key, o)
	{
		const json_t *name = json_object_get(o, "Name"), *soft = json_object_get(o, "Soft"), *hard = json_object_get(o, "Hard");
		if (!json_is_integer(soft) || !json_is_integer(hard))
			config_wrong(c, "%s: %s: expected an object with the numbers Soft and Hard", r->key, key);
		else if (name && !(json_is_string(name) && streq(json_string_value(name), key)))
			config_wrong(c, "%s: %s: its Name is another one", r->key, key);
		else
			set(c, r, r->key, arena_printf(&c->mem, "%s=%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT, key, json_integer_value(soft), json_integer_value(hard)));
	}
}

/* {"max-size":"10m"} */
static void set_log_opts(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		if (json_is_string(value))
			set(c, r, r->key, arena_printf(&c->mem, "%s=%s", key, json_string_value(value)));
		else
			config_wrong(c, "%s: %s: expected a string", r->key, key);
	}
}

static void set_json(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	char number[32];
	size_t i;
	json_t *item;
	if (r->kind == CONF_BOOL && json_is_boolean(v)) {
		*(bool *)((char *)c + r->off) = json_is_true(v);
	} else if (r->kind == CONF_INT && json_is_integer(v)) {
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		set(c, r, r->key, number);
	} else if (r->kind == CONF_STR && json_is_string(v)) {
		set(c, r, r->key, json_string_value(v));
	} else if (r->kind == CONF_LIST && streq(r->key, "default-address-pools") && json_is_array(v)) {
		json_array_foreach(v, i, item)
			set_pool(c, r, item);
	} else if (r->kind == CONF_LIST && streq(r->key, "default-network-opts") && json_is_object(v)) {
		set_network_opts(c, r, v);
	} else if (r->kind == CONF_LIST && streq(r->key, "default-ulimits") && json_is_object(v)) {
		set_ulimits(c, r, v);
	} else if (r->kind == CONF_LIST && streq(r->key, "log-opts") && json_is_object(v)) {
		set_log_opts(c, r, v);
	} else if (r->kind == CONF_LIST && json_is_array(v)) {
		json_array_foreach(v, i, item)
		{
			if (json_is_string(item))
				set(c, r, r->key, json_string_value(item));
			else
				config_wrong(c, "%s: expected a list of strings", r->key);
		}
	} else if (r->kind == CONF_KV && json_is_object(v)) {
		set_runtimes(c, r, v);
	} else {
		config_wrong(c, "%s: expected %s", r->key, conf_expected(r->kind));
	}
}

/* A value as its row holds it, for messages and comparison. */
static const char *text_of(const struct config_daemon *c, const struct conf_row *r, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	const void *at = (const char *)c + r->off;
	const struct strv *l = at;
	const struct kvs *m = at;
	switch (r->kind) {
	case CONF_BOOL:
		return *(const bool *)at ? "true" : "false";
	case CONF_INT:
		return arena_printf(a, "%lld", (long long)*(const int64_t *)at);
	case CONF_STR:
		return *(const char *const *)at;
	case CONF_LIST:
		for (size_t i = 0; i < l->n; i++)
			buf_printf(&b, "%s%s", i ? " " : "", l->v[i]);
		break;
	case CONF_KV:
		for (size_t i = 0; i < m->n; i++)
			buf_printf(&b, "%s%s=%s", i ? " " : "", m->v[i].key, m->v[i].value);
		break;
	}
	return arena_printf(a, "[%s]", buf_str(&b));
}

static void wrong_conflict(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	OWN(own_free) char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	const char *flag = text_of(c, r, &c->mem), *file = text ? text : "?";
	if (strstr(r->key, "-proxy") && r->kind == CONF_STR) /* an address of a proxy may hold a password */
		flag = file = "xxxxx";
	config_wrong(c, "unable to configure the daemon with file %s: the following directives are specified both as a flag and in the configuration file: %s: (from flag: %.200s, from file: %.200s)", c->config_file,
		r->key, flag, file);
}

static void set_key(struct config_daemon *c, enum given *given, const char *key, const json_t *v)
{
	const struct conf_row *r = conf_of_key(key);
	const struct conf_foreign *f = r ? NULL : conf_foreign_key(key);
	if (f) {
		conf_foreign_file(c, f, v);
	} else if (!r) {
		config_wrong(c, "unable to configure the daemon with file %s: the following directives don't match any configuration option: %s", c->config_file, key);
	} else if (given[r - conf_rows] == GIVEN_FLAG) {
		wrong_conflict(c, r, v);
	} else {
		given[r - conf_rows] = GIVEN_FILE;
		set_json(c, r, v);
	}
}

/* What has, or had, another form in dockerd's file than here. */
static void set_member(struct config_daemon *c, enum given *given, const char *key, const json_t *v)
{
	const char *inner;
	json_t *item;
	if (streq(key, "graph")) {
		set_key(c, given, "data-root", v);
	} else if (streq(key, "host-gateway-ip")) {
		OWN(own_json) json_t *list = json_pack("[O]", v);
		set_key(c, given, "host-gateway-ips", list);
	} else if (streq(key, "proxies") && json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, inner, item)
			set_key(c, given, streq(inner, "http-proxy") || streq(inner, "https-proxy") || streq(inner, "no-proxy") ? inner : arena_printf(&c->mem, "proxies.%s", inner), item);
	} else {
		set_key(c, given, key, v);
	}
}

static void parse_file(struct config_daemon *c, enum given *given, bool must_exist)
{
	OWN(own_buf) struct buf text = {0};
	OWN(own_json) json_t *j = NULL;
	struct err e = {0};
	if (read_file(c->config_file, CONFIG_FILE_MAX, &text, &e) < 0) {
		if (must_exist || e.code != -ENOENT)
			config_wrong(c, "%s", e.msg);
		return;
	}
	if (json_parse(buf_str(&text), text.len, &j, &e) < 0) {
		config_wrong(c, "%s: %s", c->config_file, e.msg);
		return;
	}
	if (!json_is_object(j)) {
		config_wrong(c, "%s: expected an object", c->config_file);
		return;
	}
	const char *key;
	json_t *v;
	json_object_foreach(j, key, v)
		set_member(c, given, key, v);
}

int config_read(struct config_daemon *c, int argc, char **argv)
{
	enum given given[CONF_ROWS] = {GIVEN_NOT};
	*c = (struct config_daemon){0};
	for (size_t i = 0; i < conf_nrows; i++)
		if (conf_rows[i].kind < CONF_LIST && conf_rows[i].fallback)
			set(c, &conf_rows[i], conf_rows[i].key ? conf_rows[i].key : conf_rows[i].flag, conf_rows[i].fallback);
	parse_args(c, argc, argv, given);
	if (!c->help && !c->version)
		parse_file(c, given, config_given(given, "--config-file") != GIVEN_NOT);
	config_digest(c, given);
	if (c->mem.bad)
		config_wrong(c, "out of memory");
	return c->errors.n ? -EINVAL : 0;
}

int config_compare(const struct config_daemon *a, const struct config_daemon *b, struct arena *mem, struct strv *live, struct strv *fixed)
{
	for (size_t i = 0; i < conf_nrows; i++) {
		const struct conf_row *r = &conf_rows[i];
		const char *name = r->key ? r->key : r->flag;
		if (!streq(text_of(a, r, mem), text_of(b, r, mem)) && strv_add(mem, r->live ? live : fixed, name) < 0)
			return -ENOMEM;
	}
	return mem->bad ? -ENOMEM : 0;
}

void config_free(struct config_daemon *c)
{
	arena_free(&c->mem);
}
