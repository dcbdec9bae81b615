#include <errno.h>

#include "base/log.h"
#include "net/plan.h"
#include "ops/host.h"
#include "ops/reconcile.h"

static const char *unit_text(struct arena *a, const struct world *w, const struct unit *u)
{
	switch (u->kind) {
	case UNIT_HOST:
		return "host";
	case UNIT_NETWORK: {
		const struct network *n = world_network(w, u->id);
		return arena_printf(a, "network %s", n ? n->name : u->id);
	}
	case UNIT_SANDBOX: {
		const struct container *ct = world_container(w, u->id);
		return arena_printf(a, "container %s", ct ? ct->name : u->id);
	}
	case UNIT_ENDPOINT:
		return arena_printf(a, "endpoint %.12s", u->id ? u->id : "");
	case UNIT_N:
		break;
	}
	return "";
}

struct list {
	struct arena *a;
	const struct world *w;
	struct difference *v;
	size_t n, cap;
};

static void add(struct list *l, const struct kobj *have, const struct kobj *want)
{
	if (l->n == l->cap)
		return; /* cannot be: cap counts every object of the plan */
	const struct kobj *o = want ? want : have;
	l->v[l->n++] = (struct difference){
		.unit = unit_text(l->a, l->w, &o->unit),
		.kind = have && want ? "different" : want ? "missing" : "leftover",
		.object = kobj_text(o, l->a),
		.want = want ? kobj_text(want, l->a) : "",
		.have = have ? kobj_text(have, l->a) : "",
	};
}

static void list_step(struct list *l, const struct step *s)
{
	if (s->op != STEP_FW) {
		add(l, s->before, s->after);
		return;
	}
	for (size_t i = 0; i < s->nfw; i++)
		add(l, s->fw[i].add ? s->fw[i].old : s->fw[i].o, s->fw[i].add ? s->fw[i].o : NULL);
}

int doctor_list(struct core *c, const struct plan *p, struct arena *a, struct difference **out, size_t *n, struct err *e)
{
	struct list l = {.a = a, .w = c->world};
	for (size_t i = 0; i < p->n; i++)
		l.cap += p->v[i].op == STEP_FW ? p->v[i].nfw : 1;
	l.v = arena_new(a, struct difference, l.cap ? l.cap : 1);
	if (!l.v)
		return err_nomem(e);
	for (size_t i = 0; i < p->n; i++)
		list_step(&l, &p->v[i]);
	*out = l.v;
	*n = l.n;
	return a->bad ? err_nomem(e) : 0;
}

int op_doctor(struct core *c, bool repair, struct arena *a, struct difference **out, size_t *n, struct err *e)
{
	struct plan p;
	pthread_mutex_lock(&c->op_lock);
	int r = reconcile_plan(c, KERNEL_ALL, a, &p, e);
	if (r >= 0)
		r = doctor_list(c, &p, a, out, n, e);
	if (r >= 0 && repair)
		r = reconcile_repair(c, a, &p, e);
	pthread_mutex_unlock(&c->op_lock);
	return r;
}

int op_exposure(struct core *c, struct arena *a, struct exposure **out, size_t *n, struct err *e)
{
	struct netconf conf;
	pthread_mutex_lock(&c->op_lock);
	int r = host_facts(c, a, &conf, e);
	if (r >= 0)
		r = host_addrs(c, c->world, a, &conf, e);
	if (r >= 0)
		r = exposure_list(c->world, &conf, a, out, n, e);
	pthread_mutex_unlock(&c->op_lock);
	return r;
}
