/* portmap: which ports of the host lead to a container's published ones. Pure: reads the world, changes the given fork. */
#pragma once

#include "net/port_asked.h"
#include "net/want.h"

/* A port of the host that the kernel said another program has. */
struct port_busy {
	uint8_t proto;
	struct ip host_ip;
	uint16_t port;
};

/* The last ephemeral port given out, by the first address that it was for: the search goes on after it. */
#define PORT_CURSORS 16
struct port_cursor {
	struct {
		struct ip ip;
		uint16_t last;
	} v[PORT_CURSORS];
	size_t n;
};

struct port_facts {
	uint16_t first, last;        /* the host's ephemeral ports */
	const struct port_run *kept; /* reserved ones among them: given only to who asks for them by number */
	size_t nkept;
	bool host_v6; /* sockets can listen at [::] */
	const struct port_busy *busy;
	size_t nbusy;
	struct port_cursor *cursor;
};

/* Makes the container's published ports be what its configuration and its joined endpoints ask for: after a join, a
 * change of endpoints, or a change of the configuration. What is published already keeps its number. Docker's texts:
 * "driver failed programming external connectivity on endpoint c (ID): Bind for 0.0.0.0:80 failed: port is already
 * allocated", "... all ports are allocated". */
int portmap_publish(struct world *fork, const struct netconf *c, const struct port_facts *f, const char *container,
	struct err *e);
int portmap_release(struct world *fork, const char *container, struct err *e);
/* Did the container get this port by our choice, not by its number? */
bool portmap_has_choice(const struct container *c, uint8_t proto, uint16_t host_port);
/* Does anything of the container want publishing? Then port_facts are needed. */
bool portmap_wants(const struct container *c);
