#include "relay/cache.h"

#include <string.h>

#include "base/limits.h"

#define MAX_POSITIVE 3600 /* seconds: a wrong record is gone within the hour */
#define MAX_NEGATIVE 300

struct cache_entry {
	struct cache_entry *newer, *older;
	int64_t born; /* ms */
	uint32_t life;
	size_t key_len, n;
	uint8_t bytes[]; /* key, message */
};

struct cache_key {
	uint8_t p[16 + DNS_NAME];
	size_t n;
};

static bool make_key(uint64_t upstreams, const struct dns_query *q, struct cache_key *k)
{
	unsigned wishes = (q->edns ? 1u : 0) | (q->dnssec_ok ? 2u : 0) | (q->cd ? 4u : 0) | (q->ad ? 8u : 0);
	if (!q->plain || !q->rd || q->odd_name || q->class != DNS_IN || q->type == DNS_ANY || q->type == DNS_IXFR || q->type == DNS_IXFR + 1)
		return false;
	memcpy(k->p, &upstreams, sizeof(upstreams));
	k->p[8] = (uint8_t)wishes;
	k->p[9] = (uint8_t)(q->type >> 8);
	k->p[10] = (uint8_t)q->type;
	memcpy(k->p + 11, q->name, q->name_len);
	k->n = 11 + q->name_len;
	return true;
}

static size_t weight(const struct cache_entry *e)
{
	return sizeof(*e) + e->key_len + e->n + 2 * sizeof(struct map_entry);
}

static void unlink_entry(struct cache *c, struct cache_entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct cache *c, struct cache_entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void drop(struct cache *c, struct cache_entry *e)
{
	map_del(&c->entries, e->bytes, e->key_len);
	unlink_entry(c, e);
	c->bytes -= weight(e);
	free(e);
}

void cache_free(struct cache *c)
{
	while (c->newest)
		drop(c, c->newest);
	map_free(&c->entries);
}

size_t cache_get(struct cache *c, uint64_t upstreams, const uint8_t *query, const struct dns_query *q, int64_t now_ms, uint8_t *out, size_t max)
{
	struct cache_key k;
	struct cache_entry *e = make_key(upstreams, q, &k) ? map_get(&c->entries, k.p, k.n) : NULL;
	if (!e)
		return 0;
	int64_t age = (now_ms - e->born) / 1000;
	if (age >= e->life) {
		drop(c, e);
		return 0;
	}
	if (e->n > max) /* cutting works in place, on a buffer that holds all */
		return 0;
	unlink_entry(c, e);
	link_newest(c, e);
	memcpy(out, e->bytes + e->key_len, e->n);
	dns_age(out, e->n, (uint32_t)age);
	memcpy(out, query, 2);
	memcpy(out + DNS_HEAD, query + DNS_HEAD, q->end - DNS_HEAD);
	return e->n;
}

void cache_put(struct cache *c, uint64_t upstreams, const struct dns_query *q, int64_t now_ms, const uint8_t *p, size_t n)
{
	struct cache_key k;
	uint32_t life = dns_lifetime(p, n), most = dns_rcode(p) == DNS_NXDOMAIN || !(p[6] | p[7]) ? MAX_NEGATIVE : MAX_POSITIVE;
	if (!life || n > LIMIT_RELAY_CACHED || !make_key(upstreams, q, &k))
		return;
	struct cache_entry *e = map_get(&c->entries, k.p, k.n);
	if (e)
		drop(c, e);
	e = malloc(sizeof(*e) + k.n + n);
	if (!e)
		return;
	*e = (struct cache_entry){.born = now_ms, .life = life < most ? life : most, .key_len = k.n, .n = n};
	memcpy(e->bytes, k.p, k.n);
	memcpy(e->bytes + k.n, p, n);
	if (map_put(&c->entries, e->bytes, e->key_len, e) < 0) {
		free(e);
		return;
	}
	link_newest(c, e);
	c->bytes += weight(e);
	while (c->bytes > LIMIT_RELAY_CACHE)
		drop(c, c->oldest);
}
