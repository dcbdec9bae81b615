/* A toy kernel with the habits of the real one that matter to a plan's order, and random states. */
#include "fixture.h"
#include "net/plan.h"

#define OBJS_MAX 512

struct toy {
	struct kobj v[OBJS_MAX];
	bool secondary[OBJS_MAX]; /* of an address: made while its link had another one of the subnet */
	size_t n;
	const char *error;
};

static bool same(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

static size_t toy_find(const struct toy *k, const struct kobj *o)
{
	for (size_t i = 0; i < k->n; i++)
		if (kobj_cmp_key(&k->v[i], o) == 0)
			return i;
	return k->n;
}

static bool toy_link(const struct toy *k, const char *ns, const char *name)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct kobj *o = &k->v[i];
		if (o->kind == K_BRIDGE && !ns && streq(o->bridge.name, name))
			return true;
		if (o->kind == K_VETH &&
			((!ns && streq(o->veth.name, name)) || (ns && same(o->ns, ns) && streq(o->veth.inner, name))))
			return true;
	}
	return ns && streq(name, "lo");
}

static bool toy_ns(const struct toy *k, const char *ns)
{
	struct kobj o = {.kind = K_NETNS, .ns = ns};
	return !ns || toy_find(k, &o) < k->n;
}

static const char *ctl_link(const struct kobj *o, char out[static 32])
{
	const char *p = strstr(o->ctl.path, "/conf/");
	if (!p)
		return NULL;
	size_t n = strcspn(p + 6, "/");
	snprintf(out, 32, "%.*s", (int)n, p + 6);
	return out;
}

static void toy_drop(struct toy *k, size_t i)
{
	memmove(&k->v[i], &k->v[i + 1], (k->n - i - 1) * sizeof(k->v[0]));
	memmove(&k->secondary[i], &k->secondary[i + 1], (k->n - i - 1) * sizeof(k->secondary[0]));
	k->n--;
}

static void toy_fail(struct toy *k, const char *why, const struct kobj *o)
{
	static char text[512];
	struct arena a = {0};
	if (!k->error) {
		snprintf(text, sizeof(text), "%s: %s", why, kobj_text(o, &a));
		k->error = text;
	}
	arena_free(&a);
}

static bool toy_has_addr(const struct toy *k, const struct kobj *o)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->v[i].kind == K_ADDR && same(k->v[i].ns, o->ns) && streq(k->v[i].addr.link, o->addr.link) &&
			prefix_eq(&k->v[i].addr.addr, &o->addr.addr))
			return true;
	return false;
}

static void toy_add(struct toy *k, const struct kobj *o)
{
	char link[32];
	bool secondary = false;
	if (toy_find(k, o) < k->n)
		return toy_fail(k, "there already", o);
	if (o->kind != K_NETNS && !toy_ns(k, o->ns))
		return toy_fail(k, "no namespace", o);
	if (o->kind == K_VETH && o->veth.master && !toy_link(k, NULL, o->veth.master))
		return toy_fail(k, "no bridge", o);
	if ((o->kind == K_ADDR && !toy_link(k, o->ns, o->addr.link)) ||
		(o->kind == K_UP && !toy_link(k, o->ns, o->up.link)) ||
		(o->kind == K_ROUTE && !toy_link(k, o->ns, o->route.link)) ||
		(o->kind == K_NSCTL && ctl_link(o, link) && !toy_link(k, o->ns, link)))
		return toy_fail(k, "no link", o);
	if (o->kind == K_ADDR)
		secondary = toy_has_addr(k, o);
	if (o->kind == K_ROUTE) {
		struct kobj up = {.kind = K_UP, .ns = o->ns, .up = {.link = o->route.link}};
		bool reachable = toy_find(k, &up) < k->n;
		for (size_t i = 0, ok = 0; reachable && !ok; i++) {
			if (i == k->n)
				reachable = false;
			else
				ok = k->v[i].kind == K_ADDR && same(k->v[i].ns, o->ns) &&
				     streq(k->v[i].addr.link, o->route.link);
		}
		if (!reachable)
			return toy_fail(k, "gateway not reachable", o);
	}
	if (k->n == OBJS_MAX)
		abort();
	k->secondary[k->n] = secondary;
	k->v[k->n++] = *o;
}

