/* Theory of operation
 *
 * A query that is not answered here goes to the container's upstreams, in their order but for those that have been silent lately. What comes first of these moves it on:
 *   - a good answer (NXDOMAIN and the like included): it goes to the client, and into the cache;
 *   - SERVFAIL, REFUSED, an ICMP error, a broken connection: the next upstream is asked at once;
 *   - silence for TIMER_RACE: the next one is asked too, and whoever answers first wins. An upstream that lets others win that way is marked, and after two such
 *     queries in a row it is not asked first for a while;
 *   - silence of all for TIMER_RESEND: the datagrams are sent once more;
 *   - TC over UDP: the same upstream is asked over TCP; should that fail, the cut answer has to do;
 *   - no upstream is left, or TIMER_QUERY is over: SERVFAIL.
 * A client over TCP is served over TCP.
 *
 * Under load: so many queries of a container and of all together may be under way; others wait in their container's queue, and containers with waiting queries are
 * served in turn, so that one whose upstreams are dead cannot keep the others from theirs. Names of containers never come here and wait for nothing.
 * tests/scenario/test_network.py asks it with real clients. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "relay/relay.h"

static void pump(struct relay *r);

/* --- the way back --- */

static void reply(struct query *q, uint8_t *p, size_t n)
{
	if (q->conn) {
		struct conn *c = q->conn;
		q->conn = NULL;
		client_reply(c, p, n);
	} else if (q->from.sin_family) {
		n = dns_cut(p, n, q->q.size);
		if (n) /* a full send buffer is a lost datagram, like any */
			(void)sendto(q->sandbox->udp.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&q->from, sizeof(q->from));
	}
}

static void end_attempt(struct query *q, unsigned server)
{
	struct attempt *a = q->attempts[server];
	if (!a)
		return;
	q->attempts[server] = NULL;
	if (a->tcpq)
		tcpq_forget(a);
	else
		lane_forget(a);
	free(a);
}

static void queue_remove(struct queue *w, struct query *q)
{
	struct query *before = NULL;
	for (struct query *i = w->first; i; before = i, i = i->next_waiting) {
		if (i != q)
			continue;
		*(before ? &before->next_waiting : &w->first) = q->next_waiting;
		if (w->last == q)
			w->last = before;
		w->n--;
		return;
	}
}

/* Takes the query out of everything and frees it. Others may then begin: by pump(). */
static void query_free(struct query *q)
{
	struct sandbox *s = q->sandbox;
	for (unsigned i = 0; i < UPSTREAMS; i++)
		end_attempt(q, i);
	loop_disarm(&q->step);
	loop_disarm(&q->end);
	if (q->started) {
		s->forwards--;
		s->relay->forwards--;
	} else {
		queue_remove(&s->waiting, q);
	}
	*(q->prev ? &q->prev->next : &s->queries) = q->next;
	if (q->next)
		q->next->prev = q->prev;
	upstreams_put(&s->relay->upstreams, q->upstreams);
	free(q->cut);
	free(q);
}

static void finish(struct query *q, uint8_t *p, size_t n)
{
	struct relay *r = q->sandbox->relay;
	reply(q, p, n);
	query_free(q);
	pump(r);
}

static void fail(struct query *q)
{
	uint8_t out[DNS_UDP_MIN];
	if (q->cut) {
		memcpy(q->cut, q->msg, 2);
		finish(q, q->cut, q->cut_n);
	} else {
		finish(q, out, dns_error(q->msg, &q->q, out, sizeof(out), DNS_SERVFAIL));
	}
}

void forward_forget_client(struct conn *c, struct sandbox *s)
{
	for (struct query *q = s->queries; q; q = q->next)
		if (q->conn == c)
			q->conn = NULL; /* it goes on: its answer is of use in the cache */
}

/* --- attempts --- */

static bool any_under_way(const struct query *q)
{
	for (unsigned i = 0; i < UPSTREAMS; i++)
		if (q->attempts[i])
			return true;
	return false;
}

