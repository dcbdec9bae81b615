/* Theory of operation
 *
 * A base world has every thing in a map by key and in the indexes of world_index.c. A fork has only slots: what it puts or deletes. A
 * lookup in a fork asks its slots first, then the base. Operations change few things, so whatever a fork's own slots need is a linear
 * walk over them; what the base needs goes through its indexes. Nothing ever walks all things of a noun but world_next.
 *
 * Merging moves the slots into the base. At that point the store has committed, so there is no way back: if memory runs out there, the
 * process ends, and the next start loads what was committed. */
#include "model/world.h"

#include <errno.h>
#include <stdlib.h>

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

static void free_slots(struct world *w)
{
	for (size_t i = 0; i < w->nslots; i++) {
		thing_unref(w->slots[i]->now);
		free(w->slots[i]);
	}
	free(w->slots);
}

void world_free(struct world *w)
{
	struct map_entry *e;
	if (!w)
		return;
	if (w->base) {
		free_slots(w);
	} else {
		index_free(&w->index);
		for (int n = 0; n < NOUN_N; n++)
			for (size_t i = 0; (e = map_next(&w->things[n], &i));)
				thing_unref(e->value);
	}
	for (int n = 0; n < NOUN_N; n++)
		map_free(&w->things[n]);
	free(w);
}

static int base_set(struct world *w, enum noun noun, const char *key, struct thing *t)
{
	struct thing *old = map_gets(&w->things[noun], key);
	int r = 0;
	if (old) {
		r = index_del(&w->index, old);
		map_dels(&w->things[noun], old->key);
	}
	if (r >= 0 && t)
		r = map_puts(&w->things[noun], t->key, t);
	if (r >= 0 && t)
		r = index_add(&w->index, t);
	thing_unref(old);
	return r;
}

void world_merge(struct world *base, struct world *fork)
{
	assert(fork->base == base);
	/* Deletions first: a name may move from one thing to another in one fork. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < fork->nslots; i++) {
			struct slot *s = fork->slots[i];
			if (pass == 0 && map_gets(&base->things[s->noun], s->key) != s->now && base_set(base, s->noun, s->key, NULL) < 0)
				abort();
			if (pass == 1 && s->now && map_gets(&base->things[s->noun], s->key) != s->now && base_set(base, s->noun, s->key, thing_ref(s->now)) < 0)
				abort();
		}
	}
	world_free(fork);
}

const struct slot *world_slot(const struct world *w, enum noun noun, const char *key)
{
	return w->base ? map_gets(&w->things[noun], key) : NULL;
}

static int slot_set(struct world *w, enum noun noun, const char *key, struct thing *t)
{
	struct slot *s = map_gets(&w->things[noun], key);
	if (!s) {
		if (w->nslots == w->cap) {
			size_t cap = w->cap ? w->cap * 2 : 8;
			struct slot **v = realloc(w->slots, cap * sizeof(*v));
			if (!v)
				return -ENOMEM;
			w->slots = v;
			w->cap = cap;
		}
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		STR_COPY(s->key, key);
		s->noun = noun;
		if (map_puts(&w->things[noun], s->key, s) < 0) {
			free(s);
			return -ENOMEM;
		}
		w->slots[w->nslots++] = s;
	}
	thing_unref(s->now);
	s->now = t;
	return 0;
}

int world_put(struct world *w, void *thing, struct err *e)
{
	struct thing *t = thing;
	int r;
	if (w->base) {
		r = slot_set(w, t->noun, t->key, t);
		if (r < 0)
			thing_unref(t);
	} else {
		r = base_set(w, t->noun, t->key, t); /* it has taken the reference as soon as it is in the map; a half-filled index cannot be used */
	}
	return r < 0 ? err_nomem(e) : 0;
}

int world_del(struct world *w, enum noun noun, const char *key, struct err *e)
{
	char own[THING_KEY]; /* the key may belong to the thing that goes */
	STR_COPY(own, key);
	if (!world_get(w, noun, own))
		return err_set(e, -ENOENT, "%s is not there", own);
	int r = w->base ? slot_set(w, noun, own, NULL) : base_set(w, noun, own, NULL);
	return r < 0 ? err_nomem(e) : 0;
}