static bool on(const struct kobj *o, const char *ns, const char *name)
{
	char link[32];
	if (!same(o->ns, ns))
		return false;
	switch ((int)o->kind) {
	case K_ADDR:
		return streq(o->addr.link, name);
	case K_UP:
		return streq(o->up.link, name);
	case K_ROUTE:
		return streq(o->route.link, name);
	case K_NSCTL:
		return ctl_link(o, link) && streq(link, name);
	default:
		return false;
	}
}

static void toy_drop_on(struct toy *k, const char *ns, const char *name)
{
	for (size_t i = k->n; i-- > 0;)
		if (on(&k->v[i], ns, name))
			toy_drop(k, i);
}

static void toy_del(struct toy *k, const struct kobj *which)
{
	size_t i = toy_find(k, which);
	if (i == k->n)
		return toy_fail(k, "not there", which);
	struct kobj o = k->v[i];
	bool primary = o.kind == K_ADDR && !k->secondary[i];
	if (o.kind == K_NSCTL)
		return; /* a setting has no absence */
	toy_drop(k, i);
	if (o.kind == K_VETH || o.kind == K_BRIDGE) {
		toy_drop_on(k, NULL, o.kind == K_VETH ? o.veth.name : o.bridge.name);
		if (o.kind == K_VETH)
			toy_drop_on(k, o.ns, o.veth.inner);
	}
	if (o.kind == K_BRIDGE)
		for (i = 0; i < k->n; i++)
			if (k->v[i].kind == K_VETH && same(k->v[i].veth.master, o.bridge.name))
				k->v[i].veth.master = NULL;
	if (o.kind == K_NETNS) {
		for (i = k->n; i-- > 0;)
			if (k->v[i].kind == K_VETH && same(k->v[i].ns, o.ns)) {
				struct kobj v = k->v[i];
				toy_drop(k, i);
				toy_drop_on(k, NULL, v.veth.name);
				i = k->n;
			}
		for (i = k->n; i-- > 0;)
			if (k->v[i].kind != K_FILE && same(k->v[i].ns, o.ns))
				toy_drop(k, i);
	}
	if (primary)
		for (i = k->n; i-- > 0;)
			if (k->v[i].kind == K_ADDR && k->secondary[i] && on(&k->v[i], o.ns, o.addr.link) &&
				prefix_eq(&k->v[i].addr.addr, &o.addr.addr))
				toy_drop(k, i);
	if (o.kind == K_ADDR) {
		bool left = false;
		for (i = 0; i < k->n; i++)
			left |= k->v[i].kind == K_ADDR && on(&k->v[i], o.ns, o.addr.link);
		for (i = k->n; !left && i-- > 0;)
			if (k->v[i].kind == K_ROUTE && on(&k->v[i], o.ns, o.addr.link))
				toy_drop(k, i);
	}
}

static void toy_change(struct toy *k, const struct kobj *before, const struct kobj *after)
{
	size_t i = toy_find(k, before);
	if (i == k->n)
		return toy_fail(k, "nothing to change", before);
	if (after->kind == K_VETH && (!same(k->v[i].ns, after->ns) || !streq(k->v[i].veth.inner, after->veth.inner)))
		return toy_fail(k, "not in place", after);
	if (after->kind == K_VETH && after->veth.master && !toy_link(k, NULL, after->veth.master))
		return toy_fail(k, "no bridge", after);
	k->v[i] = *after;
}

