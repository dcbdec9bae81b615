/* Theory of operation
 *
 * The template is run while it is read: exec() copies text and obeys actions until the end or the action that closes its block; `live` says
 * whether it prints. A branch not taken is read with live = false, a loop's body is read once per element from where it starts. Depth is
 * bounded (DEPTH_MAX), and so is the number of steps (STEPS_MAX), so that no template runs for ever. */
#include "cli/template.h"

#include <ctype.h>
#include <errno.h>

#define DEPTH_MAX 32
#define STEPS_MAX 2000000
#define VARS_MAX  32
#define ARGS_MAX  8

struct var {
	char name[64];
	json_t *value;
};

struct run {
	const char *p;
	struct buf *out;
	struct err *e;
	struct var vars[VARS_MAX];
	size_t nvars;
	int depth;
	unsigned steps;
};

struct action { /* the text between {{ and }} */
	const char *s, *end;
};

static int fail(struct run *r, const char *what, const char *at, size_t n)
{
	return err_as(r->e, ERR_INVALID, "template parsing error: %s: \"%.*s\"", what, (int)(n > 40 ? 40 : n), at);
}

static void blanks(struct action *a)
{
	while (a->s < a->end && isspace((unsigned char)*a->s))
		a->s++;
}

static bool word(struct action *a, const char *w)
{
	size_t n = strlen(w);
	if ((size_t)(a->end - a->s) < n || memcmp(a->s, w, n) != 0 || (a->s + n < a->end && (isalnum((unsigned char)a->s[n]) || a->s[n] == '_')))
		return false;
	a->s += n;
	blanks(a);
	return true;
}

static bool truth(const json_t *v)
{
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_TRUE:
		return true;
	case JSON_STRING:
		return json_string_length(v) > 0;
	case JSON_INTEGER:
		return json_integer_value(v) != 0;
	case JSON_REAL:
		return json_real_value(v) != 0;
	case JSON_ARRAY:
		return json_array_size(v) > 0;
	case JSON_OBJECT:
		return json_object_size(v) > 0;
	case JSON_FALSE:
	case JSON_NULL:
		break;
	}
	return false;
}

