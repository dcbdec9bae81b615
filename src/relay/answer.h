/* answer: a query and what one container sees, to an answer or the word that somebody else has to be asked. Pure: chance is an argument. */
#pragma once

#include "relay/dns.h"
#include "relay/zone.h"

/* Seconds that a container's name may be kept by a client. Names change with every start and connect, and a client that asks again costs 10 us; so it is only as long as
 * one burst of connections (Docker says 600, which sends clients to addresses that others have by then). */
#define ANSWER_TTL 5

/* The length of the answer written to `out` (max: what the transport and the client take), or 0: not known here, to be forwarded. */
size_t answer(const struct view *v, const uint8_t *query, const struct dns_query *q, uint64_t chance, uint8_t *out, size_t max);
