#include "model/world_index.h"

#include <string.h>

static const struct entry *entry_of(const struct tree_node *n, int order)
{
	return (const struct entry *)(const void *)((const char *)n - offsetof(struct entry, node) -
						    (size_t)order * sizeof(*n));
}

static const struct thing *thing_of(const struct tree_node *n, int order)
{
	return entry_of(n, order)->thing;
}

static int cmp_key(const void *probe, const struct tree_node *n)
{
	const struct probe *p = probe;
	const char *key = thing_of(n, ORDER_KEY)->key;
	if (!p->edge)
		return strcmp(p->text, key);
	int r = strncmp(p->text, key, strlen(p->text));
	return r ? r : p->edge;
}

static int cmp_text(const struct probe *p, const char *text, const struct thing *t)
{
	int r = strcmp(p->text, text);
	return r ? r : p->edge ? p->edge : strcmp(p->key, t->key);
}

static int64_t seq_of(const struct thing *t)
{
	return t->noun == NOUN_NETWORK ? ((const struct network *)t)->seq : ((const struct container *)t)->seq;
}

static const char *name_of(const struct thing *t)
{
	return t->noun == NOUN_NETWORK ? ((const struct network *)t)->name : ((const struct container *)t)->name;
}

static int cmp_seq(const void *probe, const struct tree_node *n)
{
	const struct probe *p = probe;
	const struct thing *t = thing_of(n, ORDER_SEQ);
	int64_t seq = seq_of(t);
	return p->seq != seq ? (p->seq < seq ? -1 : 1) : p->edge ? p->edge : strcmp(p->key, t->key);
}

static int cmp_name(const void *probe, const struct tree_node *n)
{
	const struct thing *t = thing_of(n, ORDER_NAME);
	return cmp_text(probe, name_of(t), t);
}

static int cmp_user(const void *probe, const struct tree_node *n)
{
	const struct container *c = (const struct container *)thing_of(n, ORDER_USER);
	return cmp_text(probe, c->image, &c->thing);
}

static int cmp_tagged(const void *probe, const struct tree_node *n)
{
	const struct tag *t = (const struct tag *)thing_of(n, ORDER_TAGGED);
	return cmp_text(probe, t->image, &t->thing);
}

static int cmp_network(const void *probe, const struct tree_node *n)
{
	const struct endpoint *ep = (const struct endpoint *)thing_of(n, ORDER_NETWORK);
	return cmp_text(probe, ep->network, &ep->thing);
}

static int cmp_joined(const void *probe, const struct tree_node *n)
{
	const struct endpoint *ep = (const struct endpoint *)thing_of(n, ORDER_JOINED);
	return cmp_text(probe, ep->network, &ep->thing);
}

static int cmp_address(const struct probe *p, const struct endpoint *ep, const struct ip *a)
{
	int r = strcmp(p->text, ep->network);
	if (!r)
		r = ip_cmp(p->ip, a);
	return r ? r : p->edge ? p->edge : strcmp(p->key, ep->thing.key);
}

static int cmp_ip4(const void *probe, const struct tree_node *n)
{
	const struct endpoint *ep = (const struct endpoint *)thing_of(n, ORDER_IP4);
	return cmp_address(probe, ep, &ep->ip4);
}

static int cmp_ip6(const void *probe, const struct tree_node *n)
{
	const struct endpoint *ep = (const struct endpoint *)thing_of(n, ORDER_IP6);
	return cmp_address(probe, ep, &ep->ip6);
}

static int cmp_subnet(const struct probe *p, const struct network *n, const struct subnet *s)
{
	int r = ip_cmp(p->ip, &s->net.ip);
	return r ? r : p->edge ? p->edge : strcmp(p->key, n->thing.key);
}

static int cmp_subnet4(const void *probe, const struct tree_node *n)
{
	const struct network *net = (const struct network *)thing_of(n, ORDER_SUBNET4);
	return cmp_subnet(probe, net, &net->v4);
}

