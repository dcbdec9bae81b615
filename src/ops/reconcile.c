/* Theory of operation
 *
 * The store is the truth. After a crash three things can disagree with it: the kernel's network, the processes (conmon and the runtime
 * keep containers alive without us), and directories. In this order:
 *
 *   1. intents    an operation that did not finish: a "start" whose process may or may not exist. Its container goes back to not started.
 *                 Devices that it names and that the store does not know are removed with the kernel's difference, marked or not.
 *   2. processes  running ones that the store knows are adopted; exits that nobody recorded are recorded; everything unknown is ended
 *                 and removed, and so is what a removal left half done.
 *   3. networks   the predefined ones exist and follow the configuration.
 *   4. kernel     diff(observe, want) is applied, step by step: one that fails does not keep the others from being mended.
 *   5. images     directories that no row names are removed.
 *   6. volumes    directories and rows agree (ops/volume.c).
 *
 * tests/scenario/test_daemon.py kills daemons at any moment and then looks for what is left; tests/ops/test_fault.c fails every kernel step
 * of every verb. */
#include "ops/reconcile.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "engine/image_job.h"
#include "net/fw.h"
#include "net/join.h"
#include "net/plan.h"
#include "ops/container.h"
#include "ops/defaults.h"
#include "ops/host.h"
#include "ops/publish.h"
#include "ops/volume.h"

#define EXIT_UNKNOWN 255 /* what Docker shows for a container whose end nobody saw */

static void complain(const char *what, const struct err *e)
{
	log_error("reconcile: %s: %s", what, e->msg);
}

/* Saves a fork with no plan: the kernel is compared as a whole later. */
static int save_only(struct core *c, struct world *next, bool durable, struct err *e)
{
	int r = store_begin(c->store, durable, e);
	if (r >= 0)
		r = store_save(c->store, next, e);
	if (r >= 0)
		r = store_commit(c->store, e);
	if (r < 0) {
		store_rollback(c->store);
		world_free(next);
		return r;
	}
	world_merge(c->world, next);
	return 0;
}

static int settle_container(struct core *c, const struct container *now, const struct engine_found *f, bool half_started, struct err *e)
{
	bool same_boot = streq(now->boot_id, c->boot_id);
	bool live = f && f->running && !half_started && container_is_running(now) && same_boot;
	if (live && f->pid == now->pid)
		return engine_adopt(c->engine, now, e);
	bool was = container_is_running(now) || now->starting;
	if (f && (f->running || f->has_bundle || f->has_mount))
		try(engine_delete(c->engine, now->id, true, e));
	if (!was)
		return 0;
	struct world *next = world_fork(c->world);
	struct container *copy = next ? container_copy(now) : NULL;
	if (!copy) {
		world_free(next);
		return err_nomem(e);
	}
	if (container_is_running(now)) {
		copy->state = STATE_EXITED;
		copy->exit_code = f && f->exited ? f->exit_code : EXIT_UNKNOWN;
		copy->finished = f && f->exited ? f->exit_time : clock_real_ns();
	}
	copy->starting = false;
	copy->pid = copy->monitor_pid = 0;
	int r = world_put(next, copy, e);
	if (r >= 0)
		r = join_leave_all(next, now->id, e);
	if (r < 0) {
		world_free(next);
		return r;
	}
	return save_only(c, next, false, e);
}

/* Ids are copied first: settling changes the world. */
static int container_ids(struct core *c, struct arena *a, struct strv *out, struct err *e)
{
	const struct container *ct;
	for (size_t i = 0; (ct = world_next(c->world, NOUN_CONTAINER, &i));)
		if (strv_add(a, out, ct->id) < 0)
			return err_nomem(e);
	return 0;
}

static bool intent_names(const struct store_intent *it, size_t n, const char *container)
{
	for (size_t i = 0; i < n; i++)
		if (streq(it[i].verb, "start") && strstr(it[i].what, container))
			return true;
	return false;
}

