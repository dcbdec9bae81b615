#include "relay/upstream.h"

#include <arpa/inet.h>

#define FAILS_DOWN 2       /* one late answer can be the fault of the name asked for */
#define DOWN_FIRST 1000    /* ms; doubled with every further silence */
#define DOWN_MOST  30000

static bool is_self(const struct relay_upstream *u)
{
	return ip4_host(&u->ip) == 0x7f00000b;
}

static void set_address(struct upstream *u, const struct relay_upstream *in)
{
	u->in_container = in->in_container;
	if (in->ip.family == AF_INET) {
		struct sockaddr_in *a = (struct sockaddr_in *)&u->addr;
		a->sin_family = AF_INET;
		a->sin_port = htons(in->port);
		memcpy(&a->sin_addr, in->ip.b, 4);
		u->addr_len = sizeof(*a);
	} else {
		struct sockaddr_in6 *a = (struct sockaddr_in6 *)&u->addr;
		a->sin6_family = AF_INET6;
		a->sin6_port = htons(in->port);
		a->sin6_scope_id = in->scope;
		memcpy(&a->sin6_addr, in->ip.b, 16);
		u->addr_len = sizeof(*a);
	}
}

struct upstream_set *upstreams_get(struct upstreams *us, const struct relay_view *v)
{
	OWN(own_buf) struct buf key = {0};
	struct upstream_set fresh = {.refs = 1};
	bool own = false;
	for (size_t i = 0; i < v->nupstreams && fresh.n < UPSTREAMS; i++) {
		const struct relay_upstream *u = &v->upstreams[i];
		if (is_self(u))
			continue;
		set_address(&fresh.v[fresh.n++], u);
		buf_put(&key, &u->ip, sizeof(u->ip));
		buf_put(&key, &u->scope, sizeof(u->scope));
		buf_put(&key, &u->port, sizeof(u->port));
		buf_putc(&key, u->in_container ? 1 : 0);
		own |= u->in_container;
	}
	if (own)
		buf_puts(&key, v->sandbox);
	buf_putc(&key, '.'); /* an empty set has a key too */
	if (key.bad)
		return NULL;
	struct upstream_set *set = map_get(&us->sets, key.data, key.len);
	if (set) {
		set->refs++;
		return set;
	}
	set = calloc(1, sizeof(*set) + key.len);
	if (!set)
		return NULL;
	*set = fresh;
	set->serial = ++us->serial;
	set->key_len = key.len;
	memcpy(set->key, key.data, key.len);
	if (map_put(&us->sets, set->key, set->key_len, set) < 0) {
		free(set);
		return NULL;
	}
	return set;
}

void upstreams_put(struct upstreams *us, struct upstream_set *set)
{
	if (!set || --set->refs)
		return;
	map_del(&us->sets, set->key, set->key_len);
	if (!us->sets.n)
		map_free(&us->sets);
	free(set);
}

int upstream_pick(const struct upstream_set *set, unsigned tried, bool host, int64_t now)
{
	int first = -1;
	for (unsigned i = 0; i < set->n; i++) {
		if (tried & 1u << i || (!host && !set->v[i].in_container))
			continue;
		if (set->v[i].down_until <= now)
			return (int)i;
		if (first < 0)
			first = (int)i;
	}
	return first;
}

void upstream_answered(struct upstream *u)
{
	u->fails = 0;
	u->down_until = 0;
}

void upstream_silent(struct upstream *u, int64_t now)
{
	if (++u->fails < FAILS_DOWN || u->down_until > now)
		return;
	unsigned steps = u->fails - FAILS_DOWN;
	int64_t down = steps > 5 ? DOWN_MOST : (int64_t)DOWN_FIRST << steps;
	u->down_until = now + (down < DOWN_MOST ? down : DOWN_MOST);
}
