/* Theory of operation
 *
 * Questions are read without compression: nothing stands before them that a pointer could mean. Names of upstream records are never expanded, only stepped over,
 * since messages are passed on as they are; a pointer ends a name wherever it points, so a loop of pointers is no concern. Proven by tests/relay/test_dns.c and
 * tests/fuzz/fuzz_dns_message.c. */
#include "relay/dns.h"

#include <string.h>

#define OPT_BYTES 11
#define OUR_UDP   1232 /* what we say we take over UDP: fits every path, as the resolvers' makers agreed in 2020 */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* --- questions --- */

/* The question's name as text; 0 = malformed, else the offset behind it. */
static size_t read_name(const uint8_t *p, size_t n, struct dns_query *q)
{
	size_t at = DNS_HEAD, len = 0;
	for (;;) {
		if (at >= n)
			return 0;
		size_t label = p[at++];
		if (!label)
			break;
		if (label > 63 || at + label > n || at + label - DNS_HEAD > 254)
			return 0;
		if (len)
			q->name[len++] = '.';
		for (; label; label--, at++) {
			q->odd_name |= p[at] == '.' || p[at] == 0;
			q->name[len++] = (char)lower(p[at]);
		}
	}
	q->name[len] = '\0';
	q->name_len = len;
	return at;
}

static int read_opt(const uint8_t *p, const struct dns_rr *rr, struct dns_query *q)
{
	if (q->edns || p[rr->start] != 0)
		return DNS_FORMERR;
	q->edns = true;
	q->size = rr->class < DNS_UDP_MIN ? DNS_UDP_MIN : rr->class;
	q->dnssec_ok = rr->ttl & 0x8000;
	q->plain &= rr->rdlen == 0;
	return (rr->ttl >> 16 & 0xff) ? DNS_BADVERS : 0;
}

static int read_rest(const uint8_t *p, size_t n, struct dns_query *q)
{
	struct dns_walk w;
	struct dns_rr rr;
	int r = 0;
	if (!dns_walk_start(&w, p, n))
		return DNS_FORMERR;
	while (r == 0 && dns_walk_next(&w, &rr)) {
		if (rr.section == 2 && rr.type == DNS_OPT)
			r = read_opt(p, &rr, q);
		else
			q->plain = false;
	}
	return w.bad ? DNS_FORMERR : r;
}

int dns_parse_query(const uint8_t *p, size_t n, struct dns_query *out)
{
	if (n < DNS_HEAD || p[2] & 0x80)
		return -1;
	out->id = dns_id(p);
	out->rd = p[2] & 1;
	out->ad = p[3] & 0x20;
	out->cd = p[3] & 0x10;
	out->edns = out->dnssec_ok = out->odd_name = false;
	out->plain = true;
	out->size = DNS_UDP_MIN;
	out->end = DNS_HEAD;
	if (p[2] & 0x78)
		return DNS_NOTIMP;
	if (get16(p + 4) != 1)
		return get16(p + 4) ? DNS_FORMERR : -1;
	size_t at = read_name(p, n, out);
	if (!at || at + 4 > n)
		return DNS_FORMERR;
	out->type = get16(p + at);
	out->class = get16(p + at + 2);
	out->end = at + 4;
	if (n == out->end && !memcmp(p + 6, "\0\0\0\0\0\0", 6))
		return 0;
	return read_rest(p, n, out);
}

/* --- answers --- */

void dns_start(struct dns_out *o, const uint8_t *query, const struct dns_query *q, uint8_t *p, size_t max, int rcode)
{
	*o = (struct dns_out){.p = p, .n = q->end, .max = max - (q->edns ? OPT_BYTES : 0)};
	assert(max >= DNS_UDP_MIN);
	memcpy(p, query, q->end);
	p[2] = (uint8_t)(0x80 | (query[2] & 0x79)); /* opcode and RD are the query's, AA is not set */
	p[3] = (uint8_t)(0x80 | (query[3] & 0x10) | (rcode & 15)); /* RA; CD is the query's */
	put16(p + 4, q->end > DNS_HEAD);
	memset(p + 6, 0, 6);
}

