#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "engine/room.h"

#define RUNTIME_LIMIT_MS 60000

static const char *const known[] = {"crun", "runc"}; /* in this order the default is looked for */

/* An absolute path: conmon takes no other. */
static const char *path_of_runtime(const struct kvs *runtimes, const char *name, char out[static PATH_SIZE])
{
	const char *path = kvs_get(runtimes, name);
	if (!path)
		path = name;
	if (strchr(path, '/') || !program_in_path(path, out))
		str_copy(out, PATH_SIZE, path);
	return out;
}

static int run(const char *const *argv, int limit_ms, struct buf *out, struct buf *text, int *status, struct err *e)
{
	struct spawn s = {.argv = argv};
	struct spawn_io io = {.out = out, .err = text, .timeout_ms = limit_ms};
	return spawn_run(&s, &io, status, e);
}

#define TEXT_MAX_SHOWN 1536 /* of a runtime's words */

static void cut_newlines(struct buf *b)
{
	while (b->len && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == '\r'))
		b->data[--b->len] = '\0';
}

/* The host's programs, bound into an empty root. */
static json_t *probe_config(const struct engine *en)
{
	static const char *const dirs[] = {"/bin", "/lib", "/lib64", "/usr"};
	json_t *mounts = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}]", "destination", "/proc", "type", "proc", "source", "proc", "destination", "/dev", "type", "tmpfs",
		"source", "tmpfs");
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (access(dirs[i], F_OK) == 0)
			json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:[s,s]}", "destination", dirs[i], "type", "bind", "source", dirs[i], "options", "rbind", "ro"));
	return json_pack("{s:s, s:{s:{s:i, s:i}, s:[s], s:[s], s:s}, s:{s:s}, s:o, s:{s:o, s:[{s:s}, {s:s}]}}", "ociVersion", "1.0.2", "process", "user", "uid", 0, "gid", 0, "args", "true", "env",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "cwd", "/", "root", "path", "rootfs", "mounts", mounts, "linux", "cgroupsPath",
		json_sprintf("%s/probe-%d", en->conf.cgroup_parent, (int)getpid()), "namespaces", "type", "mount", "type", "pid");
}

/* Runs `true` from the host's own files in a container: what a runtime cannot do here (cgroups, namespaces) shows at once. */
static int probe(struct engine *en, const char *path, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	OWN(own_json) json_t *j = probe_config(en);
	OWN(own_free) char *config = j ? json_text(j) : NULL;
	char bundle[PATH_SIZE], file[PATH_SIZE + 16], id[32];
	int status;
	if (!config)
		return err_nomem(e);
	snprintf(id, sizeof(id), "probe-%d", (int)getpid());
	snprintf(bundle, sizeof(bundle), "%s/%s", en->root_c, id);
	snprintf(file, sizeof(file), "%s/rootfs", bundle);
	try(mkdir_p(file, 0700, e));
	snprintf(file, sizeof(file), "%s/config.json", bundle);
	try(write_file(file, config, strlen(config), 0600, e));
	const char *argv[ROOM_WORDS + 8] = {NULL}, *const command[] = {path, "--root", en->root_rt, "run", "--bundle", bundle, id};
	OWN(arena_free) struct arena a = {0};
	size_t words = room_words(en, (const char *[]){NULL}, &a, argv);
	if (a.bad)
		return err_nomem(e);
	memcpy(argv + words, command, sizeof(command));
	int r = run(argv, RUNTIME_LIMIT_MS, NULL, &text, &status, e);
	struct err gone = {0};
	if (r < 0 || status != 0) { /* what is left of it would be in the way of the next one */
		const char *drop[] = {path, "--root", en->root_rt, "delete", "--force", id, NULL};
		int dropped;
		(void)run(drop, RUNTIME_LIMIT_MS, NULL, NULL, &dropped, NULL);
	}
	if (remove_tree(bundle, &gone) < 0)
		log_debug("%s", gone.msg);
	if (r < 0)
		return r;
	cut_newlines(&text);
	if (status != 0)
		return err_set(e, -EIO, "%s cannot run a container here: %.512s", path, buf_str(&text));
	return 0;
}

