#include "model/mounts.h"
#include "model/spec_host.h"
#include "model/ulimit.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

/* Docker's defaults for paths of /proc and /sys that a container must not read or write. */
static const char *const masked[] = {"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
	"/sys/devices/virtual/powercap"};
static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

#define SHM_SIZE (64ll << 20)

void spec_defaults(struct container_spec *s)
{
	*s = (struct container_spec){0};
	s->config.stop_timeout = -1;
	s->host.memory_swappiness = -1;
	s->host.oom_kill_disable = s->host.init = -1;
	s->host.shm_size = SHM_SIZE;
	s->host.network_mode = "default";
	s->host.ipc_mode = "private";
	s->host.restart_name = "no";
	s->host.log_type = "json-file";
}

/* Go's rule for a key: the exact one, else one that differs in case only. */
static const json_t *member(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	const char *k;
	json_t *item;
	if (v)
		return v;
	json_object_foreach((json_t *)(uintptr_t)o, k, item)
	{
		if (strcasecmp(k, key) == 0)
			return item;
	}
	return NULL;
}

static bool given(const json_t *o, const char *key)
{
	const json_t *v = member(o, key);
	return v && !json_is_null(v);
}

struct networking {
	struct json_vec endpoints;
};
static const struct json_field networking_table[] = {
	{"EndpointsConfig", J_MAPV, offsetof(struct networking, endpoints), 0, endpoint_settings_table,
		sizeof(struct endpoint_settings)},
	J_END};
/* What stands beside Config's own fields in a request, and beside "Config" in the stored form. */
static const struct json_field rest_table[] = {
	{"HostConfig", J_OBJ, offsetof(struct container_spec, host), 0, host_config_table, sizeof(struct host_config)},
	{"NetworkingConfig", J_OBJ, offsetof(struct container_spec, endpoints), 0, networking_table,
		sizeof(struct networking)},
	J_END};
static const struct json_field stored_table[] = {
	{"MountPoints", J_OBJV, offsetof(struct container_spec, mount_points), 0, mount_point_table,
		sizeof(struct mount_point)},
	J_END};

static int refuse_null_endpoint(const json_t *body, struct err *e)
{
	const json_t *map = member(member(body, "NetworkingConfig"), "EndpointsConfig");
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)map, name, v)
	{
		if (json_is_null(v))
			return err_as(e, ERR_INVALID, "invalid config for network %s: EndpointsConfig is nil", name);
	}
	return 0;
}

static int decode(const json_t *config, const json_t *rest, struct arena *a, struct container_spec *s, struct err *e)
{
	try(json_decode(config, config_table, &s->config, a, e));
	try(json_decode(rest, rest_table, s, a, e));
	const json_t *host = member(rest, "HostConfig");
	s->config.has_cmd = given(config, "Cmd");
	s->config.has_entrypoint = given(config, "Entrypoint");
	s->host.has_masked_paths = given(host, "MaskedPaths");
	s->host.has_readonly_paths = given(host, "ReadonlyPaths");
	return 0;
}

static bool is_port(const char *s, size_t n)
{
	unsigned v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || n > 5)
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	return n && v > 0 && v <= 65535;
}

int spec_port_key(struct arena *a, const char *s, const char **out, struct err *e)
{
	static const char *const protocols[] = {"tcp", "udp", "sctp"};
	size_t port = strcspn(s, "/"), first = strcspn(s, "-/");
	const char *proto = s[port] ? s + port + 1 : "tcp", *known = NULL;
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (strcasecmp(proto, protocols[i]) == 0)
			known = protocols[i];
	bool ok = known && is_port(s, first);
	if (ok && first < port)
		ok = is_port(s + first + 1, port - first - 1) && atoi(s) <= atoi(s + first + 1);
	if (!ok)
		return err_as(e, ERR_INVALID, "invalid port specification: \"%s\"", s);
	*out = arena_printf(a, "%.*s/%s", (int)port, s, known);
	return *out ? 0 : err_nomem(e);
}

static int complete_ports(struct container_spec *s, struct arena *a, struct err *e)
{
	struct json_group *g = s->host.port_bindings.v;
	for (size_t i = 0; i < s->config.exposed_ports.n; i++)
		try(spec_port_key(a, s->config.exposed_ports.v[i], &s->config.exposed_ports.v[i], e));
	for (size_t i = 0; i < s->host.port_bindings.n; i++)
		try(spec_port_key(a, g[i].key, &g[i].key, e));
	return 0;
}

static int fill_list(struct arena *a, struct strv *l, const char *const *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (strv_add(a, l, v[i]) < 0)
			return err_nomem(e);
	return 0;
}

