/* Theory of operation
 *
 * Reading: iptables-save's grammar is "*table", ":CHAIN POLICY [packets:bytes]", "-A CHAIN rule" (with "[p:b] " in
 * front under -c), "COMMIT" and "#...". A rule's text can hold a line feed inside quotes (-m comment), so a line ends
 * at a line feed outside of quotes.
 *
 * Writing: one run of iptables-restore --noflush for all tables of a family that change. Both variants commit each
 * table for itself, as a whole or not at all. What they really do:
 * ":CHAIN -" flushes a chain that exists, so it is never written; -N of a chain that exists and -D of a rule that does
 * not fail the run, so both are left out when the listing says so; -I with a number and -D mix freely, each number
 * counts what the lines before it have done.
 *
 * Where a rule is inserted follows from rank alone (fw.c), with the table as it is at this moment:
 *
 *   right after the last rule of ours in its chain that ranks lower,
 *   else right before the first of ours that ranks higher,
 *   else at the top; or at the end when it is of the class that closes a chain.
 *
 * So a new network's rules come directly after the isolation jump, whatever foreign rules stand below it; the jumps
 * stay in front, because nothing is ever inserted before them; and foreign rules keep their places among each other and
 * are only pushed down. The one exception is the jump to DOCKER-USER: it goes to the very top. Rules of ours that
 * somebody moved away are no landmarks: they are passed over.
 *
 * The cost is linear: rules of a chain are sorted by rank and merged with its lines. tests/net/test_fw.c holds the
 * golden texts, and tests/net/test_fw_real.c runs them with foreign rules between any two of ours. */
#include <errno.h>
#include <stdlib.h>

#include "base/map.h"
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
	size_t n = strcspn(line, " ");
	const char *policy = line[n] ? line + n + 1 : "-";
	l->chains[l->nchains++] = (struct fw_chain){
		.name = arena_dupn(a, line, n), .policy = arena_dupn(a, policy, strcspn(policy, " "))};
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
	l->lines[l->n++] = (struct fw_line){.chain = arena_dupn(a, line, n), .text = line[n] ? line + n + 1 : ""};
	return a->bad ? -ENOMEM : 0;
}

static struct fw_listing *table_named(struct fw_listing *out, const char *name)
{
	for (int t = 0; t < FW_TABLE_N; t++)
		if (streq(name, fw_table_name((enum fw_table)t)))
			return &out[t];
	return NULL;
}

/* Length of the logical line at `s`. */
static size_t line_length(const char *s)
{
	bool quoted = false;
	size_t n = 0;
	if (*s == '#')
		return strcspn(s, "\n");
	for (; s[n] && (quoted || s[n] != '\n'); n++) {
		if (s[n] == '"')
			quoted = !quoted;
		else if (s[n] == '\\' && quoted && s[n + 1])
			n++;
	}
	return n;
}

/* "[12:345] -A ..." as written with counters: where the rule begins. */
static const char *skip_counters(const char *line)
{
	size_t n = *line == '[' ? strcspn(line, "]") : 0;
	return n && line[n] && line[n + 1] == ' ' ? line + n + 2 : line;
}

