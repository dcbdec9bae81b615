#include "image/config.h"

#include "base/ref.h"

/* Docker writes the whole API Config into an image, empty fields included; inspect shows them. */
struct run_config {
	const char *hostname, *domainname;
	bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once;
	const char *image;
	struct change_config c;
};

#define AT(m) offsetof(struct run_config, m)
#define CAT(m) offsetof(struct run_config, c.m)

static const struct json_field run_config_table[] = {
	{"Hostname", J_STR, AT(hostname)},
	{"Domainname", J_STR, AT(domainname)},
	{"User", J_STR, CAT(user)},
	{"AttachStdin", J_BOOL, AT(attach_stdin)},
	{"AttachStdout", J_BOOL, AT(attach_stdout)},
	{"AttachStderr", J_BOOL, AT(attach_stderr)},
	{"ExposedPorts", J_SET, CAT(exposed_ports), J_OMIT},
	{"Tty", J_BOOL, AT(tty)},
	{"OpenStdin", J_BOOL, AT(open_stdin)},
	{"StdinOnce", J_BOOL, AT(stdin_once)},
	{"Env", J_STRV, CAT(env), J_NULL},
	{"Cmd", J_STRV, CAT(cmd), J_NULL},
	{"Healthcheck", J_OBJP, CAT(health), J_OMIT, change_health_table, sizeof(struct change_health)},
	{"Image", J_STR, AT(image)},
	{"Volumes", J_SET, CAT(volumes), J_NULL},
	{"WorkingDir", J_STR, CAT(working_dir)},
	{"Entrypoint", J_STRV, CAT(entrypoint), J_NULL},
	{"OnBuild", J_STRV, CAT(on_build), J_NULL},
	{"Labels", J_KV, CAT(labels), J_NULL},
	{"StopSignal", J_STR, CAT(stop_signal), J_OMIT},
	J_END,
};

/* The platform and the table's strings are arrays there and pointers here. */
struct rootfs {
	const char *type;
	struct strv diff_ids;
};

struct history {
	const char *created, *comment;
};

struct image_config {
	const char *architecture, *variant, *os, *comment, *created;
	struct run_config config, container_config;
	struct json_vec history;
	struct rootfs rootfs;
};

static const struct json_field rootfs_table[] = {
	{"type", J_STR, offsetof(struct rootfs, type)},
	{"diff_ids", J_STRV, offsetof(struct rootfs, diff_ids)},
	J_END,
};

static const struct json_field history_table[] = {
	{"created", J_STR, offsetof(struct history, created)},
	{"comment", J_STR, offsetof(struct history, comment), J_OMIT},
	J_END,
};

#define IAT(m) offsetof(struct image_config, m)

static const struct json_field image_config_table[] = {
	{"architecture", J_STR, IAT(architecture)},
	{"comment", J_STR, IAT(comment), J_OMIT},
	{"config", J_OBJ, IAT(config), 0, run_config_table, sizeof(struct run_config)},
	{"container_config", J_OBJ, IAT(container_config), 0, run_config_table, sizeof(struct run_config)},
	{"created", J_STR, IAT(created)},
	{"history", J_OBJV, IAT(history), 0, history_table, sizeof(struct history)},
	{"os", J_STR, IAT(os)},
	{"rootfs", J_OBJ, IAT(rootfs), 0, rootfs_table, sizeof(struct rootfs)},
	{"variant", J_STR, IAT(variant), J_OMIT},
	J_END,
};

int config_make(const struct config_import *in, char **out, struct err *e)
{
	struct history h = {.created = in->created, .comment = *in->message ? in->message : "Imported from -"};
	const char *diff_ids[] = {in->diff_id};
	struct image_config c = {
		.architecture = in->platform->arch,
		.variant = in->platform->variant,
		.os = in->platform->os,
		.comment = h.comment,
		.created = in->created,
		.config = {.hostname = "", .domainname = "", .image = "", .c = *in->config},
		.container_config = {.hostname = "", .domainname = "", .image = ""},
		.history = {.v = &h, .n = 1},
		.rootfs = {.type = "layers", .diff_ids = {.v = diff_ids, .n = 1}},
	};
	change_config_init(&c.container_config.c);
	OWN(own_json) json_t *j = json_encode(image_config_table, &c);
	char *text = j ? json_text(j) : NULL;
	if (!text)
		return err_nomem(e);
	*out = text;
	return 0;
}

static const char *joined(const struct strv *v, struct arena *a)
{
	const char *s = "";
	for (size_t i = 0; s && i < v->n; i++)
		s = arena_printf(a, "%s%s%s", s, i ? " " : "", v->v[i]);
	return s;
}

