#include "net/resolv.h"

#define RESOLV_LINE 1024

static int words(struct arena *a, const char *s, struct strv *out)
{
	char word[RESOLV_LINE];
	for (;;) {
		s += strspn(s, " \t\r");
		size_t n = strcspn(s, " \t\r");
		if (!n || n >= sizeof(word))
			return 0;
		memcpy(word, s, n);
		word[n] = '\0';
		try(strv_add(a, out, word));
		s += n;
	}
}

static int read_line(struct arena *a, const char *line, struct resolv *r)
{
	struct strv w = {0};
	try(words(a, line, &w));
	if (!w.n || *w.v[0] == '#' || *w.v[0] == ';')
		return 0;
	struct strv rest = {.v = w.v + 1, .n = w.n - 1};
	struct ip ip;
	char plain[64];
	if (streq(w.v[0], "nameserver")) {
		if (rest.n == 0)
			return 0;
		str_copy(plain, sizeof(plain), rest.v[0]);
		plain[strcspn(plain, "%")] = '\0';
		return ip_parse(plain, &ip) == 0 ? strv_add(a, &r->servers, rest.v[0]) : 0;
	}
	if (streq(w.v[0], "search") || streq(w.v[0], "domain")) {
		r->search = rest;
		return 0;
	}
	if (streq(w.v[0], "options")) {
		for (size_t i = 0; i < rest.n; i++)
			try(strv_add(a, &r->options, rest.v[i]));
		return 0;
	}
	return strv_add(a, &r->other, line);
}

int resolv_read(struct arena *a, const char *text, struct resolv *r)
{
	char line[RESOLV_LINE];
	while (*text) {
		size_t n = strcspn(text, "\n");
		if (n < sizeof(line)) { /* longer ones are no resolv.conf lines: resolvers cut them at 256 bytes */
			memcpy(line, text, n);
			line[n] = '\0';
			try(read_line(a, line, r));
		}
		text += n + (text[n] == '\n');
	}
	return 0;
}

bool resolv_is_number(const char *s)
{
	return *s && strlen(s) < 4 && strspn(s, "0123456789") == strlen(s);
}
