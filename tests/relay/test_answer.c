/* What a container is told: one row a rule. The scene has three networks:
 *   front  web (alias www, short id, hostname web1; both families), db, twins x2 (alias "twin")
 *   back   db (another address), v6only
 *   x.y    api (a network whose name has a dot)
 * The container "me" is on all three, with the link mysql -> db on back. */
#include "relay/answer.h"

#include "message.h"

static struct zones zs;
static struct view *me;

static struct ip ip(const char *s)
{
	struct ip a = {0};
	if (*s)
		CHECK(ip_parse(s, &a) == 0);
	return a;
}

static const char *web[] = {"Web", "www", "0123456789ab", "web1"}, *db[] = {"db", "fedcba987654"}, *twin1[] = {"t1", "twin"}, *twin2[] = {"t2", "twin"}, *v6only[] = {"v6only"},
		  *api[] = {"api"}, *a_dot[] = {"a.b"}, *nets[] = {"n1", "n2", "n3"}, *longname[] = {"an-extremely-long-container-name-that-is-longer-than-a-label-can-be", "short"};

static void put(const char *id, const char *name, const struct relay_host *h, size_t n)
{
	struct relay_zone z = {id, name, h, n};
	CHECK(zones_put(&zs, &z) == 0);
}

static void scene(bool ndots, const char *link_net)
{
	const struct relay_host front[] = {{{web, 4}, ip("10.0.1.2"), ip("fd00::1:2")}, {{db, 2}, ip("10.0.1.3"), ip("")}, {{twin1, 2}, ip("10.0.1.4"), ip("")},
		{{twin2, 2}, ip("10.0.1.5"), ip("")}, {{longname, 2}, ip("10.0.1.6"), ip("")}};
	const struct relay_host back[] = {{{db, 2}, ip("10.0.2.3"), ip("")}, {{v6only, 1}, ip(""), ip("fd00::2:4")}};
	const struct relay_host xy[] = {{{api, 1}, ip("10.0.3.2"), ip("")}, {{a_dot, 1}, ip("10.0.3.3"), ip("")}};
	struct relay_link links[] = {{"MySQL", link_net, "DB"}, {"gone", "n2", "nobody"}, {"elsewhere", "n9", "db"}};
	struct relay_view v = {.sandbox = "me", .networks = {nets, 3}, .links = links, .nlinks = 3, .ndots_set = ndots};
	put("n1", "front", front, 5);
	put("n2", "Back", back, 2);
	put("n3", "x.y", xy, 2);
	CHECK(view_new(&zs, &v, &me) == 0);
}

static void end(void)
{
	view_free(me);
	zones_free(&zs);
	me = NULL;
}

static const char *ask_size(const char *name, unsigned type, unsigned size, size_t limit, char *out, size_t out_size)
{
	static uint8_t reply[DNS_MAX];
	struct wire w;
	struct dns_query q;
	wquery(&w, name, type, size);
	if (dns_parse_query(w.p, w.n, &q) != 0)
		return "no query";
	size_t n = answer(me, w.p, &q, 1, reply, limit ? limit : q.size);
	return n ? show(reply, n, out, out_size) : "forward";
}

static const char *ask(const char *name, unsigned type)
{
	static char out[4096];
	return ask_size(name, type, 0, 0, out, sizeof(out));
}

enum { TXT = 16, SRV = 33 };

