#include "daemon/config.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/paths.h"
#include "daemon/mirror.h"
#include "model/logging.h"

#define CONFIG_FILE_MAX (1u << 20)

enum conf_kind { CONF_BOOL, CONF_INT, CONF_STR, CONF_LIST, CONF_KV };

struct conf_row {
	const char *flag;      /* "--mtu"; NULL: file only */
	const char *alias;     /* "-H" */
	const char *key;       /* in daemon.json; NULL: flag only */
	enum conf_kind kind;
	size_t off;
	const char *fallback;  /* as text */
	const char *help;
	bool live;             /* SIGHUP changes it in a running daemon */
};

enum given { GIVEN_NOT, GIVEN_FLAG, GIVEN_FILE };

#define C(m) offsetof(struct config_daemon, m)
static const struct conf_row rows[] = {
	{"--add-runtime", NULL, NULL, CONF_LIST, C(add_runtime), "", "register an OCI runtime, name=path", true},
	{"--allow-direct-routing", NULL, "allow-direct-routing", CONF_BOOL, C(core.net.direct_routing), "false", "containers' own addresses may be reached from outside, on their published ports"},
	{"--bip", NULL, "bip", CONF_STR, C(bip), "", "address and mask of the default bridge"},
	{"--bip6", NULL, "bip6", CONF_STR, C(bip6), "", "IPv6 address and mask of the default bridge"},
	{"--bridge", "-b", "bridge", CONF_STR, C(bridge), "", "attach containers to this bridge, which is there and has its address; none disables the default bridge"},
	{"--bridge-accept-fwmark", NULL, "bridge-accept-fwmark", CONF_STR, C(accept_mark), "", "let packets with this mark into networks, mark[/mask]"},
	{"--cgroup-parent", NULL, "cgroup-parent", CONF_STR, C(core.engine.cgroup_parent), "", "parent cgroup of all containers"},
	{"--config-file", NULL, NULL, CONF_STR, C(config_file), PONTOON_CONFIG_FILE, "daemon configuration file"},
	{"--conmon", NULL, "conmon", CONF_STR, C(core.engine.conmon), "", "path of conmon"},
	{"--data-root", "-g", "data-root", CONF_STR, C(core.data_root), PONTOON_DATA_ROOT, "persistent state"},
	{"--debug", "-D", "debug", CONF_BOOL, C(core.debug), "false", "log at level debug", true},
	{"--default-address-pool", NULL, "default-address-pools", CONF_LIST, C(address_pools), "", "pool that networks get subnets from, base=10.10.0.0/16,size=24"},
	{"--default-gateway", NULL, "default-gateway", CONF_STR, C(default_gateway), "", "IPv4 gateway of containers on the default bridge"},
	{"--default-gateway-v6", NULL, "default-gateway-v6", CONF_STR, C(default_gateway6), "", "IPv6 gateway of containers on the default bridge"},
	{"--default-network-opt", NULL, "default-network-opts", CONF_LIST, C(network_opts), "", "option of new networks, bridge=com.docker.network.driver.mtu=1400"},
	{"--default-runtime", NULL, "default-runtime", CONF_STR, C(core.engine.default_runtime), "", "OCI runtime: crun, runc or one of --add-runtime", true},
	{"--dns", NULL, "dns", CONF_LIST, C(dns), "", "DNS server for containers"},
	{"--dns-opt", NULL, "dns-opts", CONF_LIST, C(core.net.dns_options), "", "DNS option for containers"},
	{"--dns-search", NULL, "dns-search", CONF_LIST, C(core.net.dns_search), "", "DNS search domain for containers"},
	{"--exec-root", NULL, "exec-root", CONF_STR, C(core.exec_root), PONTOON_EXEC_ROOT, "run-time state"},
	{"--firewall-backend", NULL, "firewall-backend", CONF_STR, C(core.firewall_backend), "iptables", "firewall backend: iptables or nftables"},
	{"--fixed-cidr", NULL, "fixed-cidr", CONF_STR, C(fixed_cidr), "", "part of the default bridge's subnet that addresses are taken from"},
	{"--fixed-cidr-v6", NULL, "fixed-cidr-v6", CONF_STR, C(fixed_cidr6), "", "IPv6 subnet of the default bridge, or part of it that addresses are taken from"},
	{"--group", "-G", "group", CONF_STR, C(group), "pontoon", "group of the unix socket"},
	{"--help", "-h", NULL, CONF_BOOL, C(help), "false", "print this text"},
	{"--host", "-H", "hosts", CONF_LIST, C(hosts), "", "where to listen: unix://PATH, tcp://HOST:PORT, fd:// (repeatable)"},
	{"--host-gateway-ip", NULL, "host-gateway-ips", CONF_LIST, C(host_gateway_ip), "", "what host-gateway in --add-host means"},
	{"--icc", NULL, "icc", CONF_BOOL, C(core.net.icc), "true", "containers on the default bridge reach each other"},
	{"--image-program", NULL, "image-program", CONF_STR, C(core.engine.image_program), "", "path of pontoon-image"},
	{"--init", NULL, "init", CONF_BOOL, C(core.engine.init_default), "false", "run an init in every container"},
	{"--init-path", NULL, "init-path", CONF_STR, C(core.engine.init_path), "", "path of that init"},
	{"--ip", NULL, "ip", CONF_STR, C(host_binding), "0.0.0.0", "address of the host that the default bridge publishes ports at"},
	{"--insecure-registry", NULL, "insecure-registries", CONF_LIST, C(core.insecure_registries), "", "registry that may be without TLS: host, host:port or subnet", true},
	{"--ip-forward", NULL, "ip-forward", CONF_BOOL, C(core.net.ip_forward), "true", "switch on net.ipv4.ip_forward"},
	{"--ip-forward-no-drop", NULL, "ip-forward-no-drop", CONF_BOOL, C(core.net.forward_no_drop), "false", "leave the policy of FORWARD alone when forwarding is switched on"},
	{"--ip-masq", NULL, "ip-masq", CONF_BOOL, C(core.net.ip_masq), "true", "masquerade what leaves the host"},
	{"--ip6tables", NULL, "ip6tables", CONF_BOOL, C(core.net.ip6tables), "true", "program IPv6 firewall rules"},
	{"--iptables", NULL, "iptables", CONF_BOOL, C(core.net.iptables), "true", "program firewall rules"},
	{"--ipv6", NULL, "ipv6", CONF_BOOL, C(core.net.ipv6), "false", "IPv6 on the default bridge"},
	{"--label", NULL, "labels", CONF_LIST, C(labels), "", "key=value label of the daemon", true},
	{"--live-restore", NULL, "live-restore", CONF_BOOL, C(core.live_restore), "false", "containers go on while the daemon is stopped", true},
	{"--log-driver", NULL, "log-driver", CONF_STR, C(core.log_driver), "json-file", "where the output of containers goes unless they say otherwise"},
	{"--log-level", "-l", "log-level", CONF_STR, C(log_level), "info", "debug, info, warn, error or fatal"},
	{"--log-opt", NULL, "log-opts", CONF_LIST, C(log_opts), "", "option of that log driver, max-size=10m"},
	{"--max-concurrent-downloads", NULL, "max-concurrent-downloads", CONF_INT, C(core.max_downloads), "3", "layers that one pull fetches at once", true},
	{"--max-concurrent-uploads", NULL, "max-concurrent-uploads", CONF_INT, C(core.max_uploads), "5", "layers that one push sends at once", true},
	{"--mtu", NULL, "mtu", CONF_INT, C(mtu), "0", "MTU of the default bridge"},
	{"--publish-scope", NULL, "publish-scope", CONF_STR, C(publish_scope), "any", "whom published ports serve: any, lan, local or host-firewall; a network or a container may say otherwise"},
	{"--pidfile", "-p", "pidfile", CONF_STR, C(pidfile), PONTOON_PIDFILE, "file for the daemon's process id"},
	{"--registry-mirror", NULL, "registry-mirrors", CONF_LIST, C(registry_mirrors), "", "registry that is asked for images of Docker Hub first, https://host:port", true},
	{"--relay-program", NULL, "relay-program", CONF_STR, C(core.relay.program), "", "path of pontoon-relay"},
	{"--relay-uid", NULL, "relay-uid", CONF_INT, C(relay_uid), "0", "user and group id of pontoon-relay (0: the user pontoon-relay)"},
	{NULL, NULL, "resolv-conf", CONF_STR, C(core.resolv_conf), "", NULL},
	{NULL, NULL, "runtimes", CONF_KV, C(core.engine.runtimes), "", NULL, true},
	{"--shutdown-timeout", NULL, "shutdown-timeout", CONF_INT, C(shutdown_timeout), "15", "seconds that containers get at shutdown", true},
	{"--tls", NULL, "tls", CONF_BOOL, C(tls), "false", "TLS on TCP sockets; --tls=false allows them without"},
	{"--tlscacert", NULL, "tlscacert", CONF_STR, C(tlscacert), "", "authority of the clients' certificates (default /etc/pontoon/ca.pem)"},
	{"--tlscert", NULL, "tlscert", CONF_STR, C(tlscert), "", "certificate of the daemon (default /etc/pontoon/cert.pem)"},
	{"--tlskey", NULL, "tlskey", CONF_STR, C(tlskey), "", "its key (default /etc/pontoon/key.pem)"},
	{"--tlsverify", NULL, "tlsverify", CONF_BOOL, C(tlsverify), "false", "TLS on TCP sockets, and clients must show a certificate"},
	{"--userland-proxy", NULL, "userland-proxy", CONF_BOOL, C(core.net.userland_proxy), "true", "pontoon-relay leads to published ports what NAT cannot"},
	{"--validate", "-n", NULL, CONF_BOOL, C(validate), "false", "check the configuration and exit"},
	{"--version", "-v", NULL, CONF_BOOL, C(version), "false", "print the version and exit"},
};

