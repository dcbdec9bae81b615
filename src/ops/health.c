/* Theory of operation
 *
 * A container that is checked has an entry: when its next probe is due, and what the last ones found. health_note makes and ends entries from the changes of
 * the world, so no verb has to think of it. The thread starts what is due (an exec session without a client), polls the output and the end of all probes
 * under way, and kills what takes too long. Only the thread frees entries, so it may use one without the lock; the lock guards what others read.
 *
 * tests/model/test_health.c, tests/scenario/test_health.py. */
#include "ops/health.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "engine/probe.h"
#include "ops/happen.h"

#define OUTPUT_MOST 4096 /* bytes of a probe's output kept */

struct record {
	int64_t start, end;
	int code;
	char *output;
};

struct checked {
	struct checked *next;
	char id[ID_TEXT];
	const struct container *ct; /* of the run that is checked */
	struct health_plan plan;
	struct health health;
	struct record log[HEALTH_LOG];
	size_t n;
	bool runs, gone; /* gone: the thread frees it */
	unsigned run;    /* counts its starts: a probe of an earlier run says nothing */
	int64_t due;     /* monotonic ns */
	/* the probe under way; the thread's alone */
	bool probing;
	struct engine_probe probe;
	struct buf output;
	unsigned probe_run;
	int64_t begun, deadline;
};

struct health_checks {
	pthread_mutex_t lock;
	struct checked *list;
	struct map by_id;
	unsigned active; /* probes under way */
	int wake;
	bool stop;
	pthread_t thread;
};

static void wake(struct health_checks *h)
{
	eventfd_write(h->wake, 1);
}

/* With the lock held. */
static void begin(struct checked *x, const struct container *ct)
{
	thing_unref((void *)(uintptr_t)x->ct);
	x->ct = thing_ref(ct);
	x->run++;
	x->runs = true;
	x->health = (struct health){.status = HEALTH_STARTING};
	x->due = clock_mono_ns() + health_wait(&x->health, &x->plan, ct->started, ct->started);
}

static void note_one(struct health_checks *h, const struct container *before, const struct container *after)
{
	const char *id = after ? after->id : before->id;
	struct checked *x = map_gets(&h->by_id, id);
	struct health_plan plan;
	if (!after) {
		if (x) {
			(void)map_dels(&h->by_id, id);
			x->gone = true;
			x->runs = false;
			wake(h);
		}
		return;
	}
	bool runs = after->state == STATE_RUNNING, same = before && before->state == STATE_RUNNING && before->started == after->started;
	if (x && !runs)
		x->runs = false;
	if (x && runs && before && before->state == STATE_PAUSED && before->started == after->started) { /* it goes on with what it knows */
		x->runs = true;
		x->run++;
		x->due = clock_mono_ns() + health_wait(&x->health, &x->plan, after->started, clock_real_ns());
		wake(h);
		return;
	}
	if (!runs || same || !health_plan(&after->spec->config, &plan))
		return;
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x || (STR_COPY(x->id, id), map_puts(&h->by_id, x->id, x)) < 0) {
			free(x);
			log_error("the health of %.12s is not checked: out of memory", id);
			return;
		}
		x->next = h->list;
		h->list = x;
	}
	x->plan = plan;
	begin(x, after);
	wake(h);
}

void health_note(struct core *c, const struct change *ch, size_t n)
{
	struct health_checks *h = c->health;
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < n; i++)
		if (ch[i].noun == NOUN_CONTAINER)
			note_one(h, ch[i].before, ch[i].after);
	pthread_mutex_unlock(&h->lock);
}

enum health_status health_of(struct core *c, const char *id)
{
	struct health_checks *h = c->health;
	if (!h)
		return HEALTH_NONE;
	pthread_mutex_lock(&h->lock);
	const struct checked *x = map_gets(&h->by_id, id);
	enum health_status s = x ? x->health.status : HEALTH_NONE;
	pthread_mutex_unlock(&h->lock);
	return s;
}

void health_look(struct core *c, const char *id, struct arena *a, struct health_view *out)
{
	struct health_checks *h = c->health;
	*out = (struct health_view){0};
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	const struct checked *x = map_gets(&h->by_id, id);
	if (x) {
		out->health = x->health;
		out->n = x->n;
		for (size_t i = 0; i < x->n; i++)
			out->log[i] = (struct health_entry){.start = x->log[i].start, .end = x->log[i].end, .code = x->log[i].code, .output = arena_dup(a, x->log[i].output)};
	}
	pthread_mutex_unlock(&h->lock);
}

