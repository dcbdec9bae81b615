/* The options of pontoond, one row each. */
#include "daemon/config_int.h"

#include <string.h>

#include "base/paths.h"

#define C(m) offsetof(struct config_daemon, m)
const struct conf_row conf_rows[] = {
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
	{"--default-cgroupns-mode", NULL, "default-cgroupns-mode", CONF_STR, C(core.fallback.cgroupns_mode), "", "cgroup namespace of containers: private or host (default private with cgroup v2, host with v1)", true},
	{"--default-gateway", NULL, "default-gateway", CONF_STR, C(default_gateway), "", "IPv4 gateway of containers on the default bridge"},
	{"--default-gateway-v6", NULL, "default-gateway-v6", CONF_STR, C(default_gateway6), "", "IPv6 gateway of containers on the default bridge"},
	{"--default-ipc-mode", NULL, "default-ipc-mode", CONF_STR, C(core.fallback.ipc_mode), "private", "IPC namespace of containers: private or shareable", true},
	{"--default-network-opt", NULL, "default-network-opts", CONF_LIST, C(network_opts), "", "option of new networks, bridge=com.docker.network.driver.mtu=1400"},
	{"--default-runtime", NULL, "default-runtime", CONF_STR, C(core.engine.default_runtime), "", "OCI runtime: crun, runc or one of --add-runtime", true},
	{"--default-shm-size", NULL, "default-shm-size", CONF_STR, C(shm_size), "64m", "size of /dev/shm in containers", true},
	{"--default-ulimit", NULL, "default-ulimits", CONF_LIST, C(ulimits), "", "limit of containers that set none of its kind, nofile=1024:2048", true},
	{"--dns", NULL, "dns", CONF_LIST, C(dns), "", "DNS server for containers"},
	{"--dns-opt", NULL, "dns-opts", CONF_LIST, C(core.net.dns_options), "", "DNS option for containers"},
	{"--dns-search", NULL, "dns-search", CONF_LIST, C(core.net.dns_search), "", "DNS search domain for containers"},
	{"--exec-opt", NULL, "exec-opts", CONF_LIST, C(exec_opts), "", "native.cgroupdriver=cgroupfs, which is the only one"},
	{"--exec-root", NULL, "exec-root", CONF_STR, C(core.exec_root), PONTOON_EXEC_ROOT, "run-time state"},
	{"--firewall-backend", NULL, "firewall-backend", CONF_STR, C(core.firewall_backend), "iptables", "firewall backend: iptables or nftables"},
	{"--fixed-cidr", NULL, "fixed-cidr", CONF_STR, C(fixed_cidr), "", "part of the default bridge's subnet that addresses are taken from"},
	{"--fixed-cidr-v6", NULL, "fixed-cidr-v6", CONF_STR, C(fixed_cidr6), "", "IPv6 subnet of the default bridge, or part of it that addresses are taken from"},
	{"--group", "-G", "group", CONF_STR, C(group), "pontoon", "group of the unix socket"},
	{"--help", "-h", NULL, CONF_BOOL, C(help), "false", "print this text"},
	{"--host", "-H", "hosts", CONF_LIST, C(hosts), "", "where to listen: unix://PATH, tcp://HOST:PORT, fd:// (repeatable)"},
	{"--host-gateway-ip", NULL, "host-gateway-ips", CONF_LIST, C(host_gateway_ip), "", "what host-gateway in --add-host means"},
	{"--http-proxy", NULL, "http-proxy", CONF_STR, C(http_proxy), "", "proxy to registries without TLS, instead of $http_proxy"},
	{"--https-proxy", NULL, "https-proxy", CONF_STR, C(https_proxy), "", "proxy to registries, instead of $https_proxy"},
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
	{"--max-download-attempts", NULL, "max-download-attempts", CONF_INT, C(core.max_attempts), "5", "attempts at a layer whose transfer breaks off", true},
	{"--mtu", NULL, "mtu", CONF_INT, C(mtu), "0", "MTU of the default bridge"},
	{"--no-new-privileges", NULL, "no-new-privileges", CONF_BOOL, C(core.fallback.no_new_privileges), "false", "new containers gain no privileges by set-user-ID programs"},
	{"--no-proxy", NULL, "no-proxy", CONF_STR, C(no_proxy), "", "registries that are reached without a proxy, instead of $no_proxy"},
	{"--oom-score-adjust", NULL, "oom-score-adjust", CONF_INT, C(oom_score), NULL, "oom_score_adj of the daemon (default: as it is started)"},
	{"--publish-scope", NULL, "publish-scope", CONF_STR, C(publish_scope), "any", "whom published ports serve: any, lan, local or host-firewall; a network or a container may say otherwise"},
	{"--pidfile", "-p", "pidfile", CONF_STR, C(pidfile), PONTOON_PIDFILE, "file for the daemon's process id"},
	{"--registry-mirror", NULL, "registry-mirrors", CONF_LIST, C(registry_mirrors), "", "registry that is asked for images of Docker Hub first, https://host:port", true},
	{"--relay-program", NULL, "relay-program", CONF_STR, C(core.relay.program), "", "path of pontoon-relay"},
	{"--relay-uid", NULL, "relay-uid", CONF_INT, C(relay_uid), "0", "user and group id of pontoon-relay (0: the user pontoon-relay)"},
	{NULL, NULL, "resolv-conf", CONF_STR, C(core.resolv_conf), "", NULL},
	{NULL, NULL, "runtimes", CONF_KV, C(core.engine.runtimes), "", NULL, true},
	{"--seccomp-profile", NULL, "seccomp-profile", CONF_STR, C(core.seccomp_path), "", "file with the system call filter of containers; builtin, unconfined"},
	{"--shutdown-timeout", NULL, "shutdown-timeout", CONF_INT, C(shutdown_timeout), "15", "seconds that containers get at shutdown", true},
	{"--storage-driver", "-s", "storage-driver", CONF_STR, C(storage_driver), "overlay2", "overlay2, which is the only one"},
	{"--storage-opt", NULL, "storage-opts", CONF_LIST, C(storage_opts), "", "option of it: overlay2.override_kernel_check"},
	{"--take-down", NULL, NULL, CONF_BOOL, C(take_down), "false", "remove docker0, all other bridges and the firewall rules, and exit: not while containers run"},
	{"--tls", NULL, "tls", CONF_BOOL, C(tls), "false", "TLS on TCP sockets; --tls=false allows them without"},
	{"--tlscacert", NULL, "tlscacert", CONF_STR, C(tlscacert), "", "authority of the clients' certificates (default /etc/pontoon/ca.pem)"},
	{"--tlscert", NULL, "tlscert", CONF_STR, C(tlscert), "", "certificate of the daemon (default /etc/pontoon/cert.pem)"},
	{"--tlskey", NULL, "tlskey", CONF_STR, C(tlskey), "", "its key (default /etc/pontoon/key.pem)"},
	{"--tlsverify", NULL, "tlsverify", CONF_BOOL, C(tlsverify), "false", "TLS on TCP sockets, and clients must show a certificate"},
	{"--userland-proxy", NULL, "userland-proxy", CONF_BOOL, C(core.net.userland_proxy), "true", "pontoon-relay leads to published ports what NAT cannot"},
	{"--validate", "-n", NULL, CONF_BOOL, C(validate), "false", "check the configuration and exit"},
	{"--version", "-v", NULL, CONF_BOOL, C(version), "false", "print the version and exit"},
};
const size_t conf_nrows = ARRAY_LEN(conf_rows);
static_assert(ARRAY_LEN(conf_rows) <= CONF_ROWS, "CONF_ROWS is too small");

