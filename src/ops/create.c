#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/health.h"
#include "net/join.h"
#include "net/links.h"
#include "ops/container.h"
#include "ops/ports.h"
#include "ops/volume.h"
#include "base/log.h"

/* Docker's merge of an image's configuration into a container's: what the user gave wins, lists of names are joined. */
static int merge_env(struct arena *a, struct config *own, const struct config *img)
{
	struct strv env = {0};
	for (size_t k = 0; k < own->env.n; k++)
		try(strv_add(a, &env, own->env.v[k]));
	for (size_t i = 0; i < img->env.n; i++) {
		size_t name = strcspn(img->env.v[i], "=");
		bool given = false;
		for (size_t k = 0; k < own->env.n && !given; k++)
			given = strncmp(own->env.v[k], img->env.v[i], name) == 0 &&
				(own->env.v[k][name] == '=' || own->env.v[k][name] == '\0');
		if (!given)
			try(strv_add(a, &env, img->env.v[i]));
	}
	own->env = env;
	return 0;
}

static int merge_set(struct arena *a, struct strv *own, const struct strv *img)
{
	for (size_t i = 0; i < img->n; i++)
		if (!strv_has(own, img->v[i]))
			try(strv_add(a, own, img->v[i]));
	return 0;
}

static int merge_image(struct arena *a, struct config *own, const struct config *img)
{
	if (str_empty(own->user))
		own->user = arena_dup(a, img->user);
	try(merge_set(a, &own->exposed_ports, &img->exposed_ports));
	try(merge_set(a, &own->volumes, &img->volumes));
	try(merge_env(a, own, img));
	for (size_t i = 0; i < img->labels.n; i++)
		if (!kvs_get(&own->labels, img->labels.v[i].key))
			try(kvs_set(a, &own->labels, img->labels.v[i].key, img->labels.v[i].value));
	if (own->entrypoint.n == 0 && !own->has_entrypoint) {
		if (own->cmd.n == 0) {
			own->cmd = strv_copy(a, &img->cmd);
			own->args_escaped = img->args_escaped;
		}
		own->entrypoint = strv_copy(a, &img->entrypoint);
	} else if (own->entrypoint.n == 1 && !*own->entrypoint.v[0]) {
		own->entrypoint = (struct strv){0}; /* --entrypoint "" : none at all */
	}
	if (str_empty(own->working_dir))
		own->working_dir = arena_dup(a, img->working_dir);
	if (str_empty(own->stop_signal))
		own->stop_signal = arena_dup(a, img->stop_signal);
	if (own->stop_timeout < 0)
		own->stop_timeout = img->stop_timeout;
	if (own->shell.n == 0)
		own->shell = strv_copy(a, &img->shell);
	try(health_merge(own, img, a));
	return a->bad ? -ENOMEM : 0;
}

static int check_name_free(const struct world *w, const char *name, const char *own_id, struct err *e)
{
	const struct container *other = world_container_by_name(w, name);
	if (!other || (own_id && streq(other->id, own_id)))
		return 0;
	return err_as(e, ERR_CONFLICT,
		"Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or rename) that container to be able to reuse that name.",
		name, other->id);
}

static int pick_name(const struct world *w, const char *asked, char out[static LIMIT_NAME + 1], struct err *e)
{
	if (!str_empty(asked)) {
		const char *name = *asked == '/' ? asked + 1 : asked;
		try(container_name_check(name, e));
		try(check_name_free(w, name, NULL, e));
		str_copy(out, LIMIT_NAME + 1, name);
		return 0;
	}
	for (int i = 0; i < 64; i++) {
		unsigned entropy;
		random_bytes(&entropy, sizeof(entropy));
		container_name_generate(entropy, out, LIMIT_NAME + 1);
		if (!world_container_by_name(w, out))
			return 0;
	}
	/* So many containers that the words ran out: a number always helps. */
	size_t n = strlen(out);
	unsigned entropy;
	random_bytes(&entropy, sizeof(entropy));
	snprintf(out + n, LIMIT_NAME + 1 - n, "_%u", entropy);
	return check_name_free(w, out, NULL, e);
}

struct creation {
	struct core *core;
	const char *asked, *platform;
	int minor;
	struct arena *a;
	struct strv *warnings;
	struct arena mem; /* of the spec */
	struct container_spec *spec;
	char id[ID_TEXT];
	char image[ID_TEXT];
	struct engine_layers layers;
	struct strv volumes, new_volumes; /* its own, locked; those of them that it makes */
};

/* Emulation may be there: what was not asked for is only told. */
static int judge_platform(struct creation *n, const struct image *img, struct err *e)
{
	struct platform host = platform_here(), have = image_platform(img), want;
	char actual[PLATFORM_TEXT], here[PLATFORM_TEXT];
	if (!str_empty(n->platform)) {
		try(platform_parse(n->platform, &host, &want, e));
		return image_fits(img, n->spec->config.image, &want, e);
	}
	if (!*have.arch || platform_match(&host, &have))
		return 0;
	const char *text = arena_printf(n->a, "The requested image's platform (%s) does not match the detected host platform (%s) and no specific platform was requested", platform_format(&have, actual), platform_format(&host, here));
	return !text || strv_add(n->a, n->warnings, text) < 0 ? err_nomem(e) : 0;
}