/* As running, and of this boot: only such a container's processes may live on. */
static bool runs_by_store(void *arg, const char *id)
{
	const struct core *c = arg;
	const struct container *ct = world_container_by_prefix(c->world, id);
	return ct && container_is_running(ct) && streq(ct->boot_id, c->boot_id);
}

static int settle_all(struct core *c, struct arena *a, const struct store_intent *it, size_t nit, struct err *e)
{
	struct engine_found *found;
	struct strv ids = {0};
	size_t n;
	struct err stray = {0};
	if (engine_end_strays(c->engine, runs_by_store, c, &stray) < 0)
		complain("strays", &stray);
	try(engine_scan(c->engine, a, &found, &n, e));
	try(container_ids(c, a, &ids, e));
	for (size_t i = 0; i < n; i++) {
		struct err one = {0};
		if (world_container(c->world, found[i].id))
			continue;
		log_info("removing what is left of a container that the store does not know id=%.12s", found[i].id);
		if (engine_delete(c->engine, found[i].id, true, &one) < 0 || engine_container_unmake(c->engine, found[i].id, &one) < 0)
			complain("leftover container", &one);
	}
	OWN(map_free) struct map by_id = {0};
	for (size_t i = 0; i < n; i++)
		if (map_puts(&by_id, found[i].id, &found[i]) < 0)
			return err_nomem(e);
	for (size_t k = 0; k < ids.n; k++) {
		struct err one = {0};
		const struct engine_found *f = map_gets(&by_id, ids.v[k]);
		const struct container *ct = world_container(c->world, ids.v[k]);
		bool unfinished = intent_names(it, nit, ids.v[k]) && !container_is_running(ct);
		if (settle_container(c, ct, f, unfinished, &one) < 0)
			complain(ids.v[k], &one);
	}
	return 0;
}

/* Removals that a crash cut short, and --rm containers that have ended. */
static void finish_removals(struct core *c, struct arena *a)
{
	struct strv ids = {0};
	struct err e = {0};
	if (container_ids(c, a, &ids, &e) < 0)
		complain("removals", &e);
	for (size_t i = 0; i < ids.n; i++) {
		const struct container *ct = world_container(c->world, ids.v[i]);
		bool gone = ct->state == STATE_REMOVING || (ct->state == STATE_EXITED && ct->spec->host.auto_remove);
		if (!gone)
			continue;
		struct err one = {0};
		if (life_lock(c, ids.v[i], &one) < 0 || container_remove_locked(c, ids.v[i], ct->spec->host.auto_remove, &one) < 0)
			complain("finish a removal", &one);
		life_unlock(c, ids.v[i]);
	}
}

static void keep_rules(struct kstate *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		if (kobj_is_fw(&s->v[i]))
			s->v[n++] = s->v[i];
	s->n = n;
}

int reconcile_plan(struct core *c, unsigned parts, struct arena *a, struct plan *out, struct err *e)
{
	struct netconf *conf = arena_new(a, struct netconf, 1);
	struct kstate *have = arena_new(a, struct kstate, 1), *want = arena_new(a, struct kstate, 1);
	if (a->bad)
		return err_nomem(e);
	have->mem = want->mem = a;
	try(host_facts(c, a, conf, e));
	try(host_addrs(c, c->world, a, conf, e));
	try(want_all(c->world, conf, want, e));
	if (!(parts & KERNEL_REST))
		keep_rules(want);
	try(c->kernel->observe(c->kernel, parts, a, want, c->world, have, e));
	return plan_diff(a, have, want, out, e);
}

/* Every step that can be done is done; the first error is told, all are logged. */
int reconcile_repair(struct core *c, struct arena *a, const struct plan *p, struct err *e)
{
	int result = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct err one = {0};
		struct plan single = {.v = &p->v[i], .n = 1};
		if (kernel_apply(c->kernel, &single, &one) >= 0)
			continue;
		OWN(own_buf) struct buf text = {0};
		plan_text(&single, a, &text);
		log_error("reconcile: %s: %s", buf_str(&text), one.msg);
		if (result == 0) {
			result = one.code;
			if (e)
				*e = one;
		}
	}
	return result;
}

