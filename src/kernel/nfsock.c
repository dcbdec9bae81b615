/* Theory of operation
 *
 * The kernel frees what a transaction of nf_tables deletes when the last reader has left, 15 ms later or more. A socket of netfilter that is closed
 * until then waits for it with the namespace's commit mutex held (net/netfilter/nf_tables_api.c, nft_rcv_nl_event), and the making or removal of a
 * link in that namespace needs this mutex (nf_tables_netdev_event), holding the lock of all links of all namespaces.
 *
 * A namespace is known by its inode, which no other has while a socket keeps it alive. tests/kernel/test_scene.c, rules_of_the_name_server. */
#include "kernel/nfsock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "kernel/real.h"

#define FREED_NS INT64_C(100000000)

struct waiting {
	struct waiting *next;
	struct nfsock s;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct waiting *first; /* soonest first */
static bool running;

/* Takes a socket of this namespace out of the list, or, ns 0, the first that is due. */
static struct waiting *take(ino_t ns, int64_t now)
{
	for (struct waiting **p = &first; *p; p = &(*p)->next) {
		struct waiting *w = *p;
		if (ns ? w->s.ns != ns : w->s.due > now)
			continue;
		*p = w->next;
		return w;
	}
	return NULL;
}

int nfsock_open(struct nfsock *out, struct err *e)
{
	struct nfsock s = NFSOCK_NONE;
	struct stat st;
	if (stat("/proc/thread-self/ns/net", &st) < 0)
		return err_errno(e, -errno, "stat /proc/thread-self/ns/net");
	pthread_mutex_lock(&lock);
	struct waiting *w = take(st.st_ino, 0);
	pthread_mutex_unlock(&lock);
	if (w)
		s = w->s;
	else
		try(nl_open_protocol(&s.nl, NETLINK_NETFILTER, e));
	free(w);
	s.ns = st.st_ino;
	*out = s;
	return 0;
}

void nfsock_deleted(struct nfsock *s)
{
	s->due = clock_mono_ns() + FREED_NS;
}

static void *run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	while (first) {
		struct waiting *w = take(0, clock_mono_ns());
		int64_t until = first ? first->s.due : 0;
		pthread_mutex_unlock(&lock);
		struct timespec ts = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
		if (w)
			nl_close(&w->s.nl);
		else
			(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		free(w);
		pthread_mutex_lock(&lock);
	}
	running = false;
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* False: nobody would close it. */
static bool leave(struct waiting *w)
{
	pthread_mutex_lock(&lock);
	bool left = running || start_detached(run, NULL);
	running = left;
	if (left) {
		struct waiting **p = &first;
		while (*p && (*p)->s.due <= w->s.due)
			p = &(*p)->next;
		w->next = *p;
		*p = w;
	}
	pthread_mutex_unlock(&lock);
	return left;
}

void nfsock_close(struct nfsock *s)
{
	struct waiting *w = s->nl.sock && s->due ? malloc(sizeof(*w)) : NULL;
	if (w)
		w->s = *s;
	if (!w || !leave(w)) {
		free(w);
		nl_close(&s->nl);
	}
	*s = (struct nfsock)NFSOCK_NONE;
}
