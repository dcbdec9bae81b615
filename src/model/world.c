/* Theory of operation
 *
 * A base world is one index. A fork is two: `now` holds what the fork puts, `hidden` the base's things that it changes
 * or deletes. What a fork shows is always "the base without hidden, and now", and since the trees count, that holds for
 * numbers, too. So a fork costs what it changes, a lookup O(log n), and nothing walks all things of a noun but
 * world_next.
 *
 * Memory is asked for when something is put or deleted. Merging moves the fork's entries into the base's trees: at that
 * point the store has committed, so there is no way back, and none is needed. tests/model/test_world.c compares with a
 * naive model. */
#include "model/world.h"

#include <errno.h>
#include <string.h>

#include "model/world_index.h"

struct world *world_new(void)
{
	return calloc(1, sizeof(struct world));
}

struct world *world_fork(const struct world *base)
{
	assert(!base->base);
	struct world *w = world_new();
	if (w)
		w->base = base;
	return w;
}

static struct entry *entry_new(struct thing *t)
{
	struct entry *e = calloc(1, sizeof(*e));
	if (e)
		e->thing = t;
	return e;
}

static void index_clear(struct index *x, bool owns_things)
{
	struct entry *e;
	for (int noun = 0; noun < NOUN_N; noun++) {
		while ((e = index_at(x, (enum noun)noun, ORDER_KEY, 0))) {
			index_del(x, e);
			if (owns_things)
				thing_unref(e->thing);
			free(e);
		}
	}
}

void world_free(struct world *w)
{
	if (!w)
		return;
	index_clear(&w->now, true);
	index_clear(&w->hidden, false);
	free(w);
}

void world_merge(struct world *base, struct world *fork)
{
	struct entry *e;
	assert(fork->base == base);
	/* What goes, goes first: a name may move from one thing to another in one fork. */
	for (int noun = 0; noun < NOUN_N; noun++) {
		while ((e = index_at(&fork->hidden, (enum noun)noun, ORDER_KEY, 0))) {
			struct entry *old = index_get(&base->now, (enum noun)noun, e->thing->key);
			index_del(&base->now, old);
			index_del(&fork->hidden, e);
			thing_unref(old->thing);
			free(old);
			free(e);
		}
	}
	for (int noun = 0; noun < NOUN_N; noun++) {
		while ((e = index_at(&fork->now, (enum noun)noun, ORDER_KEY, 0))) {
			index_del(&fork->now, e);
			index_add(&base->now, e);
		}
	}
	world_free(fork);
}

/* For a fork: the base's thing of that key that is still seen, or NULL. */
static struct entry *seen_in_base(const struct world *w, enum noun noun, const char *key)
{
	struct entry *e = w->base ? index_get(&w->base->now, noun, key) : NULL;
	return e && !index_get(&w->hidden, noun, key) ? e : NULL;
}

int world_put(struct world *w, void *thing, struct err *e)
{
	struct thing *t = thing;
	const struct entry *below = seen_in_base(w, t->noun, t->key);
	struct entry *old = index_get(&w->now, t->noun, t->key), *hide = below ? entry_new(below->thing) : NULL;
	struct entry *fresh = old ? NULL : entry_new(t);
	if ((below && !hide) || (!old && !fresh)) {
		free(hide);
		free(fresh);
		thing_unref(t);
		return err_nomem(e);
	}
	if (hide)
		index_add(&w->hidden, hide);
	if (old) {
		index_del(&w->now, old);
		thing_unref(old->thing);
		old->thing = t;
	}
	index_add(&w->now, old ? old : fresh);
	return 0;
}

int world_del(struct world *w, enum noun noun, const char *key, struct err *e)
{
	const struct entry *below = seen_in_base(w, noun, key);
	struct entry *old = index_get(&w->now, noun, key), *hide;
	if (!old && !below)
		return err_set(e, -ENOENT, "%s is not there", key);
	if (below) {
		hide = entry_new(below->thing);
		if (!hide)
			return err_nomem(e);
		index_add(&w->hidden, hide);
	}
	if (old) {
		index_del(&w->now, old);
		thing_unref(old->thing);
		free(old);
	}
	return 0;
}

const void *world_get(const struct world *w, enum noun noun, const char *key)
{
	const struct entry *e = index_get(&w->now, noun, key);
	if (!e)
		e = seen_in_base(w, noun, key);
	return e ? e->thing : NULL;
}

