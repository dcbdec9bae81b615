/* What can be judged of a request without looking at anything else, in Docker's words (facts: docs of the Engine, its error texts). */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "model/spec.h"

#define MEMORY_MIN (6ll << 20)

static const char *const capabilities[] = {"AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID",
	"IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
	"WAKE_ALARM"};

#define invalid(e, fmt, value) err_as((e), ERR_INVALID, fmt, value)

static int check_caps(const struct strv *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *name = strncasecmp(l->v[i], "CAP_", 4) == 0 ? l->v[i] + 4 : l->v[i];
		bool known = strcasecmp(name, "ALL") == 0;
		for (size_t k = 0; !known && k < ARRAY_LEN(capabilities); k++)
			known = strcasecmp(name, capabilities[k]) == 0;
		if (!known)
			return err_as(e, ERR_INVALID, "invalid capability: \"%s\"", l->v[i]);
	}
	return 0;
}

static bool mode_is(const char *mode, const char *kind)
{
	size_t n = strlen(kind);
	return mode && strncmp(mode, kind, n) == 0 && (mode[n] == '\0' || mode[n] == ':');
}

static int check_network_mode(const struct container_spec *s, struct err *e)
{
	const struct host_config *h = &s->host;
	const char *m = h->network_mode;
	bool host = mode_is(m, "host"), other = mode_is(m, "container");
	if (other && (m[strlen("container")] != ':' || !m[strlen("container:")]))
		return err_as(e, ERR_INVALID, "invalid network mode: invalid container format container:<name|id>");
	if (!host && !other)
		return 0;
	if ((other || mode_is(h->uts_mode, "host")) && !str_empty(s->config.hostname))
		return err_as(e, ERR_INVALID, "conflicting options: hostname and the network mode");
	if (h->links.n)
		return err_as(e, ERR_INVALID, "conflicting options: %s type networking can't be used with links. This would result in undefined behavior", host ? "host" : "container");
	if (!str_empty(s->config.mac_address))
		return err_as(e, ERR_INVALID, "conflicting options: mac-address and the network mode");
	if (!other)
		return 0;
	if (h->dns.n)
		return err_as(e, ERR_INVALID, "conflicting options: dns and the network mode");
	if (h->extra_hosts.n)
		return err_as(e, ERR_INVALID, "conflicting options: custom host-to-IP mapping and the network mode");
	if (h->port_bindings.n || h->publish_all)
		return err_as(e, ERR_INVALID, "conflicting options: port publishing and the container type network mode");
	if (s->config.exposed_ports.n)
		return err_as(e, ERR_INVALID, "conflicting options: port exposing and the container type network mode");
	return 0;
}