static int use(struct engine *en, const struct kvs *runtimes, const char *name, struct err *e)
{
	OWN(own_buf) struct buf out = {0};
	char path[PATH_SIZE];
	const char *version[] = {path_of_runtime(runtimes, name, path), "--version", NULL};
	int status;
	try(run(version, RUNTIME_LIMIT_MS, &out, NULL, &status, e));
	try(probe(en, path, e));
	struct runtime *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	STR_COPY(r->path, path);
	STR_COPY(r->name, name);
	if (sscanf(buf_str(&out), "%*s version %63s", r->version) != 1)
		STR_COPY(r->version, "unknown");
	r->before = en->runtime;
	en->runtime = r;
	return 0;
}

void runtime_free_all(struct engine *en)
{
	for (struct runtime *r = en->runtime, *before; r; r = before) {
		before = r->before;
		free(r);
	}
}

int runtime_find(struct engine *en, const struct kvs *runtimes, const char *name, struct err *e)
{
	struct err first = {0}, second = {0};
	if (!str_empty(name)) {
		if (use(en, runtimes, name, &first) >= 0)
			return 0;
		return err_as(e, ERR_UNAVAILABLE, "the OCI runtime %s cannot be used: %s", name, first.msg);
	}
	if (use(en, runtimes, known[0], &first) >= 0 || use(en, runtimes, known[1], &second) >= 0)
		return 0;
	return err_as(e, ERR_UNAVAILABLE, "no OCI runtime can be used: install the package crun or runc, or name one with --default-runtime (%s; %s)", first.msg, second.msg);
}

int engine_set_runtimes(struct engine *en, const struct kvs *runtimes, const char *name, struct err *e)
{
	char path[PATH_SIZE];
	bool same = str_empty(name) ? str_empty(en->default_runtime) : streq(name, en->runtime->name) && streq(path_of_runtime(runtimes, name, path), en->runtime->path);
	if (!same)
		try(runtime_find(en, runtimes, name, e));
	en->runtimes = runtimes;
	en->default_runtime = name;
	return 0;
}

void engine_runtimes(const struct engine *en, struct arena *a, struct kvs *out)
{
	char path[PATH_SIZE];
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (program_in_path(known[i], path))
			(void)kvs_set(a, out, known[i], path);
	for (size_t i = 0; i < en->runtimes->n; i++)
		(void)kvs_set(a, out, en->runtimes->v[i].key, en->runtimes->v[i].value);
	(void)kvs_set(a, out, en->runtime->name, en->runtime->path);
}

int engine_check_runtime(const struct engine *en, const char *name, struct err *e)
{
	if (str_empty(name) || streq(name, en->runtime->name) || kvs_get(en->runtimes, name))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(name, known[i]))
			return 0;
	return err_as(e, ERR_INVALID, "unknown or invalid runtime name: %s", name);
}

static const char *runtime_path(const struct engine *en, const struct container *c, char out[static PATH_SIZE])
{
	const char *name = c->spec->host.runtime;
	const struct runtime *r = en->runtime;
	return str_empty(name) || streq(name, r->name) ? r->path : path_of_runtime(en->runtimes, name, out);
}

/* The state below --root is the runtime's own: whoever made a container also starts, freezes and deletes it, whatever the default is by then. */
int runtime_keep(const struct engine *en, const struct container *c, struct err *e)
{
	char bundle[PATH_SIZE], link[PATH_SIZE + 16], path[PATH_SIZE];
	snprintf(link, sizeof(link), "%s/runtime", path_bundle(en, c->id, bundle));
	(void)unlink(link); /* absent is fine */
	return symlink(runtime_path(en, c, path), link) < 0 ? err_errno(e, -errno, "symlink %s", link) : 0;
}

const char *runtime_of(const struct engine *en, const char *id, char out[static PATH_SIZE])
{
	char bundle[PATH_SIZE], link[PATH_SIZE + 16];
	snprintf(link, sizeof(link), "%s/runtime", path_bundle(en, id, bundle));
	ssize_t n = readlink(link, out, PATH_SIZE - 1);
	if (n <= 0)
		return en->runtime->path;
	out[n] = '\0';
	return out;
}

