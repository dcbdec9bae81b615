/* load: rows to things. Every row that cannot be read is an error that names it: the store is never guessed at. */
#include <errno.h>

#include "store/db.h"

static const char *text(sqlite3_stmt *st, int i)
{
	const char *s = (const char *)sqlite3_column_text(st, i);
	return s ? s : "";
}

static int parsed(const char *s, json_t **out, struct err *e)
{
	return json_parse(s, strlen(s), out, e);
}

static int load_network(sqlite3_stmt *st, void **out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	enum driver_kind driver;
	if (driver_kind_parse(text(st, 2), &driver) < 0)
		return err_set(e, -EUCLEAN, "network %s has the unknown driver %s", text(st, 1), text(st, 2));
	try(parsed(text(st, 5), &j, e));
	struct network *n = network_new(text(st, 0), text(st, 1), driver);
	if (!n)
		return err_nomem(e);
	n->seq = sqlite3_column_int64(st, 3);
	n->created = sqlite3_column_int64(st, 4);
	*out = n;
	return network_from_json(n, j, e);
}

static int load_container(sqlite3_stmt *st, void **out, struct err *e)
{
	OWN(own_json) json_t *spec_json = NULL, *state = NULL;
	struct arena mem = {0};
	try(parsed(text(st, 4), &spec_json, e));
	try(parsed(text(st, 5), &state, e));
	struct container_spec *spec = arena_new(&mem, struct container_spec, 1);
	int r = spec ? spec_from_json(spec_json, &mem, spec, e) : err_nomem(e);
	struct container *c = r < 0 ? NULL : container_new(text(st, 0), text(st, 1), spec, &mem);
	arena_free(&mem);
	if (!c)
		return r < 0 ? r : err_nomem(e);
	*out = c;
	STR_COPY(c->image, text(st, 2));
	c->seq = sqlite3_column_int64(st, 3);
	return container_state_from_json(c, state, e);
}

static int load_endpoint(sqlite3_stmt *st, void **out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	try(parsed(text(st, 2), &j, e));
	struct endpoint *ep = endpoint_new(text(st, 0), text(st, 1));
	if (!ep)
		return err_nomem(e);
	*out = ep;
	return endpoint_from_json(ep, j, e);
}

static int load_image(sqlite3_stmt *st, void **out, struct err *e)
{
	struct image *img;
	try(image_new(text(st, 0), text(st, 3), &img, e));
	img->size = sqlite3_column_int64(st, 1);
	img->stored = sqlite3_column_int64(st, 2);
	*out = img;
	return 0;
}

static int load_tag(sqlite3_stmt *st, void **out, struct err *e)
{
	*out = tag_new(text(st, 0), text(st, 1));
	return *out ? 0 : err_nomem(e);
}

static int load_layer(sqlite3_stmt *st, void **out, struct err *e)
{
	*out = layer_new(text(st, 0), text(st, 1), sqlite3_column_int64(st, 2));
	return *out ? 0 : err_nomem(e);
}

static int load_port(sqlite3_stmt *st, void **out, struct err *e)
{
	struct port *p = port_new(text(st, 0), sqlite3_column_int64(st, 1));
	bool v6 = sqlite3_column_int(st, 5) == 6;
	const char *host = text(st, 4);
	if (!p)
		return err_nomem(e);
	*out = p;
	STR_COPY(p->network, text(st, 2));
	p->proto = (uint8_t)sqlite3_column_int(st, 3);
	p->host_port = (uint16_t)sqlite3_column_int(st, 6);
	p->port = (uint16_t)sqlite3_column_int(st, 8);
	p->count = (uint16_t)sqlite3_column_int(st, 9);
	p->host_ip.family = v6 ? AF_INET6 : AF_INET;
	if ((*host && ip_parse(host, &p->host_ip) < 0) || ip_parse(text(st, 7), &p->ip) < 0 || !*port_proto_name(p->proto))
		return err_set(e, -EINVAL, "an address or protocol cannot be read");
	if (port_scope_parse(text(st, 10), &p->scope) < 0)
		return err_set(e, -EINVAL, "a publish scope cannot be read");
	return 0;
}

static int load_volume(sqlite3_stmt *st, void **out, struct err *e)
{
	OWN(own_json) json_t *j = NULL;
	try(parsed(text(st, 1), &j, e));
	struct volume *v = volume_new(text(st, 0));
	if (!v)
		return err_nomem(e);
	*out = v;
	return volume_from_json(v, j, e);
}

static const struct {
	const char *what, *sql;
	int (*load)(sqlite3_stmt *st, void **out, struct err *e);
} loaders[] = {
	{"layer", "SELECT diff_id,dir,size FROM layer", load_layer},
	{"image", "SELECT id,size,stored,config FROM image", load_image},
	{"tag", "SELECT ref,image FROM tag", load_tag},
	{"volume", "SELECT name,spec FROM volume", load_volume},
	{"network", "SELECT id,name,driver,seq,created,spec FROM network", load_network},
	{"container", "SELECT id,name,image,seq,spec,state FROM container", load_container},
	{"endpoint", "SELECT container,network,spec FROM endpoint", load_endpoint},
	{"port", "SELECT container,seq,network,proto,host_ip,family,host_port,ip,port,count,scope FROM port", load_port},
};
static_assert(ARRAY_LEN(loaders) == NOUN_N, "loaders[] is missing a noun");

/* Says which row of which file, and what to do. */
static int bad_row(struct store *s, const char *what, const char *key, int r, struct err *e)
{
	char why[512];
	if (!e || r == -ENOMEM)
		return r;
	str_copy(why, sizeof(why), e->msg);
	return err_set(e, -EUCLEAN,
		"the store %s is damaged (%s %s: %s): nothing was changed; restore it from a backup, or move it away "
		"to start with an empty one",
		s->path, what, key, why);
}

static int load_table(struct store *s, size_t i, struct world *w, struct err *e)
{
	OWN(own_statement) sqlite3_stmt *st = NULL;
	int code;
	try(db_prepare(s, loaders[i].sql, &st, e));
	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		void *thing = NULL;
		int r = loaders[i].load(st, &thing, e);
		if (r < 0) {
			thing_unref(thing);
			return bad_row(s, loaders[i].what, text(st, 0), r, e);
		}
		try(world_put(w, thing, e));
	}
	return code == SQLITE_DONE ? 0 : db_error(s, "load", e);
}

int store_load(struct store *s, struct world **out, struct err *e)
{
	OWN(own_world) struct world *w = world_new();
	if (!w)
		return err_nomem(e);
	for (size_t i = 0; i < ARRAY_LEN(loaders); i++)
		try(load_table(s, i, w, e));
	*out = STEAL(w);
	return 0;
}
