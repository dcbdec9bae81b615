/* Theory of operation
 *
 * A start is two operations around work that holds no network lock:
 *
 *   attach    addresses are chosen, the namespace, veth and files are made; an intent "start" stays in the store
 *   process   conmon and the runtime create and start the process
 *   record    the container is running; the intent ends
 *
 * Whatever fails takes back what came before it. A crash in between leaves the intent: reconcile then kills the process, if there is
 * one, and lets the endpoints go (ops/reconcile.c). The life lock is held throughout, so that an exit that comes at once is recorded
 * after the start. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "net/join.h"
#include "net/links.h"
#include "net/names.h"
#include "ops/container.h"
#include "ops/host.h"
#include "ops/ports.h"
#include "ops/volume.h"

#define US(ns) ((long long)((ns) / 1000))

int container_resolve(struct core *c, const char *term, char id[static ID_TEXT], struct err *e)
{
	const struct container *ct;
	int r = world_find_container(core_read(c), term, &ct, e);
	if (r >= 0)
		memcpy(id, ct->id, ID_TEXT);
	core_read_end(c);
	return r;
}

int container_lock(struct core *c, const char *term, char id[static ID_TEXT], struct err *e)
{
	try(container_resolve(c, term, id, e));
	try(life_lock(c, id, e));
	bool there = world_container(core_read(c), id);
	core_read_end(c);
	if (there)
		return 0;
	life_unlock(c, id);
	return err_as(e, ERR_NOT_FOUND, "No such container: %s", term);
}

int container_edit(struct op *op, const char *id, struct container **out, struct err *e)
{
	const struct container *now = world_container(op->next, id);
	if (!now)
		return err_as(e, ERR_NOT_FOUND, "No such container: %s", id);
	struct container *next = container_copy(now);
	if (!next)
		return err_nomem(e);
	*out = next;
	return 0;
}

int container_layers(const struct world *w, const struct image *img, struct arena *a, struct engine_layers *out, struct err *e)
{
	const char **dirs = arena_new(a, const char *, img->diff_ids.n + 1);
	for (size_t i = 0; dirs && i < img->diff_ids.n; i++) {
		const struct layer *l = world_get(w, NOUN_LAYER, img->diff_ids.v[i]);
		if (!l)
			return err_set(e, -ENODATA, "image %.12s lacks its layer %s: remove the image and load it again", img->id, img->diff_ids.v[i]);
		dirs[i] = arena_dup(a, l->dir);
	}
	if (a->bad)
		return err_nomem(e);
	*out = (struct engine_layers){.dirs = dirs, .n = img->diff_ids.n};
	return 0;
}

static int check_startable(const struct container *ct, struct err *e)
{
	switch (ct->state) {
	case STATE_RUNNING:
		return err_as(e, ERR_NOT_MODIFIED, "container %s is already running", ct->id);
	case STATE_PAUSED:
		return err_as(e, ERR_CONFLICT, "cannot start a paused container, try unpause instead");
	case STATE_REMOVING:
	case STATE_DEAD:
		return err_as(e, ERR_CONFLICT, "container is marked for removal and cannot be started");
	case STATE_CREATED:
	case STATE_RESTARTING:
	case STATE_EXITED:
	case STATE_N:
		break;
	}
	return 0;
}

/* Operation 1: the networks. */
static int attach(struct core *c, const char *id, int64_t *intent, const struct ports_try *t, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	size_t n;
	try(op_begin(c, "start", &op, e));
	op.about = id;
	op.keep_intent = intent;
	try(links_check_targets(op.next, world_container(op.next, id), e));
	try(container_edit(&op, id, &next, e));
	next->starting = true;
	next->error[0] = '\0';
	try(world_put(op.next, next, e));
	const struct endpoint **eps = world_endpoints_of_container(op.next, &op.mem, id, &n);
	char(*ids)[ID_TEXT] = arena_new_array(&op.mem, ID_TEXT, 1, n ? n : 1);
	if (!ids || (n && !eps))
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		random_id(ids[i]);
	int r = join_all(op.next, &op.conf, id, ids, n, e);
	if (r < 0)
		return err_ctx(e, "failed to set up container networking");
	for (size_t i = 0; i < n; i++) {
		const struct network *net = world_network(op.next, eps[i]->network);
		op_event(&op, "network", "connect", eps[i]->network, "container", id, "name", net->name, "type", driver_kind_name(net->driver), NULL);
	}
	r = ports_publish(&op, id, t, e);
	if (r >= 0)
		r = ports_commit(&op, id, e);
	return r < 0 && e && e->kind == ERR_INTERNAL ? err_ctx(e, "failed to set up container networking") : r;
}

