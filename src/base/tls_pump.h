/* tls_pump: a TLS session as a plain socket: moves bytes between the two until both directions have ended. Half-closes pass either way. A library of its own, because it needs
 * GnuTLS: the server and the command line have it, the confined programs have not. */
#pragma once

#include <gnutls/gnutls.h>

/* The handshake of a session whose transport is the non-blocking socket net; at most `ms` milliseconds. 0, or a negative GnuTLS code. */
int tls_handshake(gnutls_session_t s, int net, int ms);
/* Blocks until it is over; both sockets are non-blocking and stay the caller's. */
void tls_pump(gnutls_session_t s, int net, int plain);
