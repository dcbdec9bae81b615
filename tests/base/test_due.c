/* A thread with due times: the order, entries that come again, the end. */
#include "base/due.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "test.h"

#define MAX 16

struct seen {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int n, order[MAX];
	int early;
	struct due_queue *q;
};

struct entry {
	struct due due;
	int number, again;
};

static bool act(void *arg, struct due *d)
{
	struct seen *s = arg;
	struct entry *x = (struct entry *)d;
	pthread_mutex_lock(&s->lock);
	if (clock_mono_ns() < x->due.when)
		s->early++;
	if (s->n < MAX)
		s->order[s->n++] = x->number;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	x->due.when += 1000000;
	return x->again-- > 0;
}

static void open_queue(struct seen *s)
{
	struct err e = {0};
	*s = (struct seen){0};
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	CHECK_INT(due_open("the test", act, s, &s->q, &e), 0);
}

static void put(struct seen *s, int number, int64_t when, int again)
{
	struct entry *x = calloc(1, sizeof(*x));
	CHECK(x);
	x->number = number;
	x->again = again;
	x->due.when = when;
	due_put(s->q, &x->due);
}

static void wait_for(struct seen *s, int n)
{
	pthread_mutex_lock(&s->lock);
	while (s->n < n)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

TEST(soonest_first)
{
	struct seen s;
	open_queue(&s);
	pthread_mutex_lock(&s.lock); /* holds the thread at the very first */
	put(&s, 0, 0, 0);
	put(&s, 3, 3, 0);
	put(&s, 1, 1, 0);
	put(&s, 2, 1, 0);
	put(&s, 4, 4, 0);
	pthread_mutex_unlock(&s.lock);
	wait_for(&s, 5);
	for (int i = 0; i < 5; i++)
		CHECK_INT(s.order[i], i);
	due_free(s.q);
}

TEST(never_early)
{
	struct seen s;
	open_queue(&s);
	put(&s, 1, clock_mono_ns() + 10000000, 1);
	wait_for(&s, 2);
	CHECK_INT(s.early, 0);
	due_free(s.q);
}

TEST(one_that_is_put_while_the_thread_sleeps_wakes_it)
{
	struct seen s;
	open_queue(&s);
	put(&s, 2, clock_mono_ns() + INT64_C(3600000000000), 0);
	put(&s, 1, 0, 0);
	wait_for(&s, 1);
	CHECK_INT(s.order[0], 1);
	due_free(s.q); /* what is left is freed: the sanitized build tells */
	CHECK_INT(s.n, 1);
}

TEST(act_may_ask_for_another_turn)
{
	struct seen s;
	open_queue(&s);
	put(&s, 7, 0, 2);
	wait_for(&s, 3);
	due_stop(s.q);
	due_stop(s.q);
	CHECK_INT(s.n, 3);
	due_free(s.q);
}

TEST(nothing_happens_after_the_end)
{
	struct seen s;
	open_queue(&s);
	due_stop(s.q);
	put(&s, 1, 0, 0);
	due_free(s.q);
	CHECK_INT(s.n, 0);
	due_stop(NULL);
	due_free(NULL);
}

static bool is_numbered(const void *arg, const struct due *d)
{
	return ((const struct entry *)d)->number == *(const int *)arg;
}

TEST(what_is_taken_back_does_not_happen)
{
	struct seen s;
	const int64_t later = INT64_C(3600000000000);
	open_queue(&s);
	for (int i = 1; i <= 3; i++)
		put(&s, i, clock_mono_ns() + later + i, 0);
	for (int i = 2; i <= 3; i++) {
		struct entry *x = (struct entry *)due_take(s.q, is_numbered, &i);
		REQUIRE(x && x->number == i);
		CHECK(!due_take(s.q, is_numbered, &i));
		if (i == 2) { /* it may be put again */
			x->due.when = 0;
			due_put(s.q, &x->due);
			wait_for(&s, 1);
		} else {
			free(x);
		}
	}
	CHECK_INT(s.order[0], 2);
	due_stop(s.q);
	const int first = 1;
	free(due_take(s.q, is_numbered, &first));
	CHECK(!due_take(s.q, is_numbered, &first));
	due_free(s.q);
	CHECK_INT(s.n, 1);
}

TESTS(T(soonest_first), T(never_early), T(one_that_is_put_while_the_thread_sleeps_wakes_it), T(act_may_ask_for_another_turn), T(nothing_happens_after_the_end),
	T(what_is_taken_back_does_not_happen))
