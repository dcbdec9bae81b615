#include "relay/dns.h"

#include "message.h"

static int parse(struct wire *w, struct dns_query *q)
{
	return dns_parse_query(w->p, w->n, q);
}

TEST(a_query_is_read)
{
	struct wire w;
	struct dns_query q;
	wquery(&w, "WwW.Example.Com", DNS_AAAA, 0);
	REQUIRE(parse(&w, &q) == 0);
	CHECK_STR(q.name, "www.example.com");
	CHECK_INT(q.name_len, 15);
	CHECK_INT(q.type, DNS_AAAA);
	CHECK_INT(q.id, 0x1234);
	CHECK_INT(q.size, 512);
	CHECK(q.rd && !q.cd && !q.edns && q.plain && !q.odd_name);
	CHECK_INT(q.end, w.n);
	wquery(&w, "", DNS_A, 4096);
	REQUIRE(parse(&w, &q) == 0);
	CHECK_STR(q.name, "");
	CHECK_INT(q.size, 4096);
	CHECK(q.edns && q.plain && !q.dnssec_ok);
}

TEST(what_is_wrong_with_a_query)
{
	struct wire w;
	struct dns_query q;
	wquery(&w, "a", DNS_A, 0);
	for (size_t n = 0; n < w.n; n++)
		CHECK_INT(dns_parse_query(w.p, n, &q), n < DNS_HEAD ? -1 : DNS_FORMERR);
	w.p[2] |= 0x80;
	CHECK_INT(parse(&w, &q), -1); /* an answer */
	wquery(&w, "a", DNS_A, 0);
	w.p[2] |= 4 << 3;
	CHECK_INT(parse(&w, &q), DNS_NOTIMP);
	wquery(&w, "a", DNS_A, 0);
	w.p[5] = 0;
	CHECK_INT(parse(&w, &q), -1); /* no question */
	w.p[5] = 2;
	CHECK_INT(parse(&w, &q), DNS_FORMERR);
	whead(&w, 1, 0x100, 1, 0, 0, 0); /* a pointer in the question */
	w16(&w, 0xc00c);
	w16(&w, 1);
	w16(&w, 1);
	CHECK_INT(parse(&w, &q), DNS_FORMERR);
	wquery(&w, "a", DNS_A, 512);
	wopt(&w, 512, 0, false);
	w.p[11] = 2;
	CHECK_INT(parse(&w, &q), DNS_FORMERR); /* two OPTs */
	whead(&w, 1, 0x100, 1, 0, 0, 1);
	wquestion(&w, "a", DNS_A);
	wopt(&w, 1232, 1, false);
	CHECK_INT(parse(&w, &q), DNS_BADVERS);
	uint8_t out[DNS_UDP_MIN];
	size_t n = dns_error(w.p, &q, out, sizeof(out), DNS_BADVERS);
	CHECK_INT(dns_rcode(out), 0);
	CHECK_INT(out[n - 11 + 5], 1); /* the upper bits of the code, in OPT */
}

TEST(long_names)
{
	struct wire w;
	struct dns_query q;
	char name[300];
	for (int i = 0; i < 253; i++)
		name[i] = i % 2 ? '.' : 'a';
	name[253] = '\0';
	wquery(&w, name, DNS_A, 0); /* 255 bytes on the wire: the longest */
	REQUIRE(parse(&w, &q) == 0);
	CHECK_STR(q.name, name);
	snprintf(name + 253, 3, ".a");
	wquery(&w, name, DNS_A, 0);
	CHECK_INT(parse(&w, &q), DNS_FORMERR);
	memset(name, 'b', 64);
	name[64] = '\0';
	wquery(&w, name, DNS_A, 0);
	CHECK_INT(parse(&w, &q), DNS_FORMERR);
}

TEST(a_label_with_a_dot_is_odd)
{
	struct wire w;
	struct dns_query q;
	whead(&w, 1, 0x100, 1, 0, 0, 0);
	w8(&w, 3);
	w8(&w, 'a');
	w8(&w, '.');
	w8(&w, 'b');
	w8(&w, 0);
	w16(&w, DNS_A);
	w16(&w, DNS_IN);
	REQUIRE(parse(&w, &q) == 0);
	CHECK(q.odd_name);
}

