#include <errno.h>

#include "base/units.h"
#include "cli/cmd.h"
#include "cli/context.h"

#define FLAGS(t)  t, ARRAY_LEN(t)
#define UNFIT     "unable to create docker endpoint config"
#define NAME_RULE "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static const json_t *docker_of(const json_t *meta)
{
	return json_object_get(json_object_get(meta, "Endpoints"), "docker");
}

/* --- ls, show, inspect --- */

static const struct flag ls_flags[] = {{"format", 0, "string", "table, json or a template"}, {"quiet", 'q', NULL, "Only names"}};
static const struct column columns[] = {{"NAME", "Name"}, {"DESCRIPTION", "Description"}, {"DOCKER ENDPOINT", "DockerEndpoint"}, {"ERROR", "Error"}, {"CURRENT", "Current"}};
#define TABLE "table {{.Name}}{{if eq .Current true}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}"

static int run_ls(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct strv names;
	OWN(own_json) json_t *rows = json_array();
	const char *current, *format = flag_on(p, "quiet") ? "{{.Name}}" : flag_get(p, "format");
	if (context_current(a, &current, &e) < 0 || context_names(a, &names, &e) < 0)
		return fail(&e, 1);
	json_t **v = arena_new(a, json_t *, names.n + 1);
	bool found = false;
	for (size_t i = 0; v && i < names.n; i++) {
		OWN(own_json) json_t *meta = NULL;
		if (context_load(names.v[i], a, &meta, &e) < 0)
			return fail(&e, 1);
		bool is_current = streq(names.v[i], current);
		found |= is_current;
		v[i] = json_pack("{s:b, s:s, s:s, s:s, s:s}", "Current", is_current, "Description", streq(names.v[i], CONTEXT_DEFAULT) ? "Current DOCKER_HOST based configuration" : text_of(json_object_get(meta, "Metadata"), "Description"), "DockerEndpoint",
			text_of(docker_of(meta), "Host"), "Error", docker_of(meta) ? "" : "no docker endpoint", "Name", names.v[i]);
		if (json_array_append_new(rows, v[i]) < 0)
			return 1;
	}
	if (!v || print_rows(v, names.n, columns, ARRAY_LEN(columns), !format || streq(format, "table") ? TABLE : format, &e) < 0)
		return fail(&e, 1);
	fflush(stdout);
	if (!found)
		fprintf(stderr, "Warning: the current context \"%s\" does not exist\n", current);
	if (context_host_in_environment() && streq(current, CONTEXT_DEFAULT) && str_empty(context_asked) && !context_host_asked && names.n > 1)
		fputs("Warning: PONTOON_HOST or DOCKER_HOST in the environment overrides the active context. To use a context, either set the global --context flag, or unset it.\n", stderr);
	return 0;
}

static int run_show(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	const char *current;
	(void)p;
	if (context_current(a, &current, &e) < 0)
		return fail(&e, 1);
	puts(current);
	return 0;
}

static const struct flag inspect_flags[] = {{"format", 'f', "string", "Print by a template"}};

/* As the docker command prints it; of the certificates only the files' names. */
static int describe(const char *name, const void *arg, struct arena *a, json_t **out, struct err *e)
{
	(void)arg;
	OWN(own_json) json_t *meta = NULL, *files = json_array();
	struct context_endpoint x = {0};
	bool own = streq(name, CONTEXT_DEFAULT);
	try(context_load(name, a, &meta, e));
	if (docker_of(meta))
		try(context_endpoint(name, meta, a, &x, e));
	for (unsigned i = 0; i < CONTEXT_FILES; i++)
		if (x.file[i])
			json_array_append_new(files, json_string(context_file(i)));
	const char *in_memory = "<IN MEMORY>", *m = own ? in_memory : context_dir("meta", name, a), *t = own ? in_memory : context_dir("tls", name, a);
	json_t *metadata = json_object_get(meta, "Metadata"), *endpoints = json_object_get(meta, "Endpoints");
	OWN(own_json) json_t *none = json_object(), *tls = json_array_size(files) ? json_pack("{s:O}", "docker", files) : json_object();
	*out = json_pack("{s:s, s:O, s:O, s:O, s:{s:s, s:s}}", "Name", name, "Metadata", metadata ? metadata : none, "Endpoints", endpoints ? endpoints : none, "TLSMaterial", tls, "Storage", "MetadataPath",
		m ? m : "", "TLSPath", t ? t : "");
	return *out ? 0 : err_nomem(e);
}

