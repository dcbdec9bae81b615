/* Theory of operation
 *
 * Everything the relay should know is kept here too, as encoded messages and duplicated descriptors: what is put is noted first and then sent if a relay is there. So a
 * relay that dies, or one that is silent and is killed, is followed by another that gets all of it: sandboxes, ports, zones, views, in this order.
 *
 * relay_link.c has the way there and the relay's life, relay_port.c the ports. */
#include "engine/relay_own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

#define ACK_MS 1000

/* --- what is known --- */

void relay_box_free(struct box *b)
{
	if (b->udp >= 0)
		close(b->udp);
	if (b->tcp >= 0)
		close(b->tcp);
	free(b->netns);
	free(b->view);
	free(b);
}

struct box *relay_box_new(struct relay *r, const char *id)
{
	struct box *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	STR_COPY(b->id, id);
	b->udp = b->tcp = -1;
	if (map_puts(&r->boxes, b->id, b) >= 0)
		return b;
	free(b);
	return NULL;
}

/* A sandbox whose container nobody knows goes by 12 letters. */
static struct box *find_box(struct relay *r, const char *id)
{
	struct box *b = map_gets(&r->boxes, id);
	struct map_entry *m;
	for (size_t i = 0; !b && strlen(id) == 12 && (m = map_next(&r->boxes, &i));)
		if (str_starts(((struct box *)m->value)->id, id))
			b = m->value;
	return b;
}

struct note *relay_note_of(struct relay *r, const char *id)
{
	struct note *n = map_gets(&r->zones, id);
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	STR_COPY(n->id, id);
	if (map_puts(&r->zones, n->id, n) >= 0)
		return n;
	free(n);
	return NULL;
}

void relay_note_free(struct note *n)
{
	free(n->bytes);
	free(n);
}

