#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)

/* --- ps --- */

static const struct flag ps_flags[] = {{"all", 'a', NULL, "Show all containers, not only running ones"}, {"filter", 'f', "filter", "Filter by conditions"}, {"format", 0, "string", "table, json or a template"},
	{"last", 'n', "int", "Show the n last created ones"}, {"latest", 'l', NULL, "Show the last created one"}, {"no-trunc", 0, NULL, "Do not shorten"}, {"quiet", 'q', NULL, "Only IDs"},
	{"size", 's', NULL, "Show sizes"}};

static const struct column ps_columns[] = {{"CONTAINER ID", "ID"}, {"IMAGE", "Image"}, {"COMMAND", "Command"}, {"CREATED", "RunningFor"}, {"STATUS", "Status"}, {"PORTS", "Ports"}, {"NAMES", "Names"}, {"SIZE", "Size"} /* with --size */};

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static const char *joined_map(const json_t *m, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)m, key, v)
		buf_printf(&b, "%s%s=%s", b.len ? "," : "", key, json_string_value(v) ? json_string_value(v) : "");
	return arena_dup(a, buf_str(&b));
}

static const char *keys_of(const json_t *m, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)m, key, v)
	{
		(void)v;
		buf_printf(&b, "%s%s", b.len ? "," : "", key);
	}
	return arena_dup(a, buf_str(&b));
}

struct ps_port {
	const char *ip, *type;
	json_int_t inner, outer; /* outer 0: not published */
};

static int by_port(const void *x, const void *y)
{
	const struct ps_port *a = x, *b = y;
	int r = strcmp(a->type, b->type);
	if (!r)
		r = strcmp(a->ip, b->ip);
	if (!r)
		r = a->inner < b->inner ? -1 : a->inner > b->inner;
	return r ? r : a->outer < b->outer ? -1 : a->outer > b->outer;
}

static void put_run(struct buf *b, json_int_t first, size_t n)
{
	buf_printf(b, n > 1 ? "%lld-%lld" : "%lld", (long long)first, (long long)first + (long long)n - 1);
}

/* "0.0.0.0:8000-8009->80-89/tcp, [::]:8000-8009->80-89/tcp" */
static const char *ports_text(const json_t *ports, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	struct ps_port *v = arena_new(a, struct ps_port, json_array_size(ports) + 1);
	size_t i, n = 0;
	json_t *p;
	if (!v)
		return "";
	json_array_foreach(ports, i, p)
		v[n++] = (struct ps_port){text_of(p, "IP"), text_of(p, "Type"), json_integer_value(json_object_get(p, "PrivatePort")), json_integer_value(json_object_get(p, "PublicPort"))};
	if (n)
		qsort(v, n, sizeof(*v), by_port);
	for (size_t k, from = 0; from < n; from = k) {
		for (k = from + 1; k < n && streq(v[k].ip, v[from].ip) && streq(v[k].type, v[from].type) && v[k].inner == v[k - 1].inner + 1 &&
				   (v[from].outer ? v[k].outer == v[k - 1].outer + 1 : !v[k].outer);)
			k++;
		buf_puts(&b, b.len ? ", " : "");
		if (v[from].outer) {
			buf_printf(&b, strchr(v[from].ip, ':') ? "[%s]:" : "%s:", v[from].ip);
			put_run(&b, v[from].outer, k - from);
			buf_puts(&b, "->");
		}
		put_run(&b, v[from].inner, k - from);
		buf_printf(&b, "/%s", v[from].type);
	}
	return arena_dup(a, buf_str(&b));
}

static const char *mounts_text(const json_t *mounts, bool trunc, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	size_t i;
	json_t *m;
	json_array_foreach(mounts, i, m)
	{
		const char *name = *text_of(m, "Name") ? text_of(m, "Name") : text_of(m, "Source");
		buf_printf(&b, trunc && strlen(name) > 15 ? "%s%.14s…" : "%s%s", b.len ? "," : "", name);
	}
	return arena_dup(a, buf_str(&b));
}

