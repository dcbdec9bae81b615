/* world: all things, with their indexes. A world is either a base or a fork: a thin overlay on a base that holds only
 * changes, so that an operation costs what it changes and both "before" (the base) and "after" (the fork) can be read
 * at once. Pure memory: no clock, no store. Not locked: ops/ orders writers, and readers against the short world_merge.
 */
#pragma once

#include "base/map.h"
#include "model/container.h"
#include "model/endpoint.h"
#include "model/image.h"
#include "model/port.h"
#include "model/volume.h"

struct world;

struct world *world_new(void);                      /* NULL when out of memory */
struct world *world_fork(const struct world *base); /* the base must not change or go while the fork lives */
void world_free(struct world *w);
static inline void own_world(struct world **w)
{
	world_free(*w);
}
/* Moves the fork's changes into its base (which must be the one it was forked from), then frees the fork. Cannot fail:
 * memory was reserved by the puts. */
void world_merge(struct world *base, struct world *fork);

/* Puts take over the caller's reference (also on failure). -ENOMEM. A put of a present key replaces it. */
int world_put(struct world *w, void *thing, struct err *e);
int world_del(struct world *w, enum noun noun, const char *key, struct err *e); /* absent: -ENOENT */

/* Lookups: NULL if absent. Pointers stay valid until the world changes; thing_ref() to keep one. */
const void *world_get(const struct world *w, enum noun noun, const char *key);
const struct network *world_network(const struct world *w, const char *id);
const struct network *world_network_by_name(const struct world *w, const char *name);
const struct container *world_container(const struct world *w, const char *id);
const struct container *world_container_by_prefix(const struct world *w, const char *prefix); /* the first whose id starts with it */
const struct container *world_container_by_name(const struct world *w, const char *name);
const struct endpoint *world_endpoint(const struct world *w, const char *container, const char *network);
const struct image *world_image(const struct world *w, const char *id);
const struct volume *world_volume(const struct world *w, const char *name);

/* What a user may write: full id, exact name, unique id prefix. Errors with Docker's texts: NOT_FOUND "No such
 * container: x" / "network x not found" / "No such image: x:tag"; ambiguity: INVALID. Image terms: reference
 * (normalised by base/ref), id, id prefix, "sha256:..." . */
int world_find_container(const struct world *w, const char *term, const struct container **out, struct err *e);
/* Whose network namespace it is in, and with it whose hosts and resolv.conf it reads: its own, or that of the one it joins. */
const struct container *world_netns_owner(const struct world *w, const struct container *c);
int world_find_network(const struct world *w, const char *term, const struct network **out, struct err *e);
int world_find_image(const struct world *w, const char *term, const struct image **out, struct err *e);
int world_find_volume(const struct world *w, const char *name, const struct volume **out, struct err *e); /* by its whole name */

/* Iteration: for (size_t i = 0; (t = world_next(w, NOUN_X, &i));) . Order: by seq for networks and containers
 * (creation), else by key. The world must not change meanwhile. */
const void *world_next(const struct world *w, enum noun noun, size_t *i);
size_t world_count(const struct world *w, enum noun noun);
/* Endpoints of a container (ordered by network name) or of a network (by container id), in an array from the arena. */
const struct endpoint **world_endpoints_of_container(
	const struct world *w, struct arena *a, const char *container, size_t *n);
const struct endpoint **world_endpoints_of_network(
	const struct world *w, struct arena *a, const char *network, size_t *n);
/* Tags of an image, sorted, in an array from the arena. */
const struct tag **world_tags_of_image(const struct world *w, struct arena *a, const char *image, size_t *n);
size_t world_containers_of_image(const struct world *w, const char *image);
/* Published ports of a container by their seq, in an array from the arena. */
const struct port **world_ports_of_container(const struct world *w, struct arena *a, const char *container, size_t *n);
size_t world_limited_ports(const struct world *w); /* how many are for some clients only, by their address */
/* A port that has one of these `count` ports of the host, at the same address, or any where one of the two is
 * unspecified; NULL. O(log n) for each specific address that ports are published at. */
const struct port *world_port_overlapping(
	const struct world *w, uint8_t proto, const struct ip *host, uint16_t first, unsigned count);
size_t world_joined_in_network(const struct world *w, const char *network); /* joined endpoints */

/* Address index, O(log n): addresses of joined endpoints of the network. */
bool world_address_used(const struct world *w, const char *network, const struct ip *a);
/* Lowest address >= from and <= to that no joined endpoint uses; false when there is none. */
bool world_address_free(
	const struct world *w, const char *network, const struct ip *from, const struct ip *to, struct ip *out);

/* Subnets that networks own, O(log n): they never overlap each other. The one that overlaps p, `except` (an id, may be
 * NULL) aside; NULL if there is none. */
const struct network *world_subnet_overlapping(const struct world *w, const struct prefix *p, const char *except);
/* How many begin in [from, to]. */
size_t world_subnets_within(const struct world *w, const struct ip *from, const struct ip *to);
/* Containers with links (on the default bridge), in an array from the arena; NULL only when out of memory. */
const struct container **world_containers_with_links(const struct world *w, struct arena *a, size_t *n);

/* The next creation number: above the seq of everything in the world. */
int64_t world_next_seq(const struct world *w);

struct change {
	enum noun noun;
	const void *before; /* NULL: added */
	const void *after;  /* NULL: removed */
};
/* The fork's changes against its base, ordered by noun then key; unchanged things that were put again with the same
 * pointer are left out. */
int world_changes(const struct world *fork, struct arena *a, struct change **out, size_t *n);