static int cmp_subnet6(const void *probe, const struct tree_node *n)
{
	const struct network *net = (const struct network *)thing_of(n, ORDER_SUBNET6);
	return cmp_subnet(probe, net, &net->v6);
}

static int cmp_by_key(const void *probe, const struct tree_node *n)
{
	const struct probe *p = probe;
	return p->edge ? p->edge : strcmp(p->key, thing_of(n, ORDER_LINKS)->key);
}

static int cmp_host(const void *probe, const struct tree_node *n)
{
	const struct probe *p = probe;
	const struct port *t = (const struct port *)thing_of(n, ORDER_HOST);
	int r = (int)(p->seq >> 16) - t->proto;
	if (!r)
		r = ip_cmp(p->ip, &t->host_ip);
	if (!r)
		r = (int)(p->seq & 0xffff) - t->host_port;
	return r ? r : p->edge ? p->edge : strcmp(p->key, t->thing.key);
}

static const tree_cmp orders[NOUN_N][ORDER_N] = {
	[NOUN_NETWORK] = {[ORDER_KEY] = cmp_key, [ORDER_SEQ] = cmp_seq, [ORDER_NAME] = cmp_name,
		[ORDER_SUBNET4] = cmp_subnet4, [ORDER_SUBNET6] = cmp_subnet6},
	[NOUN_CONTAINER] =
		{[ORDER_KEY] = cmp_key, [ORDER_SEQ] = cmp_seq, [ORDER_NAME] = cmp_name, [ORDER_USER] = cmp_user,
			[ORDER_LINKS] = cmp_by_key},
	[NOUN_ENDPOINT] = {[ORDER_KEY] = cmp_key,
		[ORDER_NETWORK] = cmp_network,
		[ORDER_JOINED] = cmp_joined,
		[ORDER_IP4] = cmp_ip4,
		[ORDER_IP6] = cmp_ip6},
	[NOUN_IMAGE] = {[ORDER_KEY] = cmp_key},
	[NOUN_TAG] = {[ORDER_KEY] = cmp_key, [ORDER_TAGGED] = cmp_tagged},
	[NOUN_LAYER] = {[ORDER_KEY] = cmp_key},
	[NOUN_PORT] = {[ORDER_KEY] = cmp_key, [ORDER_HOST] = cmp_host, [ORDER_LIMITED] = cmp_by_key},
	[NOUN_VOLUME] = {[ORDER_KEY] = cmp_key},
};

/* The thing's place in the order; false when it has none there. */
static bool place(const struct thing *t, int order, struct probe *p)
{
	*p = (struct probe){.text = t->key, .key = t->key};
	if (order == ORDER_KEY)
		return true;
	if (t->noun == NOUN_PORT) {
		const struct port *port = (const struct port *)t;
		if (order == ORDER_LIMITED)
			return port_is_limited(port);
		p->seq = index_host_seq(port->proto, port->host_port);
		p->ip = &port->host_ip;
		return port->host_port != 0;
	}
	if (t->noun == NOUN_TAG) {
		p->text = ((const struct tag *)t)->image;
	} else if (t->noun == NOUN_ENDPOINT) {
		const struct endpoint *ep = (const struct endpoint *)t;
		p->text = ep->network;
		p->ip = order == ORDER_IP6 ? &ep->ip6 : &ep->ip4;
		return order == ORDER_NETWORK || (ep->joined && (order == ORDER_JOINED || ip_is_set(p->ip)));
	} else if (t->noun == NOUN_NETWORK && order >= ORDER_SUBNET4) {
		const struct network *n = (const struct network *)t;
		const struct subnet *s = order == ORDER_SUBNET6 ? &n->v6 : &n->v4;
		p->ip = &s->net.ip;
		return s->net.ip.family && !n->config_only;
	} else if (t->noun == NOUN_CONTAINER && order == ORDER_LINKS) {
		return ((const struct container *)t)->spec->host.links.n > 0;
	} else if (order == ORDER_SEQ) {
		p->seq = seq_of(t);
	} else {
		p->text = order == ORDER_NAME ? name_of(t) : ((const struct container *)t)->image;
	}
	return true;
}

