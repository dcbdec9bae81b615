/* The correspondence of Docker's JSON and our structs, field by field, in the order in which Docker prints them. */
#include "model/spec.h"

#define F(T, name, kind, m, flags)                                                                                     \
	{                                                                                                              \
		name, kind, offsetof(struct T, m), flags, NULL, 0                                                      \
	}
#define FS(T, name, kind, m, flags, t, S)                                                                              \
	{                                                                                                              \
		name, kind, offsetof(struct T, m), flags, t, sizeof(struct S)                                          \
	}

static const struct json_field healthcheck_table[] = {F(healthcheck, "Test", J_STRV, test, J_OMIT),
	F(healthcheck, "Interval", J_I64, interval, J_OMIT), F(healthcheck, "Timeout", J_I64, timeout, J_OMIT),
	F(healthcheck, "StartPeriod", J_I64, start_period, J_OMIT),
	F(healthcheck, "StartInterval", J_I64, start_interval, J_OMIT),
	F(healthcheck, "Retries", J_I64, retries, J_OMIT), J_END};

const struct json_field config_table[] = {F(config, "Hostname", J_STR, hostname, 0),
	F(config, "Domainname", J_STR, domainname, 0), F(config, "User", J_STR, user, 0),
	F(config, "AttachStdin", J_BOOL, attach_stdin, 0), F(config, "AttachStdout", J_BOOL, attach_stdout, 0),
	F(config, "AttachStderr", J_BOOL, attach_stderr, 0), F(config, "ExposedPorts", J_SET, exposed_ports, J_OMIT),
	F(config, "Tty", J_BOOL, tty, 0), F(config, "OpenStdin", J_BOOL, open_stdin, 0),
	F(config, "StdinOnce", J_BOOL, stdin_once, 0), F(config, "Env", J_STRV, env, 0),
	F(config, "Cmd", J_STRV, cmd, J_NULL | J_STRING_OK),
	FS(config, "Healthcheck", J_OBJP, healthcheck, J_OMIT, healthcheck_table, healthcheck),
	F(config, "ArgsEscaped", J_BOOL, args_escaped, J_OMIT), F(config, "Image", J_STR, image, 0),
	F(config, "Volumes", J_SET, volumes, J_NULL), F(config, "WorkingDir", J_STR, working_dir, 0),
	F(config, "Entrypoint", J_STRV, entrypoint, J_NULL | J_STRING_OK),
	F(config, "NetworkDisabled", J_BOOL, network_disabled, J_OMIT),
	F(config, "MacAddress", J_STR, mac_address, J_OMIT), F(config, "OnBuild", J_STRV, on_build, J_NULL),
	F(config, "Labels", J_KV, labels, 0), F(config, "StopSignal", J_STR, stop_signal, J_OMIT),
	F(config, "StopTimeout", J_I64, stop_timeout, J_UNSET), F(config, "Shell", J_STRV, shell, J_OMIT | J_STRING_OK),
	J_END};

const struct json_field port_binding_table[] = {
	F(port_binding, "HostIp", J_STR, host_ip, 0), F(port_binding, "HostPort", J_STR, host_port, 0), J_END};
static const struct json_field device_table[] = {F(device_mapping, "PathOnHost", J_STR, host, 0),
	F(device_mapping, "PathInContainer", J_STR, container, 0),
	F(device_mapping, "CgroupPermissions", J_STR, perms, 0), J_END};
static const struct json_field ulimit_table[] = {
	F(ulimit, "Name", J_STR, name, 0), F(ulimit, "Hard", J_I64, hard, 0), F(ulimit, "Soft", J_I64, soft, 0), J_END};
