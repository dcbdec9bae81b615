#include "net/fw.h"

#include <errno.h>
#include <stdlib.h>

/* %D device, %N subnet. `host` rows stand once, the others once a network. Order within a chain is (cls, seq, k). */
enum when { ALWAYS, ON_NAT, ON_MASQ, ON_ICC, ON_NO_ICC, ON_EXTERNAL, ON_INTERNAL, ON_RAW };

struct shape {
	enum fw_table table;
	const char *chain;
	const char *text;
	int cls, k;
	bool host;
	enum when when;
};

#define ISOLATE_1 "DOCKER-ISOLATION-STAGE-1"
#define ISOLATE_2 "DOCKER-ISOLATION-STAGE-2"

static const struct shape shapes[] = {
	{FW_FILTER, "FORWARD", "-j DOCKER-USER", 0, 0, true, ALWAYS},
	{FW_FILTER, "FORWARD", "-j " ISOLATE_1, 1, 0, true, ALWAYS},
	{FW_FILTER, "FORWARD", "-o %D -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", 2, 0, false, ON_EXTERNAL},
	{FW_FILTER, "FORWARD", "-o %D -j DOCKER", 2, 1, false, ON_EXTERNAL},
	{FW_FILTER, "FORWARD", "-i %D ! -o %D -j ACCEPT", 2, 2, false, ON_EXTERNAL},
	{FW_FILTER, "FORWARD", "-i %D -o %D -j ACCEPT", 2, 3, false, ON_ICC},
	{FW_FILTER, "FORWARD", "-i %D -o %D -j DROP", 2, 3, false, ON_NO_ICC},
	{FW_FILTER, ISOLATE_1, "! -s %N -o %D -j DROP", 2, 0, false, ON_INTERNAL},
	{FW_FILTER, ISOLATE_1, "! -d %N -i %D -j DROP", 2, 1, false, ON_INTERNAL},
	{FW_FILTER, ISOLATE_1, "-i %D ! -o %D -j " ISOLATE_2, 2, 2, false, ON_EXTERNAL},
	{FW_FILTER, ISOLATE_1, "-j RETURN", 9, 0, true, ALWAYS},
	{FW_FILTER, ISOLATE_2, "-o %D -j DROP", 2, 0, false, ON_EXTERNAL},
	{FW_FILTER, ISOLATE_2, "-j RETURN", 9, 0, true, ALWAYS},
	{FW_NAT, "PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER", 0, 0, true, ALWAYS},
	{FW_NAT, "OUTPUT", "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER", 0, 0, true, ALWAYS},
	{FW_NAT, "POSTROUTING", "-s %N ! -o %D -j MASQUERADE", 2, 0, false, ON_MASQ},
	{FW_NAT, "DOCKER", "-i %D -j RETURN", 2, 0, false, ON_NAT},
	{FW_RAW, "PREROUTING", "-d %N ! -i %D -m addrtype ! --dst-type LOCAL -j DROP", 2, 0, false, ON_RAW},
};

static const struct {
	enum fw_table table;
	const char *name;
	bool keep;
} chains[] = {
	{FW_FILTER, "DOCKER", false},
	{FW_FILTER, ISOLATE_1, false},
	{FW_FILTER, ISOLATE_2, false},
	{FW_FILTER, "DOCKER-USER", true},
	{FW_NAT, "DOCKER", false},
};

static bool applies(enum when when, const struct network *n, const struct netconf *c)
{
	bool nat = !n->internal && (n->gw_mode4 == GW_NAT || n->gw_mode4 == GW_NAT_UNPROTECTED);
	switch (when) {
	case ALWAYS:
		return true;
	case ON_NAT:
		return nat;
	case ON_MASQ:
		return nat && n->masquerade && (c->ip_masq || !n->is_default);
	case ON_ICC:
		return n->icc;
	case ON_NO_ICC:
		return !n->icc;
	case ON_EXTERNAL:
		return !n->internal;
	case ON_INTERNAL:
		return n->internal;
	case ON_RAW:
		return !n->internal && n->gw_mode4 == GW_NAT;
	}
	return false;
}

