/* What can be judged of a request without looking at anything else, in Docker's words. The order is dockerd's, since
 * only the first complaint is seen. */
#include "base/units.h"
#include "model/logging.h"
#include "model/spec_check.h"

#include "model/port_edit.h"

#include <string.h>
#include <strings.h>

#include "model/port.h"

#define HOSTNAME_MOST 64       /* what the kernel takes */
#define DURATION_LEAST 1000000 /* of health checks: 1 ms in ns */

static const char *const capabilities[] = {"AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF",
	"CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER",
	"KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN",
	"SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE",
	"SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"};

int check_warn(struct check *c, const char *text, struct err *e)
{
	return strv_add(c->a, c->warnings, text) < 0 ? err_nomem(e) : 0;
}

static int check_caps(const char *list, const struct strv *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *name = strncasecmp(l->v[i], "CAP_", 4) == 0 ? l->v[i] + 4 : l->v[i];
		char upper[64];
		size_t n = 0;
		bool known = strcasecmp(l->v[i], "ALL") == 0;
		for (size_t k = 0; !known && k < ARRAY_LEN(capabilities); k++)
			known = strcasecmp(name, capabilities[k]) == 0;
		if (known)
			continue;
		for (; name[n] && n < sizeof(upper) - 1; n++)
			upper[n] = name[n] >= 'a' && name[n] <= 'z' ? (char)(name[n] - 'a' + 'A') : name[n];
		upper[n] = '\0';
		return invalid(e, "invalid %s: unknown capability: \"CAP_%s\"", list, upper);
	}
	return 0;
}

static int check_health(const struct healthcheck *h, struct err *e)
{
	if (!h)
		return 0;
	const struct {
		const char *name;
		int64_t ns;
	} times[] = {{"Interval", h->interval}, {"Timeout", h->timeout}, {"StartPeriod", h->start_period},
		{"StartInterval", h->start_interval}};
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (times[i].ns && times[i].ns < DURATION_LEAST)
			return invalid(e, "%s in Healthcheck cannot be less than 1ms", times[i].name);
	return h->retries < 0 ? invalid(e, "Retries in Healthcheck cannot be negative") : 0;
}

/* It stands in lines of hosts or resolv.conf: a blank would begin another word, a newline another line. */
static int check_word(const char *what, const char *s, struct err *e)
{
	for (const char *p = s; p && *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127)
			return invalid(e, "invalid %s \"%s\": it has blanks or control characters", what, s);
	return 0;
}

static int check_words(const char *what, const struct strv *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		try(check_word(what, l->v[i], e));
	return 0;
}

static int check_config(const struct config *c, struct err *e)
{
	struct mac mac;
	int sig;
	if (!str_empty(c->working_dir) && *c->working_dir != '/')
		return invalid(
			e, "the working directory '%s' is invalid, it needs to be an absolute path", c->working_dir);
	if (!str_empty(c->stop_signal) && signal_parse(c->stop_signal, &sig) < 0)
		return invalid(e, "invalid signal: %s", c->stop_signal);
	for (size_t i = 0; i < c->env.n; i++)
		if (!*c->env.v[i] || *c->env.v[i] == '=')
			return invalid(e, "invalid environment variable: %s", c->env.v[i]);
	try(check_health(c->healthcheck, e));
	if (c->hostname && strlen(c->hostname) > HOSTNAME_MOST)
		return invalid(e, "hostname \"%s\" is too long (maximum %d bytes)", c->hostname, HOSTNAME_MOST);
	try(check_word("hostname", c->hostname, e));
	try(check_word("domain name", c->domainname, e));
	if (!str_empty(c->mac_address) && mac_parse(c->mac_address, &mac) < 0)
		return invalid(e, "invalid MAC address: %s", c->mac_address);
	return 0;
}

int check_restart(const struct host_config *h, struct err *e)
{
	static const char *const names[] = {"no", "always", "unless-stopped", "on-failure"};
	const char *name = h->restart_name;
	bool known = false;
	if (h->auto_remove && !streq(name, "no"))
		return invalid(e, "can't create 'AutoRemove' container with restart policy");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		known |= streq(name, names[i]);
	if (!known)
		return invalid(e,
			"invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or "
			"'unless-stopped'",
			name);
	if (streq(name, "on-failure") && h->restart_max < 0)
		return invalid(e, "invalid restart policy: maximum retry count cannot be negative");
	if (!streq(name, "on-failure") && h->restart_max)
		return invalid(e, "invalid restart policy: maximum retry count can only be used with 'on-failure'%s",
			h->restart_max < 0 ? " and cannot be negative" : "");
	return 0;
}