static void PRINTF(2, 3) wrong(struct config_daemon *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)strv_add(&c->mem, &c->errors, text);
}

static bool parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = {"true", "1", "t", "T", "TRUE", "True"}, *const no[] = {"false", "0", "f", "F", "FALSE", "False"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (streq(s, yes[i]) || streq(s, no[i])) {
			*out = streq(s, yes[i]);
			return true;
		}
	}
	return false;
}

static void set(struct config_daemon *c, const struct conf_row *r, const char *name, const char *value)
{
	void *at = (char *)c + r->off;
	char *end;
	switch (r->kind) {
	case CONF_BOOL:
		if (!parse_bool(value, at))
			wrong(c, "invalid value \"%s\" for %s: expected true or false", value, name);
		break;
	case CONF_INT:
		errno = 0;
		*(int64_t *)at = strtoll(value, &end, 10);
		if (errno || *end || end == value)
			wrong(c, "invalid value \"%s\" for %s: expected a number", value, name);
		break;
	case CONF_STR:
		*(const char **)at = arena_dup(&c->mem, value);
		break;
	case CONF_LIST:
		(void)strv_add(&c->mem, at, value);
		break;
	case CONF_KV:
		break; /* only in the file: set_json */
	}
}

static const struct conf_row *row_of_flag(const char *arg, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *names[] = {rows[i].flag, rows[i].alias};
		for (size_t k = 0; k < 2; k++)
			if (names[k] && strlen(names[k]) == len && strncmp(names[k], arg, len) == 0)
				return &rows[i];
	}
	return NULL;
}

