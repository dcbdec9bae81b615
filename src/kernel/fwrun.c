/* Theory of operation
 *
 * A firewall step is one run of iptables-restore --noflush for all tables of a family. The tables are read first: rules are placed among
 * ours by rank, whatever foreign rules stand between. iptables-restore commits each table for itself, as a whole or not at all; when a later
 * one fails, the earlier ones are put back: by the step's inverse, written against the tables as they are then, so that it takes back what was
 * done and nothing else.
 *
 * Reading costs as much as writing, and grows with all that others have in the tables. So the listing is kept, and fw_render does to it what
 * it writes; it holds as long as the tables' stamp (kernel/stamp.c) moves by our own transactions only. A listing that turns out wrong all
 * the same (legacy tables do not tell every change) makes the run fail, and the tables are read and the step is done again. Observing
 * always reads.
 *
 * Both variants (nf_tables and legacy) take the same text; which one runs is the host's choice of `iptables`. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/spawn.h"
#include "kernel/real.h"
#include "net/fw.h"

#define RUN_LIMIT_MS 20000       /* above the 10 s that the program itself waits for its lock */
#define CACHE_SLACK  (1u << 20) /* bytes that changes may leave behind in the cache before the tables are read again */

static const char *const save_program[] = {[FW_V4] = "iptables-save", [FW_V6] = "ip6tables-save"};
static const char *const restore_program[] = {[FW_V4] = "iptables-restore", [FW_V6] = "ip6tables-restore"};

static int explain(const char *program, int status, const char *text, struct err *e)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (code == 4 && strstr(text, "xtables lock"))
		return err_as(e, ERR_UNAVAILABLE, "another program holds the firewall's lock for more than 10 s: try again (%s)", program);
	return err_set(e, -EIO, "Failed to Setup IP tables: (iptables failed: %s: %.1024s (exit status %d))", program, text, code);
}

static int run(const char *const *argv, const void *in, size_t n, struct buf *out, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	struct spawn s = {.argv = argv};
	struct spawn_io io = {.in = in, .in_len = n, .out = out, .err = &text, .timeout_ms = RUN_LIMIT_MS};
	int status;
	int r = spawn_run(&s, &io, &status, e);
	if (r == -ENOENT) {
		(void)err_as(e, ERR_UNAVAILABLE, "%s was not found: install the package iptables, or start with --firewall-backend nftables or %s", argv[0],
			str_starts(argv[0], "ip6") ? "--ip6tables=false" : "--iptables=false");
		return r;
	}
	if (r < 0)
		return r;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	return status == 0 ? 0 : explain(argv[0], status, buf_str(&text), e);
}

/* Each table is a transaction. */
static unsigned commits(const char *text)
{
	unsigned n = 0;
	for (const char *p = text; (p = strstr(p, "\nCOMMIT\n")); p++)
		n++;
	return n;
}

static void forget(struct fw_cache *c)
{
	fw_listing_free(c->tables);
	arena_free(&c->mem);
	*c = (struct fw_cache){0};
}

void fwrun_close(struct real *k)
{
	for (int f = 0; f < FW_FAMILY_N; f++)
		forget(&k->cache[f]);
}

static size_t lines_of(const struct fw_cache *c)
{
	size_t n = 1;
	for (int t = 0; t < FW_TABLE_N; t++)
		n += c->tables[t].n;
	return n;
}

/* Reads the tables into the cache; ours are told to `out` when it is given, with strings of the cache. */
static int refresh(struct real *k, enum fw_family f, const struct world *known, const struct strv *marked, struct kstate *out, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	struct fw_cache *c = &k->cache[f];
	struct kstate ours = {.mem = &c->mem};
	struct stamp before;
	const char *argv[] = {save_program[f], NULL};
	forget(c);
	k->stamper.used[f] = true;
	stamp_read(&k->stamper, false, &before);
	try(run(argv, NULL, 0, &text, e));
	int r = fw_parse(buf_str(&text), f, &c->mem, c->tables, e);
	for (int t = 0; r >= 0 && t < FW_TABLE_N; t++)
		r = fw_recognise(&c->tables[t], known, marked, k->conf, &ours, e);
	if (r < 0) {
		forget(c);
		return r;
	}
	c->as_of = before;
	c->line_size = c->mem.used / lines_of(c);
	if (out)
		*out = ours;
	return 0;
}

