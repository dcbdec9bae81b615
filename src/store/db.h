/* db: the open database behind a store and its one way to run a statement. Private to store/. */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

enum statement {
	ST_PUT_NETWORK,
	ST_PUT_ENDPOINT,
	ST_PUT_CONTAINER,
	ST_SET_CONTAINER, /* all but the spec */
	ST_PUT_IMAGE,
	ST_PUT_TAG,
	ST_PUT_LAYER,
	ST_PUT_PORT,
	ST_PUT_VOLUME,
	ST_DEL_NETWORK,
	ST_DEL_ENDPOINT,
	ST_DEL_CONTAINER,
	ST_DEL_IMAGE,
	ST_DEL_TAG,
	ST_DEL_LAYER,
	ST_DEL_PORT,
	ST_DEL_VOLUME,
	ST_FREE_NETWORK, /* gives up what must be unique, until the row is put */
	ST_FREE_ENDPOINT,
	ST_FREE_CONTAINER,
	ST_FREE_LAYER,
	ST_INTENT_ADD,
	ST_INTENT_DEL,
	ST_SET,
	ST_UNSET,
	ST_N
};

struct store {
	sqlite3 *db;
	char *path;
	int fd; /* of the same file: holds the lock that keeps a second daemon out; -1 in memory */
	sqlite3_stmt *st[ST_N];
	bool in_transaction, durable;
	bool bind_failed; /* sticky until db_step */
	int synchronous;  /* 1 NORMAL, 2 FULL: as the connection is set */
	unsigned syncs;
	unsigned fail_after;
};

/* Turns SQLite's last error into ours, by cause: the disk is full, the file is locked, damaged, ... */
int db_error(struct store *s, const char *what, struct err *e);
/* True and an error when the fault loop's moment has come (store_fail_after). */
bool db_injected(struct store *s, const char *what, struct err *e);
int db_run(struct store *s, const char *sql, const char *what, struct err *e);
int db_prepare(struct store *s, const char *sql, sqlite3_stmt **out, struct err *e);
/* Binds; a NULL pointer is SQL's NULL. What fails is reported by db_step. */
void db_text(struct store *s, enum statement st, int i, const char *text);
void db_int(struct store *s, enum statement st, int i, int64_t v);
void db_json(struct store *s, enum statement st, int i, json_t *j); /* gives j up; NULL counts as out of memory */
/* Runs a bound statement that returns no row, and makes it ready for the next time. */
int db_step(struct store *s, enum statement st, const char *what, struct err *e);

static inline void own_statement(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
