#include "store/schema.h"

const char *const schema_migrations[SCHEMA_VERSION] = {
	"CREATE TABLE setting(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	/* AUTOINCREMENT: an intent's number is never used again, so that a late delete cannot hit another. */
	"CREATE TABLE pending(id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, what TEXT NOT NULL) STRICT;"
	"CREATE TABLE network(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL,"
	" seq INTEGER NOT NULL UNIQUE, created INTEGER NOT NULL, spec TEXT NOT NULL) STRICT;"
	"CREATE TABLE layer(diff_id TEXT PRIMARY KEY, dir TEXT NOT NULL UNIQUE, size INTEGER NOT NULL) STRICT;"
	"CREATE TABLE image(id TEXT PRIMARY KEY, size INTEGER NOT NULL, stored INTEGER NOT NULL, config TEXT NOT NULL) "
	"STRICT;"
	"CREATE TABLE tag(ref TEXT PRIMARY KEY,"
	" image TEXT NOT NULL REFERENCES image(id) DEFERRABLE INITIALLY DEFERRED) STRICT;"
	"CREATE INDEX tag_image ON tag(image);"
	/* A container outlives its image when that is removed by force, and its networks while it is stopped: no
	   reference. */
	"CREATE TABLE container(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT NULL,"
	" seq INTEGER NOT NULL UNIQUE, spec TEXT NOT NULL, state TEXT NOT NULL) STRICT;"
	/* ip4, ip6: of joined endpoints only; no two of a network share one. */
	"CREATE TABLE endpoint("
	" container TEXT NOT NULL REFERENCES container(id) DEFERRABLE INITIALLY DEFERRED, network TEXT NOT NULL,"
	" ip4 TEXT, ip6 TEXT, spec TEXT NOT NULL,"
	" PRIMARY KEY(container, network), UNIQUE(network, ip4), UNIQUE(network, ip6)) STRICT;",
};
