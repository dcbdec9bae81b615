/* What the command line and the file say, as text, becomes what the daemon runs with. */
#include "daemon/config_int.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/limits.h"
#include "base/paths.h"
#include "base/units.h"
#include "daemon/mirror.h"
#include "engine/seccomp_profile.h"
#include "model/logging.h"
#include "model/ulimit.h"

static void need_ip_list(struct config_daemon *c, const char *what, const struct strv *l)
{
	struct ip ip;
	for (size_t i = 0; i < l->n; i++)
		if (ip_parse(l->v[i], &ip) < 0)
			config_wrong(c, "%s: \"%s\" is not an IP address", what, l->v[i]);
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
		config_wrong(c, "invalid firewall mark \"%s\": expected mark[/mask], numbers of 32 bits with no bit of the mark outside of the mask", s);
		return "";
	}
	return mask == UINT32_MAX ? arena_printf(&c->mem, "0x%lx", mark) : arena_printf(&c->mem, "0x%lx/0x%lx", mark, mask);
}

static void need_prefix(struct config_daemon *c, const char *what, const char *s, uint8_t family, const char *example, struct prefix *out)
{
	const char *kind = family == AF_INET6 ? "an IPv6" : "an IPv4";
	if (!str_empty(s) && (prefix_parse(s, out) < 0 || out->ip.family != family))
		config_wrong(c, "%s: \"%s\" is not %s %s", what, s, kind, example);
}

static void need_ip(struct config_daemon *c, const char *what, const char *s, uint8_t family, struct ip *out)
{
	if (!str_empty(s) && (ip_parse(s, out) < 0 || out->family != family))
		config_wrong(c, "%s: \"%s\" is not an %s address", what, s, family == AF_INET6 ? "IPv6" : "IPv4");
}

/* The default bridge's own settings. */
static void digest_bridge(struct config_daemon *c, struct netconf *n)
{
	if (!str_empty(c->bridge) && (!str_empty(c->bip) || !str_empty(c->bip6)))
		config_wrong(c, "you specified -b & --bip, mutually exclusive options. Please specify only one");
	need_prefix(c, "bip", c->bip, AF_INET, "address with a mask, such as 172.17.0.1/16", &n->bip);
	need_prefix(c, "bip6", c->bip6, AF_INET6, "address with a mask, such as fd00:17::1/64", &n->bip6);
	need_prefix(c, "fixed-cidr", c->fixed_cidr, AF_INET, "subnet, such as 172.17.1.0/24", &n->fixed_cidr);
	need_prefix(c, "fixed-cidr-v6", c->fixed_cidr6, AF_INET6, "subnet, such as fd00:17::/64", &n->fixed_cidr6);
	need_ip(c, "default-gateway", c->default_gateway, AF_INET, &n->default_gateway);
	need_ip(c, "default-gateway-v6", c->default_gateway6, AF_INET6, &n->default_gateway6);
	if (c->mtu < 0 || (c->mtu > 0 && c->mtu < 68) || c->mtu > 65535)
		config_wrong(c, "invalid MTU number: %lld (68 to 65535, or 0 for the default)", (long long)c->mtu);
	else if (c->mtu && c->mtu < 1280 && n->ipv6)
		config_wrong(c, "invalid MTU number: %lld (IPv6 needs 1280)", (long long)c->mtu);
	n->mtu = (int)c->mtu;
	if (!n->icc && (!n->iptables || (n->ipv6 && !n->ip6tables)))
		config_wrong(c, "you specified --ip%stables=false with --icc=false. ICC=false uses ip%stables to function. Please set --icc or --ip%stables to true", n->iptables ? "6" : "",
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
			config_wrong(c, "bridge: \"%s\" is no name of a device: " DEVICE_NAME_RULE, c->bridge);
		n->bridge = c->bridge;
	}
	digest_bridge(c, n);
	n->accept_mark = str_empty(c->accept_mark) ? "" : read_mark(c, c->accept_mark);
	n->no_raw = no_raw && streq(no_raw, "1");
	if (port_scope_parse(c->publish_scope, &n->publish_scope) < 0)
		config_wrong(c, "invalid publish-scope \"%s\": it is any, lan, local or host-firewall", c->publish_scope);
	if (ip_parse(c->host_binding, &n->host_binding) < 0)
		config_wrong(c, "ip: \"%s\" is not an IP address", c->host_binding);
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
			config_wrong(c, "invalid default address pool \"%s\": expected base=<subnet>,size=<prefix length>", s);
			continue;
		}
		if (size < p.len || size > (int)ip_bits(p.ip.family)) {
			config_wrong(c, "invalid default address pool \"%s\": size is a prefix length from %d to %u", s, p.len, ip_bits(p.ip.family));
			continue;
		}
		v[c->core.net.npools++] = (struct pool){.base = prefix_masked(&p), .size = (uint8_t)size};
	}
	c->core.net.pools = v;
	for (size_t i = 0; i < c->network_opts.n; i++) {
		const char *s = c->network_opts.v[i], *key = strchr(s, '='), *eq = key ? strchr(key + 1, '=') : NULL;
		char *name = eq ? arena_dupn(&c->mem, key + 1, (size_t)(eq - key - 1)) : NULL;
		if (!name || !str_starts(s, "bridge="))
			config_wrong(c, "invalid default network option \"%s\": expected bridge=<option>=<value>", s);
		else
			(void)kvs_set(&c->mem, &c->core.net.default_opts, name, eq + 1);
	}
}

