/* Theory of operation
 *
 * The kernel's monitor (kernel/monitor.c) wakes this thread when somebody changes something. A burst is let come to its end, for a short
 * time; then, under op_lock, the monitor says whether the change concerns us, and heal_now() mends what differs. What is not ours is neither
 * seen nor touched by that.
 *
 * Two programs that each undo what the other does would go on forever. Repairs take from a bucket that fills at one a second: a burst is
 * mended at once, a fight goes on at one round a second, and the log says so.
 *
 * A look that finds nothing costs time too, and other programs may change their own rules often: the next look waits ten times as long as
 * the last one took, within half a second.
 *
 * What cannot be mended (a port that another program has, an address that the host has lost) is tried again, less and less often, and at
 * once when anything changes.
 *
 * An operation that meets the damage before this thread does calls heal_now() itself and tries again (ops/op.c).
 *
 * tests/scenario/test_heal.py */
#include "ops/heal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernel/firewalld.h"
#include "kernel/monitor.h"
#include "ops/events.h"
#include "ops/reconcile.h"

#define QUIET_MS       20  /* a burst has come to its end */
#define BURST_MS       100 /* or is not waited for any longer */
#define REPAIRS_MAX    20  /* at once */
#define REFILL_NS      1000000000ll
#define LOOK_PAUSE_MAX 500 /* ms */
#define RETRY_MIN_MS   500
#define RETRY_MAX_MS   60000
#define TOLD_MAX       8 /* objects that the event and the log name */

struct heal {
	struct monitor *monitor;
	int stop; /* eventfd */
	bool running;
	pthread_t thread;
	int repairs; /* left in the bucket */
	int64_t refilled;
	int pause; /* ms before the next look */
};

int heal_open(struct core *c, struct err *e)
{
	struct heal *h = calloc(1, sizeof(*h));
	if (!h)
		return err_nomem(e);
	h->repairs = REPAIRS_MAX;
	h->refilled = clock_mono_ns();
	h->stop = eventfd(0, EFD_CLOEXEC);
	c->heal = h;
	if (h->stop < 0)
		return err_errno(e, -errno, "eventfd");
	return monitor_new(c->kernel, &h->monitor, e);
}

struct tally {
	size_t missing, different, leftover;
	struct buf text;
};

static void own_tally(struct tally *t)
{
	buf_free(&t->text);
}

static void tally(struct tally *t, const struct difference *d, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		t->missing += streq(d[i].kind, "missing");
		t->different += streq(d[i].kind, "different");
		t->leftover += streq(d[i].kind, "leftover");
		if (i < TOLD_MAX)
			buf_printf(&t->text, "%s%s: %s", i ? "; " : "", d[i].kind, d[i].object);
	}
	if (n > TOLD_MAX)
		buf_printf(&t->text, "; and %zu more", n - TOLD_MAX);
}

static void publish(struct core *c, struct arena *a, const struct tally *t)
{
	struct event ev = {.type = "daemon", .action = "repair", .id = c->id, .time = clock_real_ns()};
	int r = kvs_set(a, &ev.attributes, "missing", arena_printf(a, "%zu", t->missing));
	r |= kvs_set(a, &ev.attributes, "different", arena_printf(a, "%zu", t->different));
	r |= kvs_set(a, &ev.attributes, "leftover", arena_printf(a, "%zu", t->leftover));
	r |= kvs_set(a, &ev.attributes, "objects", buf_str(&t->text));
	if (r == 0 && !a->bad)
		events_publish(c->events, &ev);
}

int heal_now(struct core *c, unsigned parts, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_tally) struct tally t = {0};
	struct difference *d;
	struct plan p;
	size_t n;
	try(reconcile_plan(c, parts, &a, &p, e));
	if (!p.n)
		return 0;
	try(doctor_list(c, &p, &a, &d, &n, e));
	tally(&t, d, n);
	try(reconcile_repair(c, &a, &p, e));
	log_warn("the network was changed by another program, and is repaired missing=%zu different=%zu leftover=%zu: %s", t.missing, t.different, t.leftover, buf_str(&t.text));
	publish(c, &a, &t);
	return (int)n;
}