static void upstream(struct wire *w, const char *name, unsigned records, unsigned opt)
{
	uint8_t a[4] = {192, 0, 2, 1};
	whead(w, 0x4321, 0x8180, 1, records, 0, opt);
	wquestion(w, name, DNS_A);
	for (unsigned i = 0; i < records; i++) {
		a[3] = (uint8_t)i;
		wrr(w, DNS_A, 300 + i, a, 4);
	}
	if (opt)
		wopt(w, 1232, 0, false);
}

TEST(an_answer_must_fit_the_question)
{
	struct wire w, r;
	struct dns_query q;
	wquery(&w, "eXample.com", DNS_A, 0);
	REQUIRE(parse(&w, &q) == 0);
	upstream(&r, "Example.COM", 1, 0);
	CHECK(dns_answers(r.p, r.n, w.p, &q));
	r.p[2] &= 0x7f; /* a query */
	CHECK(!dns_answers(r.p, r.n, w.p, &q));
	upstream(&r, "exbmple.com", 1, 0);
	CHECK(!dns_answers(r.p, r.n, w.p, &q));
	upstream(&r, "example.com", 1, 0);
	r.p[q.end - 3] = DNS_AAAA;
	CHECK(!dns_answers(r.p, r.n, w.p, &q));
	upstream(&r, "example.com", 1, 0);
	r.p[5] = 2;
	CHECK(!dns_answers(r.p, r.n, w.p, &q));
	CHECK(!dns_answers(r.p, q.end - 1, w.p, &q));
}

TEST(cutting_keeps_whole_records_and_opt)
{
	struct wire w;
	char text[4096];
	upstream(&w, "a", 50, 1);
	size_t whole = w.n;
	CHECK_INT(dns_cut(w.p, w.n, whole), whole);
	CHECK(!dns_truncated(w.p));
	w.n = dns_cut(w.p, whole, 100); /* 12 + 7 + 4 * 16 + 11 = 94 */
	CHECK_INT(w.n, 94);
	CHECK_STR(show(w.p, w.n, text, sizeof(text)), "NOERROR a. A 192.0.2.0 ttl=300; A 192.0.2.1 ttl=301; A 192.0.2.2 ttl=302; A 192.0.2.3 ttl=303 +tc +opt");
	for (size_t max = DNS_HEAD + 7; max < 300; max++) {
		upstream(&w, "a", 50, 1);
		size_t n = dns_cut(w.p, w.n, max);
		CHECK(n && n <= max && strcmp(show(w.p, n, text, sizeof(text)), "malformed") != 0);
	}
	upstream(&w, "a", 50, 1);
	CHECK_INT(dns_cut(w.p, w.n - 1, 100), 0);
}

TEST(lifetimes)
{
	struct wire w;
	static const uint8_t soa[] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 60};
	uint8_t a[4] = {0};
	upstream(&w, "a", 3, 1);
	CHECK_INT(dns_lifetime(w.p, w.n), 300);
	dns_age(w.p, w.n, 299);
	CHECK_INT(dns_lifetime(w.p, w.n), 1);
	dns_age(w.p, w.n, 299);
	CHECK_INT(dns_lifetime(w.p, w.n), 0);
	upstream(&w, "a", 0, 0); /* nothing, and no SOA to say how long */
	CHECK_INT(dns_lifetime(w.p, w.n), 0);
	for (unsigned rcode = 0; rcode < 6; rcode++) {
		whead(&w, 1, 0x8180 | rcode, 1, 0, 1, 0);
		wquestion(&w, "a", DNS_A);
		wrr(&w, DNS_SOA, 3600, soa, sizeof(soa));
		CHECK_INT(dns_lifetime(w.p, w.n), rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN ? 60 : 0);
	}
	upstream(&w, "a", 1, 0);
	w.p[2] |= 2;
	CHECK_INT(dns_lifetime(w.p, w.n), 0); /* cut */
	whead(&w, 1, 0x8180, 1, 1, 0, 0);
	wquestion(&w, "a", DNS_A);
	wrr(&w, DNS_A, 0x80000001u, a, 4); /* a TTL with the upper bit counts as 0 */
	CHECK_INT(dns_lifetime(w.p, w.n), 0);
}

TESTS(T(a_query_is_read), T(what_is_wrong_with_a_query), T(long_names), T(a_label_with_a_dot_is_odd), T(an_answer_must_fit_the_question), T(cutting_keeps_whole_records_and_opt), T(lifetimes))
