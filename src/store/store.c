/* Theory of operation
 *
 * One SQLite file in WAL mode. Every noun has a table: its key, the columns that the schema guards (names, addresses),
 * and the rest as JSON text that model/ reads and writes (save.c, load.c). `synchronous` is switched per transaction:
 * FULL makes SQLite flush the WAL before COMMIT returns; NORMAL does not, and since a later FULL commit flushes the
 * same file, order is kept.
 *
 * Opening changes nothing until the file is known to be ours: first a lock on the file, so that a second daemon on the
 * same data root is refused; then the file's first bytes; then, read through SQLite (for a part of the file may still
 * be in the WAL), whose it is and of which version. Only then WAL mode is set and missing migrations are run. While the
 * file may yet be refused, closing does not checkpoint. Pages are not verified as a whole: loading reads all rows
 * anyway and names the first that cannot be read.
 *
 * tests/store/test_store.c fails every write, and tests/store/test_crash.c kills the writer. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "store/db.h"
#include "store/schema.h"

#define LOCK_TRIES 100 /* one each 10 ms */

static const char *const statement_sql[] = {
	[ST_PUT_NETWORK] = "INSERT INTO network(id,name,driver,seq,created,spec) VALUES(?1,?2,?3,?4,?5,?6)"
			   " ON CONFLICT(id) DO UPDATE SET name=?2,driver=?3,seq=?4,created=?5,spec=?6",
	[ST_PUT_ENDPOINT] = "INSERT INTO endpoint(container,network,ip4,ip6,spec) VALUES(?1,?2,?3,?4,?5)"
			    " ON CONFLICT(container,network) DO UPDATE SET ip4=?3,ip6=?4,spec=?5",
	[ST_PUT_CONTAINER] = "INSERT INTO container(id,name,image,seq,state,spec) VALUES(?1,?2,?3,?4,?5,?6)"
			     " ON CONFLICT(id) DO UPDATE SET name=?2,image=?3,seq=?4,state=?5,spec=?6",
	[ST_SET_CONTAINER] = "UPDATE container SET name=?2,image=?3,seq=?4,state=?5 WHERE id=?1",
	[ST_PUT_IMAGE] = "INSERT INTO image(id,size,stored,config) VALUES(?1,?2,?3,?4) ON CONFLICT(id) DO UPDATE SET "
			 "size=?2,stored=?3",
	[ST_PUT_TAG] = "INSERT INTO tag(ref,image) VALUES(?1,?2) ON CONFLICT(ref) DO UPDATE SET image=?2",
	[ST_PUT_LAYER] = "INSERT INTO layer(diff_id,dir,size) VALUES(?1,?2,?3) ON CONFLICT(diff_id) DO UPDATE SET "
			 "dir=?2,size=?3",
	[ST_PUT_PORT] = "INSERT INTO port(container,seq,network,proto,host_ip,family,host_port,last,ip,port,count,scope)"
			" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
	[ST_PUT_VOLUME] = "INSERT INTO volume(name,spec) VALUES(?1,?2) ON CONFLICT(name) DO UPDATE SET spec=?2",
	[ST_DEL_NETWORK] = "DELETE FROM network WHERE id=?1",
	[ST_DEL_ENDPOINT] = "DELETE FROM endpoint WHERE container=?1 AND network=?2",
	[ST_DEL_CONTAINER] = "DELETE FROM container WHERE id=?1",
	[ST_DEL_IMAGE] = "DELETE FROM image WHERE id=?1",
	[ST_DEL_TAG] = "DELETE FROM tag WHERE ref=?1",
	[ST_DEL_LAYER] = "DELETE FROM layer WHERE diff_id=?1",
	[ST_DEL_PORT] = "DELETE FROM port WHERE container=?1 AND seq=?2",
	[ST_DEL_VOLUME] = "DELETE FROM volume WHERE name=?1",
	/* '/' cannot be in a name, and ids are unique: nothing else can be called so */
	[ST_FREE_NETWORK] = "UPDATE network SET name='/'||id WHERE id=?1",
	[ST_FREE_ENDPOINT] = "UPDATE endpoint SET ip4=NULL,ip6=NULL WHERE container=?1 AND network=?2",
	[ST_FREE_CONTAINER] = "UPDATE container SET name='/'||id WHERE id=?1",
	[ST_FREE_LAYER] = "UPDATE layer SET dir='/'||diff_id WHERE diff_id=?1",
	[ST_INTENT_ADD] = "INSERT INTO pending(verb,what) VALUES(?1,?2)",
	[ST_INTENT_DEL] = "DELETE FROM pending WHERE id=?1",
	[ST_SET] = "INSERT INTO setting(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=?2",
	[ST_UNSET] = "DELETE FROM setting WHERE key=?1",
};
static_assert(ARRAY_LEN(statement_sql) == ST_N, "statement_sql[] is missing a statement");