static void publish(struct core *c, const struct container *ct, enum health_status s)
{
	char action[64];
	snprintf(action, sizeof(action), "health_status: %s", health_status_name(s));
	event_of_container(c, ct, action, NULL, NULL, NULL, NULL);
}

/* Takes the text over. */
static void add_record(struct checked *x, int64_t end, int code, char *output)
{
	if (x->n == HEALTH_LOG) {
		free(x->log[0].output);
		memmove(&x->log[0], &x->log[1], (HEALTH_LOG - 1) * sizeof(x->log[0]));
		x->n--;
	}
	x->log[x->n++] = (struct record){.start = x->begun, .end = end, .code = code, .output = output};
}

static char *output_text(struct checked *x, const char *instead)
{
	char *s = instead ? strdup(instead) : buf_steal(&x->output);
	if (!s)
		return NULL;
	if (!instead && strlen(s) >= OUTPUT_MOST)
		memcpy(s + OUTPUT_MOST - 3, "...", 4);
	str_make_utf8(s);
	return s;
}

/* What a probe of the present run found. */
static void conclude(struct core *c, struct checked *x, int code, const char *instead)
{
	struct health_checks *h = c->health;
	int64_t now = clock_real_ns();
	char *text = output_text(x, instead);
	buf_free(&x->output);
	(void)core_read(c);
	pthread_mutex_lock(&h->lock);
	bool current = x->runs && x->run == x->probe_run, counts = current && engine_lives(x->ct), changed = false; /* dead, its end is recorded soon: no probe can do well */
	if (current && !counts)
		x->due = clock_mono_ns() + x->plan.interval;
	if (counts) {
		add_record(x, now, code, text);
		changed = health_result(&x->health, &x->plan, x->ct->started, x->begun, code);
		x->due = clock_mono_ns() + health_wait(&x->health, &x->plan, x->ct->started, now);
	}
	if (changed)
		publish(c, x->ct, x->health.status);
	pthread_mutex_unlock(&h->lock);
	core_read_end(c);
	if (!counts)
		free(text);
}

static void end_probe(struct core *c, struct checked *x, int code, const char *instead)
{
	engine_probe_close(c->engine, &x->probe);
	x->probing = false;
	c->health->active--;
	conclude(c, x, code, instead);
}

/* A probe is an exec session; the runtime's work for it is waited for. */
static void start_probe(struct core *c, struct checked *x, const struct container *ct)
{
	OWN(arena_free) struct arena a = {0};
	struct exec_spec spec = {.attach_stdout = true, .attach_stderr = true, .cmd = health_command(&ct->spec->config, &a)};
	struct err e = {0};
	x->begun = clock_real_ns();
	x->output = (struct buf){.max = OUTPUT_MOST};
	int r = a.bad ? err_nomem(&e) : engine_probe_start(c->engine, ct, &spec, &x->probe, &e);
	x->deadline = clock_mono_ns() + x->plan.timeout;
	if (r < 0) {
		conclude(c, x, -1, e.msg);
		return;
	}
	x->probing = true;
	c->health->active++;
}

/* The first that is due. */
static struct checked *next_due(struct health_checks *h, const struct container **ct)
{
	int64_t now = clock_mono_ns();
	for (struct checked *x = h->list; x && h->active < LIMIT_PROBES; x = x->next) {
		if (!x->runs || x->probing || x->due > now)
			continue;
		x->probe_run = x->run;
		*ct = thing_ref(x->ct);
		return x;
	}
	return NULL;
}

static void start_due(struct core *c)
{
	struct health_checks *h = c->health;
	const struct container *ct;
	struct checked *x;
	do {
		pthread_mutex_lock(&h->lock);
		x = h->stop ? NULL : next_due(h, &ct);
		if (x)
			x->due = INT64_MAX; /* conclude() tells the next time */
		pthread_mutex_unlock(&h->lock);
		if (x) {
			start_probe(c, x, ct);
			thing_unref((void *)(uintptr_t)ct);
		}
	} while (x);
}

static void free_checked(struct checked *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->log[i].output);
	buf_free(&x->output);
	thing_unref((void *)(uintptr_t)x->ct);
	free(x);
}

/* With the lock held. */
static void sweep(struct health_checks *h)
{
	for (struct checked **p = &h->list; *p;) {
		struct checked *x = *p;
		if (x->gone && !x->probing) {
			*p = x->next;
			free_checked(x);
		} else {
			p = &x->next;
		}
	}
}