/* True when it is time to stop. */
static bool sleep_ms(const struct heal *h, int ms)
{
	struct pollfd f = {.fd = h->stop, .events = POLLIN};
	return ms > 0 && poll(&f, 1, ms) > 0;
}

/* True when it is time to stop. */
static bool settle(struct heal *h)
{
	int64_t end = clock_mono_ns() + BURST_MS * 1000000ll;
	int r;
	if (sleep_ms(h, h->pause))
		return true;
	while ((r = monitor_wait(h->monitor, h->stop, QUIET_MS)) > 0 && clock_mono_ns() < end)
		;
	return r < 0;
}

/* Takes a repair out of the bucket; true when it is time to stop. */
static bool take_repair(struct heal *h)
{
	int64_t full = (clock_mono_ns() - h->refilled) / REFILL_NS;
	h->refilled += full * REFILL_NS;
	h->repairs = h->repairs + full > REPAIRS_MAX ? REPAIRS_MAX : h->repairs + (int)full;
	if (h->repairs > 0) {
		h->repairs--;
		return false;
	}
	log_warn("another program changes the network again and again, and is answered once a second only: look for who else manages these rules or links");
	int64_t wait = h->refilled + REFILL_NS - clock_mono_ns();
	h->refilled += REFILL_NS;
	return sleep_ms(h, (int)(wait / 1000000) + 1);
}

/* What heal_now gave, 0 too when there was nothing to look at. */
static int look(struct core *c, unsigned parts)
{
	struct heal *h = c->heal;
	struct err e = {0};
	int r = 0;
	pthread_mutex_lock(&c->op_lock);
	int64_t start = clock_mono_ns();
	parts |= monitor_take(h->monitor, c->world);
	if (parts)
		r = heal_now(c, parts, &e);
	int64_t ms = (clock_mono_ns() - start) / 1000000;
	pthread_mutex_unlock(&c->op_lock);
	mem_settle();
	if (parts)
		log_debug("looked at the network parts=%u differing=%d ms=%lld", parts, r, (long long)ms);
	h->pause = r != 0 ? 0 : ms * 10 > LOOK_PAUSE_MAX ? LOOK_PAUSE_MAX : (int)ms * 10;
	if (r < 0)
		log_error("the network was changed by another program, and not all could be repaired: %s", e.msg);
	return r;
}

static void *run(void *arg)
{
	struct core *c = arg;
	struct heal *h = c->heal;
	int retry = c->unmended ? RETRY_MIN_MS : 0;
	(void)look(c, 0); /* what was changed since reconcile */
	for (;;) {
		int r = monitor_wait(h->monitor, h->stop, retry ? retry : -1);
		if (r < 0) {
			if (r != -ECANCELED)
				log_error("changes of the network are not noticed any more: %s", strerror(-r));
			return NULL;
		}
		if (r > 0 && settle(h))
			return NULL;
		int done = look(c, retry ? KERNEL_ALL : 0);
		retry = done >= 0 ? 0 : !retry ? RETRY_MIN_MS : retry * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : retry * 2;
		if (done > 0 && take_repair(h))
			return NULL;
	}
}

int heal_start(struct core *c, struct err *e)
{
	log_debug("the network is watched; firewalld's word on the system bus is %s", firewalld_is_built_in() ? "heard" : "not built in");
	int r = pthread_create(&c->heal->thread, NULL, run, c);
	c->heal->running = r == 0;
	return r ? err_errno(e, -r, "start the thread that watches the network") : 0;
}

void heal_stop(struct core *c)
{
	struct heal *h = c->heal;
	if (!h)
		return;
	if (h->running) {
		(void)eventfd_write(h->stop, 1);
		pthread_join(h->thread, NULL);
	}
	monitor_free(h->monitor);
	own_fd(&h->stop);
	free(h);
	c->heal = NULL;
}
