/* network_options: the driver options of a network, one row each: what a value may be and which field it is. */
#include "net/network_options.h"

#include <errno.h>
#include <limits.h>

#include "base/units.h"
#include "model/port.h"

static int option_bool(const char *s, void *out, const char **why)
{
	*why = "expected true or false";
	return units_parse_bool(s, out);
}

static int option_int(const char *s, void *out, const char **why)
{
	char *end;
	errno = 0;
	long v = strtol(s, &end, 10);
	*why = "expected a number";
	if (errno || end == s || *end || v > INT_MAX || v < INT_MIN)
		return -EINVAL;
	*(int *)out = (int)v;
	return 0;
}

static int option_mode(const char *s, void *out, const char **why)
{
	static const char *const names[] = {[GW_NAT] = "nat",
		[GW_NAT_UNPROTECTED] = "nat-unprotected",
		[GW_ROUTED] = "routed",
		[GW_ISOLATED] = "isolated"};
	static_assert(ARRAY_LEN(names) == GW_MODE_N, "names[] is missing a mode");
	for (int i = 0; i < GW_MODE_N; i++) {
		if (streq(s, names[i])) {
			*(enum gw_mode *)out = (enum gw_mode)i;
			return 0;
		}
	}
	*why = "unknown gateway mode";
	return -EINVAL;
}

static int option_ip4(const char *s, void *out, const char **why)
{
	*why = "expected an IPv4 address";
	return ip_parse(s, out) < 0 || ((struct ip *)out)->family != AF_INET ? -EINVAL : 0;
}

static int option_ip6(const char *s, void *out, const char **why)
{
	*why = "expected an IPv6 address";
	return ip_parse(s, out) < 0 || ((struct ip *)out)->family != AF_INET6 ? -EINVAL : 0;
}

static int option_device(const char *s, void *out, const char **why)
{
	*why = "a device name has " DEVICE_NAME_RULE;
	return device_name_ok(s) && str_copy(out, IFNAME, s) ? 0 : -EINVAL;
}

static int option_prefix(const char *s, void *out, const char **why)
{
	(void)out;
	*why = "an interface prefix has 1 to 13 letters, digits, \"_\", \"-\" or \".\", the first one no \"-\" or \".\"";
	char name[IFNAME];
	int n = snprintf(name, sizeof(name), "%s10", s); /* as the names that are made of it; "lo" becomes lo0, and none at all is Docker's word for its own "eth" */
	return n < 0 || (size_t)n >= sizeof(name) || !device_name_ok(name) ? -EINVAL : 0;
}

/* "Any driver" in Docker: also where nobody announces. */
static int option_range(const char *s, long from, long to, const char **why)
{
	int v;
	if (option_int(s, &v, why) < 0)
		return -EINVAL;
	*why = NULL;
	return v < from || v > to ? -ERANGE : 0;
}

static int option_announcements(const char *s, void *out, const char **why)
{
	(void)out;
	return option_range(s, 0, 3, why);
}

static int option_pause(const char *s, void *out, const char **why)
{
	(void)out;
	return option_range(s, 100, 2000, why);
}

static int option_devices(const char *s, void *out, const char **why)
{
	(void)out;
	*why = "expected interface names, separated by colons, each of " DEVICE_NAME_RULE;
	while (*s) {
		char one[IFNAME];
		size_t n = strcspn(s, ":");
		if (n >= IFNAME)
			return -EINVAL;
		snprintf(one, sizeof(one), "%.*s", (int)n, s);
		s += n;
		if (!device_name_ok(one) || (*s && !*++s))
			return -EINVAL;
	}
	return 0;
}

/* An address of either family, in spite of the option's name. Read where ports are published. */
static int option_binding(const char *s, void *out, const char **why)
{
	struct ip ip;
	(void)out;
	*why = "expected an IP address";
	return ip_parse(s, &ip);
}

static int option_scope(const char *s, void *out, const char **why)
{
	enum port_scope scope;
	(void)out;
	*why = "one of any, lan, local, host-firewall";
	return port_scope_parse(s, &scope);
}

#define N(m) offsetof(struct network, m)
static const struct option {
	const char *name;
	int (*read)(const char *s, void *out, const char **why);
	size_t off;
} options[] = {
	{OPT_BRIDGE_NAME, option_device, N(bridge)},
	{"com.docker.network.bridge.enable_icc", option_bool, N(icc)},
	{"com.docker.network.bridge.enable_ip_masquerade", option_bool, N(masquerade)},
	{"com.docker.network.bridge.inhibit_ipv4", option_bool, N(inhibit_v4)},
	{"com.docker.network.bridge.gateway_mode_ipv4", option_mode, N(gw_mode4)},
	{"com.docker.network.bridge.gateway_mode_ipv6", option_mode, N(gw_mode6)},
	{"com.docker.network.bridge.host_binding_ipv4", option_binding, 0},
	{"com.docker.network.driver.mtu", option_int, N(mtu)},
	{"com.docker.network.container_iface_prefix", option_prefix, 0},
	{"com.docker.network.host_ipv4", option_ip4, N(snat4)},
	{"com.docker.network.host_ipv6", option_ip6, N(snat6)},
	{PUBLISH_SCOPE, option_scope, 0},
	{NETWORK_TRUSTED, option_devices, 0},
	{NETWORK_ANNOUNCEMENTS, option_announcements, 0},
	{NETWORK_PAUSE, option_pause, 0},
	{OPT_ENABLE_V4, option_bool, N(enable_v4)},
	{OPT_ENABLE_V6, option_bool, N(enable_v6)},
};

int network_options_apply(struct network *n, const struct kvs *given, struct err *e)
{
	for (size_t k = 0; k < given->n; k++) {
		for (size_t i = 0; i < ARRAY_LEN(options); i++) {
			const char *name = given->v[k].key, *value = given->v[k].value, *why = "";
			if (!streq(options[i].name, name))
				continue;
			if (*value == '\0' && options[i].read == option_device)
				continue; /* no name asked for */
			int r = options[i].read(value, (char *)n + options[i].off, &why);
			if (r == -ERANGE)
				return err_set(e, r, "%s must be in the range %s", name, options[i].read == option_pause ? "100 to 2000" : "0 to 3");
			if (r < 0)
				return err_as(e, ERR_INVALID, "failed to parse %s value: %s (%s%s%s)", name, value, why,
					options[i].read == option_mode ? " " : "",
					options[i].read == option_mode ? value : "");
		}
	}
	return 0;
}
