#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "model/restart.h"
#include "net/join.h"
#include "ops/container.h"
#include "ops/happen.h"
#include "ops/restart.h"
#include "ops/volume.h"

/* A process that SIGKILL has not ended after this long hangs in the kernel. */
#define KILL_GRACE_MS 10000
#define KILL_ROUNDS   6 /* of these, for the record of an end that there was */
#define RECORD_TRIES  5 /* after 0.1, 0.2, ... 1.6 s */

int op_container_get(struct core *c, const char *term, const struct container **out, struct err *e)
{
	const struct container *ct;
	int r = world_find_container(core_read(c), term, &ct, e);
	if (r >= 0)
		*out = thing_ref(ct);
	core_read_end(c);
	return r;
}

/* A start shows its output before it is recorded: a client may know that its container runs earlier than the world does. What asks for
 * a running container waits for the end of its start, and of nothing else. Returns a reference. */
static int get_settled(struct core *c, const char *term, const struct container **out, struct err *e)
{
	try(op_container_get(c, term, out, e));
	if ((*out)->starting) {
		char id[ID_TEXT];
		STR_COPY(id, (*out)->id);
		thing_unref((void *)(uintptr_t)*out);
		*out = NULL;
		try(life_lock(c, id, e));
		life_unlock(c, id);
		try(op_container_get(c, id, out, e));
	}
	return 0;
}

int container_settle(struct core *c, const char *term, char id[static ID_TEXT], struct err *e)
{
	const struct container *ct;
	try(get_settled(c, term, &ct, e));
	memcpy(id, ct->id, ID_TEXT);
	thing_unref((void *)(uintptr_t)ct);
	return 0;
}

int op_container_get_running(struct core *c, const char *term, const struct container **out, struct err *e)
{
	const struct container *ct;
	try(get_settled(c, term, &ct, e));
	int r = 0;
	if (ct->state == STATE_PAUSED)
		r = err_as(e, ERR_CONFLICT, "Container %s is paused, unpause the container before exec", ct->id);
	else if (ct->state == STATE_RESTARTING)
		r = err_as(e, ERR_CONFLICT, "Container %s is restarting, wait until the container is running", ct->id);
	else if (!container_is_running(ct))
		r = err_as(e, ERR_CONFLICT, "container %s is not running", ct->id);
	if (r < 0)
		thing_unref((void *)(uintptr_t)ct);
	else
		*out = ct;
	return r;
}

/* Operation: the process is gone. */
static int record_exit(struct core *c, const char *id, const struct exit_record *rec, bool *auto_remove, int64_t *again, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	char code[16];
	size_t n;
	try(op_begin(c, "die", &op, e));
	op.about = id;
	const struct container *now = world_container(op.next, id);
	if (!now || !container_is_running(now)) {
		*auto_remove = false;
		return -EALREADY;
	}
	*auto_remove = now->spec->host.auto_remove && !now->restarts;
	op.durable = !*auto_remove; /* else the removal that follows is the durable one */
	const struct endpoint **eps = world_endpoints_of_container(op.next, &op.mem, id, &n);
	try(container_edit(&op, id, &next, e));
	next->state = STATE_EXITED;
	next->pid = 0;
	next->monitor_pid = 0;
	next->exit_code = rec->code;
	next->oom_killed = rec->oom_killed;
	next->finished = rec->when ? rec->when : clock_real_ns();
	if (restart_after_exit(next, rec->code, next->stopped_by_user || c->ending)) {
		next->state = STATE_RESTARTING;
		next->restart_count++;
		next->restart_wait = *again = restart_wait(next->restart_wait, next->finished - next->started);
	}
	snprintf(code, sizeof(code), "%d", rec->code);
	if (rec->oom_killed)
		op_container_event(&op, next, "oom", NULL);
	op_container_event(&op, next, "die", "exitCode", code, NULL);
	volumes_events(&op, next, "unmount");
	for (size_t i = 0; i < n; i++) {
		const struct network *net = world_network(op.next, eps[i]->network);
		if (eps[i]->joined && net)
			op_event(&op, "network", "disconnect", eps[i]->network, "container", id, "name", net->name, "type", driver_kind_name(net->driver), NULL);
	}
	try(world_put(op.next, next, e));
	try(join_leave_all(op.next, id, e));
	return op_commit(&op, e);
}

