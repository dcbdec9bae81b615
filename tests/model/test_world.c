/* The world against a naive one: an array of things that every question walks. */
#include <stdint.h>

#include "model/tree.h"
#include "model/world.h"
#include "oom.h"
#include "test.h"

#define MOST 400

struct naive {
	const struct thing *v[MOST];
	size_t n;
};

static unsigned seed = 1;

static unsigned roll(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static size_t naive_find(const struct naive *w, enum noun noun, const char *key)
{
	size_t i = 0;
	while (i < w->n && (w->v[i]->noun != noun || strcmp(w->v[i]->key, key) != 0))
		i++;
	return i;
}

static void naive_put(struct naive *w, const struct thing *t)
{
	size_t i = naive_find(w, t->noun, t->key);
	if (i == w->n)
		w->n++;
	else
		thing_unref((void *)(uintptr_t)w->v[i]);
	w->v[i] = thing_ref(t);
}

static void naive_del(struct naive *w, size_t i)
{
	thing_unref((void *)(uintptr_t)w->v[i]);
	w->v[i] = w->v[--w->n];
}

static void naive_copy(struct naive *to, const struct naive *from)
{
	while (to->n)
		naive_del(to, 0);
	for (size_t i = 0; i < from->n; i++)
		to->v[to->n++] = thing_ref(from->v[i]);
}

static const struct endpoint *holder(const struct naive *w, const char *network, const struct ip *a)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct endpoint *ep = (const struct endpoint *)w->v[i];
		if (w->v[i]->noun == NOUN_ENDPOINT && ep->joined && streq(ep->network, network) &&
			(ip_eq(&ep->ip4, a) || ip_eq(&ep->ip6, a)))
			return ep;
	}
	return NULL;
}

static const struct thing *named(const struct naive *w, enum noun noun, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i]->noun == noun && streq(noun == NOUN_NETWORK ? ((const struct network *)w->v[i])->name
									: ((const struct container *)w->v[i])->name,
						     name))
			return w->v[i];
	return NULL;
}

#define IDS 24
static void some_id(char out[static ID_TEXT], unsigned k)
{
	/* groups of ids share long beginnings */
	static const char *const starts[] = {"aaaa", "aaab", "ab", "b", "0123456789abcdef"};
	snprintf(out, ID_TEXT, "%s%02x%060d", starts[k % 5], k, 0);
	out[ID_TEXT - 1] = '\0';
}

static struct ip address(unsigned k)
{
	return ip4(0x0a000000u + k);
}

static struct container *new_container(const char *id, const char *name)
{
	struct arena mem = {0};
	struct container_spec *spec = arena_new(&mem, struct container_spec, 1);
	if (spec)
		spec_defaults(spec);
	struct container *c = spec ? container_new(id, name, spec, &mem) : NULL;
	arena_free(&mem);
	return c;
}

static bool overlaps(const struct port *p, uint8_t proto, const struct ip *host, unsigned first, unsigned last)
{
	bool same = ip_eq(&p->host_ip, host) || ip_is_unspecified(&p->host_ip) || ip_is_unspecified(host);
	return p->host_port && p->proto == proto && p->host_ip.family == host->family && same && p->host_port <= last &&
	       port_last(p) >= first;
}

static const struct port *port_holder(
	const struct naive *w, uint8_t proto, const struct ip *host, unsigned first, unsigned last, const char *except)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i]->noun == NOUN_PORT && !streq(w->v[i]->key, except) &&
			overlaps((const struct port *)w->v[i], proto, host, first, last))
			return (const struct port *)w->v[i];
	return NULL;
}

static struct ip random_host(void)
{
	static const char *const texts[] = {"0.0.0.0", "::", "10.0.0.1", "10.0.0.2", "127.0.0.1", "fd00::1", "fd00::2"};
	struct ip a = {0};
	ip_parse(texts[roll(ARRAY_LEN(texts))], &a);
	return a;
}

static void *random_port(const struct naive *w, const char *container)
{
	struct port *p = port_new(container, (int64_t)roll(12));
	p->proto = roll(2) ? IPPROTO_TCP : IPPROTO_UDP;
	p->host_ip = random_host();
	p->host_port = (uint16_t)(roll(8) ? 65450 + roll(80) : 0);
	p->count = (uint16_t)(roll(2) ? 1 : 1 + roll(7));
	if (!p->host_port || !port_holder(w, p->proto, &p->host_ip, p->host_port, port_last(p), p->key))
		return p;
	thing_unref(p);
	return NULL;
}

