#include "base/mem.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/own.h"

#define FLOOR (6l << 20) /* bytes of its own that a process may have without a look at the heap */
#define SPARE (1l << 20) /* bytes kept without use since the last time that are worth the work */

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
	long now = excess(own);
	if (now > last + SPARE) {
		(void)malloc_trim(0);
		now = excess(resident());
		atomic_store(&mark, now);
	} else if (now < last) {
		atomic_store(&mark, now);
	}
}
