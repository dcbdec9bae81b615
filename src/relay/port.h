/* port: published ports: their sockets, who may use them, and how much. stream.c carries the bytes of TCP and SCTP, datagram.c those of UDP. A target sees connections
 * from this host: to keep a client's address takes transparent sockets, and these a routing rule for all of the host that fails where src_valid_mark is set. */
#pragma once

#include <netinet/in.h>

#include "base/map.h"
#include "base/relay_proto.h"
#include "relay/loop.h"
#include "relay/pipe.h"

struct port;
struct relay;
struct session;
struct stream;

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};
socklen_t address_len(const union address *a);
struct ip address_ip(const union address *a); /* IPv4 in its own form, also of a socket of both families */
void address_set(union address *a, const struct ip *ip, uint16_t port);

struct proxy {
	struct map ports; /* id -> struct port */
	struct pipes pipes;
	unsigned nstreams, max_streams, max_streams_port;
	unsigned nsessions, max_sessions, max_sessions_port;
	struct port *waiting, *last_waiting; /* for a place among all streams */
	bool draining;
	struct timer drain;
};

struct port {
	struct relay *relay;
	struct source source;
	struct task task; /* takes connections or datagrams */
	uint8_t proto;
	uint16_t first; /* the socket's own port: of a run, which alone brings connections to others, its first */
	int steer;      /* what does that is kept open here, so that it outlives the daemon; -1 */
	bool served; /* else it only holds its socket */
	bool limited;
	bool full;   /* as many streams as a port may have: the next that ends goes on */
	bool is_waiting;
	union address target;
	struct relay_from *from;
	size_t nfrom;
	struct port *next_waiting;
	struct timer pause;
	struct stream *streams;
	unsigned nstreams;
	struct map sessions;
	struct session *newest, *oldest;
	char id[];
};

void proxy_open(struct relay *r, unsigned descriptors);
int port_put(struct relay *r, const struct relay_port *p, int fd, struct err *e); /* takes fd, also on error; -1: the one that is there */
int port_serve(struct relay *r, const struct relay_port *p, struct err *e);
void port_del(struct relay *r, const char *id);
void port_steer(struct relay *r, const char *id, int fd); /* takes it */
void proxy_close(struct relay *r);
/* Nothing new is taken; calls loop.ended when the last stream is gone, or TIMER_DRAIN is over. */
void proxy_drain(struct relay *r);
bool port_admits(const struct port *p, const union address *client, uint32_t ifindex); /* 0: the client has shown that it can be reached, as TCP's does */
void port_work(struct port *p); /* its socket may have something */

/* stream.c */
void stream_accept(struct task *t);
void streams_close(struct port *p);         /* all of it */
void streams_judge(struct port *p);         /* those whose clients are not admitted any more */
/* datagram.c */
void datagram_receive(struct task *t);
void sessions_close(struct port *p);