static const char *local_volumes(const json_t *mounts, struct arena *a)
{
	int n = 0;
	size_t i;
	json_t *m;
	json_array_foreach(mounts, i, m) n += streq(text_of(m, "Driver"), "local");
	return arena_printf(a, "%d", n);
}

/* "2B (virtual 5.1MB)": what the container wrote, and that with its image. */
static const char *sizes_text(const json_t *c, struct arena *a)
{
	int64_t own = json_integer_value(json_object_get(c, "SizeRw")), all = json_integer_value(json_object_get(c, "SizeRootFs"));
	const char *own_text = units_size(own, a);
	return all > 0 ? arena_printf(a, "%s (virtual %s)", own_text, units_size(all, a)) : own_text;
}

static json_t *ps_row(const json_t *c, bool trunc, struct arena *a)
{
	char when[TIME_TEXT];
	int64_t created = json_integer_value(json_object_get(c, "Created"));
	const char *id = text_of(c, "Id"), *command = text_of(c, "Command"), *image = text_of(c, "Image"), *name = json_string_value(json_array_get(json_object_get(c, "Names"), 0));
	if (str_starts(image, "sha256:") && trunc)
		image = arena_printf(a, "%.12s", image + 7);
	if (trunc && strlen(command) > 20)
		command = arena_printf(a, "%.19s…", command);
	time_format(created * 1000000000, when);
	when[10] = ' ';
	json_t *r = json_pack("{s:s%, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ID", id, trunc ? (size_t)12 : strlen(id), "Image", image, "Command", arena_printf(a, "\"%s\"", command),
		"RunningFor", arena_printf(a, "%s ago", units_duration(clock_real_ns() / 1000000000 - created, a)), "CreatedAt", arena_printf(a, "%.19s +0000 UTC", when), "Status", text_of(c, "Status"), "State",
		text_of(c, "State"), "Ports", ports_text(json_object_get(c, "Ports"), a), "Names", name ? name + (*name == '/') : "", "Labels", joined_map(json_object_get(c, "Labels"), a), "Mounts",
		mounts_text(json_object_get(c, "Mounts"), trunc, a), "Networks", keys_of(json_object_get(json_object_get(c, "NetworkSettings"), "Networks"), a), "LocalVolumes",
		local_volumes(json_object_get(c, "Mounts"), a), "Size", sizes_text(c, a));
	return r;
}

static int run_ps(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *list = NULL, *rows = json_array();
	const char *n = flag_on(p, "latest") ? "1" : flag_get(p, "last"), *filters = arg_filters(a, flag_list(p, "filter"), &e), *format = flag_get(p, "format");
	bool size = flag_on(p, "size") || (format && strstr(format, ".Size"));
	if (!filters)
		return fail(&e, 1);
	if (http_call("GET", arena_printf(a, "/containers/json?all=%d&limit=%s&size=%d&filters=%s", flag_on(p, "all") || n, n ? n : "-1", size, filters), NULL, &list, &e) < 0)
		return fail(&e, 1);
	size_t count = json_array_size(list);
	json_t **v = arena_new(a, json_t *, count + 1);
	for (size_t i = 0; v && i < count; i++) {
		json_t *c = json_array_get(list, i);
		if (flag_on(p, "quiet")) {
			printf(flag_on(p, "no-trunc") ? "%s\n" : "%.12s\n", text_of(c, "Id"));
			continue;
		}
		v[i] = ps_row(c, !flag_on(p, "no-trunc"), a);
		json_array_append_new(rows, v[i]);
	}
	if (flag_on(p, "quiet"))
		return 0;
	return print_rows(v, count, ps_columns, ARRAY_LEN(ps_columns) - !size, format, &e) < 0 ? fail(&e, 1) : 0;
}

/* --- one request a container --- */

static int post(const char *name, const char *tail, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	return http_call("POST", path_of(&a, "containers", name, tail), NULL, NULL, e);
}

