#include "model/logging.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#define FILES_MOST 1000

/* "10m", "1.5gb": powers of 1000, as Docker's drivers read it. */
static int64_t human_size(const char *s)
{
	static const char letters[] = "bkmgtp";
	char *end;
	double v = strtod(s, &end), unit = 1;
	if (end == s || v < 0 || *s == '-' || *s == '+')
		return -1;
	if (*end == ' ')
		end++;
	if (*end) {
		char c = *end >= 'A' && *end <= 'Z' ? (char)(*end - 'A' + 'a') : *end;
		const char *p = strchr(letters, c);
		if (!p)
			return -1;
		for (const char *q = letters; q < p; q++)
			unit *= 1000;
		end++;
		if (c != 'b' && strcasecmp(end, "b") == 0)
			end++;
		if (*end)
			return -1;
	}
	return v * unit < 9e18 ? (int64_t)(v * unit) : -1;
}

int log_limits(const struct host_config *h, struct log_limits *out, struct err *e)
{
	const char *size = kvs_get(&h->log_config_opts, "max-size"), *files = kvs_get(&h->log_config_opts, "max-file");
	bool local = streq(h->log_type, "local");
	struct log_limits l = {.size = local ? 20000000 : 0, .files = local ? 5 : 1};
	char *end;
	if (size && !streq(size, "-1")) {
		l.size = human_size(size);
		if (l.size <= 0)
			return err_as(e, ERR_INVALID, "failed to initialize logging driver: invalid size: '%s'", size);
	}
	if (files) {
		long n = strtol(files, &end, 10);
		if (!*files || *end)
			return err_as(e, ERR_INVALID, "failed to initialize logging driver: strconv.Atoi: parsing \"%s\": invalid syntax", files);
		if (n < 1)
			return err_as(e, ERR_INVALID, "failed to initialize logging driver: max-file cannot be less than 1");
		l.files = n > FILES_MOST ? FILES_MOST : (int)n;
	}
	*out = l;
	return 0;
}

static bool is_named(const char *list, const char *key, size_t n)
{
	for (; list && *list; list += strcspn(list, ","), list += *list == ',')
		if (strcspn(list, ",") == n && strncmp(list, key, n) == 0)
			return true;
	return false;
}

static bool is_matched(const char *pattern, const char *key)
{
	regex_t re;
	if (str_empty(pattern) || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	bool yes = regexec(&re, key, 0, NULL, 0) == 0;
	regfree(&re);
	return yes;
}

/* As in a URL's query. */
static const char *escaped(const char *s, struct arena *a)
{
	const char *out = "";
	for (; *s && out; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("-_.~", *s);
		out = arena_printf(a, plain ? "%s%c" : *s == ' ' ? "%s+" : "%s%%%02X", out, (unsigned char)*s);
	}
	return out;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void add(struct strv *l, const char *key, const char *value, struct arena *a)
{
	const char *k = escaped(key, a), *v = escaped(value, a), *pair = k && v ? arena_printf(a, "%s=%s", k, v) : NULL;
	if (pair)
		(void)strv_add(a, l, pair);
}

const char *log_details(const struct container_spec *s, struct arena *a)
{
	const struct kvs *o = &s->host.log_config_opts, *labels = &s->config.labels;
	const char *names = kvs_get(o, "labels"), *env = kvs_get(o, "env"), *names_re = kvs_get(o, "labels-regex"), *env_re = kvs_get(o, "env-regex"), *text = "";
	struct strv pairs = {0};
	for (size_t i = 0; i < labels->n; i++)
		if (is_named(names, labels->v[i].key, strlen(labels->v[i].key)) || is_matched(names_re, labels->v[i].key))
			add(&pairs, labels->v[i].key, labels->v[i].value, a);
	for (size_t i = 0; i < s->config.env.n; i++) {
		size_t n = strcspn(s->config.env.v[i], "=");
		const char *key = arena_dupn(a, s->config.env.v[i], n);
		if (key && s->config.env.v[i][n] && (is_named(env, key, n) || is_matched(env_re, key)))
			add(&pairs, key, s->config.env.v[i] + n + 1, a);
	}
	if (pairs.n)
		qsort(pairs.v, pairs.n, sizeof(*pairs.v), by_text);
	for (size_t i = 0; i < pairs.n && text; i++)
		text = arena_printf(a, "%s%s%s", text, i ? "," : "", pairs.v[i]);
	return text ? text : "";
}
