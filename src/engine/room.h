/* room: a runtime's mount namespace has of all containers' mounts only those of its own. Owned by the engine; room_words from any thread. */
#pragma once

#include "engine/engine_int.h"

#define ROOM_PATHS 2
#define ROOM_WORDS (ROOM_PATHS + 3)

void room_open(struct engine *en); /* what stands in the way is logged: then there are no rooms, and runtimes are run as they are */
void room_close(struct engine *en);
/* What comes before a runtime's command line: at most ROOM_WORDS, none without rooms. paths: the mounts it needs, at most ROOM_PATHS, NULL at the end. Memory: a->bad. */
size_t room_words(const struct engine *en, const char *const *paths, struct arena *a, const char **out);
