/* relay: the daemon's side of pontoon-relay. Starts it when it is first needed, hands it sockets, ports, names and views, serves its wishes for sockets in a
 * container's namespace, and starts it again with everything it had when it dies or falls silent. Keeps duplicates of every socket, so either process can be
 * killed. Thread safe: a lock of its own, never held while anything else's is taken. Makes no decision about names. Values are those of base/relay_proto.h. */
#pragma once

#include <sys/types.h>

#include "base/relay_proto.h"

struct relay;

struct relay_conf {
	const char *program;   /* path of pontoon-relay or "" = beside this program, else in PATH */
	const char *exec_root; /* the relay listens at <exec_root>/relay.sock */
	uid_t uid;             /* the relay's own user and group; never 0 */
	gid_t gid;
	bool debug;
};

/* Connects to a living relay, taking over what it holds (it goes on answering meanwhile), or remembers to start one at the first sandbox or port.
 * Succeeds without a relay; fails only for want of memory or a thread. */
int relay_open(const struct relay_conf *conf, struct relay **out, struct err *e);
/* stop: the relay ends too, with its sockets. Otherwise it stays and goes on answering. */
void relay_close(struct relay *r, bool stop);

/* --- sandboxes: `id` is the container's --- */
/* A UDP and a listening TCP socket on 127.0.0.11 in the namespace at netns_path; duplicated, the caller's stay the caller's. With -1, -1: those that the relay
 * already holds (relay_holds). An id that is known is replaced. UNAVAILABLE when no relay can be started. */
int relay_sandbox(struct relay *r, const char *id, int udp, int tcp, const char *netns_path, struct err *e);
/* Its names, view and descriptors go. Call relay_sync before the namespace is deleted: an open socket keeps it alive. */
void relay_sandbox_gone(struct relay *r, const char *id);
/* The sockets of this sandbox are there, and belong to the namespace at netns_path (NULL: not checked). */
bool relay_holds(struct relay *r, const char *id, const char *netns_path);
/* The ports they are bound to, for the NAT rules; -ENOENT. */
int relay_sandbox_ports(struct relay *r, const char *id, uint16_t *udp, uint16_t *tcp, struct err *e);

/* --- ports that the proxy serves: copied, whole; in force after relay_sync --- */
/* fd: a bound UDP socket, or a listening TCP or SCTP socket, of the host's namespace; an IPv6 one may serve both families. It is duplicated, the caller's stays the
 * caller's, and its options are set here. -1: the one that is held already (relay_port_holds); else -ENOENT. An id that is known is replaced: then connections that
 * are under way go on, but for those whose client is no longer let in, or all if the target has changed. UNAVAILABLE when no relay can be started. */
int relay_port(struct relay *r, const struct relay_port *p, int fd, struct err *e);
/* What leads a long run of ports to that socket (kernel/steer.h): duplicated, and held by the relay too, so that it outlives this process. */
int relay_steer(struct relay *r, const char *id, int fd, struct err *e);
/* Its socket and connections go: closed after relay_sync. */
void relay_port_gone(struct relay *r, const char *id);
void relay_ports_gone(struct relay *r); /* of all */
/* A socket of this id is there, of this protocol and bound to this address and port. A socket of both families is bound to [::]. */
bool relay_port_holds(struct relay *r, const char *id, uint8_t proto, const struct ip *at, uint16_t port);

/* --- names: copied, whole; in force after relay_sync --- */
int relay_zone(struct relay *r, const struct relay_zone *z, struct err *e);
void relay_zone_gone(struct relay *r, const char *network);
int relay_view(struct relay *r, const struct relay_view *v, struct err *e); /* of a sandbox given before, else -ENOENT */

/* Waits until all of the above is in force and descriptors of gone things are closed: at most 1 s, then the relay is killed and started again with everything.
 * At once when nothing was said since.
 * After an error (UNAVAILABLE: it could not be started again) no relay lives, so none holds a descriptor; the starts go on in the background. */
int relay_sync(struct relay *r, struct err *e);
/* Once after a start's reconcile: what the relay still holds of an earlier daemon and nobody has asked for since relay_open goes. */
int relay_settle(struct relay *r, struct err *e);
pid_t relay_pid(struct relay *r); /* 0 = none runs */
