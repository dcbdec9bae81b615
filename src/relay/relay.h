/* relay: what the files of relay/ share: the process as one struct, sandboxes, queries under way. One thread, no locks: a function here runs to its end. */
#pragma once

#include "relay/cache.h"
#include "relay/port.h"
#include "relay/upstream.h"
#include "relay/zone.h"

struct attempt;
struct conn;
struct control;
struct lane;
struct query;
struct relay;
struct sandbox;
struct tcpq;

struct owner { /* in whose network namespace sockets to upstreams are: the host's, or a sandbox's */
	struct relay *relay;
	struct sandbox *sandbox; /* NULL: the host's */
	struct lane *lanes;
	unsigned nlanes, ntcp;
	struct attempt *waiting; /* for a socket that the daemon has been asked for */
	bool asked[2];           /* by family: IPv4, IPv6 */
};

struct queue { /* queries in the order they came */
	struct query *first, *last;
	unsigned n;
};

struct sandbox {
	char id[ID_TEXT];
	struct relay *relay;
	struct source udp, tcp;
	struct view *view; /* NULL: not told yet; then nothing is known and nothing forwarded */
	struct upstream_set *upstreams;
	struct owner owner;
	struct conn *conns;
	unsigned nconns;
	struct query *queries; /* under way, and waiting */
	unsigned forwards;     /* under way */
	struct queue waiting;
	struct sandbox *next_waiting; /* ring of those with waiting queries */
	bool in_ring;
};

struct relay {
	struct loop loop;
	struct zones zones;
	struct upstreams upstreams;
	struct map sandboxes; /* id -> struct sandbox */
	struct proxy proxy;
	struct cache cache;
	struct owner host;
	unsigned forwards;
	struct sandbox *ring; /* the last served of those with waiting queries */
	struct control *control;
	struct tcpq *tcp_asked;  /* connections that the daemon has been asked for */
	uint32_t tcp_request;
	uint64_t chance; /* of shuffling */
};

/* sandbox.c */
int sandbox_put(struct relay *r, const char *id, int udp, int tcp, struct err *e); /* takes the descriptors, also on error */
void sandbox_del(struct relay *r, const char *id);
int sandbox_view(struct relay *r, const struct relay_view *v, struct err *e);
void sandboxes_free(struct relay *r);
/* One question: the answer's length in out (size DNS_MAX; max: what the client takes), 0: none, or it comes later by client_reply. conn NULL: over UDP. */
size_t sandbox_ask(struct sandbox *s, struct conn *conn, const struct sockaddr_in *from, const uint8_t *p, size_t n, uint8_t *out);

/* client.c: TCP connections of containers to their DNS server */
void client_accept(struct source *listener, uint32_t events); /* the `tcp` source of a sandbox */
void client_reply(struct conn *c, const uint8_t *p, size_t n); /* one answer of those under way; may end the connection */
void client_close(struct conn *c);
void client_under_way(struct conn *c); /* one more */

/* forward.c: queries under way */
struct query { /* a question that somebody else is asked */
	struct query *prev, *next;       /* of the sandbox */
	struct query *next_waiting;      /* of the sandbox's queue */
	struct sandbox *sandbox;
	struct conn *conn;               /* over TCP; NULL: UDP, or the client is gone */
	struct sockaddr_in from;         /* over UDP */
	struct upstream_set *upstreams;
	struct attempt *attempts[UPSTREAMS];
	unsigned tried;                  /* bits of upstreams */
	unsigned resent;
	bool tcp, started, host;
	uint8_t *cut;                    /* an answer with TC, should TCP fail */
	size_t cut_n;
	struct timer step, end;
	struct dns_query q;
	size_t n;
	uint8_t msg[];
};
void forward_start(struct sandbox *s, struct conn *conn, const struct sockaddr_in *from, const uint8_t *p, size_t n, const struct dns_query *q);
void forward_forget_client(struct conn *c, struct sandbox *s); /* the connection is gone */
void forward_sandbox_gone(struct sandbox *s);                  /* its queries end without an answer */
/* What became of an attempt. The attempt is gone after each of these. */
void forward_answer(struct attempt *a, const uint8_t *p, size_t n);
void forward_failed(struct attempt *a);

/* lane.c: UDP sockets to upstreams; tcpq.c: TCP connections to them */
struct attempt { /* one upstream asked for one query */
	struct query *query;
	unsigned server; /* index in the query's set */
	uint16_t id;
	int64_t sent;
	struct owner *owner;
	struct lane *lane;     /* over UDP, once sent */
	struct attempt *next;  /* of the lane, or of the owner's waiting ones */
	bool waiting;
	struct tcpq *tcpq;     /* over TCP */
};
int lane_send(struct attempt *a);    /* -errno: nothing was sent; a->lane or a->waiting else */
void lane_resend(struct attempt *a);
void lane_forget(struct attempt *a); /* no answer is wanted any more */
void lane_sockets(struct owner *o, uint8_t family, const int *fds, size_t n); /* from the daemon; taken */
void lanes_close(struct owner *o);   /* no attempts are left */
int tcpq_start(struct attempt *a);
void tcpq_forget(struct attempt *a);
void tcpq_socket(struct relay *r, uint32_t request, int fd); /* from the daemon; fd -1: failed */

/* control.c: the daemon */
int control_open(struct relay *r, int listener, int first, struct err *e); /* -1: none */
void control_close(struct relay *r);
/* A wish; -ENOTCONN when no daemon is there. */
int control_need(struct relay *r, const struct relay_msg *m);

void chance_bytes(void *p, size_t n); /* getrandom, by the page */
