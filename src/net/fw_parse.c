/* fw_parse: reads iptables-save. Its grammar: "*table", ":CHAIN POLICY [packets:bytes]", "-A CHAIN rule" (with "[p:b] " in front under -c), "COMMIT", "#...". */
#include <errno.h>

#include "net/fw.h"

static int add_chain(struct arena *a, struct fw_listing *l, const char *line)
{
	if (l->nchains == l->ccap) {
		size_t cap = l->ccap ? l->ccap * 2 : 8;
		struct fw_chain *v = arena_new(a, struct fw_chain, cap);
		if (!v)
			return -ENOMEM;
		if (l->nchains)
			memcpy(v, l->chains, l->nchains * sizeof(*v));
		l->chains = v;
		l->ccap = cap;
	}
	size_t n = strcspn(line, " "), m = line[n] ? strcspn(line + n + 1, " ") : 0;
	l->chains[l->nchains++] = (struct fw_chain){.name = arena_dupn(a, line, n), .policy = arena_dupn(a, line[n] ? line + n + 1 : "-", line[n] ? m : 1)};
	return a->bad ? -ENOMEM : 0;
}

static int add_line(struct arena *a, struct fw_listing *l, const char *line)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct fw_line *v = arena_new(a, struct fw_line, cap);
		if (!v)
			return -ENOMEM;
		if (l->n)
			memcpy(v, l->lines, l->n * sizeof(*v));
		l->lines = v;
		l->cap = cap;
	}
	size_t n = strcspn(line, " ");
	l->lines[l->n++] = (struct fw_line){.chain = arena_dupn(a, line, n), .text = arena_dup(a, line[n] ? line + n + 1 : "")};
	return a->bad ? -ENOMEM : 0;
}

static struct fw_listing *table_named(struct fw_listing *out, const char *name)
{
	for (int t = 0; t < FW_TABLE_N; t++)
		if (streq(name, fw_table_name((enum fw_table)t)))
			return &out[t];
	return NULL;
}

int fw_parse(const char *text, enum fw_family family, struct arena *a, struct fw_listing out[static FW_TABLE_N], struct err *e)
{
	struct fw_listing *l = NULL;
	bool inside = false;
	for (int t = 0; t < FW_TABLE_N; t++)
		out[t] = (struct fw_listing){.family = family, .table = (enum fw_table)t};
	for (unsigned number = 1; *text; number++) {
		size_t n = strcspn(text, "\n");
		char *line = arena_dupn(a, text, n);
		int r = 0;
		if (!line)
			return err_nomem(e);
		text += n + (text[n] == '\n');
		if (*line == '*' && !inside) {
			l = table_named(out, line + 1);
			inside = true;
		} else if (streq(line, "COMMIT") && inside) {
			inside = false;
		} else if (*line == ':' && inside) {
			r = l ? add_chain(a, l, line + 1) : 0;
		} else if (str_starts(line, "-A ") && inside) {
			r = l ? add_line(a, l, line + 3) : 0;
		} else if (*line && *line != '#') {
			return err_set(e, -EPROTO, "line %u of iptables-save is not understood: %.80s", number, line);
		}
		if (r < 0)
			return err_nomem(e);
	}
	return inside ? err_set(e, -EPROTO, "iptables-save ended in the middle of a table") : 0;
}
