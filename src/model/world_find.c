/* The lookups by relation and by what a user writes. */
#include <errno.h>
#include <stdlib.h>

#include "base/ref.h"
#include "model/world_index.h"

/* How many things of the order agree with the probe, as the world shows it. */
static size_t count(const struct world *w, enum noun noun, int order, struct probe p)
{
	size_t first, n = index_range(&w->now, noun, order, p, &first);
	if (w->base)
		n += index_range(&w->base->now, noun, order, p, &first) -
		     index_range(&w->hidden, noun, order, p, &first);
	return n;
}

/* The k-th of those, counted from *i among the fork's own things, then among the base's. */
static const void *next(const struct world *w, enum noun noun, int order, struct probe p, size_t *i)
{
	size_t first, n = index_range(&w->now, noun, order, p, &first);
	if (*i < n)
		return index_at(&w->now, noun, order, first + (*i)++)->thing;
	if (!w->base)
		return NULL;
	size_t below = index_range(&w->base->now, noun, order, p, &first);
	while (*i - n < below) {
		const struct entry *e = index_at(&w->base->now, noun, order, first + (*i)++ - n);
		if (!index_get(&w->hidden, noun, e->thing->key))
			return e->thing;
	}
	return NULL;
}

static const void *by_name(const struct world *w, enum noun noun, const char *name)
{
	size_t i = 0;
	return next(w, noun, ORDER_NAME, (struct probe){.text = name}, &i);
}

const struct network *world_network_by_name(const struct world *w, const char *name)
{
	return by_name(w, NOUN_NETWORK, name);
}

const struct container *world_container_by_name(const struct world *w, const char *name)
{
	return by_name(w, NOUN_CONTAINER, name);
}

