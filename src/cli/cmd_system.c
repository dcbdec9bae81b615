#include <errno.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* --- inspect --- */

static const struct flag inspect_flags[] = {{"format", 'f', "string", "Print by a template"}, {"size", 's', NULL, "Show sizes of containers"}, {"verbose", 'v', NULL, NULL},
	{"type", 0, "string", "container, image, network or volume"} /* the last: for what inspects any kind */};
#define INSPECT_ONE inspect_flags, ARRAY_LEN(inspect_flags) - 1

static const char *const probes[] = {"containers", "images", "networks", "volumes"};

/* 1 found, 0 not there, -errno */
static int probe(const char *noun, const char *name, bool size, struct arena *a, json_t **out, struct err *e)
{
	bool whole = streq(noun, "networks") || streq(noun, "volumes");
	int r = http_call("GET", arena_printf(a, "%s%s", path_of(a, noun, name, whole ? NULL : "json"), size && streq(noun, "containers") ? "?size=1" : ""), NULL, out, e);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

struct kind {
	const char *only; /* "container"; NULL: any */
	bool size;
};

static int find(const char *name, const void *arg, struct arena *a, json_t **out, struct err *e)
{
	const struct kind *k = arg;
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		if (k->only && strncmp(k->only, probes[i], strlen(k->only)) != 0)
			continue;
		int r = probe(probes[i], name, k->size, a, out, e);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return k->only ? -ENOENT : err_set(e, -ENOENT, "Error: No such object: %s", name);
}

int inspect_all(const struct strv *names, const char *format, inspect_find *find_one, const void *arg, struct arena *a)
{
	OWN(own_json) json_t *found = json_array();
	int status = 0;
	for (size_t i = 0; i < names->n; i++) {
		struct err e = {0};
		json_t *j = NULL;
		if (find_one(names->v[i], arg, a, &j, &e) < 0) {
			status = fail(&e, 1);
			continue;
		}
		if (format && !streq(format, "json") && print_template(format, j, &e) < 0)
			status = fail(&e, 1);
		json_array_append_new(found, j);
	}
	if (format && !streq(format, "json"))
		return status;
	OWN(own_free) char *text = json_dumps(found, format ? JSON_COMPACT : JSON_INDENT(4));
	puts(text ? text : "[]");
	return status;
}

static int inspect_kind(const struct parsed *p, struct arena *a, const char *only)
{
	const struct kind k = {only, flag_on(p, "size")};
	return inspect_all(&p->args, flag_get(p, "format"), find, &k, a);
}

static int run_inspect(const struct parsed *p, struct arena *a)
{
	const char *type = flag_get(p, "type");
	for (size_t i = 0; type && i < ARRAY_LEN(probes); i++)
		if (strlen(type) + 1 == strlen(probes[i]) && strncmp(type, probes[i], strlen(type)) == 0)
			return inspect_kind(p, a, type);
	if (!type)
		return inspect_kind(p, a, NULL);
	fprintf(stderr, "\"%s\" is not a valid value for --type\n", type);
	return 1;
}
static int run_inspect_container(const struct parsed *p, struct arena *a)
{
	return inspect_kind(p, a, "container");
}
static int run_inspect_image(const struct parsed *p, struct arena *a)
{
	return inspect_kind(p, a, "image");
}
static int run_inspect_network(const struct parsed *p, struct arena *a)
{
	return inspect_kind(p, a, "network");
}
static int run_inspect_volume(const struct parsed *p, struct arena *a)
{
	return inspect_kind(p, a, "volume");
}

/* --- version, info --- */

static const struct flag format_flags[] = {{"format", 'f', "string", "Print by a template"}};

static int run_version(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *server = NULL;
	const char *format = flag_get(p, "format");
	size_t i;
	json_t *c;
	(void)a;
	int r = http_call("GET", "/version", NULL, &server, &e);
	if (format) {
		OWN(own_json) json_t *all = json_pack("{s:{s:s, s:s}, s:O?}", "Client", "Version", PONTOON_VERSION, "ApiVersion", &HTTP_PREFIX[2], "Server", server);
		struct err shown = {0};
		if (print_template(format, all, &shown) < 0)
			return fail(&shown, 1);
		return r < 0 ? fail(&e, 1) : 0;
	}
	printf("Client: Pontoon\n Version:           %s\n API version:       %s\n", PONTOON_VERSION, &HTTP_PREFIX[2]);
	if (r < 0)
		return fail(&e, 1);
	printf("\nServer: %s\n", text_of(json_object_get(server, "Platform"), "Name"));
	json_array_foreach(json_object_get(server, "Components"), i, c)
		printf(" %s:\n  Version:          %s\n", text_of(c, "Name"), text_of(c, "Version"));
	printf(" API version:       %s (minimum version %s)\n OS/Arch:           %s/%s\n Kernel:            %s\n", text_of(server, "ApiVersion"), text_of(server, "MinAPIVersion"), text_of(server, "Os"),
		text_of(server, "Arch"), text_of(server, "KernelVersion"));
	return 0;
}

/* Of info: the line's head and the key; what is nested has its path with dots. */
static const char *const info_rows[][2] = {{"Containers", "Containers"}, {" Running", "ContainersRunning"}, {" Paused", "ContainersPaused"}, {" Stopped", "ContainersStopped"}, {"Images", "Images"},
	{"Server Version", "ServerVersion"}, {"Storage Driver", "Driver"}, {" Storage", "DriverStatus"}, {"Logging Driver", "LoggingDriver"}, {"Cgroup Driver", "CgroupDriver"}, {"Cgroup Version", "CgroupVersion"},
	{"Volume Drivers", "Plugins.Volume"}, {"Network Drivers", "Plugins.Network"}, {"Log Drivers", "Plugins.Log"}, {"Swarm", "Swarm.LocalNodeState"}, {"Runtimes", "Runtimes"}, {"Default Runtime", "DefaultRuntime"},
	{"Init Binary", "InitBinary"}, {"Firewall Backend", "FirewallBackend.Driver"}, {"Security Options", "SecurityOptions"}, {"Kernel Version", "KernelVersion"}, {"Operating System", "OperatingSystem"},
	{"OSType", "OSType"}, {"Architecture", "Architecture"}, {"CPUs", "NCPU"}, {"Total Memory", "MemTotal"}, {"Name", "Name"}, {"ID", "ID"}, {"Root Dir", "DockerRootDir"}, {"Debug Mode", "Debug"},
	{"Labels", "Labels"}, {"HTTP Proxy", "HttpProxy"}, {"HTTPS Proxy", "HttpsProxy"}, {"No Proxy", "NoProxy"}, {"Insecure Registries", "RegistryConfig.InsecureRegistryCIDRs"},
	{"Registry Mirrors", "RegistryConfig.Mirrors"}, {"Default Address Pools", "DefaultAddressPools"}, {"Live Restore Enabled", "LiveRestoreEnabled"}};

static const json_t *at_path(const json_t *j, const char *path)
{
	for (; *path; path += strcspn(path, "."), path += *path == '.')
		j = json_object_getn(j, path, strcspn(path, "."));
	return j;
}

/* A list's members, an object's keys, or of objects their members' values, with commas between. */
static void print_members(const json_t *v)
{
	const char *key, *comma = "";
	json_t *one, *part;
	size_t i, k;
	json_array_foreach(v, i, one)
	{
		printf("%s", comma);
		comma = ", ";
		if (json_is_array(one)) {
			json_array_foreach(one, k, part)
				printf("%s%s", k ? ": " : "", json_string_value(part));
		} else if (json_is_object(one)) {
			printf("%s cut to /%lld", text_of(one, "Base"), (long long)json_integer_value(json_object_get(one, "Size")));
		} else {
			printf("%s", json_string_value(one));
		}
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, one)
	{
		printf("%s%s", comma, key);
		comma = ", ";
	}
}

static void print_info(const json_t *j, struct arena *a)
{
	for (size_t i = 0; i < ARRAY_LEN(info_rows); i++) {
		const json_t *v = at_path(j, info_rows[i][1]);
		if (!v || json_is_null(v) || (json_is_array(v) && !json_array_size(v)) || (json_is_string(v) && !*json_string_value(v)))
			continue;
		printf(" %s: ", info_rows[i][0]);
		if (json_is_string(v))
			printf("%s", json_string_value(v));
		else if (streq(info_rows[i][1], "MemTotal"))
			printf("%s", units_size(json_integer_value(v), a));
		else if (json_is_integer(v))
			printf("%lld", (long long)json_integer_value(v));
		else if (json_is_boolean(v))
			printf("%s", json_is_true(v) ? "true" : "false");
		else
			print_members(v);
		putchar('\n');
	}
}

static int run_info(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	size_t i;
	json_t *w;
	int r = http_call("GET", "/info", NULL, &j, &e);
	if (flag_get(p, "format"))
		return r < 0 || print_template(flag_get(p, "format"), j, &e) < 0 ? fail(&e, 1) : 0;
	printf("Client: Pontoon\n Version: %s\n Daemon: %s\n\nServer:\n", PONTOON_VERSION, http_host);
	if (r < 0)
		return fail(&e, 1);
	print_info(j, a);
	fflush(stdout);
	json_array_foreach(json_object_get(j, "Warnings"), i, w)
		fprintf(stderr, "%s\n", json_string_value(w));
	return 0;
}

/* --- events --- */

static const struct flag events_flags[] = {{"filter", 'f', "filter", "Filter by conditions"}, {"format", 0, "string", "json or a template"}, {"since", 0, "string", "Since a time"}, {"until", 0, "string", "Until a time"}};

static int print_event(const json_t *ev, const char *format, struct err *e)
{
	const json_t *actor = json_object_get(ev, "Actor"), *attrs = json_object_get(actor, "Attributes");
	char when[TIME_TEXT];
	const char *key;
	json_t *v;
	bool first = true;
	if (format)
		return print_template(format, ev, e);
	printf("%s %s %s %s", time_format(json_integer_value(json_object_get(ev, "timeNano")), when), text_of(ev, "Type"), text_of(ev, "Action"), text_of(actor, "ID"));
	json_object_foreach((json_t *)(uintptr_t)attrs, key, v)
	{
		printf("%s%s=%s", first ? " (" : ", ", key, json_string_value(v));
		first = false;
	}
	puts(first ? "" : ")");
	return 0;
}

static int read_events(struct http *h, const char *format, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	char block[16384], *nl;
	ssize_t n;
	while ((n = http_read(h, block, sizeof(block), e)) > 0) {
		buf_put(&b, block, (size_t)n);
		while (b.len && (nl = memchr(b.data, '\n', b.len))) {
			OWN(own_json) json_t *j = NULL;
			size_t len = (size_t)(nl - b.data);
			try(json_parse(b.data, len, &j, e));
			try(print_event(j, format, e));
			fflush(stdout);
			buf_drop(&b, len + 1);
		}
	}
	return n < 0 ? (int)n : 0;
}

static int run_events(const struct parsed *p, struct arena *a)
{
	static const char *const times[] = {"since", "until"};
	struct err e = {0};
	OWN(own_http) struct http h = HTTP_NONE;
	OWN(own_buf) struct buf q = {0};
	const char *f = arg_filters(a, flag_list(p, "filter"), &e);
	if (!f)
		return fail(&e, 1);
	buf_printf(&q, "/events?filters=%s", f);
	for (size_t i = 0; i < 2; i++) {
		int64_t ns;
		const char *t = flag_get(p, times[i]);
		if (t && time_parse(t, clock_real_ns(), &ns) < 0) {
			err_as(&e, ERR_INVALID, "invalid value for --%s: %s", times[i], t);
			return fail(&e, 1);
		}
		if (t)
			buf_printf(&q, "&%s=%lld.%09lld", times[i], (long long)(ns / 1000000000), (long long)(ns % 1000000000));
	}
	int r = http_open(&h, &e);
	if (r >= 0)
		r = http_send(&h, "GET", buf_str(&q), NULL, 0, NULL, false, &e);
	if (r >= 0)
		r = h.status >= 400 ? http_error(&h, &e) : read_events(&h, flag_get(p, "format"), &e);
	return r < 0 ? fail(&e, 1) : 0;
}

/* --- doctor --- */

static const struct flag doctor_flags[] = {{"repair", 0, NULL, "Make the kernel what it should be"}, {"format", 0, "string", "json or a template"}};

static int run_doctor(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	bool repair = flag_on(p, "repair");
	size_t i;
	json_t *d;
	(void)a;
	if (http_call(repair ? "POST" : "GET", repair ? "/pontoon/doctor?repair=1" : "/pontoon/doctor", NULL, &j, &e) < 0)
		return fail(&e, 1);
	const json_t *list = json_object_get(j, "Differences");
	if (flag_get(p, "format"))
		return print_template(flag_get(p, "format"), j, &e) < 0 ? fail(&e, 1) : json_array_size(list) > 0 && !repair;
	json_array_foreach(list, i, d)
	{
		bool differs = streq(text_of(d, "Kind"), "different");
		printf("%-10s %-24s %s\n", text_of(d, "Kind"), text_of(d, "Unit"), text_of(d, "Object"));
		if (differs)
			printf("%-10s %-24s   is: %s\n", "", "", text_of(d, "Have"));
	}
	if (!json_array_size(list))
		puts("The kernel's network is as it should be.");
	else
		printf("%zu difference%s%s\n", json_array_size(list), json_array_size(list) == 1 ? "" : "s", repair ? ", repaired" : "; `pontoon doctor --repair` mends them");
	return json_array_size(list) > 0 && !repair;
}

/* --- exposure --- */

static const struct flag exposure_flags[] = {{"format", 0, "string", "json, a template, or a template with `table ` in front"}};
static const struct column exposure_columns[] = {{"CONTAINER", "Container"}, {"NETWORK", "Network"}, {"PUBLISHED", "Published"}, {"TO", "To"}, {"SCOPE", "Scope"}, {"REACHABLE FROM", "From"}, {"DECIDED BY", "DecidedBy"}};

/* "0.0.0.0:8080-8089/tcp", "[::1]:53/udp" */
static json_t *place_text(const json_t *x, const char *ip, const char *port)
{
	const char *at = text_of(x, ip);
	json_int_t first = json_integer_value(json_object_get(x, port)), count = json_integer_value(json_object_get(x, "Count"));
	bool v6 = strchr(at, ':') != NULL;
	if (!first)
		return json_string("-");
	if (count > 1)
		return json_sprintf("%s%s%s:%lld-%lld/%s", v6 ? "[" : "", at, v6 ? "]" : "", (long long)first, (long long)(first + count - 1), text_of(x, "Protocol"));
	return json_sprintf("%s%s%s:%lld/%s", v6 ? "[" : "", at, v6 ? "]" : "", (long long)first, text_of(x, "Protocol"));
}

static int run_exposure(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *list = NULL;
	size_t i;
	json_t *x;
	if (http_call("GET", "/pontoon/exposure", NULL, &list, &e) < 0)
		return fail(&e, 1);
	json_t **v = arena_new(a, json_t *, json_array_size(list) + 1);
	if (!v)
		return fail(&e, 1);
	json_array_foreach(list, i, x)
	{
		json_object_set_new(x, "Published", place_text(x, "HostIP", "HostPort"));
		json_object_set_new(x, "To", place_text(x, "IP", "Port"));
		v[i] = x;
	}
	return print_rows(v, json_array_size(list), exposure_columns, ARRAY_LEN(exposure_columns), flag_get(p, "format"), &e) < 0 ? fail(&e, 1) : 0;
}

const struct command commands_system[] = {
	{"inspect", NULL, true, "NAME|ID [NAME|ID...]", "Show everything about containers, images, networks and volumes", FLAGS(inspect_flags), false, 1, -1, run_inspect, NULL},
	{"inspect", "container", false, "CONTAINER [CONTAINER...]", "Show everything about containers", INSPECT_ONE, false, 1, -1, run_inspect_container, NULL},
	{"inspect", "image", false, "IMAGE [IMAGE...]", "Show everything about images", INSPECT_ONE, false, 1, -1, run_inspect_image, NULL},
	{"inspect", "network", false, "NETWORK [NETWORK...]", "Show everything about networks", INSPECT_ONE, false, 1, -1, run_inspect_network, NULL},
	{"inspect", "volume", false, "VOLUME [VOLUME...]", "Show everything about volumes", INSPECT_ONE, false, 1, -1, run_inspect_volume, NULL},
	{"version", NULL, true, "", "Show versions", FLAGS(format_flags), false, 0, 0, run_version, NULL},
	{"info", "system", true, "", "Show what the daemon is and has", FLAGS(format_flags), false, 0, 0, run_info, NULL},
	{"events", "system", true, "", "Print what happens", FLAGS(events_flags), false, 0, 0, run_events, NULL},
	{"exposure", "system", true, "", "List every published port: from where it is reachable, and which rule decides", FLAGS(exposure_flags), false, 0, 0, run_exposure, NULL},
	{"doctor", "system", true, "", "Compare the kernel's network with what it should be", FLAGS(doctor_flags), false, 0, 0, run_doctor, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
