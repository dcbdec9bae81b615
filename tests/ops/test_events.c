#include "ops/events.h"

#include <poll.h>
#include <unistd.h>

#include "base/limits.h"
#include "test.h"

static void publish(struct events *ev, int64_t n)
{
	const struct event e = {.type = "container", .action = "start", .id = "aa", .time = n};
	events_publish(ev, &e);
}

static bool readable(const struct events_sub *s)
{
	struct pollfd p = {.fd = events_fd(s), .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

/* The time of the next one; what events_next gives when there is none. */
static int64_t next(struct events_sub *s)
{
	struct arena a = {0};
	struct event e;
	int r = events_next(s, &a, &e);
	int64_t n = r == 1 ? e.time : r;
	arena_free(&a);
	return n;
}

TEST(who_lags_gets_all_in_order)
{
	struct events *ev = events_new();
	struct events_sub *s, *other;
	struct err e = {0};
	int64_t told = 0, seen = 0;
	CHECK_INT(events_subscribe(ev, 0, &s, &e), 0);
	CHECK_INT(events_subscribe(ev, 0, &other, &e), 0);
	CHECK(!readable(s));
	/* the queue grows while its beginning is anywhere */
	for (int more = 1; more < 500; more += 7) {
		for (int i = 0; i < more; i++)
			publish(ev, ++told);
		CHECK(readable(s));
		for (int i = 0; i < more / 2 + 3 && seen < told; i++)
			CHECK_INT(next(s), ++seen);
		if (told - seen > 2000)
			while (seen < told)
				CHECK_INT(next(s), ++seen);
	}
	while (seen < told)
		CHECK_INT(next(s), ++seen);
	CHECK_INT(next(s), 0);
	CHECK(!readable(s));
	events_unsubscribe(s);
	events_unsubscribe(other); /* with all that waits for it */
	CHECK_INT((int)events_subscribers(ev), 0);
	events_free(ev);
}

TEST(who_lags_too_far_is_told)
{
	struct events *ev = events_new();
	struct events_sub *s;
	struct err e = {0};
	CHECK_INT(events_subscribe(ev, 0, &s, &e), 0);
	for (int64_t i = 1; i <= 5000; i++)
		publish(ev, i);
	int64_t seen = 0, r;
	while ((r = next(s)) > 0)
		CHECK_INT(r, ++seen);
	CHECK_INT(seen, 4096);
	CHECK_INT(r, -EOVERFLOW);
	events_unsubscribe(s);
	events_free(ev);
}

TEST(the_last_ones_are_kept)
{
	struct events *ev = events_new();
	struct events_sub *s;
	struct err e = {0};
	for (int64_t i = 1; i <= 1000; i++)
		publish(ev, i);
	CHECK_INT(events_subscribe(ev, 990, &s, &e), 0);
	for (int64_t i = 990; i <= 1000; i++)
		CHECK_INT(next(s), i);
	CHECK_INT(next(s), 0);
	events_unsubscribe(s);
	CHECK_INT(events_subscribe(ev, 1, &s, &e), 0);
	CHECK_INT(next(s), 1000 - LIMIT_EVENTS_KEPT + 1);
	events_unsubscribe(s);
	events_free(ev);
}

TESTS(T(who_lags_gets_all_in_order), T(who_lags_too_far_is_told), T(the_last_ones_are_kept));
