/* firewalld: hears from the system bus that firewalld has reloaded its rules, or has come or gone. One thread. */
#pragma once

#include <poll.h>

#include "base/err.h"

struct firewalld;

/* NULL when this build has no libsystemd or there is no bus; asked again later. */
struct firewalld *firewalld_open(void);
void firewalld_free(struct firewalld *f);
/* What to wait for; *timeout (ms, -1: none) becomes at most what the bus wants. */
struct pollfd firewalld_poll(struct firewalld *f, int *timeout);
/* 1: it has reloaded, come or gone; 0: nothing; negative: the bus has gone, free it. */
int firewalld_take(struct firewalld *f);
bool firewalld_is_built_in(void);
