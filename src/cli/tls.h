/* tls: the client's half of TLS: a TCP connection as a plain socket. */
#pragma once

#include "base/err.h"

struct tls_client { /* --tls, --tlsverify and the environment of docker */
	bool on;
	bool verify; /* the daemon must show a certificate of the authority, for its name */
	const char *ca; /* NULL: the system's */
	const char *cert, *key; /* NULL: none */
	bool cert_given; /* else its own certificate is shown only if the files are there */
};

/* Whether the files can be used. */
int tls_client_check(const struct tls_client *t, struct err *e);
/* Takes the connected socket fd; the descriptor of its plain side. A thread moves the bytes. */
int tls_client_open(const struct tls_client *t, const char *host, int fd, struct err *e);