static int run_inspect(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	const char *current;
	struct strv names = p->args;
	if (!names.n && (context_current(a, &current, &e) < 0 || strv_add(a, &names, current) < 0))
		return fail(&e, 1);
	return inspect_all(&names, flag_get(p, "format"), describe, NULL, a);
}

/* --- create, update --- */

#define DOCKER_FLAG {"docker", 0, "map", "The daemon: host=..., ca=FILE, cert=FILE, key=FILE, skip-tls-verify=BOOL; or from=CONTEXT"}
static const struct flag create_flags[] = {{"description", 0, "string", "What it is for"}, DOCKER_FLAG, {"from", 0, "string", "Copy this context"}};
static const struct flag update_flags[] = {{"description", 0, "string", "What it is for"}, DOCKER_FLAG};

static const char *const keys[] = {"host", "ca", "cert", "key", "skip-tls-verify", "from"};

static int read_pairs(const struct strv *l, struct arena *a, struct kvs *out, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		char *text = arena_dup(a, l->v[i]);
		for (char *pair; text && (pair = strsep(&text, ","));) {
			char *eq = strchr(pair, '=');
			if (!eq)
				return err_as(e, ERR_INVALID, "invalid argument \"%s\" for \"--docker\" flag: %s must be formatted as key=value", l->v[i], pair);
			*eq = '\0';
			if (kvs_set(a, out, pair, eq + 1) < 0)
				return err_nomem(e);
		}
	}
	return a->bad ? err_nomem(e) : 0;
}

static int copy_endpoint(const char *from, struct arena *a, struct context_endpoint *out, struct err *e)
{
	OWN(own_json) json_t *meta = NULL;
	try(context_load(from, a, &meta, e));
	return context_endpoint(from, meta, a, out, e);
}

static int check_endpoint(const struct context_endpoint *x, struct err *e)
{
	const char *ca = x->file[CONTEXT_CA], *cert = x->file[CONTEXT_CERT], *key = x->file[CONTEXT_KEY];
	if (!x->host)
		return err_as(e, ERR_INVALID, UNFIT ": host is missing");
	if (!str_starts(x->host, "unix://") && !str_starts(x->host, "tcp://"))
		return err_as(e, ERR_INVALID, UNFIT ": invalid host %s: expected unix:///PATH or tcp://HOST:PORT", x->host);
	if (!cert != !key)
		return err_as(e, ERR_INVALID, UNFIT ": cert and key belong together: %s is missing", cert ? "key" : "cert");
	for (unsigned i = 0; i < CONTEXT_FILES; i++)
		if (x->file[i] && access(x->file[i], R_OK) < 0)
			return err_errno(e, -errno, UNFIT ": open %s", x->file[i]);
	const struct tls_client t = {.verify = ca, .ca = ca, .cert = cert, .key = key, .cert_given = cert};
	return tls_client_check(&t, e) < 0 ? err_ctx(e, UNFIT) : 0;
}

