/* dns_rules: the NAT of a sandbox's name server as messages of nf_tables, built and read. No socket here: kernel/dns.c sends. Source: include/uapi/linux/netfilter/nf_tables.h. */
#pragma once

#include "kernel/nl.h"

/* Fill `buf` of NL_BUF bytes with one transaction and return its length, for nl_batch; 0 when it does not fit. */
/* Our table, led to these ports. instead: of one that is there. */
size_t dns_rules_put(char *buf, uint16_t udp, uint16_t tcp, bool instead);
size_t dns_rules_drop(char *buf);
/* A dump of the table's rules, and what is read of it; rules of others count for nothing. */
struct nlmsghdr *dns_rules_list(char *buf);
struct dns_rules_seen {
	uint16_t udp, tcp; /* the ports that are looked for */
	unsigned found;    /* a bit a rule */
};
int dns_rules_read(const struct nlmsghdr *m, void *seen); /* for nl_dump; seen: struct dns_rules_seen */
bool dns_rules_right(const struct dns_rules_seen *seen);
