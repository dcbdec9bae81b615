#include "image/word.h"

#include "base/buf.h"

#define WORD_DEPTH 16 /* ${A:-${B:-...}} */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static bool is_name(char c, bool first)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}

static int add(struct arena *a, struct strv *out, const char *s, size_t n, struct err *e)
{
	const char *w = arena_dupn(a, s, n);
	return w && strv_add(a, out, w) == 0 ? 0 : err_nomem(e);
}

/* The end of the word at s, with its quotes. An open quote runs to the end of the text: word_expand reports it. */
static const char *word_end(const char *s)
{
	char quote = 0;
	for (; *s && (quote || !is_space(*s)); s++) {
		if (*s == '\\' && quote != '\'' && s[1])
			s++;
		else if (quote && *s == quote)
			quote = 0;
		else if (!quote && (*s == '"' || *s == '\''))
			quote = *s;
	}
	return s;
}

static const char *field_end(const char *s)
{
	while (*s && !is_space(*s))
		s++;
	return s;
}

static int split(struct arena *a, const char *s, const char *(*end_of)(const char *s), struct strv *out, struct err *e)
{
	struct strv l = {};
	for (;;) {
		while (is_space(*s))
			s++;
		if (!*s)
			break;
		const char *end = end_of(s);
		try(add(a, &l, s, (size_t)(end - s), e));
		s = end;
	}
	*out = l;
	return 0;
}

int word_split(struct arena *a, const char *s, struct strv *out, struct err *e)
{
	return split(a, s, word_end, out, e);
}

int word_fields(struct arena *a, const char *s, struct strv *out, struct err *e)
{
	return split(a, s, field_end, out, e);
}

const char *word_env(const struct strv *env, const char *name, size_t n)
{
	for (size_t i = env->n; i-- > 0;)
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return env->v[i] + n + 1;
	return NULL;
}

struct expander {
	const char *s; /* next character */
	const struct strv *env;
	struct buf out;
	struct err *e;
};

static int expand_until(struct expander *x, char stop, unsigned depth);

static int expand_braces(struct expander *x, unsigned depth)
{
	const char *name = x->s;
	size_t n = 0;
	while (is_name(name[n], n == 0))
		n++;
	x->s += n;
	if (n == 0)
		return err_as(x->e, ERR_INVALID, "bad substitution: ${ needs a name");
	const char *value = word_env(x->env, name, n);
	bool set = !str_empty(value);
	if (*x->s == '}') {
		x->s++;
		buf_puts(&x->out, value ? value : "");
		return 0;
	}
	if (x->s[0] != ':' || (x->s[1] != '-' && x->s[1] != '+'))
		return err_as(x->e, ERR_INVALID, "unsupported modifier in substitution of ${%.*s...}",
			(int)(n > 100 ? 100 : n), name);
	bool minus = x->s[1] == '-';
	x->s += 2;
	size_t before = x->out.len;
	try(expand_until(x, '}', depth + 1));
	bool use_word = minus != set;
	if (!use_word) {
		x->out.len = before;
		if (x->out.data)
			x->out.data[before] = '\0';
	}
	if (minus && set)
		buf_puts(&x->out, value);
	return 0;
}

static int expand_dollar(struct expander *x, unsigned depth)
{
	size_t n = 0;
	if (*x->s == '{') {
		x->s++;
		return expand_braces(x, depth);
	}
	while (is_name(x->s[n], n == 0))
		n++;
	if (n == 0) {
		buf_putc(&x->out, '$');
		return 0;
	}
	const char *value = word_env(x->env, x->s, n);
	buf_puts(&x->out, value ? value : "");
	x->s += n;
	return 0;
}

static int expand_quoted(struct expander *x, char quote, unsigned depth)
{
	while (*x->s && *x->s != quote) {
		char c = *x->s++;
		if (c == '$' && quote == '"') {
			try(expand_dollar(x, depth));
			continue;
		}
		if (c == '\\' && quote == '"' && *x->s && strchr("\"$\\", *x->s))
			c = *x->s++;
		buf_putc(&x->out, c);
	}
	if (!*x->s)
		return err_as(x->e, ERR_INVALID, "unexpected end of statement while looking for matching %s-quote",
			quote == '"' ? "double" : "single");
	x->s++;
	return 0;
}

/* Up to and including `stop`, or to the end of the text when stop is 0. */
static int expand_until(struct expander *x, char stop, unsigned depth)
{
	if (depth > WORD_DEPTH)
		return err_as(x->e, ERR_INVALID, "substitutions nested too deeply");
	while (*x->s && *x->s != stop) {
		char c = *x->s++;
		if (c == '\'' || c == '"') {
			try(expand_quoted(x, c, depth));
		} else if (c == '$') {
			try(expand_dollar(x, depth));
		} else if (c == '\\') {
			if (*x->s)
				buf_putc(&x->out, *x->s++);
		} else {
			buf_putc(&x->out, c);
		}
	}
	if (stop && !*x->s)
		return err_as(x->e, ERR_INVALID, "syntax error: missing '%c'", stop);
	x->s += stop != 0;
	return 0;
}

int word_expand(struct arena *a, const char *s, const struct strv *env, const char **out, struct err *e)
{
	struct expander x = {.s = s, .env = env, .out = {.max = 1u << 20}, .e = e};
	int r = expand_until(&x, 0, 0);
	if (r == 0 && x.out.bad)
		r = err_as(e, ERR_TOO_LARGE, "the expansion of a word is too long or memory is out");
	const char *w = r == 0 ? arena_dup(a, buf_str(&x.out)) : NULL;
	buf_free(&x.out);
	if (r == 0 && !w)
		return err_nomem(e);
	if (r == 0)
		*out = w;
	return r;
}