/* name:address or name=address; an IPv6 address may be in brackets; "host-gateway" stands for the host. */
static int check_extra_host(const char *s, struct err *e)
{
	size_t name = strcspn(s, ":=");
	const char *text = s + name + 1;
	char address[IP_TEXT];
	struct ip ip;
	if (!name || !s[name])
		return invalid(e, "bad format for add-host: \"%s\"", s);
	size_t n = strlen(text);
	bool brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
	snprintf(address, sizeof(address), "%.*s", (int)(n < sizeof(address) ? n : sizeof(address)) - 2 * brackets,
		text + brackets);
	if (!streq(text, "host-gateway") && (n >= sizeof(address) || ip_parse(address, &ip) < 0))
		return invalid(e, "invalid IP address in add-host: \"%s\"", text);
	return 0;
}

/* Ranges of equal length, or any one of the host's for one of the container. */
static bool fits(const char *key, const char *host)
{
	const char *in = strchr(key, '-'), *out = host ? strchr(host, '-') : NULL;
	if (!in || str_empty(host) || streq(host, "0"))
		return true;
	return out && atoi(out + 1) - atoi(host) == atoi(in + 1) - atoi(key);
}

int spec_check_bindings(const struct host_config *h, struct arena *a, struct err *e)
{
	const struct json_group *g = h->port_bindings.v;
	const char *key;
	struct ip ip;
	for (size_t i = 0; i < h->port_bindings.n; i++) {
		const struct port_binding *b = g[i].items.v;
		if (g[i].items.n > LIMIT_PORT_BINDINGS)
			return invalid(e, "port %s has %zu bindings: at most %d", g[i].key, g[i].items.n, LIMIT_PORT_BINDINGS);
		for (size_t k = 0; k < g[i].items.n; k++) {
			const char *port = b[k].host_port;
			if (!str_empty(port) && !streq(port, "0") &&
				(strchr(port, '/') || spec_port_key(a, port, &key, NULL) < 0))
				return invalid(e, "invalid port specification: \"%s\"", port);
			if (!fits(g[i].key, port))
				return invalid(e, "invalid ranges specified for container and host Ports: %s and %s", g[i].key, port);
			if (!str_empty(b[k].host_ip) && ip_parse(b[k].host_ip, &ip) < 0)
				return invalid(e, "invalid IP address: %s", b[k].host_ip);
		}
	}
	return 0;
}

static bool is_log_option(const char *driver, const char *key)
{
	static const char *const any[] = {"mode", "max-buffer-size"}, *const files[] = {"max-file", "max-size", "compress"}, *const marks[] = {"labels", "labels-regex", "env", "env-regex", "tag"};
	bool journal = streq(driver, "journald"), known = false;
	for (size_t i = 0; i < ARRAY_LEN(any); i++)
		known |= streq(key, any[i]);
	for (size_t i = 0; !journal && i < ARRAY_LEN(files); i++)
		known |= streq(key, files[i]);
	for (size_t i = 0; !streq(driver, "local") && i < ARRAY_LEN(marks); i++)
		known |= streq(key, marks[i]);
	return known;
}

static bool is_go_bool(const char *s)
{
	bool v;
	return units_parse_bool(s, &v) >= 0;
}

