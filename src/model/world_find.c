/* The lookups by relation and by what a user writes. */
#include <errno.h>
#include <stdlib.h>

#include "base/ref.h"
#include "model/world_index.h"

typedef bool (*belongs)(const struct thing *t, const char *key);

static bool of_container(const struct thing *t, const char *key)
{
	return streq(((const struct endpoint *)t)->container, key);
}
static bool of_network(const struct thing *t, const char *key)
{
	return streq(((const struct endpoint *)t)->network, key);
}
static bool of_image(const struct thing *t, const char *key)
{
	return streq(((const struct tag *)t)->image, key);
}

/* The group's things as the fork sees them, in an array from the arena. NULL only when out of memory. */
static const void **gather(const struct world *w, struct arena *a, enum noun noun, const struct group *g, belongs mine, const char *key, size_t *n)
{
	size_t most = (g ? g->things.n : 0) + w->nslots;
	const void **v = arena_new(a, const void *, most + 1);
	size_t k = 0;
	for (size_t i = 0; v && g && i < g->things.n; i++) {
		const struct thing *t = g->things.v[i];
		if (!world_slot(w, noun, t->key))
			v[k++] = t;
	}
	for (size_t i = 0; v && i < w->nslots; i++) {
		const struct slot *s = w->slots[i];
		if (s->noun == noun && s->now && mine(s->now, key))
			v[k++] = s->now;
	}
	*n = k;
	return v;
}

static const struct world *base_of(const struct world *w)
{
	return w->base ? w->base : w;
}

static int by_network_name(const void *x, const void *y, void *arg)
{
	const struct endpoint *a = *(const struct endpoint *const *)x, *b = *(const struct endpoint *const *)y;
	const struct network *m = world_network(arg, a->network), *n = world_network(arg, b->network);
	return m && n ? strcmp(m->name, n->name) : strcmp(a->network, b->network);
}

static int by_key(const void *x, const void *y)
{
	const struct thing *a = *(const struct thing *const *)x, *b = *(const struct thing *const *)y;
	return strcmp(a->key, b->key);
}

const struct endpoint **world_endpoints_of_container(const struct world *w, struct arena *a, const char *container, size_t *n)
{
	const void **v = gather(w, a, NOUN_ENDPOINT, index_group(&base_of(w)->index.of_container, container), of_container, container, n);
	if (v)
		qsort_r(v, *n, sizeof(*v), by_network_name, (void *)(uintptr_t)w);
	return (const struct endpoint **)v;
}

const struct endpoint **world_endpoints_of_network(const struct world *w, struct arena *a, const char *network, size_t *n)
{
	const void **v = gather(w, a, NOUN_ENDPOINT, index_group(&base_of(w)->index.of_network, network), of_network, network, n);
	if (v)
		qsort(v, *n, sizeof(*v), by_key);
	return (const struct endpoint **)v;
}

const struct tag **world_tags_of_image(const struct world *w, struct arena *a, const char *image, size_t *n)
{
	const void **v = gather(w, a, NOUN_TAG, index_group(&base_of(w)->index.of_image, image), of_image, image, n);
	if (v)
		qsort(v, *n, sizeof(*v), by_key);
	return (const struct tag **)v;
}

size_t world_containers_of_image(const struct world *w, const char *image)
{
	const struct group *g = index_group(&base_of(w)->index.users, image);
	size_t n = g ? g->things.n : 0;
	for (size_t i = 0; i < w->nslots; i++) {
		const struct slot *s = w->slots[i];
		if (s->noun != NOUN_CONTAINER)
			continue;
		const struct container *was = map_gets(&base_of(w)->things[NOUN_CONTAINER], s->key), *is = (const struct container *)s->now;
		n += (is && streq(is->image, image)) - (was && streq(was->image, image));
	}
	return n;
}

size_t world_joined_in_network(const struct world *w, const char *network)
{
	const struct addresses *s = map_gets(&base_of(w)->index.addresses, network);
	size_t n = s ? s->joined : 0;
	for (size_t i = 0; i < w->nslots; i++) {
		const struct slot *sl = w->slots[i];
		if (sl->noun != NOUN_ENDPOINT)
			continue;
		const struct endpoint *was = map_gets(&base_of(w)->things[NOUN_ENDPOINT], sl->key), *is = (const struct endpoint *)sl->now;
		n += (is && is->joined && streq(is->network, network)) - (was && was->joined && streq(was->network, network));
	}
	return n;
}

static bool holds(const struct endpoint *ep, const char *network, const struct ip *a)
{
	return ep && ep->joined && streq(ep->network, network) && (ip_eq(&ep->ip4, a) || ip_eq(&ep->ip6, a));
}

/* What the fork says of the address: 1 used, 0 freed, -1 nothing. */
static int fork_says(const struct world *w, const char *network, const struct ip *a)
{
	int says = -1;
	for (size_t i = 0; i < w->nslots; i++) {
		const struct slot *s = w->slots[i];
		if (s->noun != NOUN_ENDPOINT)
			continue;
		if (holds((const struct endpoint *)s->now, network, a))
			return 1;
		if (holds(map_gets(&w->base->things[NOUN_ENDPOINT], s->key), network, a))
			says = 0;
	}
	return says;
}