/* crun: "executable file `x` not found in $PATH: No such file or directory"; runc: "exec: \"x\": executable file not found in $PATH". */
static bool missing_program(const char *t)
{
	return strstr(t, "not found in $PATH") || (strstr(t, "exec") && (strstr(t, "No such file or directory") || strstr(t, "no such file or directory")));
}

static const char *quoted_program(const char *t, char out[static 256])
{
	const char *p = strpbrk(t, "`");
	const char *end = p ? strpbrk(p + 1, "`'") : NULL;
	if (!end) {
		p = strstr(t, "exec: \\\"") ? strstr(t, "exec: \\\"") + 7 : strstr(t, "exec: \"") ? strstr(t, "exec: \"") + 6 : NULL;
		end = p ? strpbrk(p + 1, "\\\"") : NULL;
	}
	if (!p || !end || end - p > 255)
		return NULL;
	snprintf(out, 256, "%.*s", (int)(end - p - 1), p + 1);
	return out;
}

/* runc's own log, in place of the bare words: time="..." level=error msg="..." */
static void take_message(char *text)
{
	char *p = str_starts(text, "time=\"") ? strstr(text, " msg=\"") : NULL, *out = text;
	if (!p)
		return;
	for (p += strlen(" msg=\""); *p && *p != '"'; p++) {
		if (*p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		*out++ = *p;
	}
	*out = '\0';
}

int runtime_error(const char *prefix, const char *program, const char *text, struct err *e)
{
	char trimmed[TEXT_MAX_SHOWN];
	size_t len = strlen(text);
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	snprintf(trimmed, sizeof(trimmed), "%.*s", (int)(len < sizeof(trimmed) ? len : sizeof(trimmed) - 1), text);
	take_message(trimmed);
	text = trimmed;
	char quoted[256];
	const char *name = quoted_program(text, quoted);
	bool unopened = program && strstr(text, "open executable: "); /* so crun says of a directory and of a file that may not be run */
	if (unopened && !*program)
		return err_as(e, ERR_INVALID, "%s: exec: \"\": executable file not found in $PATH: unknown", prefix);
	if (unopened)
		return err_as(e, ERR_INVALID, "%s: exec: \"%.1024s\": permission denied: unknown", prefix, program);
	if (missing_program(text) && name && !strchr(name, '/'))
		return err_as(e, ERR_INVALID, "%s: exec: \"%s\": executable file not found in $PATH: unknown", prefix, name);
	if (missing_program(text))
		return err_as(e, ERR_INVALID, "%s: %.1024s: no such file or directory: unknown", prefix, name ? name : text);
	if (strstr(text, "ermission denied") && name && strstr(text, "exec: "))
		return err_as(e, ERR_INVALID, "%s: exec: \"%s\": permission denied: unknown", prefix, name);
	if (strstr(text, "ermission denied"))
		return err_as(e, ERR_INVALID, "%s: %.1024s: permission denied: unknown", prefix, name ? name : text);
	return err_set(e, -EIO, "%s: %.1500s: unknown", prefix, text);
}

int runtime_run(struct engine *en, const char *runtime, const char *const *args, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	const char *argv[16] = {runtime, "--root", en->root_rt};
	size_t n = 3;
	int status;
	for (size_t i = 0; args[i] && n < ARRAY_LEN(argv) - 1; i++)
		argv[n++] = args[i];
	try(run(argv, RUNTIME_LIMIT_MS, NULL, &text, &status, e));
	cut_newlines(&text);
	return status == 0 ? 0 : runtime_error("OCI runtime error", NULL, buf_str(&text), e);
}

int runtime_delete(struct engine *en, const char *id, bool force, struct err *e)
{
	char state[PATH_SIZE + 72], runtime[PATH_SIZE];
	const char *args[] = {"delete", force ? "--force" : id, force ? id : NULL, NULL};
	snprintf(state, sizeof(state), "%s/%s", en->root_rt, id);
	if (access(state, F_OK) < 0)
		return 0; /* the runtime knows nothing of it */
	int r = runtime_run(en, runtime_of(en, id, runtime), args, e);
	return access(state, F_OK) < 0 ? 0 : r;
}
