/* relay_own: what the files relay*.c share: what is known, and the way to the relay. The lock is held in all of it but relay_open and relay_close. */
#pragma once

#include <pthread.h>

#include "base/clock.h"
#include "base/map.h"
#include "engine/relay.h"

struct box { /* one sandbox */
	char id[ID_TEXT];
	int udp, tcp;
	char *netns; /* path; NULL: not told since relay_open */
	void *view;  /* encoded */
	size_t view_len;
	bool claimed;
};

struct hold { /* a port */
	char id[RELAY_PORT_ID];
	int fd;
	int steer; /* what leads a long run of ports to fd; -1 */
	void *port, *serve; /* encoded; serve NULL: not told since relay_open */
	size_t port_len, serve_len;
};

struct note { /* a zone */
	char id[ID_TEXT];
	void *bytes; /* encoded; NULL: only known to be held */
	size_t len;
	bool claimed;
};

struct relay {
	struct relay_conf conf;
	char *program, *path;
	pthread_mutex_t lock;
	pthread_cond_t acked;
	pthread_t thread;
	int sock, wake;
	pid_t pid, child; /* child: pid if we started it */
	bool ending;
	uint64_t asked, answered;
	uint64_t said, settled; /* messages sent; those that are known to be in force */
	int64_t started; /* ms */
	int backoff;
	struct map boxes, ports, zones;
};

/* relay.c */
struct box *relay_box_new(struct relay *r, const char *id);
void relay_box_free(struct box *b);
struct note *relay_note_of(struct relay *r, const char *id);
void relay_note_free(struct note *n);
int relay_keep(const struct relay_msg *m, void **bytes, size_t *len, struct err *e); /* encodes; *bytes is replaced */
int relay_duplicate(int fd);

/* relay_link.c */
void link_send(struct relay *r, const struct relay_msg *m, const int *fds, size_t nfds); /* nowhere, if no relay is there */
void link_send_bytes(struct relay *r, const void *p, size_t n, const int *fds, size_t nfds);
void link_send_box(struct relay *r, const struct box *b);
bool link_is_needed(const struct relay *r);
int link_need(struct relay *r, struct err *e);  /* starts one unless one is there; it gets everything */
int link_start(struct relay *r, struct err *e);
void link_reap(struct relay *r);

/* relay_port.c */
void hold_send(struct relay *r, const struct hold *h, bool socket);
bool hold_adopt(struct relay *r, const struct relay_port *p, int fd); /* takes fd, if true */
bool hold_adopt_steer(struct relay *r, const char *id, int fd);       /* takes fd, if true */
void hold_gone(struct relay *r, const char *id);
void hold_free(struct hold *h);