static void parse_args(struct config_daemon *c, int argc, char **argv, enum given *given)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *eq = strchr(arg, '=');
		size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
		const struct conf_row *r = row_of_flag(arg, len);
		if (!r) {
			wrong(c, *arg == '-' ? "unknown flag: %.*s" : "unexpected argument: %.*s", (int)len, arg);
			continue;
		}
		const char *value = eq ? eq + 1 : NULL;
		if (!value && r->kind == CONF_BOOL)
			value = "true";
		else if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value) {
			wrong(c, "flag needs an argument: %s", arg);
			continue;
		}
		given[r - rows] = GIVEN_FLAG;
		set(c, r, r->flag, value);
	}
}

/* {"crun":{"path":"/usr/bin/crun"}} */
static void set_runtimes(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *name;
	json_t *o;
	json_object_foreach((json_t *)(uintptr_t)v, name, o)
	{
		const char *path = json_string_value(json_object_get(o, "path"));
		if (!path)
			wrong(c, "runtimes: \"%s\" has no path", name);
		else
			(void)kvs_set(&c->mem, (struct kvs *)((char *)c + r->off), name, path);
	}
}

/* {"base":"10.10.0.0/16","size":24} */
static void set_pool(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *base = json_string_value(json_object_get(v, "base"));
	if (!base || !json_is_integer(json_object_get(v, "size")))
		wrong(c, "%s: expected objects with base and size", r->key);
	else
		set(c, r, r->key, arena_printf(&c->mem, "base=%s,size=%" JSON_INTEGER_FORMAT, base, json_integer_value(json_object_get(v, "size"))));
}

