/* Theory of operation
 *
 * One SQLite file in WAL mode. Every noun has a table: its key, the columns that the schema guards (names, addresses), and the rest as
 * JSON text that model/ reads and writes. The file is locked for this process by an exclusive lock mode, so a second daemon on the same
 * data root is refused. `synchronous` is switched per transaction: FULL makes SQLite flush the WAL before COMMIT returns; NORMAL does not,
 * and since later FULL commits flush the same file, order is kept. tests/store/test_store.c has the fault loop. */
#include "store/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/schema.h"

enum statement { ST_PUT_NETWORK, ST_PUT_ENDPOINT, ST_PUT_CONTAINER, ST_PUT_IMAGE, ST_PUT_TAG, ST_PUT_LAYER, ST_DEL_NETWORK, ST_DEL_ENDPOINT, ST_DEL_CONTAINER, ST_DEL_IMAGE, ST_DEL_TAG, ST_DEL_LAYER,
	ST_INTENT_ADD, ST_INTENT_DEL, ST_SET, ST_UNSET, ST_N };

static const char *const statement_sql[] = {
	[ST_PUT_NETWORK] = "INSERT INTO network(id,name,driver,seq,created,spec) VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT(id) DO UPDATE SET name=?2,driver=?3,seq=?4,created=?5,spec=?6",
	[ST_PUT_ENDPOINT] = "INSERT INTO endpoint(container,network,ip4,ip6,spec) VALUES(?1,?2,?3,?4,?5) ON CONFLICT(container,network) DO UPDATE SET ip4=?3,ip6=?4,spec=?5",
	[ST_PUT_CONTAINER] = "INSERT INTO container(id,name,image,seq,spec,state) VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT(id) DO UPDATE SET name=?2,image=?3,seq=?4,state=?6",
	[ST_PUT_IMAGE] = "INSERT INTO image(id,size,stored,config) VALUES(?1,?2,?3,?4) ON CONFLICT(id) DO UPDATE SET size=?2,stored=?3",
	[ST_PUT_TAG] = "INSERT INTO tag(ref,image) VALUES(?1,?2) ON CONFLICT(ref) DO UPDATE SET image=?2",
	[ST_PUT_LAYER] = "INSERT INTO layer(diff_id,dir,size) VALUES(?1,?2,?3) ON CONFLICT(diff_id) DO UPDATE SET dir=?2,size=?3",
	[ST_DEL_NETWORK] = "DELETE FROM network WHERE id=?1",
	[ST_DEL_ENDPOINT] = "DELETE FROM endpoint WHERE container=?1 AND network=?2",
	[ST_DEL_CONTAINER] = "DELETE FROM container WHERE id=?1",
	[ST_DEL_IMAGE] = "DELETE FROM image WHERE id=?1",
	[ST_DEL_TAG] = "DELETE FROM tag WHERE ref=?1",
	[ST_DEL_LAYER] = "DELETE FROM layer WHERE diff_id=?1",
	[ST_INTENT_ADD] = "INSERT INTO pending(verb,what) VALUES(?1,?2)",
	[ST_INTENT_DEL] = "DELETE FROM pending WHERE id=?1",
	[ST_SET] = "INSERT INTO setting(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=?2",
	[ST_UNSET] = "DELETE FROM setting WHERE key=?1",
};
static_assert(ARRAY_LEN(statement_sql) == ST_N, "statement_sql[] is missing a statement");

struct store {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *st[ST_N];
	bool in_transaction, durable;
	int synchronous; /* 1 NORMAL, 2 FULL: as the connection is set */
	unsigned syncs;
	unsigned fail_after;
};

static int sql_error(struct store *s, const char *what, struct err *e)
{
	int code = sqlite3_errcode(s->db) & 0xff;
	const char *text = sqlite3_errmsg(s->db);
	if (code == SQLITE_FULL)
		return err_set(e, -ENOSPC, "%s: no space left on device: make room below the data root (%s)", what, s->path);
	if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return err_as(e, ERR_UNAVAILABLE, "%s is in use by another pontoond: every daemon needs a --data-root of its own", s->path);
	if (code == SQLITE_CONSTRAINT)
		return err_as(e, ERR_CONFLICT, "%s: %s", what, text);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return err_set(e, -EUCLEAN, "the store %s cannot be read (%s): nothing was changed; restore it from a backup, or move it away to start with an empty one", s->path, text);
	return err_set(e, -EIO, "%s: %s: %s", s->path, what, text);
}

