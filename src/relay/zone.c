#include "relay/zone.h"

#include <errno.h>

static const char *lower(struct arena *a, const char *s)
{
	char *t = arena_dup(a, s);
	for (char *p = t; p && *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 32);
	return t;
}

void zone_free(struct zone *z)
{
	if (!z)
		return;
	map_free(&z->names);
	map_free(&z->addresses);
	arena_free(&z->mem);
	free(z);
}

static int add_name(struct zone *z, const char *text, const struct zone_host *h)
{
	const char *name = lower(&z->mem, text);
	if (!name)
		return -ENOMEM;
	struct zone_name *zn = map_gets(&z->names, name);
	if (!zn) {
		zn = arena_new(&z->mem, struct zone_name, 1);
		if (!zn || map_puts(&z->names, name, zn) < 0)
			return -ENOMEM;
	}
	if (zn->n && zn->hosts[zn->n - 1] == h)
		return 0; /* the same host by two spellings */
	if (zn->n == zn->cap) {
		size_t cap = zn->cap ? zn->cap * 2 : 1;
		const struct zone_host **more = arena_new(&z->mem, const struct zone_host *, cap);
		if (!more)
			return -ENOMEM;
		if (zn->n)
			memcpy(more, zn->hosts, zn->n * sizeof(*more));
		zn->hosts = more;
		zn->cap = cap;
	}
	zn->hosts[zn->n++] = h;
	return 0;
}

static int add_address(struct zone *z, const struct ip *a, struct zone_host *h)
{
	if (!ip_is_set(a) || map_get(&z->addresses, a, sizeof(*a)))
		return 0;
	return map_put(&z->addresses, a, sizeof(*a), h);
}

static int add_host(struct zone *z, const struct relay_host *in, struct zone_host *h)
{
	struct strv names = strv_copy(&z->mem, &in->names);
	*h = (struct zone_host){.v4 = in->v4, .v6 = in->v6, .names = names.v, .nnames = names.n};
	for (size_t i = 0; i < h->nnames; i++)
		try(add_name(z, h->names[i], h));
	try(add_address(z, &h->v4, h));
	return add_address(z, &h->v6, h);
}

static void own_zone(struct zone **z)
{
	zone_free(*z);
}

int zone_new(const struct relay_zone *in, struct zone **out)
{
	OWN(own_zone) struct zone *z = calloc(1, sizeof(*z));
	if (!z)
		return -ENOMEM;
	struct zone_host *hosts = arena_new(&z->mem, struct zone_host, in->nhosts);
	z->domain = arena_dup(&z->mem, in->name);
	z->domain_lc = lower(&z->mem, in->name);
	if (z->mem.bad)
		return -ENOMEM;
	for (size_t i = 0; i < in->nhosts; i++)
		try(add_host(z, &in->hosts[i], &hosts[i]));
	if (z->mem.bad)
		return -ENOMEM;
	*out = STEAL(z);
	return 0;
}

/* --- places --- */

