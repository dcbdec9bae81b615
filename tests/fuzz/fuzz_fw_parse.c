/* Text of iptables-save: other programs' rules are in it, with comments of their choice. Parsed, recognised, and the
 * difference to what is wanted is written for iptables-restore. */
#include <stdint.h>
#include <string.h>

#include "net/fw.h"

static struct world *networks(void)
{
	static const char *const ids[] = {"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct world *w = world_new();
	for (int i = 0; w && i < 2; i++) {
		struct network *n = network_new(ids[i], i ? "plain" : "bridge", DRIVER_BRIDGE);
		if (!n)
			abort();
		n->is_default = i == 0;
		n->enable_v4 = true;
		n->seq = i + 1;
		if (n->is_default)
			STR_COPY(n->bridge, "docker0");
		n->v4.net = n->v4.range = (struct prefix){.ip = ip4(0xac110000u + 0x10000u * (unsigned)i), .len = 16};
		if (world_put(w, n, NULL) < 0)
			abort();
	}
	return w;
}

static void mend(const struct world *w, const struct netconf *c, const char *text, enum fw_family f)
{
	OWN(arena_free) struct arena a = {0};
	struct fw_listing l[FW_TABLE_N];
	struct kstate have = {.mem = &a}, want = {.mem = &a};
	struct plan p;
	const struct network *n;
	if (fw_parse(text, f, &a, l, NULL) < 0)
		return;
	for (int t = 0; t < FW_TABLE_N; t++)
		if (fw_recognise(&l[t], w, NULL, c, &have, NULL) < 0)
			abort();
	if (fw_want_host(w, c, &want, NULL) < 0)
		abort();
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));)
		if (fw_want_network(w, c, n, &want, NULL) < 0)
			abort();
	if (plan_diff(&a, &have, &want, &p, NULL) < 0)
		abort();
	for (size_t i = 0; i < p.n; i++) {
		OWN(own_buf) struct buf out = {0};
		if (p.v[i].op == STEP_FW && fw_render(&p.v[i], l, &out, NULL) < 0)
			abort();
	}
	fw_listing_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netconf c = {.iptables = true, .ip_masq = true, .bridge = "docker0", .policy_drop = true};
	static struct world *w;
	if (!w)
		w = networks();
	char *text = malloc(size + 1);
	if (!w || !text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	mend(w, &c, text, FW_V4);
	mend(w, &c, text, FW_V6);
	free(text);
	return 0;
}
