#include "ops/takedown.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "ops/host.h"
#include "ops/reconcile.h"

static int check_containers(const struct core *c, struct err *e)
{
	const struct container *ct;
	for (size_t i = 0; (ct = world_next(c->world, NOUN_CONTAINER, &i));)
		if (container_is_running(ct) && streq(ct->boot_id, c->boot_id))
			return err_as(e, ERR_CONFLICT, "container %s runs: start pontoond and stop it first", ct->name);
	return 0;
}

static int remove_all(struct core *c, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct kstate have = {.mem = &a}, none = {.mem = &a};
	struct plan p;
	try(check_containers(c, e));
	try(c->kernel->observe(c->kernel, KERNEL_ALL, &a, &none, c->world, &have, e));
	try(plan_diff(&a, &have, &none, &p, e));
	return reconcile_repair(c, &a, &p, e);
}

/* Without a store, bridges say whose they are all the same. */
static int open_world(struct core *c, struct err *e)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/pontoon.db", c->conf->data_root);
	if (access(path, F_OK) < 0) {
		c->world = world_new();
		return c->world ? 0 : err_nomem(e);
	}
	try(store_open(path, &c->store, e));
	return store_load(c->store, &c->world, e);
}

int take_down(const struct core_conf *conf, struct err *e)
{
	struct core c = {.conf = conf};
	int r = kernel_foreign_dockerd(e);
	if (r >= 0)
		r = kernel_foreign_port(e);
	if (r >= 0)
		r = host_boot_id(c.boot_id, e);
	if (r >= 0)
		r = open_world(&c, e);
	if (r >= 0)
		r = kernel_new(&conf->net, &c.kernel, e);
	if (r >= 0) {
		c.kernel->known = c.world;
		r = remove_all(&c, e);
	}
	if (c.kernel)
		c.kernel->free(c.kernel);
	world_free(c.world);
	store_close(c.store);
	return r;
}
