/* links: `--link` on the default bridge, where there is no name server: a line in hosts for the target, and without icc its exposed
 * ports are opened for the linking container. Pure.
 *
 * A container's HostConfig.Links keep the target's id, so that a link survives the target's renaming: "<id>:<alias>:<name at
 * creation>". */
#pragma once

#include "net/want.h"

struct link {
	const char *alias;
	const char *name;               /* of the target; of one that has gone, what it was called when the link was made */
	const struct container *target; /* NULL: it has gone */
};

struct link_port {
	uint8_t proto;
	unsigned first, count;
};

/* As a request writes them, "name", "name:alias", "/name:/own-name/alias", into the form above, in mem; of two with one alias the first
 * counts. INVALID with Docker's texts. */
int links_resolve(const struct world *w, struct container_spec *s, struct arena *mem, struct err *e);
int links_of(const struct world *w, const struct container *c, struct arena *a, struct link **out, size_t *n);
/* The containers that have a link to this one, in the arena. */
const struct container **links_to(const struct world *w, struct arena *a, const char *target, size_t *n);
/* A container starts only when all that it links to run: INTERNAL with Docker's text. */
int links_check_targets(const struct world *w, const struct container *c, struct err *e);
/* Its endpoint on the default bridge; NULL unless it is joined. */
const struct endpoint *links_endpoint(const struct world *w, const char *container);
/* What the target exposes or publishes, each port once. */
int links_ports(const struct container *target, struct arena *a, struct link_port **out, size_t *n);
/* "/name:/own-name/alias", as inspect shows them. */
int links_shown(const struct world *w, const struct container *c, struct arena *a, struct strv *out);