static void *random_thing(const struct naive *w)
{
	char id[ID_TEXT], other[ID_TEXT], name[32];
	static int64_t seq;
	some_id(id, roll(IDS));
	some_id(other, roll(6));
	snprintf(name, sizeof(name), "n%u", roll(IDS));
	switch (roll(9)) {
	case 0: {
		struct network *n = network_new(id, name, DRIVER_BRIDGE);
		const struct thing *same = named(w, NOUN_NETWORK, name);
		size_t old = naive_find(w, NOUN_NETWORK, id);
		n->seq = old < w->n ? ((const struct network *)w->v[old])->seq : ++seq;
		if (!same || streq(same->key, id))
			return n;
		thing_unref(n);
		return NULL;
	}
	case 1: {
		struct container *c = new_container(id, name);
		const struct thing *same = named(w, NOUN_CONTAINER, name);
		size_t old = naive_find(w, NOUN_CONTAINER, id);
		c->seq = old < w->n ? ((const struct container *)w->v[old])->seq : ++seq;
		STR_COPY(c->image, other);
		if (!same || streq(same->key, id))
			return c;
		thing_unref(c);
		return NULL;
	}
	case 2:
		return tag_new(name, other);
	case 3:
		return layer_new(id, "dir", 1);
	case 7:
	case 8:
		return random_port(w, other);
	default: {
		struct endpoint *ep = endpoint_new(id, other);
		struct ip a = address(roll(24));
		const struct endpoint *h = holder(w, other, &a);
		if (roll(4) && (!h || streq(h->key, ep->key))) {
			ep->joined = true;
			ep->ip4 = a;
			ip_parse(roll(2) ? "fd00::2" : "fd00::3", &ep->ip6);
			h = holder(w, other, &ep->ip6);
			if (h && !streq(h->key, ep->key))
				ep->ip6 = (struct ip){0};
		}
		return ep;
	}
	}
}

static void compare_things(const struct world *w, const struct naive *m)
{
	size_t counts[NOUN_N] = {0}, seen = 0;
	int64_t last_seq = 0;
	const struct thing *t;
	for (size_t i = 0; i < m->n; i++) {
		counts[m->v[i]->noun]++;
		REQUIRE(world_get(w, m->v[i]->noun, m->v[i]->key) == m->v[i]);
	}
	for (int noun = 0; noun < NOUN_N; noun++) {
		char last_key[THING_KEY] = "";
		last_seq = 0;
		seen = 0;
		CHECK_INT(world_count(w, (enum noun)noun), counts[noun]);
		for (size_t i = 0; (t = world_next(w, (enum noun)noun, &i)); seen++) {
			REQUIRE(naive_find(m, (enum noun)noun, t->key) < m->n);
			int64_t seq = noun == NOUN_NETWORK     ? ((const struct network *)t)->seq
				      : noun == NOUN_CONTAINER ? ((const struct container *)t)->seq
							       : 0;
			if (seq)
				CHECK(seq > last_seq);
			else
				CHECK(strcmp(last_key, t->key) < 0);
			last_seq = seq;
			STR_COPY(last_key, t->key);
		}
		CHECK_INT(seen, counts[noun]);
	}
}

static void compare_names(const struct world *w, const struct naive *m)
{
	int64_t most = 0;
	for (unsigned k = 0; k < IDS; k++) {
		char name[32], id[ID_TEXT];
		snprintf(name, sizeof(name), "n%u", k);
		REQUIRE((const struct thing *)world_network_by_name(w, name) == named(m, NOUN_NETWORK, name));
		REQUIRE((const struct thing *)world_container_by_name(w, name) == named(m, NOUN_CONTAINER, name));
		some_id(id, k);
		for (size_t len = 1; len <= 20; len += 1 + len / 3) {
			char prefix[ID_TEXT];
			const struct container *c = NULL;
			const struct thing *one = NULL;
			size_t n = 0;
			snprintf(prefix, sizeof(prefix), "%.*s", (int)len, id);
			for (size_t i = 0; i < m->n; i++)
				if (m->v[i]->noun == NOUN_CONTAINER && str_starts(m->v[i]->key, prefix)) {
					one = m->v[i];
					n++;
				}
			struct err e = {0};
			int r = world_find_container(w, prefix, &c, &e);
			CHECK_INT(r >= 0, n == 1);
			CHECK(r < 0 || (const struct thing *)c == one);
			CHECK(r >= 0 || e.kind == (n ? ERR_INVALID : ERR_NOT_FOUND));
		}
	}
	for (size_t i = 0; i < m->n; i++) {
		int64_t seq = m->v[i]->noun == NOUN_NETWORK     ? ((const struct network *)m->v[i])->seq
			      : m->v[i]->noun == NOUN_CONTAINER ? ((const struct container *)m->v[i])->seq
								: 0;
		most = seq > most ? seq : most;
	}
	CHECK(world_next_seq(w) > most);
}

