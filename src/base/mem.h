/* mem: memory that the process has freed goes back to the system. The C library keeps freed pages that lie below something still in use: after ten thousand ports
 * have come and gone, a hundred times what the daemon needs (tests/scenario/test_scale.py). Thread safe. */
#pragma once

void mem_settle(void); /* at the end of what may have used much: cheap when it has not */
