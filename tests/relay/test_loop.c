/* The loop: nothing that is many keeps a question waiting. */
#include "relay/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "test.h"

#define MANY 40

struct asker {
	struct source source;
	int times;
};

struct busy {
	struct timer timer;
	int *fired;
};

static void asked(struct source *s, uint32_t events)
{
	(void)events;
	CONTAINER(s, struct asker, source)->times++;
}

/* Takes longer than all timers of a turn may. */
static void work(struct timer *t)
{
	int64_t end = clock_mono_ns() + 400000;
	while (clock_mono_ns() < end)
		;
	++*CONTAINER(t, struct busy, timer)->fired;
}

static void note(struct timer *t)
{
	++*CONTAINER(t, struct busy, timer)->fired;
}

TEST(many_timers_that_are_due_give_way)
{
	static struct busy busy[MANY];
	struct loop l;
	struct err e = {0};
	struct asker a = {.source.ready = asked};
	int fds[2], fired = 0;
	REQUIRE(loop_open(&l, &e) == 0 && pipe(fds) == 0);
	a.source.fd = fds[0];
	CHECK_INT(write(fds[1], "x", 1), 1); /* nobody reads it */
	CHECK_INT(loop_add(&l, &a.source, EPOLLIN), 0);
	l.now -= 10000; /* all are due */
	for (size_t i = 0; i < MANY; i++) {
		busy[i].fired = &fired;
		loop_arm(&l, &busy[i].timer, i % 2 ? TIMER_RESEND : TIMER_QUERY, work);
	}
	for (int i = 1; i <= MANY; i++) {
		CHECK_INT(loop_turn(&l, true, &e), 0);
		CHECK_INT(fired, i);
		CHECK_INT(a.times, i); /* the socket had its turn before each */
	}
	CHECK(!loop_first(&l, TIMER_RESEND) && !loop_first(&l, TIMER_QUERY));
	loop_close(&l);
	close(fds[0]);
	close(fds[1]);
}

TEST(timers_come_in_the_order_of_their_ends)
{
	struct loop l;
	struct err e = {0};
	int early = 0, late = 0;
	struct busy a = {.fired = &late}, b = {.fired = &early};
	REQUIRE(loop_open(&l, &e) == 0);
	l.now -= 6000;
	loop_arm(&l, &a.timer, TIMER_QUERY, work);
	loop_arm(&l, &b.timer, TIMER_RESEND, work);
	CHECK_INT(loop_turn(&l, true, &e), 0);
	CHECK(early == 1 && late == 0);
	CHECK_INT(loop_turn(&l, true, &e), 0); /* and does not wait: one is due */
	CHECK_INT(late, 1);
	loop_arm(&l, &a.timer, TIMER_PAUSE, note);
	loop_disarm(&a.timer);
	CHECK_INT(loop_turn(&l, false, &e), 0);
	CHECK_INT(late, 1);
	loop_close(&l);
}

TESTS(T(many_timers_that_are_due_give_way), T(timers_come_in_the_order_of_their_ends))
