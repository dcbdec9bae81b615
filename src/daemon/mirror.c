#include "daemon/mirror.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

int mirror_parse(const char *text, struct arena *a, const char **out, struct err *e)
{
	const char *host = strstr(text, "://");
	if (!host || !host[3] || strpbrk(text, " \t\r\n\"<>\\^`{|}"))
		return err_as(e, ERR_INVALID, "invalid mirror: \"%s\" is not a valid URI", text);
	bool tls = str_starts(text, "https://");
	if (!tls && !str_starts(text, "http://"))
		return err_as(e, ERR_INVALID, "invalid mirror: unsupported scheme \"%.*s\" in \"%s\"", (int)(host - text), text, text);
	host += 3;
	size_t n = strcspn(host, "/?#");
	if (memchr(host, '@', n))
		return err_as(e, ERR_INVALID, "invalid mirror: username/password not allowed in URI \"%s://xxxxx@%s\"", tls ? "https" : "http", strchr(host, '@') + 1);
	if (host[n] && !streq(host + n, "/"))
		return err_as(e, ERR_INVALID, "invalid mirror: path, query, or fragment at end of the URI \"%s\"", text);
	if (n == 0 || n > LIMIT_REF)
		return err_as(e, ERR_INVALID, "invalid mirror: \"%s\" is not a valid URI", text);
	*out = arena_printf(a, "%s%s", text, host[n] ? "" : "/");
	return *out ? 0 : err_nomem(e);
}
