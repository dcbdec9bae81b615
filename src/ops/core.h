/* core: what the daemon holds while it runs, and the locks' order. One struct core a process.
 *
 * Locks, taken in this order only:
 *   1. a container's life lock (life_lock): its start, exit, removal, rename; never held while waiting for a process to end;
 *      then those of its volumes (ops/volume.h), in the order of their names
 *   2. core->image_lock: shared by image jobs, exclusive for removal of layers
 *   3. core->op_lock: one operation at a time changes the world, the kernel's network and the store
 *   4. core->world_lock: write for the short merge, read for everything that looks at the world (core_read/core_read_end)
 *   5. the events' own lock
 * No lock is held while waiting for a client. Below op_lock nothing waits for a child process but the firewall program. */
#pragma once

#include <pthread.h>

#include "engine/engine.h"
#include "engine/relay.h"
#include "kernel/kernel.h"
#include "model/tree.h"
#include "net/portmap.h"
#include "store/store.h"

#define LABEL_SCOPE_LOCAL "local"
#define API_MAX_MINOR 51
#define API_MIN_MINOR 24

struct events;
struct waiter;
struct life;

struct core_conf { /* filled by daemon/config.c */
	struct netconf net; /* host facts are refreshed at every operation */
	const char *data_root, *exec_root;
	const char *resolv_conf; /* "" = systemd-aware choice */
	bool live_restore;
	int shutdown_timeout; /* seconds */
	int default_stop_timeout;
	struct kvs labels;    /* of the daemon */
	const char *log_driver; /* of containers that name none; NULL: json-file */
	struct kvs log_opts;    /* of those that have this driver */
	struct spec_fallback fallback; /* of containers that say nothing of it */
	struct engine_conf engine;
	const char *seccomp_path; /* where its profile is from; "", "builtin", "unconfined" */
	const char *firewall_backend; /* "iptables" or "nftables" */
	const char *init_path;
	struct relay_conf relay;
	struct strv insecure_registries; /* hosts, host:port, subnets */
	struct strv registry_mirrors;    /* "https://host:port/": asked for what Docker Hub has, in this order, before it is */
	struct strv open_hosts;          /* sentences: where the API is open to who has no certificate */
	int64_t max_downloads, max_uploads; /* of layers, at once, for one image */
	int64_t max_attempts;                /* at a transfer that breaks off */
	bool debug;
};

struct core {
	const struct core_conf *_Atomic conf; /* another one after a reload (ops/reload.c) */
	struct store *store;
	struct world *world;
	struct kernel *kernel;
	struct engine *engine;
	struct events *events;
	struct relay *relay;
	struct kernel_dns dns;
	struct kernel_ports port_keeper;
	struct ports *ports;
	struct port_cursor port_cursor;
	char id[ID_TEXT]; /* of this daemon, kept in the store */
	char boot_id[40];
	bool policy_drop, policy_drop6;
	int64_t started;
	pthread_mutex_t op_lock;
	pthread_rwlock_t world_lock;
	pthread_rwlock_t image_lock;
	pthread_mutex_t life_mutex; /* guards the table of life locks and waiters */
	pthread_cond_t life_cond;
	struct life *lives;
	struct tree waiters; /* by container */
	struct exit_queue *exits;
	struct due_queue *restarts;
	struct health_checks *health;
	struct due_queue *announcements;
	struct heal *heal;
	bool unmended; /* reconcile at the start could not mend all: heal goes on */
	struct resolvers *resolvers;
	_Atomic bool ending; /* an orderly end has begun: what is stopped now, the user has not stopped */
};

/* Opens the store, loads the world, starts the engine and the exit workers, and reconciles (ops/reconcile.c). `kernel` may be given by tests (then owned), else NULL. */
int core_open(const struct core_conf *conf, struct kernel *kernel, struct core **out, struct err *e);
/* Orderly end: without live-restore stops the containers (their signal, then SIGKILL after the time-out). */
void core_shutdown(struct core *c);
void core_close(struct core *c); /* frees; containers go on */

/* The world for reading. Pointers from it are valid until core_read_end; keep none. */
const struct world *core_read(struct core *c);
void core_read_end(struct core *c);

/* One container's life lock. */
int life_lock(struct core *c, const char *container, struct err *e);
void life_unlock(struct core *c, const char *container);
