/* Theory of operation
 *
 * Both states are sorted by (kind, key) and merged. What is only wanted is added, what is only there is deleted, what differs is changed
 * in place where the kernel can do that, and made anew where it cannot (a veth's ends).
 *
 * Deleting a namespace or a link takes what is in it or on it along: those objects become `implied` by that step, in making order, so
 * that the step's inverse makes them again. A link that is made anew drags its unchanged children with it in the same way.
 *
 * Order of steps: what is made anew goes first; then additions and changes by kind; then deletions by kind, backwards. All changes of one
 * firewall table are one step, placed where the table's first addition would be, else among the deletions. */
#include "net/plan.h"

#include <errno.h>
#include <stdlib.h>

enum fate { KEEP, ADD, DEL, CHANGE, RENEW };

struct pair {
	const struct kobj *have, *want;
	enum fate fate;
	bool implied; /* the deletion of `have` is */
};

struct diff {
	struct arena *a;
	struct pair *v;
	size_t n;
	struct plan *out;
	size_t cap;
};

static bool is_fw(const struct kobj *o)
{
	return o->kind == K_CHAIN || o->kind == K_RULE || o->kind == K_POLICY;
}

/* Never taken away: what belongs to the host or the user once it is there. */
static bool is_permanent(const struct kobj *o)
{
	return o->kind == K_HOSTCTL || o->kind == K_POLICY || (o->kind == K_CHAIN && o->chain.keep) || (o->kind == K_BRIDGE && o->bridge.adopt);
}

static bool needs_renewal(const struct kobj *want, const struct kobj *have)
{
	if (want->kind != K_VETH)
		return false;
	const char *wm = want->veth.master ? want->veth.master : "", *hm = have->veth.master ? have->veth.master : "";
	return !streq(want->ns, have->ns ? have->ns : "") || !streq(want->veth.inner, have->veth.inner) || !streq(wm, hm) ||
	       (mac_is_set(&want->veth.mac) && memcmp(&want->veth.mac, &have->veth.mac, sizeof(struct mac)) != 0);
}

static int pair_up(struct diff *d, struct kstate *have, struct kstate *want)
{
	kstate_sort(have);
	kstate_sort(want);
	d->v = arena_new(d->a, struct pair, have->n + want->n + 1);
	if (!d->v)
		return -ENOMEM;
	for (size_t i = 0, k = 0; i < have->n || k < want->n;) {
		struct pair *p = &d->v[d->n++];
		int c = i == have->n ? 1 : k == want->n ? -1 : kobj_cmp_key(&have->v[i], &want->v[k]);
		if (c <= 0)
			p->have = &have->v[i++];
		if (c >= 0)
			p->want = &want->v[k++];
		if (!p->want)
			p->fate = is_permanent(p->have) ? KEEP : DEL;
		else if (!p->have)
			p->fate = ADD;
		else if (kobj_equal(p->want, p->have))
			p->fate = KEEP;
		else
			p->fate = needs_renewal(p->want, p->have) ? RENEW : CHANGE;
	}
	return 0;
}