void index_add(struct index *x, struct entry *e)
{
	enum noun noun = e->thing->noun;
	struct probe p;
	for (int o = 0; o < ORDER_N; o++)
		if (orders[noun][o] && place(e->thing, o, &p))
			tree_add(&x->tree[noun][o], orders[noun][o], &p, &e->node[o]);
}

void index_del(struct index *x, struct entry *e)
{
	enum noun noun = e->thing->noun;
	struct probe p;
	for (int o = 0; o < ORDER_N; o++)
		if (orders[noun][o] && place(e->thing, o, &p))
			tree_del(&x->tree[noun][o], orders[noun][o], &p);
}

struct entry *index_get(const struct index *x, enum noun noun, const char *key)
{
	struct probe p = {.text = key};
	struct tree_node *n = tree_find(&x->tree[noun][ORDER_KEY], cmp_key, &p);
	return n ? (struct entry *)(uintptr_t)entry_of(n, ORDER_KEY) : NULL;
}

struct entry *index_at(const struct index *x, enum noun noun, int order, size_t i)
{
	struct tree_node *n = tree_at(&x->tree[noun][order], i);
	return n ? (struct entry *)(uintptr_t)entry_of(n, order) : NULL;
}

size_t index_rank(const struct index *x, enum noun noun, int order, const struct probe *p)
{
	return tree_rank(&x->tree[noun][order], orders[noun][order], p);
}

size_t index_count(const struct index *x, enum noun noun)
{
	return tree_size(&x->tree[noun][ORDER_KEY]);
}

size_t index_count_order(const struct index *x, enum noun noun, int order)
{
	return tree_size(&x->tree[noun][order]);
}

size_t index_range(const struct index *x, enum noun noun, int order, struct probe p, size_t *first)
{
	p.edge = -1;
	*first = index_rank(x, noun, order, &p);
	p.edge = 1;
	return index_rank(x, noun, order, &p) - *first;
}

int index_compare(int order, const struct entry *e, const struct entry *other)
{
	struct probe p;
	place(e->thing, order, &p);
	return orders[e->thing->noun][order](&p, &other->node[order]);
}

bool index_has_address(const struct index *x, const char *network, const struct ip *a)
{
	size_t first;
	return index_range(x, NOUN_ENDPOINT, order_of_family(a->family), (struct probe){.text = network, .ip = a},
		       &first) > 0;
}

/* Adds n; false when it leaves the family's addresses. */
static bool advance(struct ip *a, uint64_t n)
{
	for (unsigned i = ip_bits(a->family) / 8; n && i--;) {
		n += a->b[i];
		a->b[i] = (uint8_t)n;
		n >>= 8;
	}
	return n == 0;
}

/* The used addresses from `from` on, in order, are from, from+1, ... until the first gap, and never again after it: so
 * whether the k-th is from+k can be asked in a binary search, which the tree's own shape is. (Addresses in a base world
 * are distinct within a network: the store's schema says so.) */
bool index_gap(const struct index *x, const char *network, const struct ip *from, const struct ip *to, struct ip *out)
{
	int order = order_of_family(from->family);
	struct probe p = {.text = network, .ip = from, .edge = -1};
	size_t start = index_rank(x, NOUN_ENDPOINT, order, &p), before = 0, full = 0;
	for (const struct tree_node *n = x->tree[NOUN_ENDPOINT][order].root; n;) {
		size_t i = before + (n->child[0] ? n->child[0]->size : 0);
		const struct endpoint *ep = (const struct endpoint *)thing_of(n, order);
		struct ip expected = *from;
		bool right = i < start;
		tree_steps++;
		if (!right && strcmp(ep->network, network) == 0 && advance(&expected, i - start) &&
			ip_eq(&expected, order == ORDER_IP6 ? &ep->ip6 : &ep->ip4)) {
			right = true;
			full = i - start + 1;
		}
		if (right)
			before = i + 1;
		n = n->child[right];
	}
	struct ip a = *from;
	if (!advance(&a, full) || ip_cmp(&a, to) > 0)
		return false;
	*out = a;
	return true;
}
