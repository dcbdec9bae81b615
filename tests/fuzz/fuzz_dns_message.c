/* What a container asks and what an upstream answers. The first byte chooses; for an answer the query stands before it, after its length. */
#include <stdint.h>
#include <string.h>

#include "relay/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask(const uint8_t *p, size_t n)
{
	static const char *names[] = {"web", "www"}, *nets[] = {"n1"};
	const struct relay_host host = {.names = {names, 2}, .v4 = ip4(0x0a000002)};
	const struct relay_zone zone = {"n1", "front", &host, 1};
	const struct relay_view in = {.sandbox = "c", .networks = {nets, 1}, .ndots_set = n & 1};
	struct zones zs = {0};
	struct view *v = NULL;
	struct dns_query q;
	uint8_t out[4096];
	int r = dns_parse_query(p, n, &q);
	if (r > 0) {
		size_t k = dns_error(p, &q, out, sizeof(out), r);
		assert(k >= DNS_HEAD && k <= sizeof(out));
	}
	if (r != 0 || zones_put(&zs, &zone) < 0 || view_new(&zs, &in, &v) < 0)
		return;
	size_t max = q.size < sizeof(out) ? q.size : sizeof(out), k = answer(v, p, &q, 0, out, max);
	assert(k <= max);
	assert(!k || dns_answers(out, k, p, &q));
	view_free(v);
	zones_free(&zs);
}

static void judge(const uint8_t *query, size_t qn, const uint8_t *p, size_t n)
{
	struct dns_query q;
	if (dns_parse_query(query, qn, &q) == 0)
		(void)dns_answers(p, n, query, &q);
	if (n < DNS_HEAD)
		return;
	uint8_t *copy = malloc(n);
	if (!copy)
		return;
	memcpy(copy, p, n);
	uint32_t life = dns_lifetime(copy, n);
	dns_age(copy, n, life);
	size_t k = dns_cut(copy, n, DNS_UDP_MIN);
	assert(k <= n && k <= (n > DNS_UDP_MIN ? DNS_UDP_MIN : n));
	struct dns_walk w;
	assert(n <= DNS_UDP_MIN || !k || dns_walk_start(&w, copy, k));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	if (data[0] % 2 == 0)
		ask(data + 1, n - 1);
	else if (n >= 2u + data[1])
		judge(data + 2, data[1], data + 2 + data[1], n - 2 - data[1]);
	return 0;
}
