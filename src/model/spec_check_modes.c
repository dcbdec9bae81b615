/* Namespaces: what a shared one excludes, and sysctls, which belong to namespaces. */
#include <ctype.h>
#include <string.h>

#include "model/spec_check.h"

#define SYSCTL_OPTION "com.docker.network.endpoint.sysctls"

bool mode_is(const char *mode, const char *kind)
{
	size_t n = strlen(kind);
	return mode && strncmp(mode, kind, n) == 0 && (mode[n] == '\0' || mode[n] == ':');
}

static bool one_of(const char *s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streq(s, words[i]))
			return true;
	return false;
}

/* container:<name> with a name */
static bool names_container(const char *mode)
{
	return str_starts(mode, "container:") && mode[strlen("container:")];
}

static int check_network_mode(const struct container_spec *s, struct err *e)
{
	const struct host_config *h = &s->host;
	bool host = streq(h->network_mode, "host"), other = mode_is(h->network_mode, "container");
	if (other && !names_container(h->network_mode))
		return invalid(e, "invalid network mode: invalid container format container:<name|id>");
	if (other && !str_empty(s->config.hostname))
		return invalid(e, "conflicting options: hostname and the network mode");
	if (other && h->links.n)
		return invalid(e, "conflicting options: container type network can't be used with links. This would "
				  "result in undefined behavior");
	if (other && h->dns.n)
		return invalid(e, "conflicting options: dns and the network mode");
	if (other && h->extra_hosts.n)
		return invalid(e, "conflicting options: custom host-to-IP mapping and the network mode");
	if ((other || host) && !str_empty(s->config.mac_address))
		return invalid(e, "conflicting options: mac-address and the network mode");
	if (other && (h->port_bindings.n || h->publish_all))
		return invalid(e, "conflicting options: port publishing and the container type network mode");
	if (other && s->config.exposed_ports.n)
		return invalid(e, "conflicting options: port exposing and the container type network mode");
	if (h->uts_mode && streq(h->uts_mode, "host") && !str_empty(s->config.hostname))
		return invalid(e, "conflicting options: hostname and the UTS mode");
	if (host && h->links.n)
		return invalid(e, "conflicting options: host type networking can't be used with links. This would "
				  "result in undefined behavior");
	return 0;
}

static int check_other_modes(const struct host_config *h, struct err *e)
{
	static const char *const ipc[] = {"", "none", "private", "host", "shareable"},
				 *const own_or_host[] = {"", "host"}, *const cgroup[] = {"", "private", "host"},
				 *const isolation[] = {"", "default"};
	const char *pid = h->pid_mode ? h->pid_mode : "", *uts = h->uts_mode ? h->uts_mode : "",
		   *user = h->userns_mode ? h->userns_mode : "";
	const char *cg = h->cgroupns_mode ? h->cgroupns_mode : "", *iso = h->isolation ? h->isolation : "";
	if (!one_of(iso, isolation, ARRAY_LEN(isolation)))
		return invalid(e, "invalid isolation (%s): linux only supports 'default'", iso);
	if (!one_of(h->ipc_mode, ipc, ARRAY_LEN(ipc)) && !names_container(h->ipc_mode))
		return invalid(e, "invalid IPC mode: %s", h->ipc_mode);
	if (!one_of(pid, own_or_host, ARRAY_LEN(own_or_host)) && !names_container(pid))
		return invalid(e, "invalid PID mode: %s", pid);
	if (!one_of(uts, own_or_host, ARRAY_LEN(own_or_host)))
		return invalid(e, "invalid UTS mode: %s", uts);
	if (!one_of(user, own_or_host, ARRAY_LEN(own_or_host)))
		return invalid(e, "invalid user namespace mode: %s", user);
	if (!one_of(cg, cgroup, ARRAY_LEN(cgroup)))
		return invalid(e, "invalid cgroup namespace mode: %s", cg);
	return 0;
}

/* net.<a>.<b>.eth<n>.<c>: the interface does not exist when the container's sysctls are written. Returns the parts. */
static bool is_interface_sysctl(const char *key, size_t dots[4])
{
	size_t n = 0;
	for (size_t i = 0; key[i] && n < 4; i++)
		if (key[i] == '.')
			dots[n++] = i;
	return n == 4 && str_starts(key, "net.") && str_starts(key + dots[2] + 1, "eth");
}

static struct endpoint_settings *main_endpoint(struct check *c)
{
	struct json_vec *eps = &c->s->endpoints;
	struct endpoint_settings *v = eps->v;
	for (size_t i = 0; i < eps->n; i++)
		if (streq(v[i].network, c->s->host.network_mode))
			return &v[i];
	v = arena_new(c->a, struct endpoint_settings, eps->n + 1);
	if (!v)
		return NULL;
	if (eps->n)
		memcpy(v, eps->v, eps->n * sizeof(*v));
	v[eps->n].network = c->s->host.network_mode;
	*eps = (struct json_vec){.v = v, .n = eps->n + 1};
	return &v[eps->n - 1];
}

