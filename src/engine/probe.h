/* probe: an exec session that the daemon itself runs and that no client sees: a health check. Output and errors come out of one pipe. Any thread. */
#pragma once

#include "engine/engine.h"

struct exec;
struct engine_probe {
	struct exec *x;
	int out;   /* to be read; the caller may close it and set it to -1 */
	int ended; /* readable when the process has ended */
};
int engine_probe_start(struct engine *en, const struct container *c, const struct exec_spec *s, struct engine_probe *out, struct err *e);
bool engine_probe_ended(struct engine *en, const struct engine_probe *p, int *code);
void engine_probe_close(struct engine *en, struct engine_probe *p); /* kills what still runs */