/* The devices that leftover intents name. */
static int claimed_things(const struct store_intent *it, size_t n, struct arena *a, struct strv *out, struct err *e)
{
	static const char *const kinds[] = {"devices", "ports"};
	for (size_t i = 0; i < n * ARRAY_LEN(kinds); i++) {
		OWN(own_json) json_t *j = NULL;
		size_t k;
		const json_t *device;
		const char *what = it[i / ARRAY_LEN(kinds)].what;
		if (json_parse(what, strlen(what), &j, NULL) < 0)
			continue; /* of another version */
		json_array_foreach(json_object_get(j, kinds[i % ARRAY_LEN(kinds)]), k, device)
		{
			const char *name = json_string_value(device);
			if (!str_empty(name) && strv_add(a, out, name) < 0)
				return err_nomem(e);
		}
	}
	return 0;
}

/* ports: those that were published before containers were found to have ended. */
static int reconcile_kernel(struct core *c, const struct store_intent *it, size_t nit, const struct strv *ports, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv claimed = strv_copy(&a, ports);
	try(claimed_things(it, nit, &a, &claimed, e));
	struct plan p;
	pthread_mutex_lock(&c->op_lock);
	c->kernel->claimed = &claimed;
	int r = reconcile_plan(c, KERNEL_ALL, &a, &p, e);
	c->kernel->claimed = NULL;
	if (r >= 0)
		r = reconcile_repair(c, &a, &p, e);
	pthread_mutex_unlock(&c->op_lock);
	return r;
}

/* The relay went on answering with what it had: now it gets what is so. */
static int reconcile_names(struct core *c, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct netconf conf;
	pthread_mutex_lock(&c->op_lock);
	int r = host_facts(c, &a, &conf, e);
	if (r >= 0)
		publish_all(c, &conf);
	pthread_mutex_unlock(&c->op_lock);
	return r;
}

static void sweep_layers(struct core *c, struct arena *a)
{
	struct strv dirs = {0};
	struct err e = {0};
	struct map known = {0};
	const struct layer *l;
	if (engine_layers_scan(c->engine, a, &dirs, &e) < 0) {
		complain("layers", &e);
		return;
	}
	int r = 0;
	for (size_t i = 0; r >= 0 && (l = world_next(c->world, NOUN_LAYER, &i));)
		r = map_puts(&known, l->dir, (void *)(uintptr_t)l);
	for (size_t i = 0; r >= 0 && i < dirs.n; i++) {
		if (map_gets(&known, dirs.v[i]))
			continue;
		if (engine_layer_remove(c->engine, dirs.v[i], &e) < 0)
			complain("leftover layer", &e);
	}
	map_free(&known);
}

static int drop_intents(struct core *c, const struct store_intent *it, size_t n, struct err *e)
{
	if (!n)
		return 0;
	int r = store_begin(c->store, false, e);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = store_intent_del(c->store, it[i].id, e);
	if (r >= 0)
		r = store_commit(c->store, e);
	if (r < 0)
		store_rollback(c->store);
	return r;
}

int reconcile_start(struct core *c, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct store_intent *it;
	struct err one = {0};
	struct strv ports = {0};
	const struct port *p;
	size_t nit;
	try(store_intents(c->store, &a, &it, &nit, e));
	for (size_t i = 0; (p = world_next(c->world, NOUN_PORT, &i));)
		if (fw_port_claims(p, &a, &ports) < 0)
			return err_nomem(e);
	try(settle_all(c, &a, it, nit, e));
	finish_removals(c, &a);
	if (defaults_networks(c, &one) < 0)
		complain("predefined networks", &one);
	c->unmended = reconcile_kernel(c, it, nit, &ports, &one) < 0;
	if (c->unmended)
		log_warn("the kernel's network is not all as it should be: `pontoon doctor` tells more");
	if (reconcile_names(c, &one) < 0)
		complain("names", &one);
	sweep_layers(c, &a);
	volumes_reconcile(c);
	return drop_intents(c, it, nit, e);
}
