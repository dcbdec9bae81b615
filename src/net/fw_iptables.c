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
 * The listing is kept between runs, as long as nobody else changes the tables, so writing does to it what it writes. The
 * cost is that of what changes, and one pass over a chain's lines. tests/net/test_fw.c holds the
 * golden texts, and tests/net/test_fw_real.c runs them with foreign rules between any two of ours. */
#include <errno.h>
#include <stdlib.h>

#include "base/map.h"
#include "net/fw.h"

static int add_chain(struct arena *a, struct fw_listing *l, const char *line)
{
	try(arena_room(a, l->chains, l->nchains, l->ccap));
	size_t n = strcspn(line, " ");
	const char *policy = line[n] ? line + n + 1 : "-";
	l->chains[l->nchains++] = (struct fw_chain){
		.name = arena_dupn(a, line, n), .policy = arena_dupn(a, policy, strcspn(policy, " "))};
	return a->bad ? -ENOMEM : 0;
}

static int add_line(struct arena *a, struct fw_listing *l, const char *line)
{
	struct fw_line *one = arena_new(a, struct fw_line, 1);
	size_t n = strcspn(line, " ");
	if (!one || arena_room(l->mem, l->lines, l->n, l->cap) < 0)
		return -ENOMEM;
	*one = (struct fw_line){.chain = arena_dupn(a, line, n), .text = line[n] ? line + n + 1 : ""};
	l->lines[l->n++] = one;
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
		out[t] = (struct fw_listing){.family = family, .table = (enum fw_table)t, .mem = a};
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

void fw_listing_free(struct fw_listing l[static FW_TABLE_N])
{
	for (int t = 0; t < FW_TABLE_N; t++) {
		map_free(&l[t].index);
		l[t].indexed = false;
	}
}

/* What is written is done to the listing at the same time. */
struct render {
	struct fw_listing *now; /* one table */
	struct arena mem;
	struct buf *out;
};

static void own_render(struct render *r)
{
	arena_free(&r->mem);
}

static const char *line_key(struct arena *a, const char *chain, const char *text)
{
	return arena_printf(a, "%s %s", chain, text);
}

static struct fw_line *first_line(struct render *r, const char *chain, const char *text)
{
	const char *key = line_key(&r->mem, chain, text);
	return key ? map_gets(&r->now->index, key) : NULL;
}

/* Backwards, so that each list begins with the first copy. */
static int index_lines(struct fw_listing *l)
{
	for (size_t i = l->n; !l->indexed && i-- > 0;) {
		const char *key = line_key(l->mem, l->lines[i]->chain, l->lines[i]->text);
		if (!key)
			return -ENOMEM;
		l->lines[i]->next = map_gets(&l->index, key);
		if (map_puts(&l->index, key, l->lines[i]) < 0)
			return -ENOMEM;
	}
	l->indexed = true;
	return 0;
}

static size_t place_of(const struct fw_listing *l, const struct fw_line *line)
{
	size_t i = 0;
	while (i < l->n && l->lines[i] != line)
		i++;
	return i;
}

/* The first of its copies goes. */
static int drop_line(struct render *r, struct fw_line *line)
{
	struct fw_listing *l = r->now;
	size_t i = place_of(l, line);
	const char *key = line_key(l->mem, line->chain, line->text);
	if (!key)
		return -ENOMEM;
	memmove(&l->lines[i], &l->lines[i + 1], (l->n - i - 1) * sizeof(struct fw_line *));
	l->n--;
	if (!line->next)
		(void)map_dels(&l->index, key);
	return line->next ? map_puts(&l->index, key, line->next) : 0;
}

/* A new line at this place of the whole listing; among its copies it stands where they are in the kernel's order. */
static struct fw_line *put_line(struct render *r, size_t at, const struct kobj *o)
{
	struct fw_listing *l = r->now;
	struct fw_line *line = arena_new(l->mem, struct fw_line, 1);
	struct kobj *copy = arena_new(l->mem, struct kobj, 1);
	if (!line || !copy || arena_room(l->mem, l->lines, l->n, l->cap) < 0)
		return NULL;
	*copy = *o;
	copy->unit.id = arena_dup(l->mem, o->unit.id);
	copy->rule.chain = arena_dup(l->mem, o->rule.chain);
	copy->rule.text = arena_dup(l->mem, o->rule.text);
	*line = (struct fw_line){.chain = copy->rule.chain, .text = copy->rule.text, .ours = copy};
	const char *key = line_key(l->mem, o->rule.chain, o->rule.text);
	if (l->mem->bad)
		return NULL;
	struct fw_line *first = map_gets(&l->index, key), *before = NULL;
	for (struct fw_line *c = first; c && place_of(l, c) < at; c = c->next)
		before = c;
	line->next = before ? before->next : first;
	if (before)
		before->next = line;
	else if (map_puts(&l->index, key, line) < 0)
		return NULL;
	memmove(&l->lines[at + 1], &l->lines[at], (l->n - at) * sizeof(struct fw_line *));
	l->lines[at] = line;
	l->n++;
	return line;
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
	struct fw_line *line = first_line(r, chain, text);
	if (!line)
		return r->mem.bad ? -ENOMEM : 0; /* somebody was quicker */
	buf_printf(r->out, "-D %s %s\n", chain, text);
	return drop_line(r, line);
}

static int make_chain(struct render *r, const struct kobj *o)
{
	struct fw_listing *l = r->now;
	if (has_chain(l, o->chain.chain))
		return 0;
	const char *name = arena_dup(l->mem, o->chain.chain), *line = arena_printf(l->mem, "%s -", o->chain.chain);
	if (l->mem->bad || add_chain(l->mem, l, line) < 0)
		return -ENOMEM;
	buf_printf(r->out, "-N %s\n", name);
	if (!o->chain.keep)
		return 0;
	buf_printf(r->out, "-A %s -j RETURN\n", name);
	struct kobj back = {.kind = K_RULE, .rule = {.family = l->family, .table = l->table, .chain = name, .text = "-j RETURN"}};
	struct fw_line *theirs = put_line(r, l->n, &back);
	if (theirs)
		theirs->ours = NULL;
	return theirs ? 0 : -ENOMEM;
}

static int flush_chain(struct render *r, const char *chain)
{
	for (size_t i = r->now->n; i-- > 0;)
		if (streq(r->now->lines[i]->chain, chain))
			try(drop_line(r, first_line(r, chain, r->now->lines[i]->text)));
	return 0;
}

static void forget_chain(struct fw_listing *l, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < l->nchains; i++)
		if (!streq(l->chains[i].name, name))
			l->chains[n++] = l->chains[i];
	l->nchains = n;
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
		if (c->o->chain.keep) {
			try(delete_rule(r, c->o->chain.chain, "-j RETURN"));
			continue;
		}
		buf_printf(r->out, "-F %s\n", c->o->chain.chain);
		try(flush_chain(r, c->o->chain.chain));
	}
	for (size_t i = 0; i < s->nfw; i++) {
		const struct kobj *o = s->fw[i].o;
		if (o->kind != K_CHAIN || s->fw[i].add || o->chain.table != t || !has_chain(r->now, o->chain.chain))
			continue;
		buf_printf(r->out, "-X %s\n", o->chain.chain);
		forget_chain(r->now, o->chain.chain);
	}
	return 0;
}

