/* spec_host: what a request is judged by beside itself. Values; who knows the host fills them (engine_host). */
#pragma once

#include "base/json.h"

enum control { /* what the kernel here may be unable to limit */
	CONTROL_MEMORY,
	CONTROL_SWAP,
	CONTROL_RESERVATION,
	CONTROL_SWAPPINESS,
	CONTROL_OOM,
	CONTROL_PIDS,
	CONTROL_CFS_QUOTA,
	CONTROL_CFS_PERIOD,
	CONTROL_SHARES,
	CONTROL_CPUSET,
	CONTROL_WEIGHT,
	CONTROL_WEIGHT_DEVICE,
	CONTROL_READ_BPS,
	CONTROL_WRITE_BPS,
	CONTROL_READ_IOPS,
	CONTROL_WRITE_IOPS,
	CONTROL_N
};
/* What a container gets that says nothing of it: the daemon's configuration. Zero: Docker's own. */
struct spec_fallback {
	int64_t shm_size;
	const char *ipc_mode, *cgroupns_mode;
	struct json_vec ulimits; /* struct ulimit: each for who sets none of its kind */
	bool no_new_privileges;
};
struct spec_host {
	int minor;      /* of the API version that it came by */
	int ncpu;       /* 0: not judged */
	bool cgroup2;   /* the unified hierarchy */
	unsigned lacks; /* bits by enum control */
	const char *cpus, *mems; /* "0-3,7": those that there are; NULL or "": not judged */
};