static void compare_relations(const struct world *w, const struct naive *m)
{
	OWN(own_arena) struct arena a = {0};
	for (unsigned k = 0; k < IDS; k++) {
		char id[ID_TEXT];
		size_t of_container = 0, of_network = 0, joined = 0, users = 0, tags = 0, n;
		some_id(id, k);
		for (size_t i = 0; i < m->n; i++) {
			const struct endpoint *ep = (const struct endpoint *)m->v[i];
			if (m->v[i]->noun == NOUN_ENDPOINT) {
				of_container += streq(ep->container, id);
				of_network += streq(ep->network, id);
				joined += streq(ep->network, id) && ep->joined;
			}
			users += m->v[i]->noun == NOUN_CONTAINER &&
				 streq(((const struct container *)m->v[i])->image, id);
			tags += m->v[i]->noun == NOUN_TAG && streq(((const struct tag *)m->v[i])->image, id);
		}
		const struct endpoint **eps = world_endpoints_of_container(w, &a, id, &n);
		CHECK_INT(n, of_container);
		for (size_t i = 0; i < n; i++)
			CHECK(streq(eps[i]->container, id) && naive_find(m, NOUN_ENDPOINT, eps[i]->key) < m->n);
		eps = world_endpoints_of_network(w, &a, id, &n);
		CHECK_INT(n, of_network);
		for (size_t i = 0; i < n; i++)
			CHECK(streq(eps[i]->network, id) && (!i || strcmp(eps[i - 1]->key, eps[i]->key) < 0));
		const struct tag **ts = world_tags_of_image(w, &a, id, &n);
		CHECK_INT(n, tags);
		for (size_t i = 1; i < n; i++)
			CHECK(strcmp(ts[i - 1]->ref, ts[i]->ref) < 0);
		CHECK_INT(world_joined_in_network(w, id), joined);
		CHECK_INT(world_containers_of_image(w, id), users);
	}
}

static void compare_addresses(const struct world *w, const struct naive *m)
{
	for (unsigned k = 0; k < 6; k++) {
		char id[ID_TEXT];
		some_id(id, k);
		for (unsigned from = 0; from < 26; from++) {
			struct ip a = address(from), to = address(25), got = {0};
			unsigned want = from;
			CHECK(world_address_used(w, id, &a) == (holder(m, id, &a) != NULL));
			while (want <= 25 && (a = address(want), holder(m, id, &a)))
				want++;
			a = address(from);
			bool found = world_address_free(w, id, &a, &to, &got);
			CHECK(found == (want <= 25));
			a = address(want);
			CHECK(!found || ip_eq(&got, &a));
		}
	}
}

static void compare_ports(const struct world *w, const struct naive *m)
{
	OWN(own_arena) struct arena a = {0};
	for (int i = 0; i < 200; i++) {
		struct ip host = random_host();
		uint8_t proto = roll(2) ? IPPROTO_TCP : IPPROTO_UDP;
		unsigned first = 65440 + roll(90), last = first + (roll(2) ? 0 : roll(6));
		const struct port *p = world_port_overlapping(w, proto, &host, (uint16_t)first, last - first + 1);
		CHECK((p != NULL) == (port_holder(m, proto, &host, first, last, "") != NULL));
		CHECK(!p || overlaps(p, proto, &host, first, last));
	}
	for (unsigned k = 0; k < 6; k++) {
		char id[ID_TEXT];
		size_t n, want = 0;
		some_id(id, k);
		const struct port **v = world_ports_of_container(w, &a, id, &n);
		for (size_t i = 0; i < m->n; i++)
			want += m->v[i]->noun == NOUN_PORT && streq(((const struct port *)m->v[i])->container, id);
		CHECK_INT(n, want);
		for (size_t i = 1; i < n; i++)
			CHECK(v[i - 1]->seq < v[i]->seq);
	}
}

