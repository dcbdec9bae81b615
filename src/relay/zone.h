/* zone: the names of one network as an immutable snapshot, and how one container sees several of them. Pure. Objects own what they hold; a view holds places of
 * zones, which outlive every change of their content. Texts in the indexes are lower case. */
#pragma once

#include "base/clock.h"
#include "base/map.h"
#include "base/relay_proto.h"

struct zone_host {
	struct ip v4, v6;
	const char *const *names; /* as given, primary first */
	size_t nnames;
};

struct zone_name { /* all hosts of one name */
	const struct zone_host **hosts;
	size_t n, cap;
};

struct zone {
	struct arena mem;
	const char *domain;    /* the network's name, as given */
	const char *domain_lc;
	struct map names;      /* text -> struct zone_name */
	struct map addresses;  /* struct ip -> struct zone_host */
};
int zone_new(const struct relay_zone *in, struct zone **out); /* -ENOMEM */
void zone_free(struct zone *z);

struct zone_place { /* where the snapshot of a network stands; shared by views */
	char id[ID_TEXT];
	struct zone *now; /* NULL: not told yet, or gone */
	unsigned refs;    /* views */
};

struct zones {
	struct map places; /* id -> struct zone_place */
};
int zones_put(struct zones *zs, const struct relay_zone *in);
void zones_del(struct zones *zs, const char *id);
void zones_free(struct zones *zs); /* all views are gone */

struct view_link {
	const char *alias, *target; /* lower case */
	size_t net;                 /* index into nets */
};

struct view {
	struct arena mem;
	struct zones *zones;
	struct zone_place **nets;
	size_t nnets;
	struct view_link *links;
	size_t nlinks;
	bool internal_only, ndots_set;
};
int view_new(struct zones *zs, const struct relay_view *in, struct view **out); /* -ENOMEM */
void view_free(struct view *v);
/* What a name (lower case, n bytes, NUL behind) stands for; NULL = unknown here. */
const struct zone_name *view_find(const struct view *v, const char *name, size_t n);
/* Who has an address; NULL = nobody here. */
const struct zone_host *view_find_address(const struct view *v, const struct ip *a, const char **domain);