static void toy_fw(struct toy *k, const struct step *s)
{
	for (size_t i = 0; i < s->nfw; i++) {
		const struct fw_change *c = &s->fw[i];
		struct kobj chain = {.kind = K_CHAIN,
			.chain = {.family = s->family,
				.table = c->o->kind == K_RULE ? c->o->rule.table : FW_RAW,
				.chain = c->o->kind == K_RULE ? c->o->rule.chain : ""}};
		if (c->o->kind == K_POLICY) {
			size_t at = toy_find(k, c->o);
			if (at < k->n)
				k->v[at] = *c->o;
			else
				toy_add(k, c->o);
		} else if (c->add) {
			if (c->o->kind == K_RULE && str_starts(c->o->rule.chain, "DOCKER") &&
				toy_find(k, &chain) == k->n)
				toy_fail(k, "no chain", c->o);
			toy_add(k, c->o);
		} else {
			toy_del(k, c->o);
		}
	}
}

static void toy_run(struct toy *k, const struct step *s)
{
	switch (s->op) {
	case STEP_ADD:
		return toy_add(k, s->after);
	case STEP_DEL:
		return toy_del(k, s->before);
	case STEP_CHANGE:
		return toy_change(k, s->before, s->after);
	case STEP_FW:
		return toy_fw(k, s);
	}
}

/* --- random states: consistent ones, as want makes them --- */

static uint64_t seed = 1;
static unsigned dice(unsigned sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % sides;
}

static void put(struct kstate *s, struct kobj o)
{
	if (kstate_add(s, &o) < 0)
		abort();
}

static void random_rule(struct kstate *s, const char *chain, const char *device, int seq, int k)
{
	put(s, (struct kobj){.kind = K_RULE,
		       .rule = {.family = FW_V4,
			       .table = FW_FILTER,
			       .chain = chain,
			       .text = arena_printf(s->mem, "-i %s -j X%d", device, k),
			       .rank = {2, seq, k}}});
}

static void random_network(struct kstate *s, int i)
{
	const char *name = arena_printf(s->mem, "br-%d", i);
	put(s, (struct kobj){
		       .kind = K_BRIDGE, .bridge = {.name = name, .mtu = dice(2) ? 0 : 1400, .alias = "pontoon:x"}});
	put(s, (struct kobj){.kind = K_NSCTL,
		       .ctl = {.path = arena_printf(s->mem, "net/ipv6/conf/%s/accept_ra", name), .value = "0"}});
	unsigned first = 1 + dice(3); /* an address that moves within its subnet, or between networks */
	put(s, (struct kobj){.kind = K_ADDR,
		       .addr = {.link = name, .addr = {.ip = ip4(0x0a000000u + 256u * dice(2) + first), .len = 24}}});
	put(s, (struct kobj){.kind = K_UP, .up = {.link = name}});
	random_rule(s, "FORWARD", name, (int)dice(4), 0);
	random_rule(s, "DOCKER", name, i, 1);
}

static void random_endpoint(struct kstate *s, const char *ns, int box, int i, unsigned networks)
{
	const char *veth = arena_printf(s->mem, "veth%d%d", dice(4) ? box : 7, i),
		   *inner = arena_printf(s->mem, "eth%d", dice(5) ? i : i + 4);
	struct mac mac = {.b = {2, 0x42, 0, 0, 0, (uint8_t)dice(3)}};
	for (size_t k = 0; k < s->n; k++)
		if (s->v[k].kind == K_VETH &&
			(streq(s->v[k].veth.name, veth) || (same(s->v[k].ns, ns) && streq(s->v[k].veth.inner, inner))))
			return;
	put(s, (struct kobj){.kind = K_VETH,
		       .ns = ns,
		       .veth = {.name = veth,
			       .inner = inner,
			       .mac = mac,
			       .mtu = dice(2) ? 0 : 1400,
			       .master = networks ? arena_printf(s->mem, "br-%d", dice(networks)) : NULL,
			       .alias = "pontoon:x/y"}});
	put(s, (struct kobj){.kind = K_NSCTL,
		       .ns = ns,
		       .ctl = {.path = arena_printf(s->mem, "net/ipv6/conf/%s/disable_ipv6", inner),
			       .value = dice(2) ? "1" : "0"}});
	put(s, (struct kobj){.kind = K_ADDR,
		       .ns = ns,
		       .addr = {.link = inner,
			       .addr = {.ip = ip4(0x0a010000u + 256u * (unsigned)i + 1 + dice(3)), .len = 24}}});
	put(s, (struct kobj){.kind = K_UP, .up = {.link = veth}});
	put(s, (struct kobj){.kind = K_UP, .ns = ns, .up = {.link = inner}});
	struct kobj route = {.kind = K_ROUTE,
		.ns = ns,
		.route = {.dst = {.ip = {.family = AF_INET}},
			.via = ip4(0x0a010000u + 256u * (unsigned)i + 254),
			.link = inner}};
	for (size_t k = 0; k < s->n; k++)
		if (kobj_cmp_key(&s->v[k], &route) == 0)
			return;
	if (dice(3))
		put(s, route);
}