void container_release_volumes(struct core *c, const char *id)
{
	const struct container *ct;
	if (op_container_get(c, id, &ct, NULL) < 0)
		return;
	volumes_after(c, ct->spec);
	thing_unref((void *)(uintptr_t)ct);
}

void container_exited(struct core *c, const char *id, const struct exit_record *rec)
{
	struct err e = {0};
	bool auto_remove = false;
	int64_t again = 0;
	if (life_lock(c, id, &e) < 0) {
		log_error("the exit of %.12s is recorded at the next start: %s", id, e.msg);
		return;
	}
	if (!engine_has_exit(c->engine, id)) { /* told twice: it may run again by now */
		life_unlock(c, id);
		return;
	}
	int64_t begun = clock_mono_ns();
	int r = record_exit(c, id, rec, &auto_remove, &again, &e);
	/* The process has ended, whatever the firewall or the disk say: what fails for a moment (another program holds the lock) is tried again. */
	for (int i = 0; r < 0 && r != -EALREADY && i < RECORD_TRIES; i++) {
		struct timespec pause = {.tv_nsec = (100L << i) * 1000000 % 1000000000, .tv_sec = (100L << i) / 1000};
		log_warn("the exit of %.12s could not be recorded, trying again: %s", id, e.msg);
		(void)nanosleep(&pause, NULL);
		e = (struct err){0};
		r = record_exit(c, id, rec, &auto_remove, &again, &e);
	}
	int64_t recorded = clock_mono_ns(), deleted = recorded;
	if (r < 0 && r != -EALREADY)
		log_error("the exit of %.12s could not be recorded, `pontoon doctor --repair` does it: %s", id, e.msg);
	if (r >= 0) {
		engine_exec_forget(c->engine, id);
		if (engine_delete(c->engine, id, false, &e) < 0)
			log_warn("clean up after %.12s: %s", id, e.msg);
		deleted = clock_mono_ns();
		log_debug("container ended id=%.12s code=%d", id, rec->code);
		container_release_volumes(c, id);
		if (auto_remove && container_remove_locked(c, id, true, &e) < 0)
			log_error("remove %.12s after its end: %s", id, e.msg);
		if (again)
			restarts_put(c, id, again);
		log_debug("phases end id=%.12s detach=%lld delete=%lld remove=%lld", id, (long long)(recorded - begun) / 1000, (long long)(deleted - recorded) / 1000,
			(long long)(clock_mono_ns() - deleted) / 1000);
	}
	life_unlock(c, id);
}

/* Waits for the waiter at most `ms` (-1: for ever). True when it is over. */
static bool wait_ms(const struct waiter *w, int ms)
{
	int64_t end = ms < 0 ? INT64_MAX : clock_mono_ns() + (int64_t)ms * 1000000;
	for (;;) {
		int64_t left = ms < 0 ? -1 : (end - clock_mono_ns() + 999999) / 1000000;
		if (ms >= 0 && left < 0)
			left = 0;
		struct pollfd p = {.fd = waiter_fd(w), .events = POLLIN};
		int r = poll(&p, 1, (int)left);
		if (r > 0)
			return true;
		if (r == 0 || errno != EINTR)
			return false;
	}
}

static int send_signal(struct core *c, const char *id, int sig, struct err *e)
{
	const struct container *ct;
	try(op_container_get(c, id, &ct, e));
	int r = engine_kill(c->engine, ct, sig, e);
	if (r >= 0 && ct->state == STATE_PAUSED && sig == SIGKILL)
		r = engine_pause(c->engine, id, false, e); /* a frozen process dies only once thawed (cgroup v1) */
	thing_unref((void *)(uintptr_t)ct);
	return r;
}

/* A process that lives on hangs in the kernel; of one that has ended, by this or by itself, only our own record is missing, which other work may hold up. */
static int end_it(struct core *c, const char *id, const struct waiter *w, struct err *e)
{
	bool lives = false;
	int r = send_signal(c, id, SIGKILL, e);
	for (int i = 0; i < KILL_ROUNDS && !lives; i++) {
		const struct container *ct;
		if (wait_ms(w, KILL_GRACE_MS))
			return 0;
		try(op_container_get(c, id, &ct, e));
		lives = engine_lives(ct);
		thing_unref((void *)(uintptr_t)ct);
	}
	return lives && r < 0 ? r : err_set(e, -EIO, lives ? "container %s did not end after SIGKILL: its process hangs in the kernel" : "container %s has ended, which could not be recorded yet", id);
}

