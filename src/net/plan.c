/* Theory of operation
 *
 * Both states are sorted by (kind, key) and merged. What is only wanted is added, what is only there is deleted, what
 * differs is changed in place where the kernel can do that, and made anew where it cannot (a veth's ends: where they
 * are, the inner name and MAC).
 *
 * Deleting a namespace or a link takes what is in it or on it along: those objects become `implied` by that step, in
 * making order, so that the step's inverse makes them again. What is made anew drags its unchanged children with it in
 * the same way.
 *
 * Order of steps:
 *
 *   1. what must go first: veths that are made anew, and what is in the way: a socket on a port, a veth's end whose name a new one takes,
 * an address. Linux deletes the secondary addresses of a subnet with its primary (net/ipv4/devinet.c, __inet_del_ifa),
 * so "add the new, then delete the old" would end with neither; and with the last IPv4 address of a link all its IPv4
 * routes go (net/ipv4/fib_frontend.c, fib_disable_ip).
 *   2. additions and changes by kind; a firewall family's whole change is one step, at the place of chains when it adds
 * anything,
 *   3. else here, before deletions: rules go before the links that they name,
 *   4. deletions of single things by kind, backwards, then of what takes others along: namespaces, veths, bridges.
 * Bridges come last, because undoing in reverse makes them first, and the ports of the others need them.
 *
 * tests/net/test_plan.c proves it with a toy kernel that has these habits: for random states, apply(diff(a, b)) on a
 * gives b, and undoing any prefix gives a. */
#include "net/plan.h"

#include <errno.h>
#include <stdlib.h>

enum fate { KEEP, ADD, DEL, CHANGE, RENEW };

struct pair {
	const struct kobj *have, *want;
	enum fate fate;
	bool gone; /* `have`: its deletion is in the plan, as a step or implied by one */
};

struct diff {
	struct arena *a;
	struct pair *v;
	size_t n;
	struct plan *out;
	size_t cap;
};

/* Never taken away: what belongs to the host or the user once it is there. */
static bool is_permanent(const struct kobj *o)
{
	return o->kind == K_HOSTCTL || o->kind == K_POLICY || (o->kind == K_CHAIN && o->chain.keep) ||
	       (o->kind == K_BRIDGE && o->bridge.adopt) || (o->kind == K_UP && o->up.keep);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? streq(a, b) : str_empty(a) && str_empty(b);
}