int fw_parse(const char *text, enum fw_family family, struct arena *a, struct fw_listing out[static FW_TABLE_N],
	struct err *e)
{
	struct fw_listing *l = NULL;
	bool inside = false;
	for (int t = 0; t < FW_TABLE_N; t++)
		out[t] = (struct fw_listing){.family = family, .table = (enum fw_table)t};
	for (unsigned number = 1; *text; number++) {
		size_t n = line_length(text);
		const char *line = arena_dupn(a, text, n);
		int r = 0;
		if (!line)
			return err_nomem(e);
		text += n + (text[n] == '\n');
		line = skip_counters(line);
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

/* Where the lines with one text are, first to last: what -D takes, one after the other. */
struct copies {
	size_t at;
	struct copies *next;
};

struct render {
	const struct fw_listing *now; /* one table */
	struct arena mem;
	struct map lines; /* "CHAIN text" -> struct copies */
	bool *gone;       /* per line of the listing */
	struct buf *out;
};

static void own_render(struct render *r)
{
	map_free(&r->lines);
	arena_free(&r->mem);
}

static const char *line_key(struct render *r, const char *chain, const char *text)
{
	return arena_printf(&r->mem, "%s %s", chain, text);
}

/* Backwards, so that each list begins with the first copy. */
static int index_lines(struct render *r)
{
	r->gone = arena_new(&r->mem, bool, r->now->n + 1);
	for (size_t i = r->now->n; i-- > 0;) {
		const char *key = line_key(r, r->now->lines[i].chain, r->now->lines[i].text);
		struct copies *c = arena_new(&r->mem, struct copies, 1);
		if (r->mem.bad)
			return -ENOMEM;
		*c = (struct copies){.at = i, .next = map_gets(&r->lines, key)};
		if (map_puts(&r->lines, key, c) < 0)
			return -ENOMEM;
	}
	return r->mem.bad ? -ENOMEM : 0;
}

static bool has_chain(const struct fw_listing *l, const char *name)
{
	for (size_t i = 0; i < l->nchains; i++)
		if (streq(l->chains[i].name, name))
			return true;
	return false;
}

static int delete_rule(struct render *r, const char *chain, const char *text)
{
	const char *key = line_key(r, chain, text);
	struct copies *c = key ? map_gets(&r->lines, key) : NULL;
	if (!key)
		return -ENOMEM;
	while (c && r->gone[c->at])
		c = c->next;
	if (!c)
		return 0; /* somebody was quicker */
	r->gone[c->at] = true;
	buf_printf(r->out, "-D %s %s\n", chain, text);
	return 0;
}

static void make_chain(struct render *r, const struct kobj *o)
{
	if (has_chain(r->now, o->chain.chain))
		return;
	buf_printf(r->out, "-N %s\n", o->chain.chain);
	if (o->chain.keep)
		buf_printf(r->out, "-A %s -j RETURN\n", o->chain.chain);
}

/* All are emptied before the first is deleted: iptables-nft refuses a chain as busy when another one is flushed after
 * its deletion. The user's chain loses only the RETURN that it was made with: with anything else in it -X fails, and
 * the run with it. */
static int delete_chains(struct render *r, const struct step *s)
{
	enum fw_table t = r->now->table;
	for (size_t i = 0; i < s->nfw; i++) {
		const struct fw_change *c = &s->fw[i];
		if (c->o->kind != K_CHAIN || c->add || c->o->chain.table != t || !has_chain(r->now, c->o->chain.chain))
			continue;
		if (c->o->chain.keep)
			try(delete_rule(r, c->o->chain.chain, "-j RETURN"));
		else
			buf_printf(r->out, "-F %s\n", c->o->chain.chain);
	}
	for (size_t i = 0; i < s->nfw; i++)
		if (s->fw[i].o->kind == K_CHAIN && !s->fw[i].add && s->fw[i].o->chain.table == t &&
			has_chain(r->now, s->fw[i].o->chain.chain))
			buf_printf(r->out, "-X %s\n", s->fw[i].o->chain.chain);
	return 0;
}

static int by_rank(const void *x, const void *y)
{
	const struct kobj *a = *(const struct kobj *const *)x, *b = *(const struct kobj *const *)y;
	int r = strcmp(a->rule.chain, b->rule.chain);
	return r ? r : fw_rank_cmp(&a->rule.rank, &b->rule.rank);
}

/* A rule of ours at its place. */
static bool is_landmark(const struct fw_line *l)
{
	return l->ours && l->ours->rule.rank.k != FW_MISPLACED;
}

/* True if the rule stands where it should already. */
static bool is_there(struct render *r, const struct kobj *o)
{
	const char *key = line_key(r, o->rule.chain, o->rule.text);
	for (const struct copies *c = key ? map_gets(&r->lines, key) : NULL; c; c = c->next)
		if (!r->gone[c->at] && is_landmark(&r->now->lines[c->at]))
			return true;
	return false;
}

/* Inserts one chain's rules, which come in the order of their ranks. */
static int insert_rules(struct render *r, const struct kobj **rules, size_t n)
{
	const char *chain = rules[0]->rule.chain;
	const struct fw_line **line = arena_new(&r->mem, const struct fw_line *, r->now->n + 1);
	size_t m = 0, next = 0, after = 0, inserted = 0;
	bool have_after = false;
	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < r->now->n; i++)
		if (!r->gone[i] && streq(r->now->lines[i].chain, chain))
			line[m++] = &r->now->lines[i];
	for (size_t i = 0; i < n; i++) {
		const struct fw_rank *rank = &rules[i]->rule.rank;
		size_t at = 0;
		if (is_there(r, rules[i]))
			continue;
		for (; next < m && (!is_landmark(line[next]) || fw_rank_cmp(&line[next]->ours->rule.rank, rank) <= 0);
			next++) {
			if (!is_landmark(line[next]))
				continue;
			after = next + 1;
			have_after = true;
		}
		if (rank->cls == 0)
			at = 0;
		else if (have_after)
			at = after;
		else if (next < m)
			at = next;
		else if (rank->cls == 9)
			at = m;
		after = at;
		have_after = true;
		buf_printf(r->out, "-I %s %zu %s\n", chain, at + inserted + 1, rules[i]->rule.text);
		inserted++;
	}
	return r->mem.bad ? -ENOMEM : 0;
}

static bool in_table(const struct kobj *o, enum fw_table t)
{
	if (o->kind == K_POLICY)
		return t == FW_FILTER;
	return o->kind == K_CHAIN ? o->chain.table == t : o->rule.table == t;
}

static int render(struct render *r, const struct step *s)
{
	enum fw_table t = r->now->table;
	const struct kobj **rules = arena_new(&r->mem, const struct kobj *, s->nfw + 1);
	size_t n = 0;
	try(index_lines(r));
	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < s->nfw; i++)
		if (s->fw[i].o->kind == K_RULE && !s->fw[i].add && in_table(s->fw[i].o, t))
			try(delete_rule(r, s->fw[i].o->rule.chain, s->fw[i].o->rule.text));
	try(delete_chains(r, s));
	for (size_t i = 0; i < s->nfw; i++) {
		const struct kobj *o = s->fw[i].o;
		if (!s->fw[i].add || !in_table(o, t))
			continue;
		if (o->kind == K_CHAIN)
			make_chain(r, o);
		else if (o->kind == K_POLICY)
			buf_printf(r->out, "-P %s %s\n", o->policy.chain, o->policy.value);
		else
			rules[n++] = o;
	}
	if (n)
		qsort(rules, n, sizeof(*rules), by_rank);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i; k < n && streq(rules[k]->rule.chain, rules[i]->rule.chain);)
			k++;
		try(insert_rules(r, &rules[i], k - i));
	}
	return r->out->bad ? -ENOMEM : 0;
}

int fw_render(const struct step *s, const struct fw_listing now[static FW_TABLE_N], struct buf *out, struct err *e)
{
	for (int t = 0; t < FW_TABLE_N; t++) {
		OWN(own_buf) struct buf body = {0};
		OWN(own_render) struct render r = {.now = &now[t], .out = &body};
		bool any = false;
		for (size_t i = 0; !any && i < s->nfw; i++)
			any = in_table(s->fw[i].o, (enum fw_table)t);
		if (any && render(&r, s) < 0)
			return err_nomem(e);
		if (body.len)
			buf_printf(out, "*%s\n%sCOMMIT\n", fw_table_name((enum fw_table)t), buf_str(&body));
	}
	return out->bad ? err_nomem(e) : 0;
}
