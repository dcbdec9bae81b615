/* kernel: the one interface through which the kernel's network is changed and read. ops/ holds a struct kernel *; tests pass a fake.
 * The real one keeps a netlink socket in the namespace of the daemon; all calls come under the network lock, from any thread. */
#pragma once

#include "net/plan.h"
#include "net/want.h"

enum link_kind { LINK_NONE, LINK_BRIDGE, LINK_OTHER };

/* Who serves the sockets of K_DNS. Descriptors stay the caller's. */
struct kernel_dns {
	void *arg;
	int (*give)(void *arg, const char *container, int udp, int tcp, const char *netns_path, struct err *e);
	int (*take)(void *arg, const char *container, bool wait, struct err *e); /* wait: its descriptors are closed when this returns, else soon */
	bool (*holds)(void *arg, const char *container, const char *netns_path, uint16_t *udp_port, uint16_t *tcp_port);
};

/* What is observed: the host's firewall rules, or the rest too. */
enum { KERNEL_RULES = 1, KERNEL_REST = 2, KERNEL_ALL = KERNEL_RULES | KERNEL_REST };
/* Who keeps the sockets of K_LISTEN (never of a large run, which has none). */
struct kernel_ports {
	void *arg;
	int (*give)(void *arg, const struct kobj *o, int fd, struct err *e); /* fd stays the caller's; -1: the one that is held, with another target */
	void (*take)(void *arg, const struct kobj *o);
	void (*settle)(void *arg); /* sockets that were taken are closed when this returns */
	bool (*holds)(void *arg, const struct kobj *o);
};

struct kernel {
	/* Carries out one step. On error nothing of the step is left (a failed firewall run is put back). The kernel's own text (ext-ack) is in e. */
	int (*run)(struct kernel *k, const struct step *s, struct err *e);
	/* The plan has come to its end, or was taken back: nothing is kept open for its next step. May be NULL. */
	void (*done)(struct kernel *k);
	/* What there is of ours in these parts (design section 5 and invariant 2: by alias, name, netns directory, rule shape), plus the present value of every K_HOSTCTL, K_NSCTL, K_FILE, K_POLICY
	 * that `want` names. Strings are allocated from `a`. `known` = networks in the world or in pending intents. */
	int (*observe)(struct kernel *k, unsigned parts, struct arena *a, const struct kstate *want, const struct world *known, struct kstate *out, struct err *e);
	/* Facts of the host, see kernel_host_routes and kernel_link_kind; may be NULL in fakes: a host without any. */
	int (*routes)(struct kernel *k, struct arena *a, struct prefix **out, size_t *n, struct err *e);
	int (*addrs)(struct kernel *k, struct arena *a, struct host_addr **out, size_t *n, struct err *e);
	int (*link)(struct kernel *k, const char *name, enum link_kind *out, struct err *e);
	void (*free)(struct kernel *k);
	const struct kernel_dns *dns; /* set by the owner; NULL: nobody, K_DNS fails */
	const struct kernel_ports *ports; /* set by the owner; NULL: nobody, K_LISTEN fails */
	struct kobj refused; /* set by run: the K_LISTEN that last failed; its unit has no id if none did */
	const struct strv *claimed; /* set by the owner: devices that a leftover intent names, ours also before they have their alias, and ports (fw_port_claims); NULL: none */
	const struct world *known; /* set by the owner: the networks whose rules are ours, when a firewall step places its rules */
};

/* The real one. conf must live as long. Picks the iptables variant (nft or legacy) that the host's `iptables` is. */
int kernel_new(const struct netconf *conf, struct kernel **out, struct err *e);
/* Wraps another kernel and fails its n-th run with -EIO before or after carrying it out (fault loops); n = 0 never fails. Owns `inner`. */
struct kernel *kernel_faulty(struct kernel *inner, unsigned n, bool after);
unsigned kernel_faulty_runs(const struct kernel *k); /* how many runs there were */

/* Runs the plan's steps in order; when one fails, undoes those before it in reverse and returns the first error (an undo failure is appended to its text). */
int kernel_apply(struct kernel *k, const struct plan *p, struct err *e);
/* Undoes a whole applied plan (the store refused to commit). */
int kernel_undo(struct kernel *k, const struct plan *p, struct err *e);

/* On-link IPv4 routes of the host that are not our networks' own; into the arena. */
int kernel_host_routes(struct kernel *k, struct arena *a, struct prefix **out, size_t *n, struct err *e);
/* Every address of the host, ours included; into the arena. */
int kernel_host_addrs(struct kernel *k, struct arena *a, struct host_addr **out, size_t *n, struct err *e);
/* What is there under a device's name, unless Pontoon made it (its alias says so): then LINK_NONE. */
int kernel_link_kind(struct kernel *k, const char *name, enum link_kind *out, struct err *e);
/* A live dockerd in this network namespace: docker0 exists without our alias and a process named dockerd whose netns is ours. CONFLICT naming pid. */
int kernel_foreign_dockerd(struct err *e);
/* A link that is not ours hangs on a bridge that is: somebody's virtual machine, or a container of a dockerd that is not there at the moment. CONFLICT naming both. */
int kernel_foreign_port(struct err *e);
/* Reads a sysctl below /proc/sys of the daemon's namespace, trimmed. */
int kernel_sysctl_get(const char *path, char *out, size_t size, struct err *e);
