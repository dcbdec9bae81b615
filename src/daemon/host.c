#include "daemon/host.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/paths.h"
#include "base/strv.h"

static int invalid(const char *text, const char *why, struct err *e)
{
	return err_as(e, ERR_INVALID, "invalid bind address (%.200s): %s", text, why);
}

static bool is_port(const char *s)
{
	size_t n = strspn(s, "0123456789");
	return n > 0 && n < 6 && !s[n] && strtol(s, NULL, 10) > 0 && strtol(s, NULL, 10) < 65536;
}

/* "[::1]:2376", "10.0.0.1:2376", "name", ":2376", "" */
static int parse_tcp(const char *text, const char *rest, bool tls, struct arena *a, struct host *out, struct err *e)
{
	const char *end, *port = tls ? "2376" : "2375";
	size_t n;
	if (*rest == '[') {
		end = strchr(rest, ']');
		if (!end)
			return invalid(text, "the bracket of the IPv6 address is not closed", e);
		n = (size_t)(end - rest) - 1;
		out->name = arena_dupn(a, rest + 1, n);
		end++;
	} else {
		n = strcspn(rest, ":/");
		end = rest + n;
		out->name = arena_dupn(a, rest, n);
	}
	if (*end == ':') {
		port = ++end;
		end += strlen(end);
	}
	if (*end)
		return invalid(text, "expected tcp://HOST:PORT, with an IPv6 address in brackets", e);
	if (!is_port(port))
		return invalid(text, "a port is a number from 1 to 65535", e);
	if (!n)
		out->name = "localhost";
	out->kind = HOST_TCP;
	out->port = arena_dup(a, port);
	return 0;
}

int host_parse(const char *text, bool tls, struct arena *a, struct host *out, struct err *e)
{
	*out = (struct host){0};
	if (str_starts(text, "unix://") || *text == '/') {
		const char *path = *text == '/' ? text : text + strlen("unix://");
		if (*path && *path != '/')
			return invalid(text, "the path of a unix socket is absolute: unix:///run/pontoon/pontoon.sock", e);
		*out = (struct host){.kind = HOST_UNIX, .name = arena_dup(a, *path ? path : PONTOON_DEFAULT_SOCKET)};
	} else if (str_starts(text, "fd://")) {
		*out = (struct host){.kind = HOST_FD, .name = arena_dup(a, text + strlen("fd://"))};
	} else if (str_starts(text, "tcp://")) {
		try(parse_tcp(text, text + strlen("tcp://"), tls, a, out, e));
	} else if (!strstr(text, "://") && strchr(text, ':')) {
		try(parse_tcp(text, text, tls, a, out, e));
	} else {
		return invalid(text, "expected unix:///PATH, tcp://HOST:PORT or fd://", e);
	}
	return a->bad ? err_nomem(e) : 0;
}
