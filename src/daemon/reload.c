#include "daemon/reload.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "ops/reload.h"

/* One that has been in use: it stays until the end, because somebody may be reading it. A few kilobytes a change. */
struct used {
	struct used *next;
	struct config_daemon config;
	struct core_conf core; /* what the daemon started with, but for what may change */
};

struct reload {
	int argc;
	char **argv;
	const struct config_daemon *first, *now;
	struct used *used;
};

struct reload *reload_new(int argc, char **argv, const struct config_daemon *first)
{
	struct reload *r = calloc(1, sizeof(*r));
	if (r)
		*r = (struct reload){.argc = argc, .argv = argv, .first = first, .now = first};
	return r;
}

static void used_free(struct used *u)
{
	config_free(&u->config);
	free(u);
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	for (struct used *u = r->used, *next; u; u = next) {
		next = u->next;
		used_free(u);
	}
	free(r);
}

static const char *joined(struct arena *a, const struct strv *l)
{
	OWN(own_buf) struct buf b = {0};
	for (size_t i = 0; i < l->n; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", l->v[i]);
	return arena_dup(a, buf_str(&b));
}

static int read_again(struct reload *r, struct used *u)
{
	if (config_read(&u->config, r->argc, r->argv) >= 0)
		return 0;
	for (size_t i = 0; i < u->config.errors.n; i++)
		log_error("SIGHUP: %s", u->config.errors.v[i]);
	log_error("SIGHUP: the configuration stays as it was");
	return -EINVAL;
}

/* What may change; everything else as at the start. */
static void merge(struct used *u, const struct config_daemon *first)
{
	const struct core_conf *n = &u->config.core;
	u->core = first->core;
	u->core.debug = n->debug;
	u->core.labels = n->labels;
	u->core.live_restore = n->live_restore;
	u->core.shutdown_timeout = n->shutdown_timeout;
	u->core.fallback = n->fallback;
	u->core.fallback.no_new_privileges = first->core.fallback.no_new_privileges;
	u->core.engine.runtimes = n->engine.runtimes;
	u->core.engine.default_runtime = n->engine.default_runtime;
	u->core.registry_mirrors = n->registry_mirrors;
	u->core.insecure_registries = n->insecure_registries;
	u->core.max_downloads = n->max_downloads;
	u->core.max_uploads = n->max_uploads;
	u->core.max_attempts = n->max_attempts;
}

static void set_level(const struct config_daemon *c)
{
	enum log_level level = LOG_L_INFO;
	(void)log_level_parse(c->log_level, &level);
	log_set_level(c->core.debug ? LOG_L_DEBUG : level);
}

void reload_run(struct reload *r, struct core *core)
{
	OWN(arena_free) struct arena a = {0};
	struct strv live = {0}, fixed = {0};
	struct err e = {0};
	struct used *u = calloc(1, sizeof(*u));
	if (!u || read_again(r, u) < 0) {
		if (u)
			used_free(u);
		return;
	}
	for (size_t i = 0; i < u->config.passed_over.n; i++)
		if (!strv_has(&r->now->passed_over, u->config.passed_over.v[i]))
			log_warn("SIGHUP: %s", u->config.passed_over.v[i]);
	int done = config_compare(r->now, &u->config, &a, &live, &fixed);
	if (done >= 0 && fixed.n)
		log_warn("SIGHUP: these take effect at the next start: %s", joined(&a, &fixed));
	merge(u, r->first);
	if (done >= 0)
		done = core_reload(core, live.n ? &u->core : core->conf, &e);
	if (done < 0)
		log_error("SIGHUP: %s", e.msg[0] ? e.msg : "out of memory");
	else
		log_info("SIGHUP: the configuration was read again, changed: %s", live.n ? joined(&a, &live) : "nothing");
	if (done < 0 || !live.n) {
		used_free(u);
		return;
	}
	set_level(&u->config);
	u->next = r->used;
	r->used = u;
	r->now = &u->config;
}
