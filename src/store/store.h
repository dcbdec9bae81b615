/* store: the world on disk. SQLite in WAL mode at <data-root>/pontoon.db; one connection, used under the network lock.
 * Does exactly: open (create, migrate, check), load a world, save the difference of a fork, keep intents and small
 * settings. No policy. */
#pragma once

#include "model/world.h"

struct store;

/* An unreadable or newer store: an error that names the file and says what to do; nothing is changed. ":memory:" for
 * tests. */
int store_open(const char *path, struct store **out, struct err *e);
void store_close(struct store *s); /* NULL is fine */
int store_load(struct store *s, struct world **out, struct err *e);

/* One transaction. `durable`: synchronous=FULL, i.e. it survives power loss; otherwise it survives kill -9 but not
 * power loss. save writes the fork's changes; commit ends it. Any failure: roll back, nothing changed; store_rollback
 * after a failed step is required and never fails. */
int store_begin(struct store *s, bool durable, struct err *e);
int store_save(struct store *s, const struct world *fork, struct err *e);
int store_commit(struct store *s, struct err *e);
void store_rollback(struct store *s);

/* Intents: written (in a transaction of its own) before the kernel is touched, deleted in the final one. what: JSON
 * with ids, devices, subnets, ports. */
int store_intent_add(struct store *s, const char *verb, const char *what, int64_t *id, struct err *e);
int store_intent_del(struct store *s, int64_t id, struct err *e); /* inside a transaction */
struct store_intent {
	int64_t id;
	const char *verb, *what;
};
int store_intents(struct store *s, struct arena *a, struct store_intent **out, size_t *n, struct err *e);

/* Small settings: "forwarding.boot" = boot id in which we switched forwarding on, "host.id", ... NULL when absent. */
int store_get(struct store *s, const char *key, struct arena *a, const char **out, struct err *e);
int store_set(struct store *s, const char *key, const char *value,
	struct err *e); /* in or out of a transaction; NULL deletes */
/* Fault loops: the n-th write call from now fails with SQLITE_FULL (disk full); 0 = off. */
void store_fail_after(struct store *s, unsigned n);
/* Number of durable commits so far, for the syncs-per-operation test. */
unsigned store_syncs(const struct store *s);