const struct conf_row *conf_of_flag(const char *arg, size_t len)
{
	static const char old[] = "--graph", now[] = "--data-root";
	if (len == strlen(old) && strncmp(arg, old, len) == 0) {
		arg = now;
		len = strlen(now);
	}
	for (size_t i = 0; i < conf_nrows; i++) {
		const char *names[] = {conf_rows[i].flag, conf_rows[i].alias};
		for (size_t k = 0; k < 2; k++)
			if (names[k] && strlen(names[k]) == len && strncmp(names[k], arg, len) == 0)
				return &conf_rows[i];
	}
	return NULL;
}

const struct conf_row *conf_of_key(const char *key)
{
	for (size_t i = 0; i < conf_nrows; i++)
		if (conf_rows[i].key && streq(conf_rows[i].key, key))
			return &conf_rows[i];
	return NULL;
}

enum given config_given(const enum given *given, const char *flag)
{
	return given[conf_of_flag(flag, strlen(flag)) - conf_rows];
}

void config_usage(struct buf *out)
{
	buf_puts(out, "Usage: pontoond [OPTIONS]\n\nContainer networks and containers, behind the Docker Engine API.\n\nOptions:\n");
	for (size_t i = 0; i < conf_nrows; i++) {
		char names[64];
		if (!conf_rows[i].flag)
			continue;
		snprintf(names, sizeof(names), "%s%s%s%s", conf_rows[i].alias ? conf_rows[i].alias : "  ", conf_rows[i].alias ? ", " : "  ", conf_rows[i].flag,
			conf_rows[i].kind == CONF_BOOL ? "" : conf_rows[i].kind == CONF_INT ? " int" : conf_rows[i].kind == CONF_LIST ? " list" : " string");
		buf_printf(out, "  %-32s %s", names, conf_rows[i].help);
		if (!str_empty(conf_rows[i].fallback) && !streq(conf_rows[i].fallback, "false"))
			buf_printf(out, " (default %s)", conf_rows[i].fallback);
		buf_putc(out, '\n');
	}
}

