/* A sandbox: the sockets of one container's name server and what is known of the container. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "relay/answer.h"
#include "relay/relay.h"

#define DATAGRAMS 32 /* of one socket in a row, before others have their turn */

size_t sandbox_ask(struct sandbox *s, struct conn *conn, const struct sockaddr_in *from, const uint8_t *p, size_t n, uint8_t *out)
{
	struct relay *r = s->relay;
	struct dns_query q;
	int rcode = dns_parse_query(p, n, &q);
	if (rcode < 0)
		return 0;
	size_t max = conn ? DNS_MAX : rcode ? DNS_UDP_MIN : q.size;
	if (rcode)
		return dns_error(p, &q, out, max, rcode);
	if (!s->view)
		return dns_error(p, &q, out, max, DNS_SERVFAIL);
	r->chance += 0x9e3779b97f4a7c15ull;
	size_t len = answer(s->view, p, &q, r->chance, out, max);
	if (!len && s->upstreams && !s->view->internal_only)
		len = cache_get(&r->cache, s->upstreams->serial, p, &q, r->loop.now, out, max);
	if (len)
		return len;
	if (!s->upstreams)
		return dns_error(p, &q, out, max, DNS_SERVFAIL);
	forward_start(s, conn, from, p, n, &q);
	return 0;
}

/* A batch of questions and their answers, one behind the other. There is one for all: it is used up before the next. */
static struct {
	struct mmsghdr in[DATAGRAMS], out[DATAGRAMS];
	struct iovec in_iov[DATAGRAMS], out_iov[DATAGRAMS];
	struct sockaddr_in from[DATAGRAMS];
	uint8_t questions[DATAGRAMS][LIMIT_RELAY_QUERY + 64]; /* not a power of two: their beginnings would share few lines of the processor's cache */
	uint8_t answers[DNS_MAX + DATAGRAMS * 512];
	unsigned nout;
	size_t used;
} batch;

/* A full send buffer is a lost datagram, like any. syscalls: sendmmsg */
static void send_answers(int fd)
{
	for (unsigned done = 0; done < batch.nout;) {
		int n = sendmmsg(fd, batch.out + done, batch.nout - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		done += n > 0 ? (unsigned)n : 1;
	}
	batch.nout = 0;
	batch.used = 0;
}

static void answer_one(struct sandbox *s, unsigned i)
{
	const struct msghdr *in = &batch.in[i].msg_hdr;
	if (in->msg_flags & MSG_TRUNC || in->msg_namelen != sizeof(batch.from[i]) || batch.from[i].sin_family != AF_INET)
		return; /* no question is that long */
	uint8_t *out = batch.answers + batch.used;
	size_t n = sandbox_ask(s, NULL, &batch.from[i], batch.questions[i], batch.in[i].msg_len, out);
	if (!n) /* later, or never */
		return;
	batch.out_iov[batch.nout] = (struct iovec){out, n};
	batch.out[batch.nout] = (struct mmsghdr){.msg_hdr = {.msg_name = &batch.from[i], .msg_namelen = sizeof(batch.from[i]), .msg_iov = &batch.out_iov[batch.nout], .msg_iovlen = 1}};
	batch.nout++;
	batch.used += n;
	if (sizeof(batch.answers) - batch.used < DNS_MAX)
		send_answers(s->udp.fd);
}

/* syscalls: recvmmsg */
static void udp_ready(struct source *src, uint32_t events)
{
	struct sandbox *s = CONTAINER(src, struct sandbox, udp);
	(void)events;
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		batch.in_iov[i] = (struct iovec){batch.questions[i], LIMIT_RELAY_QUERY};
		batch.in[i].msg_hdr = (struct msghdr){.msg_name = &batch.from[i], .msg_namelen = sizeof(batch.from[i]), .msg_iov = &batch.in_iov[i], .msg_iovlen = 1};
	}
	int n = recvmmsg(src->fd, batch.in, DATAGRAMS, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		answer_one(s, (unsigned)i);
	send_answers(src->fd);
}

static void drop_view(struct sandbox *s)
{
	if (s->view)
		view_free(s->view);
	s->view = NULL;
	upstreams_put(&s->relay->upstreams, s->upstreams);
	s->upstreams = NULL;
}

static void sandbox_free(struct sandbox *s)
{
	struct loop *l = &s->relay->loop;
	while (s->conns)
		client_close(s->conns);
	forward_sandbox_gone(s);
	lanes_close(&s->owner);
	drop_view(s);
	loop_close_source(l, &s->udp);
	loop_close_source(l, &s->tcp);
	free(s);
}

int sandbox_put(struct relay *r, const char *id, int udp, int tcp, struct err *e)
{
	struct sandbox *s = calloc(1, sizeof(*s));
	sandbox_del(r, id);
	if (!s || strlen(id) >= sizeof(s->id)) {
		close(udp);
		close(tcp);
		free(s);
		return s ? err_set(e, -EINVAL, "\"%s\" is no container's id", id) : err_nomem(e);
	}
	STR_COPY(s->id, id);
	s->relay = r;
	s->owner = (struct owner){.relay = r, .sandbox = s};
	s->udp = (struct source){udp, udp_ready};
	s->tcp = (struct source){tcp, client_accept};
	int result = map_puts(&r->sandboxes, s->id, s);
	if (result >= 0 && (result = loop_add(&r->loop, &s->udp, EPOLLIN)) >= 0)
		result = loop_add(&r->loop, &s->tcp, EPOLLIN);
	if (result < 0) {
		map_dels(&r->sandboxes, s->id);
		sandbox_free(s);
		return err_errno(e, result, "watch the sockets of %.12s", id);
	}
	return 0;
}

void sandbox_del(struct relay *r, const char *id)
{
	struct sandbox *s = map_dels(&r->sandboxes, id);
	if (s)
		sandbox_free(s);
}

int sandbox_view(struct relay *r, const struct relay_view *v, struct err *e)
{
	struct sandbox *s = map_gets(&r->sandboxes, v->sandbox);
	struct view *view;
	if (!s)
		return 0; /* it has gone meanwhile */
	struct upstream_set *set = upstreams_get(&r->upstreams, v);
	if (!set || view_new(&r->zones, v, &view) < 0) {
		upstreams_put(&r->upstreams, set);
		return err_nomem(e);
	}
	drop_view(s);
	s->view = view;
	s->upstreams = set;
	return 0;
}

void sandboxes_free(struct relay *r)
{
	struct map_entry *m;
	for (size_t i = 0; (m = map_next(&r->sandboxes, &i)); i = 0)
		sandbox_del(r, ((struct sandbox *)m->value)->id);
	map_free(&r->sandboxes);
}