static int endpoint_of(const struct kvs *pairs, struct arena *a, struct context_endpoint *out, struct err *e)
{
	struct context_endpoint x = {.host = kvs_get(pairs, "host"), .file = {kvs_get(pairs, "ca"), kvs_get(pairs, "cert"), kvs_get(pairs, "key")}};
	const char *skip = kvs_get(pairs, "skip-tls-verify"), *from = kvs_get(pairs, "from");
	for (size_t i = 0; i < pairs->n; i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(keys) && !streq(keys[k], pairs->v[i].key))
			k++;
		if (k == ARRAY_LEN(keys))
			return err_as(e, ERR_INVALID, UNFIT ": %s: unrecognized config key", pairs->v[i].key);
	}
	if (from && pairs->n > 1)
		return err_as(e, ERR_INVALID, UNFIT ": from stands alone");
	if (from)
		return copy_endpoint(from, a, out, e) < 0 ? err_ctx(e, UNFIT) : 0;
	if (skip && units_parse_bool(skip, &x.skip_verify) < 0)
		return err_as(e, ERR_INVALID, UNFIT ": skip-tls-verify: strconv.ParseBool: parsing \"%s\": invalid syntax", skip);
	try(check_endpoint(&x, e));
	*out = x;
	return 0;
}

static int check_new_name(const char *name, struct err *e)
{
	if (streq(name, CONTEXT_DEFAULT))
		return err_as(e, ERR_INVALID, "\"" CONTEXT_DEFAULT "\" is a reserved context name");
	return context_name_ok(name) ? 0 : err_as(e, ERR_INVALID, "context name \"%s\" is invalid, names are validated against regexp \"" NAME_RULE "\"", name);
}

/* "Endpoints"."docker" of meta. */
static int set_endpoint(json_t *meta, const struct context_endpoint *x, struct err *e)
{
	json_t *endpoints = json_object_get(meta, "Endpoints");
	if (!json_is_object(endpoints)) {
		endpoints = json_object();
		json_object_set_new(meta, "Endpoints", endpoints);
	}
	json_t *docker = json_pack("{s:s*, s:b}", "Host", x->host, "SkipTLSVerify", x->skip_verify);
	return json_object_set_new(endpoints, "docker", docker) < 0 ? err_as(e, ERR_INVALID, UNFIT ": the host is not UTF-8") : 0;
}

static int set_description(json_t *meta, const char *text, struct err *e)
{
	json_t *metadata = json_object_get(meta, "Metadata");
	if (!json_is_object(metadata)) {
		metadata = json_object();
		json_object_set_new(meta, "Metadata", metadata);
	}
	if (!*text)
		(void)json_object_del(metadata, "Description"); /* it may not be there */
	else if (json_object_set_new(metadata, "Description", json_string(text)) < 0)
		return err_as(e, ERR_INVALID, "the description is not UTF-8");
	return 0;
}

static int create(const struct parsed *p, const struct kvs *pairs, const char *name, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *meta = NULL;
	struct context_endpoint x;
	const char *from = flag_get(p, "from"), *description = flag_get(p, "description");
	try(check_new_name(name, e));
	if (context_exists(name))
		return err_as(e, ERR_CONFLICT, "context \"%s\" already exists", name);
	if (from && pairs->n)
		return err_as(e, ERR_INVALID, "cannot use --docker flag when --from is set");
	if (from && !streq(from, CONTEXT_DEFAULT))
		try(context_load(from, a, &meta, e));
	else
		meta = json_pack("{s:s, s:{}, s:{}}", "Name", name, "Metadata", "Endpoints");
	if (!meta || json_object_set_new(meta, "Name", json_string(name)) < 0)
		return err_nomem(e);
	if (pairs->n)
		try(endpoint_of(pairs, a, &x, e));
	else
		try(copy_endpoint(from ? from : CONTEXT_DEFAULT, a, &x, e));
	try(set_endpoint(meta, &x, e));
	if (description)
		try(set_description(meta, description, e));
	return context_save(name, meta, x.file, a, e);
}

