/* Theory of operation
 *
 * Thousands of ports may ask for any number out of the same ones. Each search begins at the start of its range, and what it finds taken stays
 * taken: so that is remembered, an address and number each, with the next number that is worth to be looked at; paths are shortened when
 * they are walked. All searches together cost hardly more than one (tests/net/test_portmap.c, many_choices). */
#include "net/port_search.h"

#include <errno.h>

struct taken_key {
	uint8_t proto, family;
	uint16_t port;
	uint8_t host[16];
};
static_assert(sizeof(struct taken_key) == 20, "a key has no padding");

struct taken {
	struct taken_key key;
	unsigned next;
};

void port_search_free(struct port_search *s)
{
	map_free(&s->taken);
}

static struct taken_key key_of(uint8_t proto, const struct ip *host, unsigned port)
{
	struct taken_key k = {.proto = proto, .family = host->family, .port = (uint16_t)port};
	memcpy(k.host, host->b, sizeof(k.host));
	return k;
}

static struct taken *at(const struct port_search *s, uint8_t proto, const struct ip *host, unsigned port)
{
	struct taken_key k = key_of(proto, host, port);
	return port > 65535 ? NULL : map_get(&s->taken, &k, sizeof(k));
}

/* Without memory for it, the search only takes longer. */
static void remember(struct port_search *s, uint8_t proto, const struct ip *host, unsigned port, unsigned next)
{
	struct taken *t = arena_new(s->mem, struct taken, 1);
	if (!t)
		return;
	*t = (struct taken){.key = key_of(proto, host, port), .next = next};
	(void)map_put(&s->taken, &t->key, sizeof(t->key), t);
}

/* The first number from this one on that is not known to be taken. */
static unsigned skip(const struct port_search *s, uint8_t proto, const struct ip *host, unsigned port)
{
	unsigned end = port;
	struct taken *t;
	while ((t = at(s, proto, host, end)))
		end = t->next;
	while ((t = at(s, proto, host, port))) {
		port = t->next;
		t->next = end;
	}
	return end;
}

static bool same_host(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && (ip_eq(a, b) || ip_is_unspecified(a) || ip_is_unspecified(b));
}

static bool is_busy(const struct port_facts *f, uint8_t proto, const struct ip *host, unsigned port)
{
	for (size_t i = 0; i < f->nbusy; i++) {
		const struct port_busy *b = &f->busy[i];
		if (b->proto == proto && b->port == port && same_host(&b->host_ip, host))
			return true;
	}
	return false;
}

/* An address at which the number is taken, and where it is worth to go on; NULL: it is free. */
static const struct ip *conflict(const struct port_search *s, const struct port_ask *q, unsigned port, unsigned *next)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct port *taken = world_port_overlapping(s->w, q->proto, q->hosts[i], (uint16_t)port, 1);
		*next = taken ? port_last(taken) + 1 : port + 1;
		if (taken || is_busy(s->facts, q->proto, q->hosts[i], port))
			return q->hosts[i];
	}
	return NULL;
}

bool port_search_may(const struct port_search *s, const struct port_ask *q, unsigned port)
{
	unsigned next;
	return !conflict(s, q, port, &next);
}

static unsigned kept_until(const struct port_facts *f, unsigned port)
{
	for (size_t i = 0; i < f->nkept; i++)
		if (f->kept[i].first <= port && port <= f->kept[i].last)
			return f->kept[i].last;
	return 0;
}

static unsigned search(struct port_search *s, const struct port_ask *q, unsigned from, unsigned to, bool ephemeral)
{
	unsigned next, kept;
	for (unsigned p = from; p <= to; p = next) {
		next = p;
		for (size_t i = 0; i < q->n; i++)
			next = skip(s, q->proto, q->hosts[i], next);
		kept = ephemeral ? kept_until(s->facts, next) : 0;
		if (kept)
			next = kept + 1;
		if (next != p)
			continue;
		const struct ip *host = conflict(s, q, p, &next);
		if (!host)
			return p;
		remember(s, q->proto, host, p, next);
	}
	return 0;
}

unsigned port_search_in(struct port_search *s, const struct port_ask *q, unsigned from, unsigned to)
{
	return search(s, q, from, to, false);
}

static uint16_t *cursor(const struct port_facts *f, const struct ip *host)
{
	struct port_cursor *k = f->cursor;
	for (size_t i = 0; i < k->n; i++)
		if (ip_eq(&k->v[i].ip, host))
			return &k->v[i].last;
	size_t i = k->n < PORT_CURSORS ? k->n++ : PORT_CURSORS - 1;
	k->v[i].ip = *host;
	k->v[i].last = 0;
	return &k->v[i].last;
}

unsigned port_search_any(struct port_search *s, const struct port_ask *q)
{
	const struct port_facts *f = s->facts;
	uint16_t *last = cursor(f, q->hosts[0]);
	unsigned from = *last >= f->first && *last < f->last ? *last + 1u : f->first;
	unsigned p = search(s, q, from, f->last, true);
	if (!p && from > f->first)
		p = search(s, q, f->first, from - 1, true);
	if (p)
		*last = (uint16_t)p;
	return p;
}