static int post_timed(const char *verb, const char *name, const struct parsed *p, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_buf) struct buf q = {0};
	const char *t = flag_get(p, "timeout") ? flag_get(p, "timeout") : flag_get(p, "time"), *s = flag_get(p, "signal");
	buf_printf(&q, "%s?", verb);
	if (t) {
		buf_puts(&q, "t=");
		http_escape(&q, t);
	}
	if (s) {
		buf_puts(&q, "&signal=");
		http_escape(&q, s);
	}
	return http_call("POST", path_of(&a, "containers", name, buf_str(&q)), NULL, NULL, e);
}

static const struct flag stop_flags[] = {{"timeout", 't', "int", "Seconds to wait before it is killed"}, {"time", 0, "int", NULL}, {"signal", 's', "string", "Signal to send"}};
static const struct flag kill_flags[] = {{"signal", 's', "string", "Signal to send (default KILL)"}};
static const struct flag rm_flags[] = {{"force", 'f', NULL, "Kill a running container"}, {"volumes", 'v', NULL, "Remove its anonymous volumes"}, {"link", 'l', NULL, "Remove a link"}};

static int stop_one(const char *name, const struct parsed *p, struct err *e)
{
	return post_timed("stop", name, p, e);
}
static int restart_one(const char *name, const struct parsed *p, struct err *e)
{
	return post_timed("restart", name, p, e);
}
static int kill_one(const char *name, const struct parsed *p, struct err *e)
{
	return post_timed("kill", name, p, e);
}
static int pause_one(const char *name, const struct parsed *p, struct err *e)
{
	(void)p;
	return post(name, "pause", e);
}
static int unpause_one(const char *name, const struct parsed *p, struct err *e)
{
	(void)p;
	return post(name, "unpause", e);
}
static int rm_one(const char *name, const struct parsed *p, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	const char *path = arena_printf(&a, "%s?force=%d&v=%d&link=%d", path_of(&a, "containers", name, NULL), flag_on(p, "force"), flag_on(p, "volumes"), flag_on(p, "link"));
	return path ? http_call("DELETE", path, NULL, NULL, e) : err_nomem(e);
}

static int run_stop(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, stop_one);
}
static int run_restart(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, restart_one);
}
static int run_kill(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, kill_one);
}
static int run_pause(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, pause_one);
}
static int run_unpause(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, unpause_one);
}
static int run_rm(const struct parsed *p, struct arena *a)
{
	(void)a;
	return each_argument(p, rm_one);
}

static int run_wait(const struct parsed *p, struct arena *a)
{
	int status = 0;
	for (size_t i = 0; i < p->args.n; i++) {
		struct err e = {0};
		OWN(own_json) json_t *j = NULL;
		if (http_call("POST", path_of(a, "containers", p->args.v[i], "wait"), NULL, &j, &e) < 0)
			status = fail(&e, 1);
		else
			printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(j, "StatusCode")));
	}
	return status;
}

static int run_rename(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_buf) struct buf q = {0};
	buf_puts(&q, "rename?name=");
	http_escape(&q, p->args.v[1]);
	return http_call("POST", path_of(a, "containers", p->args.v[0], buf_str(&q)), NULL, NULL, &e) < 0 ? fail(&e, 1) : 0;
}

/* --- logs --- */

static const struct flag logs_flags[] = {{"details", 0, NULL, "Show extra details"}, {"follow", 'f', NULL, "Follow the output"}, {"since", 0, "string", "Since a time or for a duration (42m)"},
	{"tail", 'n', "string", "Number of lines from the end"}, {"timestamps", 't', NULL, "Show times"}, {"until", 0, "string", "Before a time or a duration ago"}};

static int logs_time(const struct parsed *p, const char *flag, struct buf *q, struct err *e)
{
	const char *s = flag_get(p, flag);
	int64_t ns;
	if (!s)
		return 0;
	if (time_parse(s, clock_real_ns(), &ns) < 0)
		return err_as(e, ERR_INVALID, "invalid value for \"%s\": failed to parse value as time or duration: \"%s\"", flag, s);
	buf_printf(q, "&%s=%lld.%09lld", flag, (long long)(ns / 1000000000), (long long)(ns % 1000000000));
	return 0;
}

