/* schema: the tables, as numbered migrations. Private to store/. A migration is never edited once released: add
 * another. */
#pragma once

#define SCHEMA_APPLICATION_ID 0x506f6e74 /* "Pont" */
#define SCHEMA_VERSION 4

extern const char *const schema_migrations[SCHEMA_VERSION];
