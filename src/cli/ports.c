#include <ctype.h>
#include <errno.h>

#include "base/ip.h"
#include "cli/cmd.h"

struct range {
	int lo, hi;
};

static int parse_range(const char *s, size_t n, struct range *out)
{
	char t[32], *end;
	if (n == 0 || n >= sizeof(t) || !isdigit((unsigned char)*s))
		return -EINVAL;
	memcpy(t, s, n);
	t[n] = '\0';
	long lo = strtol(t, &end, 10), hi = lo;
	if (*end == '-' && isdigit((unsigned char)end[1]))
		hi = strtol(end + 1, &end, 10);
	if (*end || lo < 0 || hi > 65535 || hi < lo)
		return -EINVAL;
	*out = (struct range){(int)lo, (int)hi};
	return 0;
}

/* "80/tcp" -> protocol and the length before the slash. */
static int protocol(const char *s, char out[static 8], size_t *n, struct err *e)
{
	const char *slash = strchr(s, '/');
	*n = slash ? (size_t)(slash - s) : strlen(s);
	const char *p = slash ? slash + 1 : "tcp";
	size_t k = 0;
	for (; p[k] && k < 7; k++)
		out[k] = (char)tolower((unsigned char)p[k]);
	out[k] = '\0';
	if (p[k] || (!streq(out, "tcp") && !streq(out, "udp") && !streq(out, "sctp")))
		return err_as(e, ERR_INVALID, "invalid proto: %s", p);
	return 0;
}

static void bind_port(json_t *exposed, json_t *bindings, int port, const char *proto, const char *ip, const char *host)
{
	char key[32];
	snprintf(key, sizeof(key), "%d/%s", port, proto);
	json_object_set_new(exposed, key, json_object());
	json_t *list = json_object_get(bindings, key);
	if (!list) {
		list = json_array();
		json_object_set_new(bindings, key, list);
	}
	json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", ip, "HostPort", host));
}

/* "target=80,published=8080,protocol=udp" -> "8080:80/udp"; the mode is one of swarm services: both mean the same here. */
static int short_form(const char *spec, char *out, size_t size, struct err *e)
{
	enum { PUBLISHED, TARGET, PROTOCOL, MODE, N };
	static const char *const keys[N] = {"published", "target", "protocol", "mode"};
	struct {
		const char *v;
		int n;
	} f[N] = {{"", 0}, {"", 0}, {"tcp", 3}, {"host", 4}};
	for (const char *s = spec, *end; s; s = *end ? end + 1 : NULL) {
		end = strchrnul(s, ',');
		const char *v = memchr(s, '=', (size_t)(end - s));
		if (!v)
			return err_as(e, ERR_INVALID, "invalid field: %.*s", (int)(end - s), s);
		int k = 0;
		while (k < N && (strlen(keys[k]) != (size_t)(v - s) || strncasecmp(s, keys[k], (size_t)(v - s)) != 0))
			k++;
		if (k == N)
			return err_as(e, ERR_INVALID, "invalid field key %.*s", (int)(v - s), s);
		f[k].v = v + 1;
		f[k].n = (int)(end - v - 1);
	}
	if (!(f[MODE].n == 4 && strncmp(f[MODE].v, "host", 4) == 0) && !(f[MODE].n == 7 && strncmp(f[MODE].v, "ingress", 7) == 0))
		return err_as(e, ERR_INVALID, "invalid publish mode value (%.*s): must be either 'ingress' or 'host'", f[MODE].n, f[MODE].v);
	int n = snprintf(out, size, "%.*s:%.*s/%.*s", f[PUBLISHED].n, f[PUBLISHED].v, f[TARGET].n, f[TARGET].v, f[PROTOCOL].n, f[PROTOCOL].v);
	return n < 0 || (size_t)n >= size ? err_as(e, ERR_INVALID, "invalid port specification: \"%s\"", spec) : 0;
}

int ports_publish(const char *spec, json_t *exposed, json_t *bindings, struct err *e)
{
	char plain[64];
	if (strchr(spec, '=')) {
		try(short_form(spec, plain, sizeof(plain), e));
		spec = plain;
	}
	char proto[8], ip[64] = "", text[32] = "";
	size_t n;
	struct range inner, outer = {0, 0};
	struct ip parsed;
	try(protocol(spec, proto, &n, e));
	const char *last = memrchr(spec, ':', n), *cport = last ? last + 1 : spec;
	size_t clen = (size_t)(spec + n - cport);
	if (clen == 0)
		return err_as(e, ERR_INVALID, "no port specified: %s<empty>", spec);
	if (parse_range(cport, clen, &inner) < 0 || inner.lo == 0)
		return err_as(e, ERR_INVALID, "invalid containerPort: %.*s", (int)clen, cport);
	bool has_host = false;
	if (last) {
		const char *colon = memrchr(spec, ':', (size_t)(last - spec)), *host = colon ? colon + 1 : spec;
		size_t hlen = (size_t)(last - host);
		if (colon) {
			size_t iplen = (size_t)(colon - spec);
			const char *start = spec;
			if (*spec == '[' && iplen > 2 && spec[iplen - 1] == ']') {
				start++;
				iplen -= 2;
			}
			if (iplen >= sizeof(ip))
				return err_as(e, ERR_INVALID, "invalid IP address: %.*s", (int)iplen, start);
			memcpy(ip, start, iplen);
			ip[iplen] = '\0';
			if (*ip && ip_parse(ip, &parsed) < 0)
				return err_as(e, ERR_INVALID, "invalid IP address: %s", ip);
		}
		has_host = hlen > 0;
		if (has_host && parse_range(host, hlen, &outer) < 0)
			return err_as(e, ERR_INVALID, "invalid hostPort: %.*s", (int)hlen, host);
	}
	int span = inner.hi - inner.lo, ospan = outer.hi - outer.lo;
	if (has_host && span != ospan && span != 0)
		return err_as(e, ERR_INVALID, "invalid ranges specified for container and host Ports: %d-%d and %d-%d", inner.lo, inner.hi, outer.lo, outer.hi);
	for (int i = 0; i <= span; i++) {
		if (has_host && span == 0 && ospan > 0)
			snprintf(text, sizeof(text), "%d-%d", outer.lo, outer.hi);
		else if (has_host)
			snprintf(text, sizeof(text), "%d", outer.lo + i);
		bind_port(exposed, bindings, inner.lo + i, proto, ip, text);
	}
	return 0;
}

int ports_expose(const char *spec, json_t *exposed, struct err *e)
{
	char proto[8], key[32];
	size_t n;
	struct range r;
	try(protocol(spec, proto, &n, e));
	if (parse_range(spec, n, &r) < 0 || r.lo == 0)
		return err_as(e, ERR_INVALID, "invalid range format for --expose: %s", spec);
	for (int i = r.lo; i <= r.hi; i++) {
		snprintf(key, sizeof(key), "%d/%s", i, proto);
		json_object_set_new(exposed, key, json_object());
	}
	return 0;
}