TEST(rules)
{
	static const struct {
		const char *name;
		unsigned type;
		const char *want;
	} rows[] = {
		/* names, aliases, short ids, hostnames; letters in any case, and the query's own spelling comes back */
		{"web", DNS_A, "NOERROR web. A 10.0.1.2 ttl=5"},
		{"WEB", DNS_A, "NOERROR WEB. A 10.0.1.2 ttl=5"},
		{"www", DNS_A, "NOERROR www. A 10.0.1.2 ttl=5"},
		{"0123456789ab", DNS_A, "NOERROR 0123456789ab. A 10.0.1.2 ttl=5"},
		{"web1", DNS_A, "NOERROR web1. A 10.0.1.2 ttl=5"},
		{"web", DNS_AAAA, "NOERROR web. AAAA fd00::1:2 ttl=5"},
		/* the other family and mail of a name that exists: nothing, and nobody else is asked */
		{"db", DNS_AAAA, "NOERROR db."},
		{"v6only", DNS_A, "NOERROR v6only."},
		{"v6only", DNS_AAAA, "NOERROR v6only. AAAA fd00::2:4 ttl=5"},
		{"web", DNS_MX, "NOERROR web."},
		{"nobody", DNS_MX, "forward"},
		/* first network with the name wins; no merging */
		{"db", DNS_A, "NOERROR db. A 10.0.1.3 ttl=5"},
		/* name.network, also with dots on both sides */
		{"db.front", DNS_A, "NOERROR db.front. A 10.0.1.3 ttl=5"},
		{"db.back", DNS_A, "NOERROR db.back. A 10.0.2.3 ttl=5"},
		{"DB.BACK", DNS_A, "NOERROR DB.BACK. A 10.0.2.3 ttl=5"},
		{"api.x.y", DNS_A, "NOERROR api.x.y. A 10.0.3.2 ttl=5"},
		{"a.b", DNS_A, "NOERROR a.b. A 10.0.3.3 ttl=5"},
		{"a.b.x.y", DNS_A, "NOERROR a.b.x.y. A 10.0.3.3 ttl=5"},
		{"web.back", DNS_A, "forward"},
		{"web.nowhere", DNS_A, "forward"},
		{"front", DNS_A, "forward"},
		{"b.x.y", DNS_A, "forward"},
		/* links before names, on their own network only */
		{"mysql", DNS_A, "NOERROR mysql. A 10.0.2.3 ttl=5"},
		{"mysql.back", DNS_A, "NOERROR mysql.back. A 10.0.2.3 ttl=5"},
		{"mysql.front", DNS_A, "forward"},
		{"gone", DNS_A, "forward"},
		{"elsewhere", DNS_A, "forward"},
		/* addresses to names: the primary one, with its network */
		{"2.1.0.10.in-addr.arpa", DNS_PTR, "NOERROR 2.1.0.10.in-addr.arpa. PTR Web.front. ttl=5"},
		{"3.2.0.10.in-addr.arpa", DNS_PTR, "NOERROR 3.2.0.10.in-addr.arpa. PTR db.Back. ttl=5"},
		{"2.3.0.10.in-addr.arpa", DNS_PTR, "NOERROR 2.3.0.10.in-addr.arpa. PTR api.x.y. ttl=5"},
		{"6.1.0.10.in-addr.arpa", DNS_PTR, "NOERROR 6.1.0.10.in-addr.arpa. PTR short.front. ttl=5"},
		{"4.0.0.0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", DNS_PTR,
			"NOERROR 4.0.0.0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR v6only.Back. ttl=5"},
		{"9.9.0.10.in-addr.arpa", DNS_PTR, "forward"},
		{"02.1.0.10.in-addr.arpa", DNS_PTR, "forward"},
		{"256.1.0.10.in-addr.arpa", DNS_PTR, "forward"},
		{"1.0.10.in-addr.arpa", DNS_PTR, "forward"},
		{"web", DNS_PTR, "forward"},
		/* every other type is forwarded as it is, and what is unknown */
		{"web", TXT, "forward"},
		{"web", SRV, "forward"},
		{"web", DNS_ANY, "forward"},
		{"example.com", DNS_A, "forward"},
		{"single", DNS_A, "forward"},
		{"", DNS_A, "forward"},
	};
	scene(false, "n2");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_STR(ask(rows[i].name, rows[i].type), rows[i].want);
	end();
}

TEST(with_ndots_set_a_single_label_stays_here)
{
	scene(true, "n2");
	CHECK_STR(ask("single", DNS_A), "NOERROR single.");
	CHECK_STR(ask("single", DNS_AAAA), "NOERROR single.");
	CHECK_STR(ask("single", TXT), "forward");
	CHECK_STR(ask("single", DNS_MX), "forward");
	CHECK_STR(ask("two.labels", DNS_A), "forward");
	CHECK_STR(ask("", DNS_A), "forward");
	CHECK_STR(ask("web", DNS_A), "NOERROR web. A 10.0.1.2 ttl=5");
	end();
}

/* An alias hides the real name of its network, even while its target is away. */
TEST(a_link_hides_a_name_of_its_network)
{
	scene(false, "n1");
	struct relay_link links[] = {{"web", "n1", "db"}, {"twin", "n1", "nobody"}};
	struct relay_view v = {.sandbox = "me", .networks = {nets, 3}, .links = links, .nlinks = 2};
	view_free(me);
	REQUIRE(view_new(&zs, &v, &me) == 0);
	CHECK_STR(ask("web", DNS_A), "NOERROR web. A 10.0.1.3 ttl=5");
	CHECK_STR(ask("twin", DNS_A), "forward");
	end();
}