static void compare(const struct world *w, const struct naive *m)
{
	compare_things(w, m);
	compare_names(w, m);
	compare_relations(w, m);
	compare_addresses(w, m);
	compare_ports(w, m);
}

static void change(struct world *w, struct naive *m)
{
	if (m->n && roll(3) == 0) {
		size_t i = roll((unsigned)m->n);
		const struct thing *t = m->v[i];
		CHECK_INT(world_del(w, t->noun, t->key, NULL), 0);
		naive_del(m, i);
		return;
	}
	struct thing *t = m->n && roll(5) == 0 ? thing_ref(m->v[roll((unsigned)m->n)]) : random_thing(m);
	if (!t || m->n == MOST) {
		thing_unref(t);
		return;
	}
	naive_put(m, t);
	CHECK_INT(world_put(w, t, NULL), 0);
}

static void compare_changes(const struct world *fork, const struct naive *before, const struct naive *after)
{
	OWN(own_arena) struct arena a = {0};
	struct change *ch;
	size_t n, want = 0;
	REQUIRE(world_changes(fork, &a, &ch, &n) == 0);
	for (size_t i = 0; i < n; i++) {
		const struct thing *b = ch[i].before, *t = ch[i].after;
		const char *key = t ? t->key : b->key;
		size_t x = naive_find(before, ch[i].noun, key), y = naive_find(after, ch[i].noun, key);
		CHECK(b != t && (x == before->n ? !b : before->v[x] == b) && (y == after->n ? !t : after->v[y] == t));
		const struct thing *last = !i ? NULL : ch[i - 1].after ? ch[i - 1].after : ch[i - 1].before;
		if (last && ch[i].noun == ch[i - 1].noun)
			CHECK(strcmp(last->key, key) < 0);
		CHECK(!i || ch[i].noun >= ch[i - 1].noun);
	}
	for (size_t i = 0; i < after->n; i++) {
		size_t x = naive_find(before, after->v[i]->noun, after->v[i]->key);
		want += x == before->n || before->v[x] != after->v[i];
	}
	for (size_t i = 0; i < before->n; i++)
		want += naive_find(after, before->v[i]->noun, before->v[i]->key) == after->n;
	CHECK_INT(n, want);
}

TEST(like_a_naive_world)
{
	static struct naive base, fork;
	struct world *w = world_new();
	for (int round = 0; round < 400 && !test_failed; round++) {
		struct world *f = world_fork(w);
		naive_copy(&fork, &base);
		for (unsigned k = roll(round % 10 == 0 ? 200 : 12); k; k--)
			change(f, &fork);
		compare(f, &fork);
		compare_changes(f, &base, &fork);
		compare(w, &base);
		if (roll(3)) {
			world_merge(w, f);
			naive_copy(&base, &fork);
			compare(w, &base);
		} else {
			world_free(f);
		}
	}
	while (base.n)
		naive_del(&base, 0);
	while (fork.n)
		naive_del(&fork, 0);
	world_free(w);
}

/* A name and an address may change hands within one fork. */
TEST(things_trade_places)
{
	struct world *w = world_new();
	char a[ID_TEXT], b[ID_TEXT];
	some_id(a, 1);
	some_id(b, 2);
	world_put(w, new_container(a, "one"), NULL);
	world_put(w, new_container(b, "two"), NULL);
	struct world *f = world_fork(w);
	struct container *x = container_copy(world_container(w, a)), *y = container_copy(world_container(w, b));
	STR_COPY(x->name, "two");
	STR_COPY(y->name, "one");
	world_put(f, x, NULL);
	world_put(f, y, NULL);
	CHECK(world_container_by_name(f, "two") == x && world_container_by_name(f, "one") == y);
	CHECK(streq(world_container_by_name(w, "two")->id, b));
	world_merge(w, f);
	CHECK(world_container_by_name(w, "two") == x && world_container_by_name(w, "one") == y);
	world_free(w);
}

/* Every allocation of a put and of a delete fails in turn: the fork is as it was before the call. Merging asks for no
 * memory at all. */