static struct kstate random_state(struct arena *a)
{
	struct kstate s = {.mem = a};
	unsigned networks = dice(4), boxes = dice(4);
	for (size_t i = 0; i < 2; i++)
		put(&s, (struct kobj){.kind = K_CHAIN,
				.chain = {.family = FW_V4,
					.table = FW_FILTER,
					.chain = i ? "DOCKER" : "DOCKER-USER",
					.keep = i == 0}});
	put(&s, (struct kobj){.kind = K_POLICY,
			.policy = {.family = FW_V4, .chain = "FORWARD", .value = dice(2) ? "DROP" : "ACCEPT"}});
	put(&s, (struct kobj){.kind = K_HOSTCTL, .ctl = {.path = "net/ipv4/ip_forward", .value = dice(2) ? "1" : "0"}});
	for (unsigned i = 0; i < networks; i++)
		random_network(&s, (int)i);
	for (unsigned b = 0; b < boxes; b++) {
		const char *ns = arena_printf(a, "box%u", dice(6));
		struct kobj o = {.kind = K_NETNS, .ns = ns};
		bool twice = false;
		for (size_t k = 0; k < s.n; k++)
			twice |= kobj_cmp_key(&s.v[k], &o) == 0;
		if (twice)
			continue;
		put(&s, o);
		put(&s, (struct kobj){.kind = K_UP, .ns = ns, .up = {.link = "lo"}});
		put(&s, (struct kobj){.kind = K_FILE,
				.file = {.path = arena_printf(a, "/x/%s/hosts", ns),
					.text = dice(2) ? "a" : "b",
					.mode = 0644}});
		for (unsigned i = 0, n = dice(3); i < n; i++)
			random_endpoint(&s, ns, (int)b, (int)i, networks);
	}
	kstate_sort(&s);
	return s;
}

static void toy_load(struct toy *k, struct kstate *s)
{
	k->n = 0;
	k->error = NULL;
	kstate_sort(s);
	for (size_t i = 0; i < s->n; i++) {
		k->secondary[i] = false;
		k->v[k->n++] = s->v[i];
	}
}

/* The toy holds exactly the state: settings of links that are not in it are no difference. */
static bool toy_equals(const struct toy *k, const struct kstate *s, const char **why, struct arena *a)
{
	for (size_t i = 0; i < s->n; i++) {
		size_t at = toy_find(k, &s->v[i]);
		if (at == k->n) {
			*why = arena_printf(a, "missing: %s", kobj_text(&s->v[i], a));
			return false;
		}
		if (!kobj_equal(&s->v[i], &k->v[at]) ||
			(s->v[i].kind == K_BRIDGE && s->v[i].bridge.mtu && s->v[i].bridge.mtu != k->v[at].bridge.mtu)) {
			*why = arena_printf(a, "differs: %s", kobj_text(&s->v[i], a));
			return false;
		}
	}
	for (size_t i = 0; i < k->n; i++) {
		bool found = false;
		for (size_t m = 0; !found && m < s->n; m++)
			found = kobj_cmp_key(&s->v[m], &k->v[i]) == 0;
		if (!found && k->v[i].kind != K_NSCTL) {
			*why = arena_printf(a, "left over: %s", kobj_text(&k->v[i], a));
			return false;
		}
	}
	return true;
}