/* Newest network first, the default bridge last. */
static struct fw_rank rank_of(const struct shape *s, const struct network *n)
{
	return (struct fw_rank){.cls = s->cls, .seq = n ? (n->is_default ? INT64_MAX : -n->seq) : 0, .k = s->k};
}

static const char *fill(const struct shape *s, const char *device, const struct prefix *subnet, struct arena *a)
{
	OWN(own_buf) struct buf b = {0};
	char net[PREFIX_TEXT];
	for (const char *p = s->text; *p; p++) {
		if (*p != '%')
			buf_putc(&b, *p);
		else if (*++p == 'D')
			buf_puts(&b, device);
		else
			buf_puts(&b, prefix_format(subnet, net));
	}
	return b.bad ? NULL : arena_dup(a, buf_str(&b));
}

static int add_rule(const struct shape *s, struct unit u, const struct network *n, struct kstate *out, struct err *e)
{
	struct kobj o = {.kind = K_RULE, .unit = u, .rule = {.family = FW_V4, .table = s->table, .chain = s->chain, .rank = rank_of(s, n)}};
	o.rule.text = n ? fill(s, n->bridge, &n->v4.net, out->mem) : s->text;
	return !o.rule.text || kstate_add(out, &o) < 0 ? err_nomem(e) : 0;
}

int fw_want_host(const struct world *w, const struct netconf *c, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_HOST, ""};
	(void)w;
	if (!c->iptables)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		struct kobj o = {.kind = K_CHAIN, .unit = u, .chain = {.family = FW_V4, .table = chains[i].table, .chain = chains[i].name, .keep = chains[i].keep}};
		if (kstate_add(out, &o) < 0)
			return err_nomem(e);
	}
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (shapes[i].host)
			try(add_rule(&shapes[i], u, NULL, out, e));
	struct kobj drop = {.kind = K_POLICY, .unit = u, .policy = {.family = FW_V4, .chain = "FORWARD", .value = "DROP"}};
	return c->policy_drop && kstate_add(out, &drop) < 0 ? err_nomem(e) : 0;
}

int fw_want_network(const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_NETWORK, n->id};
	(void)w;
	if (!c->iptables || !n->enable_v4)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (!shapes[i].host && applies(shapes[i].when, n, c))
			try(add_rule(&shapes[i], u, n, out, e));
	return 0;
}

/* Matches a line against a shape. The device must be the same everywhere; it and the subnet are taken out. */
static bool matches(const struct shape *s, const char *text, char device[static KIFNAME], struct prefix *subnet)
{
	device[0] = '\0';
	*subnet = (struct prefix){0};
	for (const char *p = s->text; *p; p++) {
		char word[PREFIX_TEXT];
		if (*p != '%') {
			if (*text++ != *p)
				return false;
			continue;
		}
		size_t n = strcspn(text, " ");
		p++;
		if (n >= sizeof(word))
			return false;
		memcpy(word, text, n);
		word[n] = '\0';
		text += n;
		if (*p == 'D' && (n == 0 || n >= KIFNAME || (device[0] && !streq(device, word))))
			return false;
		if (*p == 'D')
			str_copy(device, KIFNAME, word);
		else if (prefix_parse(word, subnet) < 0)
			return false;
	}
	return *text == '\0';
}

static const struct network *network_of_device(const struct world *w, const char *device)
{
	const struct network *n;
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));)
		if (n->driver == DRIVER_BRIDGE && streq(n->bridge, device))
			return n;
	return NULL;
}

/* "br-" and 12 hex digits: a name that only we (or a dockerd, which is not here) give. */
static bool looks_ours(const char *device)
{
	return str_starts(device, "br-") && strlen(device) == 15 && strspn(device + 3, "0123456789abcdef") == 12;
}