static int run_logs(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_http) struct http h = HTTP_NONE;
	OWN(own_buf) struct buf q = {0};
	OWN(own_json) json_t *c = NULL;
	buf_printf(&q, "logs?stdout=1&stderr=1&follow=%d&timestamps=%d&details=%d&tail=", flag_on(p, "follow"), flag_on(p, "timestamps"), flag_on(p, "details"));
	http_escape(&q, flag_get(p, "tail") ? flag_get(p, "tail") : "all");
	int r = logs_time(p, "since", &q, &e);
	if (r >= 0)
		r = logs_time(p, "until", &q, &e);
	if (r >= 0)
		r = http_call("GET", path_of(a, "containers", p->args.v[0], "json"), NULL, &c, &e);
	if (r >= 0)
		r = http_open(&h, &e);
	if (r >= 0)
		r = http_send(&h, "GET", path_of(a, "containers", p->args.v[0], buf_str(&q)), NULL, 0, NULL, false, &e);
	if (r >= 0)
		r = h.status >= 400 ? http_error(&h, &e) : demux(&h, !json_is_true(json_object_get(json_object_get(c, "Config"), "Tty")), &e);
	return r < 0 ? fail(&e, 1) : 0;
}

/* --- top, port, prune --- */

static int run_top(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	OWN(own_buf) struct buf args = {0}, q = {0};
	size_t i, k;
	json_t *row, *cell;
	for (size_t n = 1; n < p->args.n; n++)
		buf_printf(&args, "%s%s", n > 1 ? " " : "", p->args.v[n]);
	buf_puts(&q, "top?ps_args=");
	http_escape(&q, buf_str(&args));
	if (http_call("GET", path_of(a, "containers", p->args.v[0], buf_str(&q)), NULL, &j, &e) < 0)
		return fail(&e, 1);
	const json_t *titles = json_object_get(j, "Titles");
	json_array_foreach(titles, i, cell)
		printf("%-*s%s", i + 1 < json_array_size(titles) ? 16 : 0, json_string_value(cell), i + 1 < json_array_size(titles) ? " " : "\n");
	json_array_foreach(json_object_get(j, "Processes"), i, row)
	{
		json_array_foreach(row, k, cell)
			printf("%-*s%s", k + 1 < json_array_size(row) ? 16 : 0, json_string_value(cell), k + 1 < json_array_size(row) ? " " : "\n");
	}
	return 0;
}

/* "port add web 8080:80 53:53/udp", "port rm web 80" */
static int edit_ports(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *exposed = json_object(), *bindings = json_object(), *body = json_object(), *j = NULL;
	for (size_t i = 2; i < p->args.n; i++)
		if (ports_publish(p->args.v[i], exposed, bindings, &e) < 0)
			return fail(&e, 1);
	if (json_object_set(body, streq(p->args.v[0], "add") ? "Add" : "Remove", bindings) < 0)
		return err_nomem(&e), fail(&e, 1);
	return http_call("POST", path_of(a, "containers", p->args.v[1], "ports"), body, &j, &e) < 0 ? fail(&e, 1) : 0;
}

static int run_port(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	bool verb = streq(p->args.v[0], "add") || streq(p->args.v[0], "rm");
	if (p->args.n > 2 && verb)
		return edit_ports(p, a);
	if (p->args.n > 2) {
		err_as(&e, ERR_INVALID, "\"pontoon port\" takes a container and a port, or add or rm, a container and ports");
		return fail(&e, 1);
	}
	OWN(own_json) json_t *j = NULL;
	const char *key, *want = p->args.n > 1 ? p->args.v[1] : NULL;
	json_t *list, *b;
	size_t i;
	bool any = false;
	int r = http_call("GET", path_of(a, "containers", p->args.v[0], "json"), NULL, &j, &e);
	if (r == -ENOENT && verb) { /* a container may have that name */
		err_as(&e, ERR_INVALID, "pontoon: 'pontoon port %s' requires a container and at least 1 port\n\nUsage:  pontoon port %s CONTAINER PORT...", p->args.v[0], p->args.v[0]);
		return fail(&e, 1);
	}
	if (r < 0)
		return fail(&e, 1);
	if (want && !strchr(want, '/'))
		want = arena_printf(a, "%s/tcp", want);
	json_object_foreach(json_object_get(json_object_get(j, "NetworkSettings"), "Ports"), key, list)
	{
		json_array_foreach(list, i, b)
		{
			if (want && !streq(want, key))
				continue;
			any = true;
			if (!want)
				printf("%s -> ", key);
			printf(strchr(text_of(b, "HostIp"), ':') ? "[%s]:%s\n" : "%s:%s\n", text_of(b, "HostIp"), text_of(b, "HostPort"));
		}
	}
	if (want && !any) {
		fprintf(stderr, "Error: No public port '%s' published for %s\n", want, p->args.v[0]);
		return 1;
	}
	return 0;
}