static void undo_from(struct toy *k, const struct plan *p, size_t n, struct arena *a)
{
	while (n-- > 0) {
		struct step *back;
		size_t count;
		struct err e = {0};
		if (plan_inverse(a, &p->v[n], &back, &count, &e) < 0)
			abort();
		for (size_t i = 0; i < count; i++)
			toy_run(k, &back[i]);
	}
}

static bool round_trip(uint64_t number)
{
	static struct toy k;
	struct arena a = {0};
	struct err e = {0};
	struct plan p;
	struct buf text = {0};
	const char *why = NULL;
	seed = number * 2654435761u + 1;
	struct kstate have = random_state(&a), want = random_state(&a);
	bool ok = plan_diff(&a, &have, &want, &p, &e) == 0;
	plan_text(&p, &a, &text);
	for (size_t n = 0; ok && n <= p.n; n++) { /* every prefix, then its undo */
		toy_load(&k, &have);
		for (size_t i = 0; i < n; i++)
			toy_run(&k, &p.v[i]);
		if (n == p.n && (k.error || !toy_equals(&k, &want, &why, &a))) {
			printf("# round %llu: after the plan: %s\n", (unsigned long long)number,
				k.error ? k.error : why);
			ok = false;
			break;
		}
		undo_from(&k, &p, n, &a);
		if (k.error || !toy_equals(&k, &have, &why, &a)) {
			printf("# round %llu: after %zu of %zu steps and their undo: %s\n", (unsigned long long)number,
				n, p.n, k.error ? k.error : why);
			ok = false;
		}
	}
	if (!ok)
		for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"))
			printf("# | %s\n", line);
	struct plan none;
	ok = ok && plan_diff(&a, &want, &want, &none, &e) == 0 && none.n == 0;
	buf_free(&text);
	arena_free(&a);
	return ok;
}

TEST(random_states_and_every_undo)
{
	for (uint64_t i = 1; i <= 3000; i++)
		REQUIRE(round_trip(i));
}

static struct plan diff(struct arena *a, struct kstate *have, struct kstate *want)
{
	struct plan p = {0};
	struct err e = {0};
	if (plan_diff(a, have, want, &p, &e) < 0)
		test_failed = true;
	return p;
}

/* Adding before deleting would lose both: the new address is a secondary one of the old. */
TEST(moved_address_goes_first)
{
	struct arena a = {0};
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	put(&have, (struct kobj){.kind = K_BRIDGE, .bridge = {.name = "docker0"}});
	put(&want, (struct kobj){.kind = K_BRIDGE, .bridge = {.name = "docker0"}});
	put(&have, (struct kobj){.kind = K_ADDR, .addr = {.link = "docker0", .addr = fix_prefix("172.17.0.1/16")}});
	put(&want, (struct kobj){.kind = K_ADDR, .addr = {.link = "docker0", .addr = fix_prefix("172.17.0.9/16")}});
	struct plan p = diff(&a, &have, &want);
	REQUIRE(p.n == 2);
	CHECK(p.v[0].op == STEP_DEL && p.v[1].op == STEP_ADD);
	arena_free(&a);
}

/* Somebody deleted docker0: its ports get their bridge back and keep their addresses. */
TEST(lost_bridge_keeps_the_ports)
{
	struct arena a = {0};
	struct buf text = {0};
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	struct kobj veth = {
		.kind = K_VETH, .ns = "box", .veth = {.name = "veth1", .inner = "eth0", .alias = "pontoon:a/b"}};
	put(&have, (struct kobj){.kind = K_NETNS, .ns = "box"});
	put(&want, (struct kobj){.kind = K_NETNS, .ns = "box"});
	put(&have, veth);
	veth.veth.master = "docker0";
	put(&want, veth);
	put(&want, (struct kobj){.kind = K_BRIDGE, .bridge = {.name = "docker0"}});
	struct plan p = diff(&a, &have, &want);
	plan_text(&p, &a, &text);
	CHECK_STR(buf_str(&text), "+ bridge docker0\n~ veth veth1 eth0 in box master docker0\n");
	buf_free(&text);
	arena_free(&a);
}

