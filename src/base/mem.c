#include "base/mem.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/sanitized.h"

#define FLOOR (6l << 20) /* bytes of its own that a process may have without a look at the heap */
#define SPARE (1l << 20) /* bytes of change since the last time that are worth the work */
#define EVERY_NS 1000000000 /* a trim for no other reason, after an answer */
#define MOMENT_MS 20     /* a wait that is longer may cost a few page faults afterwards */

/* Bytes of memory that is resident and no file's; 0: not known. */
static long resident(void)
{
	char text[128];
	long all, shared;
	OWN(own_fd) int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%*d %ld %ld", &all, &shared) == 2 ? (all - shared) * sysconf(_SC_PAGESIZE) : 0;
}

static long excess(long own)
{
	struct mallinfo2 m = mallinfo2();
	return own - (long)(m.uordblks + m.hblkhd);
}

/* Where the thread's stack begins; NULL: not known, or it is the process's first, which grows by itself. */
static char *stack_low(void)
{
	static _Thread_local char *low;
	static _Thread_local bool asked;
	pthread_attr_t a;
	void *at;
	size_t size;
	if (!asked && gettid() != getpid() && pthread_getattr_np(pthread_self(), &a) == 0) {
		if (pthread_attr_getstack(&a, &at, &size) == 0)
			low = at;
		pthread_attr_destroy(&a);
	}
	asked = true;
	return low;
}

/* What lies below this frame is left of calls that have returned. One page more is kept for those to come: poll's, a signal's. */
static void stack_settle(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *low = stack_low(), *end = __builtin_frame_address(0);
	end -= (uintptr_t)end % page + page;
	if (!SANITIZED && low && end > low)
		(void)madvise(low, (size_t)(end - low), MADV_DONTNEED);
}

void mem_settle(void)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	static long mark;    /* what was left after the last time: stacks and the like */
	static int64_t when; /* that was */
	long own = resident();
	if (own <= FLOOR)
		return;
	stack_settle();
	/* A look at the heap holds up everybody who allocates. Who comes while another is at it leaves it to the next. */
	if (pthread_mutex_trylock(&one) != 0)
		return;
	/* Less is a reason too: when stacks have gone, the free pages that they outweighed are what is left. And so is time: the one can have taken the other's place. */
	if (labs(excess(own) - mark) > SPARE || clock_mono_ns() - when > EVERY_NS) {
		(void)malloc_trim(0);
		mark = excess(resident());
		when = clock_mono_ns();
	}
	pthread_mutex_unlock(&one);
}

int mem_poll(struct pollfd *fds, nfds_t n, int ms)
{
	if (ms >= 0 && ms <= MOMENT_MS)
		return poll(fds, n, ms);
	int r = poll(fds, n, MOMENT_MS);
	if (r != 0)
		return r;
	stack_settle();
	return poll(fds, n, ms < 0 ? ms : ms - MOMENT_MS);
}