static int attempt_start(struct query *q, unsigned server, bool tcp)
{
	struct relay *r = q->sandbox->relay;
	struct attempt *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (struct attempt){.query = q, .server = server, .sent = r->loop.now};
	a->owner = q->upstreams->v[server].in_container ? &q->sandbox->owner : &r->host;
	chance_bytes(&a->id, sizeof(a->id));
	int result = tcp ? tcpq_start(a) : lane_send(a);
	if (result < 0)
		free(a);
	else
		q->attempts[server] = a;
	return result;
}

static void step(struct timer *t);

/* Asks the next upstream that takes it; false = none is left. */
static bool ask_next(struct query *q)
{
	struct relay *r = q->sandbox->relay;
	int i;
	while ((i = upstream_pick(q->upstreams, q->tried, q->host, r->loop.now)) >= 0) {
		q->tried |= 1u << i;
		if (attempt_start(q, (unsigned)i, q->tcp) >= 0) {
			bool more = upstream_pick(q->upstreams, q->tried, q->host, r->loop.now) >= 0;
			loop_arm(&r->loop, &q->step, more ? TIMER_RACE : TIMER_RESEND, step);
			return true;
		}
	}
	return false;
}

/* Silence for a while: one more upstream, or the same datagrams again. */
static void step(struct timer *t)
{
	struct query *q = CONTAINER(t, struct query, step);
	if (ask_next(q))
		return;
	for (unsigned i = 0; i < UPSTREAMS; i++)
		if (q->attempts[i] && q->attempts[i]->lane)
			lane_resend(q->attempts[i]);
	if (++q->resent < 2)
		loop_arm(&q->sandbox->relay->loop, &q->step, TIMER_RESEND, step);
}

/* Those that were asked long enough ago and have said nothing. */
static void mark_silent(struct query *q, unsigned but)
{
	int64_t now = q->sandbox->relay->loop.now;
	for (unsigned i = 0; i < UPSTREAMS; i++)
		if (i != but && q->attempts[i] && now - q->attempts[i]->sent >= 200) /* TIMER_RACE, but for rounding */
			upstream_silent(&q->upstreams->v[i], now);
}

static void out_of_time(struct timer *t)
{
	struct query *q = CONTAINER(t, struct query, end);
	mark_silent(q, UPSTREAMS);
	fail(q);
}

void forward_failed(struct attempt *a)
{
	struct query *q = a->query;
	end_attempt(q, a->server);
	if (!ask_next(q) && !any_under_way(q))
		fail(q);
}

/* The answer was cut: the same upstream over TCP. */
static void ask_again_tcp(struct query *q, unsigned server, const uint8_t *p, size_t n)
{
	end_attempt(q, server);
	if (!q->cut && (q->cut = malloc(n))) {
		memcpy(q->cut, p, n);
		q->cut_n = n;
	}
	if (attempt_start(q, server, true) < 0 && !any_under_way(q))
		fail(q);
}

void forward_answer(struct attempt *a, const uint8_t *p, size_t n)
{
	static uint8_t out[DNS_MAX];
	struct query *q = a->query;
	struct relay *r = q->sandbox->relay;
	unsigned server = a->server;
	bool tcp = a->tcpq;
	int rcode = dns_rcode(p);
	upstream_answered(&q->upstreams->v[server]);
	if (rcode == DNS_SERVFAIL || rcode == DNS_REFUSED) {
		forward_failed(a);
		return;
	}
	if (dns_truncated(p) && !tcp) {
		ask_again_tcp(q, server, p, n);
		return;
	}
	mark_silent(q, server);
	memcpy(out, p, n);
	memcpy(out, q->msg, 2);
	memcpy(out + DNS_HEAD, q->msg + DNS_HEAD, q->q.end - DNS_HEAD);
	if (q->sandbox->upstreams == q->upstreams && q->sandbox->view && !q->sandbox->view->internal_only)
		cache_put(&r->cache, q->upstreams->serial, &q->q, r->loop.now, out, n);
	finish(q, out, n);
}

