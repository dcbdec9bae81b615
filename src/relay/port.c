#include "relay/port.h"

#include <errno.h>
#include <string.h>

static void port_free(struct port *p)
{
	loop_close_source(&p->relay->loop, &p->source);
	free(p->from);
	free(p);
}

static struct port *port_new(struct relay *r, const struct relay_port *in)
{
	struct port *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	(void)STR_COPY(p->id, in->id);
	p->relay = r;
	p->proto = in->proto;
	p->source.fd = -1;
	if (map_puts(&r->ports, p->id, p) >= 0)
		return p;
	free(p);
	return NULL;
}

int port_put(struct relay *r, const struct relay_port *in, int fd, struct err *e)
{
	struct port *p = map_gets(&r->ports, in->id);
	if (!p && fd >= 0)
		p = port_new(r, in);
	if (!p) {
		if (fd >= 0)
			close(fd);
		return fd >= 0 ? err_nomem(e) : err_set(e, -EPROTO, "the port %s has no socket", in->id);
	}
	if (fd >= 0) {
		loop_close_source(&r->loop, &p->source);
		p->source.fd = fd;
	}
	p->served = false;
	p->target = in->target;
	p->target_port = in->target_port;
	return 0;
}

int port_serve(struct relay *r, const struct relay_port *in, struct err *e)
{
	struct port *p = map_gets(&r->ports, in->id);
	struct relay_from *from = calloc(in->nfrom + 1, sizeof(*from));
	if (!p || !from) {
		free(from);
		return p ? err_nomem(e) : 0; /* it has gone meanwhile */
	}
	if (in->nfrom)
		memcpy(from, in->from, in->nfrom * sizeof(*from));
	free(p->from);
	p->from = from;
	p->nfrom = in->nfrom;
	p->limited = in->limited;
	p->keep_client = in->keep_client;
	p->served = true;
	return 0;
}

void port_del(struct relay *r, const char *id)
{
	struct port *p = map_dels(&r->ports, id);
	if (p)
		port_free(p);
}

void ports_free(struct relay *r)
{
	struct map_entry *m;
	for (size_t i = 0; (m = map_next(&r->ports, &i)); i = 0)
		port_del(r, ((struct port *)m->value)->id);
	map_free(&r->ports);
}
