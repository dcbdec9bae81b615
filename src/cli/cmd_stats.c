/* stats: two samples a second apart, for all containers at once; update. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/cmd.h"

#define FLAGS(t) t, ARRAY_LEN(t)

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static double number(const json_t *o, const char *a, const char *b)
{
	return json_number_value(json_object_get(json_object_get(o, a), b));
}

static const struct flag stats_flags[] = {{"all", 'a', NULL, "Those that do not run, too"}, {"format", 0, "string", "table, json or a template"}, {"no-stream", 0, NULL, "Print once"}, {"no-trunc", 0, NULL, "Do not shorten"}};
static const struct column columns[] = {{"CONTAINER ID", "ID"}, {"NAME", "Name"}, {"CPU %", "CPUPerc"}, {"MEM USAGE / LIMIT", "MemUsage"}, {"MEM %", "MemPerc"}, {"NET I/O", "NetIO"}, {"BLOCK I/O", "BlockIO"}, {"PIDS", "PIDs"}};

struct sampled {
	const char *name;
	json_t *last;
};

static double cpu_percent(const json_t *now, const json_t *before)
{
	const json_t *a = json_object_get(before, "cpu_stats"), *b = json_object_get(now, "cpu_stats");
	double cpu = number(b, "cpu_usage", "total_usage") - number(a, "cpu_usage", "total_usage");
	double all = json_number_value(json_object_get(b, "system_cpu_usage")) - json_number_value(json_object_get(a, "system_cpu_usage"));
	return before && cpu > 0 && all > 0 ? cpu / all * json_number_value(json_object_get(b, "online_cpus")) * 100 : 0;
}

static const char *net_io(const json_t *s, struct arena *a)
{
	double rx = 0, tx = 0;
	const char *name;
	json_t *l;
	json_object_foreach(json_object_get(s, "networks"), name, l)
	{
		rx += json_number_value(json_object_get(l, "rx_bytes"));
		tx += json_number_value(json_object_get(l, "tx_bytes"));
		(void)name;
	}
	return arena_printf(a, "%s / %s", units_size((int64_t)rx, a), units_size((int64_t)tx, a));
}

static const char *block_io(const json_t *s, struct arena *a)
{
	double r = 0, w = 0;
	size_t i;
	json_t *x;
	json_array_foreach(json_object_get(json_object_get(s, "blkio_stats"), "io_service_bytes_recursive"), i, x)
	{
		char op = *text_of(x, "op");
		double v = json_number_value(json_object_get(x, "value"));
		r += op == 'r' || op == 'R' ? v : 0;
		w += op == 'w' || op == 'W' ? v : 0;
	}
	return arena_printf(a, "%s / %s", units_size((int64_t)r, a), units_size((int64_t)w, a));
}

static json_t *row_of(const struct sampled *c, const json_t *now, bool whole, struct arena *a)
{
	const json_t *mem = json_object_get(now, "memory_stats"), *detail = json_object_get(mem, "stats");
	json_t *inactive = json_object_get(detail, "total_inactive_file") ? json_object_get(detail, "total_inactive_file") : json_object_get(detail, "inactive_file");
	double usage = json_number_value(json_object_get(mem, "usage")), limit = json_number_value(json_object_get(mem, "limit")), cache = json_number_value(inactive);
	usage = cache < usage ? usage - cache : usage;
	const char *id = text_of(now, "id"), *name = text_of(now, "name");
	return json_pack("{s:s, s:s%, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Container", c->name, "ID", id, whole ? strlen(id) : (size_t)12, "Name", name + (*name == '/'), "CPUPerc",
		arena_printf(a, "%.2f%%", cpu_percent(now, c->last)), "MemUsage", arena_printf(a, "%s / %s", units_binary(usage, a), units_binary(limit, a)), "MemPerc", arena_printf(a, "%.2f%%", limit > 0 ? usage / limit * 100 : 0),
		"NetIO", net_io(now, a), "BlockIO", block_io(now, a), "PIDs", int_text(a, json_integer_value(json_object_get(json_object_get(now, "pids_stats"), "current"))));
}

/* The containers that are asked for; without names those that run. */
static int choose(const struct parsed *p, struct arena *a, struct sampled **out, size_t *n, struct err *e)
{
	OWN(own_json) json_t *list = NULL;
	size_t i;
	json_t *c;
	if (!p->args.n)
		try(http_call("GET", flag_on(p, "all") ? "/containers/json?all=1" : "/containers/json", NULL, &list, e));
	*n = p->args.n ? p->args.n : json_array_size(list);
	*out = arena_new(a, struct sampled, *n + 1);
	if (!*out)
		return err_nomem(e);
	for (i = 0; i < p->args.n; i++)
		(*out)[i].name = p->args.v[i];
	json_array_foreach(list, i, c)
		(*out)[i].name = arena_dup(a, text_of(c, "Id"));
	return a->bad ? err_nomem(e) : 0;
}

