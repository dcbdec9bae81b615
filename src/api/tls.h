/* tls: the server's half of mutual TLS. Accepts, shakes hands, and hands the server a plain socket for each client that got through; one without a certificate of the given
 * authority never reaches HTTP. A thread that accepts and one a connection. */
#pragma once

#include "base/err.h"

struct tls_conf { /* PEM texts */
	const char *cert, *key;
	const char *ca; /* NULL: every client is let in */
};

struct tls_server;

/* INVALID with what is wrong of the files. Nothing runs yet. */
int tls_new(const struct tls_conf *t, struct tls_server **out, struct err *e);
/* Serves fd (stays the caller's). give(): takes the plain end of a client's connection, false to refuse it. */
int tls_start(struct tls_server *t, int fd, bool (*give)(void *arg, int sock), void *arg, struct err *e);
void tls_stop(struct tls_server *t); /* ends all connections, waits for their threads */
void tls_free(struct tls_server *t);
