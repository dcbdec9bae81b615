/* size: what containers and volumes take on the disk. */
#pragma once

#include "engine/engine.h"

/* Bytes of what it changed in its root file system. Walks its files: not under a lock. */
int64_t engine_container_size(const struct engine *en, const char *id);