TEST(no_memory)
{
	char id[ID_TEXT], net[ID_TEXT];
	struct err e = {0};
	some_id(id, 1);
	some_id(net, 2);
	struct world *w = world_new();
	struct endpoint *ep = endpoint_new(id, net);
	ep->joined = true;
	ep->ip4 = address(2);
	world_put(w, ep, NULL);
	struct world *f = world_fork(w);
	for (unsigned k = 1; k <= 2; k++) {
		struct endpoint *c = endpoint_copy(ep);
		c->ip4 = address(3);
		oom_after = k;
		CHECK_INT(world_put(f, c, &e), -ENOMEM);
		oom_after = 0;
		struct ip old = address(2), new = address(3);
		CHECK(world_address_used(f, net, &old) && !world_address_used(f, net, &new));
		CHECK_INT(world_count(f, NOUN_ENDPOINT), 1);
	}
	oom_after = 1;
	CHECK_INT(world_del(f, NOUN_ENDPOINT, ep->key, &e), -ENOMEM);
	oom_after = 0;
	CHECK(world_endpoint(f, id, net) == ep);
	CHECK_INT(world_put(f, new_container(id, "c"), &e), 0);
	CHECK_INT(world_del(f, NOUN_ENDPOINT, ep->key, &e), 0);
	CHECK_INT(world_del(f, NOUN_ENDPOINT, "nowhere", &e), -ENOENT);
	oom_failed = 0;
	oom_after = 1;
	world_merge(w, f);
	oom_after = 0;
	CHECK_INT(oom_failed, 0);
	CHECK_INT(world_count(w, NOUN_ENDPOINT), 0);
	CHECK_INT(world_count(w, NOUN_CONTAINER), 1);
	world_free(w);
}

static struct endpoint *joined(unsigned container, const char *net, struct ip a)
{
	char id[ID_TEXT];
	snprintf(id, sizeof(id), "%016x%048d", container * 2654435761u, 0);
	struct endpoint *ep = endpoint_new(id, net);
	ep->joined = true;
	ep->ip4 = a;
	return ep;
}

/* What one operation costs beside 65,000 addresses in its network and 2,000 other networks: counted in visited nodes.
 */
TEST(cost_does_not_grow)
{
	static char net[2000][ID_TEXT];
	struct world *w = world_new();
	unsigned long cost[2] = {0};
	const struct thing *ep;
	for (unsigned i = 0; i < 2000; i++) {
		char name[32];
		snprintf(net[i], ID_TEXT, "%08x%056d", i * 2654435761u, 0);
		snprintf(name, sizeof(name), "net%u", i);
		struct network *n = network_new(net[i], name, DRIVER_BRIDGE);
		n->seq = i + 1;
		world_put(w, n, NULL);
	}
	for (unsigned have = 0; have < 2; have++) {
		struct ip from = ip4(0xac110002u), to = ip4(0xac11fffeu), a = {0};
		if (have)
			for (unsigned i = 0; i < 65000; i++)
				world_put(w, joined(i, net[7], ip4(0xac110002u + i)), NULL);
		struct world *f = world_fork(w);
		unsigned long before = tree_steps;
		REQUIRE(world_address_free(f, net[7], &from, &to, &a));
		CHECK_INT(ip4_host(&a), 0xac110002u + (have ? 65000 : 0));
		REQUIRE(world_put(f, joined(70000, net[7], a), NULL) == 0);
		CHECK_INT(world_joined_in_network(f, net[7]), have ? 65001 : 1);
		CHECK(world_network_by_name(f, "net1999") != NULL);
		CHECK(world_address_used(f, net[7], &a));
		world_merge(w, f);
		cost[have] = tree_steps - before;
		if (!have)
			for (size_t i = 0; (ep = world_next(w, NOUN_ENDPOINT, &i)); i = 0)
				world_del(w, NOUN_ENDPOINT, ep->key, NULL);
	}
	printf("# visited nodes: alone %lu, beside 65,000 %lu\n", cost[0], cost[1]);
	CHECK(cost[1] < cost[0] + 25 * 20);
	world_free(w);
}

