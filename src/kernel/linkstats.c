/* Theory of operation
 *
 * The kernel answers a netlink dump of links under its one lock for all network namespaces, which others hold for as long as it takes to set links up and down:
 * readers would queue up behind each other, each with a thread and a client that may have gone long ago. The table in /proc says the same without
 * that lock. */
#include "kernel/linkstats.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "kernel/netns.h"

#define TABLE_MAX (256u << 10) /* some 120 bytes an interface */

static int read_table(void *arg, struct err *e)
{
	return read_file("/proc/thread-self/net/dev", TABLE_MAX, arg, e);
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop ..."; the two lines of heading have no colon. */
static bool parse_line(char *line, const char **name, struct rtnl_link_stats64 *s)
{
	char *colon = strchr(line, ':');
	if (!colon)
		return false;
	*colon = '\0';
	*name = line + strspn(line, " ");
	*s = (struct rtnl_link_stats64){0};
	return sscanf(colon + 1, "%llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu", &s->rx_bytes, &s->rx_packets, &s->rx_errors, &s->rx_dropped, &s->tx_bytes, &s->tx_packets, &s->tx_errors, &s->tx_dropped) == 8;
}

int linkstats_read(const char *path, void (*each)(void *arg, const char *name, const struct rtnl_link_stats64 *s), void *arg, struct err *e)
{
	OWN(own_buf) struct buf table = {0};
	struct rtnl_link_stats64 s;
	const char *name;
	OWN(own_fd) int ns = netns_open(path, e);
	if (ns < 0)
		return ns;
	try(netns_run(ns, read_table, &table, e));
	for (char *line = table.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (parse_line(line, &name, &s) && !streq(name, "lo"))
			each(arg, name, &s);
	}
	return 0;
}
