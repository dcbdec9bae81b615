/* Theory of operation
 *
 * libmicrohttpd could do TLS itself, but it does not pass on the end of a client's input on an upgraded connection (`docker exec -i` would wait for ever), and looks at
 * certificates after the handshake only. So TLS ends here: a thread a connection moves the bytes to and from one end of a socket pair, and the server serves the other end as if it
 * were a unix socket. At the limit the oldest connection that has not finished its handshake goes: strangers cannot keep others out. (tests/scenario/test_tls.py) */
#include "api/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/tls_pump.h"

#define STACK        (256u << 10)
#define HANDSHAKE_MS 10000
#define MAX          (LIMIT_CONNECTIONS * 2)
#define VERSIONS     "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct client {
	struct client *prev, *next; /* oldest first */
	struct tls_server *server;
	int net;
	bool through; /* its handshake is over */
};

struct tls_server {
	gnutls_certificate_credentials_t cred;
	gnutls_priority_t priority;
	bool want_client;
	int fd, wake;
	bool (*give)(void *arg, int sock);
	void *arg;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t cond;
	struct client head;
	size_t n;
	bool stop;
};

static gnutls_datum_t datum(const char *text)
{
	union {
		const char *in;
		unsigned char *out; /* GnuTLS only reads */
	} u = {.in = text};
	return (gnutls_datum_t){.data = u.out, .size = (unsigned)strlen(text)};
}

static int verify_client(gnutls_session_t s)
{
	static unsigned char oid[] = GNUTLS_KP_TLS_WWW_CLIENT;
	gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = oid};
	unsigned status;
	int r = gnutls_certificate_verify_peers(s, &purpose, 1, &status);
	return r < 0 || status ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static int load(struct tls_server *t, const struct tls_conf *c, struct err *e)
{
	gnutls_datum_t cert = datum(c->cert), key = datum(c->key), ca = datum(c->ca ? c->ca : "");
	if (gnutls_certificate_allocate_credentials(&t->cred) < 0 || gnutls_priority_init(&t->priority, VERSIONS, NULL) < 0)
		return err_nomem(e);
	int r = gnutls_certificate_set_x509_key_mem(t->cred, &cert, &key, GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return err_as(e, ERR_INVALID, "the certificate (--tlscert) and its key (--tlskey) cannot be used: %s", gnutls_strerror(r));
	if (!c->ca)
		return 0;
	r = gnutls_certificate_set_x509_trust_mem(t->cred, &ca, GNUTLS_X509_FMT_PEM);
	if (r <= 0)
		return err_as(e, ERR_INVALID, "the certificates of the authority (--tlscacert) cannot be used: %s", r < 0 ? gnutls_strerror(r) : "there are none");
	gnutls_certificate_set_verify_function(t->cred, verify_client);
	t->want_client = true;
	return 0;
}

int tls_new(const struct tls_conf *c, struct tls_server **out, struct err *e)
{
	struct tls_server *t = calloc(1, sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->head.prev = t->head.next = &t->head;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = t->wake < 0 ? err_errno(e, -errno, "eventfd") : load(t, c, e);
	if (r < 0)
		tls_free(t);
	else
		*out = t;
	return r;
}

/* The oldest one that has not shown yet who it is. */
static void end_a_stranger(struct tls_server *t)
{
	struct client *c = t->head.next;
	while (c != &t->head && c->through)
		c = c->next;
	if (c != &t->head) {
		c->through = true; /* not twice */
		(void)shutdown(c->net, SHUT_RDWR);
	}
}

static void join(struct client *c)
{
	struct tls_server *t = c->server;
	pthread_mutex_lock(&t->lock);
	c->prev = t->head.prev;
	c->next = &t->head;
	c->prev->next = c;
	t->head.prev = c;
	if (++t->n > MAX)
		end_a_stranger(t);
	pthread_mutex_unlock(&t->lock);
}

static void leave(struct client *c)
{
	struct tls_server *t = c->server;
	pthread_mutex_lock(&t->lock);
	c->prev->next = c->next;
	c->next->prev = c->prev;
	t->n--;
	close(c->net);
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	free(c);
}

static void serve(struct client *c, gnutls_session_t s)
{
	struct tls_server *t = c->server;
	int pair[2], r = tls_handshake(s, c->net, HANDSHAKE_MS);
	if (r < 0) {
		log_debug("tls: a client was refused: %s", gnutls_strerror(r));
		(void)gnutls_alert_send_appropriate(s, r);
		return;
	}
	pthread_mutex_lock(&t->lock);
	c->through = true;
	bool stop = t->stop;
	pthread_mutex_unlock(&t->lock);
	if (stop || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return;
	if (t->give(t->arg, pair[1])) /* it is the server's now, or closed */
		tls_pump(s, c->net, pair[0]);
	close(pair[0]);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	gnutls_session_t s;
	if (gnutls_init(&s, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) >= 0) {
		gnutls_transport_set_int(s, c->net);
		gnutls_certificate_server_set_request(s, c->server->want_client ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
		if (gnutls_priority_set(s, c->server->priority) >= 0 && gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, c->server->cred) >= 0)
			serve(c, s);
		gnutls_deinit(s);
	}
	leave(c);
	return NULL;
}

static void begin(struct tls_server *t, int net)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct client *c = calloc(1, sizeof(*c));
	if (!c) {
		close(net);
		return;
	}
	c->server = t;
	c->net = net;
	join(c);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, client_main, c) != 0)
		leave(c);
	pthread_attr_destroy(&attr);
}

static void *accept_main(void *arg)
{
	struct tls_server *t = arg;
	struct pollfd p[2] = {{.fd = t->fd, .events = POLLIN}, {.fd = t->wake, .events = POLLIN}};
	while (poll(p, 2, -1) >= 0 || errno == EINTR) {
		if (p[1].revents)
			break;
		int net = p[0].revents ? accept4(t->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
		if (net >= 0)
			begin(t, net);
		else if (p[0].revents && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			(void)poll(&p[1], 1, 100); /* until others have gone */
	}
	return NULL;
}

int tls_start(struct tls_server *t, int fd, bool (*give)(void *arg, int sock), void *arg, struct err *e)
{
	t->fd = fd;
	t->give = give;
	t->arg = arg;
	int r = pthread_create(&t->thread, NULL, accept_main, t);
	t->running = r == 0;
	return r ? err_errno(e, -r, "start a thread") : 0;
}

void tls_stop(struct tls_server *t)
{
	if (!t || !t->running)
		return;
	(void)eventfd_write(t->wake, 1);
	pthread_join(t->thread, NULL);
	t->running = false;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	for (struct client *c = t->head.next; c != &t->head; c = c->next)
		(void)shutdown(c->net, SHUT_RDWR);
	while (t->n)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

void tls_free(struct tls_server *t)
{
	if (!t)
		return;
	tls_stop(t);
	if (t->cred)
		gnutls_certificate_free_credentials(t->cred);
	if (t->priority)
		gnutls_priority_deinit(t->priority);
	if (t->wake >= 0)
		close(t->wake);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
