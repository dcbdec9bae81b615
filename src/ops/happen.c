#include "ops/happen.h"

#include "ops/events.h"

void event_of_container(struct core *c, const struct container *ct, const char *action, const char *k1, const char *v1, const char *k2, const char *v2)
{
	OWN(arena_free) struct arena a = {0};
	struct event ev = {.type = "container", .action = action, .id = ct->id, .attributes = kvs_copy(&a, &ct->spec->config.labels), .time = clock_real_ns()};
	(void)kvs_set(&a, &ev.attributes, "image", ct->spec->config.image ? ct->spec->config.image : "");
	(void)kvs_set(&a, &ev.attributes, "name", ct->name);
	if (k1)
		(void)kvs_set(&a, &ev.attributes, k1, v1);
	if (k2)
		(void)kvs_set(&a, &ev.attributes, k2, v2);
	if (!a.bad)
		events_publish(c->events, &ev);
}

void event_of_image(struct core *c, const struct image *img, const char *action)
{
	OWN(arena_free) struct arena a = {0};
	struct event ev = {.type = "image", .action = action, .id = arena_printf(&a, "sha256:%s", img->id), .attributes = kvs_copy(&a, &img->config.labels), .time = clock_real_ns()};
	(void)kvs_set(&a, &ev.attributes, "name", ev.id ? ev.id : "");
	if (!a.bad)
		events_publish(c->events, &ev);
}

void event_of_prune(struct core *c, const char *type, int64_t freed)
{
	OWN(arena_free) struct arena a = {0};
	struct event ev = {.type = type, .action = "prune", .id = "", .time = clock_real_ns()};
	(void)kvs_set(&a, &ev.attributes, "reclaimed", arena_printf(&a, "%lld", (long long)freed));
	if (!a.bad)
		events_publish(c->events, &ev);
}

const char *exec_action(const char *what, const struct strv *cmd, struct arena *a)
{
	const char *text = arena_printf(a, "%s: ", what);
	for (size_t i = 0; text && i < cmd->n; i++)
		text = arena_printf(a, "%s%s%s", text, i ? " " : "", cmd->v[i]);
	return text ? text : what;
}

void exec_happened(void *core, const char *container, const char *exec, const char *what, int code)
{
	OWN(arena_free) struct arena a = {0};
	struct core *c = core;
	struct exec_info info;
	char number[16];
	const struct container *ct = world_container(core_read(c), container);
	snprintf(number, sizeof(number), "%d", code);
	if (ct && streq(what, "exec_die"))
		event_of_container(c, ct, what, "execID", exec, "exitCode", number);
	else if (ct && engine_exec_info(c->engine, exec, &a, &info, NULL) >= 0)
		event_of_container(c, ct, exec_action(what, &info.spec.cmd, &a), "execID", exec, NULL, NULL);
	core_read_end(c);
}
