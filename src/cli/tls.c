#include "cli/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/strv.h"
#include "base/tls_pump.h"

#define HANDSHAKE_MS 20000

struct connection {
	gnutls_certificate_credentials_t cred;
	gnutls_session_t s;
	int net, plain;
};

static void connection_free(struct connection *c)
{
	if (c->s)
		gnutls_deinit(c->s);
	if (c->cred)
		gnutls_certificate_free_credentials(c->cred);
	if (c->net >= 0)
		close(c->net);
	if (c->plain >= 0)
		close(c->plain);
	free(c);
}

static void *pump_main(void *arg)
{
	struct connection *c = arg;
	tls_pump(c->s, c->net, c->plain);
	connection_free(c);
	return NULL;
}

static int load(gnutls_certificate_credentials_t cred, const struct tls_client *t, struct err *e)
{
	int r;
	if (t->verify && (r = t->ca ? gnutls_certificate_set_x509_trust_file(cred, t->ca, GNUTLS_X509_FMT_PEM) : gnutls_certificate_set_x509_system_trust(cred)) <= 0)
		return err_set(e, -EINVAL, "the certificates of the authority in %s cannot be used: %s", t->ca ? t->ca : "the system's store", r < 0 ? gnutls_strerror(r) : "there are none");
	if (!t->cert_given && (!t->cert || access(t->cert, F_OK) < 0 || access(t->key, F_OK) < 0))
		return 0;
	r = gnutls_certificate_set_x509_key_file(cred, t->cert, t->key, GNUTLS_X509_FMT_PEM);
	return r < 0 ? err_set(e, -EINVAL, "the certificate %s and its key %s cannot be used: %s", t->cert, t->key, gnutls_strerror(r)) : 0;
}

int tls_client_check(const struct tls_client *t, struct err *e)
{
	gnutls_certificate_credentials_t cred;
	if (gnutls_certificate_allocate_credentials(&cred) < 0)
		return err_nomem(e);
	int r = load(cred, t, e);
	gnutls_certificate_free_credentials(cred);
	return r;
}

static bool is_address(const char *host)
{
	unsigned char a[16];
	return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

static int handshake(struct connection *c, const struct tls_client *t, const char *host, struct err *e)
{
	gnutls_datum_t why = {0};
	if (!is_address(host))
		gnutls_server_name_set(c->s, GNUTLS_NAME_DNS, host, strlen(host));
	if (t->verify)
		gnutls_session_set_verify_cert(c->s, host, 0);
	int r = tls_handshake(c->s, c->net, HANDSHAKE_MS);
	if (r >= 0)
		return 0;
	if (r == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR && gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(c->s), GNUTLS_CRT_X509, &why, 0) >= 0) {
		r = err_set(e, -EACCES, "the daemon at %s is not trusted: %s", host, (const char *)why.data);
		gnutls_free(why.data);
		return r;
	}
	if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return err_set(e, -EACCES, "the daemon at %s refused the TLS connection (%s): does it know the authority of the certificate in %s?", host, gnutls_alert_get_name(gnutls_alert_get(c->s)), t->cert ? t->cert : "the context, which has none");
	return err_set(e, -EPROTO, "TLS with %s failed: %s", host, gnutls_strerror(r));
}

static int set_up(struct connection *c, const struct tls_client *t, const char *host, struct err *e)
{
	if (gnutls_certificate_allocate_credentials(&c->cred) < 0 || gnutls_init(&c->s, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
		return err_nomem(e);
	if (gnutls_set_default_priority(c->s) < 0 || gnutls_credentials_set(c->s, GNUTLS_CRD_CERTIFICATE, c->cred) < 0)
		return err_set(e, -EPROTO, "GnuTLS cannot be set up");
	gnutls_transport_set_int(c->s, c->net);
	try(load(c->cred, t, e));
	if (fcntl(c->net, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(e, -errno, "fcntl");
	return handshake(c, t, host, e);
}

int tls_client_open(const struct tls_client *t, const char *host, int fd, struct err *e)
{
	int pair[2];
	pthread_t thread;
	struct connection *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return err_nomem(e);
	}
	c->net = fd;
	c->plain = -1;
	int r = set_up(c, t, host, e);
	if (r >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		r = err_errno(e, -errno, "socketpair");
	if (r < 0) {
		connection_free(c);
		return r;
	}
	c->plain = pair[0];
	(void)fcntl(c->plain, F_SETFL, O_NONBLOCK);
	r = pthread_create(&thread, NULL, pump_main, c);
	if (r) {
		connection_free(c);
		close(pair[1]);
		return err_errno(e, -r, "start a thread");
	}
	pthread_detach(thread);
	return pair[1];
}