static int set_policy(struct render *r, const struct kobj *o)
{
	struct fw_listing *l = r->now;
	const char *value = arena_dup(l->mem, o->policy.value);
	if (!value)
		return -ENOMEM;
	for (size_t i = 0; i < l->nchains; i++)
		if (streq(l->chains[i].name, o->policy.chain))
			l->chains[i].policy = value;
	buf_printf(r->out, "-P %s %s\n", o->policy.chain, value);
	return 0;
}

static int by_rank(const void *x, const void *y)
{
	const struct kobj *a = *(const struct kobj *const *)x, *b = *(const struct kobj *const *)y;
	int r = strcmp(a->rule.chain, b->rule.chain);
	return r ? r : fw_rank_cmp(&a->rule.rank, &b->rule.rank);
}

/* In the chain's order: iptables looks for each from the top on, and would pass over all others for the last. */
static int delete_rules(struct render *r, const struct kobj **rules, size_t n)
{
	if (n)
		qsort(rules, n, sizeof(*rules), by_rank);
	for (size_t i = 0; i < n; i++)
		try(delete_rule(r, rules[i]->rule.chain, rules[i]->rule.text));
	return 0;
}

/* A rule of ours at its place. */
static bool is_landmark(const struct fw_line *l)
{
	return l->ours && l->ours->rule.rank.k != FW_MISPLACED;
}

/* True if the rule stands where it should already. */
static bool is_there(struct render *r, const struct kobj *o)
{
	for (const struct fw_line *c = first_line(r, o->rule.chain, o->rule.text); c; c = c->next)
		if (is_landmark(c))
			return true;
	return false;
}

/* Inserts one chain's rules, which come in the order of their ranks. */
static int insert_rules(struct render *r, const struct kobj **rules, size_t n)
{
	const char *chain = rules[0]->rule.chain;
	struct fw_listing *l = r->now;
	size_t m = 0, first = l->n, next = 0, after = 0, inserted = 0;
	bool have_after = false;
	for (size_t i = 0; i < l->n; i++) { /* a chain's lines stand together */
		if (streq(l->lines[i]->chain, chain)) {
			first = m ? first : i;
			m++;
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct fw_rank *rank = &rules[i]->rule.rank;
		size_t at = 0;
		if (is_there(r, rules[i]))
			continue;
		struct fw_line **line = l->lines + first;
		for (; next < m && (!is_landmark(line[next + inserted]) || fw_rank_cmp(&line[next + inserted]->ours->rule.rank, rank) <= 0); next++) {
			if (!is_landmark(line[next + inserted]))
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
		if (!put_line(r, first + at + inserted, rules[i]))
			return -ENOMEM;
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
	try(index_lines(r->now));
	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < s->nfw; i++)
		if (s->fw[i].o->kind == K_RULE && !s->fw[i].add && in_table(s->fw[i].o, t))
			rules[n++] = s->fw[i].o;
	try(delete_rules(r, rules, n));
	try(delete_chains(r, s));
	n = 0;
	for (size_t i = 0; i < s->nfw; i++) {
		const struct kobj *o = s->fw[i].o;
		if (!s->fw[i].add || !in_table(o, t))
			continue;
		if (o->kind == K_CHAIN)
			try(make_chain(r, o));
		else if (o->kind == K_POLICY)
			try(set_policy(r, o));
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

int fw_render(const struct step *s, struct fw_listing now[static FW_TABLE_N], struct buf *out, struct err *e)
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
