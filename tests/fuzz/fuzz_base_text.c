/* Short texts of clients, one to a line: addresses, prefixes, hardware addresses, times, references, UTF-8. What is
 * accepted is the same after it was written and read again, and keeps the promises of its header; what is refused
 * leaves the output alone. */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/ref.h"
#include "base/strv.h"

#define MUST(c)                                                                                                        \
	do {                                                                                                           \
		if (!(c))                                                                                              \
			abort();                                                                                       \
	} while (0)

static void try_ip(const char *s)
{
	struct ip a, b;
	char text[IP_TEXT];
	if (ip_parse(s, &a) < 0)
		return;
	MUST(ip_parse(ip_format(&a, text), &b) == 0 && ip_eq(&a, &b));
	if (ip_next(&b))
		MUST(ip_cmp(&a, &b) < 0 && ip_prev(&b) && ip_eq(&a, &b));
}

static void try_prefix(const char *s)
{
	struct prefix p, q;
	char text[PREFIX_TEXT];
	if (prefix_parse(s, &p) < 0)
		return;
	MUST(prefix_parse(prefix_format(&p, text), &q) == 0 && prefix_eq(&p, &q) && ip_eq(&p.ip, &q.ip));
	struct ip first = prefix_first(&p), last = prefix_last(&p);
	MUST(prefix_has(&p, &p.ip) && prefix_has(&p, &first) && prefix_has(&p, &last) && ip_cmp(&first, &p.ip) <= 0 &&
		ip_cmp(&p.ip, &last) <= 0);
	MUST(!ip_next(&last) || !prefix_has(&p, &last));
	MUST(!ip_prev(&first) || !prefix_has(&p, &first));
	q = prefix_masked(&p);
	MUST(prefix_overlap(&p, &q));
}

static void try_mac(const char *s)
{
	struct mac m, again;
	char text[MAC_TEXT];
	if (mac_parse(s, &m) == 0)
		MUST(mac_parse(mac_format(&m, text), &again) == 0 && memcmp(&m, &again, sizeof(m)) == 0);
}

static void try_time(const char *s)
{
	char text[TIME_TEXT];
	int64_t ns = 42, again;
	if (time_parse(s, 1700000000000000000ll, &ns) < 0) {
		MUST(ns == 42);
		return;
	}
	time_format(ns, text);
	/* 0 is Go's zero time, and only the years that a client may write are read */
	if (ns != 0 && strcmp(text, "1700") >= 0 && strcmp(text, "2201") < 0)
		MUST(time_parse(text, 0, &again) == 0 && again == ns);
}

static void try_ref(const char *s)
{
	struct ref r, again;
	char text[REF_TEXT], twice[REF_TEXT];
	if (ref_parse(s, &r, NULL) < 0)
		return;
	MUST(ref_parse(ref_familiar(&r, text), &again, NULL) == 0);
	MUST(streq(r.domain, again.domain) && streq(r.path, again.path) && streq(r.tag, again.tag) &&
		streq(r.digest, again.digest));
	MUST(ref_normalise(s, text, NULL) == 0 && ref_normalise(text, twice, NULL) == 0 && streq(text, twice));
}

static void try_term(const char *s)
{
	char domain[LIMIT_REF + 1];
	const char *word;
	if (ref_split_term(s, domain, &word, NULL) == 0)
		MUST(*domain && *word && word >= s && word < s + strlen(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(own_free) char *all = malloc(size + 1);
	char *rest = all;
	if (!all)
		abort();
	memcpy(all, data, size);
	all[size] = '\0';
	for (const char *line; (line = strsep(&rest, "\n"));) {
		OWN(own_free) char *s = strdup(line); /* as large as the line: a read beyond it is seen */
		if (!s)
			abort();
		try_ip(s);
		try_prefix(s);
		try_mac(s);
		try_time(s);
		try_ref(s);
		try_term(s);
		str_make_utf8(s);
		json_t *j = json_string(s);
		MUST(j);
		json_decref(j);
	}
	return 0;
}
