/* save: the difference of a fork and its base, as rows. The order of the statements keeps every uniqueness rule true
 * after each one: first what is deleted, then names and addresses that changed rows give up, then what is put.
 * References are checked at the end (deferred). */
#include <errno.h>
#include <string.h>

#include "store/db.h"

/* A statement for a row that must be there. */
static int step_one(struct store *s, enum statement st, const char *what, const char *key, struct err *e)
{
	try(db_step(s, st, what, e));
	if (sqlite3_changes(s->db) != 1)
		return err_set(e, -EUCLEAN, "%s: the store %s has no row %s: restart pontoond", what, s->path, key);
	return 0;
}

static int put_network(struct store *s, const struct network *n, struct err *e)
{
	enum statement st = ST_PUT_NETWORK;
	db_text(s, st, 1, n->id);
	db_text(s, st, 2, n->name);
	db_text(s, st, 3, driver_kind_name(n->driver));
	db_int(s, st, 4, n->seq);
	db_int(s, st, 5, n->created);
	db_json(s, st, 6, network_to_json(n));
	return step_one(s, st, "save network", n->id, e);
}

static int put_endpoint(struct store *s, const struct endpoint *ep, struct err *e)
{
	enum statement st = ST_PUT_ENDPOINT;
	char ip4[IP_TEXT], ip6[IP_TEXT];
	bool has4 = ep->joined && ip_is_set(&ep->ip4), has6 = ep->joined && ip_is_set(&ep->ip6);
	db_text(s, st, 1, ep->container);
	db_text(s, st, 2, ep->network);
	db_text(s, st, 3, has4 ? ip_format(&ep->ip4, ip4) : NULL);
	db_text(s, st, 4, has6 ? ip_format(&ep->ip6, ip6) : NULL);
	db_json(s, st, 5, endpoint_to_json(ep));
	return step_one(s, st, "save endpoint", ep->key, e);
}

/* A spec never changes while it is shared: then its text, the largest column, is not written again. */
static int put_container(struct store *s, const struct container *before, const struct container *c, struct err *e)
{
	bool same = before && before->spec == c->spec;
	enum statement st = same ? ST_SET_CONTAINER : ST_PUT_CONTAINER;
	db_text(s, st, 1, c->id);
	db_text(s, st, 2, c->name);
	db_text(s, st, 3, c->image);
	db_int(s, st, 4, c->seq);
	db_json(s, st, 5, container_state_to_json(c));
	if (!same)
		db_json(s, st, 6, spec_to_json(c->spec));
	return step_one(s, st, "save container", c->id, e);
}

static int put_image(struct store *s, const struct image *img, struct err *e)
{
	enum statement st = ST_PUT_IMAGE;
	db_text(s, st, 1, img->id);
	db_int(s, st, 2, img->size);
	db_int(s, st, 3, img->stored);
	db_text(s, st, 4, img->config_text);
	return step_one(s, st, "save image", img->id, e);
}

static int put_tag(struct store *s, const struct tag *t, struct err *e)
{
	db_text(s, ST_PUT_TAG, 1, t->ref);
	db_text(s, ST_PUT_TAG, 2, t->image);
	return step_one(s, ST_PUT_TAG, "save tag", t->ref, e);
}

static int put_layer(struct store *s, const struct layer *l, struct err *e)
{
	db_text(s, ST_PUT_LAYER, 1, l->diff_id);
	db_text(s, ST_PUT_LAYER, 2, l->dir);
	db_int(s, ST_PUT_LAYER, 3, l->size);
	return step_one(s, ST_PUT_LAYER, "save layer", l->diff_id, e);
}

static int put_port(struct store *s, const struct port *p, struct err *e)
{
	enum statement st = ST_PUT_PORT;
	char host[IP_TEXT], ip[IP_TEXT];
	db_text(s, st, 1, p->container);
	db_int(s, st, 2, p->seq);
	db_text(s, st, 3, p->network);
	db_int(s, st, 4, p->proto);
	db_text(s, st, 5, ip_is_unspecified(&p->host_ip) ? "" : ip_format(&p->host_ip, host));
	db_int(s, st, 6, p->host_ip.family == AF_INET6 ? 6 : 4);
	if (p->host_port) { /* else both stay NULL */
		db_int(s, st, 7, p->host_port);
		db_int(s, st, 8, port_last(p));
	}
	db_text(s, st, 9, ip_format(&p->ip, ip));
	db_int(s, st, 10, p->port);
	db_int(s, st, 11, p->count);
	db_text(s, st, 12, port_scope_name(p->scope));
	return step_one(s, st, "save port", p->key, e);
}

