/* follow: who waits for logs to grow. The kernel gives a user few inotify instances (128 are usual), so all followers share one, which watch.c's thread reads. */
#pragma once

#include "engine/engine_int.h"

struct follower {
	struct follower *next;
	const char *id;
	int dir; /* the watch on the container's directory: one for all of its followers */
	int fd;  /* eventfd: look again */
};

int follow_open(struct engine *en, struct err *e);
void follow_close(struct engine *en);
/* id stays the caller's until follow_end. */
int follow_begin(struct engine *en, const char *id, struct follower *f, struct err *e);
void follow_end(struct engine *en, struct follower *f);
void follow_read(struct engine *en); /* the inotify instance is readable */
void follow_wake(struct engine *en, const char *id); /* the container has ended, or its run was taken away */
