/* Theory of operation
 *
 * A firewall step is one run of iptables-restore --noflush for all tables of a family. The tables are read first: rules are placed among
 * ours by rank, whatever foreign rules stand between. iptables-restore commits each table for itself, as a whole or not at all; when a later
 * one fails, the earlier ones are put back: by the step's inverse, written against the tables as they are then, so that it takes back what was
 * done and nothing else. Both variants (nf_tables and legacy) take the same text; which one runs is the host's choice of `iptables`. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/spawn.h"
#include "kernel/real.h"
#include "net/fw.h"

#define RUN_LIMIT_MS 20000 /* above the 10 s that the program itself waits for its lock */

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
		(void)err_as(e, ERR_UNAVAILABLE, "%s was not found: install the package iptables, or start with --firewall-backend nftables or --iptables=false", argv[0]);
		return r;
	}
	if (r < 0)
		return r;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	return status == 0 ? 0 : explain(argv[0], status, buf_str(&text), e);
}

static int listing(struct real *k, enum fw_family f, const struct world *known, const struct strv *marked, struct arena *a, struct fw_listing l[static FW_TABLE_N], struct kstate *ours, struct err *e)
{
	OWN(own_buf) struct buf out = {0};
	const char *argv[] = {save_program[f], NULL};
	try(run(argv, NULL, 0, &out, e));
	try(fw_parse(buf_str(&out), f, a, l, e));
	for (int t = 0; t < FW_TABLE_N; t++)
		try(fw_recognise(&l[t], known, marked, k->conf, ours, e));
	return 0;
}

/* Each table is a transaction. */
static unsigned commits(const char *text)
{
	unsigned n = 0;
	for (const char *p = text; (p = strstr(p, "\nCOMMIT\n")); p++)
		n++;
	return n;
}

static int restore(struct real *k, const struct step *s, bool *ran, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	OWN(own_buf) struct buf text = {0};
	struct fw_listing l[FW_TABLE_N];
	struct kstate ours = {.mem = &a};
	const char *argv[] = {restore_program[s->family], "--noflush", "--wait", "10", NULL};
	try(listing(k, s->family, k->ops.known, NULL, &a, l, &ours, e));
	try(fw_render(s, l, &text, e));
	*ran = text.len > 0;
	if (!text.len)
		return 0;
	struct stamp before;
	k->stamper.used[s->family] = true;
	stamp_read(&k->stamper, false, &before);
	try(run(argv, text.data, text.len, NULL, e));
	real_changed_rules(k, &before, commits(buf_str(&text)));
	return 0;
}

int fwrun_step(struct real *k, const struct step *s, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct err back = {0};
	struct step *inverse;
	bool ran = false;
	size_t n;
	int r = restore(k, s, &ran, e);
	if (r >= 0 || !ran || (plan_inverse(&a, s, &inverse, &n, &back) >= 0 && restore(k, inverse, &ran, &back) >= 0))
		return r < 0 ? r : 0;
	return err_ctx(e, "taking back what was done failed too (%.512s)", back.msg);
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
	struct fw_listing l[FW_TABLE_N];
	struct err one = {0};
	int r = listing(k, FW_V4, known, marked, a, l, out, &one);
	if (r == -ENOENT && k->conf->nftables)
		return 0; /* a host without iptables has nothing of it */
	if (r < 0) {
		if (e)
			*e = one;
		return r;
	}
	/* What the iptables backend left is in both families or in IPv4 alone. */
	bool six = has_rule(want, FW_V6) || (k->conf->nftables && has_rule(out, FW_V4));
	return six ? listing(k, FW_V6, known, marked, a, l, out, e) : 0;
}