/* {"bridge":{"com.docker.network.driver.mtu":"1400"}} */
static void set_network_opts(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *driver, *key;
	json_t *opts, *value;
	json_object_foreach((json_t *)(uintptr_t)v, driver, opts)
	{
		json_object_foreach(opts, key, value)
		{
			if (json_is_string(value))
				set(c, r, r->key, arena_printf(&c->mem, "%s=%s=%s", driver, key, json_string_value(value)));
			else
				wrong(c, "%s: %s: expected a string", r->key, key);
		}
	}
}

/* {"max-size":"10m"} */
static void set_log_opts(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		if (json_is_string(value))
			set(c, r, r->key, arena_printf(&c->mem, "%s=%s", key, json_string_value(value)));
		else
			wrong(c, "%s: %s: expected a string", r->key, key);
	}
}

static void set_json(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	char number[32];
	size_t i;
	json_t *item;
	if (r->kind == CONF_BOOL && json_is_boolean(v)) {
		*(bool *)((char *)c + r->off) = json_is_true(v);
	} else if (r->kind == CONF_INT && json_is_integer(v)) {
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		set(c, r, r->key, number);
	} else if (r->kind == CONF_STR && json_is_string(v)) {
		set(c, r, r->key, json_string_value(v));
	} else if (r->kind == CONF_LIST && streq(r->key, "default-address-pools") && json_is_array(v)) {
		json_array_foreach(v, i, item)
			set_pool(c, r, item);
	} else if (r->kind == CONF_LIST && streq(r->key, "default-network-opts") && json_is_object(v)) {
		set_network_opts(c, r, v);
	} else if (r->kind == CONF_LIST && streq(r->key, "log-opts") && json_is_object(v)) {
		set_log_opts(c, r, v);
	} else if (r->kind == CONF_LIST && json_is_array(v)) {
		json_array_foreach(v, i, item)
		{
			if (json_is_string(item))
				set(c, r, r->key, json_string_value(item));
			else
				wrong(c, "%s: expected a list of strings", r->key);
		}
	} else if (r->kind == CONF_KV && json_is_object(v)) {
		set_runtimes(c, r, v);
	} else {
		static const char *const what[] = {"true or false", "a number", "a string", "a list of strings", "an object"};
		wrong(c, "%s: expected %s", r->key, what[r->kind]);
	}
}

static const struct conf_row *row_of_key(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].key && streq(rows[i].key, key))
			return &rows[i];
	return NULL;
}

/* A value as its row holds it, for messages and comparison. */
static const char *text_of(const struct config_daemon *c, const struct conf_row *r, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	const void *at = (const char *)c + r->off;
	const struct strv *l = at;
	const struct kvs *m = at;
	switch (r->kind) {
	case CONF_BOOL:
		return *(const bool *)at ? "true" : "false";
	case CONF_INT:
		return arena_printf(a, "%lld", (long long)*(const int64_t *)at);
	case CONF_STR:
		return *(const char *const *)at;
	case CONF_LIST:
		for (size_t i = 0; i < l->n; i++)
			buf_printf(&b, "%s%s", i ? " " : "", l->v[i]);
		break;
	case CONF_KV:
		for (size_t i = 0; i < m->n; i++)
			buf_printf(&b, "%s%s=%s", i ? " " : "", m->v[i].key, m->v[i].value);
		break;
	}
	return arena_printf(a, "[%s]", buf_str(&b));
}

static void wrong_conflict(struct config_daemon *c, const struct conf_row *r, const json_t *v)
{
	OWN(own_free) char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	wrong(c, "unable to configure the daemon with file %s: the following directives are specified both as a flag and in the configuration file: %s: (from flag: %.200s, from file: %.200s)", c->config_file,
		r->key, text_of(c, r, &c->mem), text ? text : "?");
}

