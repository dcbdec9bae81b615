#include "base/mem.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/own.h"

#define FLOOR (6l << 20) /* bytes of its own that a process may have without a look at the heap */
#define SPARE (1l << 20) /* bytes of change since the last time that are worth the work */

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

void mem_settle(void)
{
	static _Atomic long mark; /* what was left after the last time: stacks and the like */
	long own = resident(), last = atomic_load(&mark);
	if (own <= FLOOR)
		return;
	/* Less is a reason too: when stacks have gone, the free pages that they outweighed are what is left. */
	if (labs(excess(own) - last) > SPARE) {
		(void)malloc_trim(0);
		atomic_store(&mark, excess(resident()));
	}
}
