/* Theory of operation
 *
 * A packet is a byte of type, a byte that says where the body is, and the body: numbers big-endian, a string as its length in two bytes and its bytes, a list as its
 * count in four bytes and its items. Bodies above INLINE_MAX go in a memfd, sealed against every change, so that the reader can map what it has checked. Reading uses
 * a cursor with a sticky error; a count is believed only as far as the bytes that are left could hold so many items, so memory is bounded by the size received.
 * Proven by tests/base/test_relay_proto.c and tests/fuzz/fuzz_relay_message.c. */
#include "base/relay_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/limits.h"

#define INLINE_MAX 32768 /* well below the default send buffer of a unix socket, so several fit */
#define HEAD       2
#define IN_MEMFD   1

static_assert(RELAY_FDS < LIMIT_FDS_PER_MESSAGE, "no place for the memfd");

void relay_fds_close(struct relay_fds *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i] >= 0)
			close(f->v[i]);
	f->n = 0;
}

/* --- writing --- */

static void put_n(struct buf *b, uint64_t v, unsigned bytes)
{
	uint8_t t[8];
	for (unsigned i = 0; i < bytes; i++)
		t[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	buf_put(b, t, bytes);
}

static void put_str(struct buf *b, const char *s)
{
	size_t n = s ? strlen(s) : 0;
	if (n > UINT16_MAX) {
		b->bad = true;
		return;
	}
	put_n(b, n, 2);
	buf_put(b, s ? s : "", n);
}

static void put_ip(struct buf *b, const struct ip *a)
{
	unsigned kind = a->family == AF_INET ? 4 : a->family == AF_INET6 ? 16 : 0;
	put_n(b, kind, 1);
	buf_put(b, a->b, kind);
}

static void put_strv(struct buf *b, const struct strv *l)
{
	put_n(b, l->n, 4);
	for (size_t i = 0; i < l->n; i++)
		put_str(b, l->v[i]);
}

static void put_zone(struct buf *b, const struct relay_zone *z)
{
	put_str(b, z->network);
	put_str(b, z->name);
	put_n(b, z->nhosts, 4);
	for (size_t i = 0; i < z->nhosts; i++) {
		put_ip(b, &z->hosts[i].v4);
		put_ip(b, &z->hosts[i].v6);
		put_strv(b, &z->hosts[i].names);
	}
}

static void put_view(struct buf *b, const struct relay_view *v)
{
	put_str(b, v->sandbox);
	put_n(b, (v->internal_only ? 1u : 0) | (v->ndots_set ? 2u : 0), 1);
	put_strv(b, &v->networks);
	put_n(b, v->nlinks, 4);
	for (size_t i = 0; i < v->nlinks; i++) {
		put_str(b, v->links[i].alias);
		put_str(b, v->links[i].network);
		put_str(b, v->links[i].target);
	}
	put_n(b, v->nupstreams, 4);
	for (size_t i = 0; i < v->nupstreams; i++) {
		put_ip(b, &v->upstreams[i].ip);
		put_n(b, v->upstreams[i].scope, 4);
		put_n(b, v->upstreams[i].port, 2);
		put_n(b, v->upstreams[i].in_container, 1);
	}
}

static void put_port(struct buf *b, const struct relay_port *p)
{
	put_str(b, p->id);
	put_n(b, p->proto, 1);
	put_ip(b, &p->target);
	put_n(b, p->target_port, 2);
}

static void put_serve(struct buf *b, const struct relay_port *p)
{
	put_str(b, p->id);
	put_n(b, p->limited, 1);
	put_n(b, p->nfrom, 4);
	for (size_t i = 0; i < p->nfrom; i++) {
		put_ip(b, &p->from[i].net.ip);
		put_n(b, p->from[i].net.len, 1);
		put_n(b, p->from[i].ifindex, 4);
	}
}

static void put_need(struct buf *b, const struct relay_need *n)
{
	put_str(b, n->sandbox);
	put_n(b, n->request, 4);
	put_n(b, n->family == AF_INET6 ? 6 : 4, 1);
	put_n(b, n->count, 2);
	put_ip(b, &n->ip);
	put_n(b, n->port, 2);
}

int relay_proto_encode(const struct relay_msg *m, struct buf *out, struct err *e)
{
	put_n(out, (uint64_t)m->type, 1);
	put_n(out, 0, 1);
	switch (m->type) {
	case RELAY_HELLO:
		put_n(out, m->hello.version, 4);
		put_str(out, m->hello.build);
		break;
	case RELAY_SANDBOX:
	case RELAY_SANDBOX_GONE:
	case RELAY_ZONE_GONE:
	case RELAY_PORT_GONE:
	case RELAY_STEER:
		put_str(out, m->id);
		break;
	case RELAY_ZONE:
		put_zone(out, &m->zone);
		break;
	case RELAY_VIEW:
		put_view(out, &m->view);
		break;
	case RELAY_PORT:
		put_port(out, &m->port);
		break;
	case RELAY_SERVE:
		put_serve(out, &m->port);
		break;
	case RELAY_SOCKETS:
	case RELAY_TCP_SOCKET:
	case RELAY_NEED_SOCKETS:
	case RELAY_NEED_TCP:
		put_need(out, &m->need);
		break;
	case RELAY_SYNC:
	case RELAY_ACK:
		put_n(out, m->number, 8);
		break;
	case RELAY_READY:
	case RELAY_STOP:
	case RELAY_END:
	case RELAY_TYPE_N:
		break;
	}
	return out->bad ? err_nomem(e) : 0;
}

/* --- reading --- */

struct cursor {
	struct arena *a;
	const uint8_t *p, *end;
	bool bad;
};

static uint64_t get_n(struct cursor *c, unsigned bytes)
{
	uint64_t v = 0;
	if (c->bad || (size_t)(c->end - c->p) < bytes) {
		c->bad = true;
		return 0;
	}
	while (bytes--)
		v = v << 8 | *c->p++;
	return v;
}

static const char *get_str(struct cursor *c)
{
	size_t n = (size_t)get_n(c, 2);
	if (c->bad || (size_t)(c->end - c->p) < n || memchr(c->p, 0, n)) {
		c->bad = true;
		return "";
	}
	const char *s = arena_dupn(c->a, (const char *)c->p, n);
	c->p += n;
	return s ? s : "";
}

/* A list's length: no more than what is left could hold with `least` bytes each. */
static size_t get_count(struct cursor *c, size_t least)
{
	size_t n = (size_t)get_n(c, 4);
	if (c->bad || n > (size_t)(c->end - c->p) / least) {
		c->bad = true;
		return 0;
	}
	return n;
}

static struct ip get_ip(struct cursor *c)
{
	struct ip a = {0};
	size_t n = (size_t)get_n(c, 1);
	if (c->bad || (n != 0 && n != 4 && n != 16) || (size_t)(c->end - c->p) < n) {
		c->bad = true;
		return a;
	}
	a.family = n == 4 ? AF_INET : n == 16 ? AF_INET6 : 0;
	memcpy(a.b, c->p, n);
	c->p += n;
	return a;
}

static struct strv get_strv(struct cursor *c)
{
	struct strv l = {0};
	size_t n = get_count(c, 2);
	l.v = arena_new(c->a, const char *, n);
	if (!l.v)
		return l;
	for (; l.n < n && !c->bad; l.n++)
		l.v[l.n] = get_str(c);
	return l;
}

static void get_zone(struct cursor *c, struct relay_zone *z)
{
	z->network = get_str(c);
	z->name = get_str(c);
	size_t n = get_count(c, 6);
	struct relay_host *h = arena_new(c->a, struct relay_host, n);
	z->hosts = h;
	for (; h && z->nhosts < n && !c->bad; z->nhosts++) {
		h[z->nhosts].v4 = get_ip(c);
		h[z->nhosts].v6 = get_ip(c);
		h[z->nhosts].names = get_strv(c);
		c->bad |= h[z->nhosts].v4.family == AF_INET6 || h[z->nhosts].v6.family == AF_INET;
	}
}

static void get_view(struct cursor *c, struct relay_view *v)
{
	v->sandbox = get_str(c);
	unsigned flags = (unsigned)get_n(c, 1);
	v->internal_only = flags & 1;
	v->ndots_set = flags & 2;
	v->networks = get_strv(c);
	size_t n = get_count(c, 6);
	struct relay_link *l = arena_new(c->a, struct relay_link, n);
	v->links = l;
	for (; l && v->nlinks < n && !c->bad; v->nlinks++) {
		l[v->nlinks].alias = get_str(c);
		l[v->nlinks].network = get_str(c);
		l[v->nlinks].target = get_str(c);
	}
	n = get_count(c, 8);
	struct relay_upstream *u = arena_new(c->a, struct relay_upstream, n);
	v->upstreams = u;
	for (; u && v->nupstreams < n && !c->bad; v->nupstreams++) {
		u[v->nupstreams].ip = get_ip(c);
		u[v->nupstreams].scope = (uint32_t)get_n(c, 4);
		u[v->nupstreams].port = (uint16_t)get_n(c, 2);
		u[v->nupstreams].in_container = get_n(c, 1);
		c->bad |= !ip_is_set(&u[v->nupstreams].ip);
	}
}

static void get_port(struct cursor *c, struct relay_port *p)
{
	p->id = get_str(c);
	p->proto = (uint8_t)get_n(c, 1);
	p->target = get_ip(c);
	p->target_port = (uint16_t)get_n(c, 2);
	c->bad |= strlen(p->id) >= RELAY_PORT_ID;
}

static void get_serve(struct cursor *c, struct relay_port *p)
{
	p->id = get_str(c);
	p->limited = get_n(c, 1);
	size_t n = get_count(c, 10);
	c->bad |= n > LIMIT_RELAY_FROM;
	struct relay_from *f = arena_new(c->a, struct relay_from, n);
	p->from = f;
	for (; f && p->nfrom < n && !c->bad; p->nfrom++) {
		f[p->nfrom].net.ip = get_ip(c);
		f[p->nfrom].net.len = (uint8_t)get_n(c, 1);
		f[p->nfrom].ifindex = (uint32_t)get_n(c, 4);
		c->bad |= !ip_is_set(&f[p->nfrom].net.ip) || f[p->nfrom].net.len > ip_bits(f[p->nfrom].net.ip.family);
	}
}

static void get_need(struct cursor *c, struct relay_need *n)
{
	n->sandbox = get_str(c);
	n->request = (uint32_t)get_n(c, 4);
	n->family = get_n(c, 1) == 6 ? AF_INET6 : AF_INET;
	n->count = (uint16_t)get_n(c, 2);
	n->ip = get_ip(c);
	n->port = (uint16_t)get_n(c, 2);
}

static void get_body(struct cursor *c, struct relay_msg *m)
{
	switch (m->type) {
	case RELAY_HELLO:
		m->hello.version = (uint32_t)get_n(c, 4);
		m->hello.build = get_str(c);
		break;
	case RELAY_SANDBOX:
	case RELAY_SANDBOX_GONE:
	case RELAY_ZONE_GONE:
	case RELAY_PORT_GONE:
	case RELAY_STEER:
		m->id = get_str(c);
		break;
	case RELAY_ZONE:
		get_zone(c, &m->zone);
		break;
	case RELAY_VIEW:
		get_view(c, &m->view);
		break;
	case RELAY_PORT:
		get_port(c, &m->port);
		break;
	case RELAY_SERVE:
		get_serve(c, &m->port);
		break;
	case RELAY_SOCKETS:
	case RELAY_TCP_SOCKET:
	case RELAY_NEED_SOCKETS:
	case RELAY_NEED_TCP:
		get_need(c, &m->need);
		break;
	case RELAY_SYNC:
	case RELAY_ACK:
		m->number = get_n(c, 8);
		break;
	case RELAY_READY:
	case RELAY_STOP:
	case RELAY_END:
		break;
	case RELAY_TYPE_N:
		c->bad = true;
		break;
	}
}

int relay_proto_decode(struct arena *a, const void *p, size_t n, struct relay_msg *out, struct err *e)
{
	struct cursor c = {.a = a, .p = p, .end = (const uint8_t *)p + n};
	struct relay_msg m = {0};
	unsigned type = (unsigned)get_n(&c, 1);
	(void)get_n(&c, 1);
	m.type = type < RELAY_TYPE_N ? (enum relay_type)type : RELAY_TYPE_N;
	get_body(&c, &m);
	if (a->bad)
		return err_nomem(e);
	if (c.bad || c.p != c.end)
		return err_set(e, -EBADMSG, "a malformed message of type %u", type);
	*out = m;
	return 0;
}

/* --- the socket --- */

static int make_memfd(const uint8_t *p, size_t n, struct err *e)
{
	OWN(own_fd) int fd = memfd_create("pontoon-relay", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(e, -errno, "memfd_create");
	int r = write_all(fd, p, n);
	if (r < 0)
		return err_errno(e, r, "write a memfd");
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_errno(e, -errno, "seal a memfd");
	return STEAL_FD(fd);
}

int relay_proto_send_bytes(int sock, const void *p, size_t n, const int *fds, size_t nfds, struct err *e)
{
	int all[RELAY_FDS + 1], r;
	const uint8_t *bytes = p;
	assert(nfds <= RELAY_FDS && n >= HEAD);
	if (n <= INLINE_MAX) {
		r = fd_send(sock, p, n, fds, nfds);
	} else {
		uint8_t head[HEAD] = {bytes[0], IN_MEMFD};
		OWN(own_fd) int fd = make_memfd(bytes + HEAD, n - HEAD, e);
		if (fd < 0)
			return fd;
		if (nfds)
			memcpy(all, fds, nfds * sizeof(*fds));
		all[nfds] = fd;
		r = fd_send(sock, head, sizeof(head), all, nfds + 1);
	}
	return r < 0 ? err_errno(e, r, "send to the other side") : 0;
}

int relay_proto_send(int sock, const struct relay_msg *m, const int *fds, size_t nfds, struct err *e)
{
	OWN(own_buf) struct buf b = {0};
	try(relay_proto_encode(m, &b, e));
	return relay_proto_send_bytes(sock, b.data, b.len, fds, nfds, e);
}

/* The body in the last descriptor, which is closed. */
static int recv_memfd(struct arena *a, uint8_t type, struct relay_fds *fds, struct relay_msg *out, struct err *e)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct stat st;
	if (!fds->n)
		return err_set(e, -EBADMSG, "a message without its body");
	OWN(own_fd) int fd = fds->v[--fds->n];
	int got = fcntl(fd, F_GET_SEALS);
	if (got < 0 || (got & seals) != seals || fstat(fd, &st) < 0 || st.st_size > LIMIT_RELAY_MESSAGE)
		return err_set(e, -EBADMSG, "a body that is not sealed or too large");
	size_t n = (size_t)st.st_size;
	OWN(own_free) uint8_t *bytes = malloc(HEAD + n);
	if (!bytes)
		return err_nomem(e);
	bytes[0] = type;
	bytes[1] = 0;
	for (size_t at = 0; at < n;) {
		ssize_t k = pread(fd, bytes + HEAD + at, n - at, (off_t)at);
		if (k <= 0)
			return err_set(e, -EBADMSG, "a body that cannot be read");
		at += (size_t)k;
	}
	return relay_proto_decode(a, bytes, HEAD + n, out, e);
}

int relay_proto_recv(int sock, struct arena *a, struct relay_msg *out, struct relay_fds *fds, struct err *e)
{
	uint8_t p[INLINE_MAX];
	int all[LIMIT_FDS_PER_MESSAGE];
	size_t nall = ARRAY_LEN(all);
	ssize_t n = fd_recv(sock, p, sizeof(p), all, &nall);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == -ECONNRESET || n == 0)
		return 0;
	if (n < 0)
		return err_errno(e, (int)n, "receive");
	fds->n = 0;
	for (size_t i = 0; i < nall; i++) {
		if (fds->n < RELAY_FDS)
			fds->v[fds->n++] = all[i];
		else
			close(all[i]);
	}
	int r = n >= HEAD && p[1] == IN_MEMFD ? recv_memfd(a, p[0], fds, out, e) : relay_proto_decode(a, p, (size_t)n, out, e);
	if (r < 0) {
		relay_fds_close(fds);
		return r;
	}
	return 1;
}