/* Holes: every second address, then a fork that frees and takes some. */
TEST(lowest_free_address)
{
	struct world *w = world_new();
	char net[ID_TEXT];
	struct ip from = ip4(0x0a000001), to = ip4(0x0a0003ff), a, x;
	some_id(net, 3);
	for (unsigned i = 1; i < 1000; i += 2)
		world_put(w, joined(i, net, ip4(0x0a000000 + i)), NULL);
	CHECK(world_address_free(w, net, &from, &to, &a) && ip4_host(&a) == 0x0a000002);
	struct world *f = world_fork(w);
	for (unsigned i = 2; i < 1000; i += 2)
		world_put(f, joined(5000 + i, net, ip4(0x0a000000 + i)), NULL);
	CHECK(world_address_free(f, net, &from, &to, &a) && ip4_host(&a) == 0x0a000000 + 1000);
	struct endpoint *gone = joined(501, net, ip4(0));
	world_del(f, NOUN_ENDPOINT, gone->key, NULL);
	CHECK(world_address_free(f, net, &from, &to, &a) && ip4_host(&a) == 0x0a000000 + 501);
	x = ip4(0x0a000000 + 502);
	CHECK(world_address_free(f, net, &x, &to, &a) && ip4_host(&a) == 0x0a000000 + 1000);
	x = ip4(0x0a000000 + 500);
	CHECK(!world_address_free(f, net, &x, &x, &a));
	x = ip4(0xffffffff);
	CHECK(world_address_free(f, net, &x, &x, &a) && ip_eq(&a, &x));
	struct endpoint *last = joined(9999, net, x);
	world_put(f, last, NULL);
	CHECK(!world_address_free(f, net, &x, &x, &a));
	thing_unref(gone);
	world_free(f);
	world_free(w);
}

TEST(terms)
{
	struct world *w = world_new();
	char a[ID_TEXT], b[ID_TEXT];
	struct err e = {0};
	const struct container *c;
	const struct network *n;
	const struct image *img;
	struct image *made;
	some_id(a, 0);
	some_id(b, 5);
	world_put(w, new_container(a, "web"), NULL);
	world_put(w, new_container(b, "aaaa00"), NULL);
	CHECK(world_find_container(w, "/web", &c, &e) == 0 && streq(c->id, a));
	CHECK(world_find_container(w, "aaaa00", &c, &e) == 0 &&
		streq(c->id, b)); /* a name is preferred to the prefix of an id */
	CHECK(world_find_container(w, a, &c, &e) == 0 && streq(c->id, a));
	CHECK_INT(world_find_container(w, "aaaa", &c, &e), -EINVAL);
	CHECK_STR(e.msg, "Multiple IDs found with provided prefix: aaaa");
	CHECK(world_find_container(w, "", &c, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK(world_container_by_prefix(w, "aaaa05") && streq(world_container_by_prefix(w, "aaaa05")->id, b));
	CHECK(world_container_by_prefix(w, "aaaa") && !world_container_by_prefix(w, "ab") && !world_container_by_prefix(w, ""));
	CHECK(world_find_container(w, "nope", &c, &e) < 0);
	CHECK_STR(e.msg, "No such container: nope");
	world_put(w, network_new(a, "bridge", DRIVER_BRIDGE), NULL);
	world_put(w, network_new(b, "mine", DRIVER_BRIDGE), NULL);
	CHECK(world_find_network(w, "default", &n, &e) == 0 && streq(n->name, "bridge"));
	CHECK(world_find_network(w, "aaaa05", &n, &e) == 0 && streq(n->name, "mine"));
	CHECK(world_find_network(w, "aa", &n, &e) < 0 && e.kind == ERR_INVALID);
	CHECK_STR(e.msg, "network aa is ambiguous (2 matches found based on ID prefix)");
	CHECK(world_find_network(w, "zz", &n, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK_STR(e.msg, "network zz not found");
	REQUIRE(image_new(b, "{}", &made, &e) == 0);
	world_put(w, made, NULL);
	world_put(w, tag_new("alpine:latest", b), NULL);
	CHECK(world_find_image(w, "alpine", &img, &e) == 0 && img == made);
	CHECK(world_find_image(w, "docker.io/library/alpine:latest", &img, &e) == 0 && img == made);
	CHECK(world_find_image(w, "aaaa05", &img, &e) == 0 && img == made);
	CHECK(world_find_image(w, "sha256:aaaa05", &img, &e) == 0 && img == made);
	CHECK(world_find_image(w, "busybox", &img, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK_STR(e.msg, "No such image: busybox:latest");
	CHECK(world_find_image(w, "Up/Case", &img, &e) < 0 && e.kind == ERR_INVALID);
	world_free(w);
}

TESTS(T(like_a_naive_world), T(things_trade_places), T(no_memory), T(cost_does_not_grow), T(lowest_free_address),
	T(terms))