static void parse_file(struct config_daemon *c, enum given *given, bool must_exist)
{
	OWN(own_buf) struct buf text = {0};
	OWN(own_json) json_t *j = NULL;
	struct err e = {0};
	if (read_file(c->config_file, CONFIG_FILE_MAX, &text, &e) < 0) {
		if (must_exist || e.code != -ENOENT)
			wrong(c, "%s", e.msg);
		return;
	}
	if (json_parse(buf_str(&text), text.len, &j, &e) < 0) {
		wrong(c, "%s: %s", c->config_file, e.msg);
		return;
	}
	if (!json_is_object(j)) {
		wrong(c, "%s: expected an object", c->config_file);
		return;
	}
	const char *key;
	json_t *v;
	json_object_foreach(j, key, v)
	{
		const struct conf_row *r = row_of_key(key);
		if (!r) {
			wrong(c, "unable to configure the daemon with file %s: the following directives don't match any configuration option: %s", c->config_file, key);
		} else if (given[r - rows] == GIVEN_FLAG) {
			wrong_conflict(c, r, v);
		} else {
			given[r - rows] = GIVEN_FILE;
			set_json(c, r, v);
		}
	}
}

static void need_ip_list(struct config_daemon *c, const char *what, const struct strv *l)
{
	struct ip ip;
	for (size_t i = 0; i < l->n; i++)
		if (ip_parse(l->v[i], &ip) < 0)
			wrong(c, "%s: \"%s\" is not an IP address", what, l->v[i]);
}

/* "mark[/mask]" in any base, as iptables-save prints it. */
static const char *read_mark(struct config_daemon *c, const char *s)
{
	char *end;
	errno = 0;
	unsigned long mark = strtoul(s, &end, 0), mask = UINT32_MAX;
	bool good = end != s && !errno && *s != '-';
	if (good && *end == '/') {
		const char *second = end + 1;
		mask = strtoul(second, &end, 0);
		good = end != second && !errno && *second != '-';
	}
	if (!good || *end || mark > UINT32_MAX || mask > UINT32_MAX || (mark & ~mask) || !mask) {
		wrong(c, "invalid firewall mark \"%s\": expected mark[/mask], numbers of 32 bits with no bit of the mark outside of the mask", s);
		return "";
	}
	return mask == UINT32_MAX ? arena_printf(&c->mem, "0x%lx", mark) : arena_printf(&c->mem, "0x%lx/0x%lx", mark, mask);
}

static void need_prefix(struct config_daemon *c, const char *what, const char *s, uint8_t family, const char *example, struct prefix *out)
{
	const char *kind = family == AF_INET6 ? "an IPv6" : "an IPv4";
	if (!str_empty(s) && (prefix_parse(s, out) < 0 || out->ip.family != family))
		wrong(c, "%s: \"%s\" is not %s %s", what, s, kind, example);
}

static void need_ip(struct config_daemon *c, const char *what, const char *s, uint8_t family, struct ip *out)
{
	if (!str_empty(s) && (ip_parse(s, out) < 0 || out->family != family))
		wrong(c, "%s: \"%s\" is not an %s address", what, s, family == AF_INET6 ? "IPv6" : "IPv4");
}

/* The default bridge's own settings. */
static void digest_bridge(struct config_daemon *c, struct netconf *n)
{
	if (!str_empty(c->bridge) && (!str_empty(c->bip) || !str_empty(c->bip6)))
		wrong(c, "you specified -b & --bip, mutually exclusive options. Please specify only one");
	need_prefix(c, "bip", c->bip, AF_INET, "address with a mask, such as 172.17.0.1/16", &n->bip);
	need_prefix(c, "bip6", c->bip6, AF_INET6, "address with a mask, such as fd00:17::1/64", &n->bip6);
	need_prefix(c, "fixed-cidr", c->fixed_cidr, AF_INET, "subnet, such as 172.17.1.0/24", &n->fixed_cidr);
	need_prefix(c, "fixed-cidr-v6", c->fixed_cidr6, AF_INET6, "subnet, such as fd00:17::/64", &n->fixed_cidr6);
	need_ip(c, "default-gateway", c->default_gateway, AF_INET, &n->default_gateway);
	need_ip(c, "default-gateway-v6", c->default_gateway6, AF_INET6, &n->default_gateway6);
	if (c->mtu < 0 || (c->mtu > 0 && c->mtu < 68) || c->mtu > 65535)
		wrong(c, "invalid MTU number: %lld (68 to 65535, or 0 for the default)", (long long)c->mtu);
	else if (c->mtu && c->mtu < 1280 && n->ipv6)
		wrong(c, "invalid MTU number: %lld (IPv6 needs 1280)", (long long)c->mtu);
	n->mtu = (int)c->mtu;
	if (!n->icc && (!n->iptables || (n->ipv6 && !n->ip6tables)))
		wrong(c, "you specified --ip%stables=false with --icc=false. ICC=false uses ip%stables to function. Please set --icc or --ip%stables to true", n->iptables ? "6" : "",
			n->iptables ? "6" : "", n->iptables ? "6" : "");
}

