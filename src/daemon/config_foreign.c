/* dockerd's options that Pontoon has not. Who brings dockerd's file along is not stopped by what is missed by nobody: that is passed over, with a sentence in the log. What would
 * leave containers less closed than was asked for, or make them something else, is refused. A value that asks for nothing is neither. */
#include "daemon/config_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

struct conf_foreign {
	const char *flag, *key;
	enum conf_kind kind;
	bool refused;
	const char *say;  /* NULL: it is so anyway */
	const char *same; /* the value that says what is so anyway */
};

#define NO_SWARM      "there is no swarm here"
#define NO_CONTAINERD "Pontoon needs no containerd"
#define NO_STORE      "networks are not kept in a key-value store, and do not reach other hosts: take it out"

static const struct conf_foreign foreign[] = {
	{"--allow-nondistributable-artifacts", "allow-nondistributable-artifacts", CONF_LIST, false, "layers of every kind are pushed, to every registry"},
	{"--api-cors-header", "api-cors-header", CONF_STR, false, "no such header is sent: pages of other origins cannot use the API"},
	{"--authorization-plugin", "authorization-plugins", CONF_LIST, true, "no plugin would be asked, and every request be served. Take it out if the socket's group and --tlsverify keep others away well enough"},
	{NULL, "builder", CONF_KV, false, "there is no builder here"},
	{NULL, "cdi-spec-dirs", CONF_LIST, false, "containers get devices by run --device only"},
	{"--cluster-advertise", "cluster-advertise", CONF_STR, true, NO_STORE},
	{"--cluster-store", "cluster-store", CONF_STR, true, NO_STORE},
	{"--cluster-store-opt", "cluster-store-opts", CONF_KV, true, NO_STORE},
	{"--containerd", "containerd", CONF_STR, false, NO_CONTAINERD},
	{"--containerd-namespace", "containerd-namespace", CONF_STR, false, NO_CONTAINERD},
	{"--containerd-plugins-namespace", "containerd-plugins-namespace", CONF_STR, false, NO_CONTAINERD},
	{"--cpu-rt-period", "cpu-rt-period", CONF_INT, true, "the containers' parent cgroup gets no real-time limits: take it out"},
	{"--cpu-rt-runtime", "cpu-rt-runtime", CONF_INT, true, "the containers' parent cgroup gets no real-time limits: take it out"},
	{"--cri-containerd", "cri-containerd", CONF_BOOL, true, "Pontoon starts no containerd that a kubelet could use: run one beside it, and take this out"},
	{"--deprecated-key-path", "deprecated-key-path", CONF_STR, false, "the daemon's id is in its store"},
	{"--experimental", "experimental", CONF_BOOL, false, "nothing here is experimental"},
	{NULL, "features", CONF_KV, false, "nothing here is switched by them"},
	{"--log-format", "log-format", CONF_STR, false, "the log is text: key=value", "text"},
	{"--metrics-addr", "metrics-addr", CONF_STR, false, "no metrics are served there"},
	{NULL, "min-api-version", CONF_STR, false, "clients are served from API 1.24 on", "1.24"},
	{"--network-control-plane-mtu", "network-control-plane-mtu", CONF_INT, false, NO_SWARM},
	{"--network-diagnostic-port", "network-diagnostic-port", CONF_INT, false, NO_SWARM},
	{"--node-generic-resource", "node-generic-resources", CONF_LIST, false, NO_SWARM},
	{"--raw-logs", "raw-logs", CONF_BOOL, false, NULL},
	{"--restart", "restart", CONF_BOOL, true, "containers start again as their own restart policies say: take it out", "true"},
	{"--rootless", "rootless", CONF_BOOL, true, "pontoond must be started as root"},
	{"--selinux-enabled", "selinux-enabled", CONF_BOOL, true, "containers would get no labels, and SELinux not keep them apart. Take it out if that may be"},
	{"--swarm-default-advertise-addr", "swarm-default-advertise-addr", CONF_STR, false, NO_SWARM},
	{"--swarm-raft-election-tick", "swarm-raft-election-tick", CONF_INT, false, NO_SWARM},
	{"--swarm-raft-heartbeat-tick", "swarm-raft-heartbeat-tick", CONF_INT, false, NO_SWARM},
	{"--userland-proxy-path", "userland-proxy-path", CONF_STR, false, "pontoon-relay does its work; --relay-program says where that is"},
	{"--userns-remap", "userns-remap", CONF_STR, true, "containers have no user namespace here: their root would be the host's. Take it out if that may be"},
};

