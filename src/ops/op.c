/* Theory of operation
 *
 * op_begin takes the network lock and forks the world; the verb changes the fork. op_commit then does, in this order:
 *
 *   want(before), want(after) of the touched units -> diff -> plan          pure
 *   COMMIT of an intent row, when the plan touches the kernel               store
 *   the plan's steps, undone in reverse if one fails                        kernel
 *   COMMIT of the world's changes and of the intent's end                   store; if it fails, the plan is undone
 *   names to the relay                                                      what fails is told again
 *   merge of the fork into the world, events, waiters                       memory; cannot fail
 *
 * The last line is one step under the write lock: the order of events is that of the world's changes (those that go with no change are
 * published under the read lock), and whoever is told that something has happened finds it in the world, in the events and in the names.
 *
 * A crash before the last COMMIT leaves the old world in the store and an intent that says what may be left over; a crash after it
 * leaves the new world. Either way reconcile (ops/reconcile.c) makes the kernel equal to what the store says. Intents are committed
 * without waiting for the disk: kill -9 does not lose them, and after a power loss no kernel object is left that they could name. */
#include "ops/op.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/fw.h"
#include "net/plan.h"
#include "ops/announce.h"
#include "ops/heal.h"
#include "ops/health.h"
#include "ops/host.h"
#include "ops/ports.h"
#include "ops/publish.h"
#include "ops/wait.h"

#define APPLY_TRIES 4

int op_begin(struct core *c, const char *verb, struct op *op, struct err *e)
{
	*op = (struct op){.verb = verb, .about = ""};
	pthread_mutex_lock(&c->op_lock);
	op->core = c;
	op->next = world_fork(c->world);
	if (!op->next) {
		op_end(op);
		return err_nomem(e);
	}
	int r = host_facts(c, &op->mem, &op->conf, e);
	if (r < 0)
		op_end(op);
	return r;
}

void op_end(struct op *op)
{
	if (!op->core)
		return;
	world_free(op->next);
	arena_free(&op->mem);
	pthread_mutex_unlock(&op->core->op_lock);
	*op = (struct op){0};
	mem_settle();
}

/* The plan from the world as it is to the fork, of the units that the fork touches. */
static int op_plan(struct op *op, struct plan *out, struct err *e)
{
	struct unit *units;
	size_t n;
	struct kstate *have = arena_new(&op->mem, struct kstate, 1), *want = arena_new(&op->mem, struct kstate, 1);
	if (!have || !want)
		return err_nomem(e);
	have->mem = want->mem = &op->mem;
	try(host_addrs(op->core, world_limited_ports(op->next) ? op->next : op->core->world, &op->mem, &op->conf, e));
	try(want_touched(op->next, &op->mem, &units, &n, e));
	for (size_t i = 0; i < n; i++) {
		try(want_unit(op->core->world, &op->conf, &units[i], have, e));
		try(want_unit(op->next, &op->conf, &units[i], want, e));
	}
	return plan_diff(&op->mem, have, want, out, e);
}

/* What a leftover intent must name so that reconcile can judge: the subject and every device and address of the fork's changes. */
static int intent_text(struct op *op, char **out, struct err *e)
{
	struct change *ch;
	size_t n;
	if (world_changes(op->next, &op->mem, &ch, &n) < 0)
		return err_nomem(e);
	OWN(own_json) json_t *j = json_pack("{s:s, s:[], s:[], s:[], s:[]}", "about", op->about, "containers", "networks", "devices", "ports");
	if (!j)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		const struct thing *t = ch[i].after ? ch[i].after : ch[i].before;
		if (ch[i].noun == NOUN_CONTAINER)
			json_array_append_new(json_object_get(j, "containers"), json_string(t->key));
		if (ch[i].noun == NOUN_NETWORK) {
			json_array_append_new(json_object_get(j, "networks"), json_string(t->key));
			/* Only a name that nobody else would choose says by itself whose it is. */
			if (str_starts(((const struct network *)t)->bridge, "br-") && strncmp(((const struct network *)t)->bridge + 3, t->key, 12) == 0)
				json_array_append_new(json_object_get(j, "devices"), json_string(((const struct network *)t)->bridge));
		}
		if (ch[i].noun == NOUN_PORT) {
			struct strv claims = {0};
			if (fw_port_claims((const struct port *)t, &op->mem, &claims) < 0)
				return err_nomem(e);
			for (size_t k = 0; k < claims.n; k++)
				json_array_append_new(json_object_get(j, "ports"), json_string(claims.v[k]));
		}
		if (ch[i].noun == NOUN_ENDPOINT) {
			const struct endpoint *ep = (const struct endpoint *)t;
			json_array_append_new(json_object_get(j, "devices"), json_string(ep->veth));
		}
	}
	*out = json_text(j);
	return *out ? 0 : err_nomem(e);
}

static int write_intent(struct op *op, int64_t *id, struct err *e)
{
	struct store *s = op->core->store;
	OWN(own_free) char *text = NULL;
	try(intent_text(op, &text, e));
	try(store_begin(s, false, e));
	if (store_intent_add(s, op->verb, text, id, e) < 0 || store_commit(s, e) < 0) {
		store_rollback(s);
		return e ? e->code : -EIO;
	}
	return 0;
}