static int foreign(struct store *s, struct err *e)
{
	return err_set(e, -EUCLEAN,
		"%s is not a store of Pontoon: nothing was changed; choose another --data-root, or move the file away",
		s->path);
}

/* The directory is flushed, too: a new file that a power loss takes away would take acknowledged commits along. */
static int sync_directory(const char *path, struct err *e)
{
	char dir[4096];
	str_copy(dir, sizeof(dir), path);
	char *slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	OWN(own_fd) int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(e, -errno, "sync the directory of %s", path);
	return 0;
}

/* A program that a killed daemon was just starting holds the lock along until its exec: a moment is waited for that. */
static int lock_file(int fd)
{
	static const struct timespec pause = {.tv_nsec = 10000000};
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return -EWOULDBLOCK;
}

/* Opens or makes the file, locks it, and looks at its header: 16 bytes of magic, big-endian application id at 68. */
static int claim_file(struct store *s, struct err *e)
{
	static const char magic[16] = "SQLite format 3";
	unsigned char head[100];
	/* The specs in it may hold passwords: for root only. */
	s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (s->fd < 0)
		return err_errno(e, -errno, "open the store %s", s->path);
	if (lock_file(s->fd) < 0)
		return err_as(e, ERR_UNAVAILABLE,
			"%s is in use by another pontoond: every daemon needs a --data-root of its own", s->path);
	ssize_t n = pread(s->fd, head, sizeof(head), 0);
	if (n < 0)
		return err_errno(e, -errno, "read the store %s", s->path);
	if (n == 0)
		return sync_directory(s->path, e);
	uint32_t app =
		n < 72 ? 0 : (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 | head[71];
	if (n < (ssize_t)sizeof(head) || memcmp(head, magic, sizeof(magic)) != 0 ||
		(app && app != SCHEMA_APPLICATION_ID))
		return foreign(s, e);
	return 0;
}

static int query_int(struct store *s, const char *sql, int *out, struct err *e)
{
	OWN(own_statement) sqlite3_stmt *st = NULL;
	try(db_prepare(s, sql, &st, e));
	if (sqlite3_step(st) != SQLITE_ROW)
		return db_error(s, "open", e);
	*out = sqlite3_column_int(st, 0);
	return 0;
}

/* Whose file and which version, as SQLite sees it. */
static int identify(struct store *s, int *version, struct err *e)
{
	int app, tables;
	try(query_int(s, "PRAGMA user_version", version, e));
	try(query_int(s, "PRAGMA application_id", &app, e));
	try(query_int(s, "SELECT count(*) FROM sqlite_schema", &tables, e));
	if (app != SCHEMA_APPLICATION_ID && (app || *version || tables))
		return foreign(s, e);
	if (*version > SCHEMA_VERSION)
		return err_set(e, -EUCLEAN,
			"%s was written by a newer version of Pontoon (schema %d, this one knows %d): nothing was "
			"changed; install that version",
			s->path, *version, SCHEMA_VERSION);
	return 0;
}

/* Each migration is one transaction; user_version counts those done. */
static int migrate(struct store *s, int version, struct err *e)
{
	for (; version < SCHEMA_VERSION; version++) {
		char mark[96];
		snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%d", SCHEMA_APPLICATION_ID,
			version + 1);
		try(db_run(s, "BEGIN IMMEDIATE", "migrate", e));
		int r = db_run(s, schema_migrations[version], "migrate", e);
		if (r >= 0)
			r = db_run(s, mark, "migrate", e);
		if (r >= 0)
			r = db_run(s, "COMMIT", "migrate", e);
		if (r < 0) {
			sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return r;
		}
	}
	return 0;
}

static int open_database(struct store *s, struct err *e)
{
	int version = 0;
	if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
		return s->db ? db_error(s, "open", e) : err_nomem(e);
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	/* The small cache keeps an idle daemon small. Exclusive: no shared memory file beside the store. */
	try(db_run(s,
		"PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-256; PRAGMA mmap_size=0; PRAGMA foreign_keys=ON",
		"open", e));
	try(identify(s, &version, e));
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	try(db_run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", "open", e));
	s->synchronous = 2;
	try(migrate(s, version, e));
	for (int i = 0; i < ST_N; i++)
		if (sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL) !=
			SQLITE_OK)
			return db_error(s, "open", e);
	return 0;
}