/* Reads the world once for the image: its configuration is merged, its layers are noted. */
static int use_image(struct creation *n, struct err *e)
{
	const struct world *w = core_read(n->core);
	const struct image *img;
	int r = world_find_image(w, n->spec->config.image ? n->spec->config.image : "", &img, e);
	if (r >= 0)
		r = judge_platform(n, img, e);
	if (r >= 0) {
		STR_COPY(n->image, img->id);
		r = merge_image(&n->mem, &n->spec->config, &img->config);
		if (r < 0)
			err_nomem(e);
	}
	if (r >= 0)
		r = container_layers(w, img, n->a, &n->layers, e);
	core_read_end(n->core);
	return r;
}

static int use_links(struct creation *n, const struct world *w, struct err *e)
{
	static const char old[] = "Links on the default bridge network are deprecated and will be removed in a future release. Use a custom network instead.";
	const char *mode = n->spec->host.network_mode;
	if (!n->spec->host.links.n || !(str_empty(mode) || streq(mode, "default") || streq(mode, "bridge")))
		return 0; /* elsewhere the endpoint has them, and the name server answers */
	try(links_resolve(w, n->spec, &n->mem, e));
	return strv_add(n->a, n->warnings, old) < 0 ? err_nomem(e) : 0;
}

static int create_in_world(struct creation *n, struct err *e)
{
	OWN(op_end) struct op op = {0};
	char name[LIMIT_NAME + 1];
	try(op_begin(n->core, "create", &op, e));
	op.durable = true;
	if (world_count(op.next, NOUN_CONTAINER) >= LIMIT_CONTAINERS)
		return err_as(e, ERR_UNAVAILABLE, "there are %d containers already: remove some first", LIMIT_CONTAINERS);
	if (!world_image(op.next, n->image))
		return err_as(e, ERR_NOT_FOUND, "No such image: %s", n->spec->config.image);
	try(pick_name(op.next, n->asked, name, e));
	try(use_links(n, op.next, e));
	struct container *c = container_new(n->id, name, n->spec, &n->mem);
	if (!c)
		return err_nomem(e);
	try(ports_warn(n->core, c, n->a, n->warnings, e));
	STR_COPY(c->image, n->image);
	c->created = clock_real_ns();
	c->seq = world_next_seq(op.next);
	op.about = c->id;
	try(world_put(op.next, c, e));
	try(join_configure(op.next, c, n->minor, e));
	try(volumes_put(&op, c->spec, &n->new_volumes, e));
	op_container_event(&op, c, "create", NULL);
	return op_commit(&op, e);
}

/* Where the mounts come from, all of them; the names of new anonymous volumes are made up here. */
static int resolve_mounts(struct creation *n, struct err *e)
{
	size_t k = mounts_names(n->spec);
	char(*names)[ID_TEXT] = arena_new_array(n->a, ID_TEXT, 1, k ? k : 1);
	if (!names)
		return err_nomem(e);
	for (size_t i = 0; i < k; i++)
		random_id(names[i]);
	int r = mounts_resolve(n->spec, core_read(n->core), names, &n->mem, e);
	core_read_end(n->core);
	return r < 0 ? r : volumes_names(n->spec, n->a, &n->volumes, e);
}

/* What lies on the disk comes before the row: directories, and the image's content in new volumes. The volumes are locked. */
static int create_locked(struct creation *n, struct err *e)
{
	struct engine *en = n->core->engine;
	struct err undo = {0};
	int r = engine_container_make(en, n->id, e);
	if (r >= 0)
		r = volumes_make(n->core, n->spec, &n->volumes, n->a, &n->new_volumes, e);
	if (r >= 0)
		r = engine_volumes_fill(en, n->spec, n->id, &n->layers, e);
	if (r >= 0)
		r = create_in_world(n, e);
	if (r >= 0) {
		volumes_settle(n->core, &n->new_volumes);
	} else {
		volumes_undo(n->core, &n->new_volumes);
		if (engine_container_unmake(en, n->id, &undo) < 0)
			log_warn("create: %s", undo.msg);
	}
	volumes_release(n->core, &n->volumes);
	return r;
}

/* What is found missing at the start only has been there now. 400: for 404 clients pull the image. */
static int check_joined(const struct world *w, const char *mode, struct err *e)
{
	const struct container *other;
	if (str_empty(mode) || !str_starts(mode, "container:"))
		return 0;
	int r = world_find_container(w, mode + strlen("container:"), &other, e);
	return r < 0 && e && e->kind == ERR_NOT_FOUND ? err_as(e, ERR_INVALID, "No such container: %s", mode + strlen("container:")) : r;
}

static int check_others(struct creation *n, struct err *e)
{
	const struct world *w = core_read(n->core);
	int r = check_joined(w, n->spec->host.pid_mode, e);
	if (r >= 0)
		r = check_joined(w, n->spec->host.ipc_mode, e);
	core_read_end(n->core);
	return r < 0 ? r : engine_binds_check(n->spec, e);
}

