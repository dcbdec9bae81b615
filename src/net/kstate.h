/* kstate: what the kernel's network should be, or is, as values. Built by want (from a world) and by observe (from the
 * kernel), compared by diff. Objects live in an arena and own nothing. Two objects are the same object when their keys
 * are equal (kobj_cmp_key), and equal when nothing needs doing (kobj_equal). */
#pragma once

#include "base/relay_proto.h" /* and ip, strv */

#define KIFNAME 16

/* What a kernel object belongs to. An operation computes `want` only for the units it changes. */
enum unit_kind { UNIT_HOST, UNIT_NETWORK, UNIT_SANDBOX, UNIT_ENDPOINT, UNIT_N };
struct unit {
	enum unit_kind kind;
	const char *id; /* "" for the host; network id; container id; endpoint key */
};

/* In the order in which they are made; removed in the reverse order. */
enum kobj_kind {
	K_LISTEN, /* a bound socket on the host that reserves a published port; a large run has none */
	K_NETNS,  /* a sandbox's namespace, bound at <exec-root>/netns/<first 12 of container id> */
	K_BRIDGE, /* a bridge link on the host */
	K_VETH,   /* a pair: host end and the end in a sandbox, created in place, both down */
	K_NSCTL,  /* a sysctl in a sandbox, or of one of our own links on the host */
	K_ADDR,   /* an address on an interface */
	K_FILE,   /* hosts, hostname, resolv.conf of a sandbox */
	K_CHAIN,  /* a firewall chain of ours */
	K_RULE,   /* a firewall rule of ours */
	K_POLICY, /* the policy of a built-in chain */
	K_NFT_TABLE, /* the table "inet pontoon" with its fixed rules */
	K_NFT_ELEM,  /* an element of one of its sets or maps */
	K_FLOWS,     /* no tracked connection goes where a container's published ports did not lead, or lead no more */
	K_UP,     /* an interface being up */
	K_ROUTE,
	K_DNS,     /* the embedded server's sockets on 127.0.0.11 of a sandbox, with the NAT from port 53 to theirs */
	K_HOSTCTL, /* a sysctl of the host namespace (ip_forward): never set back by us */
	K_KIND_N
};

/* Families of iptables; FW_NFT in a step: our table of nftables. */
enum fw_family { FW_V4, FW_V6, FW_FAMILY_N, FW_NFT = FW_FAMILY_N };
enum fw_table { FW_RAW, FW_NAT, FW_FILTER, FW_TABLE_N };
const char *fw_table_name(enum fw_table t);

/* A rule's place among ours in its chain: ascending. Never a kernel position. */
struct fw_rank {
	int cls;     /* 0 first (jump to DOCKER-USER), 1 isolation jump, 2 per network, 9 last (RETURN) */
	int64_t seq; /* within the class, ascending: e.g. -network.seq puts the newest first; docker0 last */
	int k;       /* within one unit */
};

/* A run of published ports, as it is led by NAT; host_port 0: none, the container's address alone. */
struct flow {
	uint8_t proto;
	struct ip host, ip;
	uint16_t host_port, count, port;
};

struct kobj {
	enum kobj_kind kind;
	struct unit unit;
	const char *ns; /* sandbox (container id) it is in; NULL = the host's namespace. For K_VETH: of the inner end */
	union {
		struct {
			uint8_t proto;
			bool dual, limited, alone; /* IPv6, and serves IPv4 too; as the relay's; no NAT leads there (not compared) */
			struct ip ip, target; /* unspecified: any of its family; where the proxy leads */
			uint16_t port, count, target_port;
			const struct relay_from *from;
			size_t nfrom;
		} listen;
		struct {
			const char *name, *alias;
			struct mac mac; /* not set: any */
			int mtu;        /* 0: any */
			bool adopt; /* the user's own device: must exist, is never created or deleted */
			bool filter; /* what passes from port to port goes through the firewall too */
		} bridge;
		struct {
			const char *name, *inner; /* host end; name in the sandbox */
			struct mac mac;     /* of the inner end */
			int mtu;            /* of both; 0: any */
			const char *master, *alias; /* bridge; of the host end */
			bool hairpin; /* what comes from there may go out there again */
		} veth;
		struct {
			const char *path, *value; /* below /proc/sys, "net/ipv4/ip_forward" */
		} ctl;
		struct {
			const char *link;
			struct prefix addr;
			bool nodad;
		} addr;
		struct {
			const char *path, *text; /* text NULL when observed: only presence is compared, contents are the container's */
			unsigned mode;
		} file;
		struct {
			enum fw_family family;
			enum fw_table table;
			const char *chain;
			bool keep; /* the user's (DOCKER-USER): made if absent, never flushed or deleted */
		} chain;
		struct {
			enum fw_family family;
			enum fw_table table;
			const char *chain, *text; /* canonical, as iptables-save prints it, without "-A CHAIN " */
			struct fw_rank rank;
		} rule;
		struct {
			enum fw_family family;
			const char *chain, *value; /* of table filter; "DROP" */
		} policy;
		struct {
			const char *set, *key, *value; /* value "": of a set; of K_NFT_TABLE: the match of marks let in */
		} elem;
		struct {
			const char *container;
			const struct flow *v;
			size_t n;
		} flows;
		struct {
			const char *link;
			bool keep;        /* the user's device: set up, never down */
			const char *port; /* of a sandbox's end: the port on the host that forwards at once; then it is announced */
			struct mac mac;   /* with port: the link's own; not set: nothing is announced */
		} up;
		struct {
			struct prefix dst; /* len 0: default */
			struct ip via;     /* not set: on-link */
			const char *link;
			int metric;
		} route;
	};
};

struct kstate {
	struct arena *mem; /* where its strings live */
	struct kobj *v;
	size_t n, cap;
	bool sorted;
};

/* Appends a copy of *o (strings are not copied: they must live as long as the state). -ENOMEM. */
int kstate_add(struct kstate *s, const struct kobj *o);
void kstate_sort(struct kstate *s); /* by kind, then key; of those with one key one stays: they are one object */
int kobj_cmp_key(const struct kobj *a, const struct kobj *b);
bool kobj_is_fw(const struct kobj *o); /* of a firewall step */
bool kobj_equal(const struct kobj *want, const struct kobj *have);
/* One line for people and golden files: "veth veth1a2b3c4 eth0 in 3f2a.. 02:42:ac:11:00:02 master docker0". */
const char *kobj_text(const struct kobj *o, struct arena *a);