static bool same_ns(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

/* Is `o` on the link `name` in `ns`? */
static bool on_link(const struct kobj *o, const char *ns, const char *name)
{
	switch (o->kind) {
	case K_ADDR:
		return same_ns(o->ns, ns) && streq(o->addr.link, name);
	case K_UP:
		return same_ns(o->ns, ns) && streq(o->up.link, name);
	case K_ROUTE:
		return same_ns(o->ns, ns) && streq(o->route.link, name);
	case K_NSCTL: {
		/* .../conf/NAME/x: the directory goes with the link */
		size_t n = strlen(name);
		const char *p = same_ns(o->ns, ns) ? strstr(o->ctl.path, name) : NULL;
		return p && p > o->ctl.path && p[-1] == '/' && p[n] == '/';
	}
	case K_NETNS:
	case K_BRIDGE:
	case K_VETH:
	case K_FILE:
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_HOSTCTL:
	case K_KIND_N:
		break;
	}
	return false;
}

/* Does `o` vanish when `gone` is deleted? */
static bool vanishes(const struct kobj *o, const struct kobj *gone)
{
	if (o == gone)
		return false;
	switch (gone->kind) {
	case K_NETNS:
		return o->kind != K_FILE && o->ns && streq(o->ns, gone->ns);
	case K_VETH:
		return on_link(o, NULL, gone->veth.name) || (gone->ns && on_link(o, gone->ns, gone->veth.inner));
	case K_BRIDGE:
		return on_link(o, NULL, gone->bridge.name);
	case K_NSCTL:
	case K_ADDR:
	case K_FILE:
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_UP:
	case K_ROUTE:
	case K_HOSTCTL:
	case K_KIND_N:
		break;
	}
	return false;
}

static struct step *add_step(struct diff *d)
{
	return &d->out->v[d->out->n++];
}

/* The deletion of one object with all that goes along, directly or through a link that goes along. */
static int delete_step(struct diff *d, struct pair *p, struct err *e)
{
	struct step s = {.op = STEP_DEL, .before = p->have};
	s.implied = arena_new(d->a, const struct kobj *, d->n + 1);
	if (!s.implied)
		return err_nomem(e);
	for (size_t i = 0; i < d->n; i++) {
		struct pair *q = &d->v[i];
		if (!q->have || q->implied || q == p)
			continue;
		bool goes = vanishes(q->have, p->have);
		for (size_t k = 0; !goes && k < s.nimplied; k++)
			goes = vanishes(q->have, s.implied[k]);
		if (!goes)
			continue;
		q->implied = true;
		if (q->fate == KEEP || q->fate == CHANGE || q->fate == RENEW)
			q->fate = q->want ? ADD : DEL; /* it has to be made again */
		s.implied[s.nimplied++] = q->have;
	}
	p->implied = true; /* done */
	*add_step(d) = s;
	return 0;
}

static bool takes_along(const struct kobj *o)
{
	return o->kind == K_NETNS || o->kind == K_VETH || o->kind == K_BRIDGE;
}

static int fw_step(struct diff *d, enum fw_family f, enum fw_table t, struct err *e)
{
	struct step s = {.op = STEP_FW, .family = f, .table = t};
	s.fw = arena_new(d->a, struct fw_change, d->n * 2 + 1);
	if (!s.fw)
		return err_nomem(e);
	/* Deletions first; within them rules before chains; additions: chains before rules. pair order is chains, rules, policies. */
	for (size_t i = d->n; i-- > 0;) {
		struct pair *p = &d->v[i];
		const struct kobj *o = p->have;
		if (!o || !is_fw(o) || o->chain.family != f || (o->kind != K_POLICY && o->chain.table != t) || (o->kind == K_POLICY && t != FW_FILTER))
			continue;
		if (p->fate == DEL || (p->fate == CHANGE && o->kind == K_RULE))
			s.fw[s.nfw++] = (struct fw_change){.add = false, .o = o};
	}
	for (size_t i = 0; i < d->n; i++) {
		struct pair *p = &d->v[i];
		const struct kobj *o = p->want;
		if (!o || !is_fw(o) || o->chain.family != f || (o->kind != K_POLICY && o->chain.table != t) || (o->kind == K_POLICY && t != FW_FILTER))
			continue;
		if (p->fate == ADD || p->fate == CHANGE)
			s.fw[s.nfw++] = (struct fw_change){.add = true, .o = o, .old = p->have};
	}
	if (s.nfw)
		*add_step(d) = s;
	return 0;
}

/* Does the table get anything new? */
static bool fw_adds(const struct diff *d, enum fw_family f, enum fw_table t)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct kobj *o = d->v[i].want;
		bool changes = d->v[i].fate == ADD || d->v[i].fate == CHANGE;
		if (changes && o && is_fw(o) && o->chain.family == f && (o->kind == K_POLICY ? t == FW_FILTER : o->chain.table == t))
			return true;
	}
	return false;
}

static int fw_steps(struct diff *d, bool adding, struct err *e)
{
	for (int f = 0; f < FW_FAMILY_N; f++)
		for (int t = 0; t < FW_TABLE_N; t++)
			if (fw_adds(d, (enum fw_family)f, (enum fw_table)t) == adding)
				try(fw_step(d, (enum fw_family)f, (enum fw_table)t, e));
	return 0;
}

static int additions(struct diff *d, struct err *e)
{
	for (int kind = 0; kind < K_KIND_N; kind++) {
		if (kind == K_CHAIN)
			try(fw_steps(d, true, e));
		for (size_t i = 0; i < d->n; i++) {
			const struct pair *p = &d->v[i];
			if (!p->want || (int)p->want->kind != kind || is_fw(p->want))
				continue;
			if (p->fate == ADD || p->fate == RENEW)
				*add_step(d) = (struct step){.op = STEP_ADD, .after = p->want};
			else if (p->fate == CHANGE)
				*add_step(d) = (struct step){.op = STEP_CHANGE, .before = p->have, .after = p->want};
		}
	}
	return 0;
}