static void digest_network(struct config_daemon *c)
{
	const char *no_raw = getenv("DOCKER_INSECURE_NO_IPTABLES_RAW");
	struct netconf *n = &c->core.net;
	n->data_root = c->core.data_root;
	n->exec_root = c->core.exec_root;
	n->bridge = DEFAULT_BRIDGE;
	n->bridge_none = streq(c->bridge, "none");
	if (!str_empty(c->bridge) && !n->bridge_none) {
		if (!device_name_ok(c->bridge))
			wrong(c, "bridge: \"%s\" is no name of a device: " DEVICE_NAME_RULE, c->bridge);
		n->bridge = c->bridge;
	}
	digest_bridge(c, n);
	n->accept_mark = str_empty(c->accept_mark) ? "" : read_mark(c, c->accept_mark);
	n->no_raw = no_raw && streq(no_raw, "1");
	if (port_scope_parse(c->publish_scope, &n->publish_scope) < 0)
		wrong(c, "invalid publish-scope \"%s\": it is any, lan, local or host-firewall", c->publish_scope);
	if (ip_parse(c->host_binding, &n->host_binding) < 0)
		wrong(c, "ip: \"%s\" is not an IP address", c->host_binding);
	need_ip_list(c, "dns", &c->dns);
	need_ip_list(c, "host-gateway-ip", &c->host_gateway_ip);
	n->dns = c->dns;
	n->host_gateway_ips = c->host_gateway_ip;
	n->ip_masq &= n->iptables;
}

static void digest_pools(struct config_daemon *c)
{
	struct pool *v = arena_new(&c->mem, struct pool, c->address_pools.n + 1);
	for (size_t i = 0; v && i < c->address_pools.n; i++) {
		char base[PREFIX_TEXT];
		int size, n = 0;
		const char *s = c->address_pools.v[i];
		struct prefix p;
		if (sscanf(s, "base=%51[^,],size=%d%n", base, &size, &n) != 2 || s[n] || prefix_parse(base, &p) < 0) {
			wrong(c, "invalid default address pool \"%s\": expected base=<subnet>,size=<prefix length>", s);
			continue;
		}
		if (size < p.len || size > (int)ip_bits(p.ip.family)) {
			wrong(c, "invalid default address pool \"%s\": size is a prefix length from %d to %u", s, p.len, ip_bits(p.ip.family));
			continue;
		}
		v[c->core.net.npools++] = (struct pool){.base = prefix_masked(&p), .size = (uint8_t)size};
	}
	c->core.net.pools = v;
	for (size_t i = 0; i < c->network_opts.n; i++) {
		const char *s = c->network_opts.v[i], *key = strchr(s, '='), *eq = key ? strchr(key + 1, '=') : NULL;
		char *name = eq ? arena_dupn(&c->mem, key + 1, (size_t)(eq - key - 1)) : NULL;
		if (!name || !str_starts(s, "bridge="))
			wrong(c, "invalid default network option \"%s\": expected bridge=<option>=<value>", s);
		else
			(void)kvs_set(&c->mem, &c->core.net.default_opts, name, eq + 1);
	}
}

static void digest_relay(struct config_daemon *c)
{
	const struct passwd *pw = c->relay_uid ? NULL : getpwnam(PONTOON_RELAY_USER);
	if (c->relay_uid < 0 || c->relay_uid > UINT32_MAX - 1)
		wrong(c, "invalid relay-uid: %lld", (long long)c->relay_uid);
	c->core.relay.uid = c->relay_uid ? (uid_t)c->relay_uid : pw && pw->pw_uid ? pw->pw_uid : PONTOON_RELAY_UID;
	c->core.relay.gid = pw && pw->pw_gid ? pw->pw_gid : (gid_t)c->core.relay.uid;
}

static void digest_lists(struct config_daemon *c)
{
	for (size_t i = 0; i < c->add_runtime.n; i++) {
		const char *eq = strchr(c->add_runtime.v[i], '=');
		char *name = arena_dup(&c->mem, c->add_runtime.v[i]);
		if (!eq || eq == c->add_runtime.v[i] || !eq[1] || !name) {
			wrong(c, "invalid runtime \"%s\": expected name=path", c->add_runtime.v[i]);
			continue;
		}
		name[eq - c->add_runtime.v[i]] = '\0';
		(void)kvs_set(&c->mem, &c->core.engine.runtimes, name, eq + 1);
	}
	for (size_t i = 0; i < c->labels.n; i++) {
		char *key = arena_dup(&c->mem, c->labels.v[i]), *eq = key ? strchr(key, '=') : NULL;
		if (eq)
			*eq = '\0';
		if (key)
			(void)kvs_set(&c->mem, &c->core.labels, key, eq ? eq + 1 : "");
	}
}