/* Below API 1.48 settings of eth0 move to the main network's endpoint; its own settings come last and win. */
static int move_sysctls(struct check *c, const char *moved, const char *keys, struct err *e)
{
	struct endpoint_settings *ep = main_endpoint(c);
	if (!ep)
		return err_nomem(e);
	const char *own = kvs_get(&ep->driver_opts, SYSCTL_OPTION);
	const char *warning =
		arena_printf(c->a, "Migrated sysctl \"%s\" to DriverOpts{\"%s\":\"%s\"}.", keys, SYSCTL_OPTION, moved);
	const char *all = own ? arena_printf(c->a, "%s,%s", moved, own) : moved;
	if (!warning || !all || kvs_set(c->a, &ep->driver_opts, SYSCTL_OPTION, all) < 0)
		return err_nomem(e);
	return check_warn(c, warning, e);
}

static int split_interface_sysctls(struct check *c, struct err *e)
{
	struct kvs *l = &c->s->host.sysctls, rest = {0};
	const char *moved = "", *keys = "", *m = l->n ? c->s->host.network_mode : "host";
	size_t d[4];
	if (streq(m, "host") || mode_is(m, "container"))
		return 0;
	for (size_t i = 0; i < l->n; i++) {
		const char *key = l->v[i].key;
		if (!is_interface_sysctl(key, d)) {
			if (kvs_set(c->a, &rest, key, l->v[i].value) < 0)
				return err_nomem(e);
			continue;
		}
		if (c->host->minor >= 48)
			return invalid(e,
				"interface specific sysctl setting \"%s\" must be supplied using driver option '%s'",
				key, SYSCTL_OPTION);
		if (strncmp(key + d[2] + 1, "eth0.", 5) != 0)
			return invalid(e,
				"unable to determine network endpoint for sysctl %s, use driver option '%s' to set "
				"per-interface sysctls",
				key, SYSCTL_OPTION);
		moved = arena_printf(c->a, "%s%s%.*s.IFNAME.%s=%s", moved, *moved ? "," : "", (int)d[2], key,
			key + d[3] + 1, l->v[i].value);
		keys = arena_printf(c->a, "%s%s%s", keys, *keys ? "," : "", key);
		if (!moved || !keys)
			return err_nomem(e);
	}
	*l = rest;
	return *moved ? move_sysctls(c, moved, keys, e) : 0;
}

/* Only what lives in a namespace of the container's own may be set: anything else is the host's. */
static int check_sysctls(const struct host_config *h, struct err *e)
{
	static const char *const ipc[] = {"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
	for (size_t i = 0; i < h->sysctls.n; i++) {
		const char *key = h->sysctls.v[i].key;
		bool is_ipc = one_of(key, ipc, ARRAY_LEN(ipc)) || str_starts(key, "fs.mqueue."),
		     is_net = str_starts(key, "net.");
		bool is_uts = streq(key, "kernel.domainname") || streq(key, "kernel.hostname");
		for (const char *p = key; *p; p++)
			if (!isalnum((unsigned char)*p) && !strchr("._-/", *p))
				return invalid(e, "sysctl \"%s\" is not a name", key);
		if (strstr(key, "..") || (!is_ipc && !is_net && !is_uts))
			return invalid(e, "sysctl \"%s\" is not in a separate kernel namespace", key);
		if (is_net && streq(h->network_mode, "host"))
			return invalid(e, "sysctl \"%s\" not allowed in host network namespace", key);
		if (is_ipc && streq(h->ipc_mode, "host"))
			return invalid(e, "sysctl \"%s\" not allowed in host ipc namespace", key);
		if (is_uts && h->uts_mode && streq(h->uts_mode, "host"))
			return invalid(e, "sysctl \"%s\" not allowed in host uts namespace", key);
	}
	return 0;
}

int check_modes(struct check *c, struct err *e)
{
	struct host_config *h = &c->s->host;
	try(check_network_mode(c->s, e));
	try(check_other_modes(h, e));
	try(split_interface_sysctls(c, e));
	try(check_sysctls(h, e));
	if (str_empty(h->cgroupns_mode))
		h->cgroupns_mode = c->host->cgroup2 ? "private" : "host";
	if (streq(h->network_mode, "host") && h->port_bindings.n)
		try(check_warn(c, "Published ports are discarded when using host network mode", e));
	if (c->host->minor >= 44 && !str_empty(c->s->config.mac_address))
		try(check_warn(c, "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.", e));
	return 0;
}