/* The tables were changed by us: what is kept of them is what they are now, unless somebody else changed them at the same time. */
static void changed(struct real *k, const struct stamp *before, unsigned n)
{
	struct stamp after;
	stamp_read(&k->stamper, false, &after);
	for (int f = 0; f < FW_FAMILY_N; f++) {
		struct fw_cache *c = &k->cache[f];
		bool ours = stamp_same(before, &c->as_of) && (after.legacy || stamp_follows(before, &after, n));
		if (ours && c->mem.used <= 4 * c->line_size * lines_of(c) + CACHE_SLACK)
			c->as_of = after;
		else
			forget(c);
	}
	real_changed_rules(k, before, n);
}

enum how { FROM_CACHE, ANEW };

/* *ran: the program was run; *cached: by what was kept of the tables. */
static int restore(struct real *k, const struct step *s, enum how how, bool *ran, bool *cached, struct err *e)
{
	OWN(own_buf) struct buf text = {0};
	struct fw_cache *c = &k->cache[s->family];
	struct stamp now;
	const char *argv[] = {restore_program[s->family], "--noflush", "--wait", "10", NULL};
	stamp_read(&k->stamper, false, &now);
	*cached = how == FROM_CACHE && stamp_same(&now, &c->as_of);
	if (!*cached)
		try(refresh(k, s->family, k->ops.known, NULL, NULL, e));
	now = c->as_of;
	int r = fw_render(s, c->tables, &text, e);
	*ran = r >= 0 && text.len > 0;
	if (*ran)
		r = run(argv, text.data, text.len, NULL, e);
	if (r < 0) {
		forget(c);
		return r;
	}
	if (*ran)
		changed(k, &now, commits(buf_str(&text)));
	return 0;
}

static int put_back(struct real *k, const struct step *s, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct step *inverse;
	bool ran, cached;
	size_t n;
	try(plan_inverse(&a, s, &inverse, &n, e));
	return restore(k, inverse, ANEW, &ran, &cached, e);
}

int fwrun_step(struct real *k, const struct step *s, struct err *e)
{
	for (;;) {
		bool ran = false, cached = false;
		struct err back = {0};
		int r = restore(k, s, FROM_CACHE, &ran, &cached, e);
		if (r >= 0)
			return 0;
		if (ran && put_back(k, s, &back) < 0)
			return err_ctx(e, "taking back what was done failed too (%.512s)", back.msg);
		if (!cached)
			return r;
		forget(&k->cache[s->family]); /* what it says of the tables was wrong */
	}
}

/* Copies what was recognised: the cache's strings go when the next step changes it. */
static int tell(const struct kstate *ours, struct arena *a, struct kstate *out, struct err *e)
{
	for (size_t i = 0; i < ours->n; i++) {
		struct kobj o = ours->v[i];
		if (o.kind == K_RULE)
			o.rule.text = arena_dup(a, o.rule.text);
		if (o.kind == K_POLICY)
			o.policy.value = arena_dup(a, o.policy.value);
		if (a->bad || kstate_add(out, &o) < 0)
			return err_nomem(e);
	}
	return 0;
}

static int look(struct real *k, enum fw_family f, struct arena *a, const struct world *known, const struct strv *marked, struct kstate *out, struct err *e)
{
	struct kstate ours;
	try(refresh(k, f, known, marked, &ours, e));
	return tell(&ours, a, out, e);
}

static bool has_rule(const struct kstate *s, enum fw_family f)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].kind == K_RULE && s->v[i].rule.family == f)
			return true;
	return false;
}

int fwrun_observe(struct real *k, struct arena *a, const struct kstate *want, const struct world *known, const struct strv *marked, struct kstate *out, struct err *e)
{
	struct err one = {0};
	int r = look(k, FW_V4, a, known, marked, out, &one);
	if (r == -ENOENT && k->conf->nftables)
		return 0; /* a host without iptables has nothing of it */
	if (r < 0) {
		if (e)
			*e = one;
		return r;
	}
	/* What the iptables backend left is in both families or in IPv4 alone. Where nothing is wanted, all is looked for. */
	bool six = has_rule(want, FW_V6) || !want->n || (k->conf->nftables && has_rule(out, FW_V4));
	r = six ? look(k, FW_V6, a, known, marked, out, e) : 0;
	return r == -ENOENT ? 0 : r; /* the steps that want it will say so, and do not keep the others from being done */
}