static bool recognise_line(const struct fw_listing *l, const struct fw_line *line, const struct world *w, const struct netconf *c, struct kobj *out, struct arena *a)
{
	char device[KIFNAME];
	struct prefix subnet;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		if (s->table != l->table || !streq(s->chain, line->chain) || !matches(s, line->text, device, &subnet))
			continue;
		const struct network *n = s->host ? NULL : network_of_device(w, device);
		if (!s->host && !n && !looks_ours(device) && !streq(device, c->bridge))
			continue;
		*out = (struct kobj){.kind = K_RULE, .unit = {s->host ? UNIT_HOST : UNIT_NETWORK, s->host ? "" : n ? n->id : arena_dup(a, device)}};
		out->rule.family = l->family;
		out->rule.table = l->table;
		out->rule.chain = s->chain;
		out->rule.text = line->text;
		out->rule.rank = rank_of(s, n);
		return true;
	}
	return false;
}

static int rank_cmp(const struct fw_rank *a, const struct fw_rank *b)
{
	if (a->cls != b->cls)
		return a->cls < b->cls ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return a->k < b->k ? -1 : a->k > b->k;
}

static int recognise_chains(const struct fw_listing *l, struct kstate *out, struct err *e)
{
	for (size_t k = 0; k < l->nchains; k++) {
		for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
			struct kobj o = {.kind = K_CHAIN, .unit = {UNIT_HOST, ""}, .chain = {.family = l->family, .table = l->table, .chain = chains[i].name, .keep = chains[i].keep}};
			if (chains[i].table == l->table && streq(chains[i].name, l->chains[k].name) && kstate_add(out, &o) < 0)
				return err_nomem(e);
		}
		struct kobj p = {.kind = K_POLICY, .unit = {UNIT_HOST, ""}, .policy = {.family = l->family, .chain = "FORWARD", .value = l->chains[k].policy}};
		if (l->table == FW_FILTER && streq(l->chains[k].name, "FORWARD") && kstate_add(out, &p) < 0)
			return err_nomem(e);
	}
	return 0;
}

int fw_recognise(struct fw_listing *l, const struct world *known, const struct netconf *c, struct kstate *out, struct err *e)
{
	static const struct fw_rank lowest = {.cls = -1};
	struct fw_rank last = lowest;
	const char *chain = "";
	bool user_jump_first = true;
	try(recognise_chains(l, out, e));
	for (size_t i = 0; i < l->n; i++) {
		struct fw_line *line = &l->lines[i];
		struct kobj *o = arena_new(out->mem, struct kobj, 1);
		if (!o)
			return err_nomem(e);
		if (!streq(chain, line->chain)) {
			chain = line->chain;
			last = lowest;
			user_jump_first = true;
		}
		if (!recognise_line(l, line, known, c, o, out->mem)) {
			user_jump_first = false;
			continue;
		}
		bool head = o->rule.rank.cls == 0 && streq(o->rule.chain, "FORWARD"); /* the jump to DOCKER-USER must be the very first */
		line->ours = o;
		if (rank_cmp(&o->rule.rank, &last) < 0 || (head && !user_jump_first))
			o->rule.rank.k = -1;
		else
			last = o->rule.rank;
		if (kstate_add(out, o) < 0)
			return err_nomem(e);
	}
	return 0;
}

/* The table as it becomes while the run's lines are written: what is deleted and inserted shifts positions. */
struct sim {
	struct fw_line *v;
	size_t n;
};

static void sim_delete(struct sim *s, const struct kobj *o)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!streq(s->v[i].chain, o->rule.chain) || !streq(s->v[i].text, o->rule.text))
			continue;
		memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof(*s->v));
		s->n--;
		return;
	}
}

