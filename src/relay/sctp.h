/* sctp: messages of one-to-one SCTP connections. They are carried whole, each on the stream it came from, with its payload protocol id and its being unordered or not. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include <linux/sctp.h> /* it needs the two above */

#include "relay/stream.h"

#define SCTP_STREAMS 64 /* offered to targets; a message on a higher one than was agreed upon breaks the connection */

struct letter { /* one message, or its first parts */
	struct sctp_sndinfo info;
	size_t n;
	bool whole;
	uint8_t bytes[];
};

/* How a message goes on that came so. Pure. */
struct sctp_sndinfo sctp_onward(const struct sctp_rcvinfo *in);
/* Adds a part to *l (NULL: the first); the stream is the first part's. -EMSGSIZE: longer than LIMIT_RELAY_LETTER; -ENOMEM. */
int letter_add(struct letter **l, const struct sctp_rcvinfo *in, const void *p, size_t n, bool last);