/* Lines go to the log as they come and stay as they are. What asks for something else without which nobody loses anything is passed over with a word: log_wish. */
static int check_log_ways(const struct host_config *h, struct err *e)
{
	const struct kvs *o = &h->log_config_opts;
	const char *mode = kvs_get(o, "mode"), *compress = kvs_get(o, "compress"), *buffer = kvs_get(o, "max-buffer-size");
	bool waits = str_empty(mode) || streq(mode, "blocking");
	int64_t size;
	if (!waits && !streq(mode, "non-blocking"))
		return invalid(e, "logger: logging mode not supported: %s", mode);
	if (buffer && waits)
		return invalid(e, "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
	if (buffer && units_parse_bytes(buffer, &size) < 0)
		return invalid(e, "logger: error parsing option max-buffer-size: invalid size: '%s'", buffer);
	if (compress && !is_go_bool(compress))
		return invalid(e, "failed to initialize logging driver: strconv.ParseBool: parsing \"%s\": invalid syntax", compress);
	return 0;
}

const char *log_wish(const char *key, const char *value)
{
	if (streq(key, "compress") && *value && strchr("1tT", *value))
		return "log files are not compressed";
	if ((streq(key, "mode") && streq(value, "non-blocking")) || streq(key, "max-buffer-size"))
		return "lines are written as they come, and none is dropped";
	return NULL;
}

static int warn_of_wishes(struct check *c, const struct kvs *options, struct err *e)
{
	for (size_t i = 0; i < options->n; i++) {
		const char *why = log_wish(options->v[i].key, options->v[i].value);
		const char *text = why ? arena_printf(c->a, "The log option %s is passed over: %s.", options->v[i].key, why) : NULL;
		if (why && !text)
			return err_nomem(e);
		if (why)
			try(check_warn(c, text, e));
	}
	return 0;
}

bool log_driver_is_known(const char *name)
{
	static const char *const names[] = {"json-file", "local", "journald", "none"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (streq(name, names[i]))
			return true;
	return false;
}

int log_check(const struct host_config *h, struct err *e)
{
	const struct kvs *o = &h->log_config_opts;
	if (streq(h->log_type, "none"))
		return 0;
	if (!log_driver_is_known(h->log_type))
		return invalid(e, "logger: no log driver named '%s' is registered", h->log_type);
	for (size_t i = 0; i < o->n; i++)
		if (!is_log_option(h->log_type, o->v[i].key))
			return invalid(e, "unknown log opt '%s' for %s log driver", o->v[i].key, h->log_type);
	if (streq(h->log_type, "journald"))
		for (size_t i = 0; i < o->n; i++)
			if (str_starts(o->v[i].key, "labels") || str_starts(o->v[i].key, "env"))
				return invalid(e, "failed to initialize logging driver: %s: labels and variables do not go to the journal in this version of Pontoon: tag does", o->v[i].key);
	struct log_limits limits;
	try(check_log_ways(h, e));
	return log_limits(h, &limits, e);
}

static bool is_word(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncmp(s, word, n) == 0;
}

static int check_security(const struct strv *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *s = l->v[i];
		size_t key = strcspn(s, strchr(s, '=') ? "=" : ":");
		if (streq(s, "no-new-privileges") || streq(s, "disable"))
			continue;
		if (!s[key])
			return invalid(e, "invalid --security-opt 1: \"%s\"", s);
		if (is_word(s, key, "label") || is_word(s, key, "apparmor") || is_word(s, key, "seccomp"))
			continue;
		if (!is_word(s, key, "no-new-privileges") || !is_go_bool(s + key + 1))
			return invalid(e, "invalid --security-opt 2: \"%s\"", s);
	}
	return 0;
}

static int check_lists(const struct host_config *h, struct err *e)
{
	struct ip ip;
	for (size_t i = 0; i < h->extra_hosts.n; i++)
		try(check_extra_host(h->extra_hosts.v[i], e));
	for (size_t i = 0; i < h->dns.n; i++)
		if (ip_parse(h->dns.v[i], &ip) < 0)
			return invalid(e, "%s is not an ip address", h->dns.v[i]);
	try(check_words("DNS search domain", &h->dns_search, e));
	try(check_words("DNS option", &h->dns_options, e));
	for (size_t i = 0; i < h->group_add.n; i++)
		if (!*h->group_add.v[i])
			return invalid(e, "invalid group: empty");
	for (size_t i = 0; i < h->annotations.n; i++)
		if (!*h->annotations.v[i].key)
			return invalid(
				e, "invalid Annotations: the empty string is not permitted as an annotation key");
	return 0;
}

static int check_scope(const struct config *c, struct err *e)
{
	const char *s = kvs_get(&c->labels, PUBLISH_SCOPE);
	enum port_scope scope;
	return s && port_scope_parse(s, &scope) < 0 ? invalid(e, "invalid value of label " PUBLISH_SCOPE ": \"%s\" (any, lan, local or host-firewall)", s) : 0;
}

int spec_check(
	struct container_spec *s, const struct spec_host *host, struct arena *a, struct strv *warnings, struct err *e)
{
	struct check c = {.s = s, .host = host, .a = a, .warnings = warnings};
	try(check_modes(&c, e));
	try(check_config(&s->config, e));
	try(check_scope(&s->config, e));
	try(check_restart(&s->host, e));
	try(check_lists(&s->host, e));
	try(spec_check_bindings(&s->host, a, e));
	try(check_caps("CapAdd", &s->host.cap_add, e));
	try(check_caps("CapDrop", &s->host.cap_drop, e));
	try(check_security(&s->host.security_opt, e));
	try(check_resources(&c, e));
	try(check_mounts(&c, e));
	try(log_check(&s->host, e));
	return warn_of_wishes(&c, &s->host.log_config_opts, e);
}
