/* schema: the tables, as numbered migrations. Private to store/. A migration is never edited once released: add another. */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

#define SCHEMA_APPLICATION_ID 0x506f6e74 /* "Pont" */
#define SCHEMA_VERSION        1

extern const char *const schema_migrations[SCHEMA_VERSION];

sqlite3 *store_db(struct store *s);
int store_sql_error(struct store *s, const char *what, struct err *e);
