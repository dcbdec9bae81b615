/* world_index: the indexes of a base world. Private to world*.c. */
#pragma once

#include "model/addrset.h"
#include "model/world.h"

struct vec { /* sorted pointers to things; owns the array only */
	void **v;
	size_t n, cap;
};

struct index {
	struct map by_name[2];          /* networks, containers: name -> thing */
	struct map of_container;        /* container id -> struct group of endpoints */
	struct map of_network;          /* network id -> struct group of endpoints */
	struct map of_image;            /* image id -> struct group of tags */
	struct map users;               /* image id -> struct group of containers */
	struct map addresses;           /* network id -> struct addresses */
	struct vec by_id[NOUN_N];       /* sorted by key */
	struct vec by_seq[NOUN_N];      /* networks and containers: sorted by seq */
};

struct group { /* things that share a parent; the entry stays while it is not empty */
	char key[ID_TEXT];
	struct vec things;
};
struct addresses {
	char key[ID_TEXT];
	struct addrset set;
	size_t joined;
};

int index_add(struct index *x, struct thing *t); /* -ENOMEM: the index is then damaged, see world_merge */
int index_del(struct index *x, struct thing *t);
void index_free(struct index *x);
const struct group *index_group(const struct map *m, const char *key);
/* Position of the first thing whose key is not below `key`. */
size_t index_lower(const struct vec *v, const char *key);
int64_t thing_seq(const struct thing *t); /* 0 for nouns without one */
const char *thing_name(const struct thing *t); /* NULL for nouns without one */

struct world {
	const struct world *base; /* NULL: this is one */
	struct map things[NOUN_N]; /* base: key -> thing; fork: key -> struct slot */
	struct index index;        /* base only */
	struct slot **slots;       /* fork only: in order of the first change */
	size_t nslots, cap;
};
struct slot {
	char key[THING_KEY];
	enum noun noun;
	struct thing *now; /* NULL: deleted */
};

const struct slot *world_slot(const struct world *w, enum noun noun, const char *key); /* NULL: the fork does not change it */
