/* names: the text of hosts, hostname and resolv.conf of a container. Pure. */
#pragma once

#include "base/buf.h"
#include "base/relay_proto.h"
#include "net/want.h"

int names_hosts(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct err *e);
int names_resolv(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct err *e);
int names_hostname(
	const struct world *w, const struct netconf *conf, const struct container *c, struct buf *out, struct err *e);
/* What an endpoint of a user-defined network is called there, the name first: `name`, aliases, short id, hostname. */
int names_of(const struct netconf *conf, const struct container *c, const struct endpoint *ep, struct arena *a, struct strv *out);
/* True if the container asks the embedded server: it is on a user-defined network. */
bool names_embedded(const struct world *w, const struct container *c);
/* What the embedded server is told: a network's names, and how a container sees names. In the arena. */
int names_zone(const struct world *w, const struct netconf *conf, const struct network *n, struct arena *a,
	struct relay_zone *out, struct err *e);
int names_view(const struct world *w, const struct netconf *conf, const struct container *c, struct arena *a,
	struct relay_view *out, struct err *e);
/* Hostname as the UTS namespace gets it: configured, else the first 12 of the id, else (host mode) the host's. */
const char *names_uts(const struct netconf *conf, const struct container *c, struct arena *a);
/* --add-host "name:ip" / "name=ip" / host-gateway; INVALID with Docker's texts. */
int names_check_extra_host(const char *s, struct err *e);
