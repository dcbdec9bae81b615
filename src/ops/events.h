/* events: what happened, to those who asked. A ring of the last LIMIT_EVENTS_KEPT events and subscribers, each with a bounded queue and an eventfd. Any thread. */
#pragma once

#include "base/json.h"
#include "model/thing.h"

struct event {
	const char *type, *action, *id; /* "container", "start", 64 hex */
	struct kvs attributes;
	int64_t time; /* ns */
};

struct events;
struct events_sub;

struct events *events_new(void);
void events_free(struct events *ev);
/* Copies. Publishing never waits: a subscriber whose queue is full is told so (events_next gives -EOVERFLOW) and ended. */
void events_publish(struct events *ev, const struct event *e);
/* From now on, after those kept ones with since <= time (since 0: none). */
int events_subscribe(struct events *ev, int64_t since, struct events_sub **out, struct err *e);
void events_unsubscribe(struct events_sub *s);
size_t events_subscribers(struct events *ev);
int events_fd(const struct events_sub *s); /* readable while events wait */
/* 1 and a copy in the arena, 0 when none waits, -EOVERFLOW. */
int events_next(struct events_sub *s, struct arena *a, struct event *out);