static int create_all(struct creation *n, struct err *e)
{
	try(resolve_mounts(n, e));
	try(check_others(n, e));
	try(volumes_lock(n->core, &n->volumes, e));
	int r = create_locked(n, e);
	volumes_unlock(n->core, &n->volumes);
	return r;
}

static int judge(struct creation *n, const json_t *body, struct err *e)
{
	struct strv warnings = {0};
	struct spec_host host;
	engine_host(n->core->engine, n->a, &host);
	host.minor = n->minor;
	try(spec_fall_back(n->spec, body, &n->core->conf->fallback, host.cgroup2, &n->mem, e));
	try(spec_check(n->spec, &host, &n->mem, &warnings, e));
	for (size_t i = 0; i < warnings.n; i++)
		if (strv_add(n->a, n->warnings, warnings.v[i]) < 0)
			return err_nomem(e);
	return 0;
}

/* What the daemon's configuration says of logging, where the request says nothing. */
static int use_log_default(struct creation *n, const json_t *body, struct err *e)
{
	const struct core_conf *conf = n->core->conf;
	struct host_config *h = &n->spec->host;
	const json_t *given = json_object_get(json_object_get(body, "HostConfig"), "LogConfig");
	if (str_empty(conf->log_driver))
		return 0;
	if (str_empty(json_string_value(json_object_get(given, "Type"))))
		h->log_type = arena_dup(&n->mem, conf->log_driver);
	for (size_t i = 0; h->log_type && streq(h->log_type, conf->log_driver) && i < conf->log_opts.n; i++)
		if (!kvs_get(&h->log_config_opts, conf->log_opts.v[i].key))
			(void)kvs_set(&n->mem, &h->log_config_opts, conf->log_opts.v[i].key, conf->log_opts.v[i].value);
	return n->mem.bad ? err_nomem(e) : 0;
}

/* The kernel has this limit no more; older clients still send it, newer versions of the API have dropped it. */
static int warn_kernel_memory(struct creation *n, const json_t *body, struct err *e)
{
	static const char text[] = "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
	if (n->minor >= 42 || json_integer_value(json_object_get(json_object_get(body, "HostConfig"), "KernelMemory")) <= 0)
		return 0;
	return strv_add(n->a, n->warnings, text) < 0 ? err_nomem(e) : 0;
}

int op_container_create(struct core *c, const char *name, const char *platform, const json_t *body, int minor, struct arena *a, char out_id[static ID_TEXT],
	struct strv *warnings, struct err *e)
{
	struct creation n = {.core = c, .asked = name, .platform = platform, .minor = minor, .a = a, .warnings = warnings};
	int64_t begun = clock_mono_ns();
	random_id(n.id);
	n.spec = arena_new(&n.mem, struct container_spec, 1);
	int r = n.spec ? spec_parse(body, &n.mem, n.spec, e) : err_nomem(e);
	if (r >= 0)
		r = fd_room(e);
	if (r >= 0)
		r = use_log_default(&n, body, e);
	if (r >= 0)
		r = judge(&n, body, e);
	if (r >= 0)
		r = warn_kernel_memory(&n, body, e);
	if (r >= 0)
		r = engine_check_runtime(c->engine, n.spec->host.runtime, e);
	if (r >= 0)
		r = use_image(&n, e);
	if (r >= 0 && n.spec->config.cmd.n == 0 && n.spec->config.entrypoint.n == 0)
		r = err_as(e, ERR_INVALID, "no command specified");
	if (r >= 0)
		r = create_all(&n, e);
	arena_free(&n.mem); /* empty when the container took it over */
	if (r < 0)
		return r;
	log_debug("phases create id=%.12s create=%lld", n.id, (long long)(clock_mono_ns() - begun) / 1000);
	memcpy(out_id, n.id, ID_TEXT);
	return 0;
}

int op_container_rename(struct core *c, const char *term, const char *name, struct err *e)
{
	char id[ID_TEXT];
	if (str_empty(name))
		return err_as(e, ERR_INVALID, "Neither old nor new names may be empty");
	if (*name == '/')
		name++;
	try(container_lock(c, term, id, e));
	OWN(op_end) struct op op = {0};
	struct container *next;
	int r = op_begin(c, "rename", &op, e);
	op.durable = true;
	if (r >= 0)
		r = container_name_check(name, e);
	if (r >= 0)
		r = container_edit(&op, id, &next, e);
	if (r >= 0) {
		char old[LIMIT_NAME + 2];
		snprintf(old, sizeof(old), "/%s", next->name);
		if (streq(next->name, name))
			r = err_as(e, ERR_INVALID, "Renaming a container with the same name as its current name");
		else
			r = check_name_free(op.next, name, id, e);
		STR_COPY(next->name, name);
		op.about = id;
		op_container_event(&op, next, "rename", "oldName", old, NULL);
		if (r < 0)
			thing_unref(next);
		else
			r = world_put(op.next, next, e);
		if (r >= 0)
			r = op_commit(&op, e);
	}
	op_end(&op);
	life_unlock(c, id);
	return r;
}