static uint8_t *put_rr(struct dns_out *o, unsigned type, uint32_t ttl, size_t rdlen)
{
	if (o->n + 12 + rdlen > o->max) {
		o->full = true;
		return NULL;
	}
	uint8_t *p = o->p + o->n;
	put16(p, 0xc000 | DNS_HEAD);
	put16(p + 2, type);
	put16(p + 4, DNS_IN);
	put32(p + 6, ttl);
	put16(p + 10, (unsigned)rdlen);
	o->n += 12 + rdlen;
	o->answers++;
	return p + 12;
}

bool dns_put_address(struct dns_out *o, const struct ip *a, uint32_t ttl)
{
	size_t n = a->family == AF_INET ? 4 : 16;
	uint8_t *p = put_rr(o, a->family == AF_INET ? DNS_A : DNS_AAAA, ttl, n);
	if (p)
		memcpy(p, a->b, n);
	return p;
}

/* Labels of a dotted text; the new length, 0 = none or no place. */
static size_t text_to_wire(const char *s, uint8_t *out, size_t at)
{
	while (*s) {
		size_t n = strcspn(s, ".");
		if (n == 0 || n > 63 || at + n + 1 > 254)
			return 0;
		out[at++] = (uint8_t)n;
		memcpy(out + at, s, n);
		at += n;
		s += n + (s[n] == '.');
	}
	return at;
}

bool dns_put_ptr(struct dns_out *o, const char *name, const char *domain, uint32_t ttl)
{
	uint8_t wire[DNS_NAME];
	size_t n = text_to_wire(name, wire, 0);
	if (n)
		n = text_to_wire(domain, wire, n);
	if (!n)
		return false;
	wire[n++] = 0;
	uint8_t *p = put_rr(o, DNS_PTR, ttl, n);
	if (p)
		memcpy(p, wire, n);
	return p;
}

size_t dns_finish(struct dns_out *o, const struct dns_query *q)
{
	put16(o->p + 6, o->answers);
	if (o->full)
		o->p[2] |= 2;
	if (q->edns) {
		uint8_t *p = o->p + o->n;
		memset(p, 0, OPT_BYTES);
		put16(p + 1, DNS_OPT);
		put16(p + 3, OUR_UDP);
		if (q->dnssec_ok)
			p[7] = 0x80;
		o->n += OPT_BYTES;
		put16(o->p + 10, 1);
	}
	return o->n;
}

size_t dns_error(const uint8_t *query, const struct dns_query *q, uint8_t *p, size_t max, int rcode)
{
	struct dns_out o;
	dns_start(&o, query, q, p, max, rcode);
	size_t at = o.n, n = dns_finish(&o, q);
	if (q->edns && rcode > 15)
		p[at + 5] = (uint8_t)(rcode >> 4);
	return n;
}

/* --- reverse names --- */

