/* journal: the log driver journald: conmon writes to the systemd journal, and `docker logs` reads what is there of the container. Any thread. */
#pragma once

#include "engine/logline.h"

/* A journal listens on this host. */
bool journal_is_there(void);
/* This pontoond was built with libsystemd, and it is installed. */
bool journal_can_read(void);
/* "{{.Name}}/{{.ID}}" with what it stands for; NULL: 12 digits of the id. INVALID for what is not known. */
int journal_tag(const struct container *c, struct arena *a, const char **out, struct err *e);
struct journal_end { /* of a container that is followed */
	int fd;                  /* readable when there is reason to ask; read empty */
	bool (*over)(void *arg); /* it is this one, and all of it has been sent */
	void *arg;
};
/* As engine_logs. */
int journal_read(struct log_out *out, const char *id, bool (*idle)(void *arg, int wake_fd), const struct journal_end *end, struct err *e);