static json_t *list_in(json_t *j, const char *key)
{
	json_t *v = json_object_get(j, key);
	if (json_is_array(v))
		return v;
	v = json_array();
	json_object_set_new(j, key, v);
	return v;
}

int config_make_commit(const struct config_commit *in, char **out, struct arena *a, struct err *e)
{
	OWN(own_json) json_t *j = NULL, *run = NULL;
	struct run_config rc = {.hostname = "", .domainname = "", .image = ""};
	if (json_parse(in->parent, strlen(in->parent), &j, e) < 0 || json_parse(in->config, strlen(in->config), &run, e) < 0)
		return err_ctx(e, "image configuration");
	json_t *rootfs = json_object_get(j, "rootfs");
	if (!json_is_object(rootfs))
		return err_as(e, ERR_INVALID, "image configuration: rootfs is missing");
	change_config_init(&rc.c);
	try(json_decode(run, run_config_table, &rc, a, e));
	const char *by = joined(&rc.c.cmd, a);
	for (size_t i = 0; i < in->changes->n; i++)
		try(change_apply(&rc.c, in->changes->v[i], a, e));
	json_t *history = json_pack("{s:s, s:s}", "created", in->created, "created_by", by ? by : "");
	if (*in->author)
		json_object_set_new(history, "author", json_string(in->author));
	if (*in->message)
		json_object_set_new(history, "comment", json_string(in->message));
	if (!in->diff_id)
		json_object_set_new(history, "empty_layer", json_true());
	json_array_append_new(list_in(j, "history"), history);
	if (in->diff_id)
		json_array_append_new(list_in(rootfs, "diff_ids"), json_string(in->diff_id));
	json_object_set_new(j, "created", json_string(in->created));
	json_object_set_new(j, "container", json_string(in->container));
	json_object_set_new(j, "config", json_encode(run_config_table, &rc));
	json_object_del(j, "container_config");
	json_object_del(j, "docker_version");
	json_object_del(j, "author");
	json_object_del(j, "comment");
	if (*in->author)
		json_object_set_new(j, "author", json_string(in->author));
	if (*in->message)
		json_object_set_new(j, "comment", json_string(in->message));
	char *text = json_text(j);
	if (!text || a->bad)
		return err_nomem(e);
	*out = text;
	return 0;
}

struct facts {
	const char *architecture, *variant, *os;
	struct rootfs rootfs;
};

static const struct json_field facts_table[] = {
	{"architecture", J_STR, offsetof(struct facts, architecture)},
	{"variant", J_STR, offsetof(struct facts, variant)},
	{"os", J_STR, offsetof(struct facts, os)},
	{"rootfs", J_OBJ, offsetof(struct facts, rootfs), 0, rootfs_table, sizeof(struct rootfs)},
	J_END,
};

int config_read(const char *text, size_t len, struct arena *a, struct config_facts *out, struct err *e)
{
	struct facts f = {.architecture = "", .variant = "", .os = "", .rootfs.type = ""};
	struct config_facts r = {};

	if (json_decode_text(text, len, facts_table, &f, a, e) < 0)
		return err_ctx(e, "image configuration");
	if (*f.os && !streq(f.os, "linux"))
		return err_as(e, ERR_INVALID,
			"image configuration: cannot load an image for operating system \"%.40s\" on linux", f.os);
	if (*f.rootfs.type && !streq(f.rootfs.type, "layers"))
		return err_as(e, ERR_INVALID, "image configuration: unknown rootfs type \"%.40s\"", f.rootfs.type);
	for (size_t i = 0; i < f.rootfs.diff_ids.n; i++)
		if (!ref_is_sha256(f.rootfs.diff_ids.v[i]))
			return err_as(e, ERR_INVALID, "image configuration: \"%.100s\" is not a sha256 diff id",
				f.rootfs.diff_ids.v[i]);
	if (f.rootfs.diff_ids.n == 0)
		return err_as(e, ERR_INVALID, "image configuration: rootfs.diff_ids is missing or empty");
	if (f.rootfs.diff_ids.n > LIMIT_LAYERS)
		return err_as(e, ERR_TOO_LARGE, "the image has %zu layers: at most %d are possible",
			f.rootfs.diff_ids.n, LIMIT_LAYERS);
	if (!STR_COPY(r.platform.os, "linux") || !STR_COPY(r.platform.arch, f.architecture) ||
		!STR_COPY(r.platform.variant, f.variant))
		return err_as(e, ERR_INVALID, "image configuration: the name of the architecture is too long");
	r.diff_ids = f.rootfs.diff_ids;
	*out = r;
	return 0;
}
