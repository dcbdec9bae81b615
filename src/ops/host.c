#include "ops/host.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/fd.h"

#define HOST_RESOLVERS_MAX 16
#define HOST_FILE_MAX (256u << 10) /* resolv.conf and hosts of a host; more is not read */

static const char *file_text(struct arena *a, const char *path)
{
	OWN(own_buf) struct buf b = {0};
	if (read_file(path, HOST_FILE_MAX, &b, NULL) < 0)
		return "";
	return arena_dup(a, buf_str(&b));
}

/* systemd-resolved's stub listens on the host's loopback only: its real list is elsewhere (facts/docker.md 1.13). */
static bool only_stub(const char *text)
{
	size_t servers = 0, stub = 0;
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char addr[64];
		if (sscanf(p, " nameserver %63s", addr) != 1)
			continue;
		servers++;
		stub += streq(addr, "127.0.0.53");
	}
	return servers && servers == stub;
}

/* The 40 bits that RFC 4193 wants random: the daemon's own id is. */
static struct prefix ula_of(const char *id)
{
	struct prefix p = {.ip = {.family = AF_INET6, .b = {0xfd}}, .len = 48};
	for (size_t i = 0; i < 5; i++) {
		char byte[3] = {id[2 * i], id[2 * i + 1], '\0'};
		p.ip.b[1 + i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return p;
}

/* Links that servers of resolv.conf are on: "nameserver fe80::1%eth0". */
static int read_zones(struct arena *a, const char *text, struct kvs *out)
{
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char zone[IFNAME], number[16];
		unsigned index;
		if (sscanf(p, " nameserver %*[^ \t%%]%%%15s", zone) != 1 || !(index = if_nametoindex(zone)))
			continue;
		snprintf(number, sizeof(number), "%u", index);
		if (kvs_set(a, out, zone, number) < 0)
			return -ENOMEM;
	}
	return 0;
}

int host_facts(struct core *c, struct arena *a, struct netconf *out, struct err *e)
{
	struct utsname uts;
	struct netconf n = c->conf->net;
	n.policy_drop = c->policy_drop;
	n.policy_drop6 = c->policy_drop6;
	if (strlen(c->id) == ID_TEXT - 1)
		n.ula = ula_of(c->id);
	if (uname(&uts) < 0)
		return err_errno(e, -errno, "uname");
	n.hostname = arena_dup(a, uts.nodename);
	n.host_resolv_path = str_empty(c->conf->resolv_conf) ? "/etc/resolv.conf" : c->conf->resolv_conf;
	n.host_resolv = file_text(a, n.host_resolv_path);
	if (str_empty(c->conf->resolv_conf) && n.host_resolv && only_stub(n.host_resolv) && access(HOST_RESOLVED, R_OK) == 0) {
		n.host_resolv_path = HOST_RESOLVED;
		n.host_resolv = file_text(a, HOST_RESOLVED);
	}
	n.host_hosts = file_text(a, "/etc/hosts");
	if (a->bad || read_zones(a, n.host_resolv, &n.host_zones) < 0)
		return err_nomem(e);
	*out = n;
	return 0;
}

int host_routes(struct core *c, struct arena *a, struct netconf *conf, struct err *e)
{
	struct prefix *routes;
	size_t n;
	try(kernel_host_routes(c->kernel, a, &routes, &n, e));
	struct prefix *v = arena_new(a, struct prefix, n + HOST_RESOLVERS_MAX);
	if (!v)
		return err_nomem(e);
	if (n)
		memcpy(v, routes, n * sizeof(*v));
	size_t most = n + HOST_RESOLVERS_MAX;
	for (const char *p = conf->host_resolv; p && *p && n < most; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char addr[64];
		struct ip ip;
		if (sscanf(p, " nameserver %63s", addr) == 1 && ip_parse(addr, &ip) >= 0)
			v[n++] = (struct prefix){.ip = ip, .len = (uint8_t)ip_bits(ip.family)};
	}
	conf->host_routes = v;
	conf->nhost_routes = n;
	conf->routes_unasked = false;
	return 0;
}

static void own_map(struct map *m)
{
	map_free(m);
}

int host_addrs(struct core *c, const struct world *w, struct arena *a, struct netconf *conf, struct err *e)
{
	OWN(own_map) struct map ours = {0};
	const struct network *n;
	struct host_addr *v;
	size_t all;
	if (!world_limited_ports(w))
		return 0;
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));)
		if (map_puts(&ours, n->bridge, (void *)(uintptr_t)n) < 0)
			return err_nomem(e);
	try(kernel_host_addrs(c->kernel, a, &v, &all, e));
	conf->addrs = v;
	conf->naddrs = 0;
	for (size_t i = 0; i < all; i++)
		if (!ip_is_linklocal(&v[i].addr.ip) && !map_gets(&ours, v[i].link))
			v[conf->naddrs++] = v[i];
	return 0;
}

int host_boot_id(char out[static 40], struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	try(read_file("/proc/sys/kernel/random/boot_id", 64, &b, e));
	str_copy(out, 40, buf_str(&b));
	out[strcspn(out, "\n")] = '\0';
	return 0;
}
