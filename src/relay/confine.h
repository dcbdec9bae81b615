/* confine: what pontoon-relay gives up before it reads the first byte that somebody else has chosen. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* Own user and group, no capabilities, no new privileges, no file system, limits, a list of system calls; for good. Returns how many descriptors it may have. */
int relay_confine(uid_t uid, gid_t gid, struct err *e);