static bool reverse4(const char *s, struct ip *out)
{
	out->family = AF_INET;
	for (int i = 3; i >= 0; i--) {
		unsigned v = 0, digits = 0;
		for (; *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
			v = v * 10 + (unsigned)(*s - '0');
		if (!digits || v > 255 || (digits > 1 && s[-(int)digits] == '0') || *s++ != '.')
			return false;
		out->b[i] = (uint8_t)v;
	}
	return strcmp(s, "in-addr.arpa") == 0;
}

static bool reverse6(const char *s, struct ip *out)
{
	out->family = AF_INET6;
	for (unsigned i = 0; i < 32; i++, s += 2) {
		int v = *s >= '0' && *s <= '9' ? *s - '0' : *s >= 'a' && *s <= 'f' ? *s - 'a' + 10 : -1;
		if (v < 0 || s[1] != '.')
			return false;
		out->b[15 - i / 2] |= (uint8_t)(i % 2 ? v << 4 : v);
	}
	return strcmp(s, "ip6.arpa") == 0;
}

bool dns_reverse(const char *name, struct ip *out)
{
	struct ip a = {0}, b = {0};
	if (reverse4(name, &a))
		*out = a;
	else if (reverse6(name, &b))
		*out = b;
	else
		return false;
	return true;
}

/* --- upstream messages --- */

bool dns_answers(const uint8_t *p, size_t n, const uint8_t *query, const struct dns_query *q)
{
	if (n < q->end || !(p[2] & 0x80) || p[2] & 0x78 || get16(p + 4) != 1)
		return false;
	for (size_t i = DNS_HEAD; i < q->end - 4; i++) /* lengths are below 64, so lower() does not touch them */
		if (lower(p[i]) != lower(query[i]))
			return false;
	return memcmp(p + q->end - 4, query + q->end - 4, 4) == 0;
}

static bool skip_name(struct dns_walk *w)
{
	while (w->at < w->n) {
		uint8_t c = w->p[w->at];
		if (c >= 0xc0)
			w->at++;
		if (c == 0 || c >= 0xc0) {
			w->at++;
			return w->at <= w->n;
		}
		if (c > 63)
			break;
		w->at += 1u + c;
	}
	return false;
}

bool dns_walk_start(struct dns_walk *w, const uint8_t *p, size_t n)
{
	*w = (struct dns_walk){.p = p, .n = n, .at = DNS_HEAD};
	if (n < DNS_HEAD)
		return false;
	for (unsigned i = 0; i < 3; i++)
		w->left[i] = get16(p + 6 + 2 * i);
	for (unsigned i = get16(p + 4); i; i--) {
		if (!skip_name(w) || w->n - w->at < 4)
			return false;
		w->at += 4;
	}
	return true;
}

bool dns_walk_next(struct dns_walk *w, struct dns_rr *out)
{
	unsigned s = w->left[0] ? 0 : w->left[1] ? 1 : 2;
	if (!w->left[s])
		return false;
	w->left[s]--;
	out->section = s;
	out->start = w->at;
	if (!skip_name(w) || w->n - w->at < 10)
		return !(w->bad = true);
	const uint8_t *p = w->p + w->at;
	out->type = get16(p);
	out->class = get16(p + 2);
	out->ttl = get32(p + 4);
	out->rdlen = get16(p + 8);
	out->ttl_at = w->at + 4;
	out->rdata = w->at + 10;
	out->end = out->rdata + out->rdlen;
	if (out->end > w->n)
		return !(w->bad = true);
	w->at = out->end;
	return true;
}

size_t dns_cut(uint8_t *p, size_t n, size_t max)
{
	struct dns_walk w;
	struct dns_rr rr;
	size_t opt = 0, opt_len = 0, keep;
	unsigned kept = 0;
	if (n <= max)
		return n;
	if (!dns_walk_start(&w, p, n) || w.at > max)
		return 0;
	keep = w.at;
	while (dns_walk_next(&w, &rr)) {
		if (rr.section == 2 && rr.type == DNS_OPT) {
			opt = rr.start;
			opt_len = rr.end - rr.start;
		}
	}
	if (w.bad)
		return 0;
	if (keep + opt_len > max)
		opt_len = 0;
	for (dns_walk_start(&w, p, n); dns_walk_next(&w, &rr) && rr.section == 0 && rr.end + opt_len <= max; kept++)
		keep = rr.end;
	memmove(p + keep, p + opt, opt_len);
	p[2] |= 2;
	put16(p + 6, kept);
	put16(p + 8, 0);
	put16(p + 10, opt_len ? 1 : 0);
	return keep + opt_len;
}

uint32_t dns_lifetime(const uint8_t *p, size_t n)
{
	struct dns_walk w;
	struct dns_rr rr;
	uint32_t least = UINT32_MAX, negative = 0;
	bool answers = false;
	int rcode = n < DNS_HEAD ? DNS_SERVFAIL : dns_rcode(p);
	if ((rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN) || dns_truncated(p) || !dns_walk_start(&w, p, n))
		return 0;
	while (dns_walk_next(&w, &rr)) {
		if (rr.type == DNS_OPT)
			continue;
		uint32_t ttl = rr.ttl > INT32_MAX ? 0 : rr.ttl; /* RFC 2181, 8 */
		least = ttl < least ? ttl : least;
		answers |= rr.section == 0;
		if (rr.section == 1 && rr.type == DNS_SOA && rr.rdlen >= 4) {
			uint32_t minimum = get32(p + rr.end - 4);
			negative = minimum < ttl ? minimum : ttl;
		}
	}
	if (w.bad || least == UINT32_MAX)
		return 0;
	if (rcode == DNS_NOERROR && answers)
		return least;
	return negative < least ? negative : least;
}

void dns_age(uint8_t *p, size_t n, uint32_t age)
{
	struct dns_walk w;
	struct dns_rr rr;
	if (!dns_walk_start(&w, p, n))
		return;
	while (dns_walk_next(&w, &rr))
		if (rr.type != DNS_OPT)
			put32(p + rr.ttl_at, rr.ttl > age ? rr.ttl - age : 0);
}