static bool needs_renewal(const struct kobj *want, const struct kobj *have)
{
	if (want->kind == K_LISTEN)
		return want->listen.dual != have->listen.dual || want->listen.count != have->listen.count;
	if (want->kind != K_VETH)
		return false;
	return !same_text(want->ns, have->ns) || !same_text(want->veth.inner, have->veth.inner) ||
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

/* Is `o` on the link `name` in `ns`? */
static bool on_link(const struct kobj *o, const char *ns, const char *name)
{
	switch (o->kind) {
	case K_ADDR:
		return same_text(o->ns, ns) && streq(o->addr.link, name);
	case K_UP:
		return same_text(o->ns, ns) && streq(o->up.link, name);
	case K_ROUTE:
		return same_text(o->ns, ns) && streq(o->route.link, name);
	case K_NSCTL: {
		/* .../conf/NAME/x: the directory goes with the link */
		size_t n = strlen(name);
		const char *p = same_text(o->ns, ns) ? strstr(o->ctl.path, name) : NULL;
		return p && p > o->ctl.path && p[-1] == '/' && p[n] == '/';
	}
	case K_LISTEN:
	case K_NETNS:
	case K_BRIDGE:
	case K_VETH:
	case K_FILE:
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_NFT_TABLE:
	case K_NFT_ELEM:
	case K_FLOWS:
	case K_HOSTCTL:
	case K_DNS:
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
		return o->kind != K_FILE && o->kind != K_DNS && o->ns && streq(o->ns, gone->ns);
	case K_VETH:
		return on_link(o, NULL, gone->veth.name) || (gone->ns && on_link(o, gone->ns, gone->veth.inner));
	case K_BRIDGE:
		return on_link(o, NULL, gone->bridge.name);
	case K_LISTEN:
	case K_NSCTL:
	case K_ADDR:
	case K_FILE:
	case K_CHAIN:
	case K_RULE:
	case K_POLICY:
	case K_NFT_TABLE:
	case K_NFT_ELEM:
	case K_FLOWS:
	case K_UP:
	case K_ROUTE:
	case K_HOSTCTL:
	case K_DNS:
	case K_KIND_N:
		break;
	}
	return false;
}

static struct step *add_step(struct diff *d)
{
	return &d->out->v[d->out->n++];
}

static bool takes_along(const struct kobj *o)
{
	return o->kind == K_NETNS || o->kind == K_VETH || o->kind == K_BRIDGE;
}

/* The last IPv4 address of its link, as far as the plan has come? */
static bool is_last_v4(const struct diff *d, const struct kobj *o)
{
	if (o->kind != K_ADDR || o->addr.addr.ip.family != AF_INET)
		return false;
	for (size_t i = 0; i < d->n; i++) {
		const struct kobj *q = d->v[i].have;
		if (q && q != o && q->kind == K_ADDR && !d->v[i].gone && q->addr.addr.ip.family == AF_INET &&
			on_link(q, o->ns, o->addr.link))
			return false;
	}
	return true;
}

static bool routes_through(const struct kobj *o, const struct kobj *addr)
{
	return o->kind == K_ROUTE && o->route.dst.ip.family == AF_INET && on_link(o, addr->ns, addr->addr.link);
}

static bool box_goes(const struct diff *d, const struct kobj *o)
{
	for (size_t i = 0; o->kind == K_DNS && i < d->n; i++) {
		const struct pair *p = &d->v[i];
		if (p->have && p->have->kind == K_NETNS && p->fate == DEL && streq(p->have->ns, o->ns))
			return true;
	}
	return false;
}

/* The deletion of one object with all that goes along, directly or through a link that goes along. `late`: additions
 * and changes are done, so that only what is to be deleted is still as it was. */
static int delete_step(struct diff *d, struct pair *p, bool late, struct err *e)
{
	struct step s = {.op = STEP_DEL, .before = p->have, .box_goes = box_goes(d, p->have)};
	bool last_address = is_last_v4(d, p->have);
	p->gone = true;
	if (takes_along(p->have) || last_address) {
		s.implied = arena_new(d->a, const struct kobj *, d->n + 1);
		if (!s.implied)
			return err_nomem(e);
	}
	for (size_t i = 0; s.implied && i < d->n; i++) {
		struct pair *q = &d->v[i];
		if (!q->have || q->gone || kobj_is_fw(q->have) || (late && q->fate != DEL))
			continue;
		bool goes = vanishes(q->have, p->have) || (last_address && routes_through(q->have, p->have));
		for (size_t k = 0; !goes && k < s.nimplied; k++)
			goes = takes_along(s.implied[k]) && vanishes(q->have, s.implied[k]);
		if (!goes)
			continue;
		q->gone = true;
		q->fate = q->want ? ADD : DEL; /* what is wanted has to be made again */
		s.implied[s.nimplied++] = q->have;
	}
	*add_step(d) = s;
	return 0;
}

static bool in_family(const struct kobj *o, enum fw_family f)
{
	if (o->kind == K_NFT_TABLE || o->kind == K_NFT_ELEM)
		return f == FW_NFT;
	if (o->kind == K_POLICY)
		return o->policy.family == f;
	if (o->kind == K_CHAIN)
		return o->chain.family == f;
	return o->kind == K_RULE && o->rule.family == f;
}

static int fw_step(struct diff *d, enum fw_family f, struct err *e)
{
	struct step s = {.op = STEP_FW, .family = f};
	s.fw = arena_new(d->a, struct fw_change, d->n * 2 + 1);
	if (!s.fw)
		return err_nomem(e);
	/* Deletions first; within them rules before chains; additions: chains before rules. pair order is chains,
	 * rules, policies. */
	for (size_t i = d->n; i-- > 0;) {
		struct pair *p = &d->v[i];
		const struct kobj *o = p->have;
		if (!o || !in_family(o, f))
			continue;
		if (p->fate == DEL || (p->fate == CHANGE && (o->kind == K_RULE || o->kind == K_NFT_ELEM)))
			s.fw[s.nfw++] = (struct fw_change){.add = false, .o = o};
	}
	for (size_t i = 0; i < d->n; i++) {
		struct pair *p = &d->v[i];
		const struct kobj *o = p->want;
		if (!o || !in_family(o, f))
			continue;
		if (p->fate == ADD || p->fate == CHANGE)
			s.fw[s.nfw++] = (struct fw_change){.add = true, .o = o, .old = p->have};
	}
	if (s.nfw)
		*add_step(d) = s;
	return 0;
}

/* Does the family get anything new? */
static bool fw_adds(const struct diff *d, enum fw_family f)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct kobj *o = d->v[i].want;
		bool changes = d->v[i].fate == ADD || d->v[i].fate == CHANGE;
		if (changes && o && in_family(o, f))
			return true;
	}
	return false;
}

static int fw_steps(struct diff *d, bool adding, struct err *e)
{
	for (int f = FW_V4; f <= FW_NFT; f++)
		if (fw_adds(d, (enum fw_family)f) == adding)
			try(fw_step(d, (enum fw_family)f, e));
	return 0;
}