/* All that agree with the probe, in an array from the arena. NULL only when out of memory. */
static const void **gather(const struct world *w, struct arena *a, enum noun noun, int order, struct probe p, size_t *n)
{
	size_t most = count(w, noun, order, p), k = 0;
	const void **v = arena_new(a, const void *, most + 1);
	for (size_t i = 0; v && k < most;)
		v[k++] = next(w, noun, order, p, &i);
	*n = k;
	return v;
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

const struct endpoint **world_endpoints_of_container(
	const struct world *w, struct arena *a, const char *container, size_t *n)
{
	char prefix[ID_TEXT + 1];
	snprintf(prefix, sizeof(prefix), "%.64s/", container);
	const void **v = gather(w, a, NOUN_ENDPOINT, ORDER_KEY, (struct probe){.text = prefix}, n);
	if (v)
		qsort_r(v, *n, sizeof(*v), by_network_name, (void *)(uintptr_t)w);
	return (const struct endpoint **)v;
}

const struct endpoint **world_endpoints_of_network(
	const struct world *w, struct arena *a, const char *network, size_t *n)
{
	const void **v = gather(w, a, NOUN_ENDPOINT, ORDER_NETWORK, (struct probe){.text = network}, n);
	if (v)
		qsort(v, *n, sizeof(*v), by_key);
	return (const struct endpoint **)v;
}

const struct port **world_ports_of_container(const struct world *w, struct arena *a, const char *container, size_t *n)
{
	char prefix[ID_TEXT + 1];
	snprintf(prefix, sizeof(prefix), "%.64s/", container);
	const void **v = gather(w, a, NOUN_PORT, ORDER_KEY, (struct probe){.text = prefix}, n);
	if (v)
		qsort(v, *n, sizeof(*v), by_key);
	return (const struct port **)v;
}

struct wanted_ports {
	uint8_t proto;
	unsigned first, last;
};

/* Ports at one address do not overlap, what is hidden included: from the last one that begins in time, only those can
 * reach into the wanted ones that come before the first that does not. */
static const struct port *port_at(
	const struct index *x, const struct index *hidden, const struct wanted_ports *want, const struct ip *host)
{
	struct probe p = {.seq = index_host_seq(want->proto, (uint16_t)want->last), .ip = host, .edge = 1};
	for (size_t i = index_rank(x, NOUN_PORT, ORDER_HOST, &p); i-- > 0;) {
		const struct port *t = (const struct port *)index_at(x, NOUN_PORT, ORDER_HOST, i)->thing;
		if (t->proto != want->proto || !ip_eq(&t->host_ip, host) || port_last(t) < want->first)
			break;
		if (!hidden || !index_get(hidden, NOUN_PORT, t->key))
			return t;
	}
	return NULL;
}

/* At every address of the family: the unspecified one is the lowest. */
static const struct port *port_anywhere(
	const struct index *x, const struct index *hidden, const struct wanted_ports *want, struct ip host)
{
	for (;;) {
		const struct port *t = port_at(x, hidden, want, &host);
		struct probe p = {.seq = index_host_seq(want->proto, 0xffff), .ip = &host, .edge = 1};
		const struct entry *e = t ? NULL : index_at(x, NOUN_PORT, ORDER_HOST, index_rank(x, NOUN_PORT, ORDER_HOST, &p));
		const struct port *next = e ? (const struct port *)e->thing : NULL;
		if (!next || next->proto != want->proto || next->host_ip.family != host.family)
			return t;
		host = next->host_ip;
	}
}

static const struct port *port_in(
	const struct index *x, const struct index *hidden, const struct wanted_ports *want, const struct ip *host)
{
	struct ip any = {.family = host->family};
	if (ip_is_unspecified(host))
		return port_anywhere(x, hidden, want, any);
	const struct port *t = port_at(x, hidden, want, host);
	return t ? t : port_at(x, hidden, want, &any);
}

const struct port *world_port_overlapping(
	const struct world *w, uint8_t proto, const struct ip *host, uint16_t first, unsigned count)
{
	struct wanted_ports want = {.proto = proto, .first = first, .last = first + count - 1};
	const struct port *t = port_in(&w->now, NULL, &want, host);
	return t || !w->base ? t : port_in(&w->base->now, &w->hidden, &want, host);
}

const struct tag **world_tags_of_image(const struct world *w, struct arena *a, const char *image, size_t *n)
{
	const void **v = gather(w, a, NOUN_TAG, ORDER_TAGGED, (struct probe){.text = image}, n);
	if (v)
		qsort(v, *n, sizeof(*v), by_key);
	return (const struct tag **)v;
}

size_t world_containers_of_image(const struct world *w, const char *image)
{
	return count(w, NOUN_CONTAINER, ORDER_USER, (struct probe){.text = image});
}

size_t world_joined_in_network(const struct world *w, const char *network)
{
	return count(w, NOUN_ENDPOINT, ORDER_JOINED, (struct probe){.text = network});
}

bool world_address_used(const struct world *w, const char *network, const struct ip *a)
{
	return count(w, NOUN_ENDPOINT, order_of_family(a->family), (struct probe){.text = network, .ip = a}) > 0;
}

/* The lowest address in [from, to] that the base uses and the fork has given up. */
static bool given_up(
	const struct world *w, const char *network, const struct ip *from, const struct ip *to, struct ip *out)
{
	int order = order_of_family(from->family);
	struct probe p = {.text = network, .ip = from, .edge = -1};
	const struct entry *e;
	for (size_t i = index_rank(&w->hidden, NOUN_ENDPOINT, order, &p);
		(e = index_at(&w->hidden, NOUN_ENDPOINT, order, i)); i++) {
		const struct endpoint *ep = (const struct endpoint *)e->thing;
		const struct ip *a = order == ORDER_IP6 ? &ep->ip6 : &ep->ip4;
		if (!streq(ep->network, network) || ip_cmp(a, to) > 0)
			break;
		if (!index_has_address(&w->now, network, a)) {
			*out = *a;
			return true;
		}
	}
	return false;
}

bool world_address_free(
	const struct world *w, const char *network, const struct ip *from, const struct ip *to, struct ip *out)
{
	struct ip a = *from, freed;
	if (ip_cmp(from, to) > 0)
		return false;
	if (!w->base)
		return index_gap(&w->now, network, from, to, out);
	/* The base's gaps in turn, until one is not taken by the fork: as often as the fork has runs of addresses at
	 * most. */
	bool found = false;
	while (!found && index_gap(&w->base->now, network, &a, to, &a)) {
		found = !index_has_address(&w->now, network, &a);
		if (!found && !index_gap(&w->now, network, &a, to, &a))
			break;
	}
	if (given_up(w, network, from, to, &freed) && (!found || ip_cmp(&freed, &a) < 0)) {
		a = freed;
		found = true;
	}
	if (found)
		*out = a;
	return found;
}

static int order_of_subnets(uint8_t family)
{
	return family == AF_INET6 ? ORDER_SUBNET6 : ORDER_SUBNET4;
}

static size_t subnets_up_to(const struct index *x, const struct ip *a, int edge)
{
	struct probe p = {.ip = a, .edge = edge};
	return index_rank(x, NOUN_NETWORK, order_of_subnets(a->family), &p);
}

size_t world_subnets_within(const struct world *w, const struct ip *from, const struct ip *to)
{
	size_t n = subnets_up_to(&w->now, to, 1) - subnets_up_to(&w->now, from, -1);
	if (w->base)
		n += subnets_up_to(&w->base->now, to, 1) - subnets_up_to(&w->base->now, from, -1) -
		     (subnets_up_to(&w->hidden, to, 1) - subnets_up_to(&w->hidden, from, -1));
	return n;
}

/* Subnets do not overlap, so the last one that begins at or before the prefix's end is the only one that can. */
static const struct network *overlapping(
	const struct index *x, const struct index *hidden, const struct prefix *p, const char *except)
{
	struct ip last = prefix_last(p);
	int order = order_of_subnets(p->ip.family);
	for (size_t i = subnets_up_to(x, &last, 1); i-- > 0;) {
		const struct entry *e = index_at(x, NOUN_NETWORK, order, i);
		const struct network *n = (const struct network *)e->thing;
		if ((except && streq(n->id, except)) || (hidden && index_get(hidden, NOUN_NETWORK, n->id)))
			continue;
		return prefix_overlap(p->ip.family == AF_INET6 ? &n->v6.net : &n->v4.net, p) ? n : NULL;
	}
	return NULL;
}

const struct network *world_subnet_overlapping(const struct world *w, const struct prefix *p, const char *except)
{
	const struct network *n = overlapping(&w->now, NULL, p, except);
	return n || !w->base ? n : overlapping(&w->base->now, &w->hidden, p, except);
}

const struct container **world_containers_with_links(const struct world *w, struct arena *a, size_t *n)
{
	size_t most = index_count_order(&w->now, NOUN_CONTAINER, ORDER_LINKS), k = 0;
	if (w->base)
		most += index_count_order(&w->base->now, NOUN_CONTAINER, ORDER_LINKS);
	const struct container **v = arena_new(a, const struct container *, most + 1);
	const struct entry *e;
	for (size_t i = 0; v && (e = index_at(&w->now, NOUN_CONTAINER, ORDER_LINKS, i)); i++)
		v[k++] = (const struct container *)e->thing;
	for (size_t i = 0; v && w->base && (e = index_at(&w->base->now, NOUN_CONTAINER, ORDER_LINKS, i)); i++)
		if (!index_get(&w->hidden, NOUN_CONTAINER, e->thing->key))
			v[k++] = (const struct container *)e->thing;
	*n = k;
	return v;
}

const struct container *world_container_by_prefix(const struct world *w, const char *prefix)
{
	size_t i = 0;
	return *prefix ? next(w, NOUN_CONTAINER, ORDER_KEY, (struct probe){.text = prefix}, &i) : NULL;
}

/* The only thing whose key starts with the prefix; *matches counts them. */
static const void *by_prefix(const struct world *w, enum noun noun, const char *prefix, size_t *matches)
{
	size_t i = 0;
	*matches = *prefix ? count(w, noun, ORDER_KEY, (struct probe){.text = prefix}) : 0;
	return *matches == 1 ? next(w, noun, ORDER_KEY, (struct probe){.text = prefix}, &i) : NULL;
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
		return err_as(
			e, ERR_INVALID, "network %s is ambiguous (%zu matches found based on ID prefix)", term, n);
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

int world_find_volume(const struct world *w, const char *name, const struct volume **out, struct err *e)
{
	const struct volume *v = world_volume(w, name);
	if (!v)
		return err_as(e, ERR_NOT_FOUND, "get %s: no such volume", name);
	*out = v;
	return 0;
}

size_t world_limited_ports(const struct world *w)
{
	size_t n = index_count_order(&w->now, NOUN_PORT, ORDER_LIMITED);
	return w->base ? n + index_count_order(&w->base->now, NOUN_PORT, ORDER_LIMITED) - index_count_order(&w->hidden, NOUN_PORT, ORDER_LIMITED) : n;
}

const struct container *world_netns_owner(const struct world *w, const struct container *c)
{
	static const char kind[] = "container:";
	/* more hops than that only a circle has */
	for (int hops = 0; hops < 16 && c->spec->host.network_mode && str_starts(c->spec->host.network_mode, kind); hops++)
		if (world_find_container(w, c->spec->host.network_mode + strlen(kind), &c, NULL) < 0)
			break;
	return c;
}