/* Remembers that the user stopped it (restart policies ask), and tells what to send and how long to wait. */
static int stop_mark(struct core *c, const char *id, const char *signal, int timeout, bool restarts, int *sig, int *wait, struct err *e)
{
	OWN(op_end) struct op op = {0};
	struct container *next;
	try(op_begin(c, "stop", &op, e));
	op.about = id;
	try(container_edit(&op, id, &next, e));
	const struct config *cf = &next->spec->config;
	const char *name = !str_empty(signal) ? signal : !str_empty(cf->stop_signal) ? cf->stop_signal : "SIGTERM";
	*wait = timeout != INT_MIN ? timeout : cf->stop_timeout >= 0 ? (int)cf->stop_timeout : c->conf->default_stop_timeout;
	int r = 0;
	if (signal_parse(name, sig) < 0)
		r = err_as(e, ERR_INVALID, "invalid signal: %s", name);
	else if (!container_is_running(next))
		r = err_as(e, ERR_NOT_MODIFIED, "container %s is not running", id);
	next->stopped_by_user = !c->ending;
	next->restarts = restarts;
	if (r < 0) {
		thing_unref(next);
		return r;
	}
	try(world_put(op.next, next, e));
	return op_commit(&op, e);
}

/* 1: there was no process, and no other one comes; else its end is one that the user wanted. Between the two looks it may have ended and wait to be started
 * again. */
static int stop_begin(struct core *c, const char *id, const char *signal, int timeout, bool restarts, int *sig, int *wait, struct err *e)
{
	int r;
	do {
		r = restarts_cancel(c, id, e);
		if (r == 0)
			r = stop_mark(c, id, signal, timeout, restarts, sig, wait, e);
	} while (r < 0 && restarts_waits(c, id));
	return r;
}

static int stop_wait(struct core *c, const char *id, int timeout, const char *signal, bool restarts, struct err *e)
{
	struct waiter *w;
	int sig, wait;
	int begun = stop_begin(c, id, signal, timeout, restarts, &sig, &wait, e);
	if (begun != 0)
		return begun < 0 ? begun : 0;
	try(waiter_open(c, id, WAIT_NOT_RUNNING, &w, e));
	int r = send_signal(c, id, sig, e);
	bool over = waiter_result(w, NULL);
	if (r < 0 && over)
		r = 0; /* it ended by itself */
	if (r >= 0 && !over)
		over = wait_ms(w, wait < 0 ? -1 : wait > INT_MAX / 1000 ? INT_MAX : wait * 1000);
	if (!over)
		r = end_it(c, id, w, e);
	waiter_close(c, w);
	return r;
}

int container_stop_wait(struct core *c, const char *id, int timeout, const char *signal, struct err *e)
{
	return stop_wait(c, id, timeout, signal, false, e);
}

/* An event that goes with no change of the world. */
static void tell(struct core *c, const char *id, const char *action, const char *key, const char *value)
{
	OWN(op_end) struct op op = {0};
	if (op_begin(c, action, &op, NULL) < 0)
		return;
	const struct container *ct = world_container(op.next, id);
	if (!ct)
		return;
	op_container_event(&op, ct, action, key, value, NULL);
	(void)op_commit(&op, NULL); /* nothing is saved or applied: it only publishes */
}

int op_container_stop(struct core *c, const char *term, int timeout, const char *signal, struct err *e)
{
	char id[ID_TEXT];
	try(container_settle(c, term, id, e));
	try(container_stop_wait(c, id, timeout, signal, e));
	tell(c, id, "stop", NULL, NULL);
	return 0;
}

int op_container_restart(struct core *c, const char *term, int timeout, const char *signal, struct err *e)
{
	char id[ID_TEXT];
	try(container_settle(c, term, id, e));
	int r = stop_wait(c, id, timeout, signal, true, e);
	if (r < 0 && r != -EALREADY)
		return r;
	try(op_container_start(c, id, e));
	tell(c, id, "restart", NULL, NULL);
	return 0;
}

