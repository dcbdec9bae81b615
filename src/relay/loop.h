/* loop: one epoll set, timers of a few fixed durations, and work put off. Owns none of them: they live in their owners and are taken out before these go. One thread. */
#pragma once

#include "base/err.h"

#define CONTAINER(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

struct source {
	int fd;
	void (*ready)(struct source *s, uint32_t events); /* may take out and free any source, itself too */
};

enum timer_kind { /* durations: loop.c */
	TIMER_RACE,     /* until a second upstream is asked too */
	TIMER_RESEND,   /* until a datagram is sent once more */
	TIMER_QUERY,    /* the life of a forwarded query */
	TIMER_CLIENT,   /* a client's TCP connection to the DNS server that says nothing */
	TIMER_CONNECT,  /* until a target must have taken a connection */
	TIMER_SESSION,  /* a UDP client of a published port that is silent, and so is the target */
	TIMER_PAUSE,    /* without taking connections, when descriptors have run out */
	TIMER_DRAIN,    /* the life of connections after another relay has taken over */
	TIMER_N
};

struct timer {
	struct timer *prev, *next; /* next NULL: not armed */
	int64_t due;
	void (*fired)(struct timer *t);
};

struct task { /* work that gives way to that of sources: a bounded piece of it at a time */
	struct task *next; /* NULL: not queued */
	void (*run)(struct task *t);
};

#define LOOP_BATCH 64
struct loop {
	int epoll;
	int64_t now; /* ms, monotonic, of the last wake-up */
	struct timer heads[TIMER_N];
	struct source *batch[LOOP_BATCH];
	struct task *tasks; /* ring: the last one */
	bool ended;
};

int loop_open(struct loop *l, struct err *e);
void loop_close(struct loop *l);
int loop_add(struct loop *l, struct source *s, uint32_t events); /* -errno */
int loop_change(struct loop *l, struct source *s, uint32_t events);
void loop_del(struct loop *l, struct source *s); /* an event of it that waits in this batch is dropped too; s->fd stays open; fd < 0 is fine */
void loop_close_source(struct loop *l, struct source *s); /* and closes its descriptor */
void loop_arm(struct loop *l, struct timer *t, enum timer_kind kind, void (*fired)(struct timer *t)); /* again: from the beginning */
void loop_disarm(struct timer *t); /* not armed is fine */
struct timer *loop_first(struct loop *l, enum timer_kind kind); /* the one that was armed longest ago; NULL: none is */
void loop_later(struct loop *l, struct task *t); /* runs it soon, once; queued already is fine */
void loop_forget(struct loop *l, struct task *t); /* not queued is fine */
int loop_turn(struct loop *l, bool wait, struct err *e); /* what there is to do now; wait: for something, if there is nothing */
int loop_run(struct loop *l, struct err *e); /* until ended */
