/* Theory of operation
 *
 * The kernel looks an element up in a time that does not grow with their number, and adds one without touching any
 * other: so a network is elements keyed by its interface, and no operation ever changes a rule.
 *
 *   pairs      br . br      what stays within a network: let through, or dropped when the network is in `quiet`
 *   bridges    br           networks with a way out: nothing passes from one to another; new connections into one
 *                           are dropped ("into"), which keeps out also who routes to a container's address directly
 *   closed     br           internal networks: nothing in or out
 *   unguarded  family . br  mode nat-unprotected: any port may be reached
 *   routed     family . br  mode routed: may be pinged
 *   strict     family       we switched forwarding on: what neither comes from nor goes to a network of ours is
 *                           dropped, as the policy of FORWARD would
 *   masq4/6    br           what leaves gets an address of the host
 *   snat4/6    br : address what leaves gets this one
 *
 * A packet that a table of ours drops is dropped, whatever other tables say; what we accept, other tables may still
 * drop. Therefore there is no policy to set.
 *
 * A transaction is all or nothing. Deleting an element that has gone already would fail it, so each is added first,
 * which does nothing when it is there. A skeleton that is not as it should be counts as absent with all its elements:
 * the table is then made anew, with the people's rules in their chain.
 *
 * tests/kernel/test_nft.c proves it on the kernel, with packets. */
#include "net/fw_nft.h"

#include <ctype.h>
#include <errno.h>

#include "net/fw.h"

static const char skeleton_head[] =
	"table inet pontoon {\n"
	"\tset pairs {\n\t\ttype ifname . ifname\n\t}\n"
	"\tset bridges {\n\t\ttype ifname\n\t}\n"
	"\tset closed {\n\t\ttype ifname\n\t}\n"
	"\tset quiet {\n\t\ttype ifname\n\t}\n"
	"\tset unguarded {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tset routed {\n\t\ttype nf_proto . ifname\n\t}\n"
	"\tset strict {\n\t\ttype nf_proto\n\t}\n"
	"\tset masq4 {\n\t\ttype ifname\n\t}\n"
	"\tset masq6 {\n\t\ttype ifname\n\t}\n"
	"\tmap snat4 {\n\t\ttype ifname : ipv4_addr\n\t}\n"
	"\tmap snat6 {\n\t\ttype ifname : ipv6_addr\n\t}\n"
	"\tchain user {\n";
static const char skeleton_forward[] =
	"\t}\n"
	"\tchain forward {\n"
	"\t\ttype filter hook forward priority filter; policy accept;\n"
	"\t\tjump user\n"
	"\t\tiifname . oifname @pairs jump within\n";
static const char skeleton_tail[] =
	"\t\tiifname @bridges oifname @bridges drop\n"
	"\t\tiifname @closed drop\n"
	"\t\toifname @closed drop\n"
	"\t\toifname @bridges jump into\n"
	"\t\tiifname != @bridges meta nfproto @strict drop\n"
	"\t}\n"
	"\tchain within {\n"
	"\t\tct state established,related accept\n"
	"\t\tiifname @quiet drop\n"
	"\t\taccept\n"
	"\t}\n"
	"\tchain into {\n"
	"\t\tct state established,related accept\n"
	"\t\tmeta nfproto . oifname @unguarded accept\n"
	"\t\tmeta nfproto . oifname @routed meta l4proto { icmp, ipv6-icmp } accept\n"
	"\t\tdrop\n"
	"\t}\n"
	"\tchain postrouting {\n"
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
	"\t\tiifname . oifname @pairs accept\n"
	"\t\tmeta nfproto ipv4 snat ip to iifname map @snat4\n"
	"\t\tmeta nfproto ipv4 iifname @masq4 masquerade\n"
	"\t\tip6 saddr fe80::/10 accept\n"
	"\t\tmeta nfproto ipv6 snat ip6 to iifname map @snat6\n"
	"\t\tmeta nfproto ipv6 iifname @masq6 masquerade\n"
	"\t}\n"
	"}\n";

/* "0x1/0xff" as nft prints the expression that it means; it stands in the skeleton: a set cannot mask. */
static const char *mark_match(const char *mark, struct arena *a)
{
	unsigned value = 0, mask = 0;
	if (str_empty(mark))
		return "";
	if (sscanf(mark, "%x/%x", &value, &mask) == 2)
		return arena_printf(a, "meta mark & 0x%08x == 0x%08x", mask, value);
	return arena_printf(a, "meta mark 0x%08x", value);
}

