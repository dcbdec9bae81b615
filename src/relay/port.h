/* port: published ports: their sockets, who may use them, and how much. stream.c and datagram.c carry the bytes. */
#pragma once

#include "relay/relay.h"

struct port {
	char id[RELAY_PORT_ID];
	struct relay *relay;
	struct source source;
	uint8_t proto;
	bool served; /* else it only holds its socket */
	bool limited, keep_client;
	struct ip target;
	uint16_t target_port;
	struct relay_from *from;
	size_t nfrom;
};

int port_put(struct relay *r, const struct relay_port *p, int fd, struct err *e); /* takes fd, also on error; -1: the one that is there */
int port_serve(struct relay *r, const struct relay_port *p, struct err *e);
void port_del(struct relay *r, const char *id);
void ports_free(struct relay *r);