/* Fault loops: the n-th call answers as a full disk would. */
static bool injected(struct store *s, const char *what, struct err *e)
{
	if (!s->fail_after || --s->fail_after)
		return false;
	err_set(e, -ENOSPC, "%s: no space left on device: make room below the data root (%s)", what, s->path);
	return true;
}

static int run_sql(struct store *s, const char *sql, const char *what, struct err *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sql_error(s, what, e);
}

static int query_int(struct store *s, const char *sql, int *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int r = 0;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return sql_error(s, "read", e);
	if (sqlite3_step(st) == SQLITE_ROW)
		*out = sqlite3_column_int(st, 0);
	else
		r = sql_error(s, "read", e);
	sqlite3_finalize(st);
	return r;
}

/* Each migration is one transaction; user_version counts those done. */
static int migrate(struct store *s, struct err *e)
{
	int version, app;
	try(query_int(s, "PRAGMA user_version", &version, e));
	try(query_int(s, "PRAGMA application_id", &app, e));
	if (version > 0 && app != SCHEMA_APPLICATION_ID)
		return err_set(e, -EUCLEAN, "%s is a database of another program: choose another --data-root", s->path);
	if (version > SCHEMA_VERSION)
		return err_set(e, -EUCLEAN, "%s was written by a newer version of Pontoon (schema %d, this one knows %d): install that version, nothing was changed", s->path, version, SCHEMA_VERSION);
	for (; version < SCHEMA_VERSION; version++) {
		char mark[96];
		try(run_sql(s, "BEGIN IMMEDIATE", "migrate", e));
		snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%d", SCHEMA_APPLICATION_ID, version + 1);
		if (run_sql(s, schema_migrations[version], "migrate", e) < 0 || run_sql(s, mark, "migrate", e) < 0 || run_sql(s, "COMMIT", "migrate", e) < 0) {
			sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return e ? e->code : -EIO;
		}
	}
	return 0;
}

static int prepare(struct store *s, struct err *e)
{
	for (int i = 0; i < ST_N; i++)
		if (sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL) != SQLITE_OK)
			return sql_error(s, "prepare", e);
	return 0;
}

