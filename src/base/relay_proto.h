/* relay_proto: what pontoond and pontoon-relay say to each other: values, their bytes, and the way over a SEQPACKET socket.
 * Encoding and decoding are pure; a decoded message lives in the arena given. Every length is checked: each side treats the other's bytes as foreign.
 * A body that is too large for a packet travels in a sealed memfd, passed as the last descriptor. No threads, no state. */
#pragma once

#include "base/buf.h"
#include "base/ip.h"
#include "base/strv.h"

/* Rises with every change of the encoding. The numbers of the types, and the form of HELLO, READY, SANDBOX, PORT and STOP, are kept forever, so that a newer daemon
 * can take descriptors over from any relay and tell it to go: what is added goes into messages of its own, at the end. */
#define RELAY_PROTO_VERSION 3
#define RELAY_FDS           60 /* descriptors in one message, the memfd not counted: LIMIT_FDS_PER_MESSAGE less a few */

enum relay_type {
	RELAY_HELLO,        /* both; relay: first message, then all it holds as SANDBOX, ZONE_GONE (id only) and PORT, then READY */
	RELAY_READY,        /* relay: everything held has been told */
	RELAY_SANDBOX,      /* both; descriptors: UDP, TCP */
	RELAY_SANDBOX_GONE, /* daemon */
	RELAY_ZONE,         /* daemon; replaces the whole zone */
	RELAY_ZONE_GONE,    /* daemon: take it away; relay, after HELLO: a zone it has */
	RELAY_VIEW,         /* daemon; replaces the whole view */
	RELAY_SOCKETS,      /* daemon; descriptors: unbound UDP sockets of the family asked for; none = refused for now */
	RELAY_TCP_SOCKET,   /* daemon; descriptor: a connecting TCP socket; none = failed */
	RELAY_PORT,         /* both; descriptor: listening TCP or SCTP, or bound UDP socket; daemon: none = the one held. Served from the next SERVE on */
	RELAY_PORT_GONE,    /* daemon */
	RELAY_SYNC,         /* daemon */
	RELAY_STOP,         /* daemon: give way to another relay: close what listens, let connections under way end for a while, end */
	RELAY_ACK,          /* relay: everything before SYNC is in force, descriptors of gone things are closed */
	RELAY_NEED_SOCKETS, /* relay */
	RELAY_NEED_TCP,     /* relay */
	RELAY_SERVE,        /* daemon; after PORT: to whom and how */
	RELAY_END,          /* daemon: end at once, connections too */
	RELAY_STEER,        /* both; after PORT; descriptor: what leads a long run of ports to that socket (kernel/steer.h) as long as somebody has it */
	RELAY_TYPE_N
};

struct relay_hello {
	uint32_t version;
	const char *build; /* PONTOON_VERSION */
};

struct relay_host { /* one endpoint on a network */
	struct strv names; /* primary first: container name, aliases, short id, hostname; without repetition */
	struct ip v4, v6;  /* either may be unset */
};

struct relay_zone {
	const char *network; /* id */
	const char *name;
	const struct relay_host *hosts;
	size_t nhosts;
};

struct relay_link {
	const char *alias, *network /* id */, *target; /* name on that network */
};

struct relay_upstream {
	struct ip ip;
	uint32_t scope; /* interface index of a link-local address in the host's namespace; 0 */
	uint16_t port;
	bool in_container; /* asked from the container's namespace, not the host's */
};

struct relay_view { /* how one container sees names */
	const char *sandbox;
	struct strv networks; /* ids, in the order they are searched */
	const struct relay_link *links;
	size_t nlinks;
	const struct relay_upstream *upstreams;
	size_t nupstreams;
	bool internal_only; /* all networks are internal: upstreams of the host's namespace are not asked */
	bool ndots_set;     /* somebody set ndots: a name without a dot that is not known here is nobody's */
};

struct relay_from { /* clients that may use a port */
	struct prefix net; /* IPv4 in its own form, also for a socket that serves both families */
	uint32_t ifindex;  /* received on this interface; 0: any */
};

struct relay_port { /* a published port that the proxy serves; PORT carries the first four, SERVE the id and the rest */
	const char *id;  /* chosen by the daemon, unique, shorter than RELAY_PORT_ID */
	uint8_t proto;   /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	struct ip target;
	uint16_t target_port;
	bool limited;    /* only clients of `from` are served (publish scopes lan, local): none of them, none */
	const struct relay_from *from;
	size_t nfrom;
};
#define RELAY_PORT_ID 160

struct relay_need { /* NEED_SOCKETS, NEED_TCP; answered by SOCKETS, TCP_SOCKET with the same sandbox, family and request */
	const char *sandbox;
	uint32_t request;
	uint8_t family; /* NEED_SOCKETS: AF_INET, AF_INET6 */
	uint16_t count; /* NEED_SOCKETS */
	struct ip ip;   /* NEED_TCP */
	uint16_t port;
};

struct relay_msg {
	enum relay_type type;
	union {
		struct relay_hello hello;
		const char *id; /* SANDBOX, SANDBOX_GONE, ZONE_GONE, PORT_GONE, STEER */
		struct relay_zone zone;
		struct relay_view view;
		struct relay_port port;
		struct relay_need need; /* SOCKETS, TCP_SOCKET too */
		uint64_t number;        /* SYNC, ACK */
	};
};

struct relay_fds {
	int v[RELAY_FDS];
	size_t n;
};
void relay_fds_close(struct relay_fds *f); /* those that are >= 0; empties the list */

int relay_proto_encode(const struct relay_msg *m, struct buf *out, struct err *e);
int relay_proto_decode(struct arena *a, const void *p, size_t n, struct relay_msg *out, struct err *e); /* -EBADMSG */
/* Descriptors stay the caller's. -EAGAIN when the other side does not read (the socket's own time-out or non-blocking mode decides). */
int relay_proto_send(int sock, const struct relay_msg *m, const int *fds, size_t nfds, struct err *e);
/* The same for bytes that are already encoded. */
int relay_proto_send_bytes(int sock, const void *p, size_t n, const int *fds, size_t nfds, struct err *e);
/* 1 = a message, its descriptors are the caller's; 0 = the other side is gone; -EAGAIN; -EBADMSG. */
int relay_proto_recv(int sock, struct arena *a, struct relay_msg *out, struct relay_fds *fds, struct err *e);
