#include "model/spec.h"

#include <errno.h>

/* Docker's defaults for paths of /proc and /sys that a container must not read or write. */
static const char *const masked[] = {"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"};
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
	s->host.cgroupns_mode = "host";
	s->host.restart_name = "no";
	s->host.log_type = "json-file";
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
	if (str_empty(h->network_mode) || streq(h->network_mode, "default"))
		h->network_mode = "bridge";
	if (str_empty(h->ipc_mode))
		h->ipc_mode = "private";
	if (str_empty(h->restart_name))
		h->restart_name = "no";
	if (str_empty(h->log_type))
		h->log_type = "json-file";
	if (str_empty(h->cgroupns_mode))
		h->cgroupns_mode = "host";
	if (h->shm_size == 0)
		h->shm_size = SHM_SIZE;
	if (!h->has_masked_paths && !h->privileged)
		try(fill_list(a, &h->masked_paths, masked, ARRAY_LEN(masked), e));
	if (!h->has_readonly_paths && !h->privileged)
		try(fill_list(a, &h->readonly_paths, readonly, ARRAY_LEN(readonly), e));
	return 0;
}

static bool given_list(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return v && !json_is_null(v);
}

static int console_size(struct host_config *h, const json_t *host, struct err *e)
{
	const json_t *v = json_object_get(host, "ConsoleSize");
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_array(v) || json_array_size(v) != 2 || !json_is_integer(json_array_get(v, 0)) || !json_is_integer(json_array_get(v, 1)))
		return err_as(e, ERR_INVALID, "HostConfig.ConsoleSize: expected [height, width]");
	h->console_h = json_integer_value(json_array_get(v, 0));
	h->console_w = json_integer_value(json_array_get(v, 1));
	return 0;
}

struct networking {
	struct json_vec endpoints;
};
static const struct json_field networking_table[] = {
	{"EndpointsConfig", J_MAPV, offsetof(struct networking, endpoints), 0, endpoint_settings_table, sizeof(struct endpoint_settings)}, J_END};

static int section(const json_t *body, const char *name, const struct json_field *t, void *out, struct arena *a, struct err *e)
{
	const json_t *j = json_object_get(body, name);
	if (!j || json_is_null(j))
		return 0;
	return json_decode(j, t, out, a, e) < 0 ? err_ctx(e, "%s", name) : 0;
}

static bool uses_null_endpoint(const json_t *body, const char **name)
{
	const json_t *map = json_object_get(json_object_get(body, "NetworkingConfig"), "EndpointsConfig");
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)map, key, v)
	{
		if (json_is_null(v)) {
			*name = key;
			return true;
		}
	}
	return false;
}

int spec_parse(const json_t *body, struct arena *a, struct container_spec *out, struct err *e)
{
	struct container_spec s;
	struct networking net = {0};
	const char *bad;
	spec_defaults(&s);
	if (!body)
		return err_as(e, ERR_INVALID, "config cannot be empty in order to create a container");
	if (!json_is_object(body))
		return err_as(e, ERR_INVALID, "invalid JSON: expected an object");
	const json_t *config = json_object_get(body, "Config"); /* the stored form; a request has the fields at the top */
	if (!config)
		config = body;
	try(json_decode(config, config_table, &s.config, a, e));
	s.config.has_cmd = given_list(config, "Cmd");
	s.config.has_entrypoint = given_list(config, "Entrypoint");
	try(section(body, "HostConfig", host_config_table, &s.host, a, e));
	const json_t *host = json_object_get(body, "HostConfig");
	try(console_size(&s.host, host, e));
	s.host.has_masked_paths = given_list(host, "MaskedPaths");
	s.host.has_readonly_paths = given_list(host, "ReadonlyPaths");
	if (uses_null_endpoint(body, &bad))
		return err_as(e, ERR_INVALID, "invalid config for network %s: EndpointsConfig is nil", bad);
	try(section(body, "NetworkingConfig", networking_table, &net, a, e));
	s.endpoints = net.endpoints;
	try(complete(&s, a, e));
	*out = s;
	return 0;
}

json_t *spec_to_json(const struct container_spec *s)
{
	struct networking net = {.endpoints = s->endpoints};
	json_t *host = json_encode(host_config_table, &s->host);
	if (host)
		json_object_set_new(host, "ConsoleSize", json_pack("[I,I]", (json_int_t)s->host.console_h, (json_int_t)s->host.console_w));
	return json_pack("{s:o, s:o, s:o}", "Config", json_encode(config_table, &s->config), "HostConfig", host, "NetworkingConfig", json_encode(networking_table, &net));
}