int store_open(const char *path, struct store **out, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s || !(s->path = strdup(path))) {
		free(s);
		return err_nomem(e);
	}
	int r = 0;
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
		r = sql_error(s, "open", e);
	if (r >= 0)
		r = run_sql(s, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-256; PRAGMA mmap_size=0", "open", e);
	s->synchronous = 2;
	if (r >= 0)
		r = migrate(s, e);
	if (r >= 0)
		r = prepare(s, e);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < ST_N; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

int store_begin(struct store *s, bool durable, struct err *e)
{
	int want = durable ? 2 : 1;
	assert(!s->in_transaction);
	if (injected(s, "begin", e))
		return -ENOSPC;
	if (want != s->synchronous) {
		try(run_sql(s, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", "begin", e));
		s->synchronous = want;
	}
	try(run_sql(s, "BEGIN IMMEDIATE", "begin", e));
	s->in_transaction = true;
	s->durable = durable;
	return 0;
}

int store_commit(struct store *s, struct err *e)
{
	if (injected(s, "commit", e))
		return -ENOSPC;
	try(run_sql(s, "COMMIT", "commit", e));
	s->in_transaction = false;
	s->syncs += s->durable;
	return 0;
}

void store_rollback(struct store *s)
{
	if (s->in_transaction)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->in_transaction = false;
}

static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
	if (text && *text)
		sqlite3_bind_text(st, i, text, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(st, i);
}

static int step(struct store *s, sqlite3_stmt *st, const char *what, struct err *e)
{
	if (injected(s, what, e)) {
		sqlite3_reset(st);
		return -ENOSPC;
	}
	int r = sqlite3_step(st) == SQLITE_DONE ? 0 : sql_error(s, what, e);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return r;
}

/* Binds JSON text; the object is given up. */
static int bind_json(sqlite3_stmt *st, int i, json_t *j, struct err *e)
{
	char *text = j ? json_text(j) : NULL;
	json_decref(j);
	if (!text)
		return err_nomem(e);
	sqlite3_bind_text(st, i, text, -1, SQLITE_TRANSIENT);
	free(text);
	return 0;
}

static int put_network(struct store *s, const struct network *n, struct err *e)
{
	sqlite3_stmt *st = s->st[ST_PUT_NETWORK];
	bind_text(st, 1, n->id);
	bind_text(st, 2, n->name);
	bind_text(st, 3, driver_kind_name(n->driver));
	sqlite3_bind_int64(st, 4, n->seq);
	sqlite3_bind_int64(st, 5, n->created);
	try(bind_json(st, 6, network_to_json(n), e));
	return step(s, st, "save network", e);
}

static int put_endpoint(struct store *s, const struct endpoint *ep, struct err *e)
{
	sqlite3_stmt *st = s->st[ST_PUT_ENDPOINT];
	char ip4[IP_TEXT], ip6[IP_TEXT];
	bind_text(st, 1, ep->container);
	bind_text(st, 2, ep->network);
	bind_text(st, 3, ep->joined ? ip_format(&ep->ip4, ip4) : NULL);
	bind_text(st, 4, ep->joined ? ip_format(&ep->ip6, ip6) : NULL);
	try(bind_json(st, 5, endpoint_to_json(ep), e));
	return step(s, st, "save endpoint", e);
}

static int put_container(struct store *s, const struct container *c, bool is_new, struct err *e)
{
	sqlite3_stmt *st = s->st[ST_PUT_CONTAINER];
	bind_text(st, 1, c->id);
	bind_text(st, 2, c->name);
	bind_text(st, 3, c->image);
	sqlite3_bind_int64(st, 4, c->seq);
	if (is_new)
		try(bind_json(st, 5, spec_to_json(c->spec), e));
	else
		sqlite3_bind_text(st, 5, "{}", -1, SQLITE_STATIC); /* the stored spec stays: it never changes */
	try(bind_json(st, 6, container_state_to_json(c), e));
	return step(s, st, "save container", e);
}

static int put_one(struct store *s, const struct change *ch, struct err *e)
{
	switch (ch->noun) {
	case NOUN_NETWORK:
		return put_network(s, ch->after, e);
	case NOUN_ENDPOINT:
		return put_endpoint(s, ch->after, e);
	case NOUN_CONTAINER:
		return put_container(s, ch->after, !ch->before, e);
	case NOUN_IMAGE: {
		const struct image *img = ch->after;
		bind_text(s->st[ST_PUT_IMAGE], 1, img->id);
		sqlite3_bind_int64(s->st[ST_PUT_IMAGE], 2, img->size);
		sqlite3_bind_int64(s->st[ST_PUT_IMAGE], 3, img->stored);
		bind_text(s->st[ST_PUT_IMAGE], 4, img->config_text);
		return step(s, s->st[ST_PUT_IMAGE], "save image", e);
	}
	case NOUN_TAG: {
		const struct tag *t = ch->after;
		bind_text(s->st[ST_PUT_TAG], 1, t->thing.key);
		bind_text(s->st[ST_PUT_TAG], 2, t->image);
		return step(s, s->st[ST_PUT_TAG], "save tag", e);
	}
	case NOUN_LAYER: {
		const struct layer *l = ch->after;
		bind_text(s->st[ST_PUT_LAYER], 1, l->thing.key);
		bind_text(s->st[ST_PUT_LAYER], 2, l->dir);
		sqlite3_bind_int64(s->st[ST_PUT_LAYER], 3, l->size);
		return step(s, s->st[ST_PUT_LAYER], "save layer", e);
	}
	case NOUN_N:
		break;
	}
	return err_set(e, -EINVAL, "a thing of an unknown kind");
}

static int del_one(struct store *s, const struct change *ch, struct err *e)
{
	static const enum statement del[] = {[NOUN_NETWORK] = ST_DEL_NETWORK, [NOUN_ENDPOINT] = ST_DEL_ENDPOINT, [NOUN_CONTAINER] = ST_DEL_CONTAINER, [NOUN_IMAGE] = ST_DEL_IMAGE,
		[NOUN_TAG] = ST_DEL_TAG, [NOUN_LAYER] = ST_DEL_LAYER};
	sqlite3_stmt *st = s->st[del[ch->noun]];
	if (ch->noun == NOUN_ENDPOINT) {
		bind_text(st, 1, ((const struct endpoint *)ch->before)->container);
		bind_text(st, 2, ((const struct endpoint *)ch->before)->network);
	} else {
		bind_text(st, 1, ((const struct thing *)ch->before)->key);
	}
	return step(s, st, "delete", e);
}

/* Children are deleted before parents and added after them: the schema's foreign keys are checked at once. */
static const enum noun add_order[] = {NOUN_LAYER, NOUN_IMAGE, NOUN_TAG, NOUN_NETWORK, NOUN_CONTAINER, NOUN_ENDPOINT};
static_assert(ARRAY_LEN(add_order) == NOUN_N, "add_order[] is missing a noun");

int store_save(struct store *s, const struct world *fork, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct change *ch;
	size_t n;
	if (world_changes(fork, &a, &ch, &n) < 0)
		return err_nomem(e);
	for (int k = NOUN_N - 1; k >= 0; k--)
		for (size_t i = 0; i < n; i++)
			if (ch[i].noun == add_order[k] && !ch[i].after)
				try(del_one(s, &ch[i], e));
	/* What gives an address back is saved before what takes one: uniqueness holds after every statement. */
	for (size_t i = 0; i < n; i++)
		if (ch[i].noun == NOUN_ENDPOINT && ch[i].after && !((const struct endpoint *)ch[i].after)->joined && ch[i].before)
			try(put_one(s, &ch[i], e));
	for (int k = 0; k < NOUN_N; k++)
		for (size_t i = 0; i < n; i++)
			if (ch[i].noun == add_order[k] && ch[i].after)
				try(put_one(s, &ch[i], e));
	return 0;
}

int store_intent_add(struct store *s, const char *verb, const char *what, int64_t *id, struct err *e)
{
	sqlite3_stmt *st = s->st[ST_INTENT_ADD];
	bind_text(st, 1, verb);
	bind_text(st, 2, what);
	try(step(s, st, "save intent", e));
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

int store_intent_del(struct store *s, int64_t id, struct err *e)
{
	sqlite3_bind_int64(s->st[ST_INTENT_DEL], 1, id);
	return step(s, s->st[ST_INTENT_DEL], "end intent", e);
}

int store_intents(struct store *s, struct arena *a, struct store_intent **out, size_t *n, struct err *e)
{
	sqlite3_stmt *st;
	struct store_intent *v = NULL;
	size_t k = 0, cap = 0;
	int code;
	if (sqlite3_prepare_v2(s->db, "SELECT id,verb,what FROM pending ORDER BY id", -1, &st, NULL) != SQLITE_OK)
		return sql_error(s, "read intents", e);
	while ((code = sqlite3_step(st)) == SQLITE_ROW && !a->bad) {
		if (k == cap) {
			cap = cap ? cap * 2 : 8;
			struct store_intent *more = arena_new(a, struct store_intent, cap);
			if (!more)
				break;
			if (k)
				memcpy(more, v, k * sizeof(*v));
			v = more;
		}
		v[k].id = sqlite3_column_int64(st, 0);
		v[k].verb = arena_dup(a, (const char *)sqlite3_column_text(st, 1));
		v[k++].what = arena_dup(a, (const char *)sqlite3_column_text(st, 2));
	}
	int r = a->bad ? err_nomem(e) : code == SQLITE_DONE ? 0 : sql_error(s, "read intents", e);
	sqlite3_finalize(st);
	if (r < 0)
		return r;
	*out = v;
	*n = k;
	return 0;
}

int store_get(struct store *s, const char *key, struct arena *a, const char **out, struct err *e)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v2(s->db, "SELECT value FROM setting WHERE key=?1", -1, &st, NULL) != SQLITE_OK)
		return sql_error(s, "read setting", e);
	sqlite3_bind_text(st, 1, key, -1, SQLITE_TRANSIENT);
	int code = sqlite3_step(st), r = 0;
	if (code == SQLITE_ROW) {
		*out = arena_dup(a, (const char *)sqlite3_column_text(st, 0));
		r = *out ? 0 : err_nomem(e);
	} else if (code == SQLITE_DONE) {
		*out = NULL;
	} else {
		r = sql_error(s, "read setting", e);
	}
	sqlite3_finalize(st);
	return r;
}

int store_set(struct store *s, const char *key, const char *value, struct err *e)
{
	sqlite3_stmt *st = s->st[value ? ST_SET : ST_UNSET];
	bind_text(st, 1, key);
	if (value)
		bind_text(st, 2, value);
	return step(s, st, "save setting", e);
}

void store_fail_after(struct store *s, unsigned n)
{
	s->fail_after = n;
}

unsigned store_syncs(const struct store *s)
{
	return s->syncs;
}

sqlite3 *store_db(struct store *s)
{
	return s->db;
}

int store_sql_error(struct store *s, const char *what, struct err *e)
{
	return sql_error(s, what, e);
}