int fw_nft_want_host(const struct netconf *c, bool v6, struct kstate *out, struct err *e)
{
	struct unit u = {UNIT_HOST, ""};
	struct kobj table = {.kind = K_NFT_TABLE, .unit = u, .elem = {"", "", mark_match(c->accept_mark, out->mem)}},
		    four = {.kind = K_NFT_ELEM, .unit = u, .elem = {"strict", "ipv4", ""}},
		    six = {.kind = K_NFT_ELEM, .unit = u, .elem = {"strict", "ipv6", ""}};
	if (!table.elem.value || kstate_add(out, &table) < 0 || (c->policy_drop && kstate_add(out, &four) < 0) ||
		(v6 && c->policy_drop6 && kstate_add(out, &six) < 0))
		return err_nomem(e);
	return 0;
}

static int add(struct kstate *out, const struct network *n, const char *set, const char *key, const char *value)
{
	struct kobj o = {.kind = K_NFT_ELEM, .unit = {UNIT_NETWORK, n->id}, .elem = {set, key, value}};
	return key && value ? kstate_add(out, &o) : -ENOMEM;
}

/* A family that is not ours to guard is let through, as iptables would. */
static int want_family(const struct netconf *c, const struct network *n, enum fw_family f, const char *br, struct kstate *out)
{
	bool v6 = f == FW_V6, ours = fw_has_family(c, n, f);
	enum gw_mode mode = v6 ? n->gw_mode6 : n->gw_mode4;
	const struct ip *snat = v6 ? &n->snat6 : &n->snat4;
	const char *both = arena_printf(out->mem, "%s . %s", v6 ? "ipv6" : "ipv4", br);
	char text[IP_TEXT];
	if (mode == GW_NAT_UNPROTECTED || (v6 && !c->ip6tables))
		try(add(out, n, "unguarded", both, ""));
	if (!ours)
		return 0;
	if (mode == GW_ROUTED)
		try(add(out, n, "routed", both, ""));
	if (!fw_masquerades(c, n, f))
		return 0;
	if (ip_is_set(snat))
		return add(out, n, v6 ? "snat6" : "snat4", br, arena_dup(out->mem, ip_format(snat, text)));
	return add(out, n, v6 ? "masq6" : "masq4", br, "");
}

int fw_nft_want_network(const struct netconf *c, const struct network *n, struct kstate *out, struct err *e)
{
	const char *br = arena_printf(out->mem, "\"%s\"", n->bridge);
	int r = br ? 0 : -ENOMEM;
	if (!fw_has_family(c, n, FW_V4) && !fw_has_family(c, n, FW_V6))
		return 0;
	if (r >= 0)
		r = add(out, n, "pairs", arena_printf(out->mem, "%s . %s", br, br), "");
	if (r >= 0)
		r = add(out, n, n->internal ? "closed" : "bridges", br, "");
	if (r >= 0 && !n->icc)
		r = add(out, n, "quiet", br, "");
	for (int f = 0; r >= 0 && !n->internal && f < FW_FAMILY_N; f++)
		r = want_family(c, n, (enum fw_family)f, br, out);
	return r < 0 ? err_nomem(e) : 0;
}

/* Blanks of any kind become one space; none at the ends. */
static char *squeezed(struct arena *a, const char *s, size_t n)
{
	char *t = arena_dupn(a, s, n);
	size_t k = 0;
	for (size_t i = 0; t && i < n; i++) {
		bool blank = isspace((unsigned char)s[i]);
		if (!blank || (k && t[k - 1] != ' '))
			t[k++] = blank ? ' ' : s[i];
	}
	if (t) {
		k -= k && t[k - 1] == ' ';
		t[k] = '\0';
	}
	return t;
}

static int parse_elements(struct arena *a, const char *set, const char *s, size_t n, struct kstate *out)
{
	for (const char *end = s + n; s < end;) {
		size_t len = 0;
		while (s + len < end && s[len] != ',')
			len++;
		char *key = squeezed(a, s, len), *colon = key ? strstr(key, " : ") : NULL;
		struct kobj o = {.kind = K_NFT_ELEM, .unit = {UNIT_HOST, ""}, .elem = {set, key, ""}};
		if (!key)
			return -ENOMEM;
		if (colon) {
			*colon = '\0';
			o.elem.value = colon + 3;
		}
		if (kstate_add(out, &o) < 0)
			return -ENOMEM;
		s += len + 1;
	}
	return 0;
}