static void set_failed(struct container *ct, const struct err *why)
{
	ct->starting = false;
	if (ct->state == STATE_RESTARTING)
		ct->state = STATE_EXITED;
	str_copy(ct->error, sizeof(ct->error), why->msg);
}

/* The reverse, when the process could not be made; the container keeps the reason. */
static void detach(struct core *c, const char *id, int64_t intent, const struct err *why)
{
	OWN(op_end) struct op op = {0};
	struct err e = {0};
	struct container *next;
	int r = op_begin(c, "start failed", &op, &e);
	op.about = id;
	op.end_intent = intent;
	if (r >= 0)
		r = join_leave_all(op.next, id, &e);
	if (r >= 0)
		r = container_edit(&op, id, &next, &e);
	if (r >= 0) {
		set_failed(next, why);
		/* The shell's convention, which `docker inspect` shows too: 127 not found, 126 not executable. */
		next->exit_code = strstr(why->msg, "executable file not found") || strstr(why->msg, "no such file or directory") ? 127
				  : strstr(why->msg, "permission denied")                                                 ? 126
																   : 128;
		r = world_put(op.next, next, &e);
	}
	if (r >= 0)
		r = op_commit(&op, &e);
	op_end(&op);
	container_release_volumes(c, id);
	if (r < 0)
		log_error("start of %.12s failed and its networks could not be taken back, `pontoon doctor --repair` does it: %s", id, e.msg);
}

/* Not even the networks were there, and nothing has to be taken back; the container keeps the reason. */
static void keep_reason(struct core *c, const char *id, const struct err *why)
{
	OWN(op_end) struct op op = {0};
	struct err e = {0};
	struct container *next;
	int r = op_begin(c, "start refused", &op, &e);
	op.about = id;
	if (r >= 0)
		r = container_edit(&op, id, &next, &e);
	if (r >= 0) {
		if (!next->exit_code)
			next->exit_code = 128;
		set_failed(next, why);
		r = world_put(op.next, next, &e);
	}
	if (r >= 0)
		r = op_commit(&op, &e);
	if (r < 0)
		log_error("start of %.12s was refused, which could not be recorded: %s", id, e.msg);
}

/* Names and resolvers go with the network namespace: *files becomes the container whose they are. */
static int join_target(const struct world *w, const struct container *ct, const char *mode, struct engine_run *run, const char **files, struct arena *a, struct err *e)
{
	const struct container *other;
	if (world_find_container(w, mode + strlen("container:"), &other, e) < 0)
		return err_ctx(e, "joining network namespace of container");
	if (other == ct)
		return err_as(e, ERR_INVALID, "cannot join own network namespace");
	if (!container_is_running(other))
		return err_as(e, ERR_CONFLICT, "cannot join network namespace of a non running container: container %s is %s", other->name,
			container_state_name(other->state));
	run->netns_path = arena_printf(a, "/proc/%lld/ns/net", (long long)other->pid);
	*files = arena_dup(a, world_netns_owner(w, other)->id);
	return 0;
}

static int join_pid_of(const struct world *w, const char *mode, const char *what, int64_t *pid, char id[static ID_TEXT], struct err *e)
{
	const struct container *other;
	if (str_empty(mode) || !str_starts(mode, "container:"))
		return 0;
	try(world_find_container(w, mode + strlen("container:"), &other, e));
	if (streq(what, "IPC") && !streq(other->spec->host.ipc_mode, "shareable"))
		return err_as(e, ERR_CONFLICT, "can't join IPC of container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", other->id);
	if (!container_is_running(other))
		return err_as(e, ERR_CONFLICT, "cannot join %s namespace of a non running container: container %s is %s", what, other->name,
			container_state_name(other->state));
	*pid = other->pid;
	memcpy(id, other->id, ID_TEXT);
	return 0;
}

