#include "model/world_index.h"

#include <errno.h>
#include <stdlib.h>

int64_t thing_seq(const struct thing *t)
{
	if (t->noun == NOUN_NETWORK)
		return ((const struct network *)t)->seq;
	if (t->noun == NOUN_CONTAINER)
		return ((const struct container *)t)->seq;
	return 0;
}

const char *thing_name(const struct thing *t)
{
	if (t->noun == NOUN_NETWORK)
		return ((const struct network *)t)->name;
	if (t->noun == NOUN_CONTAINER)
		return ((const struct container *)t)->name;
	return NULL;
}

typedef int (*order)(const struct thing *a, const struct thing *b);

static int order_key(const struct thing *a, const struct thing *b)
{
	return strcmp(a->key, b->key);
}

static int order_seq(const struct thing *a, const struct thing *b)
{
	int64_t x = thing_seq(a), y = thing_seq(b);
	return x != y ? (x < y ? -1 : 1) : order_key(a, b);
}

static size_t vec_find(const struct vec *v, const struct thing *t, order cmp)
{
	size_t lo = 0, hi = v->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (cmp(v->v[mid], t) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int vec_add(struct vec *v, struct thing *t, order cmp)
{
	if (v->n == v->cap) {
		size_t cap = v->cap ? v->cap * 2 : 4;
		void **p = realloc(v->v, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		v->v = p;
		v->cap = cap;
	}
	size_t i = vec_find(v, t, cmp);
	memmove(&v->v[i + 1], &v->v[i], (v->n - i) * sizeof(*v->v));
	v->v[i] = t;
	v->n++;
	return 0;
}

static void vec_del(struct vec *v, const struct thing *t, order cmp)
{
	size_t i = vec_find(v, t, cmp);
	assert(i < v->n && v->v[i] == t);
	memmove(&v->v[i], &v->v[i + 1], (v->n - i - 1) * sizeof(*v->v));
	v->n--;
}

size_t index_lower(const struct vec *v, const char *key)
{
	size_t lo = 0, hi = v->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(((const struct thing *)v->v[mid])->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct group *index_group(const struct map *m, const char *key)
{
	return map_gets(m, key);
}

static int group_add(struct map *m, const char *key, struct thing *t)
{
	struct group *g = map_gets(m, key);
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return -ENOMEM;
		STR_COPY(g->key, key);
		if (map_puts(m, g->key, g) < 0) {
			free(g);
			return -ENOMEM;
		}
	}
	return vec_add(&g->things, t, order_key);
}

static void group_del(struct map *m, const char *key, const struct thing *t)
{
	struct group *g = map_gets(m, key);
	assert(g);
	vec_del(&g->things, t, order_key);
	if (g->things.n)
		return;
	map_dels(m, key);
	free(g->things.v);
	free(g);
}

static int addresses_add(struct index *x, const struct endpoint *ep)
{
	struct addresses *s = map_gets(&x->addresses, ep->network);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		STR_COPY(s->key, ep->network);
		if (map_puts(&x->addresses, s->key, s) < 0) {
			free(s);
			return -ENOMEM;
		}
	}
	s->joined++;
	int r = ip_is_set(&ep->ip4) ? addrset_add(&s->set, &ep->ip4) : 0;
	return r < 0 ? r : ip_is_set(&ep->ip6) ? addrset_add(&s->set, &ep->ip6) : 0;
}

static int addresses_del(struct index *x, const struct endpoint *ep)
{
	struct addresses *s = map_gets(&x->addresses, ep->network);
	assert(s && s->joined);
	int r = ip_is_set(&ep->ip4) ? addrset_del(&s->set, &ep->ip4) : 0;
	if (r == 0 && ip_is_set(&ep->ip6))
		r = addrset_del(&s->set, &ep->ip6);
	if (--s->joined == 0) {
		map_dels(&x->addresses, ep->network);
		addrset_free(&s->set);
		free(s);
	}
	return r;
}

static int endpoint_add(struct index *x, struct thing *t)
{
	const struct endpoint *ep = (const struct endpoint *)t;
	try(group_add(&x->of_container, ep->container, t));
	try(group_add(&x->of_network, ep->network, t));
	return ep->joined ? addresses_add(x, ep) : 0;
}

static int endpoint_del(struct index *x, struct thing *t)
{
	const struct endpoint *ep = (const struct endpoint *)t;
	group_del(&x->of_container, ep->container, t);
	group_del(&x->of_network, ep->network, t);
	return ep->joined ? addresses_del(x, ep) : 0;
}

int index_add(struct index *x, struct thing *t)
{
	const char *name = thing_name(t);
	if (name && map_puts(&x->by_name[t->noun == NOUN_CONTAINER], name, t) < 0)
		return -ENOMEM;
	try(vec_add(&x->by_id[t->noun], t, order_key));
	if (name)
		try(vec_add(&x->by_seq[t->noun], t, order_seq));
	if (t->noun == NOUN_ENDPOINT)
		try(endpoint_add(x, t));
	if (t->noun == NOUN_TAG)
		try(group_add(&x->of_image, ((const struct tag *)t)->image, t));
	if (t->noun == NOUN_CONTAINER)
		try(group_add(&x->users, ((const struct container *)t)->image, t));
	return 0;
}

int index_del(struct index *x, struct thing *t)
{
	const char *name = thing_name(t);
	if (name && map_gets(&x->by_name[t->noun == NOUN_CONTAINER], name) == t)
		map_dels(&x->by_name[t->noun == NOUN_CONTAINER], name);
	vec_del(&x->by_id[t->noun], t, order_key);
	if (name)
		vec_del(&x->by_seq[t->noun], t, order_seq);
	if (t->noun == NOUN_TAG)
		group_del(&x->of_image, ((const struct tag *)t)->image, t);
	if (t->noun == NOUN_CONTAINER)
		group_del(&x->users, ((const struct container *)t)->image, t);
	return t->noun == NOUN_ENDPOINT ? endpoint_del(x, t) : 0;
}

static void groups_free(struct map *m)
{
	struct map_entry *e;
	for (size_t i = 0; (e = map_next(m, &i));) {
		struct group *g = e->value;
		free(g->things.v);
		free(g);
	}
	map_free(m);
}

void index_free(struct index *x)
{
	struct map_entry *e;
	groups_free(&x->of_container);
	groups_free(&x->of_network);
	groups_free(&x->of_image);
	groups_free(&x->users);
	for (size_t i = 0; (e = map_next(&x->addresses, &i));) {
		struct addresses *s = e->value;
		addrset_free(&s->set);
		free(s);
	}
	map_free(&x->addresses);
	map_free(&x->by_name[0]);
	map_free(&x->by_name[1]);
	for (int n = 0; n < NOUN_N; n++) {
		free(x->by_id[n].v);
		free(x->by_seq[n].v);
	}
}