static void digest_relay(struct config_daemon *c)
{
	const struct passwd *pw = c->relay_uid ? NULL : getpwnam(PONTOON_RELAY_USER);
	if (c->relay_uid < 0 || c->relay_uid > UINT32_MAX - 1)
		config_wrong(c, "invalid relay-uid: %lld", (long long)c->relay_uid);
	c->core.relay.uid = c->relay_uid ? (uid_t)c->relay_uid : pw && pw->pw_uid ? pw->pw_uid : PONTOON_RELAY_UID;
	c->core.relay.gid = pw && pw->pw_gid ? pw->pw_gid : (gid_t)c->core.relay.uid;
}

static void digest_lists(struct config_daemon *c)
{
	for (size_t i = 0; i < c->add_runtime.n; i++) {
		const char *eq = strchr(c->add_runtime.v[i], '=');
		char *name = arena_dup(&c->mem, c->add_runtime.v[i]);
		if (!eq || eq == c->add_runtime.v[i] || !eq[1] || !name) {
			config_wrong(c, "invalid runtime \"%s\": expected name=path", c->add_runtime.v[i]);
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
	struct kvs all = {0};
	for (size_t i = 0; i < c->log_opts.n; i++) {
		const char *s = c->log_opts.v[i];
		size_t n = strcspn(s, "=");
		const char *key = arena_dupn(&c->mem, s, n);
		if (!n || !s[n])
			config_wrong(c, "invalid log option \"%s\": expected option=value", s);
		else if (key)
			(void)kvs_set(&c->mem, &all, key, s + n + 1);
	}
	const struct host_config h = {.log_type = c->core.log_driver, .log_config_opts = all};
	if (!log_driver_is_known(c->core.log_driver))
		config_wrong(c, "log-driver: Pontoon has json-file, local, journald and none, not \"%s\". The journal can pass logs on", c->core.log_driver);
	else if (log_check(&h, &e) < 0)
		config_wrong(c, "failed to set log opts: %s", e.msg);
	for (size_t i = 0; i < all.n; i++) {
		const char *why = log_wish(all.v[i].key, all.v[i].value);
		if (why) /* said here once, and not of every container */
			(void)strv_add(&c->mem, &c->passed_over, arena_printf(&c->mem, "log-opts: %s is passed over: %s", all.v[i].key, why));
		else
			(void)kvs_set(&c->mem, &c->core.log_opts, all.v[i].key, all.v[i].value);
	}
}

/* "http://host:port" is meant as "host:port": what else would it be. */
static void digest_insecure(struct config_daemon *c)
{
	struct strv *l = &c->core.insecure_registries;
	for (size_t i = 0; i < l->n; i++) {
		struct prefix subnet;
		const char *s = l->v[i], *host = str_starts(s, "http://") ? s + 7 : str_starts(s, "https://") ? s + 8 : s;
		size_t n = strlen(host);
		if (host != s && n && host[n - 1] == '/')
			host = arena_dupn(&c->mem, host, n - 1);
		if (!host || !*host || strpbrk(host, " \t@?#") || (strchr(host, '/') && prefix_parse(host, &subnet) < 0))
			config_wrong(c, "insecure-registries: \"%s\" is neither host, host:port nor a subnet", s);
		l->v[i] = host;
	}
}

static void digest_mirrors(struct config_daemon *c)
{
	for (size_t i = 0; i < c->registry_mirrors.n; i++) {
		const char *mirror;
		struct err e = {0};
		if (mirror_parse(c->registry_mirrors.v[i], &c->mem, &mirror, &e) < 0)
			config_wrong(c, "%s", e.msg);
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
		config_wrong(c, "--tlsverify and --tls=false contradict each other");
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
			config_wrong(c, "%s", e.msg);
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
		config_wrong(c, "%s: \"%s\" is not an absolute path", what, *path);
		return;
	}
	*path = arena_printf(&c->mem, "%s/%s", full, *path);
}

/* The size is kept as the text that it came as, for SIGHUP's comparison. */
static void digest_fallback(struct config_daemon *c)
{
	struct spec_fallback *f = &c->core.fallback;
	struct ulimit *v = arena_new(&c->mem, struct ulimit, c->ulimits.n + 1);
	struct json_vec *l = &f->ulimits;
	struct err e = {0};
	l->v = v;
	for (size_t i = 0; v && i < c->ulimits.n; i++) {
		if (ulimit_parse(c->ulimits.v[i], &c->mem, &v[l->n], &e) < 0) {
			config_wrong(c, "default-ulimits: %s", e.msg);
			continue;
		}
		struct ulimit *same = (struct ulimit *)(uintptr_t)ulimit_find(l, v[l->n].name);
		if (same)
			*same = v[l->n];
		else
			l->n++;
	}
	if (units_parse_bytes(c->shm_size, &f->shm_size) < 0 || f->shm_size <= 0)
		config_wrong(c, "default-shm-size: \"%s\" is no size such as 64m", c->shm_size);
	if (!streq(f->ipc_mode, "private") && !streq(f->ipc_mode, "shareable"))
		config_wrong(c, "default-ipc-mode: \"%s\" is neither private nor shareable", f->ipc_mode);
	if (!str_empty(f->cgroupns_mode) && !streq(f->cgroupns_mode, "private") && !streq(f->cgroupns_mode, "host"))
		config_wrong(c, "default-cgroupns-mode: \"%s\" is neither private nor host", f->cgroupns_mode);
}

static void digest_seccomp(struct config_daemon *c)
{
	OWN(own_buf) struct buf text = {0};
	OWN(own_json) json_t *j = NULL, *none = json_array(), *profile = NULL;
	struct err e = {0};
	const char *path = c->core.seccomp_path, **out = &c->core.engine.seccomp_profile;
	*out = "";
	if (str_empty(path) || streq(path, "builtin"))
		return;
	if (streq(path, "unconfined")) {
		*out = path;
		return;
	}
	if (read_file(path, SECCOMP_PROFILE_MAX, &text, &e) >= 0 && json_parse(buf_str(&text), text.len, &j, &e) >= 0)
		profile = seccomp_profile(j, none, &e);
	if (!profile)
		config_wrong(c, "seccomp-profile: %s: %s", path, e.msg);
	*out = arena_dup(&c->mem, buf_str(&text));
}

/* What there is one way of here. */
static void digest_one_way(struct config_daemon *c)
{
	if (!str_empty(c->storage_driver) && !streq(c->storage_driver, "overlay2"))
		config_wrong(c, "storage-driver: Pontoon has overlay2 only, not \"%s\": take it out. Images come over with docker save and pontoon load", c->storage_driver);
	for (size_t i = 0; i < c->storage_opts.n; i++) {
		const char *s = c->storage_opts.v[i];
		if (!str_starts(s, "overlay2.override_kernel_check="))
			config_wrong(c, "storage-opts: Pontoon has no \"%s\", only overlay2.override_kernel_check: take it out%s", s,
				str_starts(s, "overlay2.size=") ? "; how much a container writes is not bounded then" : "");
	}
	for (size_t i = 0; i < c->exec_opts.n; i++) {
		const char *s = c->exec_opts.v[i];
		if (streq(s, "native.cgroupdriver=systemd")) /* limits are the same whoever makes the groups */
			(void)strv_add(&c->mem, &c->passed_over, arena_printf(&c->mem, "exec-opts: %s is passed over: containers' cgroups are made below cgroup-parent, and systemd has no part in it", s));
		else if (!streq(s, "native.cgroupdriver=cgroupfs"))
			config_wrong(c, "exec-opts: Pontoon has native.cgroupdriver=cgroupfs only, not \"%s\": take it out", s);
	}
	if (c->oom_score < -1000 || c->oom_score > 1000)
		config_wrong(c, "invalid oom-score-adjust: %lld (-1000 to 1000)", (long long)c->oom_score);
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

void config_digest(struct config_daemon *c, const enum given *given)
{
	enum log_level level;
	absolute(c, "data-root", &c->core.data_root);
	absolute(c, "exec-root", &c->core.exec_root);
	if (!str_empty(c->pidfile))
		absolute(c, "pidfile", &c->pidfile);
	if (c->hosts.n == 0)
		(void)strv_add(&c->mem, &c->hosts, default_host());
	if (log_level_parse(c->log_level, &level) < 0)
		config_wrong(c, "invalid logging level: %s", c->log_level);
	c->core.net.nftables = streq(c->core.firewall_backend, "nftables");
	if (!c->core.net.nftables && !streq(c->core.firewall_backend, "iptables"))
		config_wrong(c, "invalid firewall-backend \"%s\": it is iptables or nftables", c->core.firewall_backend);
	if (c->core.max_downloads < 1)
		config_wrong(c, "invalid max concurrent downloads: %lld", (long long)c->core.max_downloads);
	if (c->core.max_uploads < 1)
		config_wrong(c, "invalid max concurrent uploads: %lld", (long long)c->core.max_uploads);
	if (c->core.max_attempts < 1 || c->core.max_attempts > LIMIT_ATTEMPTS)
		config_wrong(c, "invalid max download attempts: %lld (1 to %d)", (long long)c->core.max_attempts, LIMIT_ATTEMPTS);
	if (c->shutdown_timeout < 0)
		config_wrong(c, "invalid shutdown-timeout: %lld", (long long)c->shutdown_timeout);
	c->core.shutdown_timeout = (int)c->shutdown_timeout;
	c->core.default_stop_timeout = 10;
	digest_network(c);
	digest_lists(c);
	digest_hosts(c, config_given(given, "--tls"), config_given(given, "--tlsverify"));
	c->group_set = config_given(given, "--group") != GIVEN_NOT;
	digest_pools(c);
	digest_relay(c);
	digest_logging(c);
	digest_mirrors(c);
	digest_insecure(c);
	digest_fallback(c);
	digest_seccomp(c);
	digest_one_way(c);
	c->oom_score_set = config_given(given, "--oom-score-adjust") != GIVEN_NOT;
	c->core.engine.data_root = c->core.data_root;
	c->core.engine.exec_root = c->core.exec_root;
}
