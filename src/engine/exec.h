/* exec: a session's state. Private to exec.c and exec_pump.c. */
#pragma once

#include <sys/ioctl.h>

#include "engine/engine_int.h"

struct exec {
	struct exec *next;
	unsigned refs; /* under engine.lock */
	char id[ID_TEXT], container[ID_TEXT];
	struct arena mem;
	struct exec_spec spec;
	bool started, ended;
	bool probe; /* the daemon's own, in no list: engine/probe.h */
	int exit_code;
	int64_t pid;
	int ended_fd; /* eventfd: the process has ended */
	int master;   /* our end of the terminal, -1 */
	struct winsize size; /* asked for before the terminal was there; both under engine.lock */
};

/* Copies between the client and the process until the process has ended and its output is read, or the client detaches or goes. */
void exec_pump(struct exec *x, const struct engine_stream *s, int *in, int *out, int *err);
