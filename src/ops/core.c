#include "ops/core.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "ops/announce.h"
#include "ops/container.h"
#include "ops/defaults.h"
#include "ops/events.h"
#include "ops/exits.h"
#include "ops/heal.h"
#include "ops/happen.h"
#include "ops/health.h"
#include "ops/host.h"
#include "ops/ports.h"
#include "ops/publish.h"
#include "ops/reconcile.h"
#include "ops/resolvers.h"
#include "ops/restart.h"

const struct world *core_read(struct core *c)
{
	pthread_rwlock_rdlock(&c->world_lock);
	return c->world;
}

void core_read_end(struct core *c)
{
	pthread_rwlock_unlock(&c->world_lock);
}

/* Writers must not starve while `ps` is polled in loops. */
static void init_locks(struct core *c)
{
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_mutex_init(&c->op_lock, NULL);
	pthread_mutex_init(&c->life_mutex, NULL);
	pthread_cond_init(&c->life_cond, NULL);
	pthread_rwlock_init(&c->world_lock, &attr);
	pthread_rwlock_init(&c->image_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static int own_id(struct core *c, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *id;
	try(store_get(c->store, "host.id", &a, &id, e));
	if (id) {
		STR_COPY(c->id, id);
		return 0;
	}
	random_id(c->id);
	return store_set(c->store, "host.id", c->id, e);
}

/* dockerd's directories have the same names: its containers would be taken for what is left of ours, and removed. */
static int check_root(const char *root, struct err *e)
{
	static const char *const dockerds[] = {"volumes/metadata.db", "network/files/local-kv.db"};
	char path[PATH_MAX];
	for (size_t i = 0; i < ARRAY_LEN(dockerds); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, dockerds[i]);
		if (access(path, F_OK) == 0)
			return err_as(e, ERR_CONFLICT, "data-root: %s is dockerd's (it holds %s): nothing was changed; give Pontoon a directory of its own", root, dockerds[i]);
	}
	return 0;
}

static int open_store(struct core *c, struct err *e)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/pontoon.db", c->conf->data_root);
	if (access(path, F_OK) < 0)
		try(check_root(c->conf->data_root, e));
	try(store_open(path, &c->store, e));
	try(store_load(c->store, &c->world, e));
	return own_id(c, e);
}

static int open_all(struct core *c, struct kernel *kernel, struct err *e)
{
	bool watched = !kernel; /* a test's own changes only what it is told to */
	c->kernel = kernel;
	try(mkdir_p(c->conf->data_root, 0710, e));
	try(mkdir_p(c->conf->exec_root, 0711, e));
	try(host_boot_id(c->boot_id, e));
	try(open_store(c, e));
	c->events = events_new();
	if (!c->events)
		return err_nomem(e);
	if (!c->kernel)
		try(kernel_new(&c->conf->net, &c->kernel, e));
	c->kernel->known = c->world;
	try(publish_open(c, e));
	try(announce_open(c, e));
	try(ports_open(c, e));
	try(exits_start(c, e));
	struct engine_conf ec = c->conf->engine;
	ec.on_exit = exits_put;
	ec.on_exec = exec_happened;
	ec.arg = c;
	try(engine_new(&ec, &c->engine, e));
	try(defaults_check(c, e));
	try(defaults_forwarding(c, e));
	if (watched)
		try(heal_open(c, e));
	try(reconcile_start(c, e));
	if (watched)
		try(heal_start(c, e));
	try(health_open(c, e));
	try(restarts_open(c, e));
	restarts_boot(c);
	try(resolvers_open(c, e));
	return 0;
}

int core_open(const struct core_conf *conf, struct kernel *kernel, struct core **out, struct err *e)
{
	struct core *c = calloc(1, sizeof(*c));
	if (!c) {
		if (kernel)
			kernel->free(kernel);
		return err_nomem(e);
	}
	c->conf = conf;
	c->started = clock_real_ns();
	init_locks(c);
	int r = open_all(c, kernel, e);
	if (r < 0) {
		core_close(c);
		return r;
	}
	*out = c;
	return 0;
}

void core_close(struct core *c)
{
	if (!c)
		return;
	c->ending = true;
	heal_stop(c);
	resolvers_close(c);
	restarts_stop(c);
	exits_stop(c);
	health_close(c);
	announce_close(c);
	restarts_free(c);
	ports_close(c);
	publish_close(c, !c->conf->live_restore);
	engine_free(c->engine);
	if (c->kernel)
		c->kernel->free(c->kernel);
	events_free(c->events);
	world_free(c->world);
	store_close(c->store);
	pthread_mutex_destroy(&c->op_lock);
	pthread_mutex_destroy(&c->life_mutex);
	pthread_cond_destroy(&c->life_cond);
	pthread_rwlock_destroy(&c->world_lock);
	pthread_rwlock_destroy(&c->image_lock);
	free(c);
}

#define STOP_STACK (256u << 10)

struct stop_job {
	struct core *core;
	const char *id;
};

static void *stop_one(void *arg)
{
	struct stop_job *j = arg;
	struct err e = {0};
	int r = container_stop_wait(j->core, j->id, j->core->conf->shutdown_timeout, NULL, &e);
	if (r < 0 && r != -EALREADY && r != -ENOENT)
		log_error("shutdown: stop %.12s: %s", j->id, e.msg);
	return NULL;
}

static int running_ids(struct core *c, struct arena *a, struct strv *out)
{
	const struct container *ct;
	const struct world *w = core_read(c);
	int r = 0;
	for (size_t i = 0; r >= 0 && (ct = world_next(w, NOUN_CONTAINER, &i));)
		if (container_is_running(ct))
			r = strv_add(a, out, ct->id);
	core_read_end(c);
	return r;
}

/* All at once: each may take its whole time-out. Those that get no thread are stopped one after the other. */
void core_shutdown(struct core *c)
{
	OWN(arena_free) struct arena a = {0};
	struct strv ids = {0};
	size_t n = 0;
	c->ending = true;
	restarts_stop(c);
	if (c->conf->live_restore)
		return;
	if (running_ids(c, &a, &ids) < 0)
		log_error("shutdown: out of memory: not all containers are stopped");
	pthread_t *threads = arena_new(&a, pthread_t, ids.n + 1);
	struct stop_job *jobs = arena_new(&a, struct stop_job, ids.n + 1), left = {.core = c};
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STOP_STACK);
	for (; threads && jobs && n < ids.n; n++) {
		jobs[n] = (struct stop_job){.core = c, .id = ids.v[n]};
		if (pthread_create(&threads[n], &attr, stop_one, &jobs[n]) != 0)
			break;
	}
	pthread_attr_destroy(&attr);
	for (size_t i = n; i < ids.n; i++) {
		left.id = ids.v[i];
		(void)stop_one(&left);
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}
