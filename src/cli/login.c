#include "cli/login.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/base64.h"
#include "base/ref.h"
#include "base/spawn.h"
#include "cli/user_config.h"

#define HELPER_MAX (64u << 10)

int login_decode(const char *text, struct arena *a, const char **user, const char **password)
{
	char *out = NULL;
	ssize_t k = base64_decode(a, text, &out);
	if (k < 0)
		return (int)k;
	while (k && !out[k - 1]) /* padding that some clients wrote */
		k--;
	char *colon = strchr(out, ':');
	if (!colon || strlen(out) != (size_t)k)
		return -EINVAL;
	*colon = '\0';
	*user = out;
	*password = colon + 1;
	return 0;
}

const char *login_key(const char *server, struct arena *a)
{
	const char *s = server, *slash;
	if (str_starts(s, "https://"))
		s += 8;
	else if (str_starts(s, "http://"))
		s += 7;
	slash = strchr(s, '/');
	const char *host = slash ? arena_dupn(a, s, (size_t)(slash - s)) : s;
	if (!host || !*host || streq(host, "docker.io") || streq(host, "index.docker.io") || streq(host, "registry-1.docker.io"))
		return LOGIN_HUB;
	return host;
}

/* The helper for a server: "" = the file itself. */
static const char *helper_of(const json_t *config, const char *key)
{
	const char *own = json_string_value(json_object_get(json_object_get(config, "credHelpers"), key)), *all = json_string_value(json_object_get(config, "credsStore"));
	return own ? own : all ? all : "";
}

/* Runs docker-credential-NAME VERB with `in` as its input. out may be NULL. */
static int run_helper(const char *name, const char *verb, const char *in, struct buf *out, struct err *e)
{
	OWN(own_buf) struct buf unused = {0};
	char program[256];
	const char *argv[] = {program, verb, NULL};
	int status;
	if (strchr(name, '/') || snprintf(program, sizeof(program), "docker-credential-%s", name) >= (int)sizeof(program))
		return err_as(e, ERR_INVALID, "invalid credential helper: %.100s", name);
	const struct spawn s = {.argv = argv};
	const struct spawn_io io = {.in = in, .in_len = strlen(in), .out = out ? out : &unused, .max = HELPER_MAX, .timeout_ms = 120000};
	if (spawn_run(&s, &io, &status, e) < 0)
		return err_ctx(e, "credential helper %s", program);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	const char *said = buf_str(io.out);
	if (strcasestr(said, "credentials not found"))
		return err_set(e, -ENOENT, "credentials not found");
	return err_set(e, -EIO, "credential helper %s: %.300s", program, *said ? said : "it failed");
}

static int find_with_helper(const char *helper, const char *key, struct arena *a, struct login *out, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = NULL;
	struct err why = {0};
	int r = run_helper(helper, "get", key, &b, &why);
	if (r == -ENOENT && streq(why.msg, "credentials not found"))
		return 0;
	if (r < 0)
		return err_set(e, r, "%s", why.msg);
	r = json_parse(buf_str(&b), b.len, &j, NULL);
	explicit_bzero(b.data, b.cap);
	const char *user = json_string_value(json_object_get(j, "Username")), *secret = json_string_value(json_object_get(j, "Secret"));
	if (r < 0 || !user || !secret)
		return err_set(e, -EPROTO, "credential helper docker-credential-%s: its answer is not understood", helper);
	if (streq(user, "<token>"))
		out->identity_token = arena_dup(a, secret);
	else {
		out->username = arena_dup(a, user);
		out->password = arena_dup(a, secret);
	}
	return a->bad ? err_nomem(e) : 0;
}

static const char *text_of(struct arena *a, const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));
	return str_empty(s) ? NULL : arena_dup(a, s);
}

/* Older files have the server with a scheme and a path. */
static const json_t *entry_of(const json_t *auths, const char *key, struct arena *a)
{
	const json_t *x = json_object_get(auths, key);
	const char *name;
	json_t *v;
	if (x)
		return x;
	json_object_foreach((json_t *)(uintptr_t)auths, name, v)
		if (streq(login_key(name, a), key))
			return v;
	return NULL;
}

