/* The rules of the embedded server; each has its row in tests/relay/test_answer.c. */
#include "relay/answer.h"

#include <string.h>

#define ADDRESSES 4096 /* more A records than a message can hold */

static uint64_t next(uint64_t *chance) /* splitmix64: shuffling only, nothing secret */
{
	uint64_t z = *chance += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void put_addresses(struct dns_out *o, const struct zone_name *zn, uint8_t family, uint64_t chance)
{
	const struct ip *all[ADDRESSES];
	size_t n = 0;
	for (size_t i = 0; i < zn->n && n < ADDRESSES; i++) {
		const struct ip *a = family == AF_INET ? &zn->hosts[i]->v4 : &zn->hosts[i]->v6;
		if (ip_is_set(a))
			all[n++] = a;
	}
	for (size_t i = 0; i < n; i++) {
		size_t j = i + (n - i > 1 ? next(&chance) % (n - i) : 0);
		const struct ip *a = all[j];
		all[j] = all[i];
		if (!dns_put_address(o, a, ANSWER_TTL))
			return;
	}
}

static bool put_pointer(struct dns_out *o, const struct zone_host *h, const char *domain)
{
	for (size_t i = 0; i < h->nnames; i++) /* the first that can be a name on the wire: a container's name may have 128 letters, a label 63 */
		if (dns_put_ptr(o, h->names[i], domain, ANSWER_TTL))
			return true;
	return false;
}

size_t answer(const struct view *v, const uint8_t *query, const struct dns_query *q, uint64_t chance, uint8_t *out, size_t max)
{
	struct dns_out o;
	struct ip address;
	const char *domain;
	if (q->class != DNS_IN || q->odd_name)
		return 0;
	if (q->type == DNS_PTR) {
		const struct zone_host *h = dns_reverse(q->name, &address) ? view_find_address(v, &address, &domain) : NULL;
		dns_start(&o, query, q, out, max, DNS_NOERROR);
		return h && put_pointer(&o, h, domain) ? dns_finish(&o, q) : 0;
	}
	if (q->type != DNS_A && q->type != DNS_AAAA && q->type != DNS_MX)
		return 0;
	const struct zone_name *zn = view_find(v, q->name, q->name_len);
	if (!zn && (q->type == DNS_MX || !v->ndots_set || !q->name_len || strchr(q->name, '.')))
		return 0;
	dns_start(&o, query, q, out, max, DNS_NOERROR);
	if (zn && q->type != DNS_MX) /* a name that exists has no other family and no mail; nobody else is asked */
		put_addresses(&o, zn, q->type == DNS_A ? AF_INET : AF_INET6, chance);
	return dns_finish(&o, q);
}