/* create or update, told as `done`. */
static int make_it(int (*make)(const struct parsed *p, const struct kvs *pairs, const char *name, struct arena *a, struct err *e), const char *done, const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct kvs pairs = {0};
	const char *name = p->args.v[0];
	if (read_pairs(flag_list(p, "docker"), a, &pairs, &e) < 0)
		return fail(&e, TAIL_RUN);
	if (make(p, &pairs, name, a, &e) < 0)
		return fail(&e, 1);
	puts(name);
	fprintf(stderr, "Successfully %s context \"%s\"\n", done, name);
	return 0;
}

static int run_create(const struct parsed *p, struct arena *a)
{
	return make_it(create, "created", p, a);
}

static int update(const struct parsed *p, const struct kvs *pairs, const char *name, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *meta = NULL;
	struct context_endpoint x;
	const char *description = flag_get(p, "description");
	try(check_new_name(name, e));
	try(context_load(name, a, &meta, e));
	if (description)
		try(set_description(meta, description, e));
	if (!pairs->n)
		return context_save(name, meta, NULL, a, e);
	try(endpoint_of(pairs, a, &x, e));
	try(set_endpoint(meta, &x, e));
	return context_save(name, meta, x.file, a, e);
}

static int run_update(const struct parsed *p, struct arena *a)
{
	return make_it(update, "updated", p, a);
}

/* --- use, rm --- */

static int run_use(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	const char *name = p->args.v[0];
	if (!context_exists(name)) {
		err_as(&e, ERR_NOT_FOUND, "context \"%s\" does not exist", name);
		return fail(&e, 1);
	}
	if (context_use(name, a, &e) < 0)
		return fail(&e, 1);
	puts(name);
	fprintf(stderr, "Current context is now \"%s\"\n", name);
	if (context_host_in_environment() && !streq(name, CONTEXT_DEFAULT))
		fprintf(stderr, "Warning: PONTOON_HOST or DOCKER_HOST in the environment overrides the active context. To use \"%s\", either set the global --context flag, or unset it.\n", name);
	return 0;
}

static const struct flag rm_flags[] = {{"force", 'f', NULL, "The current one, too"}};

static int rm_one(const char *name, const struct parsed *p, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *current;
	if (streq(name, CONTEXT_DEFAULT))
		return err_as(e, ERR_INVALID, CONTEXT_DEFAULT ": context \"" CONTEXT_DEFAULT "\" cannot be removed");
	if (!context_exists(name))
		return err_as(e, ERR_NOT_FOUND, "%s: context \"%s\" does not exist", name, name);
	try(context_current(&a, &current, e));
	const char *kept = context_configured(&a); /* also when something else counts just now: it must not be left without its context */
	bool is_kept = kept && streq(name, kept);
	if ((is_kept || streq(name, current)) && !flag_on(p, "force"))
		return err_as(e, ERR_CONFLICT, "%s: context is in use, set -f flag to force remove", name);
	if (is_kept)
		try(context_use(CONTEXT_DEFAULT, &a, e));
	return context_remove(name, &a, e);
}

static int run_rm(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, rm_one);
}

const struct command commands_context[] = {
	{"ls", "context", false, "", "List contexts", FLAGS(ls_flags), false, 0, 0, run_ls, "list"},
	{"create", "context", false, "CONTEXT", "Give a daemon a name", FLAGS(create_flags), false, 1, 1, run_create, NULL},
	{"use", "context", false, "CONTEXT", "Make a context the current one", NULL, 0, false, 1, 1, run_use, NULL},
	{"show", "context", false, "", "Print the name of the current context", NULL, 0, false, 0, 0, run_show, NULL},
	{"inspect", "context", false, "[CONTEXT...]", "Show everything about contexts", FLAGS(inspect_flags), false, 0, -1, run_inspect, NULL},
	{"update", "context", false, "CONTEXT", "Change a context", FLAGS(update_flags), false, 1, 1, run_update, NULL},
	{"rm", "context", false, "CONTEXT [CONTEXT...]", "Remove contexts", FLAGS(rm_flags), false, 1, -1, run_rm, "remove"},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