static int additions(struct diff *d, struct err *e)
{
	for (int kind = 0; kind < K_KIND_N; kind++) {
		if (kind == K_CHAIN)
			try(fw_steps(d, true, e));
		for (size_t i = 0; i < d->n; i++) {
			const struct pair *p = &d->v[i];
			if (!p->want || (int)p->want->kind != kind || kobj_is_fw(p->want))
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
	static const enum kobj_kind along[] = {K_NETNS, K_VETH, K_BRIDGE};
	/* What takes others along claims them before the others get steps of their own; its own steps come last. */
	struct plan whole = *d->out, claims = {.v = arena_new(d->a, struct step, d->n + 1)};
	if (!claims.v)
		return err_nomem(e);
	*d->out = claims;
	for (size_t k = 0; k < ARRAY_LEN(along); k++)
		for (size_t i = 0; i < d->n; i++)
			if (d->v[i].have && d->v[i].have->kind == along[k] && d->v[i].fate == DEL && !d->v[i].gone)
				try(delete_step(d, &d->v[i], true, e));
	claims = *d->out;
	*d->out = whole;
	try(fw_steps(d, false, e));
	for (int kind = K_KIND_N - 1; kind >= 0; kind--)
		for (size_t i = d->n; i-- > 0;)
			if (d->v[i].have && (int)d->v[i].have->kind == kind && d->v[i].fate == DEL && !d->v[i].gone &&
				!kobj_is_fw(d->v[i].have))
				try(delete_step(d, &d->v[i], true, e));
	for (size_t i = 0; i < claims.n; i++)
		*add_step(d) = claims.v[i];
	return 0;
}

static bool listen_overlap(const struct kobj *a, const struct kobj *b)
{
	bool families = a->listen.ip.family == b->listen.ip.family || a->listen.dual || b->listen.dual;
	bool place = ip_is_unspecified(&a->listen.ip) || ip_is_unspecified(&b->listen.ip) || ip_eq(&a->listen.ip, &b->listen.ip);
	return a->listen.proto == b->listen.proto && families && place && a->listen.port < b->listen.port + b->listen.count && b->listen.port < a->listen.port + a->listen.count;
}

/* Is `o` in the way of what comes? A socket on the same port, an address on the same link, or the same address elsewhere; a veth's end of the same
 * name in the same sandbox. */
static bool in_the_way(const struct diff *d, const struct kobj *o)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct kobj *w = d->v[i].want;
		bool comes = d->v[i].fate == ADD || d->v[i].fate == RENEW;
		if (!w || !comes || w->kind != o->kind || !same_text(w->ns, o->ns))
			continue;
		if (o->kind == K_LISTEN && listen_overlap(w, o))
			return true;
		if (o->kind == K_VETH && streq(w->veth.inner, o->veth.inner))
			return true;
		if (o->kind == K_ADDR && prefix_overlap(&w->addr.addr, &o->addr.addr) &&
			(streq(w->addr.link, o->addr.link) || ip_eq(&w->addr.addr.ip, &o->addr.addr.ip)))
			return true;
	}
	return false;
}

static int first_deletions(struct diff *d, struct err *e)
{
	static const enum kobj_kind kinds[] = {K_LISTEN, K_VETH, K_ADDR};
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t i = 0; i < d->n; i++) {
			struct pair *p = &d->v[i];
			bool first = p->have && !p->gone && p->have->kind == kinds[k] &&
				     (p->fate == RENEW || (p->fate == DEL && in_the_way(d, p->have)));
			if (first)
				try(delete_step(d, p, false, e));
		}
	}
	return 0;
}

int plan_diff(struct arena *a, struct kstate *have, struct kstate *want, struct plan *out, struct err *e)
{
	struct plan plan = {0};
	struct diff d = {.a = a, .out = &plan};
	if (pair_up(&d, have, want) < 0)
		return err_nomem(e);
	plan.v = arena_new(a, struct step, d.n * 2 + FW_NFT + 2);
	if (!plan.v)
		return err_nomem(e);
	try(first_deletions(&d, e));
	try(additions(&d, e));
	try(deletions(&d, e));
	*out = plan;
	return 0;
}

static const struct kobj *accept_policy(struct arena *a, const struct kobj *o)
{
	struct kobj *p = arena_new(a, struct kobj, 1);
	if (!p)
		return NULL;
	*p = *o;
	p->policy.value = "ACCEPT";
	return p;
}

static int inverse_fw(struct arena *a, const struct step *s, struct step *out, struct err *e)
{
	struct fw_change *v = arena_new(a, struct fw_change, s->nfw + 1);
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < s->nfw; i++) {
		const struct fw_change *c = &s->fw[s->nfw - 1 - i];
		v[i] = (struct fw_change){.add = !c->add, .o = c->o};
		if (c->o->kind == K_POLICY) /* back to what it was; ACCEPT, as the kernel makes it, when the table did
					       not exist yet */
			v[i] = (struct fw_change){
				.add = true, .o = c->old ? c->old : accept_policy(a, c->o), .old = c->o};
		if (!v[i].o)
			return err_nomem(e);
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
