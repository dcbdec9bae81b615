/* dns: the wire form of DNS messages: questions read, answers written, upstream messages judged and cut. Pure: bytes in, bytes out. */
#pragma once

#include "base/ip.h"

#define DNS_HEAD     12
#define DNS_NAME     256   /* text of a name and its NUL */
#define DNS_UDP_MIN  512   /* what every client takes */
#define DNS_MAX      65535

enum { DNS_A = 1, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_AAAA = 28, DNS_OPT = 41, DNS_IXFR = 251, DNS_ANY = 255 };
enum { DNS_IN = 1 };
enum { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5, DNS_BADVERS = 16 };

struct dns_query {
	uint16_t id, type, class;
	uint16_t size;   /* largest answer over UDP that the client takes */
	bool rd, ad, cd; /* flags of the query */
	bool edns, dnssec_ok;
	bool plain;      /* nothing in it but the question and an OPT without options: another client's answer fits */
	bool odd_name;   /* a label holds a dot or a NUL: the text is not unique, so nobody here has this name */
	size_t end;      /* of the question in the message, which begins at DNS_HEAD */
	char name[DNS_NAME]; /* lower case, without the last dot; "" is the root */
	size_t name_len;
};

/* -1: not a query or too short to answer: dropped. 0: good. Above: the rcode to answer with (then only `id`, `rd`, `end` are valid; end = DNS_HEAD: no question). */
int dns_parse_query(const uint8_t *p, size_t n, struct dns_query *out);

/* An answer under construction, with a sticky error. `max` is the client's limit. */
struct dns_out {
	uint8_t *p;
	size_t n, max;
	bool full;
	unsigned answers;
};
/* Header and question as the client wrote them. `query` is the client's message. */
void dns_start(struct dns_out *o, const uint8_t *query, const struct dns_query *q, uint8_t *p, size_t max, int rcode);
bool dns_put_address(struct dns_out *o, const struct ip *a, uint32_t ttl);  /* owner: the question's name; false: did not fit, nothing written */
bool dns_put_ptr(struct dns_out *o, const char *name, const char *domain, uint32_t ttl); /* false too when that is no valid name */
size_t dns_finish(struct dns_out *o, const struct dns_query *q); /* OPT if the client sent one, TC if something did not fit; the length */
/* A whole answer without records. */
size_t dns_error(const uint8_t *query, const struct dns_query *q, uint8_t *p, size_t max, int rcode);

/* The address that a name below in-addr.arpa or ip6.arpa stands for. */
bool dns_reverse(const char *name, struct ip *out);

/* An upstream's message answers this question: response, opcode, one equal question (letters in any case). The id is the caller's to compare. */
bool dns_answers(const uint8_t *p, size_t n, const uint8_t *query, const struct dns_query *q);
static inline uint16_t dns_id(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline int dns_rcode(const uint8_t *p)
{
	return p[3] & 15;
}
static inline bool dns_truncated(const uint8_t *p)
{
	return p[2] & 2;
}

/* Goes over the records after the question. */
struct dns_walk {
	const uint8_t *p;
	size_t n, at;
	unsigned left[3]; /* answer, authority, additional */
	bool bad;
};
struct dns_rr {
	unsigned section;
	uint16_t type, class, rdlen;
	uint32_t ttl;
	size_t start, ttl_at, rdata, end;
};
bool dns_walk_start(struct dns_walk *w, const uint8_t *p, size_t n); /* false: malformed header or question */
bool dns_walk_next(struct dns_walk *w, struct dns_rr *out);          /* false: the end, or bad */

/* Cuts a message to max bytes at a record's border, with TC set and the OPT kept if there is place. Returns the new length; 0 = malformed. */
size_t dns_cut(uint8_t *p, size_t n, size_t max);
/* How long a message may be kept, in seconds: the least TTL, for negative answers by the SOA; 0 = not at all (RFC 2308). */
uint32_t dns_lifetime(const uint8_t *p, size_t n);
/* Subtracts age from every TTL (never below 0), except OPT's. */
void dns_age(uint8_t *p, size_t n, uint32_t age);
