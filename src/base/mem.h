/* mem: memory that the process has freed goes back to the system. The C library keeps freed pages that lie below something still in use: after ten thousand ports
 * have come and gone, a hundred times what the daemon needs (tests/scenario/test_scale.py). Thread safe. */
#pragma once

#include <poll.h>

void mem_settle(void); /* at the end of what may have used much, the calling thread's stack too: cheap when it has not */

/* poll(2), for a thread that may stay in it: when it is not but a moment, the pages of the thread's stack that its earlier calls have used go back, too.
 * With a thread a connection they are most of what a waiting client costs. */
int mem_poll(struct pollfd *fds, nfds_t n, int ms);