int login_find(const char *server, struct arena *a, struct login *out, struct err *e)
{
	OWN(own_json) json_t *config = NULL;
	struct login l = {0};
	const char *key = login_key(server, a);
	try(user_config_read(a, &config, e));
	const char *helper = helper_of(config, key);
	if (*helper) {
		try(find_with_helper(helper, key, a, &l, e));
		*out = l;
		return 0;
	}
	const json_t *x = entry_of(json_object_get(config, "auths"), key, a);
	const char *pair = json_string_value(json_object_get(x, "auth"));
	l.username = text_of(a, x, "username");
	l.password = text_of(a, x, "password");
	if (!str_empty(pair) && login_decode(pair, a, &l.username, &l.password) < 0)
		return err_as(e, ERR_INVALID, "%s: what is stored for %s is not understood", user_config_path(a), key);
	l.identity_token = text_of(a, x, "identitytoken");
	l.registry_token = text_of(a, x, "registrytoken");
	if (a->bad)
		return err_nomem(e);
	*out = l;
	return 0;
}

static json_t *member(json_t *j, const char *name)
{
	json_t *x = json_object_get(j, name);
	if (!json_is_object(x)) {
		x = json_object();
		json_object_set_new(j, name, x);
	}
	return x;
}

int login_store(const char *server, const struct login *l, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_json) json_t *config = NULL;
	const char *key = login_key(server, &a);
	try(user_config_read(&a, &config, e));
	const char *helper = helper_of(config, key);
	json_t *entry = json_object();
	if (*helper) {
		bool token = l->identity_token;
		OWN(own_json) json_t *ask = json_pack("{s:s, s:s, s:s}", "ServerURL", key, "Username", token ? "<token>" : l->username, "Secret", token ? l->identity_token : l->password);
		OWN(own_free) char *text = ask ? json_text(ask) : NULL;
		int r = text ? run_helper(helper, "store", text, NULL, e) : err_nomem(e);
		if (text)
			explicit_bzero(text, strlen(text));
		if (r < 0) {
			json_decref(entry);
			return r;
		}
	} else {
		const char *pair = arena_printf(&a, "%s:%s", l->username, l->identity_token ? "" : l->password);
		json_object_set_new(entry, "auth", json_string(pair ? base64_encode(&a, pair, strlen(pair), false) : NULL));
		if (l->identity_token)
			json_object_set_new(entry, "identitytoken", json_string(l->identity_token));
	}
	json_object_set_new(member(config, "auths"), key, entry);
	return a.bad ? err_nomem(e) : user_config_write(config, &a, e);
}

int login_forget(const char *server, bool *was_there, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_json) json_t *config = NULL;
	const char *key = login_key(server, &a), *name;
	json_t *auths, *v;
	void *next;
	try(user_config_read(&a, &config, e));
	const char *helper = helper_of(config, key);
	*was_there = false;
	if (*helper) {
		struct err why = {0};
		int r = run_helper(helper, "erase", key, NULL, &why);
		if (r < 0 && !streq(why.msg, "credentials not found"))
			return err_set(e, r, "%s", why.msg);
		*was_there = r >= 0;
	}
	auths = json_object_get(config, "auths");
	json_object_foreach_safe(auths, next, name, v)
		if (streq(login_key(name, &a), key)) {
			*was_there = true;
			json_object_del(auths, name);
		}
	return *was_there ? user_config_write(config, &a, e) : 0;
}

int login_header(const char *image, struct arena *a, const char **out, struct err *e)
{
	struct ref r;
	try(ref_parse(image, &r, e));
	return login_header_of(r.domain, a, out, e);
}

int login_header_of(const char *domain, struct arena *a, const char **out, struct err *e)
{
	struct login l;
	try(login_find(domain, a, &l, e));
	OWN(own_json) json_t *j = json_object();
	const struct {
		const char *name, *value;
	} fields[] = {{"username", l.username}, {"password", l.password}, {"identitytoken", l.identity_token}, {"registrytoken", l.registry_token}};
	bool any = false;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].value) {
			json_object_set_new(j, fields[i].name, json_string(fields[i].value));
			any = true;
		}
	if (any)
		json_object_set_new(j, "serveraddress", json_string(login_key(domain, a)));
	OWN(own_free) char *text = j ? json_text(j) : NULL;
	if (!text)
		return err_nomem(e);
	*out = base64_encode(a, text, strlen(text), true);
	explicit_bzero(text, strlen(text));
	return *out ? 0 : err_nomem(e);
}