/* 1-based position in its chain for a rule of this rank; *at: where in the simulation. */
static int sim_place(const struct sim *s, const struct kobj *o, size_t *at)
{
	int pos = 1, after = 0, before = 0;
	size_t after_at = s->n, before_at = s->n, end_at = s->n;
	for (size_t i = 0; i < s->n; i++) {
		const struct fw_line *l = &s->v[i];
		if (!streq(l->chain, o->rule.chain))
			continue;
		if (l->ours && rank_cmp(&l->ours->rule.rank, &o->rule.rank) <= 0) {
			after = pos + 1;
			after_at = i + 1;
		} else if (l->ours && !before) {
			before = pos;
			before_at = i;
		}
		pos++;
		end_at = i + 1;
	}
	if (o->rule.rank.cls == 0 && streq(o->rule.chain, "FORWARD")) {
		*at = 0; /* the very first; the order of chains in the simulation does not matter */
		return 1;
	}
	*at = after ? after_at : before ? before_at : o->rule.rank.cls == 9 || o->rule.rank.cls == 0 ? end_at : 0;
	return after ? after : before ? before : o->rule.rank.cls == 9 || o->rule.rank.cls == 0 ? pos : 1;
}

static void sim_insert(struct sim *s, size_t at, const struct kobj *o)
{
	memmove(&s->v[at + 1], &s->v[at], (s->n - at) * sizeof(*s->v));
	s->v[at] = (struct fw_line){.chain = o->rule.chain, .text = o->rule.text, .ours = o};
	s->n++;
}

static int by_rank(const void *x, const void *y)
{
	const struct kobj *a = *(const struct kobj *const *)x, *b = *(const struct kobj *const *)y;
	int r = strcmp(a->rule.chain, b->rule.chain);
	return r ? r : rank_cmp(&a->rule.rank, &b->rule.rank);
}

static void render_chain(const struct fw_change *c, struct buf *out)
{
	if (c->add) {
		buf_printf(out, "-N %s\n", c->o->chain.chain);
		if (c->o->chain.keep)
			buf_printf(out, "-A %s -j RETURN\n", c->o->chain.chain);
	} else {
		buf_printf(out, "-F %s\n-X %s\n", c->o->chain.chain, c->o->chain.chain);
	}
}

int fw_render(const struct step *s, const struct fw_listing *now, struct buf *out, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct sim sim = {.v = arena_new(&a, struct fw_line, now->n + s->nfw + 1), .n = now->n};
	const struct kobj **rules = arena_new(&a, const struct kobj *, s->nfw + 1);
	size_t nrules = 0;
	if (a.bad)
		return err_nomem(e);
	if (now->n)
		memcpy(sim.v, now->lines, now->n * sizeof(*sim.v));
	buf_printf(out, "*%s\n", fw_table_name(s->table));
	for (size_t i = 0; i < s->nfw; i++) { /* rules go before their chains, chains come before their rules */
		const struct fw_change *c = &s->fw[i];
		if (c->o->kind == K_RULE && !c->add) {
			buf_printf(out, "-D %s %s\n", c->o->rule.chain, c->o->rule.text);
			sim_delete(&sim, c->o);
		} else if (c->o->kind == K_CHAIN) {
			render_chain(c, out);
		} else if (c->o->kind == K_POLICY && c->add) {
			buf_printf(out, "-P %s %s\n", c->o->policy.chain, c->o->policy.value);
		} else if (c->o->kind == K_RULE) {
			rules[nrules++] = c->o;
		}
	}
	qsort(rules, nrules, sizeof(*rules), by_rank);
	for (size_t i = 0; i < nrules; i++) {
		size_t at;
		int pos = sim_place(&sim, rules[i], &at);
		buf_printf(out, "-I %s %d %s\n", rules[i]->rule.chain, pos, rules[i]->rule.text);
		sim_insert(&sim, at, rules[i]);
	}
	buf_puts(out, "COMMIT\n");
	return out->bad ? err_nomem(e) : 0;
}
