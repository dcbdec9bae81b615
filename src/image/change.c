#include "image/change.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>

#include "image/word.h"

/* One instruction while it is applied. */
struct change {
	struct change_config *c;
	const char *name; /* upper case */
	const char *rest; /* without white space at both ends */
	struct arena *a;
	struct err *e;
};

const struct json_field change_health_table[] = {
	{"Test", J_STRV, offsetof(struct change_health, test), J_OMIT},
	{"Interval", J_I64, offsetof(struct change_health, interval), J_OMIT},
	{"Timeout", J_I64, offsetof(struct change_health, timeout), J_OMIT},
	{"StartPeriod", J_I64, offsetof(struct change_health, start_period), J_OMIT},
	{"StartInterval", J_I64, offsetof(struct change_health, start_interval), J_OMIT},
	{"Retries", J_I64, offsetof(struct change_health, retries), J_OMIT},
	J_END,
};

void change_config_init(struct change_config *c)
{
	*c = (struct change_config){.user = "", .working_dir = "", .stop_signal = ""};
}

static int add(struct change *ch, struct strv *l, const char *s)
{
	return strv_add(ch->a, l, s) == 0 ? 0 : err_nomem(ch->e);
}

static int add_once(struct change *ch, struct strv *l, const char *s)
{
	return strv_has(l, s) ? 0 : add(ch, l, s);
}

/* ["a","b"]: 1 and the list; 0 when the text is not JSON of a list; an error when the list holds other things than
 * strings. */
static int parse_list(struct change *ch, const char *text, struct strv *out)
{
	OWN(own_json) json_t *j = NULL;
	struct strv l = {};
	size_t i;
	json_t *v;

	if (*text != '[' || json_parse(text, strlen(text), &j, NULL) < 0 || !json_is_array(j))
		return 0;
	json_array_foreach(j, i, v)
	{
		if (!json_is_string(v))
			return err_as(ch->e, ERR_INVALID,
				"when using JSON array syntax, arrays must be comprised of strings only");
		try(add(ch, &l, json_string_value(v)));
	}
	*out = l;
	return 1;
}

/* The command of CMD and ENTRYPOINT: a list, or a line for the shell. */
static int parse_command(struct change *ch, const char *text, struct strv *out)
{
	struct strv l = {};
	int is_list = parse_list(ch, text, &l);
	try(is_list);
	if (!is_list && *text) {
		try(add(ch, &l, "/bin/sh"));
		try(add(ch, &l, "-c"));
		try(add(ch, &l, text));
	}
	*out = l;
	return 0;
}

static int apply_cmd(struct change *ch)
{
	return parse_command(ch, ch->rest, &ch->c->cmd);
}

static int apply_entrypoint(struct change *ch)
{
	return parse_command(ch, ch->rest, &ch->c->entrypoint);
}

/* Calls set(key, value) for each pair of "K=V K2='v 2'", or for the old form "K the rest of the line". */
static int each_pair(struct change *ch, int (*set)(struct change *ch, const char *key, const char *value))
{
	struct strv w = {}, env = ch->c->env; /* values see the variables as they were before the line */
	try(word_split(ch->a, ch->rest, &w, ch->e));
	if (w.n == 0)
		return err_as(ch->e, ERR_INVALID, "%s requires at least one argument", ch->name);
	if (!strchr(w.v[0], '=')) {
		const char *value = NULL, *rest = ch->rest + strlen(w.v[0]);
		if (w.n < 2)
			return err_as(ch->e, ERR_INVALID, "%s must have two arguments", ch->name);
		rest += strspn(rest, " \t\r\n\v\f");
		try(word_expand(ch->a, rest, &env, &value, ch->e));
		return set(ch, w.v[0], value);
	}
	for (size_t i = 0; i < w.n; i++) {
		const char *eq = strchr(w.v[i], '='), *key = NULL, *value = NULL;
		if (!eq)
			return err_as(ch->e, ERR_INVALID,
				"Syntax error - can't find = in \"%.200s\". Must be of the form: name=value", w.v[i]);
		const char *name = arena_dupn(ch->a, w.v[i], (size_t)(eq - w.v[i]));
		if (!name)
			return err_nomem(ch->e);
		try(word_expand(ch->a, name, &env, &key, ch->e));
		try(word_expand(ch->a, eq + 1, &env, &value, ch->e));
		if (!*key)
			return err_as(ch->e, ERR_INVALID, "%s names can not be blank", ch->name);
		try(set(ch, key, value));
	}
	return 0;
}

