/* Theory of operation
 *
 * All timers of a kind last equally long, so each kind is a list in the order of ends: arming, disarming and finding the next are O(1) however many there are.
 * An event's handler may free other sources whose events wait in the same batch: loop_del takes these out of the batch.
 *
 * Names come first. What carries bytes of published ports only queues a task when its sockets are ready; tasks run in turn, each a bounded piece of work, after all events
 * of a batch and for TASKS_NS at most, and then the sockets are looked at again. So a question waits for bulk data that long and one task more, however much there is. For as long,
 * and one more, it waits for timers, of which thousands can be due at once. */
#include "relay/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"

#define TASKS_NS 200000

static const int durations[] = {
	[TIMER_RACE] = 250,       /* longer than a good resolver takes for what it does not know yet */
	[TIMER_RESEND] = 1000,
	[TIMER_QUERY] = 4500,     /* below the 5 s after which the C libraries ask again */
	[TIMER_CLIENT] = 10000,   /* RFC 7766, 6.2.3: a few seconds */
	[TIMER_CONNECT] = 15000,  /* four SYNs */
	[TIMER_SESSION] = 90000,  /* as Docker */
	[TIMER_PAUSE] = 100,
	[TIMER_DRAIN] = 3600000,
};
static_assert(ARRAY_LEN(durations) == TIMER_N, "durations[] is missing a kind");

int loop_open(struct loop *l, struct err *e)
{
	*l = (struct loop){.now = clock_mono_ns() / 1000000};
	for (size_t i = 0; i < TIMER_N; i++)
		l->heads[i].prev = l->heads[i].next = &l->heads[i];
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	return l->epoll < 0 ? err_errno(e, -errno, "epoll_create1") : 0;
}

void loop_close(struct loop *l)
{
	if (l->epoll >= 0)
		close(l->epoll);
	l->epoll = -1;
}

int loop_add(struct loop *l, struct source *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_change(struct loop *l, struct source *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};
	return epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct source *s)
{
	if (s->fd < 0)
		return;
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL); /* ENOENT: never added */
	for (size_t i = 0; i < LOOP_BATCH; i++)
		if (l->batch[i] == s)
			l->batch[i] = NULL;
}

void loop_close_source(struct loop *l, struct source *s)
{
	if (s->fd < 0)
		return;
	loop_del(l, s);
	close(s->fd);
	s->fd = -1;
}

void loop_disarm(struct timer *t)
{
	if (!t->next)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->prev = t->next = NULL;
}

void loop_arm(struct loop *l, struct timer *t, enum timer_kind kind, void (*fired)(struct timer *t))
{
	struct timer *head = &l->heads[kind];
	loop_disarm(t);
	t->due = l->now + durations[kind];
	t->fired = fired;
	t->next = head;
	t->prev = head->prev;
	head->prev->next = t;
	head->prev = t;
}

struct timer *loop_first(struct loop *l, enum timer_kind kind)
{
	struct timer *t = l->heads[kind].next;
	return t == &l->heads[kind] ? NULL : t;
}

/* NULL: none is armed. */
static struct timer *earliest(struct loop *l)
{
	struct timer *first = NULL;
	for (size_t i = 0; i < TIMER_N; i++) {
		struct timer *t = loop_first(l, (enum timer_kind)i);
		if (t && (!first || t->due < first->due))
			first = t;
	}
	return first;
}

static int until_next(struct loop *l)
{
	const struct timer *t = earliest(l);
	return !t ? -1 : t->due > l->now ? (int)(t->due - l->now) : 0;
}

/* What is due is as many as queries that came at once: thousands. */
static void fire(struct loop *l)
{
	struct timer *t = earliest(l);
	int64_t end = t && t->due <= l->now ? clock_mono_ns() + TASKS_NS : 0;
	for (; t && t->due <= l->now; t = earliest(l)) {
		loop_disarm(t);
		t->fired(t);
		if (clock_mono_ns() >= end)
			break;
	}
}

void loop_later(struct loop *l, struct task *t)
{
	if (t->next)
		return;
	t->next = l->tasks ? l->tasks->next : t;
	if (l->tasks)
		l->tasks->next = t;
	l->tasks = t;
}

void loop_forget(struct loop *l, struct task *t)
{
	struct task *before = t;
	if (!t->next)
		return;
	while (before->next != t)
		before = before->next;
	before->next = t->next;
	if (l->tasks == t)
		l->tasks = before == t ? NULL : before;
	t->next = NULL;
}

static void run_tasks(struct loop *l)
{
	int64_t end = l->tasks ? clock_mono_ns() + TASKS_NS : 0;
	while (l->tasks) {
		struct task *t = l->tasks->next;
		if (t == l->tasks)
			l->tasks = NULL;
		else
			l->tasks->next = t->next;
		t->next = NULL;
		t->run(t);
		if (clock_mono_ns() >= end)
			break;
	}
}

int loop_turn(struct loop *l, bool wait, struct err *e)
{
	struct epoll_event ev[LOOP_BATCH];
	int n = epoll_wait(l->epoll, ev, LOOP_BATCH, !wait || l->tasks ? 0 : until_next(l));
	if (n < 0 && errno != EINTR)
		return err_errno(e, -errno, "epoll_wait");
	l->now = clock_mono_ns() / 1000000;
	for (int i = 0; i < n; i++)
		l->batch[i] = ev[i].data.ptr;
	for (int i = 0; i < n; i++) {
		struct source *s = l->batch[i];
		if (s)
			s->ready(s, ev[i].events);
	}
	memset(l->batch, 0, sizeof(l->batch));
	fire(l);
	run_tasks(l);
	return 0;
}

int loop_run(struct loop *l, struct err *e)
{
	while (!l->ended)
		try(loop_turn(l, true, e));
	return 0;
}
