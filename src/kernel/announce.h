/* announce: gratuitous ARP and unsolicited neighbour advertisements, sent from inside a sandbox, so that peers learn who has an address
 * now. Closing the socket waits for RCU: not for threads that somebody waits for. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#define ANNOUNCE_FRAME 86

/* The Ethernet frame that announces ip at mac; its length, 0 for no address. */
size_t announce_frame(const struct mac *mac, const struct ip *ip, uint8_t out[static ANNOUNCE_FRAME]);
/* One frame an address, on the interface of the namespace bound at the path. -ESTALE, nothing sent: the interface has another MAC by now. */
int kernel_announce(const char *netns_path, const char *link, const struct mac *mac, const struct ip *ips, size_t n, struct err *e);
