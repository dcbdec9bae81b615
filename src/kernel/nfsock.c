/* Theory of operation
 *
 * The kernel frees what a transaction of nf_tables deletes when the last reader has left, 15 ms later or more. A socket of netfilter that is closed
 * until then waits for it with the namespace's commit mutex held (net/netfilter/nf_tables_api.c, nft_rcv_nl_event), and the making or removal of a
 * link in that namespace needs this mutex (nf_tables_netdev_event), holding the lock of all links of all namespaces.
 *
 * A namespace is known by its inode, which no other has while a socket keeps it alive. The thread is made by who is in the host's: one made in a sandbox would keep
 * that. tests/kernel/test_scene.c, rules_of_the_name_server. */
#include "kernel/nfsock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/due.h"

#define FREED_NS INT64_C(100000000)

struct waiting {
	struct due due;
	struct nfsock s;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct due_queue *queue; /* once there, it stays */

static bool expire(void *arg, struct due *d)
{
	(void)arg;
	nl_close(&((struct waiting *)d)->s.nl);
	return false;
}

static bool is_of(const void *ns, const struct due *d)
{
	return ((const struct waiting *)d)->s.ns == *(const ino_t *)ns;
}

int nfsock_start(struct err *e)
{
	pthread_mutex_lock(&lock);
	int r = queue ? 0 : due_open("the closing of sockets", expire, NULL, &queue, e);
	pthread_mutex_unlock(&lock);
	return r;
}

int nfsock_open(struct nfsock *out, struct err *e)
{
	struct nfsock s = NFSOCK_NONE;
	struct stat st;
	if (stat("/proc/thread-self/ns/net", &st) < 0)
		return err_errno(e, -errno, "stat /proc/thread-self/ns/net");
	struct waiting *w = (struct waiting *)due_take(queue, is_of, &st.st_ino);
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

void nfsock_close(struct nfsock *s)
{
	struct waiting *w = s->nl.sock && s->due ? malloc(sizeof(*w)) : NULL;
	if (w) {
		w->s = *s;
		w->due.when = s->due;
		due_put(queue, &w->due);
	} else {
		nl_close(&s->nl);
	}
	*s = (struct nfsock)NFSOCK_NONE;
}
