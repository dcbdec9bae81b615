#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "base/log.h"
#include "relay/relay.h"

/* --- addresses --- */

socklen_t address_len(const union address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

struct ip address_ip(const union address *a)
{
	struct ip ip = {.family = AF_INET};
	if (a->any.sa_family == AF_INET) {
		memcpy(ip.b, &a->v4.sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
		memcpy(ip.b, a->v6.sin6_addr.s6_addr + 12, 4);
	} else {
		ip.family = AF_INET6;
		memcpy(ip.b, &a->v6.sin6_addr, 16);
	}
	return ip;
}

void address_set(union address *a, const struct ip *ip, uint16_t port)
{
	*a = (union address){0};
	if (ip->family == AF_INET) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		memcpy(&a->v4.sin_addr, ip->b, 4);
	} else {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		memcpy(&a->v6.sin6_addr, ip->b, 16);
	}
}

/* --- one port --- */

bool port_admits(const struct port *p, const union address *client, uint32_t ifindex)
{
	struct ip ip = address_ip(client);
	bool good = !p->limited;
	for (size_t i = 0; i < p->nfrom && !good; i++)
		good = prefix_has(&p->from[i].net, &ip) && (!ifindex || !p->from[i].ifindex || p->from[i].ifindex == ifindex);
	return good;
}

void port_work(struct port *p)
{
	if (p->served && p->source.fd >= 0)
		loop_later(&p->relay->loop, &p->task);
}

static void port_ready(struct source *s, uint32_t events)
{
	(void)events;
	port_work(CONTAINER(s, struct port, source));
}

/* Without a socket and all that came through it. */
static void port_close(struct port *p)
{
	struct proxy *x = &p->relay->proxy;
	loop_forget(&p->relay->loop, &p->task);
	loop_disarm(&p->pause);
	loop_close_source(&p->relay->loop, &p->source);
	own_fd(&p->steer);
	p->steer = -1;
	sessions_close(p);
	if (p->is_waiting) {
		struct port **at = &x->waiting, *before = NULL;
		while (*at != p) {
			before = *at;
			at = &before->next_waiting;
		}
		*at = p->next_waiting;
		if (x->last_waiting == p)
			x->last_waiting = before;
		p->is_waiting = false;
	}
}

static void port_free(struct port *p)
{
	port_close(p);
	streams_close(p);
	map_free(&p->sessions);
	free(p->from);
	free(p);
}

static struct port *port_new(struct relay *r, const struct relay_port *in)
{
	struct port *p = calloc(1, sizeof(*p) + strlen(in->id) + 1);
	if (!p)
		return NULL;
	memcpy(p->id, in->id, strlen(in->id) + 1);
	p->relay = r;
	p->proto = in->proto;
	p->steer = -1;
	p->source = (struct source){-1, port_ready};
	p->task.run = in->proto == IPPROTO_UDP ? datagram_receive : stream_accept;
	if (map_puts(&r->proxy.ports, p->id, p) >= 0)
		return p;
	free(p);
	return NULL;
}

void port_steer(struct relay *r, const char *id, int fd)
{
	struct port *p = map_gets(&r->proxy.ports, id);
	int old = p ? p->steer : fd;
	if (p)
		p->steer = fd;
	if (old >= 0)
		close(old);
}

/* syscalls: getsockname
 * Edge-triggered: when a port is full its socket is simply left alone until there is place. */
static int set_socket(struct port *p, int fd, struct err *e)
{
	union address at = {0};
	socklen_t n = sizeof(at);
	(void)getsockname(fd, &at.any, &n); /* of a socket that is bound it cannot fail */
	p->first = ntohs(at.v4.sin_port); /* where IPv6 has it too */
	loop_close_source(&p->relay->loop, &p->source);
	p->source.fd = fd;
	int r = loop_add(&p->relay->loop, &p->source, EPOLLIN | EPOLLET);
	if (r >= 0)
		return 0;
	close(fd);
	p->source.fd = -1;
	return err_errno(e, r, "watch the port %s", p->id);
}

int port_put(struct relay *r, const struct relay_port *in, int fd, struct err *e)
{
	struct port *p = map_gets(&r->proxy.ports, in->id);
	union address target;
	if (!ip_is_set(&in->target) || (p && p->proto != in->proto) || (!p && fd < 0)) {
		if (fd >= 0)
			close(fd);
		return err_set(e, -EPROTO, "the port %s has no target, no socket or another protocol", in->id);
	}
	if (!p && !(p = port_new(r, in))) {
		close(fd);
		return err_nomem(e);
	}
	address_set(&target, &in->target, in->target_port);
	if (memcmp(&target, &p->target, sizeof(target)) != 0) {
		streams_close(p);
		sessions_close(p);
	}
	p->target = target;
	p->served = false;
	return fd >= 0 ? set_socket(p, fd, e) : 0;
}

int port_serve(struct relay *r, const struct relay_port *in, struct err *e)
{
	struct port *p = map_gets(&r->proxy.ports, in->id);
	struct relay_from *from = malloc((in->nfrom + 1) * sizeof(*from));
	if (!p || !from) {
		free(from);
		return p ? err_nomem(e) : 0; /* it has gone meanwhile */
	}
	if (in->nfrom)
		memcpy(from, in->from, in->nfrom * sizeof(*from));
	free(p->from);
	p->from = from;
	p->nfrom = in->nfrom;
	p->limited = in->limited;
	p->served = true;
	streams_judge(p);
	port_work(p);
	return 0;
}

void port_del(struct relay *r, const char *id)
{
	struct port *p = map_dels(&r->proxy.ports, id);
	if (p)
		port_free(p);
}

/* --- all of them --- */

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Most of the descriptors may carry bytes of ports; the rest is for names and for what the daemon hands over, which would be lost without a place. */
void proxy_open(struct relay *r, unsigned descriptors)
{
	struct proxy *x = &r->proxy;
	x->max_streams = least(LIMIT_RELAY_STREAMS, descriptors / 4);
	x->max_streams_port = least(LIMIT_RELAY_STREAMS_PORT, x->max_streams / 2);
	x->max_sessions = least(LIMIT_RELAY_SESSIONS, descriptors / 8);
	x->max_sessions_port = least(LIMIT_RELAY_SESSIONS_PORT, x->max_sessions / 2);
	x->pipes.max = least(LIMIT_RELAY_PIPES, descriptors / 16);
}

void proxy_close(struct relay *r)
{
	struct map_entry *m;
	for (size_t i = 0; (m = map_next(&r->proxy.ports, &i));)
		port_free(m->value);
	map_free(&r->proxy.ports);
	pipes_close(&r->proxy.pipes);
	loop_disarm(&r->proxy.drain);
}

static void out_of_time(struct timer *t)
{
	struct relay *r = CONTAINER(t, struct relay, proxy.drain);
	log_info("%u connections did not end while another relay served: they are cut off", r->proxy.nstreams);
	r->loop.ended = true;
}

void proxy_drain(struct relay *r)
{
	struct map_entry *m;
	for (size_t i = 0; (m = map_next(&r->proxy.ports, &i));)
		port_close(m->value);
	r->proxy.draining = true;
	r->loop.ended = !r->proxy.nstreams;
	loop_arm(&r->loop, &r->proxy.drain, TIMER_DRAIN, out_of_time);
}
