#include "ops/announce.h"

#include <errno.h>
#include <stdlib.h>

#include "base/due.h"
#include "base/log.h"
#include "kernel/announce.h"
#include "net/driver.h"

struct announcing {
	struct due due;
	char container[ID_TEXT], network[ID_TEXT], endpoint[ID_TEXT];
	int left;
	int64_t pause; /* ns */
};

/* False: nothing is to be announced any more. */
static bool announce_now(struct core *c, const struct announcing *x)
{
	OWN(arena_free) struct arena a = {0};
	struct err e = {0};
	char link[IFNAME];
	struct mac mac = {0};
	struct ip ips[2] = {0};
	const struct endpoint *ep = world_endpoint(core_read(c), x->container, x->network);
	bool there = ep && ep->joined && streq(ep->id, x->endpoint);
	if (there) {
		STR_COPY(link, ep->ifname);
		mac = ep->mac;
		ips[0] = ep->ip4;
		ips[1] = ep->ip6;
	}
	core_read_end(c);
	const char *path = there ? want_netns_path(&c->conf->net, x->container, &a) : NULL;
	if (!path)
		return false;
	int r = kernel_announce(path, link, &mac, ips, ARRAY_LEN(ips), &e);
	if (r < 0) /* it may be leaving at this moment */
		log_debug("%.12s: %s", x->container, e.msg);
	return r >= 0;
}

static bool act(void *arg, struct due *d)
{
	struct announcing *x = (struct announcing *)d;
	bool again = announce_now(arg, x) && --x->left > 0;
	x->due.when = clock_mono_ns() + x->pause; /* after this one, however late it was: none comes closer to another */
	return again;
}

int announce_open(struct core *c, struct err *e)
{
	return due_open("the announcements", act, c, &c->announcements, e);
}

void announce_close(struct core *c)
{
	due_free(c->announcements);
	c->announcements = NULL;
}

static void put(struct due_queue *q, const struct endpoint *ep, int count, int pause_ms)
{
	struct announcing *x = calloc(1, sizeof(*x));
	if (!x)
		return; /* the first announcement has been made */
	STR_COPY(x->container, ep->container);
	STR_COPY(x->network, ep->network);
	STR_COPY(x->endpoint, ep->id);
	x->left = count;
	x->pause = pause_ms * INT64_C(1000000);
	x->due.when = clock_mono_ns() + x->pause;
	due_put(q, &x->due);
}

void announce_note(struct core *c, const struct world *fork, const struct change *ch, size_t n)
{
	for (size_t i = 0; c->announcements && i < n; i++) {
		const struct endpoint *was = ch[i].before, *is = ch[i].after;
		if (ch[i].noun != NOUN_ENDPOINT || !is || !is->joined || (was && was->joined && streq(was->id, is->id)))
			continue;
		const struct network *net = world_network(fork, is->network);
		int pause, count = net && net->driver == DRIVER_BRIDGE ? network_announcements(net, &pause) : 0;
		if (count > 1)
			put(c->announcements, is, count - 1, pause);
	}
}