static void print(struct buf *out, const json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;
	bool first = true;
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_STRING:
		buf_put(out, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		buf_printf(out, "%g", json_real_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_puts(out, json_is_true(v) ? "true" : "false");
		break;
	case JSON_ARRAY:
		buf_putc(out, '[');
		json_array_foreach(v, i, item)
		{
			if (i)
				buf_putc(out, ' ');
			print(out, item);
		}
		buf_putc(out, ']');
		break;
	case JSON_OBJECT:
		buf_puts(out, "map[");
		json_object_foreach((json_t *)(uintptr_t)v, key, item)
		{
			buf_printf(out, "%s%s:", first ? "" : " ", key);
			print(out, item);
			first = false;
		}
		buf_putc(out, ']');
		break;
	case JSON_NULL:
		buf_puts(out, "<no value>");
		break;
	}
}

static int pipeline(struct run *r, struct action *a, json_t *dot, json_t **out);

/* ".A.B" after a value; a new reference. */
static int fields(struct run *r, struct action *a, json_t *v, json_t **out)
{
	json_incref(v);
	while (a->s < a->end && *a->s == '.') {
		const char *name = ++a->s;
		char key[256];
		while (a->s < a->end && (isalnum((unsigned char)*a->s) || *a->s == '_'))
			a->s++;
		size_t n = (size_t)(a->s - name);
		if (!n)
			break; /* a lone dot */
		if (n >= sizeof(key)) {
			json_decref(v);
			return fail(r, "a field name is too long", name, n);
		}
		memcpy(key, name, n);
		key[n] = '\0';
		json_t *next = json_object_get(v, key);
		next = next ? json_incref(next) : json_null();
		json_decref(v);
		v = next;
	}
	*out = v;
	return 0;
}

static int string_literal(struct run *r, struct action *a, json_t **out)
{
	OWN(own_buf) struct buf b = {0};
	char quote = *a->s++;
	while (a->s < a->end && *a->s != quote) {
		char c = *a->s++;
		if (c == '\\' && quote == '"' && a->s < a->end) {
			c = *a->s++;
			c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
		}
		buf_putc(&b, c);
	}
	if (a->s == a->end)
		return fail(r, "unterminated quoted string", a->s, 0);
	a->s++;
	*out = json_stringn(buf_str(&b), b.len);
	return *out ? 0 : fail(r, "a string is not UTF-8", buf_str(&b), b.len);
}

static json_t *variable(const struct run *r, const char *name, size_t n)
{
	for (size_t i = r->nvars; i-- > 0;)
		if (strlen(r->vars[i].name) == n && memcmp(r->vars[i].name, name, n) == 0)
			return r->vars[i].value;
	return NULL;
}

static int operand(struct run *r, struct action *a, json_t *dot, json_t **out)
{
	blanks(a);
	if (a->s == a->end)
		return fail(r, "missing value for command", a->s, 0);
	if (*a->s == '.')
		return fields(r, a, dot, out);
	if (*a->s == '"' || *a->s == '`')
		return string_literal(r, a, out);
	if (*a->s == '(') {
		a->s++;
		if (++r->depth > DEPTH_MAX)
			return fail(r, "nested too deep", a->s, 0);
		json_t *v;
		try(pipeline(r, a, dot, &v));
		r->depth--;
		blanks(a);
		if (a->s == a->end || *a->s != ')') {
			json_decref(v);
			return fail(r, "unclosed left paren", a->s, (size_t)(a->end - a->s));
		}
		a->s++;
		int rc = fields(r, a, v, out);
		json_decref(v);
		return rc;
	}
	if (*a->s == '$') {
		const char *name = a->s++;
		while (a->s < a->end && (isalnum((unsigned char)*a->s) || *a->s == '_'))
			a->s++;
		json_t *v = variable(r, name, (size_t)(a->s - name));
		return v ? fields(r, a, v, out) : fail(r, "undefined variable", name, (size_t)(a->s - name));
	}
	if (isdigit((unsigned char)*a->s) || *a->s == '-') {
		char *end;
		long long n = strtoll(a->s, &end, 10);
		if (end == a->s || end > a->end)
			return fail(r, "bad number", a->s, (size_t)(a->end - a->s));
		a->s = end;
		*out = json_integer(n);
		return 0;
	}
	if (word(a, "true") || word(a, "false")) {
		*out = json_boolean(a->s[-1] == 'e' && memchr(a->s - 5, 't', 5) != NULL);
		return 0;
	}
	if (word(a, "nil")) {
		*out = json_null();
		return 0;
	}
	return fail(r, "unexpected", a->s, (size_t)(a->end - a->s));
}

static json_t *text_of(const json_t *v)
{
	OWN(own_buf) struct buf b = {0};
	print(&b, v);
	return json_stringn_nocheck(buf_str(&b), b.len);
}

static json_t *changed_case(const char *s, int how) /* 0 lower, 1 upper, 2 title */
{
	OWN(own_buf) struct buf b = {0};
	bool start = true;
	for (; *s; s++) {
		buf_putc(&b, (char)(how == 0 ? tolower((unsigned char)*s) : how == 1 || start ? toupper((unsigned char)*s) : *s));
		start = *s == ' ';
	}
	return json_string_nocheck(buf_str(&b));
}

static json_t *split(const char *s, const char *sep)
{
	json_t *j = json_array();
	size_t n = strlen(sep);
	for (const char *p; n && (p = strstr(s, sep)); s = p + n)
		json_array_append_new(j, json_stringn(s, (size_t)(p - s)));
	json_array_append_new(j, json_string(s));
	return j;
}

static json_t *join(const json_t *list, const char *sep)
{
	OWN(own_buf) struct buf b = {0};
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v)
	{
		if (i)
			buf_puts(&b, sep);
		print(&b, v);
	}
	return json_string_nocheck(buf_str(&b));
}