static struct zone_place *place(struct zones *zs, const char *id)
{
	struct zone_place *p = map_gets(&zs->places, id);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (!STR_COPY(p->id, id) || map_puts(&zs->places, p->id, p) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

static void release(struct zones *zs, struct zone_place *p)
{
	if (p->refs || p->now)
		return;
	map_dels(&zs->places, p->id);
	free(p);
}

int zones_put(struct zones *zs, const struct relay_zone *in)
{
	struct zone *z = NULL;
	struct zone_place *p = place(zs, in->network);
	int r = p ? zone_new(in, &z) : -ENOMEM;
	if (r < 0) {
		if (p)
			release(zs, p);
		return r;
	}
	zone_free(p->now);
	p->now = z;
	return 0;
}

void zones_del(struct zones *zs, const char *id)
{
	struct zone_place *p = map_gets(&zs->places, id);
	if (!p)
		return;
	zone_free(p->now);
	p->now = NULL;
	release(zs, p);
}

void zones_free(struct zones *zs)
{
	struct map_entry *e;
	for (size_t i = 0; (e = map_next(&zs->places, &i));) {
		struct zone_place *p = e->value;
		zone_free(p->now);
		free(p);
	}
	map_free(&zs->places);
}

/* --- views --- */

void view_free(struct view *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->nnets; i++) {
		v->nets[i]->refs--;
		release(v->zones, v->nets[i]);
	}
	arena_free(&v->mem);
	free(v);
}

static void own_view(struct view **v)
{
	view_free(*v);
}

static int add_links(struct view *v, const struct relay_view *in)
{
	v->links = arena_new(&v->mem, struct view_link, in->nlinks);
	if (!v->links)
		return -ENOMEM;
	for (size_t i = 0; i < in->nlinks; i++) {
		size_t net = 0;
		while (net < v->nnets && !streq(v->nets[net]->id, in->links[i].network))
			net++;
		if (net == v->nnets)
			continue; /* a link on a network that the container has left */
		v->links[v->nlinks++] = (struct view_link){lower(&v->mem, in->links[i].alias), lower(&v->mem, in->links[i].target), net};
	}
	return v->mem.bad ? -ENOMEM : 0;
}

int view_new(struct zones *zs, const struct relay_view *in, struct view **out)
{
	OWN(own_view) struct view *v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->zones = zs;
	v->internal_only = in->internal_only;
	v->ndots_set = in->ndots_set;
	v->nets = arena_new(&v->mem, struct zone_place *, in->networks.n);
	if (!v->nets)
		return -ENOMEM;
	for (size_t i = 0; i < in->networks.n; i++) {
		struct zone_place *p = place(zs, in->networks.v[i]);
		if (!p)
			return -ENOMEM;
		p->refs++;
		v->nets[v->nnets++] = p;
	}
	try(add_links(v, in));
	*out = STEAL(v);
	return 0;
}

static const char *alias(const struct view *v, size_t net, const char *name, size_t n)
{
	for (size_t i = 0; i < v->nlinks; i++)
		if (v->links[i].net == net && strlen(v->links[i].alias) == n && memcmp(v->links[i].alias, name, n) == 0)
			return v->links[i].target;
	return NULL;
}

/* One step of the search: the first n bytes of `name` in the networks called `domain` (NULL: in all), first as links' aliases, then as real names. */
static const struct zone_name *find_in(const struct view *v, const char *name, size_t n, const char *domain)
{
	const struct zone_name *found = NULL;
	for (int links = v->nlinks ? 1 : 0; links >= 0 && !found; links--) {
		for (size_t i = 0; i < v->nnets && !found; i++) {
			const struct zone *z = v->nets[i]->now;
			if (!z || (domain && !streq(domain, z->domain_lc)))
				continue;
			const char *target = v->nlinks ? alias(v, i, name, n) : NULL;
			if (links)
				found = target ? map_gets(&z->names, target) : NULL;
			else if (!target) /* an alias hides a real name of its network, even while the target is away */
				found = map_get(&z->names, name, n);
		}
	}
	return found;
}

const struct zone_name *view_find(const struct view *v, const char *name, size_t n)
{
	const struct zone_name *found = n ? find_in(v, name, n, NULL) : NULL;
	for (size_t dot = n; !found && dot > 1; dot--)
		if (name[dot - 1] == '.')
			found = find_in(v, name, dot - 1, name + dot);
	return found;
}

const struct zone_host *view_find_address(const struct view *v, const struct ip *a, const char **domain)
{
	for (size_t i = 0; i < v->nnets; i++) {
		const struct zone *z = v->nets[i]->now;
		const struct zone_host *h = z ? map_get(&z->addresses, a, sizeof(*a)) : NULL;
		if (h) {
			*domain = z->domain;
			return h;
		}
	}
	return NULL;
}