static const struct flag prune_flags[] = {{"filter", 0, "filter", "Filter by conditions"}, {"force", 'f', NULL, "Do not ask"}};

static int run_prune(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *j = NULL;
	size_t i;
	json_t *id;
	const char *filters = arg_filters(a, flag_list(p, "filter"), &e);
	if (!filters)
		return fail(&e, 1);
	if (!flag_on(p, "force") && !confirm("WARNING! This will remove all stopped containers."))
		return 0;
	if (http_call("POST", arena_printf(a, "/containers/prune?filters=%s", filters), NULL, &j, &e) < 0)
		return fail(&e, 1);
	if (json_array_size(json_object_get(j, "ContainersDeleted")))
		puts("Deleted Containers:");
	json_array_foreach(json_object_get(j, "ContainersDeleted"), i, id)
		puts(json_string_value(id));
	printf("%sTotal reclaimed space: %s\n", json_array_size(json_object_get(j, "ContainersDeleted")) ? "\n" : "", units_size(json_integer_value(json_object_get(j, "SpaceReclaimed")), a));
	return 0;
}

const struct command commands_container[] = {
	{"ps", "container", true, "", "List containers", FLAGS(ps_flags), false, 0, 0, run_ps, "ls list"},
	{"stop", "container", true, "CONTAINER [CONTAINER...]", "Stop running containers", FLAGS(stop_flags), false, 1, -1, run_stop, NULL},
	{"restart", "container", true, "CONTAINER [CONTAINER...]", "Restart containers", FLAGS(stop_flags), false, 1, -1, run_restart, NULL},
	{"kill", "container", true, "CONTAINER [CONTAINER...]", "Send a signal to containers", FLAGS(kill_flags), false, 1, -1, run_kill, NULL},
	{"pause", "container", true, "CONTAINER [CONTAINER...]", "Freeze all processes", NULL, 0, false, 1, -1, run_pause, NULL},
	{"unpause", "container", true, "CONTAINER [CONTAINER...]", "Let frozen processes go on", NULL, 0, false, 1, -1, run_unpause, NULL},
	{"wait", "container", true, "CONTAINER [CONTAINER...]", "Wait for the end and print the exit code", NULL, 0, false, 1, -1, run_wait, NULL},
	{"rm", "container", true, "CONTAINER [CONTAINER...]", "Remove containers", FLAGS(rm_flags), false, 1, -1, run_rm, "remove"},
	{"rename", "container", true, "CONTAINER NEW_NAME", "Rename a container", NULL, 0, false, 2, 2, run_rename, NULL},
	{"logs", "container", true, "CONTAINER", "Print the output of a container", FLAGS(logs_flags), false, 1, 1, run_logs, NULL},
	{"top", "container", true, "CONTAINER [ps OPTIONS]", "List the processes of a container", NULL, 0, true, 1, -1, run_top, NULL},
	{"port", "container", true, "CONTAINER [PRIVATE_PORT[/PROTO]] | add|rm CONTAINER PORT...", "List published ports, add or remove them live", NULL, 0, false, 1, -1, run_port, NULL},
	{"prune", "container", false, "", "Remove all stopped containers", FLAGS(prune_flags), false, 0, 0, run_prune, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
