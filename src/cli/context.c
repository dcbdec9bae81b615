#include "cli/context.h"

#include <ctype.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#include "base/fd.h"
#include "cli/http.h"
#include "cli/user_config.h"

#define META_MAX (256u << 10)
#define PEM_MAX  (1u << 20)

const char *context_asked;
bool context_host_asked;

static const char *const file_names[] = {[CONTEXT_CA] = "ca.pem", [CONTEXT_CERT] = "cert.pem", [CONTEXT_KEY] = "key.pem"};
static_assert(ARRAY_LEN(file_names) == CONTEXT_FILES, "file_names[] is missing a file");

const char *context_file(unsigned which)
{
	return file_names[which];
}

bool context_name_ok(const char *name)
{
	size_t n = 0;
	for (; isalnum((unsigned char)name[n]) || (n && name[n] && strchr("_.+-", name[n])); n++)
		;
	return n > 1 && !name[n];
}

const char *context_dir(const char *kind, const char *name, struct arena *a)
{
	unsigned char hash[32];
	char id[2 * sizeof(hash) + 1];
	const char *dir = user_config_dir(a);
	if (!dir || gnutls_hash_fast(GNUTLS_DIG_SHA256, name, strlen(name), hash) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(id + 2 * i, 3, "%02x", hash[i]);
	return arena_printf(a, "%s/contexts/%s/%s", dir, kind, id);
}

/* --- which one counts --- */

static const char *said(const char *ours, const char *docker_s)
{
	const char *v = getenv(ours);
	if (str_empty(v))
		v = getenv(docker_s);
	return str_empty(v) ? NULL : v;
}

bool context_host_in_environment(void)
{
	return said("PONTOON_HOST", "DOCKER_HOST");
}

/* As Docker's client: a file that cannot be read is told, and names no context. */
const char *context_configured(struct arena *a)
{
	OWN(own_json) json_t *config = NULL;
	struct err e = {0};
	if (user_config_read(a, &config, &e) < 0) {
		fprintf(stderr, "WARNING: Error loading config file: %s\n", e.msg);
		return NULL;
	}
	const char *name = json_string_value(json_object_get(config, "currentContext"));
	return str_empty(name) ? NULL : arena_dup(a, name);
}

static int choose(struct arena *a, const char **name, bool *by_file, struct err *e)
{
	*by_file = false;
	if (!str_empty(context_asked) && context_host_asked)
		return err_as(e, ERR_INVALID, "Conflicting options: either specify --host or --context, not both");
	if (!str_empty(context_asked))
		*name = context_asked;
	else if (context_host_asked || context_host_in_environment())
		*name = CONTEXT_DEFAULT;
	else if (!(*name = said("PONTOON_CONTEXT", "DOCKER_CONTEXT"))) {
		*name = context_configured(a);
		*by_file = *name;
	}
	if (!*name)
		*name = CONTEXT_DEFAULT;
	return a->bad ? err_nomem(e) : 0;
}

int context_current(struct arena *a, const char **name, struct err *e)
{
	bool by_file;
	return choose(a, name, &by_file, e);
}

int context_enter(struct arena *a, struct err *e)
{
	OWN(own_json) json_t *meta = NULL;
	struct context_endpoint x;
	const char *name;
	bool by_file;
	try(choose(a, &name, &by_file, e));
	if (streq(name, CONTEXT_DEFAULT))
		return 0;
	int r = context_load(name, a, &meta, e);
	if (r == -ENOENT && by_file)
		return err_as(e, ERR_NOT_FOUND, "Current context \"%s\" is not found on the file system, please check your config file at %s", name, user_config_path(a));
	if (r < 0 || (r = context_endpoint(name, meta, a, &x, e)) < 0)
		return err_ctx(e, "unable to resolve docker endpoint");
	bool pair = x.file[CONTEXT_CERT] && x.file[CONTEXT_KEY];
	if (x.host)
		http_host = x.host;
	http_tls = (struct tls_client){.on = x.skip_verify || x.file[CONTEXT_CA] || pair, .verify = !x.skip_verify, .ca = x.file[CONTEXT_CA], .cert = pair ? x.file[CONTEXT_CERT] : NULL,
		.key = pair ? x.file[CONTEXT_KEY] : NULL, .cert_given = pair};
	return 0;
}

/* --- the files --- */

static const char *meta_path(const char *name, struct arena *a)
{
	const char *dir = context_dir("meta", name, a);
	return dir ? arena_printf(a, "%s/meta.json", dir) : NULL;
}

static int read_meta(const char *path, json_t **out, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	OWN(own_json) json_t *j = NULL;
	try(read_file(path, META_MAX, &b, e));
	if (json_parse(buf_str(&b), b.len, &j, e) < 0)
		return err_ctx(e, "%s", path);
	if (!json_is_string(json_object_get(j, "Name")))
		return err_as(e, ERR_INVALID, "%s is not the file of a context: it has no Name", path);
	*out = STEAL(j);
	return 0;
}

static int load_default(json_t **out, struct err *e)
{
	*out = json_pack("{s:s, s:{}, s:{s:{s:s, s:b}}}", "Name", CONTEXT_DEFAULT, "Metadata", "Endpoints", "docker", "Host", http_host,
		"SkipTLSVerify", http_tls.on && !http_tls.verify);
	return *out ? 0 : err_nomem(e);
}

bool context_exists(const char *name)
{
	OWN(arena_free) struct arena a = {0};
	const char *path = meta_path(name, &a);
	return streq(name, CONTEXT_DEFAULT) || (path && access(path, F_OK) == 0);
}

int context_load(const char *name, struct arena *a, json_t **out, struct err *e)
{
	if (streq(name, CONTEXT_DEFAULT))
		return load_default(out, e);
	const char *path = meta_path(name, a);
	if (!path)
		return err_nomem(e);
	int r = read_meta(path, out, e);
	return r == -ENOENT || r == -ENOTDIR ? err_as(e, ERR_NOT_FOUND, "context \"%s\" does not exist", name) : r;
}

static void default_files(struct context_endpoint *x, struct arena *a)
{
	const char *paths[] = {[CONTEXT_CA] = http_tls.ca, [CONTEXT_CERT] = http_tls.cert, [CONTEXT_KEY] = http_tls.key};
	for (unsigned i = 0; http_tls.on && i < CONTEXT_FILES; i++)
		if (paths[i] && (i == CONTEXT_CA ? http_tls.verify : http_tls.cert_given || access(paths[i], F_OK) == 0))
			x->file[i] = arena_dup(a, paths[i]);
}

int context_endpoint(const char *name, const json_t *meta, struct arena *a, struct context_endpoint *out, struct err *e)
{
	struct context_endpoint x = {0};
	const json_t *docker = json_object_get(json_object_get(meta, "Endpoints"), "docker");
	const char *host = json_string_value(json_object_get(docker, "Host")), *dir = context_dir("tls", name, a);
	if (!docker)
		return err_as(e, ERR_INVALID, "context \"%s\" has no docker endpoint", name);
	x.host = str_empty(host) ? NULL : arena_dup(a, host);
	x.skip_verify = json_is_true(json_object_get(docker, "SkipTLSVerify"));
	if (streq(name, CONTEXT_DEFAULT))
		default_files(&x, a);
	for (unsigned i = 0; dir && !streq(name, CONTEXT_DEFAULT) && i < CONTEXT_FILES; i++) {
		const char *path = arena_printf(a, "%s/docker/%s", dir, file_names[i]);
		if (path && access(path, F_OK) == 0)
			x.file[i] = path;
	}
	if (a->bad || !dir)
		return err_nomem(e);
	*out = x;
	return 0;
}

static int by_name(const void *x, const void *y)
{
	return strverscmp(*(const char *const *)x, *(const char *const *)y);
}

int context_names(struct arena *a, struct strv *out, struct err *e)
{
	struct strv l = {0};
	const char *dir = arena_printf(a, "%s/contexts/meta", user_config_dir(a));
	OWN(own_dir) DIR *d = dir ? opendir(dir) : NULL;
	if (dir && !d && errno != ENOENT && errno != ENOTDIR)
		return err_errno(e, -errno, "open %s", dir);
	for (const struct dirent *x; d && (x = readdir(d));) {
		OWN(own_json) json_t *meta = NULL;
		const char *path = arena_printf(a, "%s/%s/meta.json", dir, x->d_name);
		int r = *x->d_name == '.' ? -ENOENT : path ? read_meta(path, &meta, e) : err_nomem(e);
		if (r == -ENOENT || r == -ENOTDIR) /* a stray file; one that goes just now */
			continue;
		try(r);
		if (strv_add(a, &l, json_string_value(json_object_get(meta, "Name"))) < 0)
			return err_nomem(e);
	}
	if (a->bad || strv_add(a, &l, CONTEXT_DEFAULT) < 0)
		return err_nomem(e);
	qsort(l.v, l.n, sizeof(*l.v), by_name);
	*out = l;
	return 0;
}

/* The new files, beside the old ones. */
static int stage(const char *dir, const char *const files[], struct arena *a, struct err *e)
{
	const char *sub = arena_printf(a, "%s/docker", dir);
	if (!sub)
		return err_nomem(e);
	try(mkdir_p(sub, 0700, e));
	for (unsigned i = 0; i < CONTEXT_FILES; i++) {
		OWN(own_buf) struct buf b = {0};
		const char *to = arena_printf(a, "%s/%s", sub, file_names[i]);
		if (!files[i])
			continue;
		int r = to ? read_file(files[i], PEM_MAX, &b, e) : err_nomem(e);
		if (r >= 0)
			r = write_file_atomic(to, buf_str(&b), b.len, 0600, true, e);
		if (b.data)
			explicit_bzero(b.data, b.cap);
		try(r);
	}
	return 0;
}

static int write_meta(const char *name, const json_t *meta, struct arena *a, struct err *e)
{
	const char *dir = context_dir("meta", name, a), *path = meta_path(name, a);
	OWN(own_free) char *text = json_text(meta);
	if (!dir || !path || !text)
		return err_nomem(e);
	bool was_there = access(dir, F_OK) == 0;
	try(mkdir_p(dir, 0755, e));
	int r = write_file_atomic(path, text, strlen(text), 0644, true, e);
	if (r < 0 && !was_there)
		(void)rmdir(dir);
	return r;
}

/* The old directory of files is put aside, the new one comes in its place, and meta.json at last: until then everything can be put back. */
int context_save(const char *name, const json_t *meta, const char *const files[], struct arena *a, struct err *e)
{
	const char *dir = context_dir("tls", name, a), *fresh = arena_printf(a, "%s.new", dir), *old = arena_printf(a, "%s.old", dir);
	bool any = files && (files[CONTEXT_CA] || files[CONTEXT_CERT] || files[CONTEXT_KEY]), aside = false, placed = false;
	if (!dir || !fresh || !old)
		return err_nomem(e);
	if (!files)
		return write_meta(name, meta, a, e);
	try(remove_tree(fresh, e));
	try(remove_tree(old, e));
	int r = any ? stage(fresh, files, a, e) : 0;
	if (r >= 0 && !(aside = rename(dir, old) == 0) && errno != ENOENT && errno != ENOTDIR)
		r = err_errno(e, -errno, "rename %s", dir);
	if (r >= 0 && any && !(placed = rename(fresh, dir) == 0))
		r = err_errno(e, -errno, "rename %s", fresh);
	if (r >= 0)
		r = write_meta(name, meta, a, e);
	if (r >= 0)
		return remove_tree(old, e);
	(void)remove_tree(placed ? dir : fresh, NULL);
	if (aside)
		(void)rename(old, dir);
	return r;
}

int context_remove(const char *name, struct arena *a, struct err *e)
{
	const char *meta = context_dir("meta", name, a), *tls = context_dir("tls", name, a);
	if (!meta || !tls)
		return err_nomem(e);
	try(remove_tree(tls, e)); /* the keys first */
	return remove_tree(meta, e);
}

int context_use(const char *name, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *config = NULL;
	try(user_config_read(a, &config, e));
	if (streq(name, CONTEXT_DEFAULT)) {
		if (json_object_del(config, "currentContext") < 0)
			return 0; /* it was not there */
	} else if (json_object_set_new(config, "currentContext", json_string(name)) < 0)
		return err_nomem(e);
	return user_config_write(config, a, e);
}