static json_t *element(json_t *v, json_t *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v = json_is_array(v) ? json_array_get(v, (size_t)json_integer_value(keys[i])) : json_is_string(keys[i]) ? json_object_get(v, json_string_value(keys[i])) : NULL;
	return v ? json_incref(v) : json_null();
}

static size_t length(const json_t *v)
{
	return json_is_string(v) ? json_string_length(v) : json_is_array(v) ? json_array_size(v) : json_object_size(v);
}

static int compare(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b)) {
		double x = json_number_value(a), y = json_number_value(b);
		return x < y ? -1 : x > y;
	}
	if (json_is_string(a) && json_is_string(b))
		return strcmp(json_string_value(a), json_string_value(b));
	return json_equal(a, b) ? 0 : 1;
}

/* printf with %s %d %v %q %%. */
static json_t *formatted(json_t *const *v, size_t n)
{
	OWN(own_buf) struct buf b = {0};
	size_t at = 1;
	for (const char *f = n ? json_string_value(v[0]) : ""; f && *f; f++) {
		if (*f != '%' || !f[1]) {
			buf_putc(&b, *f);
			continue;
		}
		const char *spec = f++;
		while (*f && strchr("-0123456789.+", *f))
			f++;
		if (*f == '%') {
			buf_putc(&b, '%');
		} else if (at < n) {
			OWN(own_json) json_t *t = text_of(v[at++]);
			int width = atoi(spec + 1);
			buf_printf(&b, *f == 'q' ? "\"%*s\"" : "%*s", width > 500 || width < -500 ? 0 : width, json_string_value(t));
		} else {
			buf_printf(&b, "%%!%c(MISSING)", *f);
		}
		if (!*f)
			break;
	}
	return json_string_nocheck(buf_str(&b));
}

static const char *str(json_t *const *v, size_t n, size_t i)
{
	return i < n && json_is_string(v[i]) ? json_string_value(v[i]) : "";
}

enum fn { F_JSON, F_LEN, F_INDEX, F_PRINT, F_PRINTF, F_PRINTLN, F_JOIN, F_SPLIT, F_LOWER, F_UPPER, F_TITLE, F_TRUNCATE, F_EQ, F_NE, F_LT, F_LE, F_GT, F_GE, F_NOT, F_AND, F_OR, F_TABLE_N };
static const char *const fn_names[] = {"json", "len", "index", "print", "printf", "println", "join", "split", "lower", "upper", "title", "truncate", "eq", "ne", "lt", "le", "gt", "ge", "not", "and", "or"};
static_assert(ARRAY_LEN(fn_names) == F_TABLE_N, "fn_names[] is missing a function");