/* Until the next is due or takes too long, in ms. */
static int time_left(struct health_checks *h)
{
	int64_t soonest = INT64_MAX, now = clock_mono_ns();
	for (const struct checked *x = h->list; x; x = x->next) {
		int64_t t = x->probing ? x->deadline : x->runs && h->active < LIMIT_PROBES ? x->due : INT64_MAX;
		soonest = t < soonest ? t : soonest;
	}
	if (soonest == INT64_MAX)
		return -1;
	int64_t ms = (soonest - now + 999999) / 1000000;
	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static void read_output(struct checked *x)
{
	char block[4096];
	ssize_t n = read(x->probe.out, block, sizeof(block));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(STEAL_FD(x->probe.out));
		return;
	}
	size_t room = OUTPUT_MOST - x->output.len;
	buf_put(&x->output, block, (size_t)n < room ? (size_t)n : room);
}

static void serve(struct core *c, struct checked *x, bool readable, bool ended)
{
	char text[96];
	int code;
	if (readable)
		read_output(x);
	if (ended && engine_probe_ended(c->engine, &x->probe, &code)) {
		struct pollfd p = {.fd = x->probe.out, .events = POLLIN};
		while (x->probe.out >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLIN) && x->output.len < OUTPUT_MOST)
			read_output(x);
		end_probe(c, x, code, NULL);
	} else if (clock_mono_ns() >= x->deadline || !x->runs) {
		snprintf(text, sizeof(text), "Health check exceeded timeout (%gs)", (double)x->plan.timeout / 1e9);
		end_probe(c, x, -1, text);
	}
}

static void poll_all(struct core *c)
{
	struct health_checks *h = c->health;
	struct pollfd f[1 + 2 * LIMIT_PROBES];
	struct checked *probing[LIMIT_PROBES];
	size_t n = 0;
	eventfd_t count;
	pthread_mutex_lock(&h->lock);
	sweep(h);
	int ms = h->stop ? 0 : time_left(h);
	for (struct checked *x = h->list; x; x = x->next)
		if (x->probing)
			probing[n++] = x;
	pthread_mutex_unlock(&h->lock);
	f[0] = (struct pollfd){.fd = h->wake, .events = POLLIN};
	for (size_t i = 0; i < n; i++) {
		f[1 + 2 * i] = (struct pollfd){.fd = probing[i]->probe.out, .events = POLLIN};
		f[2 + 2 * i] = (struct pollfd){.fd = probing[i]->probe.ended, .events = POLLIN};
	}
	if (poll(f, 1 + 2 * n, ms) < 0)
		return;
	if (f[0].revents)
		(void)eventfd_read(h->wake, &count);
	for (size_t i = 0; i < n; i++)
		serve(c, probing[i], f[1 + 2 * i].revents, f[2 + 2 * i].revents);
}

static void *run(void *arg)
{
	struct core *c = arg;
	struct health_checks *h = c->health;
	bool stop;
	do {
		start_due(c);
		poll_all(c);
		pthread_mutex_lock(&h->lock);
		stop = h->stop;
		pthread_mutex_unlock(&h->lock);
	} while (!stop);
	return NULL;
}

int health_open(struct core *c, struct err *e)
{
	const struct container *ct;
	struct health_checks *h = calloc(1, sizeof(*h));
	if (!h)
		return err_nomem(e);
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&h->lock, NULL);
	c->health = h;
	const struct world *w = core_read(c);
	for (size_t i = 0; (ct = world_next(w, NOUN_CONTAINER, &i));)
		note_one(h, NULL, ct);
	core_read_end(c);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	int r = h->wake < 0 ? errno : pthread_create(&h->thread, &attr, run, c);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	h->stop = true;
	return err_errno(e, -r, "start the thread of the health checks");
}

void health_close(struct core *c)
{
	struct health_checks *h = c->health;
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	bool running = !h->stop;
	h->stop = true;
	pthread_mutex_unlock(&h->lock);
	wake(h);
	if (running)
		pthread_join(h->thread, NULL);
	c->health = NULL;
	for (struct checked *x = h->list, *next; x; x = next) {
		next = x->next;
		if (x->probing)
			engine_probe_close(c->engine, &x->probe);
		free_checked(x);
	}
	map_free(&h->by_id);
	if (h->wake >= 0)
		close(h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