TEST(a_zone_is_replaced_whole_and_views_follow)
{
	scene(false, "n2");
	const struct relay_host other[] = {{{db, 1}, ip("10.0.1.9"), ip("")}};
	put("n1", "front", other, 1);
	CHECK_STR(ask("db", DNS_A), "NOERROR db. A 10.0.1.9 ttl=5");
	CHECK_STR(ask("web", DNS_A), "forward");
	zones_del(&zs, "n1");
	CHECK_STR(ask("db", DNS_A), "NOERROR db. A 10.0.2.3 ttl=5");
	CHECK_STR(ask("mysql", DNS_A), "NOERROR mysql. A 10.0.2.3 ttl=5");
	put("n1", "front", other, 1);
	CHECK_STR(ask("db", DNS_A), "NOERROR db. A 10.0.1.9 ttl=5");
	end();
}

TEST(round_robin_reaches_every_address_first)
{
	unsigned first[2] = {0};
	uint8_t reply[DNS_UDP_MIN];
	scene(false, "n2");
	for (unsigned i = 0; i < 64; i++) {
		struct wire w;
		struct dns_query q;
		char text[512];
		wquery(&w, "twin", DNS_A, 0);
		REQUIRE(dns_parse_query(w.p, w.n, &q) == 0);
		size_t n = answer(me, w.p, &q, i * 7919u, reply, q.size);
		const char *t = show(reply, n, text, sizeof(text));
		bool a = strcmp(t, "NOERROR twin. A 10.0.1.4 ttl=5; A 10.0.1.5 ttl=5") == 0, b = strcmp(t, "NOERROR twin. A 10.0.1.5 ttl=5; A 10.0.1.4 ttl=5") == 0;
		CHECK(a || b);
		first[b]++;
	}
	CHECK(first[0] >= 16 && first[1] >= 16);
	end();
}

/* 100 addresses: as many as fit in 512 bytes or in what EDNS says, with TC; all over TCP. */
TEST(truncation)
{
	static struct relay_host many[100];
	static char out[8192], want[8192];
	static uint8_t reply[DNS_MAX];
	static const char *many_name[] = {"many"};
	struct wire w;
	struct dns_query q;
	scene(false, "n2");
	for (unsigned i = 0; i < 100; i++)
		many[i] = (struct relay_host){{many_name, 1}, ip4(0x0a000000 + i), {0}};
	put("n1", "front", many, 100);
	const struct {
		unsigned edns;
		size_t limit, records;
		bool tc;
	} rows[] = {{0, 0, (512 - 22) / 16, true}, {512, 0, (512 - 22 - 11) / 16, true}, {100, 0, (512 - 22 - 11) / 16, true}, {1232, 0, (1232 - 22 - 11) / 16, true}, {4096, 0, 100, false},
		{0, DNS_MAX, 100, false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		wquery(&w, "many", DNS_A, rows[i].edns);
		REQUIRE(dns_parse_query(w.p, w.n, &q) == 0);
		size_t n = answer(me, w.p, &q, i, reply, rows[i].limit ? rows[i].limit : q.size);
		CHECK_INT(reply[6] << 8 | reply[7], rows[i].records);
		CHECK_INT(dns_truncated(reply), rows[i].tc);
		CHECK(n <= (rows[i].limit ? rows[i].limit : q.size));
		CHECK(strcmp(show(reply, n, out, sizeof(out)), "malformed") != 0);
		(void)want;
	}
	end();
}

TEST(flags_and_edns_of_an_answer)
{
	uint8_t reply[4096];
	struct wire w;
	struct dns_query q;
	scene(false, "n2");
	wquery(&w, "web", DNS_A, 1232);
	w.p[3] |= 0x10; /* CD */
	REQUIRE(dns_parse_query(w.p, w.n, &q) == 0);
	REQUIRE(answer(me, w.p, &q, 0, reply, 4096));
	CHECK_INT(reply[0] << 8 | reply[1], 0x1234);
	CHECK_INT(reply[2], 0x81); /* QR RD, not AA */
	CHECK_INT(reply[3], 0x90); /* RA CD */
	CHECK_INT(reply[11], 1);
	end();
}

TESTS(T(rules), T(with_ndots_set_a_single_label_stays_here), T(a_link_hides_a_name_of_its_network), T(a_zone_is_replaced_whole_and_views_follow),
	T(round_robin_reaches_every_address_first), T(truncation), T(flags_and_edns_of_an_answer))
