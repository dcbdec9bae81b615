#include "net/port_asked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "model/port.h"

bool port_run_read(const char *s, struct port_run *out)
{
	char *end;
	unsigned long lo = strtoul(s, &end, 10), hi = lo;
	if (*end == '-')
		hi = strtoul(end + 1, &end, 10);
	*out = (struct port_run){(uint16_t)lo, (uint16_t)hi};
	return (*end == '\0' || *end == '/') && lo && hi <= 65535 && lo <= hi;
}

int port_request_read(const char *key, struct port_request *r)
{
	const char *slash = strchr(key, '/');
	return slash && port_proto_parse(slash + 1, &r->proto) >= 0 && port_run_read(key, &r->ports) ? 0 : -EINVAL;
}

/* What stands in a row stands together. */
static int in_a_row(const void *x, const void *y)
{
	const struct port_long *a = x, *b = y;
	int r = a->proto != b->proto ? a->proto - b->proto : strcmp(a->host_ip, b->host_ip);
	if (!r)
		r = a->step - b->step;
	return r ? r : a->host.first - b->host.first;
}

/* The bindings that name their host ports one by one. */
static size_t collect(const struct host_config *h, struct port_long *v)
{
	const struct json_group *g = h->port_bindings.v;
	size_t n = 0;
	for (size_t i = 0; i < h->port_bindings.n; i++) {
		const struct port_binding *b = g[i].items.v;
		struct port_request r;
		for (size_t k = 0; k < g[i].items.n && port_request_read(g[i].key, &r) >= 0; k++) {
			struct port_long l = {.proto = r.proto, .host_ip = b[k].host_ip ? b[k].host_ip : ""};
			if (!b[k].host_port || !port_run_read(b[k].host_port, &l.host) || l.host.last - l.host.first != r.ports.last - r.ports.first)
				continue;
			l.step = l.host.first - r.ports.first;
			v[n++] = l;
		}
	}
	return n;
}

int port_asked_long(const struct host_config *h, struct arena *a, struct port_long **out, size_t *n)
{
	const struct json_group *g = h->port_bindings.v;
	size_t total = 0, runs = 0, n_long = 0;
	for (size_t i = 0; i < h->port_bindings.n; i++)
		total += g[i].items.n;
	struct port_long *v = arena_new(a, struct port_long, total + 1);
	if (!v)
		return -ENOMEM;
	total = collect(h, v);
	if (total)
		qsort(v, total, sizeof(*v), in_a_row);
	for (size_t i = 0; i < total; i++) {
		struct port_long *l = runs ? &v[runs - 1] : NULL;
		if (l && l->proto == v[i].proto && strcmp(l->host_ip, v[i].host_ip) == 0 && l->step == v[i].step && v[i].host.first <= l->host.last + 1)
			l->host.last = v[i].host.last > l->host.last ? v[i].host.last : l->host.last;
		else
			v[runs++] = v[i];
	}
	for (size_t i = 0; i < runs; i++)
		if (v[i].host.last - v[i].host.first >= LIMIT_PORT_RUN)
			v[n_long++] = v[i];
	*out = v;
	*n = n_long;
	return 0;
}