TEST(permanent_things_stay)
{
	struct arena a = {0};
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	put(&have, (struct kobj){.kind = K_HOSTCTL, .ctl = {.path = "net/ipv4/ip_forward", .value = "1"}});
	put(&have, (struct kobj){.kind = K_POLICY, .policy = {.family = FW_V4, .chain = "FORWARD", .value = "DROP"}});
	put(&have, (struct kobj){.kind = K_CHAIN,
			   .chain = {.family = FW_V4, .table = FW_FILTER, .chain = "DOCKER-USER", .keep = true}});
	put(&have, (struct kobj){.kind = K_BRIDGE, .bridge = {.name = "mine", .adopt = true}});
	put(&have, (struct kobj){.kind = K_UP, .up = {.link = "mine", .keep = true}});
	CHECK_INT(diff(&a, &have, &want).n, 0);
	arena_free(&a);
}

TEST(policy_is_put_back)
{
	struct arena a = {0};
	struct err e = {0};
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	struct step *back;
	size_t n;
	put(&want, (struct kobj){.kind = K_POLICY, .policy = {.family = FW_V4, .chain = "FORWARD", .value = "DROP"}});
	struct plan p = diff(&a, &have, &want);
	REQUIRE(p.n == 1 && plan_inverse(&a, &p.v[0], &back, &n, &e) == 0 && n == 1 && back->nfw == 1);
	CHECK_STR(back->fw[0].o->policy.value, "ACCEPT");
	arena_free(&a);
}

TEST(one_step_a_family)
{
	struct arena a = {0};
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	for (int f = 0; f < FW_FAMILY_N; f++)
		for (int t = 0; t < FW_TABLE_N; t++)
			for (int i = 0; i < 3; i++)
				put(&want, (struct kobj){.kind = K_RULE,
						   .rule = {.family = (enum fw_family)f,
							   .table = (enum fw_table)t,
							   .chain = "C",
							   .text = arena_printf(&a, "-j %d", i)}});
	struct plan p = diff(&a, &have, &want);
	REQUIRE(p.n == 2);
	for (size_t i = 0; i < p.n; i++)
		CHECK(p.v[i].op == STEP_FW && p.v[i].nfw == 9);
	arena_free(&a);
}

/* The name server's rules go with their sandbox; alone they are taken out of it. */
TEST(name_server_knows_whether_its_sandbox_goes)
{
	for (int stays = 0; stays < 2; stays++) {
		struct arena a = {0};
		struct kstate have = {.mem = &a}, want = {.mem = &a};
		put(&have, (struct kobj){.kind = K_NETNS, .ns = "box"});
		put(&have, (struct kobj){.kind = K_DNS, .ns = "box"});
		put(&have, (struct kobj){.kind = K_NETNS, .ns = "other"});
		put(&want, (struct kobj){.kind = K_NETNS, .ns = stays ? "box" : "other"});
		struct plan p = diff(&a, &have, &want);
		REQUIRE(p.n == 2 && p.v[0].before->kind == K_DNS && p.v[1].before->kind == K_NETNS);
		CHECK(p.v[0].box_goes == !stays && !p.v[1].box_goes);
		arena_free(&a);
	}
}

TESTS(T(random_states_and_every_undo), T(moved_address_goes_first), T(lost_bridge_keeps_the_ports),
	T(permanent_things_stay), T(policy_is_put_back), T(one_step_a_family), T(name_server_knows_whether_its_sandbox_goes))