int relay_duplicate(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* --- what the daemon says --- */

static int put_box(struct relay *r, const char *id, int udp, int tcp, const char *netns_path, struct err *e)
{
	struct box *b = map_gets(&r->boxes, id);
	char *path = strdup(netns_path);
	if (!b && udp >= 0)
		b = relay_box_new(r, id);
	if (!b || !path) {
		free(path);
		return !path || udp >= 0 ? err_nomem(e) : err_set(e, -ENOENT, "the relay does not hold %.12s", id);
	}
	free(b->netns);
	b->netns = path;
	b->claimed = true;
	if (udp < 0)
		return link_need(r, e);
	if (b->udp >= 0)
		close(b->udp);
	if (b->tcp >= 0)
		close(b->tcp);
	b->udp = relay_duplicate(udp);
	b->tcp = relay_duplicate(tcp);
	if (b->udp < 0 || b->tcp < 0)
		return err_errno(e, -errno, "duplicate the name server's sockets");
	if (r->sock < 0)
		return link_need(r, e); /* it gets everything, this too */
	link_send_box(r, b);
	return 0;
}

int relay_sandbox(struct relay *r, const char *id, int udp, int tcp, const char *netns_path, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	int result = put_box(r, id, udp, tcp, netns_path, e);
	if (result < 0 && udp >= 0) {
		struct box *b = map_dels(&r->boxes, id);
		if (b)
			relay_box_free(b);
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

static void box_gone(struct relay *r, const char *id)
{
	struct box *b = find_box(r, id);
	if (!b)
		return;
	struct relay_msg m = {.type = RELAY_SANDBOX_GONE, .id = b->id};
	map_dels(&r->boxes, b->id);
	link_send(r, &m, NULL, 0);
	relay_box_free(b);
}

void relay_sandbox_gone(struct relay *r, const char *id)
{
	pthread_mutex_lock(&r->lock);
	box_gone(r, id);
	pthread_mutex_unlock(&r->lock);
}

static int ioctl_get_netns(int sock)
{
	int ns = ioctl(sock, SIOCGSKNS);
	if (ns >= 0)
		(void)fcntl(ns, F_SETFD, FD_CLOEXEC);
	return ns;
}

/* The namespace that a socket belongs to, by SIOCGSKNS, is the one bound at path. */
static bool in_namespace(int sock, const char *path)
{
	struct stat a, b;
	OWN(own_fd) int ns = ioctl_get_netns(sock);
	return ns >= 0 && fstat(ns, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool relay_holds(struct relay *r, const char *id, const char *netns_path)
{
	pthread_mutex_lock(&r->lock);
	struct box *b = find_box(r, id);
	bool there = b && b->udp >= 0 && b->tcp >= 0 && (!netns_path || in_namespace(b->udp, netns_path));
	if (there && netns_path && !b->netns) { /* held since an earlier daemon */
		b->netns = strdup(netns_path);
		b->claimed = true;
	}
	pthread_mutex_unlock(&r->lock);
	return there;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	return getsockname(fd, (struct sockaddr *)&a, &n) < 0 ? 0 : ntohs(a.sin_port);
}

int relay_sandbox_ports(struct relay *r, const char *id, uint16_t *udp, uint16_t *tcp, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	const struct box *b = find_box(r, id);
	if (b) {
		*udp = port_of(b->udp);
		*tcp = port_of(b->tcp);
	}
	pthread_mutex_unlock(&r->lock);
	return b ? 0 : err_set(e, -ENOENT, "the relay does not hold %.12s", id);
}

/* Encodes and keeps; *bytes is replaced. */
int relay_keep(const struct relay_msg *m, void **bytes, size_t *len, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	try(relay_proto_encode(m, &b, e));
	*len = b.len;
	free(*bytes);
	*bytes = buf_steal(&b);
	return *bytes ? 0 : err_nomem(e);
}

int relay_zone(struct relay *r, const struct relay_zone *z, struct err *e)
{
	struct relay_msg m = {.type = RELAY_ZONE, .zone = *z};
	pthread_mutex_lock(&r->lock);
	struct note *n = relay_note_of(r, z->network);
	int result = n ? relay_keep(&m, &n->bytes, &n->len, e) : err_nomem(e);
	if (result >= 0) {
		n->claimed = true;
		link_send_bytes(r, n->bytes, n->len, NULL, 0);
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

static void zone_gone(struct relay *r, const char *network)
{
	struct relay_msg m = {.type = RELAY_ZONE_GONE, .id = network};
	struct note *n = map_dels(&r->zones, network);
	if (!n)
		return;
	link_send(r, &m, NULL, 0);
	relay_note_free(n);
}

void relay_zone_gone(struct relay *r, const char *network)
{
	pthread_mutex_lock(&r->lock);
	zone_gone(r, network);
	pthread_mutex_unlock(&r->lock);
}

int relay_view(struct relay *r, const struct relay_view *v, struct err *e)
{
	struct relay_msg m = {.type = RELAY_VIEW, .view = *v};
	pthread_mutex_lock(&r->lock);
	struct box *b = map_gets(&r->boxes, v->sandbox);
	int result = b ? relay_keep(&m, &b->view, &b->view_len, e) : err_set(e, -ENOENT, "the relay does not hold %.12s", v->sandbox);
	if (result >= 0)
		link_send_bytes(r, b->view, b->view_len, NULL, 0);
	pthread_mutex_unlock(&r->lock);
	return result;
}

static struct timespec in_ms(int ms)
{
	int64_t t = clock_mono_ns() + (int64_t)ms * 1000000;
	return (struct timespec){.tv_sec = t / 1000000000, .tv_nsec = t % 1000000000};
}

/* true: everything sent so far is in force. */
static bool wait_ack(struct relay *r)
{
	struct relay_msg m = {.type = RELAY_SYNC, .number = ++r->asked};
	struct timespec end = in_ms(ACK_MS);
	uint64_t number = m.number;
	link_send(r, &m, NULL, 0);
	uint64_t said = r->said;
	while (r->answered < number && r->sock >= 0)
		if (pthread_cond_timedwait(&r->acked, &r->lock, &end) == ETIMEDOUT)
			break;
	if (r->answered >= number)
		r->settled = said;
	return r->answered >= number;
}

int relay_sync(struct relay *r, struct err *e)
{
	int result = 0;
	pthread_mutex_lock(&r->lock);
	bool settled = r->sock >= 0 && r->said == r->settled;
	if (!settled && (r->sock >= 0 || link_is_needed(r)) && !(r->sock >= 0 && wait_ack(r))) {
		log_warn("the relay does not answer: it is started anew");
		if (r->pid > 0)
			kill(r->pid, SIGKILL);
		if (r->sock >= 0)
			close(r->sock);
		r->sock = -1;
		link_reap(r);
		if (link_is_needed(r))
			result = link_start(r, e);
		if (result >= 0 && r->sock >= 0 && !wait_ack(r))
			result = err_as(e, ERR_UNAVAILABLE, "the name server was started anew and does not answer");
	}
	pthread_mutex_unlock(&r->lock);
	return result;
}

int relay_settle(struct relay *r, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct strv boxes = {0}, zones = {0}, ports = {0};
	struct map_entry *m;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; (m = map_next(&r->boxes, &i));) {
		const struct box *b = m->value;
		if (!b->claimed)
			(void)strv_add(&a, &boxes, b->id);
	}
	for (size_t i = 0; (m = map_next(&r->zones, &i));) {
		const struct note *n = m->value;
		if (!n->claimed)
			(void)strv_add(&a, &zones, n->id);
	}
	for (size_t i = 0; (m = map_next(&r->ports, &i));) {
		const struct hold *h = m->value;
		if (!h->serve)
			(void)strv_add(&a, &ports, h->id);
	}
	for (size_t i = 0; i < ports.n; i++)
		hold_gone(r, ports.v[i]);
	for (size_t i = 0; i < boxes.n; i++)
		box_gone(r, boxes.v[i]);
	for (size_t i = 0; i < zones.n; i++)
		zone_gone(r, zones.v[i]);
	int result = a.bad ? err_nomem(e) : link_is_needed(r) ? link_need(r, e) : 0;
	pthread_mutex_unlock(&r->lock);
	return result < 0 ? result : relay_sync(r, e);
}

pid_t relay_pid(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	pid_t pid = r->sock >= 0 ? r->pid : 0;
	pthread_mutex_unlock(&r->lock);
	return pid;
}