static int save(struct op *op, int64_t intent, struct err *e)
{
	struct store *s = op->core->store;
	int r = store_begin(s, op->durable, e);
	if (r >= 0)
		r = store_save(s, op->next, e);
	if (r >= 0 && intent && !op->keep_intent)
		r = store_intent_del(s, intent, e);
	if (r >= 0 && op->end_intent)
		r = store_intent_del(s, op->end_intent, e);
	if (r >= 0)
		r = store_commit(s, e);
	if (r < 0)
		store_rollback(s);
	return r;
}

/* After a failed operation the intent has nothing more to say: the kernel was put back. */
static void drop_intent(struct op *op, int64_t intent)
{
	struct store *s = op->core->store;
	struct err e = {0};
	if (!intent)
		return;
	if (store_begin(s, false, &e) < 0 || store_intent_del(s, intent, &e) < 0 || store_commit(s, &e) < 0) {
		store_rollback(s);
		/* Harmless: the next start reads it, finds nothing of what it names, and deletes it. */
		log_warn("%s: the intent stays in the store until the next start: %s", op->verb, e.msg);
	}
}

static void publish(struct op *op)
{
	for (size_t i = 0; i < op->nevents; i++) {
		op->events[i].time = clock_real_ns();
		events_publish(op->core->events, &op->events[i]);
	}
	op->nevents = 0;
}

/* Somebody may have flushed our rules or removed a link a moment ago: that is mended first, and then it works, unless he does it again. */
static int apply(struct core *c, const struct plan *p, struct err *e)
{
	struct err one = {0};
	int r = kernel_apply(c->kernel, p, &one);
	for (int i = 1; r < 0 && i < APPLY_TRIES && heal_now(c, KERNEL_ALL, NULL) > 0; i++)
		r = kernel_apply(c->kernel, p, &one);
	if (r < 0 && e)
		*e = one;
	return r < 0 ? r : 0;
}

int op_commit(struct op *op, struct err *e)
{
	struct core *c = op->core;
	struct plan plan = {0};
	int64_t intent = 0;
	struct change *ch;
	size_t n;
	try(op_plan(op, &plan, e));
	if (plan.n || op->keep_intent)
		try(write_intent(op, &intent, e));
	int r = apply(c, &plan, e);
	if (r >= 0) {
		r = save(op, intent, e);
		if (r < 0) {
			struct err undo = {0};
			if (kernel_undo(c->kernel, &plan, &undo) < 0)
				log_error("%s: undoing failed, `pontoon doctor --repair` mends it: %s", op->verb, undo.msg);
		}
	}
	ports_settle(c);
	if (r < 0) {
		drop_intent(op, intent);
		return r;
	}
	if (op->keep_intent)
		*op->keep_intent = intent;
	/* Waiters are told what changed, by the containers' new state. */
	if (world_changes(op->next, &op->mem, &ch, &n) < 0)
		n = 0;
	struct publish_list names = {0};
	if (publish_note(c->world, op->next, &op->mem, ch, n, &names) < 0)
		log_error("%s: names are not up to date: out of memory", op->verb);
	announce_note(c, op->next, ch, n);
	publish_list(c, op->next, &op->conf, &names);
	pthread_rwlock_wrlock(&c->world_lock);
	publish(op);
	wait_note(c, ch, n);
	health_note(c, ch, n);
	world_merge(c->world, STEAL(op->next));
	pthread_rwlock_unlock(&c->world_lock);
	return 0;
}

static struct event *event_new(struct op *op)
{
	struct event *v = arena_new(&op->mem, struct event, op->nevents + 1);
	if (!v)
		return NULL;
	if (op->nevents)
		memcpy(v, op->events, op->nevents * sizeof(*v));
	op->events = v;
	return &v[op->nevents++];
}

static void add_attributes(struct op *op, struct event *ev, va_list ap)
{
	for (const char *k; (k = va_arg(ap, const char *));)
		(void)kvs_set(&op->mem, &ev->attributes, k, va_arg(ap, const char *));
}

void op_event(struct op *op, const char *type, const char *action, const char *id, ...)
{
	struct event *ev = event_new(op);
	if (!ev)
		return;
	*ev = (struct event){.type = type, .action = arena_dup(&op->mem, action), .id = arena_dup(&op->mem, id)};
	va_list ap;
	va_start(ap, id);
	add_attributes(op, ev, ap);
	va_end(ap);
}

void op_container_event(struct op *op, const struct container *c, const char *action, ...)
{
	struct event *ev = event_new(op);
	if (!ev)
		return;
	*ev = (struct event){.type = "container", .action = arena_dup(&op->mem, action), .id = arena_dup(&op->mem, c->id)};
	for (size_t i = 0; i < c->spec->config.labels.n; i++)
		(void)kvs_set(&op->mem, &ev->attributes, c->spec->config.labels.v[i].key, c->spec->config.labels.v[i].value);
	(void)kvs_set(&op->mem, &ev->attributes, "image", c->spec->config.image ? c->spec->config.image : "");
	(void)kvs_set(&op->mem, &ev->attributes, "name", c->name);
	va_list ap;
	va_start(ap, action);
	add_attributes(op, ev, ap);
	va_end(ap);
}

void op_image_event(struct op *op, const struct image *img, const char *action, const char *id, const char *name)
{
	struct event *ev = event_new(op);
	if (!ev)
		return;
	*ev = (struct event){.type = "image", .action = arena_dup(&op->mem, action), .id = arena_dup(&op->mem, id)};
	if (img)
		ev->attributes = kvs_copy(&op->mem, &img->config.labels);
	(void)kvs_set(&op->mem, &ev->attributes, "name", name);
}