static void digest_logging(struct config_daemon *c)
{
	struct err e = {0};
	for (size_t i = 0; i < c->log_opts.n; i++) {
		const char *s = c->log_opts.v[i];
		size_t n = strcspn(s, "=");
		const char *key = arena_dupn(&c->mem, s, n);
		if (!n || !s[n])
			wrong(c, "invalid log option \"%s\": expected option=value", s);
		else if (key)
			(void)kvs_set(&c->mem, &c->core.log_opts, key, s + n + 1);
	}
	const struct host_config h = {.log_type = c->core.log_driver, .log_config_opts = c->core.log_opts};
	if (log_check(&h, &e) < 0)
		wrong(c, "failed to set log opts: %s", e.msg);
}

static void digest_mirrors(struct config_daemon *c)
{
	for (size_t i = 0; i < c->registry_mirrors.n; i++) {
		const char *mirror;
		struct err e = {0};
		if (mirror_parse(c->registry_mirrors.v[i], &c->mem, &mirror, &e) < 0)
			wrong(c, "%s", e.msg);
		else
			(void)strv_add(&c->mem, &c->core.registry_mirrors, mirror);
	}
}

int config_allow_plain(const struct config_daemon *c, const char *what, struct err *e)
{
	if (c->tls || c->plain_allowed)
		return 0;
	return err_as(e, ERR_INVALID, "%s: whoever reaches it over the network would be root on this host. Use --tlsverify with --tlscacert, --tlscert and --tlskey, or, if something else keeps "
		"others away from it, say so with --tls=false", what);
}

/* --tls alone asks for clients' certificates too: TLS by itself keeps nobody out. */
static void digest_hosts(struct config_daemon *c, enum given tls, enum given verify)
{
	const char *dir = getenv("DOCKER_CERT_PATH");
	struct err e = {0};
	if (str_empty(dir))
		dir = PONTOON_CERT_PATH;
	if (tls && !c->tls && c->tlsverify)
		wrong(c, "--tlsverify and --tls=false contradict each other");
	c->plain_allowed = tls && !c->tls;
	c->tls |= c->tlsverify;
	c->tls_clients = c->tls && (c->tlsverify || !verify);
	if (str_empty(c->tlscacert))
		c->tlscacert = arena_printf(&c->mem, "%s/ca.pem", dir);
	if (str_empty(c->tlscert))
		c->tlscert = arena_printf(&c->mem, "%s/cert.pem", dir);
	if (str_empty(c->tlskey))
		c->tlskey = arena_printf(&c->mem, "%s/key.pem", dir);
	struct host *v = arena_new(&c->mem, struct host, c->hosts.n + 1);
	for (size_t i = 0; v && i < c->hosts.n; i++) {
		struct host *h = &v[c->nlisten];
		if (host_parse(c->hosts.v[i], c->tls, &c->mem, h, &e) < 0 || (h->kind == HOST_TCP && config_allow_plain(c, c->hosts.v[i], &e) < 0))
			wrong(c, "%s", e.msg);
		else
			c->nlisten++;
	}
	c->listen = v;
	for (size_t i = 0; i < c->nlisten; i++)
		if (v[i].kind == HOST_TCP && !c->tls_clients)
			(void)strv_add(&c->mem, &c->core.open_hosts, arena_printf(&c->mem, "API is accessible on %s://%s:%s without %s.\n         Whoever reaches it is root on this host: see SECURITY in pontoond(8).",
				c->tls ? "https" : "http", v[i].name, v[i].port, c->tls ? "TLS client verification" : "encryption"));
}

static void absolute(struct config_daemon *c, const char *what, const char **path)
{
	char full[PATH_MAX];
	if (**path == '/')
		return;
	char *cwd = getcwd(full, sizeof(full));
	if (!cwd) {
		wrong(c, "%s: \"%s\" is not an absolute path", what, *path);
		return;
	}
	*path = arena_printf(&c->mem, "%s/%s", full, *path);
}

