/* real: the kernel as it is, shared by the files of this folder. */
#pragma once

#include <pthread.h>

#include "kernel/kernel.h"
#include "kernel/nl.h"
#include "kernel/rtnl.h"
#include "kernel/stamp.h"
#include "net/fw.h"

/* One family's tables as they were at a stamp, with what is ours in them (fwrun.c). */
struct fw_cache {
	struct stamp as_of; /* not known: there is nothing */
	struct fw_listing tables[FW_TABLE_N];
	struct arena mem;
	size_t line_size; /* of mem, when the tables were read: changes leave the old ones behind */
};

struct real {
	struct kernel ops; /* first: a struct kernel * is a struct real * */
	const struct netconf *conf;
	struct nl nl; /* in the daemon's namespace */
	struct visit {
		char ns[ID_TEXT];   /* "": none */
		int home, fd;
		struct nl nl;
	} visit; /* of the sandbox that was last entered, until the plan's end */
	struct stamper stamper;
	struct fw_cache cache[FW_FAMILY_N];
	struct stamp right; /* when the rules were last known to be as wanted: moved on by our own changes */
	struct nft_ctx *nft; /* of libnftables, on the host; NULL: not used yet */
	char *nft_printed; /* the skeleton of our nftables table as the library printed it after we made it; NULL: not made by us yet */
};

/* Interface index by name in the calling thread's namespace; -ENODEV with a text. */
int real_index(const char *name, struct err *e);
/* Runs fn with a netlink socket of the sandbox `ns` (container id), or with the daemon's own when ns is NULL. */
int real_in(struct real *k, const char *ns, int (*fn)(struct nl *nl, void *arg, struct err *e), void *arg, struct err *e);
int real_visit(struct real *k, const char *ns, struct err *e); /* a descriptor of its namespace, the visit's own */
void real_leave(struct real *k); /* closes what keeps the sandbox's namespace */
/* The rules were changed by us in n transactions. */
void real_changed_rules(struct real *k, const struct stamp *before, unsigned n);
/* Deletes a link of the calling thread's namespace; returns when it has gone, which is long before the kernel is done with it (linkdel.c). */
int link_remove(int index, struct err *e);
bool start_detached(void *(*fn)(void *), void *arg); /* a thread that nobody waits for */
/* The veths of a namespace that was dropped: those that are still there after a moment are deleted. */
void links_remove_later(const int *index, size_t n);
/* One firewall step; the table as it is now is read first, so that rules find their places. */
int fwrun_step(struct real *k, const struct step *s, struct err *e);
void fwrun_close(struct real *k);
/* Reads the tables and recognises what is ours. marked: devices on the host that carry our alias. */
int fwrun_observe(struct real *k, struct arena *a, const struct kstate *want, const struct world *known, const struct strv *marked, struct kstate *out, struct err *e);
int observe_parts(struct real *k, unsigned parts, struct arena *a, const struct kstate *want, const struct world *known, struct kstate *out, struct err *e);
/* Our table of nftables (nft.c). */
int nft_run(struct real *k, const char *text, struct buf *out, struct err *e);
void nft_close(struct real *k);
int nft_step(struct real *k, const struct step *s, struct err *e);
int nft_observe(struct real *k, struct arena *a, const struct kstate *want, struct kstate *out, struct err *e);
/* K_FILE (files.c). */
int files_add(const struct kobj *o, struct err *e);
int files_del(const struct kobj *o, struct err *e);
int files_change(const struct kobj *was, const struct kobj *o, struct err *e);
/* The lines of `now`, without those that `was` has and `wanted` has not, and with what `wanted` has anew. */
void files_merge_lines(const char *now, const char *was, const char *wanted, struct buf *out);
/* K_LISTEN (listen.c). */
int listen_add(struct real *k, const struct kobj *o, struct err *e);
int listen_del(struct real *k, const struct kobj *o, struct err *e);
int listen_change(struct real *k, const struct kobj *o, struct err *e);
bool listen_there(struct real *k, const struct kobj *o);
/* K_FLOWS (conntrack.c); NULL: not before, no more. */
int conntrack_settle(struct real *k, const struct kobj *was, const struct kobj *is, struct err *e);
/* K_DNS (dns.c). */
int dns_add(struct real *k, const struct kobj *o, struct err *e);
int dns_del(struct real *k, const struct step *s, struct err *e);
bool dns_held(struct real *k, const char *ns);  /* somebody holds its sockets */
bool dns_there(struct real *k, const char *ns); /* and the NAT leads to them */
int observe_routes(struct kernel *k, struct arena *a, struct prefix **out, size_t *n, struct err *e);
/* The link of this name; index 0: there is none. */
int observe_link_named(struct nl *nl, const char *name, struct rtnl_link *out, struct err *e);
int observe_addrs(struct kernel *k, struct arena *a, struct host_addr **out, size_t *n, struct err *e);
int observe_link(struct kernel *k, const char *name, enum link_kind *out, struct err *e);
int netfilter_on_bridges(struct err *e); /* the kernel can show bridged packets to the firewall, after this; host.c */
int sysctl_write(const char *path, const char *value, struct err *e); /* below /proc/sys of the calling thread's namespace */
/* Is a setting's absence as good as this value, since there is no IPv6 that could be switched off: in this kernel, or on the
 * link, whose MTU is below 1280? */
bool sysctl_is_moot(const char *path, const char *value);
int sysctl_read(const char *path, char *out, size_t size, struct err *e);