static void own_store(struct store **s)
{
	store_close(*s);
}

int store_open(const char *path, struct store **out, struct err *e)
{
	OWN(own_store) struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->fd = -1;
	s->path = strdup(path);
	if (!s->path)
		return err_nomem(e);
	if (strcmp(path, ":memory:") != 0)
		try(claim_file(s, e));
	try(open_database(s, e));
	*out = STEAL(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < ST_N; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->db);
	if (s->fd >= 0)
		close(s->fd); /* after SQLite: closing any descriptor of the file would drop SQLite's own locks */
	free(s->path);
	free(s);
}

int store_begin(struct store *s, bool durable, struct err *e)
{
	int want = durable ? 2 : 1;
	assert(!s->in_transaction);
	if (db_injected(s, "begin", e))
		return -ENOSPC;
	if (want != s->synchronous) {
		try(db_run(s, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", "begin", e));
		s->synchronous = want;
	}
	try(db_run(s, "BEGIN IMMEDIATE", "begin", e));
	s->in_transaction = true;
	s->durable = durable;
	return 0;
}

int store_commit(struct store *s, struct err *e)
{
	assert(s->in_transaction);
	if (db_injected(s, "commit", e))
		return -ENOSPC;
	try(db_run(s, "COMMIT", "commit", e));
	s->in_transaction = false;
	s->syncs += s->durable;
	return 0;
}

void store_rollback(struct store *s)
{
	/* After some errors (disk full, I/O) SQLite has rolled back by itself; then this fails, and that is fine. */
	if (s->in_transaction)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	assert(sqlite3_get_autocommit(s->db));
	s->in_transaction = false;
}

int store_intent_add(struct store *s, const char *verb, const char *what, int64_t *id, struct err *e)
{
	db_text(s, ST_INTENT_ADD, 1, verb);
	db_text(s, ST_INTENT_ADD, 2, what);
	try(db_step(s, ST_INTENT_ADD, "save intent", e));
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

int store_intent_del(struct store *s, int64_t id, struct err *e)
{
	db_int(s, ST_INTENT_DEL, 1, id);
	return db_step(s, ST_INTENT_DEL, "end intent", e);
}

static const char *column(sqlite3_stmt *st, int i, struct arena *a)
{
	const char *text = (const char *)sqlite3_column_text(st, i);
	if (!text)
		a->bad = true; /* the columns are NOT NULL: it is memory that is missing */
	return arena_dup(a, text);
}

int store_intents(struct store *s, struct arena *a, struct store_intent **out, size_t *n, struct err *e)
{
	OWN(own_statement) sqlite3_stmt *st = NULL;
	struct store_intent *v = NULL;
	size_t k = 0, cap = 0;
	int code;
	try(db_prepare(s, "SELECT id,verb,what FROM pending ORDER BY id", &st, e));
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
		v[k].verb = column(st, 1, a);
		v[k++].what = column(st, 2, a);
	}
	if (a->bad)
		return err_nomem(e);
	if (code != SQLITE_DONE)
		return db_error(s, "read intents", e);
	*out = v;
	*n = k;
	return 0;
}

int store_get(struct store *s, const char *key, struct arena *a, const char **out, struct err *e)
{
	OWN(own_statement) sqlite3_stmt *st = NULL;
	try(db_prepare(s, "SELECT value FROM setting WHERE key=?1", &st, e));
	if (sqlite3_bind_text(st, 1, key, -1, SQLITE_TRANSIENT) != SQLITE_OK)
		return err_nomem(e);
	int code = sqlite3_step(st);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return db_error(s, "read setting", e);
	const char *value = code == SQLITE_ROW ? column(st, 0, a) : NULL;
	if (a->bad)
		return err_nomem(e);
	*out = value;
	return 0;
}

int store_set(struct store *s, const char *key, const char *value, struct err *e)
{
	enum statement st = value ? ST_SET : ST_UNSET;
	db_text(s, st, 1, key);
	if (value)
		db_text(s, st, 2, value);
	return db_step(s, st, "save setting", e);
}

void store_fail_after(struct store *s, unsigned n)
{
	s->fail_after = n;
}

unsigned store_syncs(const struct store *s)
{
	return s->syncs;
}
