/* stats: what a running container uses, from its cgroup (v1 or v2) and its interfaces, in the API's shape. Reads only. Any thread. */
#pragma once

#include "engine/engine.h"

/* {"read","cpu_stats","memory_stats","blkio_stats","pids_stats","networks"...}. netns: path of its own namespace; NULL: no networks. */
int engine_stats(struct engine *en, const struct container *c, const char *netns, json_t **out, struct err *e);
/* The same of one that does not run: nothing. */
json_t *engine_stats_none(void);
json_t *engine_stats_no_cpu(void); /* "precpu_stats" before there was a first sample */

/* The parsing alone, of the kernel's files. */
json_t *stats_pairs(const char *text);                   /* "key value" lines */
json_t *stats_blkio_v1(const char *text);                /* "8:0 Read 4096" lines */
void stats_io_v2(const char *text, json_t *bytes, json_t *ops); /* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." lines */
uint64_t stats_system_cpu(const char *text, uint64_t hz, unsigned *cpus); /* /proc/stat: ns of all CPUs */