const struct network *world_network(const struct world *w, const char *id)
{
	return world_get(w, NOUN_NETWORK, id);
}

const struct container *world_container(const struct world *w, const char *id)
{
	return world_get(w, NOUN_CONTAINER, id);
}

const struct image *world_image(const struct world *w, const char *id)
{
	return world_get(w, NOUN_IMAGE, id);
}

const struct volume *world_volume(const struct world *w, const char *name)
{
	return world_get(w, NOUN_VOLUME, name);
}

const struct endpoint *world_endpoint(const struct world *w, const char *container, const char *network)
{
	char key[THING_KEY];
	endpoint_key(key, container, network);
	return world_get(w, NOUN_ENDPOINT, key);
}

/* The merged order of the base's things and the fork's: how many of the first k are the base's. */
static size_t split(const struct world *w, enum noun noun, int order, size_t k)
{
	size_t own = index_count(&w->now, noun), base = index_count(&w->base->now, noun);
	size_t lo = k > own ? k - own : 0, hi = k < base ? k : base;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct entry *b = index_at(&w->base->now, noun, order, mid),
				   *o = index_at(&w->now, noun, order, k - mid - 1);
		if (index_compare(order, b, o) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const void *world_next(const struct world *w, enum noun noun, size_t *i)
{
	int order = noun_has_seq(noun) ? ORDER_SEQ : ORDER_KEY;
	const struct entry *b, *o;
	if (!w->base) {
		o = index_at(&w->now, noun, order, (*i)++);
		return o ? o->thing : NULL;
	}
	for (;;) {
		size_t k = (*i)++, p = split(w, noun, order, k);
		b = index_at(&w->base->now, noun, order, p);
		o = index_at(&w->now, noun, order, k - p);
		if (!b || (o && index_compare(order, b, o) > 0))
			return o ? o->thing : NULL;
		if (!index_get(&w->hidden, noun, b->thing->key))
			return b->thing;
	}
}

size_t world_count(const struct world *w, enum noun noun)
{
	return index_count(&w->now, noun) +
	       (w->base ? index_count(&w->base->now, noun) - index_count(&w->hidden, noun) : 0);
}

static int64_t last_seq(const struct index *x, enum noun noun)
{
	size_t n = index_count(x, noun);
	const struct entry *e = n ? index_at(x, noun, ORDER_SEQ, n - 1) : NULL;
	return !e                     ? 0
	       : noun == NOUN_NETWORK ? ((const struct network *)e->thing)->seq
				      : ((const struct container *)e->thing)->seq;
}

int64_t world_next_seq(const struct world *w)
{
	static const enum noun with_seq[] = {NOUN_NETWORK, NOUN_CONTAINER};
	int64_t max = 0;
	for (size_t i = 0; i < ARRAY_LEN(with_seq); i++) {
		int64_t own = last_seq(&w->now, with_seq[i]), base = w->base ? last_seq(&w->base->now, with_seq[i]) : 0;
		max = own > max ? own : max;
		max = base > max ? base : max;
	}
	return max + 1;
}

int world_changes(const struct world *fork, struct arena *a, struct change **out, size_t *n)
{
	size_t most = 1, k = 0;
	for (int noun = 0; noun < NOUN_N; noun++)
		most += index_count(&fork->now, (enum noun)noun) + index_count(&fork->hidden, (enum noun)noun);
	struct change *v = arena_new(a, struct change, most);
	if (!v)
		return -ENOMEM;
	for (int noun = 0; noun < NOUN_N; noun++) {
		const struct entry *o, *h;
		for (size_t i = 0, j = 0;; k++) {
			o = index_at(&fork->now, (enum noun)noun, ORDER_KEY, i);
			h = index_at(&fork->hidden, (enum noun)noun, ORDER_KEY, j);
			if (!o && !h)
				break;
			int r = !o ? 1 : !h ? -1 : strcmp(o->thing->key, h->thing->key);
			i += r <= 0;
			j += r >= 0;
			v[k] = (struct change){.noun = (enum noun)noun,
				.before = r >= 0 ? h->thing : NULL,
				.after = r <= 0 ? o->thing : NULL};
			if (v[k].before == v[k].after)
				k--; /* put again as it was */
		}
	}
	*out = v;
	*n = k;
	return 0;
}
