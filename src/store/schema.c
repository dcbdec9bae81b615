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

	/* host_ip '': any address of the family. host_port NULL: opened only. No two rows have a port of the host in common:
	   the trigger looks at the rows that begin within the new one, and at those of more than one port (few) that reach
	   into it. A row that changes is deleted and put again, so that only INSERT needs guarding. */
	"CREATE TABLE port("
	" container TEXT NOT NULL REFERENCES container(id) DEFERRABLE INITIALLY DEFERRED, seq INTEGER NOT NULL,"
	" network TEXT NOT NULL, proto INTEGER NOT NULL, host_ip TEXT NOT NULL, family INTEGER NOT NULL,"
	" host_port INTEGER, last INTEGER, ip TEXT NOT NULL, port INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(container, seq),"
	" CHECK(host_port BETWEEN 1 AND last AND last <= 65535)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX port_host ON port(proto, family, host_port);"
	"CREATE INDEX port_run ON port(proto, family, last) WHERE last > host_port;"
	"CREATE TRIGGER port_taken BEFORE INSERT ON port WHEN NEW.host_port IS NOT NULL BEGIN"
	" SELECT RAISE(ABORT, 'port is already allocated') FROM port WHERE proto=NEW.proto AND family=NEW.family"
	"  AND host_port BETWEEN NEW.host_port AND NEW.last AND (host_ip='' OR NEW.host_ip='' OR host_ip=NEW.host_ip);"
	" SELECT RAISE(ABORT, 'port is already allocated') FROM port WHERE proto=NEW.proto AND family=NEW.family"
	"  AND last > host_port AND last >= NEW.host_port AND host_port < NEW.host_port"
	"  AND (host_ip='' OR NEW.host_ip='' OR host_ip=NEW.host_ip);"
	"END;",
	"CREATE TABLE volume(name TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT;",
	"ALTER TABLE port ADD COLUMN scope TEXT NOT NULL DEFAULT 'any';",
};