/* Everything that the engine has to know, copied out of the world. *ct and *img are references. */
static int describe(struct core *c, const char *id, struct arena *a, struct engine_run *run, struct err *e)
{
	struct netconf conf;
	try(host_facts(c, a, &conf, e));
	const struct world *w = core_read(c);
	const struct container *ct = world_container(w, id);
	const struct image *img = ct ? world_image(w, ct->image) : NULL;
	int r = 0;
	if (!ct || !img) {
		r = err_as(e, ERR_NOT_FOUND, "No such %s: %s", ct ? "image" : "container", ct ? ct->image : id);
	} else {
		const char *mode = ct->spec->host.network_mode, *files = id;
		if (want_has_sandbox(ct))
			run->netns_path = want_netns_path(&conf, id, a);
		else if (!str_empty(mode) && str_starts(mode, "container:"))
			r = join_target(w, ct, mode, run, &files, a, e);
		if (r >= 0)
			r = join_pid_of(w, ct->spec->host.pid_mode, "PID", &run->join_pid.pid, run->join_pid.id, e);
		if (r >= 0)
			r = join_pid_of(w, ct->spec->host.ipc_mode, "IPC", &run->join_ipc.pid, run->join_ipc.id, e);
		if (r >= 0)
			r = container_layers(w, img, a, &run->layers, e);
		run->hosts = want_file_path(&conf, files, "hosts", a);
		run->hostname = want_file_path(&conf, files, "hostname", a);
		run->resolv = want_file_path(&conf, files, "resolv.conf", a);
		run->uts_hostname = names_uts(&conf, ct, a);
		if (r >= 0) {
			run->c = thing_ref(ct);
			run->image = thing_ref(img);
		}
	}
	core_read_end(c);
	return r >= 0 && a->bad ? err_nomem(e) : r;
}

/* Operation 2: it runs. */
static int record(struct core *c, const char *id, int64_t pid, int64_t monitor, int64_t intent, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	try(op_begin(c, "started", &op, e));
	op.about = id;
	op.end_intent = intent;
	op.durable = true;
	try(container_edit(&op, id, &next, e));
	if (next->state != STATE_RESTARTING)
		next->restart_count = next->restart_wait = 0;
	next->state = STATE_RUNNING;
	next->starting = false;
	next->pid = pid;
	next->monitor_pid = monitor;
	next->exit_code = 0;
	next->oom_killed = false;
	next->stopped_by_user = false;
	next->restarts = false;
	next->started = clock_real_ns();
	next->finished = 0;
	STR_COPY(next->boot_id, c->boot_id);
	volumes_events(&op, next, "mount");
	op_container_event(&op, next, "start", NULL);
	try(world_put(op.next, next, e));
	return op_commit(&op, e);
}

/* Where a start's time goes, for bench/run. */
struct phases {
	int64_t begun, attached, created, started;
};

static int run_process(struct core *c, const char *id, int64_t intent, struct phases *t, struct err *e)
{
	OWN(arena_free) struct arena mem = {0};
	struct engine_run run = {0};
	int64_t pid, monitor;
	int r = describe(c, id, &mem, &run, e);
	if (r >= 0)
		r = volumes_mount(c, run.c->spec, e);
	if (r >= 0) {
		r = engine_create(c->engine, &run, &pid, &monitor, e);
		t->created = clock_mono_ns();
		if (r >= 0) {
			r = engine_start(c->engine, id, e);
			t->started = clock_mono_ns();
			if (r >= 0)
				r = record(c, id, pid, monitor, intent, e);
			if (r < 0) {
				struct err undo = {0};
				if (engine_delete(c->engine, id, true, &undo) < 0)
					log_error("start of %.12s failed; its process stays: %s", id, undo.msg);
			}
		}
	}
	thing_unref((void *)(uintptr_t)run.c);
	thing_unref((void *)(uintptr_t)run.image);
	return r;
}

int container_start_locked(struct core *c, const char *id, struct err *e)
{
	int64_t intent = 0;
	struct err local = {0};
	if (!e)
		e = &local;
	const struct container *ct = world_container(core_read(c), id);
	int r = ct ? check_startable(ct, e) : err_as(e, ERR_NOT_FOUND, "No such container: %s", id);
	bool auto_remove = ct && ct->spec->host.auto_remove;
	core_read_end(c);
	if (r < 0)
		return r;
	struct phases t = {.begun = clock_mono_ns()};
	struct ports_try ports = {0};
	do {
		r = fd_room(e);
		if (r >= 0)
			r = attach(c, id, &intent, &ports, e);
	} while (r < 0 && ports_again(c, id, &ports, r));
	t.attached = clock_mono_ns();
	if (r >= 0) {
		r = run_process(c, id, intent, &t, e);
		if (r < 0)
			detach(c, id, intent, e);
		else
			log_debug("phases start id=%.12s attach=%lld create=%lld start=%lld record=%lld", id, US(t.attached - t.begun), US(t.created - t.attached), US(t.started - t.created),
				US(clock_mono_ns() - t.started));
	} else if (!auto_remove) {
		keep_reason(c, id, e);
	}
	if (r < 0 && auto_remove) {
		struct err undo = {0};
		if (container_remove_locked(c, id, true, &undo) < 0)
			log_error("remove %.12s after its failed start: %s", id, undo.msg);
	}
	return r;
}

int op_container_start(struct core *c, const char *term, struct err *e)
{
	char id[ID_TEXT];
	try(container_lock(c, term, id, e));
	int r = container_start_locked(c, id, e);
	life_unlock(c, id);
	return r;
}
