/* world_index: things in every order in which they are looked for. Private to world*.c. Adding and removing cannot
 * fail: the memory is the entry's. */
#pragma once

#include "model/tree.h"
#include "model/world.h"

/* A noun's orders; the numbers are places in entry.node[], so nouns share them. */
enum {
	ORDER_KEY, /* every noun */

	ORDER_SEQ = 1,  /* networks, containers */
	ORDER_NAME = 2, /* networks, containers */
	ORDER_USER = 3, /* containers by image */
	ORDER_LINKS = 4, /* containers with links, by key */

	ORDER_SUBNET4 = 3, /* networks by the first address of their IPv4 subnet */
	ORDER_SUBNET6 = 4,

	ORDER_NETWORK = 1, /* endpoints by network */
	ORDER_JOINED = 2,  /* the same, joined ones only */
	ORDER_IP4 = 3,     /* joined endpoints by network and address */
	ORDER_IP6 = 4,

	ORDER_TAGGED = 1, /* tags by image */

	ORDER_HOST = 1, /* ports of the host by protocol, address and number */
	ORDER_LIMITED = ORDER_LINKS, /* those with scope lan or local, by key */
	ORDER_N = 5
};

struct entry {
	struct thing *thing;
	struct tree_node node[ORDER_N];
};

struct index {
	struct tree tree[NOUN_N][ORDER_N];
};

/* A place in an order. What an order compares first: text (key, name, image id, network id), then seq or ip, then the
 * key (ORDER_HOST: the protocol, which is seq / 65536, ip, the number, which is the rest of seq, key), unless edge says that the place is before (-1) or after (1) all that agree so far. In ORDER_KEY an edge makes
 * text a prefix. */
struct probe {
	const char *text, *key;
	const struct ip *ip;
	int64_t seq;
	int edge;
};

void index_add(struct index *x, struct entry *e);
void index_del(struct index *x, struct entry *e);
struct entry *index_get(const struct index *x, enum noun noun, const char *key);
struct entry *index_at(const struct index *x, enum noun noun, int order, size_t i);
size_t index_rank(const struct index *x, enum noun noun, int order, const struct probe *p);
size_t index_count(const struct index *x, enum noun noun); /* all things of the noun */
size_t index_count_order(const struct index *x, enum noun noun, int order); /* those that have a place in it */
/* How many agree with the probe's leading part; *first is the place of the first. The probe's edge is not looked at. */
size_t index_range(const struct index *x, enum noun noun, int order, struct probe p, size_t *first);
/* Where e stands in the order beside the other entry: negative before it. */
int index_compare(int order, const struct entry *e, const struct entry *other);
/* The lowest address in [from, to] that no joined endpoint of the network has. */
bool index_gap(const struct index *x, const char *network, const struct ip *from, const struct ip *to, struct ip *out);
bool index_has_address(const struct index *x, const char *network, const struct ip *a);

static inline int order_of_family(uint8_t family)
{
	return family == AF_INET6 ? ORDER_IP6 : ORDER_IP4;
}
static inline int64_t index_host_seq(uint8_t proto, uint16_t number)
{
	return (int64_t)proto << 16 | number;
}
static inline bool noun_has_seq(enum noun noun)
{
	return noun == NOUN_NETWORK || noun == NOUN_CONTAINER;
}

/* A base has `now`. A fork has what it adds or changes in `now` and the base's things that are changed or gone in
 * `hidden`: what is seen is the base without hidden, and now. */
struct world {
	const struct world *base; /* NULL: this is one */
	struct index now, hidden;
};