static int set_env(struct change *ch, const char *key, const char *value)
{
	struct strv *env = &ch->c->env, next = {};
	const char *line = arena_printf(ch->a, "%s=%s", key, value);
	size_t n = strlen(key);
	bool put = false;

	if (!line)
		return err_nomem(ch->e);
	for (size_t i = 0; i < env->n; i++) {
		bool same = strncmp(env->v[i], key, n) == 0 && env->v[i][n] == '=';
		try(add(ch, &next, same ? line : env->v[i]));
		put = put || same;
	}
	if (!put)
		try(add(ch, &next, line));
	*env = next; /* a new list: each_pair still reads the old one */
	return 0;
}

static int apply_env(struct change *ch)
{
	return each_pair(ch, set_env);
}

static int set_label(struct change *ch, const char *key, const char *value)
{
	return kvs_set(ch->a, &ch->c->labels, key, value) == 0 ? 0 : err_nomem(ch->e);
}

static int apply_label(struct change *ch)
{
	return each_pair(ch, set_label);
}

static int one_word(struct change *ch, const char **out)
{
	if (!*ch->rest)
		return err_as(ch->e, ERR_INVALID, "%s requires exactly one argument", ch->name);
	return word_expand(ch->a, ch->rest, &ch->c->env, out, ch->e);
}

static int apply_user(struct change *ch)
{
	return one_word(ch, &ch->c->user);
}

/* The path with "." and ".." taken out and without doubled slashes. */
static int clean_path(struct change *ch, const char *base, const char *path, const char **out)
{
	OWN(own_buf) struct buf b = {};
	OWN(own_free) char *copy = NULL;
	char *save = NULL;

	if (asprintf(&copy, "%s/%s", *path == '/' ? "" : base, path) < 0) {
		copy = NULL;
		return err_nomem(ch->e);
	}
	for (char *t = strtok_r(copy, "/", &save); t; t = strtok_r(NULL, "/", &save)) {
		if (streq(t, "."))
			continue;
		if (!streq(t, "..")) {
			buf_printf(&b, "/%s", t);
			continue;
		}
		while (b.len > 0 && b.data[b.len - 1] != '/')
			b.data[--b.len] = '\0';
		if (b.len > 0)
			b.data[--b.len] = '\0';
	}
	const char *s = b.bad ? NULL : arena_dup(ch->a, b.len ? b.data : "/");
	if (!s)
		return err_nomem(ch->e);
	*out = s;
	return 0;
}

static int apply_workdir(struct change *ch)
{
	const char *path = NULL;
	try(one_word(ch, &path));
	if (!*path)
		return err_as(ch->e, ERR_INVALID, "cannot normalize nothing");
	return clean_path(ch, ch->c->working_dir, path, &ch->c->working_dir);
}

static int apply_volume(struct change *ch)
{
	struct strv l = {};
	int is_list = parse_list(ch, ch->rest, &l);
	try(is_list);
	if (!is_list)
		try(word_fields(ch->a, ch->rest, &l, ch->e));
	if (l.n == 0)
		return err_as(ch->e, ERR_INVALID, "VOLUME requires at least one argument");
	for (size_t i = 0; i < l.n; i++) {
		const char *v = NULL;
		try(word_expand(ch->a, l.v[i], &ch->c->env, &v, ch->e));
		if (!*v)
			return err_as(ch->e, ERR_INVALID, "VOLUME specified can not be an empty string");
		try(add_once(ch, &ch->c->volumes, v));
	}
	return 0;
}

/* Reads 1..65535 of at most `n` bytes; 0 when it is not a port. */
static unsigned port(const char *s, size_t n)
{
	unsigned v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || i > 4)
			return 0;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	return v <= 65535 ? v : 0;
}

/* "80", "53/udp", "8000-8010/tcp". */
static int expose(struct change *ch, const char *spec)
{
	const char *slash = strchr(spec, '/'), *proto = slash ? slash + 1 : "tcp";
	size_t n = slash ? (size_t)(slash - spec) : strlen(spec);
	const char *dash = memchr(spec, '-', n);
	size_t head = dash ? (size_t)(dash - spec) : n;
	unsigned from = port(spec, head), to = dash ? port(dash + 1, n - head - 1) : from;
	char low[8] = "";

	for (size_t i = 0; i < sizeof(low) - 1 && proto[i]; i++)
		low[i] = (char)tolower((unsigned char)proto[i]);
	if (strlen(proto) > 4 || !(streq(low, "tcp") || streq(low, "udp") || streq(low, "sctp")))
		return err_as(ch->e, ERR_INVALID, "invalid proto: %.100s", proto);
	if (from == 0 || to < from)
		return err_as(ch->e, ERR_INVALID, "invalid containerPort: %.*s", (int)(n > 100 ? 100 : n), spec);
	for (unsigned p = from; p <= to; p++) {
		const char *key = arena_printf(ch->a, "%u/%s", p, low);
		if (!key)
			return err_nomem(ch->e);
		try(to - from > 1000 ? add(ch, &ch->c->exposed_ports, key) : add_once(ch, &ch->c->exposed_ports, key));
	}
	return 0;
}

