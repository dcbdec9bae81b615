#include <errno.h>
#include <stdlib.h>

#include "kernel/kernel.h"

/* Takes steps n-1 .. 0 back. Goes on after a failure: each undo stands for itself. */
static int undo(struct kernel *k, const struct plan *p, size_t n, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	int result = 0;
	while (n-- > 0) {
		struct step *back;
		size_t count;
		struct err one = {0};
		int r = plan_inverse(&a, &p->v[n], &back, &count, &one);
		for (size_t i = 0; r >= 0 && i < count; i++)
			r = k->run(k, &back[i], &one);
		if (r < 0 && result == 0) {
			result = r;
			if (e)
				*e = one;
		}
	}
	return result;
}

static void done(struct kernel *k)
{
	if (k->done)
		k->done(k);
}

static int apply(struct kernel *k, const struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		int r = k->run(k, &p->v[i], e);
		if (r >= 0)
			continue;
		struct err back = {0};
		if (undo(k, p, i, &back) < 0 && e) {
			size_t n = strlen(e->msg);
			snprintf(e->msg + n, sizeof(e->msg) - n, " (and taking back failed: %.512s)", back.msg);
		}
		return r;
	}
	return 0;
}

int kernel_apply(struct kernel *k, const struct plan *p, struct err *e)
{
	int r = apply(k, p, e);
	done(k);
	return r;
}

int kernel_undo(struct kernel *k, const struct plan *p, struct err *e)
{
	int r = undo(k, p, p->n, e);
	done(k);
	return r;
}

int kernel_host_routes(struct kernel *k, struct arena *a, struct prefix **out, size_t *n, struct err *e)
{
	*out = NULL;
	*n = 0;
	return k->routes ? k->routes(k, a, out, n, e) : 0;
}

int kernel_host_addrs(struct kernel *k, struct arena *a, struct host_addr **out, size_t *n, struct err *e)
{
	*out = NULL;
	*n = 0;
	return k->addrs ? k->addrs(k, a, out, n, e) : 0;
}

int kernel_link_kind(struct kernel *k, const char *name, enum link_kind *out, struct err *e)
{
	*out = LINK_NONE;
	return k->link ? k->link(k, name, out, e) : 0;
}

struct faulty {
	struct kernel ops;
	struct kernel *inner;
	unsigned fail_at, runs;
	bool after;
};

static int faulty_run(struct kernel *ops, const struct step *s, struct err *e)
{
	struct faulty *f = (struct faulty *)ops;
	bool now = ++f->runs == f->fail_at;
	f->inner->known = ops->known;
	f->inner->dns = ops->dns;
	f->inner->claimed = ops->claimed;
	f->inner->ports = ops->ports;
	if (now && !f->after)
		return err_set(e, -EIO, "injected failure");
	int r = f->inner->run(f->inner, s, e);
	if (r < 0 || !now)
		return r;
	/* "A failed step leaves nothing": what was done is taken back here, as a real failure half-way would be. */
	struct plan one = {.v = (struct step *)(uintptr_t)s, .n = 1};
	struct err back = {0};
	if (undo(f->inner, &one, 1, &back) < 0)
		return err_set(e, -EIO, "injected failure, and it could not be taken back: %s", back.msg);
	return err_set(e, -EIO, "injected failure");
}

static void faulty_done(struct kernel *ops)
{
	done(((struct faulty *)ops)->inner);
}

static int faulty_observe(struct kernel *ops, unsigned parts, struct arena *a, const struct kstate *want, const struct world *known, struct kstate *out, struct err *e)
{
	struct faulty *f = (struct faulty *)ops;
	return f->inner->observe(f->inner, parts, a, want, known, out, e);
}

static int faulty_routes(struct kernel *ops, struct arena *a, struct prefix **out, size_t *n, struct err *e)
{
	return kernel_host_routes(((struct faulty *)ops)->inner, a, out, n, e);
}

static int faulty_addrs(struct kernel *ops, struct arena *a, struct host_addr **out, size_t *n, struct err *e)
{
	return kernel_host_addrs(((struct faulty *)ops)->inner, a, out, n, e);
}

static int faulty_link(struct kernel *ops, const char *name, enum link_kind *out, struct err *e)
{
	return kernel_link_kind(((struct faulty *)ops)->inner, name, out, e);
}

static void faulty_free(struct kernel *ops)
{
	struct faulty *f = (struct faulty *)ops;
	f->inner->free(f->inner);
	free(f);
}

struct kernel *kernel_faulty(struct kernel *inner, unsigned n, bool after)
{
	struct faulty *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct faulty){.ops = {.run = faulty_run, .done = faulty_done, .observe = faulty_observe, .routes = faulty_routes, .addrs = faulty_addrs, .link = faulty_link, .free = faulty_free}, .inner = inner, .fail_at = n, .after = after};
	return &f->ops;
}

unsigned kernel_faulty_runs(const struct kernel *k)
{
	return ((const struct faulty *)k)->runs;
}
