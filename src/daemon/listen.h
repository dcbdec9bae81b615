/* listen: opens what -H names: unix sockets, TCP with TLS, sockets that systemd passed. Owns descriptors, paths and the TLS texts until listen_close. */
#pragma once

#include "api/server.h"
#include "daemon/config.h"

#define SOCKETS_MAX 16

struct listeners {
	struct server_socket at[SOCKETS_MAX];
	const char *path[SOCKETS_MAX]; /* of a unix socket that was made here; NULL */
	size_t n;
	struct buf ca, cert, key;
	struct passed *passed; /* of systemd */
};

/* Takes the passed sockets out of the environment, reads and checks the TLS files; called once, before anything is spawned or changed. */
int listen_prepare(struct listeners *l, const struct config_daemon *c, struct err *e);
int listen_open(struct listeners *l, const struct config_daemon *c, struct err *e);
void listen_close(struct listeners *l);