static int apply_expose(struct change *ch)
{
	struct strv w = {}, ports = {};
	const char *text = NULL;
	try(word_expand(ch->a, ch->rest, &ch->c->env, &text, ch->e));
	try(word_fields(ch->a, text, &ports, ch->e));
	if (ports.n == 0)
		return err_as(ch->e, ERR_INVALID, "EXPOSE requires at least one argument");
	w = ports;
	for (size_t i = 0; i < w.n; i++)
		try(expose(ch, w.v[i]));
	return 0;
}

static bool signal_valid(const char *s)
{
	char *end = NULL;
	if (str_starts(s, "SIG"))
		s += 3;
	if (*s >= '0' && *s <= '9') {
		long n = strtol(s, &end, 10);
		return !*end && n >= 1 && n <= 64;
	}
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && streq(sigabbrev_np(i), s))
			return true;
	if (!str_starts(s, "RTMIN") && !str_starts(s, "RTMAX"))
		return false;
	if (!s[5])
		return true;
	if (s[5] != (s[4] == 'N' ? '+' : '-') || s[6] < '0' || s[6] > '9')
		return false;
	long n = strtol(s + 6, &end, 10);
	return !*end && n >= 0 && n <= 30;
}

static int apply_stopsignal(struct change *ch)
{
	const char *s = NULL;
	try(one_word(ch, &s));
	if (!signal_valid(s))
		return err_as(ch->e, ERR_INVALID, "invalid signal: %.100s", s);
	ch->c->stop_signal = s;
	return 0;
}

/* The first word of `text`, in upper case. */
static const char *verb_of(struct change *ch, const char *text)
{
	size_t n = strcspn(text, " \t\r\n\v\f");
	char *v = arena_dupn(ch->a, text, n);
	for (size_t i = 0; v && i < n; i++)
		v[i] = (char)toupper((unsigned char)v[i]);
	return v;
}

static int apply_onbuild(struct change *ch)
{
	if (!*ch->rest)
		return err_as(ch->e, ERR_INVALID, "ONBUILD requires at least one argument");
	const char *verb = verb_of(ch, ch->rest);
	if (!verb)
		return err_nomem(ch->e);
	if (streq(verb, "ONBUILD"))
		return err_as(ch->e, ERR_INVALID, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	if (streq(verb, "MAINTAINER") || streq(verb, "FROM"))
		return err_as(ch->e, ERR_INVALID, "%s isn't allowed as an ONBUILD trigger", verb);
	return add(ch, &ch->c->on_build, ch->rest);
}

/* Go's duration text ("1m30s", "1.5h", "500ms") in nanoseconds. */
static int duration(const char *s, int64_t *out)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
	double sum = 0;

	if (!*s)
		return -EINVAL;
	if (streq(s, "0")) {
		*out = 0;
		return 0;
	}
	while (*s) {
		char *end = NULL;
		if ((*s < '0' || *s > '9') && *s != '.')
			return -EINVAL;
		double v = strtod(s, &end);
		size_t n = strspn(end, "nusmh"), i = 0;
		while (i < ARRAY_LEN(units) && !(strlen(units[i].unit) == n && strncmp(end, units[i].unit, n) == 0))
			i++;
		if (i == ARRAY_LEN(units))
			return -EINVAL;
		sum += v * units[i].ns;
		s = end + n;
	}
	if (!(sum < 9.2e18))
		return -EINVAL;
	*out = (int64_t)sum;
	return 0;
}

static int health_flag(struct change *ch, struct change_health *h, const char *flag)
{
	const struct {
		const char *name;
		int64_t *at;
	} times[] = {{"interval", &h->interval}, {"timeout", &h->timeout}, {"start-period", &h->start_period},
		{"start-interval", &h->start_interval}};
	const char *eq = strchr(flag, '=');
	size_t n = eq ? (size_t)(eq - flag) : strlen(flag);

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (strlen(times[i].name) != n || strncmp(times[i].name, flag, n) != 0)
			continue;
		if (!eq || duration(eq + 1, times[i].at) < 0)
			return err_as(ch->e, ERR_INVALID, "invalid duration \"%.100s\" for --%s", eq ? eq + 1 : "",
				times[i].name);
		if (*times[i].at != 0 && *times[i].at < 1000000)
			return err_as(ch->e, ERR_INVALID, "Interval \"%s\" cannot be less than 1ms", times[i].name);
		return 0;
	}
	if (n == 7 && strncmp(flag, "retries", 7) == 0) {
		char *end = NULL;
		long v = eq ? strtol(eq + 1, &end, 10) : -1;
		if (!eq || end == eq + 1 || *end || v < 0 || v > INT32_MAX)
			return err_as(
				ch->e, ERR_INVALID, "--retries must be at least 0, not \"%.100s\"", eq ? eq + 1 : "");
		h->retries = v;
		return 0;
	}
	return err_as(ch->e, ERR_INVALID, "Unknown flag: %.*s", (int)(n > 100 ? 100 : n), flag);
}

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t\r\n\v\f");
}

