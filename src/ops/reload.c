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

int core_reload(struct core *c, const struct core_conf *next, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	char name[HOST_NAME_MAX + 1] = "";
	struct event ev = {.type = "daemon", .action = "reload", .id = c->id, .time = clock_real_ns()};
	(void)gethostname(name, sizeof(name) - 1);
	engine_set_runtimes(c->engine, &next->engine.runtimes);
	c->conf = next;
	(void)kvs_set(&a, &ev.attributes, "name", name);
	(void)kvs_set(&a, &ev.attributes, "debug", next->debug ? "true" : "false");
	(void)kvs_set(&a, &ev.attributes, "default-runtime", next->engine.default_runtime);
	OWN(own_buf) struct buf hosts = {0};
	for (size_t i = 0; i < next->insecure_registries.n; i++)
		buf_printf(&hosts, "%s\"%s\"", i ? "," : "", next->insecure_registries.v[i]);
	(void)kvs_set(&a, &ev.attributes, "insecure-registries", arena_printf(&a, "[%s]", buf_str(&hosts)));
	(void)kvs_set(&a, &ev.attributes, "max-concurrent-downloads", arena_printf(&a, "%lld", (long long)next->max_downloads));
	(void)kvs_set(&a, &ev.attributes, "max-concurrent-uploads", arena_printf(&a, "%lld", (long long)next->max_uploads));
	(void)kvs_set(&a, &ev.attributes, "labels", list(&a, &next->labels, "="));
	(void)kvs_set(&a, &ev.attributes, "live-restore", next->live_restore ? "true" : "false");
	(void)kvs_set(&a, &ev.attributes, "runtimes", list(&a, &next->engine.runtimes, ":"));
	(void)kvs_set(&a, &ev.attributes, "shutdown-timeout", arena_printf(&a, "%d", next->shutdown_timeout));
	if (a.bad)
		return err_nomem(e);
	events_publish(c->events, &ev);
	return 0;
}