static int check_resources(const struct host_config *h, struct err *e)
{
	if (h->memory && h->memory < MEMORY_MIN)
		return err_as(e, ERR_INVALID, "Minimum memory limit allowed is 6MB");
	if (h->memory_swap > 0 && h->memory == 0)
		return err_as(e, ERR_INVALID, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (h->memory_swap > 0 && h->memory_swap < h->memory)
		return err_as(e, ERR_INVALID, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (h->memory_reservation && h->memory && h->memory_reservation > h->memory)
		return err_as(e, ERR_INVALID, "Minimum memory limit can not be less than memory reservation limit, see usage");
	if (h->memory_swappiness != -1 && (h->memory_swappiness < 0 || h->memory_swappiness > 100))
		return err_as(e, ERR_INVALID, "invalid value: %lld, valid memory swappiness range is 0-100", (long long)h->memory_swappiness);
	if (h->nano_cpus < 0)
		return err_as(e, ERR_INVALID, "range of CPUs is from 0.01 upwards, as there is a lower bound of 0.01");
	if (h->nano_cpus && (h->cpu_period || h->cpu_quota))
		return err_as(e, ERR_INVALID, "conflicting options: Nano CPUs and CPU Period or Quota cannot both be set");
	if (h->cpu_period && (h->cpu_period < 1000 || h->cpu_period > 1000000))
		return err_as(e, ERR_INVALID, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (h->cpu_quota > 0 && h->cpu_quota < 1000)
		return err_as(e, ERR_INVALID, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (h->blkio_weight && (h->blkio_weight < 10 || h->blkio_weight > 1000))
		return err_as(e, ERR_INVALID, "Range of blkio weight is from 10 to 1000");
	if (h->oom_score_adj < -1000 || h->oom_score_adj > 1000)
		return err_as(e, ERR_INVALID, "Invalid value %lld, range for oom score adj is [-1000, 1000]", (long long)h->oom_score_adj);
	if (h->shm_size < 0)
		return err_as(e, ERR_INVALID, "SHM size can not be less than 0");
	return 0;
}

static int check_restart(const struct host_config *h, struct err *e)
{
	static const char *const names[] = {"no", "always", "unless-stopped", "on-failure"};
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		known |= streq(h->restart_name, names[i]);
	if (!known)
		return err_as(e, ERR_INVALID, "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", h->restart_name);
	if (h->restart_max < 0 || (h->restart_max && !streq(h->restart_name, "on-failure")))
		return err_as(e, ERR_INVALID, "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative");
	if (h->auto_remove && !streq(h->restart_name, "no"))
		return err_as(e, ERR_INVALID, "can't create 'AutoRemove' container with restart policy");
	return 0;
}

static int check_target(const char *target, const char *spec, struct err *e)
{
	if (str_empty(target) || *target != '/')
		return err_as(e, ERR_INVALID, "invalid volume specification: '%s': invalid mount path: '%s' mount path must be absolute", spec, target ? target : "");
	if (streq(target, "/"))
		return err_as(e, ERR_INVALID, "invalid volume specification: '%s': invalid specification: destination can't be '/'", spec);
	return 0;
}

/* src:dst[:mode]; a source without a leading slash is a volume's name. */
static int check_bind(const char *s, struct arena *a, struct strv *targets, struct err *e)
{
	const char *colon = strchr(s, ':'), *dst = colon ? colon + 1 : s, *mode = colon ? strchr(dst, ':') : NULL;
	if (!*s || colon == s || (mode && strchr(mode + 1, ':')))
		return invalid(e, "invalid volume specification: '%s'", s);
	const char *target = arena_dupn(a, dst, mode ? (size_t)(mode - dst) : strlen(dst));
	if (!target)
		return err_nomem(e);
	try(check_target(target, s, e));
	if (!colon || *s != '/')
		return err_as(e, ERR_NOT_IMPLEMENTED, "volumes are not supported by this version of Pontoon: bind a directory of the host instead of '%s'", s);
	if (strv_has(targets, target))
		return invalid(e, "Duplicate mount point: %s", target);
	return strv_add(a, targets, target) < 0 ? err_nomem(e) : 0;
}

static int check_mounts(const struct host_config *h, struct arena *a, struct err *e)
{
	struct strv targets = {0};
	for (size_t i = 0; i < h->binds.n; i++)
		try(check_bind(h->binds.v[i], a, &targets, e));
	const struct mount_spec *m = h->mounts.v;
	for (size_t i = 0; i < h->mounts.n; i++) {
		const char *type = m[i].type ? m[i].type : "", *target = m[i].target ? m[i].target : "", *source = m[i].source ? m[i].source : "";
		bool bind = streq(type, "bind"), tmpfs = streq(type, "tmpfs");
		if (streq(type, "volume"))
			return err_as(e, ERR_NOT_IMPLEMENTED, "volumes are not supported by this version of Pontoon: use a mount of type bind for %s", target);
		if (!bind && !tmpfs)
			return invalid(e, "mount type unknown: \"%s\"", type);
		if (!*target)
			return err_as(e, ERR_INVALID, "invalid mount config for type \"%s\": field Target must not be empty", type);
		if (*target != '/' || streq(target, "/"))
			return err_as(e, ERR_INVALID, "invalid mount config for type \"%s\": invalid mount path: '%s' mount path must be absolute and not /", type, target);
		if (bind && *source != '/')
			return err_as(e, ERR_INVALID, "invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be absolute", source);
		if (tmpfs && *source)
			return err_as(e, ERR_INVALID, "invalid mount config for type \"tmpfs\": field Source must not be specified");
		if (strv_has(&targets, target))
			return invalid(e, "Duplicate mount point: %s", target);
		if (strv_add(a, &targets, target) < 0)
			return err_nomem(e);
	}
	for (size_t i = 0; i < h->tmpfs.n; i++) {
		if (*h->tmpfs.v[i].key != '/')
			return invalid(e, "invalid mount path: '%s' mount path must be absolute", h->tmpfs.v[i].key);
		if (strv_has(&targets, h->tmpfs.v[i].key))
			return invalid(e, "Duplicate mount point: %s", h->tmpfs.v[i].key);
	}
	return 0;
}

static int check_config(const struct container_spec *s, struct err *e)
{
	const struct config *c = &s->config;
	int sig;
	if (c->hostname && strlen(c->hostname) > 64)
		return invalid(e, "invalid hostname: %s is longer than 64 bytes", c->hostname);
	if (!str_empty(c->working_dir) && *c->working_dir != '/')
		return invalid(e, "the working directory '%s' is invalid, it needs to be an absolute path", c->working_dir);
	if (!str_empty(c->stop_signal) && signal_parse(c->stop_signal, &sig) < 0)
		return invalid(e, "invalid signal: %s", c->stop_signal);
	for (size_t i = 0; i < c->env.n; i++)
		if (!*c->env.v[i] || *c->env.v[i] == '=')
			return invalid(e, "invalid environment variable: %s", c->env.v[i]);
	return 0;
}

static int check_logging(const struct host_config *h, struct err *e)
{
	static const char *const drivers[] = {"json-file", "local", "none"};
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (streq(h->log_type, drivers[i]))
			return 0;
	return invalid(e, "logger: no log driver named '%s' is registered", h->log_type);
}

static int check_lists(const struct host_config *h, struct err *e)
{
	const struct ulimit *u = h->ulimits.v;
	for (size_t i = 0; i < h->ulimits.n; i++)
		if (str_empty(u[i].name) || (u[i].hard >= 0 && u[i].soft > u[i].hard))
			return err_as(e, ERR_INVALID, "invalid ulimit %s: soft limit must not be above the hard limit", u[i].name ? u[i].name : "");
	const struct device_mapping *d = h->devices.v;
	for (size_t i = 0; i < h->devices.n; i++)
		if (str_empty(d[i].host) || (d[i].perms && strspn(d[i].perms, "rwm") != strlen(d[i].perms)))
			return err_as(e, ERR_INVALID, "invalid device specification: %s", d[i].host ? d[i].host : "");
	for (size_t i = 0; i < h->group_add.n; i++)
		if (!*h->group_add.v[i])
			return err_as(e, ERR_INVALID, "invalid group: empty");
	for (size_t i = 0; i < h->dns.n; i++) {
		struct ip ip;
		if (ip_parse(h->dns.v[i], &ip) < 0)
			return invalid(e, "%s is not an ip address", h->dns.v[i]);
	}
	return 0;
}

int spec_check(struct container_spec *s, struct arena *a, struct err *e)
{
	struct mac mac;
	try(check_config(s, e));
	try(check_network_mode(s, e));
	try(check_resources(&s->host, e));
	try(check_restart(&s->host, e));
	try(check_caps(&s->host.cap_add, e));
	try(check_caps(&s->host.cap_drop, e));
	try(check_logging(&s->host, e));
	try(check_lists(&s->host, e));
	if (!str_empty(s->config.mac_address) && mac_parse(s->config.mac_address, &mac) < 0)
		return invalid(e, "invalid MAC address: %s", s->config.mac_address);
	return check_mounts(&s->host, a, e);
}
