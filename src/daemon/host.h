/* host: what -H names. Pure. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum host_kind { HOST_UNIX, HOST_TCP, HOST_FD };

struct host {
	enum host_kind kind;
	const char *name; /* the path; the host to bind ("" = every address); what of the passed sockets: "" or "*" = all, a number from 3, a name */
	const char *port; /* of TCP, a number */
};

/* unix:///path, unix:// (default socket), /path, tcp://[host][:port], host:port, fd://[name|number|*]. INVALID `invalid bind address (x): ...`. */
int host_parse(const char *text, bool tls, struct arena *a, struct host *out, struct err *e);