/* What the user left empty although it has a default. */
static int complete(struct container_spec *s, struct arena *a, struct err *e)
{
	struct host_config *h = &s->host;
	struct endpoint_settings *ep = s->endpoints.v;
	if (str_empty(h->network_mode) || streq(h->network_mode, "default"))
		h->network_mode = "bridge";
	for (size_t i = 0; i < s->endpoints.n; i++)
		if (streq(ep[i].network, "default"))
			ep[i].network = "bridge";
	if (str_empty(h->ipc_mode))
		h->ipc_mode = "private";
	if (str_empty(h->restart_name))
		h->restart_name = "no";
	if (str_empty(h->log_type))
		h->log_type = "json-file";
	if (h->shm_size == 0)
		h->shm_size = SHM_SIZE;
	if (!h->has_masked_paths && !h->privileged)
		try(fill_list(a, &h->masked_paths, masked, ARRAY_LEN(masked), e));
	if (!h->has_readonly_paths && !h->privileged)
		try(fill_list(a, &h->readonly_paths, readonly, ARRAY_LEN(readonly), e));
	return complete_ports(s, a, e);
}

int spec_parse(const json_t *body, struct arena *a, struct container_spec *out, struct err *e)
{
	struct container_spec s;
	spec_defaults(&s);
	if (!body)
		return err_as(e, ERR_INVALID, "config cannot be empty in order to create a container");
	if (!json_is_object(body))
		return err_as(e, ERR_INVALID, "invalid JSON: expected an object");
	try(refuse_null_endpoint(body, e));
	try(decode(body, body, a, &s, e));
	try(complete(&s, a, e));
	*out = s;
	return 0;
}

static bool says_of_privileges(const struct strv *security_opt)
{
	for (size_t i = 0; i < security_opt->n; i++)
		if (str_starts(security_opt->v[i], "no-new-privileges"))
			return true;
	return false;
}

static int add_ulimits(struct json_vec *own, const struct json_vec *more, struct arena *a, struct err *e)
{
	const struct ulimit *other = more->v;
	if (!more->n)
		return 0;
	struct ulimit *v = arena_new(a, struct ulimit, own->n + more->n);
	if (!v)
		return err_nomem(e);
	struct json_vec all = {v, own->n};
	if (own->n)
		memcpy(v, own->v, own->n * sizeof(*v));
	for (size_t i = 0; i < more->n; i++)
		if (!ulimit_find(own, other[i].name))
			v[all.n++] = other[i];
	*own = all;
	return 0;
}

int spec_fall_back(struct container_spec *s, const json_t *body, const struct spec_fallback *f, bool cgroup2, struct arena *a, struct err *e)
{
	struct host_config *h = &s->host;
	const json_t *host = member(body, "HostConfig");
	if (f->shm_size && json_number_value(member(host, "ShmSize")) == 0)
		h->shm_size = f->shm_size;
	if (!str_empty(f->ipc_mode) && str_empty(json_string_value(member(host, "IpcMode"))))
		h->ipc_mode = f->ipc_mode;
	/* On cgroup v1 a privileged container keeps the host's: it may want to manage it. */
	if (!str_empty(f->cgroupns_mode) && str_empty(h->cgroupns_mode) && (cgroup2 || !h->privileged))
		h->cgroupns_mode = f->cgroupns_mode;
	try(add_ulimits(&h->ulimits, &f->ulimits, a, e));
	if (f->no_new_privileges && !says_of_privileges(&h->security_opt) && strv_add(a, &h->security_opt, "no-new-privileges") < 0)
		return err_nomem(e);
	return 0;
}

json_t *spec_to_json(const struct container_spec *s)
{
	json_t *j = json_encode(rest_table, s), *config = json_encode(config_table, &s->config);
	OWN(own_json) json_t *stored = json_encode(stored_table, s);
	if (!j || !config || json_object_set_new(j, "Config", config) < 0) {
		if (!j)
			json_decref(config);
		json_decref(j);
		return NULL;
	}
	if (!stored || json_object_update(j, stored) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

int spec_from_json(const json_t *j, struct arena *a, struct container_spec *out, struct err *e)
{
	struct container_spec s;
	spec_defaults(&s);
	const json_t *config = json_object_get(j, "Config");
	if (!json_is_object(config))
		return err_set(e, -EINVAL, "a stored container without its configuration");
	try(decode(config, j, a, &s, e));
	try(json_decode(j, stored_table, &s, a, e));
	/* Containers of the first version had binds and tmpfs only, and no list of them. */
	if (!json_object_get(j, "MountPoints"))
		try(mounts_resolve(&s, NULL, NULL, a, e));
	*out = s;
	return 0;
}