const struct conf_foreign *conf_foreign_flag(const char *arg, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (foreign[i].flag && strlen(foreign[i].flag) == len && strncmp(foreign[i].flag, arg, len) == 0)
			return &foreign[i];
	return NULL;
}

const struct conf_foreign *conf_foreign_key(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (streq(foreign[i].key, key))
			return &foreign[i];
	return NULL;
}

bool conf_foreign_is_switch(const struct conf_foreign *f)
{
	return f->kind == CONF_BOOL;
}

/* false, 0, "", a list of nothing, an object in which all is so. */
static bool asks_nothing(const struct conf_foreign *f, const json_t *v)
{
	const char *key;
	json_t *item;
	if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, key, item)
			if (!json_is_false(item))
				return false;
		return true;
	}
	if (json_is_boolean(v))
		return json_is_true(v) == (f->same && streq(f->same, "true"));
	if (json_is_string(v))
		return str_empty(json_string_value(v)) || (f->same && streq(json_string_value(v), f->same));
	return json_is_array(v) ? json_array_size(v) == 0 : json_integer_value(v) == 0;
}

static bool is_kind(enum conf_kind kind, const json_t *v)
{
	size_t i;
	json_t *item;
	switch (kind) {
	case CONF_BOOL:
		return json_is_boolean(v);
	case CONF_INT:
		return json_is_integer(v);
	case CONF_STR:
		return json_is_string(v);
	case CONF_KV:
		return json_is_object(v);
	case CONF_LIST:
		break;
	}
	json_array_foreach(v, i, item)
		if (!json_is_string(item))
			return false;
	return json_is_array(v);
}

void conf_foreign_file(struct config_daemon *c, const struct conf_foreign *f, const json_t *v)
{
	if (!is_kind(f->kind, v))
		config_wrong(c, "%s: expected %s", f->key, conf_expected(f->kind));
	else if (f->say && !asks_nothing(f, v) && f->refused)
		config_wrong(c, "%s: %s", f->key, f->say);
	else if (f->say && !asks_nothing(f, v))
		(void)strv_add(&c->mem, &c->passed_over, arena_printf(&c->mem, "%s is passed over: %s", f->key, f->say));
}

void conf_foreign_arg(struct config_daemon *c, const struct conf_foreign *f, const char *value)
{
	OWN(own_json) json_t *v = NULL;
	bool on = false;
	char *end;
	switch (f->kind) {
	case CONF_BOOL:
		if (units_parse_bool(value, &on) < 0) {
			config_wrong(c, "invalid value \"%s\" for %s: expected true or false", value, f->flag);
			return;
		}
		v = json_boolean(on);
		break;
	case CONF_INT:
		errno = 0;
		v = json_integer(strtoll(value, &end, 10));
		if (errno || *end || end == value) {
			config_wrong(c, "invalid value \"%s\" for %s: expected a number", value, f->flag);
			return;
		}
		break;
	case CONF_STR:
		v = json_string_nocheck(value);
		break;
	case CONF_LIST:
		v = json_pack("[o]", json_string_nocheck(value));
		break;
	case CONF_KV:
		v = json_pack("{s:o}", "option", json_string_nocheck(value));
		break;
	}
	conf_foreign_file(c, f, v);
}