bool world_address_used(const struct world *w, const char *network, const struct ip *a)
{
	const struct addresses *s = map_gets(&base_of(w)->index.addresses, network);
	int says = fork_says(w, network, a);
	return says >= 0 ? says : s && addrset_has(&s->set, a);
}

/* The lowest address that the fork frees in the range. */
static bool fork_freed(const struct world *w, const char *network, const struct ip *from, const struct ip *to, struct ip *out)
{
	bool found = false;
	for (size_t i = 0; i < w->nslots; i++) {
		const struct slot *s = w->slots[i];
		const struct endpoint *was = s->noun == NOUN_ENDPOINT ? map_gets(&w->base->things[NOUN_ENDPOINT], s->key) : NULL;
		if (!was || !was->joined || !streq(was->network, network))
			continue;
		const struct ip *a = from->family == AF_INET ? &was->ip4 : &was->ip6;
		if (ip_cmp(a, from) >= 0 && ip_cmp(a, to) <= 0 && fork_says(w, network, a) == 0 && (!found || ip_cmp(a, out) < 0)) {
			*out = *a;
			found = true;
		}
	}
	return found;
}

bool world_address_free(const struct world *w, const char *network, const struct ip *from, const struct ip *to, struct ip *out)
{
	static const struct addrset empty;
	const struct addresses *s = map_gets(&base_of(w)->index.addresses, network);
	struct ip a = *from, freed;
	bool gap = addrset_first_gap(s ? &s->set : &empty, &a, to, &a);
	while (gap && fork_says(w, network, &a) == 1) /* at most as often as the fork has endpoints */
		gap = ip_next(&a) && addrset_first_gap(s ? &s->set : &empty, &a, to, &a);
	if (fork_freed(w, network, from, to, &freed) && (!gap || ip_cmp(&freed, &a) < 0)) {
		a = freed;
		gap = true;
	}
	if (gap)
		*out = a;
	return gap;
}

/* The only thing whose key starts with the prefix; *matches counts (2 = more than one). */
static const void *by_prefix(const struct world *w, enum noun noun, const char *prefix, size_t *matches)
{
	const struct vec *v = &base_of(w)->index.by_id[noun];
	const void *found = NULL;
	*matches = 0;
	if (!*prefix)
		return NULL;
	for (size_t i = index_lower(v, prefix); i < v->n && *matches < 2; i++) {
		const struct thing *t = v->v[i];
		if (!str_starts(t->key, prefix))
			break;
		const struct slot *s = world_slot(w, noun, t->key);
		if (s && !s->now)
			continue;
		found = s ? s->now : t;
		++*matches;
	}
	for (size_t i = 0; i < w->nslots && *matches < 2; i++) {
		const struct slot *s = w->slots[i];
		if (s->noun != noun || !s->now || !str_starts(s->key, prefix) || map_gets(&base_of(w)->things[noun], s->key))
			continue;
		found = s->now;
		++*matches;
	}
	return found;
}

int world_find_container(const struct world *w, const char *term, const struct container **out, struct err *e)
{
	size_t n = 0;
	const struct container *c = world_container(w, term);
	if (!c)
		c = world_container_by_name(w, *term == '/' ? term + 1 : term);
	if (!c)
		c = by_prefix(w, NOUN_CONTAINER, term, &n);
	if (n > 1)
		return err_as(e, ERR_INVALID, "Multiple IDs found with provided prefix: %s", term);
	if (!c)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", term);
	*out = c;
	return 0;
}

int world_find_network(const struct world *w, const char *term, const struct network **out, struct err *e)
{
	size_t n = 0;
	const struct network *net = world_network(w, term);
	if (!net)
		net = world_network_by_name(w, term);
	if (!net && streq(term, "default"))
		net = world_network_by_name(w, "bridge");
	if (!net)
		net = by_prefix(w, NOUN_NETWORK, term, &n);
	if (n > 1)
		return err_as(e, ERR_INVALID, "network %s is ambiguous (%zu matches found based on ID prefix)", term, n);
	if (!net)
		return err_as(e, ERR_NOT_FOUND, "network %s not found", term);
	*out = net;
	return 0;
}

int world_find_image(const struct world *w, const char *term, const struct image **out, struct err *e)
{
	char ref[REF_TEXT];
	const char *hex = str_starts(term, "sha256:") ? term + strlen("sha256:") : term;
	size_t n = 0;
	const struct image *img = world_image(w, hex);
	struct err bad = {0};
	int r = ref_normalise(term, ref, &bad);
	if (!img && r >= 0) {
		const struct tag *t = world_get(w, NOUN_TAG, ref);
		img = t ? world_image(w, t->image) : NULL;
	}
	if (!img && strspn(hex, "0123456789abcdef") == strlen(hex))
		img = by_prefix(w, NOUN_IMAGE, hex, &n);
	if (n > 1)
		return err_as(e, ERR_INVALID, "multiple IDs found with provided prefix: %s", term);
	if (img) {
		*out = img;
		return 0;
	}
	if (r < 0 && e) {
		*e = bad;
		return r;
	}
	return err_as(e, ERR_NOT_FOUND, "No such image: %s", r < 0 ? term : ref);
}