static const struct json_field mount_table[] = {F(mount_spec, "Type", J_STR, type, 0),
	F(mount_spec, "Source", J_STR, source, J_OMIT), F(mount_spec, "Target", J_STR, target, 0),
	F(mount_spec, "ReadOnly", J_BOOL, read_only, J_OMIT), F(mount_spec, "Consistency", J_STR, consistency, J_OMIT),
	F(mount_spec, "BindOptions", J_RAW, bind, J_OMIT), F(mount_spec, "VolumeOptions", J_RAW, volume, J_OMIT),
	F(mount_spec, "ImageOptions", J_RAW, image, J_OMIT), F(mount_spec, "TmpfsOptions", J_RAW, tmpfs, J_OMIT),
	F(mount_spec, "ClusterOptions", J_RAW, cluster, J_OMIT), J_END};
static const struct json_field weight_table[] = {
	F(weight_device, "Path", J_STR, path, 0), F(weight_device, "Weight", J_I64, weight, 0), J_END};
static const struct json_field throttle_table[] = {
	F(throttle, "Path", J_STR, path, 0), F(throttle, "Rate", J_I64, rate, 0), J_END};
static const struct json_field log_table[] = {
	F(host_config, "Type", J_STR, log_type, 0), F(host_config, "Config", J_KV, log_config_opts, 0), J_END};
static const struct json_field restart_table[] = {F(host_config, "Name", J_STR, restart_name, 0),
	F(host_config, "MaximumRetryCount", J_I64, restart_max, 0), J_END};

