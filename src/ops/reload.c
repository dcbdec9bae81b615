#include "ops/reload.h"

#include <unistd.h>

#include "ops/events.h"

static const char *list(struct arena *a, const struct kvs *m, const char *between)
{
	OWN(own_buf) struct buf b = {0};
	for (size_t i = 0; i < m->n; i++)
		buf_printf(&b, "%s\"%s%s%s\"", i ? "," : "", m->v[i].key, between, m->v[i].value);
	return arena_printf(a, "[%s]", buf_str(&b));
}

static const char *texts(struct arena *a, const struct strv *l)
{
	OWN(own_buf) struct buf b = {0};
	for (size_t i = 0; i < l->n; i++)
		buf_printf(&b, "%s\"%s\"", i ? "," : "", l->v[i]);
	return arena_printf(a, "[%s]", buf_str(&b));
}

int core_reload(struct core *c, const struct core_conf *next, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	char name[HOST_NAME_MAX + 1] = "";
	struct event ev = {.type = "daemon", .action = "reload", .id = c->id, .time = clock_real_ns()};
	(void)gethostname(name, sizeof(name) - 1);
	struct engine_info info;
	try(engine_set_runtimes(c->engine, &next->engine.runtimes, next->engine.default_runtime, e));
	engine_info(c->engine, &info);
	c->conf = next;
	(void)kvs_set(&a, &ev.attributes, "name", name);
	(void)kvs_set(&a, &ev.attributes, "debug", next->debug ? "true" : "false");
	(void)kvs_set(&a, &ev.attributes, "default-runtime", info.runtime);
	(void)kvs_set(&a, &ev.attributes, "insecure-registries", texts(&a, &next->insecure_registries));
	(void)kvs_set(&a, &ev.attributes, "registry-mirrors", texts(&a, &next->registry_mirrors));
	(void)kvs_set(&a, &ev.attributes, "max-concurrent-downloads", arena_printf(&a, "%lld", (long long)next->max_downloads));
	(void)kvs_set(&a, &ev.attributes, "max-concurrent-uploads", arena_printf(&a, "%lld", (long long)next->max_uploads));
	(void)kvs_set(&a, &ev.attributes, "max-download-attempts", arena_printf(&a, "%lld", (long long)next->max_attempts));
	(void)kvs_set(&a, &ev.attributes, "default-shm-size", arena_printf(&a, "%lld", (long long)next->fallback.shm_size));
	(void)kvs_set(&a, &ev.attributes, "default-ipc-mode", next->fallback.ipc_mode);
	(void)kvs_set(&a, &ev.attributes, "default-cgroupns-mode", !str_empty(next->fallback.cgroupns_mode) ? next->fallback.cgroupns_mode : info.cgroup_version == 2 ? "private" : "host");
	(void)kvs_set(&a, &ev.attributes, "labels", list(&a, &next->labels, "="));
	(void)kvs_set(&a, &ev.attributes, "live-restore", next->live_restore ? "true" : "false");
	(void)kvs_set(&a, &ev.attributes, "runtimes", list(&a, &next->engine.runtimes, ":"));
	(void)kvs_set(&a, &ev.attributes, "shutdown-timeout", arena_printf(&a, "%d", next->shutdown_timeout));
	if (a.bad)
		return err_nomem(e);
	events_publish(c->events, &ev);
	return 0;
}
