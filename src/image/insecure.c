#include "image/insecure.h"

#include "base/ip.h"
#include "base/limits.h"

/* The host without port and brackets. */
static void host_of(const char *domain, char *out, size_t size)
{
	const char *end = strrchr(domain, ':');
	if (*domain == '[') {
		domain++;
		end = strchr(domain, ']');
	} else if (end && strchr(domain, ':') != end) {
		end = NULL; /* an IPv6 address without brackets has no port */
	}
	snprintf(out, size, "%.*s", end ? (int)(end - domain) : (int)strlen(domain), domain);
}

bool insecure_allows(const struct strv *list, const char *domain)
{
	char host[LIMIT_REF + 1];
	struct ip ip;
	struct prefix p;
	host_of(domain, host, sizeof(host));
	bool is_ip = ip_parse(host, &ip) == 0;
	if (streq(host, "localhost") || (is_ip && ip_is_loopback(&ip)))
		return true;
	for (size_t i = 0; i < list->n; i++) {
		if (streq(list->v[i], domain) || streq(list->v[i], host))
			return true;
		if (is_ip && strchr(list->v[i], '/') && prefix_parse(list->v[i], &p) == 0 && prefix_has(&p, &ip))
			return true;
	}
	return false;
}
