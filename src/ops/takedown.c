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

/* What there is to do, or why nothing may be done. */
static int judge(struct core *c, struct arena *a, struct plan *out, struct err *e)
{
	struct kstate have = {.mem = a}, none = {.mem = a};
	try(kernel_foreign_dockerd(e));
	try(kernel_foreign_port(e));
	try(host_boot_id(c->boot_id, e));
	try(open_world(c, e));
	try(check_containers(c, e));
	try(kernel_new(&c->conf->net, &c->kernel, e));
	c->kernel->known = c->world;
	try(c->kernel->observe(c->kernel, KERNEL_ALL, a, &none, c->world, &have, e));
	return plan_diff(a, &have, &none, out, e);
}

int take_down(const struct core_conf *conf, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct core c = {.conf = conf};
	struct plan p;
	int r = judge(&c, &a, &p, e);
	if (r < 0) {
		err_ctx(e, "nothing is taken down");
	} else {
		r = reconcile_repair(&c, &a, &p, e);
		if (r < 0)
			err_ctx(e, "not all could be taken down");
	}
	if (c.kernel)
		c.kernel->free(c.kernel);
	world_free(c.world);
	store_close(c.store);
	return r;
}
