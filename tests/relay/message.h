/* message: DNS messages as text, for tests. */
#pragma once

#include "relay/dns.h"
#include "test.h"

#include <arpa/inet.h>

struct wire {
	uint8_t p[DNS_MAX + 1];
	size_t n;
};

static inline void w8(struct wire *w, unsigned v)
{
	w->p[w->n++] = (uint8_t)v;
}
static inline void w16(struct wire *w, unsigned v)
{
	w8(w, v >> 8 & 255);
	w8(w, v & 255);
}
static inline void w32(struct wire *w, uint32_t v)
{
	w16(w, v >> 16);
	w16(w, v & 0xffff);
}
static inline void wname(struct wire *w, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, ".");
		w8(w, (unsigned)n);
		memcpy(w->p + w->n, s, n);
		w->n += n;
		s += n + (s[n] == '.');
	}
	w8(w, 0);
}
static inline void whead(struct wire *w, unsigned id, unsigned flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
	w->n = 0;
	w16(w, id);
	w16(w, flags);
	w16(w, qd);
	w16(w, an);
	w16(w, ns);
	w16(w, ar);
}
static inline void wquestion(struct wire *w, const char *name, unsigned type)
{
	wname(w, name);
	w16(w, type);
	w16(w, DNS_IN);
}
static inline void wrr(struct wire *w, unsigned type, uint32_t ttl, const void *data, size_t n) /* of the question's name */
{
	w16(w, 0xc000 | DNS_HEAD);
	w16(w, type);
	w16(w, DNS_IN);
	w32(w, ttl);
	w16(w, (unsigned)n);
	memcpy(w->p + w->n, data, n);
	w->n += n;
}
static inline void wopt(struct wire *w, unsigned size, unsigned version, bool dnssec_ok)
{
	w8(w, 0);
	w16(w, DNS_OPT);
	w16(w, size);
	w32(w, version << 16 | (dnssec_ok ? 0x8000u : 0));
	w16(w, 0);
}
/* A client's query; size 0 = without EDNS. */
static inline void wquery(struct wire *w, const char *name, unsigned type, unsigned size)
{
	whead(w, 0x1234, 0x0100, 1, 0, 0, size ? 1 : 0);
	wquestion(w, name, type);
	if (size)
		wopt(w, size, 0, false);
}

static inline const char *name_at(const uint8_t *p, size_t at, char out[static DNS_NAME])
{
	size_t n = 0;
	while (p[at]) {
		if (p[at] >= 0xc0) {
			at = (size_t)(p[at] & 63) << 8 | p[at + 1];
			continue;
		}
		memcpy(out + n, p + at + 1, p[at]);
		n += p[at];
		out[n++] = '.';
		at += 1u + p[at];
	}
	out[n] = '\0';
	return out;
}

/* "NOERROR web. A 10.0.0.2 ttl=5; A 10.0.0.3 ttl=5 +tc +opt": a message as one line. */
static inline const char *show(const uint8_t *p, size_t n, char *out, size_t size)
{
	static const char *const rcodes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
	struct dns_walk w;
	struct dns_rr rr;
	char name[DNS_NAME], text[64];
	bool opt = false;
	size_t k = (size_t)snprintf(out, size, "%s %s", dns_rcode(p) < 6 ? rcodes[dns_rcode(p)] : "?", p[5] ? name_at(p, DNS_HEAD, name) : "-");
	if (!dns_walk_start(&w, p, n))
		return "malformed";
	for (const char *sep = " "; dns_walk_next(&w, &rr); sep = "; ") {
		if (rr.type == DNS_OPT) {
			opt = true;
			continue;
		}
		const char *what = rr.type == DNS_A ? "A" : rr.type == DNS_AAAA ? "AAAA" : rr.type == DNS_PTR ? "PTR" : "?";
		if (rr.type == DNS_PTR)
			name_at(p, rr.rdata, name);
		else
			inet_ntop(rr.type == DNS_A ? AF_INET : AF_INET6, p + rr.rdata, text, sizeof(text));
		k += (size_t)snprintf(out + k, size - k, "%s%s %s ttl=%u", sep, what, rr.type == DNS_PTR ? name : text, rr.ttl);
	}
	if (w.bad || w.at != n)
		return "malformed";
	snprintf(out + k, size - k, "%s%s", dns_truncated(p) ? " +tc" : "", opt ? " +opt" : "");
	return out;
}