/* --- beginning, and waiting for it --- */

static void begin(struct query *q)
{
	struct sandbox *s = q->sandbox;
	q->started = true;
	s->forwards++;
	s->relay->forwards++;
	if (!q->end.next) /* armed already if it had to wait */
		loop_arm(&s->relay->loop, &q->end, TIMER_QUERY, out_of_time);
	if (!ask_next(q))
		fail(q);
}

static bool may_begin(const struct sandbox *s)
{
	return s->forwards < LIMIT_RELAY_FORWARDS_SANDBOX && s->relay->forwards < LIMIT_RELAY_FORWARDS;
}

static void ring_add(struct relay *r, struct sandbox *s)
{
	if (s->in_ring)
		return;
	s->in_ring = true;
	s->next_waiting = r->ring ? r->ring->next_waiting : s;
	if (r->ring)
		r->ring->next_waiting = s;
	r->ring = s;
}

static void ring_del(struct relay *r, struct sandbox *s)
{
	struct sandbox *before = s;
	if (!s->in_ring)
		return;
	s->in_ring = false;
	while (before->next_waiting != s)
		before = before->next_waiting;
	before->next_waiting = s->next_waiting;
	if (r->ring == s)
		r->ring = before == s ? NULL : before;
}

void forward_sandbox_gone(struct sandbox *s)
{
	while (s->queries)
		query_free(s->queries);
	ring_del(s->relay, s);
	pump(s->relay);
}

/* Begins waiting queries, one of each container in turn. */
static void pump(struct relay *r)
{
	static bool pumping; /* begin() may fail at once and come back here: the loop below goes on anyway */
	unsigned idle = 0;
	if (pumping || !r->ring)
		return;
	pumping = true;
	while (r->ring && r->forwards < LIMIT_RELAY_FORWARDS) {
		struct sandbox *s = r->ring->next_waiting;
		if (!s->waiting.first) {
			ring_del(r, s);
			idle = 0;
			continue;
		}
		r->ring = s;
		if (!may_begin(s)) {
			if (++idle > r->sandboxes.n)
				break;
			continue;
		}
		idle = 0;
		struct query *q = s->waiting.first;
		queue_remove(&s->waiting, q);
		begin(q);
	}
	pumping = false;
}

static void wait_turn(struct query *q)
{
	struct sandbox *s = q->sandbox;
	if (s->waiting.n >= LIMIT_RELAY_FORWARDS_SANDBOX)
		fail(s->waiting.first);
	*(s->waiting.last ? &s->waiting.last->next_waiting : &s->waiting.first) = q;
	s->waiting.last = q;
	s->waiting.n++;
	ring_add(s->relay, s);
	loop_arm(&s->relay->loop, &q->end, TIMER_QUERY, out_of_time);
}

void forward_start(struct sandbox *s, struct conn *conn, const struct sockaddr_in *from, const uint8_t *p, size_t n, const struct dns_query *dq)
{
	struct query *q = calloc(1, sizeof(*q) + n);
	if (!q) {
		if (conn) /* a datagram may be lost; a connection must not wait forever */
			client_close(conn);
		return;
	}
	q->sandbox = s;
	q->conn = conn;
	q->tcp = conn;
	if (from)
		q->from = *from;
	q->host = !s->view->internal_only;
	q->upstreams = s->upstreams;
	q->upstreams->refs++;
	q->q = *dq;
	q->n = n;
	memcpy(q->msg, p, n);
	q->next = s->queries;
	if (s->queries)
		s->queries->prev = q;
	s->queries = q;
	if (conn)
		client_under_way(conn);
	if (may_begin(s) && !s->waiting.first)
		begin(q);
	else
		wait_turn(q);
}
