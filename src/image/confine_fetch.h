/* confine_fetch: takes from the fetcher everything but sockets toward registries. It keeps the host's network; its files are copies of a few of /etc; it has a user id
 * of its own, no capability, and a list of system calls. Called once, before the first byte goes out; the library that speaks HTTP has been initialised before. */
#pragma once

#include "base/err.h"

#define FETCH_CA   "/etc/ca.crt" /* the authorities that are trusted, in the view */
#define FETCH_CERT "/etc/client.cert"
#define FETCH_KEY  "/etc/client.key"

/* dir: of the job, which is covered by the view in a name space of its own. domain: "localhost:5000": what is in /etc/pontoon/certs.d and /etc/docker/certs.d below
 * that name counts for it: NAME.crt are authorities, NAME.cert and NAME.key the client's own certificate (*has_certificate; of several the first by name). keep:
 * descriptors 0..keep-1 stay open. Any failure: the process must not go on. */
int confine_fetch(const char *dir, const char *domain, unsigned keep, bool *has_certificate, struct err *e);
