/* fw_nft: the firewall as one nftables table of our own, "inet pontoon". Pure: what is wanted, the text of one
 * transaction, and what a listing holds.
 *
 * The table's rules are a fixed skeleton; a network is a few elements of its sets and maps. The chain "user" belongs to
 * people: made with the table, never flushed, and first to decide about what is forwarded. */
#pragma once

#include "net/links.h"
#include "net/plan.h"
#include "net/want.h"

#define FW_NFT_LIST "list table inet pontoon\n"

/* v6: there are networks with IPv6. */
int fw_nft_want_host(const struct world *w, const struct netconf *c, bool v6, struct kstate *out, struct err *e);
int fw_nft_want_network(const struct netconf *c, const struct network *n, struct kstate *out, struct err *e);
int fw_nft_want_port(const struct world *w, const struct network *n, const struct port *p, struct kstate *out, struct err *e);
int fw_nft_want_link(const char *endpoint, const struct ip *from, const struct ip *to, const struct link_port *p, struct kstate *out, struct err *e);
/* What "list table inet pontoon", stateless, printed. */
struct fw_nft_listing {
	const char *skeleton; /* all but the elements and the people's rules, blanks made one; "" when there is none */
	const char *user;     /* the people's rules, a line each; "" none */
	struct kstate elements;
};
int fw_nft_parse(const char *text, struct arena *a, struct fw_nft_listing *out, struct err *e);
/* The skeleton as fw_nft_parse gives it back; mark: the K_NFT_TABLE's elem.value, NULL as "". */
const char *fw_nft_skeleton(const char *mark, struct arena *a);
/* The transaction of a STEP_FW. user: rules of people that outlive the making anew or the end of the table; present:
 * there is a table, whole or not. */
int fw_nft_render(const struct step *s, const char *user, bool present, struct buf *out, struct err *e);