struct parse {
	struct arena *a;
	struct fw_nft_listing *out;
	struct buf skeleton, user;
	const char *set; /* the one that this line is in */
	bool in_user;
};

static void own_parse(struct parse *p)
{
	buf_free(&p->skeleton);
	buf_free(&p->user);
}

/* Takes one line, or all lines of a set's elements; returns what is left, NULL when it is not a listing. */
static const char *parse_line(struct parse *p, const char *text)
{
	static const char elements[] = "elements = {";
	size_t n = strcspn(text, "\n");
	const char *s = squeezed(p->a, text, n);
	if (!s)
		return NULL;
	if (str_starts(s, elements)) {
		const char *from = strstr(text, elements) + strlen(elements), *to = strchr(from, '}');
		if (!to || !p->set || parse_elements(p->a, p->set, from, (size_t)(to - from), &p->out->elements) < 0)
			return NULL;
		text = to;
		n = strcspn(text, "\n");
	} else if (p->in_user && !streq(s, "}")) {
		buf_printf(&p->user, "%s\n", s);
	} else if (*s) {
		buf_printf(&p->skeleton, "%s\n", s);
		p->in_user = streq(s, "chain user {");
		if (str_starts(s, "set ") || str_starts(s, "map "))
			p->set = arena_dupn(p->a, s + 4, strcspn(s + 4, " "));
	}
	return text + n + (text[n] == '\n');
}

int fw_nft_parse(const char *text, struct arena *a, struct fw_nft_listing *out, struct err *e)
{
	OWN(own_parse) struct parse p = {.a = a, .out = out};
	*out = (struct fw_nft_listing){.elements = {.mem = a}};
	while (text && *text)
		text = parse_line(&p, text);
	if (a->bad || p.skeleton.bad || p.user.bad)
		return err_nomem(e);
	if (!text)
		return err_set(e, -EPROTO, "a listing of nftables is not understood");
	out->skeleton = arena_dup(a, buf_str(&p.skeleton));
	out->user = arena_dup(a, buf_str(&p.user));
	return a->bad ? err_nomem(e) : 0;
}

static void put_skeleton(const char *user, const char *mark, struct buf *out)
{
	buf_printf(out, "%s%s%s", skeleton_head, user, skeleton_forward);
	if (!str_empty(mark))
		buf_printf(out, "\t\toifname @bridges %s accept\n", mark);
	buf_puts(out, skeleton_tail);
}

const char *fw_nft_skeleton(const char *mark, struct arena *a)
{
	OWN(own_buf) struct buf text = {0};
	struct fw_nft_listing l;
	put_skeleton("", mark, &text);
	return !text.bad && fw_nft_parse(buf_str(&text), a, &l, NULL) >= 0 ? l.skeleton : NULL;
}

static void render_elem(const char *verb, const struct kobj *o, struct buf *out)
{
	bool value = !str_empty(o->elem.value);
	buf_printf(out, "%s element inet pontoon %s { %s%s%s }\n", verb, o->elem.set, o->elem.key, value ? " : " : "",
		value ? o->elem.value : "");
}

/* The old table goes in the transaction in which the new one comes. */
static void render_table(bool there, const char *user, const char *mark, bool present, struct buf *out)
{
	if (present)
		buf_puts(out, "delete table inet pontoon\n");
	if (there)
		put_skeleton(user, mark, out);
	else if (!str_empty(user))
		buf_printf(out, "table inet pontoon {\n\tchain user {\n%s\t}\n}\n", user);
}

int fw_nft_render(const struct step *s, const char *user, bool present, struct buf *out, struct err *e)
{
	const struct fw_change *table = NULL;
	for (size_t i = 0; i < s->nfw; i++)
		if (s->fw[i].o->kind == K_NFT_TABLE)
			table = &s->fw[i];
	if (table)
		render_table(table->add, user, table->o->elem.value, present, out);
	for (size_t i = 0; i < s->nfw; i++) {
		const struct fw_change *c = &s->fw[i];
		if (c->o->kind != K_NFT_ELEM || (table && !c->add))
			continue; /* elements go with their table */
		render_elem("add", c->o, out);
		if (!c->add)
			render_elem("delete", c->o, out);
	}
	return out->bad ? err_nomem(e) : 0;
}