int op_container_kill(struct core *c, const char *term, const char *signal, struct err *e)
{
	const struct container *ct;
	int sig;
	const char *name = str_empty(signal) ? "SIGKILL" : signal;
	if (signal_parse(name, &sig) < 0)
		return err_as(e, ERR_INVALID, "invalid signal: %s", name);
	try(get_settled(c, term, &ct, e));
	char id[ID_TEXT];
	STR_COPY(id, ct->id);
	bool runs = container_is_running(ct), waits = ct->state == STATE_RESTARTING;
	const char *own = ct->spec->config.stop_signal;
	int own_sig;
	bool stops = sig == SIGKILL || (signal_parse(str_empty(own) ? "SIGTERM" : own, &own_sig) >= 0 && own_sig == sig);
	thing_unref((void *)(uintptr_t)ct);
	int s, t, begun = 0;
	if (stops && (runs || waits)) { /* no restart policy brings back what was killed on purpose */
		begun = stop_begin(c, id, NULL, 0, false, &s, &t, e);
		runs = begun >= 0 || (e && e->kind != ERR_NOT_MODIFIED);
	}
	if (!runs)
		return err_as(e, ERR_CONFLICT, "cannot kill container: %s: container %s is not running", term, id);
	try(begun);
	if (begun > 0) {
		/* it waited for its next start */
	} else if (sig == SIGKILL) {
		struct waiter *w;
		try(waiter_open(c, id, WAIT_NOT_RUNNING, &w, e));
		int r = end_it(c, id, w, e);
		waiter_close(c, w);
		try(r);
	} else {
		try(send_signal(c, id, sig, e));
	}
	char number[16];
	snprintf(number, sizeof(number), "%d", sig);
	tell(c, id, "kill", "signal", number);
	return 0;
}

int op_container_pause(struct core *c, const char *term, bool pause, struct err *e)
{
	char id[ID_TEXT];
	try(container_lock(c, term, id, e));
	OWN(op_end) struct op op = {0};
	struct container *next = NULL;
	int r = op_begin(c, pause ? "pause" : "unpause", &op, e);
	if (r >= 0)
		r = container_edit(&op, id, &next, e);
	if (r >= 0) {
		if (!container_is_running(next))
			r = err_as(e, ERR_CONFLICT, "Container %s is not running", id);
		else if (pause && next->state == STATE_PAUSED)
			r = err_as(e, ERR_CONFLICT, "Container %s is already paused", id);
		else if (!pause && next->state != STATE_PAUSED)
			r = err_as(e, ERR_CONFLICT, "Container %s is not paused", id);
		next->state = pause ? STATE_PAUSED : STATE_RUNNING;
		op_container_event(&op, next, pause ? "pause" : "unpause", NULL);
		if (r < 0)
			thing_unref(next);
		else
			r = world_put(op.next, next, e);
	}
	if (r >= 0)
		r = engine_pause(c->engine, id, pause, e);
	if (r >= 0)
		r = op_commit(&op, e);
	op_end(&op);
	life_unlock(c, id);
	return r;
}

int op_container_resize(struct core *c, const char *term, int h, int w, struct err *e)
{
	const struct container *ct;
	try(op_container_get(c, term, &ct, e));
	int r = container_is_running(ct) || ct->starting
			? engine_resize(c->engine, ct->id, h, w, e)
			: err_as(e, ERR_CONFLICT, "Container %s is not running", ct->id);
	char height[16], width[16];
	snprintf(height, sizeof(height), "%d", h);
	snprintf(width, sizeof(width), "%d", w);
	if (r >= 0)
		event_of_container(c, ct, "resize", "height", height, "width", width);
	thing_unref((void *)(uintptr_t)ct);
	return r;
}

int op_container_top(struct core *c, const char *term, const char *ps_args, json_t **out, struct err *e)
{
	const struct container *ct;
	try(get_settled(c, term, &ct, e));
	int r = container_is_running(ct) ? engine_top(c->engine, ct, ps_args, out, e)
					 : err_as(e, ERR_CONFLICT, "container %s is not running", ct->id);
	if (r >= 0)
		event_of_container(c, ct, "top", NULL, NULL, NULL, NULL);
	thing_unref((void *)(uintptr_t)ct);
	return r;
}

int op_exec_create(struct core *c, const char *term, const struct exec_spec *s, char out_id[static ID_TEXT], struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const struct container *ct;
	try(fd_room(e));
	try(op_container_get_running(c, term, &ct, e));
	int r = engine_exec_create(c->engine, ct, s, out_id, e);
	if (r >= 0)
		event_of_container(c, ct, exec_action("exec_create", &s->cmd, &a), "execID", out_id, NULL, NULL);
	thing_unref((void *)(uintptr_t)ct);
	return r;
}