const struct json_field host_config_table[] = {F(host_config, "Binds", J_STRV, binds, J_NULL),
	F(host_config, "ContainerIDFile", J_STR, container_id_file, 0),
	{"LogConfig", J_OBJ, 0, 0, log_table, sizeof(struct host_config)},
	F(host_config, "NetworkMode", J_STR, network_mode, 0),
	FS(host_config, "PortBindings", J_MAPVV, port_bindings, 0, port_binding_table, port_binding),
	{"RestartPolicy", J_OBJ, 0, 0, restart_table, sizeof(struct host_config)},
	F(host_config, "AutoRemove", J_BOOL, auto_remove, 0), F(host_config, "VolumeDriver", J_STR, volume_driver, 0),
	F(host_config, "VolumesFrom", J_STRV, volumes_from, J_NULL),
	F(host_config, "ConsoleSize", J_PAIR, console_h, 0), F(host_config, "Annotations", J_KV, annotations, J_OMIT),
	F(host_config, "CapAdd", J_STRV, cap_add, J_NULL | J_STRING_OK),
	F(host_config, "CapDrop", J_STRV, cap_drop, J_NULL | J_STRING_OK),
	F(host_config, "CgroupnsMode", J_STR, cgroupns_mode, 0), F(host_config, "Dns", J_STRV, dns, 0),
	F(host_config, "DnsOptions", J_STRV, dns_options, 0), F(host_config, "DnsSearch", J_STRV, dns_search, 0),
	F(host_config, "ExtraHosts", J_STRV, extra_hosts, J_NULL),
	F(host_config, "GroupAdd", J_STRV, group_add, J_NULL), F(host_config, "IpcMode", J_STR, ipc_mode, 0),
	F(host_config, "Cgroup", J_STR, cgroup, 0), F(host_config, "Links", J_STRV, links, J_NULL),
	F(host_config, "OomScoreAdj", J_I64, oom_score_adj, 0), F(host_config, "PidMode", J_STR, pid_mode, 0),
	F(host_config, "Privileged", J_BOOL, privileged, 0), F(host_config, "PublishAllPorts", J_BOOL, publish_all, 0),
	F(host_config, "ReadonlyRootfs", J_BOOL, readonly_rootfs, 0),
	F(host_config, "SecurityOpt", J_STRV, security_opt, J_NULL),
	F(host_config, "StorageOpt", J_KV, storage_opt, J_OMIT), F(host_config, "Tmpfs", J_KV, tmpfs, J_OMIT),
	F(host_config, "UTSMode", J_STR, uts_mode, 0), F(host_config, "UsernsMode", J_STR, userns_mode, 0),
	F(host_config, "ShmSize", J_I64, shm_size, 0), F(host_config, "Sysctls", J_KV, sysctls, J_OMIT),
	F(host_config, "Runtime", J_STR, runtime, 0), F(host_config, "Isolation", J_STR, isolation, 0),
	F(host_config, "CpuShares", J_I64, cpu_shares, 0), F(host_config, "Memory", J_I64, memory, 0),
	F(host_config, "NanoCpus", J_I64, nano_cpus, 0), F(host_config, "CgroupParent", J_STR, cgroup_parent, 0),
	F(host_config, "BlkioWeight", J_I64, blkio_weight, 0),
	FS(host_config, "BlkioWeightDevice", J_OBJV, blkio_weight_devices, 0, weight_table, weight_device),
	FS(host_config, "BlkioDeviceReadBps", J_OBJV, blkio_read_bps, 0, throttle_table, throttle),
	FS(host_config, "BlkioDeviceWriteBps", J_OBJV, blkio_write_bps, 0, throttle_table, throttle),
	FS(host_config, "BlkioDeviceReadIOps", J_OBJV, blkio_read_iops, 0, throttle_table, throttle),
	FS(host_config, "BlkioDeviceWriteIOps", J_OBJV, blkio_write_iops, 0, throttle_table, throttle),
	F(host_config, "CpuPeriod", J_I64, cpu_period, 0), F(host_config, "CpuQuota", J_I64, cpu_quota, 0),
	F(host_config, "CpuRealtimePeriod", J_I64, cpu_rt_period, 0),
	F(host_config, "CpuRealtimeRuntime", J_I64, cpu_rt_runtime, 0),
	F(host_config, "CpusetCpus", J_STR, cpuset_cpus, 0), F(host_config, "CpusetMems", J_STR, cpuset_mems, 0),
	FS(host_config, "Devices", J_OBJV, devices, 0, device_table, device_mapping),
	F(host_config, "DeviceCgroupRules", J_STRV, device_cgroup_rules, J_NULL),
	F(host_config, "DeviceRequests", J_RAW, device_requests, 0),
	F(host_config, "MemoryReservation", J_I64, memory_reservation, 0),
	F(host_config, "MemorySwap", J_I64, memory_swap, 0),
	F(host_config, "MemorySwappiness", J_I64, memory_swappiness, J_UNSET | J_NULL),
	F(host_config, "OomKillDisable", J_TRI, oom_kill_disable, 0),
	F(host_config, "PidsLimit", J_I64, pids_limit, J_NULL),
	FS(host_config, "Ulimits", J_OBJV, ulimits, J_NULL, ulimit_table, ulimit),
	F(host_config, "CpuCount", J_I64, cpu_count, 0), F(host_config, "CpuPercent", J_I64, cpu_percent, 0),
	F(host_config, "IOMaximumIOps", J_I64, io_max_iops, 0),
	F(host_config, "IOMaximumBandwidth", J_I64, io_max_bandwidth, 0),
	FS(host_config, "Mounts", J_OBJV, mounts, J_OMIT, mount_table, mount_spec),
	F(host_config, "MaskedPaths", J_STRV, masked_paths, J_NULL),
	F(host_config, "ReadonlyPaths", J_STRV, readonly_paths, J_NULL), F(host_config, "Init", J_TRI, init, J_OMIT),
	J_END};

static const struct json_field ipam_table[] = {F(endpoint_settings, "IPv4Address", J_STR, ip4, J_OMIT),
	F(endpoint_settings, "IPv6Address", J_STR, ip6, J_OMIT),
	F(endpoint_settings, "LinkLocalIPs", J_STRV, link_local, J_OMIT), J_END};

const struct json_field endpoint_settings_table[] = {
	{"IPAMConfig", J_OBJ, 0, 0, ipam_table, sizeof(struct endpoint_settings)},
	F(endpoint_settings, "Links", J_STRV, links, J_NULL), F(endpoint_settings, "Aliases", J_STRV, aliases, J_NULL),
	F(endpoint_settings, "MacAddress", J_STR, mac_address, 0),
	F(endpoint_settings, "DriverOpts", J_KV, driver_opts, J_NULL),
	F(endpoint_settings, "GwPriority", J_I64, gw_priority, 0), J_END};
