/* What a thread's stack keeps while the thread waits. */
#include "base/mem.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sanitized.h"
#include "test.h"

#define DEEP (96u << 10)

struct waiter {
	int pipe[2];
	int before, after, result;
	char *low, *here;
};

/* Uses much of the stack, and returns. */
static __attribute__((noinline)) int use(void)
{
	volatile char deep[DEEP];
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = (char)i;
	return deep[DEEP / 2];
}

/* Pages of the thread's stack, from its beginning to this frame, that are in memory. */
static int pages(const struct waiter *w)
{
	unsigned char there[64];
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size_t)(w->here - w->low) / page;
	int k = 0;
	CHECK(n <= sizeof(there));
	CHECK_INT(mincore(w->low, n * page, there), 0);
	for (size_t i = 0; i < n; i++)
		k += there[i] & 1;
	return k;
}

static void *wait_main(void *arg)
{
	struct waiter *w = arg;
	pthread_attr_t a;
	void *low;
	size_t size;
	pthread_getattr_np(pthread_self(), &a);
	pthread_attr_getstack(&a, &low, &size);
	pthread_attr_destroy(&a);
	w->low = low;
	w->here = __builtin_frame_address(0);
	(void)use();
	w->before = pages(w);
	struct pollfd p = {.fd = w->pipe[0], .events = POLLIN};
	w->result = mem_poll(&p, 1, 30);
	w->after = pages(w);
	return NULL;
}

static void wait_in_a_thread(struct waiter *w)
{
	pthread_t t;
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 256u << 10);
	CHECK_INT(pthread_create(&t, &a, wait_main, w), 0);
	pthread_attr_destroy(&a);
	pthread_join(t, NULL);
}

TEST(who_waits_long_gives_stack_back)
{
	struct waiter w = {0};
	CHECK_INT(pipe(w.pipe), 0);
	wait_in_a_thread(&w);
	CHECK_INT(w.result, 0); /* the time is over */
	if (!SANITIZED) {
		CHECK(w.before >= (int)(DEEP / (size_t)sysconf(_SC_PAGESIZE)));
		CHECK(w.after < 8);
	}
	CHECK_INT(write(w.pipe[1], "x", 1), 1);
	wait_in_a_thread(&w);
	CHECK_INT(w.result, 1); /* what is there is told at once, and nothing need go */
	close(w.pipe[0]);
	close(w.pipe[1]);
}

TEST(the_first_thread_may_wait_too)
{
	CHECK_INT(mem_poll(NULL, 0, 0), 0);
	CHECK_INT(mem_poll(NULL, 0, 25), 0);
}

TESTS(T(who_waits_long_gives_stack_back), T(the_first_thread_may_wait_too))