const void *world_get(const struct world *w, enum noun noun, const char *key)
{
	if (!w->base)
		return map_gets(&w->things[noun], key);
	const struct slot *s = world_slot(w, noun, key);
	return s ? s->now : map_gets(&w->base->things[noun], key);
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

const struct endpoint *world_endpoint(const struct world *w, const char *container, const char *network)
{
	char key[THING_KEY];
	endpoint_key(key, container, network);
	return world_get(w, NOUN_ENDPOINT, key);
}

static const void *by_name(const struct world *w, enum noun noun, const char *name)
{
	const struct world *base = w->base ? w->base : w;
	for (size_t i = 0; i < w->nslots; i++) {
		const struct slot *s = w->slots[i];
		if (s->noun == noun && s->now && streq(thing_name(s->now), name))
			return s->now;
	}
	const struct thing *t = map_gets(&base->index.by_name[noun == NOUN_CONTAINER], name);
	return t && !world_slot(w, noun, t->key) ? t : NULL;
}

const struct network *world_network_by_name(const struct world *w, const char *name)
{
	return by_name(w, NOUN_NETWORK, name);
}

const struct container *world_container_by_name(const struct world *w, const char *name)
{
	return by_name(w, NOUN_CONTAINER, name);
}

const void *world_next(const struct world *w, enum noun noun, size_t *i)
{
	const struct world *base = w->base ? w->base : w;
	const struct vec *v = base->index.by_seq[noun].n ? &base->index.by_seq[noun] : &base->index.by_id[noun];
	while (*i < v->n) {
		const struct thing *t = v->v[(*i)++];
		const struct slot *s = world_slot(w, noun, t->key);
		if (!s)
			return t;
		if (s->now)
			return s->now; /* changed: it keeps its place */
	}
	while (*i - v->n < w->nslots) {
		const struct slot *s = w->slots[(*i)++ - v->n];
		if (s->noun == noun && s->now && !map_gets(&base->things[noun], s->key))
			return s->now;
	}
	return NULL;
}

size_t world_count(const struct world *w, enum noun noun)
{
	const struct world *base = w->base ? w->base : w;
	size_t n = base->things[noun].n;
	for (size_t i = 0; i < w->nslots; i++) {
		const struct slot *s = w->slots[i];
		if (s->noun == noun)
			n += (s->now != NULL) - (map_gets(&base->things[noun], s->key) != NULL);
	}
	return n;
}

int64_t world_next_seq(const struct world *w)
{
	static const enum noun with_seq[] = {NOUN_NETWORK, NOUN_CONTAINER};
	const struct world *base = w->base ? w->base : w;
	int64_t max = 0;
	for (size_t k = 0; k < ARRAY_LEN(with_seq); k++) {
		const struct vec *v = &base->index.by_seq[with_seq[k]];
		if (v->n && thing_seq(v->v[v->n - 1]) > max)
			max = thing_seq(v->v[v->n - 1]);
	}
	for (size_t i = 0; i < w->nslots; i++)
		if (w->slots[i]->now && thing_seq(w->slots[i]->now) > max)
			max = thing_seq(w->slots[i]->now);
	return max + 1;
}

static int order_changes(const void *x, const void *y)
{
	const struct change *a = x, *b = y;
	const struct thing *s = a->after ? a->after : a->before, *t = b->after ? b->after : b->before;
	return a->noun != b->noun ? (a->noun < b->noun ? -1 : 1) : strcmp(s->key, t->key);
}

int world_changes(const struct world *fork, struct arena *a, struct change **out, size_t *n)
{
	struct change *v = arena_new(a, struct change, fork->nslots + 1);
	size_t k = 0;
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < fork->nslots; i++) {
		const struct slot *s = fork->slots[i];
		const void *before = map_gets(&fork->base->things[s->noun], s->key);
		if (before != s->now)
			v[k++] = (struct change){.noun = s->noun, .before = before, .after = s->now};
	}
	qsort(v, k, sizeof(*v), order_changes);
	*out = v;
	*n = k;
	return 0;
}