static int put_volume(struct store *s, const struct volume *v, struct err *e)
{
	db_text(s, ST_PUT_VOLUME, 1, v->name);
	db_json(s, ST_PUT_VOLUME, 2, volume_to_json(v));
	return step_one(s, ST_PUT_VOLUME, "save volume", v->name, e);
}

static int put_one(struct store *s, const struct change *ch, struct err *e)
{
	switch (ch->noun) {
	case NOUN_NETWORK:
		return put_network(s, ch->after, e);
	case NOUN_ENDPOINT:
		return put_endpoint(s, ch->after, e);
	case NOUN_CONTAINER:
		return put_container(s, ch->before, ch->after, e);
	case NOUN_IMAGE:
		return put_image(s, ch->after, e);
	case NOUN_TAG:
		return put_tag(s, ch->after, e);
	case NOUN_LAYER:
		return put_layer(s, ch->after, e);
	case NOUN_PORT:
		return put_port(s, ch->after, e);
	case NOUN_VOLUME:
		return put_volume(s, ch->after, e);
	case NOUN_N:
		break;
	}
	return err_set(e, -EINVAL, "a thing of an unknown kind");
}

static int by_key(struct store *s, enum statement st, const struct change *ch, const char *what, struct err *e)
{
	const struct thing *t = ch->before;
	const struct endpoint *ep = ch->before;
	const struct port *p = ch->before;
	db_text(s, st, 1, ch->noun == NOUN_ENDPOINT ? ep->container : ch->noun == NOUN_PORT ? p->container : t->key);
	if (ch->noun == NOUN_ENDPOINT)
		db_text(s, st, 2, ep->network);
	if (ch->noun == NOUN_PORT)
		db_int(s, st, 2, p->seq);
	return step_one(s, st, what, t->key, e);
}

static bool same_address(const struct endpoint *a, const struct endpoint *b)
{
	return !a->joined || (b->joined && ip_eq(&a->ip4, &b->ip4) && ip_eq(&a->ip6, &b->ip6));
}

/* Rows that stay but change a name or an address: another row of the same transaction may get it. */
static int free_unique(struct store *s, const struct change *ch, struct err *e)
{
	const void *b = ch->before, *a = ch->after;
	switch (ch->noun) {
	case NOUN_NETWORK:
		if (strcmp(((const struct network *)b)->name, ((const struct network *)a)->name) != 0)
			return by_key(s, ST_FREE_NETWORK, ch, "rename network", e);
		return 0;
	case NOUN_CONTAINER:
		if (strcmp(((const struct container *)b)->name, ((const struct container *)a)->name) != 0)
			return by_key(s, ST_FREE_CONTAINER, ch, "rename container", e);
		return 0;
	case NOUN_ENDPOINT:
		return same_address(b, a) ? 0 : by_key(s, ST_FREE_ENDPOINT, ch, "release addresses", e);
	case NOUN_LAYER:
		if (strcmp(((const struct layer *)b)->dir, ((const struct layer *)a)->dir) != 0)
			return by_key(s, ST_FREE_LAYER, ch, "move layer", e);
		return 0;
	case NOUN_PORT:
		return by_key(s, ST_DEL_PORT, ch, "change port", e);
	case NOUN_IMAGE:
	case NOUN_TAG:
	case NOUN_VOLUME:
	case NOUN_N:
		break;
	}
	return 0;
}

int store_save(struct store *s, const struct world *fork, struct err *e)
{
	static const enum statement del[] = {[NOUN_NETWORK] = ST_DEL_NETWORK,
		[NOUN_ENDPOINT] = ST_DEL_ENDPOINT,
		[NOUN_CONTAINER] = ST_DEL_CONTAINER,
		[NOUN_IMAGE] = ST_DEL_IMAGE,
		[NOUN_TAG] = ST_DEL_TAG,
		[NOUN_LAYER] = ST_DEL_LAYER,
		[NOUN_PORT] = ST_DEL_PORT,
		[NOUN_VOLUME] = ST_DEL_VOLUME};
	static_assert(ARRAY_LEN(del) == NOUN_N, "del[] is missing a noun");
	OWN(own_arena) struct arena a = {0};
	struct change *ch;
	size_t n;
	assert(s->in_transaction);
	if (world_changes(fork, &a, &ch, &n) < 0)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		if (!ch[i].after)
			try(by_key(s, del[ch[i].noun], &ch[i], "delete", e));
	for (size_t i = 0; i < n; i++)
		if (ch[i].before && ch[i].after)
			try(free_unique(s, &ch[i], e));
	for (size_t i = 0; i < n; i++)
		if (ch[i].after)
			try(put_one(s, &ch[i], e));
	return 0;
}