static int apply_healthcheck(struct change *ch)
{
	struct change_health *h = arena_new(ch->a, struct change_health, 1);
	const char *s = ch->rest;

	if (!h)
		return err_nomem(ch->e);
	for (; str_starts(s, "--"); s = skip_space(s)) {
		size_t n = strcspn(s, " \t\r\n\v\f");
		const char *flag = arena_dupn(ch->a, s + 2, n - 2);
		if (!flag)
			return err_nomem(ch->e);
		try(health_flag(ch, h, flag));
		s += n;
	}
	const char *type = verb_of(ch, s);
	if (!type)
		return err_nomem(ch->e);
	const char *rest = skip_space(s + strlen(type));
	if (!*type)
		return err_as(ch->e, ERR_INVALID, "HEALTHCHECK requires at least one argument");
	if (streq(type, "NONE")) {
		if (*rest)
			return err_as(ch->e, ERR_INVALID, "HEALTHCHECK NONE takes no arguments");
		try(add(ch, &h->test, "NONE"));
	} else if (streq(type, "CMD")) {
		struct strv cmd = {};
		int is_list = parse_list(ch, rest, &cmd);
		try(is_list);
		if (!is_list && *rest)
			try(add(ch, &cmd, rest));
		if (cmd.n == 0)
			return err_as(ch->e, ERR_INVALID, "Missing command after HEALTHCHECK CMD");
		try(add(ch, &h->test, is_list ? "CMD" : "CMD-SHELL"));
		for (size_t i = 0; i < cmd.n; i++)
			try(add(ch, &h->test, cmd.v[i]));
	} else {
		return err_as(ch->e, ERR_INVALID, "Unknown type \"%.100s\" in HEALTHCHECK (try CMD)", type);
	}
	ch->c->health = h;
	return 0;
}

static const struct {
	const char *name;
	int (*apply)(struct change *ch); /* NULL: an instruction that only a build can carry out */
} instructions[] = {
	{"CMD", apply_cmd},
	{"ENTRYPOINT", apply_entrypoint},
	{"ENV", apply_env},
	{"EXPOSE", apply_expose},
	{"HEALTHCHECK", apply_healthcheck},
	{"LABEL", apply_label},
	{"ONBUILD", apply_onbuild},
	{"STOPSIGNAL", apply_stopsignal},
	{"USER", apply_user},
	{"VOLUME", apply_volume},
	{"WORKDIR", apply_workdir},
	{"ADD", NULL},
	{"ARG", NULL},
	{"COPY", NULL},
	{"FROM", NULL},
	{"MAINTAINER", NULL},
	{"RUN", NULL},
	{"SHELL", NULL},
};

static int apply_line(struct change_config *c, char *line, struct arena *a, struct err *e)
{
	struct change ch = {.c = c, .a = a, .e = e};
	char *s = line + strspn(line, " \t\r\n\v\f");
	size_t n = strlen(s);

	while (n > 0 && strchr(" \t\r\n\v\f", s[n - 1]))
		s[--n] = '\0';
	if (!*s || *s == '#')
		return 0;
	ch.name = verb_of(&ch, s);
	if (!ch.name)
		return err_nomem(e);
	ch.rest = skip_space(s + strlen(ch.name));
	for (size_t i = 0; i < ARRAY_LEN(instructions); i++) {
		if (!streq(instructions[i].name, ch.name))
			continue;
		if (!instructions[i].apply)
			return err_as(e, ERR_INVALID, "%s is not a valid change command", ch.name);
		return instructions[i].apply(&ch);
	}
	return err_as(e, ERR_INVALID, "unknown instruction: %.100s", ch.name);
}

int change_apply(struct change_config *c, const char *text, struct arena *a, struct err *e)
{
	OWN(own_free) char *copy = strdup(text);
	OWN(own_buf) struct buf line = {};
	char *next = copy;

	if (!copy)
		return err_nomem(e);
	str_make_utf8(copy); /* it goes into JSON */
	while (next) {
		char *s = strsep(&next, "\n");
		size_t n = strlen(s);
		if (n > 0 && s[n - 1] == '\r')
			s[--n] = '\0';
		bool joined = n > 0 && s[n - 1] == '\\' && next;
		if (joined)
			s[n - 1] = '\0';
		buf_puts(&line, s);
		if (joined)
			continue;
		if (line.bad)
			return err_nomem(e);
		if (line.len > 0)
			try(apply_line(c, line.data, a, e));
		buf_drop(&line, line.len);
	}
	return 0;
}