static enum given given_to(const enum given *given, const char *flag)
{
	return given[row_of_flag(flag, strlen(flag)) - rows];
}

/* The sockets that systemd passed, if there are any. The same at every reading: listen.c takes the variables away. */
static const char *default_host(void)
{
	static const char *host;
	const char *pid = getenv("LISTEN_PID");
	if (!host)
		host = pid && strtol(pid, NULL, 10) == (long)getpid() ? "fd://" : "unix://" PONTOON_DEFAULT_SOCKET;
	return host;
}

static void digest(struct config_daemon *c, const enum given *given)
{
	enum log_level level;
	absolute(c, "data-root", &c->core.data_root);
	absolute(c, "exec-root", &c->core.exec_root);
	if (!str_empty(c->pidfile))
		absolute(c, "pidfile", &c->pidfile);
	if (c->hosts.n == 0)
		(void)strv_add(&c->mem, &c->hosts, default_host());
	if (log_level_parse(c->log_level, &level) < 0)
		wrong(c, "invalid logging level: %s", c->log_level);
	c->core.net.nftables = streq(c->core.firewall_backend, "nftables");
	if (!c->core.net.nftables && !streq(c->core.firewall_backend, "iptables"))
		wrong(c, "invalid firewall-backend \"%s\": it is iptables or nftables", c->core.firewall_backend);
	if (c->core.max_downloads < 1)
		wrong(c, "invalid max concurrent downloads: %lld", (long long)c->core.max_downloads);
	if (c->core.max_uploads < 1)
		wrong(c, "invalid max concurrent uploads: %lld", (long long)c->core.max_uploads);
	if (c->shutdown_timeout < 0)
		wrong(c, "invalid shutdown-timeout: %lld", (long long)c->shutdown_timeout);
	c->core.shutdown_timeout = (int)c->shutdown_timeout;
	c->core.default_stop_timeout = 10;
	digest_network(c);
	digest_lists(c);
	digest_hosts(c, given_to(given, "--tls"), given_to(given, "--tlsverify"));
	c->group_set = given_to(given, "--group") != GIVEN_NOT;
	digest_pools(c);
	digest_relay(c);
	digest_logging(c);
	digest_mirrors(c);
	c->core.engine.data_root = c->core.data_root;
	c->core.engine.exec_root = c->core.exec_root;
}

int config_read(struct config_daemon *c, int argc, char **argv)
{
	enum given given[ARRAY_LEN(rows)] = {GIVEN_NOT};
	*c = (struct config_daemon){0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind < CONF_LIST)
			set(c, &rows[i], rows[i].key ? rows[i].key : rows[i].flag, rows[i].fallback);
	parse_args(c, argc, argv, given);
	if (!c->help && !c->version)
		parse_file(c, given, given_to(given, "--config-file") != GIVEN_NOT);
	digest(c, given);
	if (c->mem.bad)
		wrong(c, "out of memory");
	return c->errors.n ? -EINVAL : 0;
}

int config_compare(const struct config_daemon *a, const struct config_daemon *b, struct arena *mem, struct strv *live, struct strv *fixed)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf_row *r = &rows[i];
		const char *name = r->key ? r->key : r->flag;
		if (!streq(text_of(a, r, mem), text_of(b, r, mem)) && strv_add(mem, r->live ? live : fixed, name) < 0)
			return -ENOMEM;
	}
	return mem->bad ? -ENOMEM : 0;
}

void config_usage(struct buf *out)
{
	buf_puts(out, "Usage: pontoond [OPTIONS]\n\nContainer networks and containers, behind the Docker Engine API.\n\nOptions:\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char names[64];
		if (!rows[i].flag)
			continue;
		snprintf(names, sizeof(names), "%s%s%s%s", rows[i].alias ? rows[i].alias : "  ", rows[i].alias ? ", " : "  ", rows[i].flag,
			rows[i].kind == CONF_BOOL ? "" : rows[i].kind == CONF_INT ? " int" : rows[i].kind == CONF_LIST ? " list" : " string");
		buf_printf(out, "  %-32s %s", names, rows[i].help);
		if (!str_empty(rows[i].fallback) && !streq(rows[i].fallback, "false"))
			buf_printf(out, " (default %s)", rows[i].fallback);
		buf_putc(out, '\n');
	}
}

void config_free(struct config_daemon *c)
{
	arena_free(&c->mem);
}