static json_t *call(enum fn f, json_t *const *v, size_t n)
{
	switch (f) {
	case F_JSON: {
		OWN(own_free) char *t = n ? json_dumps(v[0], JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
		return t ? json_string_nocheck(t) : NULL;
	}
	case F_LEN:
		return n ? json_integer((json_int_t)length(v[0])) : NULL;
	case F_INDEX:
		return n ? element(v[0], v + 1, n - 1) : NULL;
	case F_PRINT:
	case F_PRINTLN: {
		OWN(own_buf) struct buf b = {0};
		for (size_t i = 0; i < n; i++) {
			if (i && f == F_PRINTLN)
				buf_putc(&b, ' ');
			print(&b, v[i]);
		}
		if (f == F_PRINTLN)
			buf_putc(&b, '\n');
		return json_string_nocheck(buf_str(&b));
	}
	case F_PRINTF:
		return formatted(v, n);
	case F_JOIN:
		return n == 2 ? join(v[0], str(v, n, 1)) : NULL;
	case F_SPLIT:
		return n == 2 ? split(str(v, n, 0), str(v, n, 1)) : NULL;
	case F_LOWER:
	case F_UPPER:
	case F_TITLE:
		return n == 1 ? changed_case(str(v, n, 0), (int)f - F_LOWER) : NULL;
	case F_TRUNCATE:
		return n == 2 ? json_sprintf("%.*s", (int)json_integer_value(v[1]), str(v, n, 0)) : NULL;
	case F_EQ:
		for (size_t i = 1; i < n; i++)
			if (compare(v[0], v[i]) == 0)
				return json_true();
		return n > 1 ? json_false() : NULL;
	case F_NE:
		return n == 2 ? json_boolean(compare(v[0], v[1]) != 0) : NULL;
	case F_LT:
		return n == 2 ? json_boolean(compare(v[0], v[1]) < 0) : NULL;
	case F_LE:
		return n == 2 ? json_boolean(compare(v[0], v[1]) <= 0) : NULL;
	case F_GT:
		return n == 2 ? json_boolean(compare(v[0], v[1]) > 0) : NULL;
	case F_GE:
		return n == 2 ? json_boolean(compare(v[0], v[1]) >= 0) : NULL;
	case F_NOT:
		return n == 1 ? json_boolean(!truth(v[0])) : NULL;
	case F_AND:
	case F_OR:
		for (size_t i = 0; i + 1 < n; i++)
			if (truth(v[i]) == (f == F_OR))
				return json_incref(v[i]);
		return n ? json_incref(v[n - 1]) : NULL;
	case F_TABLE_N:
		break;
	}
	return NULL;
}

static bool at_end(struct action *a)
{
	blanks(a);
	return a->s == a->end || *a->s == '|' || *a->s == ')';
}

/* A function with its arguments, or an operand. piped: the value from the left of a "|", or NULL. */
static int command(struct run *r, struct action *a, json_t *dot, json_t *piped, json_t **out)
{
	json_t *v[ARGS_MAX + 1];
	size_t n = 0;
	int f = -1, rc = 0;
	blanks(a);
	const char *start = a->s;
	for (int i = 0; f < 0 && i < F_TABLE_N; i++)
		if (word(a, fn_names[i]))
			f = i;
	if (f < 0) {
		if (piped)
			return fail(r, "function not defined", start, (size_t)(a->end - start));
		if (a->s < a->end && (isalpha((unsigned char)*a->s)) && strncmp(a->s, "true", 4) != 0 && strncmp(a->s, "false", 5) != 0 && strncmp(a->s, "nil", 3) != 0)
			return fail(r, "function not defined", a->s, (size_t)(a->end - a->s));
		return operand(r, a, dot, out);
	}
	while (rc >= 0 && !at_end(a)) {
		if (n == ARGS_MAX)
			rc = fail(r, "too many arguments", start, (size_t)(a->end - start));
		else if ((rc = operand(r, a, dot, &v[n])) >= 0)
			n++;
	}
	if (rc >= 0 && piped)
		v[n++] = json_incref(piped);
	json_t *res = rc >= 0 ? call((enum fn)f, v, n) : NULL;
	if (rc >= 0 && !res)
		rc = fail(r, "wrong number of arguments", start, (size_t)(a->end - start));
	for (size_t i = 0; i < n; i++)
		json_decref(v[i]);
	if (rc >= 0)
		*out = res;
	return rc < 0 ? rc : 0;
}

static int pipeline(struct run *r, struct action *a, json_t *dot, json_t **out)
{
	json_t *v = NULL;
	for (;;) {
		json_t *next = NULL;
		int rc = command(r, a, dot, v, &next);
		json_decref(v);
		try(rc);
		v = next;
		blanks(a);
		if (a->s == a->end || *a->s != '|')
			break;
		a->s++;
	}
	*out = v;
	return 0;
}

/* Reads text up to the next action and prints it; trims as "{{-" and "-}}" ask. False at the end of the template. */
static bool next_action(struct run *r, bool live, struct action *a, int *rc)
{
	const char *open = strstr(r->p, "{{");
	size_t n = open ? (size_t)(open - r->p) : strlen(r->p);
	bool trim = open && open[2] == '-' && isspace((unsigned char)open[3]);
	size_t keep = n;
	while (trim && keep && isspace((unsigned char)r->p[keep - 1]))
		keep--;
	if (live)
		buf_put(r->out, r->p, keep);
	r->p += n;
	if (!open)
		return false;
	const char *close = strstr(open, "}}");
	if (!close) {
		*rc = fail(r, "unclosed action", open, strlen(open));
		return false;
	}
	*a = (struct action){open + 2 + trim, close};
	r->p = close + 2;
	if (close[-1] == '-' && close - 1 > a->s) {
		a->end--;
		while (isspace((unsigned char)*r->p))
			r->p++;
	}
	blanks(a);
	return true;
}

enum stop { STOP_END, STOP_ELSE, STOP_TEXT };
static int exec(struct run *r, json_t *dot, bool live, enum stop *stop, struct action *els);

static int set_var(struct run *r, const char *name, size_t n, json_t *v)
{
	if (r->nvars == VARS_MAX || n >= sizeof(r->vars[0].name))
		return fail(r, "too many variables", name, n);
	struct var *x = &r->vars[r->nvars++];
	memcpy(x->name, name, n);
	x->name[n] = '\0';
	x->value = json_incref(v);
	return 0;
}

static void drop_vars(struct run *r, size_t to)
{
	while (r->nvars > to)
		json_decref(r->vars[--r->nvars].value);
}

/* "$x :=" or "$i, $v :=" in front; names are told, the action advanced. */
static size_t declared(struct action *a, struct action names[2])
{
	struct action t = *a;
	size_t n = 0;
	while (n < 2 && t.s < t.end && *t.s == '$') {
		names[n].s = t.s++;
		while (t.s < t.end && (isalnum((unsigned char)*t.s) || *t.s == '_'))
			t.s++;
		names[n++].end = t.s;
		blanks(&t);
		if (t.s < t.end && *t.s == ',') {
			t.s++;
			blanks(&t);
			continue;
		}
		if (t.end - t.s > 1 && t.s[0] == ':' && t.s[1] == '=') {
			t.s += 2;
			*a = t;
			return n;
		}
		return 0;
	}
	return 0;
}

static int branch(struct run *r, struct action *a, json_t *dot, bool live, bool with)
{
	json_t *v = NULL;
	struct action names[2], els;
	enum stop stop;
	size_t vars = r->nvars, n = declared(a, names);
	int rc = live ? pipeline(r, a, dot, &v) : 0;
	bool yes = live && rc >= 0 && truth(v);
	if (rc >= 0 && n && live)
		rc = set_var(r, names[0].s, (size_t)(names[0].end - names[0].s), v);
	if (rc >= 0)
		rc = exec(r, with && yes ? v : dot, yes, &stop, &els);
	if (rc >= 0 && stop == STOP_ELSE) {
		bool rest = live && !yes;
		if (word(&els, "if") || (with && word(&els, "with")))
			rc = branch(r, &els, dot, rest, with); /* it reads up to the common end */
		else if ((rc = exec(r, dot, rest, &stop, &els)) >= 0 && stop != STOP_END)
			rc = fail(r, "unexpected else or end of template", "", 0);
	} else if (rc >= 0 && stop != STOP_END) {
		rc = fail(r, "unexpected EOF", "", 0);
	}
	drop_vars(r, vars);
	json_decref(v);
	return rc;
}

static int loop_once(struct run *r, const char *body, const struct action names[2], size_t n, json_t *key, json_t *v, enum stop *stop, struct action *els)
{
	size_t vars = r->nvars;
	r->p = body;
	int rc = 0;
	if (n == 2)
		rc = set_var(r, names[0].s, (size_t)(names[0].end - names[0].s), key);
	if (rc >= 0 && n)
		rc = set_var(r, names[n - 1].s, (size_t)(names[n - 1].end - names[n - 1].s), v);
	if (rc >= 0)
		rc = exec(r, v, true, stop, els);
	drop_vars(r, vars);
	return rc;
}

static int loop(struct run *r, struct action *a, json_t *dot, bool live)
{
	json_t *list = NULL, *v;
	struct action names[2], els;
	enum stop stop = STOP_TEXT;
	size_t n = declared(a, names), i;
	const char *key, *body = r->p;
	int rc = live ? pipeline(r, a, dot, &list) : 0;
	bool any = false;
	if (rc >= 0 && live && json_is_array(list)) {
		json_array_foreach(list, i, v)
		{
			OWN(own_json) json_t *k = json_integer((json_int_t)i);
			any = true;
			if (rc >= 0)
				rc = loop_once(r, body, names, n, k, v, &stop, &els);
		}
	} else if (rc >= 0 && live && json_is_object(list)) {
		json_object_foreach(list, key, v)
		{
			OWN(own_json) json_t *k = json_string(key);
			any = true;
			if (rc >= 0)
				rc = loop_once(r, body, names, n, k, v, &stop, &els);
		}
	}
	if (rc >= 0 && !any)
		rc = exec(r, dot, false, &stop, &els);
	if (rc >= 0 && stop == STOP_ELSE)
		rc = exec(r, dot, live && !any, &stop, &els);
	if (rc >= 0 && stop != STOP_END)
		rc = fail(r, "unexpected EOF", "", 0);
	json_decref(list);
	return rc;
}

static int one_action(struct run *r, struct action *a, json_t *dot, bool live)
{
	struct action names[2];
	json_t *v;
	if (a->end - a->s > 1 && a->s[0] == '/' && a->s[1] == '*')
		return 0;
	if (word(a, "if"))
		return branch(r, a, dot, live, false);
	if (word(a, "with"))
		return branch(r, a, dot, live, true);
	if (word(a, "range"))
		return loop(r, a, dot, live);
	if (!live)
		return 0;
	size_t n = declared(a, names);
	try(pipeline(r, a, dot, &v));
	blanks(a);
	int rc = a->s != a->end ? fail(r, "unexpected", a->s, (size_t)(a->end - a->s)) : 0;
	if (rc >= 0 && n)
		rc = set_var(r, names[0].s, (size_t)(names[0].end - names[0].s), v);
	else if (rc >= 0)
		print(r->out, v);
	json_decref(v);
	return rc;
}

static int exec(struct run *r, json_t *dot, bool live, enum stop *stop, struct action *els)
{
	struct action a;
	int rc = 0;
	if (++r->depth > DEPTH_MAX)
		return fail(r, "nested too deep", r->p, strlen(r->p));
	*stop = STOP_TEXT;
	while (rc >= 0 && next_action(r, live, &a, &rc)) {
		if (++r->steps > STEPS_MAX)
			return fail(r, "it runs for too long", r->p, strlen(r->p));
		if (word(&a, "end")) {
			*stop = STOP_END;
			break;
		}
		if (word(&a, "else")) {
			*stop = STOP_ELSE;
			*els = a;
			break;
		}
		rc = one_action(r, &a, dot, live);
	}
	r->depth--;
	return rc;
}

int template_run(const char *text, const json_t *dot, struct buf *out, struct err *e)
{
	struct run r = {.p = text, .out = out, .e = e};
	struct action els;
	enum stop stop;
	json_t *root = (json_t *)(uintptr_t)dot;
	int rc = set_var(&r, "$", 1, root);
	if (rc >= 0)
		rc = exec(&r, root, true, &stop, &els);
	if (rc >= 0 && stop != STOP_TEXT)
		rc = fail(&r, "unexpected {{end}} or {{else}}", "", 0);
	drop_vars(&r, 0);
	return rc < 0 ? rc : out->bad ? err_nomem(e) : 0;
}
