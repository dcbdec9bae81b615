/* spec: a container as the user described it: Docker's Config and HostConfig and the endpoint settings, with one JSON
 * table each (model/spec_table.c) for requests, answers and the store. Immutable and shared once built. */
#pragma once

#include "base/json.h"
#include "model/thing.h"

struct healthcheck {
	struct strv test;
	int64_t interval, timeout, start_period, start_interval; /* ns */
	int64_t retries;
};

struct config { /* API type Config; also the "config" of an image */
	const char *hostname, *domainname, *user;
	bool attach_stdin, attach_stdout, attach_stderr;
	struct strv exposed_ports; /* "80/tcp" */
	bool tty, open_stdin, stdin_once;
	struct strv env, cmd;
	struct healthcheck *healthcheck; /* NULL: inherit */
	bool args_escaped;
	const char *image;
	struct strv volumes;
	const char *working_dir;
	struct strv entrypoint;
	bool network_disabled;
	const char *mac_address;
	struct strv on_build;
	struct kvs labels;
	const char *stop_signal;
	int64_t stop_timeout; /* seconds; -1 = not given */
	struct strv shell;
	bool has_cmd, has_entrypoint; /* given at all, even as [] (set by spec_parse) */
};

struct device_mapping {
	const char *host, *container, *perms;
};
struct ulimit {
	const char *name;
	int64_t hard, soft;
};
struct mount_spec { /* API type Mount */
	const char *type, *source, *target, *consistency;
	bool read_only;
	const char *bind, *volume, *image, *tmpfs, *cluster; /* raw JSON of the options */
};
struct port_binding {
	const char *host_ip, *host_port;
};
struct weight_device {
	const char *path;
	int64_t weight;
};
struct throttle { /* bytes or operations a second */
	const char *path;
	int64_t rate;
};

struct host_config { /* API type HostConfig */
	struct strv binds;
	const char *container_id_file;
	struct kvs log_config_opts;
	const char *log_type;
	const char *network_mode;
	struct json_vec port_bindings; /* J_MAPVV: struct json_group of struct port_binding */
	const char *restart_name;
	int64_t restart_max;
	bool auto_remove;
	const char *volume_driver;
	struct strv volumes_from;
	int64_t console_h, console_w; /* together: a J_PAIR */
	struct strv cap_add, cap_drop;
	const char *cgroupns_mode;
	struct strv dns, dns_options, dns_search, extra_hosts, group_add;
	const char *ipc_mode, *cgroup;
	struct strv links;
	int64_t oom_score_adj;
	const char *pid_mode;
	bool privileged, publish_all, readonly_rootfs;
	struct strv security_opt;
	struct kvs storage_opt, tmpfs, sysctls;
	const char *uts_mode, *userns_mode;
	int64_t shm_size;
	const char *runtime, *isolation;
	int64_t cpu_shares, memory, nano_cpus;
	const char *cgroup_parent;
	int64_t blkio_weight;
	struct json_vec blkio_weight_devices;                                               /* struct weight_device */
	struct json_vec blkio_read_bps, blkio_write_bps, blkio_read_iops, blkio_write_iops; /* struct throttle */
	int64_t cpu_period, cpu_quota, cpu_rt_period, cpu_rt_runtime;
	const char *cpuset_cpus, *cpuset_mems;
	struct json_vec devices; /* struct device_mapping */
	struct strv device_cgroup_rules;
	int64_t memory_reservation, memory_swap, memory_swappiness;    /* swappiness -1 = not given */
	int8_t oom_kill_disable, init;                                 /* J_TRI */
	int64_t pids_limit;                                            /* 0 = not given, -1 = unlimited */
	int64_t cpu_count, cpu_percent, io_max_iops, io_max_bandwidth; /* other systems' */
	struct json_vec ulimits;                                       /* struct ulimit */
	struct json_vec mounts;                                        /* struct mount_spec */
	struct strv masked_paths, readonly_paths;
	bool has_masked_paths, has_readonly_paths;
	struct kvs annotations;
	const char *device_requests; /* raw */
};

struct endpoint_settings { /* API type EndpointSettings; first member as J_MAPV wants it */
	const char *network;
	const char *ip4, *ip6; /* IPAMConfig */
	struct strv link_local;
	struct strv links, aliases;
	const char *mac_address;
	struct kvs driver_opts;
	int64_t gw_priority;
};

struct container_spec {
	struct config config;
	struct host_config host;
	struct json_vec endpoints; /* struct endpoint_settings, by network name or id as written */
	struct json_vec mount_points; /* struct mount_point, see model/mounts.h */
};
extern const struct json_field config_table[], host_config_table[], port_binding_table[];
extern const struct json_field endpoint_settings_table[]; /* without the key */
/* Docker's: ShmSize 64 MiB, RestartPolicy "no", IpcMode "private", NetworkMode "default" ... */
void spec_defaults(struct container_spec *s);
/* The body of POST /containers/create, completed by defaults; ports become "<port>/<proto>", the network "default"
 * becomes "bridge". */
int spec_parse(const json_t *body, struct arena *a, struct container_spec *out, struct err *e);
struct spec_fallback; /* model/spec_host.h; body: what s came from; texts of f live as long as s */
int spec_fall_back(struct container_spec *s, const json_t *body, const struct spec_fallback *f, bool cgroup2, struct arena *a, struct err *e);
/* The stored form: {"Config":..,"HostConfig":..,"NetworkingConfig":..}, read back as it was. */
json_t *spec_to_json(const struct container_spec *s);
int spec_from_json(const json_t *j, struct arena *a, struct container_spec *out, struct err *e);
/* "80" -> "80/tcp", "53/UDP" -> "53/udp", ranges likewise; INVALID `invalid port specification: "x"`. */
int spec_port_key(struct arena *a, const char *s, const char **out, struct err *e);

struct spec_host; /* model/spec_host.h */
/* Everything that can be judged without the world, with Docker's texts: mode conflicts, sizes, names of
 * capabilities and signals, paths, mounts, ... And the rewrites that dockerd does: MemorySwap from Memory,
 * CgroupnsMode, OomKillDisable, sysctls of eth0 (below API 1.48) into the endpoint's options. Warnings are in a, like
 * what is rewritten. */
int spec_check(
	struct container_spec *s, const struct spec_host *host, struct arena *a, struct strv *warnings, struct err *e);
int signal_parse(const char *s, int *out); /* "TERM", "sigterm", "15", "RTMIN+1"; -EINVAL */
const char *signal_name(int sig);          /* "SIGTERM"; NULL if it has none (real-time ones) */