/* One sample of each. rows NULL: only remembered. */
static int sample(struct sampled *c, size_t n, json_t **rows, bool whole, bool strict, struct arena *a, struct err *e)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		json_t *now = NULL;
		struct err one = {0};
		int r = http_call("GET", path_of(a, "containers", c[i].name, "stats?stream=0&one-shot=1"), NULL, &now, &one);
		if (r < 0 && (strict || r != -ENOENT)) {
			*e = one;
			return r;
		}
		if (r < 0)
			continue; /* removed meanwhile */
		if (rows)
			rows[k++] = row_of(&c[i], now, whole, a);
		json_decref(c[i].last);
		c[i].last = now;
	}
	return (int)k;
}

static int round_of_stats(const struct parsed *p, struct sampled *c, size_t n, bool clear, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	json_t **rows = arena_new(&a, json_t *, n + 1);
	const struct timespec second = {.tv_sec = 1};
	if (!rows)
		return err_nomem(e);
	nanosleep(&second, NULL);
	int k = sample(c, n, rows, flag_on(p, "no-trunc"), false, &a, e);
	if (k < 0)
		return k;
	if (clear)
		fputs("\033[H\033[J", stdout);
	int r = print_rows(rows, (size_t)k, columns, ARRAY_LEN(columns), flag_get(p, "format"), e);
	for (int i = 0; i < k; i++)
		json_decref(rows[i]);
	return fflush(stdout) == 0 ? r : -EPIPE;
}

static int run_stats(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	struct sampled *c;
	size_t n = 0;
	bool once = flag_on(p, "no-stream"), terminal = isatty(STDOUT_FILENO) && !once;
	int r = choose(p, a, &c, &n, &e);
	if (r >= 0)
		r = sample(c, n, NULL, false, true, a, &e);
	if (r >= 0)
		do {
			r = round_of_stats(p, c, n, terminal, &e);
			if (r >= 0 && !once && !p->args.n) { /* containers come and go */
				for (size_t i = 0; i < n; i++)
					json_decref(c[i].last);
				r = choose(p, a, &c, &n, &e);
				if (r >= 0)
					r = sample(c, n, NULL, false, false, a, &e);
			}
		} while (r >= 0 && !once);
	for (size_t i = 0; r >= 0 && i < n; i++)
		json_decref(c[i].last);
	return r < 0 ? fail(&e, 1) : 0;
}

static const struct flag update_flags[] = {{"blkio-weight", 0, "int", "Block IO weight (10 to 1000)"}, {"cpu-period", 0, "int", "CPU CFS period (microseconds)"}, {"cpu-quota", 0, "int", "CPU CFS quota (microseconds)"},
	{"cpu-rt-period", 0, "int", "CPU real-time period (microseconds)"}, {"cpu-rt-runtime", 0, "int", "CPU real-time runtime (microseconds)"}, {"cpu-shares", 'c', "int", "CPU shares (relative weight)"},
	{"cpus", 0, "decimal", "Number of CPUs"}, {"cpuset-cpus", 0, "string", "CPUs to run on (0-3, 0,1)"}, {"cpuset-mems", 0, "string", "Memory nodes to use (0-3, 0,1)"}, {"memory", 'm', "bytes", "Memory limit"},
	{"memory-reservation", 0, "bytes", "Soft memory limit"}, {"memory-swap", 0, "bytes", "Limit of memory plus swap, -1 for unlimited swap"}, {"pids-limit", 0, "int", "Limit of processes, -1 for none"},
	{"restart", 0, "string", "Restart policy"}};

static int run_update(const struct parsed *p, struct arena *a)
{
	struct err e = {0};
	OWN(own_json) json_t *body = update_body(p, a, &e);
	int status = 0;
	size_t k;
	json_t *w;
	if (!body)
		return fail(&e, 1);
	if (!json_object_size(body)) {
		fputs("you must provide one or more flags when using this command\n", stderr);
		return 1;
	}
	for (size_t i = 0; i < p->args.n; i++) {
		struct err one = {0};
		OWN(own_json) json_t *answer = NULL;
		if (http_call("POST", path_of(a, "containers", p->args.v[i], "update"), body, &answer, &one) < 0) {
			status = fail(&one, 1);
			continue;
		}
		puts(p->args.v[i]);
		json_array_foreach(json_object_get(answer, "Warnings"), k, w)
			fprintf(stderr, "%s\n", json_string_value(w));
	}
	return status;
}

const struct command commands_stats[] = {
	{"stats", "container", true, "[CONTAINER...]", "Show what containers use", FLAGS(stats_flags), false, 0, -1, run_stats, NULL},
	{"update", "container", true, "CONTAINER [CONTAINER...]", "Change limits and the restart policy of containers", FLAGS(update_flags), false, 1, -1, run_update, NULL},
	{NULL, NULL, false, NULL, NULL, NULL, 0, false, 0, 0, NULL, NULL},
};