static int deletions(struct diff *d, struct err *e)
{
	/* What takes others along claims them first, the largest first; the steps themselves come last. */
	size_t mark = d->out->n;
	for (int kind = 0; kind < K_NSCTL; kind++)
		for (size_t i = 0; i < d->n; i++)
			if (d->v[i].have && (int)d->v[i].have->kind == kind && d->v[i].fate == DEL && !d->v[i].implied)
				try(delete_step(d, &d->v[i], e));
	size_t claimed = d->out->n - mark;
	struct step *kept = arena_new(d->a, struct step, claimed + 1);
	if (!kept)
		return err_nomem(e);
	memcpy(kept, &d->out->v[mark], claimed * sizeof(*kept));
	d->out->n = mark;
	try(fw_steps(d, false, e));
	for (int kind = K_KIND_N - 1; kind >= K_NSCTL; kind--)
		for (size_t i = d->n; i-- > 0;)
			if (d->v[i].have && (int)d->v[i].have->kind == kind && d->v[i].fate == DEL && !d->v[i].implied && !is_fw(d->v[i].have))
				try(delete_step(d, &d->v[i], e));
	for (size_t i = claimed; i-- > 0;)
		*add_step(d) = kept[i];
	return 0;
}

int plan_diff(struct arena *a, struct kstate *have, struct kstate *want, struct plan *out, struct err *e)
{
	struct diff d = {.a = a, .out = out};
	*out = (struct plan){0};
	if (pair_up(&d, have, want) < 0)
		return err_nomem(e);
	out->v = arena_new(a, struct step, d.n * 2 + FW_FAMILY_N * FW_TABLE_N + 1);
	if (!out->v)
		return err_nomem(e);
	for (size_t i = 0; i < d.n; i++)
		if (d.v[i].fate == RENEW && takes_along(d.v[i].have))
			try(delete_step(&d, &d.v[i], e));
	try(additions(&d, e));
	return deletions(&d, e);
}

static int inverse_fw(struct arena *a, const struct step *s, struct step *out, struct err *e)
{
	struct fw_change *v = arena_new(a, struct fw_change, s->nfw + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < s->nfw; i++) {
		const struct fw_change *c = &s->fw[s->nfw - 1 - i];
		v[i] = (struct fw_change){.add = !c->add, .o = c->o};
		if (c->o->kind == K_POLICY) /* back to what it was */
			v[i] = (struct fw_change){.add = true, .o = c->old ? c->old : c->o, .old = c->o};
	}
	*out = *s;
	out->fw = v;
	return 0;
}

int plan_inverse(struct arena *a, const struct step *s, struct step **out, size_t *n, struct err *e)
{
	struct step *v = arena_new(a, struct step, s->nimplied + 1);
	size_t k = 0;
	if (!v)
		return err_nomem(e);
	switch (s->op) {
	case STEP_ADD:
		v[k++] = (struct step){.op = STEP_DEL, .before = s->after};
		break;
	case STEP_CHANGE:
		v[k++] = (struct step){.op = STEP_CHANGE, .before = s->after, .after = s->before};
		break;
	case STEP_FW:
		try(inverse_fw(a, s, &v[k++], e));
		break;
	case STEP_DEL:
		v[k++] = (struct step){.op = STEP_ADD, .after = s->before};
		for (size_t i = 0; i < s->nimplied; i++)
			v[k++] = (struct step){.op = STEP_ADD, .after = s->implied[i]};
		break;
	}
	*out = v;
	*n = k;
	return 0;
}

void plan_text(const struct plan *p, struct arena *a, struct buf *out)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct step *s = &p->v[i];
		switch (s->op) {
		case STEP_ADD:
			buf_printf(out, "+ %s\n", kobj_text(s->after, a));
			break;
		case STEP_DEL:
			buf_printf(out, "- %s\n", kobj_text(s->before, a));
			for (size_t k = 0; k < s->nimplied; k++)
				buf_printf(out, "  - %s\n", kobj_text(s->implied[k], a));
			break;
		case STEP_CHANGE:
			buf_printf(out, "~ %s\n", kobj_text(s->after, a));
			break;
		case STEP_FW:
			for (size_t k = 0; k < s->nfw; k++)
				buf_printf(out, "%c %s\n", s->fw[k].add ? '+' : '-', kobj_text(s->fw[k].o, a));
			break;
		}
	}
}
