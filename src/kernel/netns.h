/* netns: network namespaces bound at a path. */
#pragma once

#include "base/err.h"

/* Makes a namespace and binds it at `path` (its directory must exist). Runs on a thread of its own, so the caller's namespace never changes. */
int netns_make(const char *path, struct err *e);
/* Unbinds and removes the file; absent is fine. The kernel takes the namespace down by itself once no process or descriptor holds it. */
int netns_drop(const char *path, struct err *e);
int netns_open(const char *path, struct err *e); /* a descriptor */
/* Runs fn on the calling thread inside the namespace and comes back. Coming back cannot fail: a thread stuck in a container's namespace must not go on, so the process ends. */
int netns_run(int ns_fd, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);
/* The same, for who has a descriptor of the thread's own namespace already. */
int netns_run_from(int home_fd, int ns_fd, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);
int netns_home(struct err *e); /* a descriptor of it */
