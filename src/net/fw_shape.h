/* fw_shape: the text of a rule with blanks: filled in to want it, matched to recognise it. For fw.c, which has the shapes of the host and of
 * networks, and fw_port.c, which has those of ports. Pure. */
#pragma once

#include "net/fw.h"

/* %D device, %C the same in a comment, %N subnet, %S the source that outgoing traffic gets, %T an interface that may
 * reach containers directly, %M a mark. `host` rows stand once, those with %T once an interface, those of `when` PORT_... once a
 * published port, LINK once a port that a link opens, the others once a network. Of a port: %A the container's address, %P its port or ports there, %H the
 * host's address (of a link: that of the container that has it), %O the port or ports there, %Q the protocol, %L where DNAT leads. */
enum when { ALWAYS, PROXY_ON, PROXY_OFF, PORT_OPEN, PORT_ANYWHERE, PORT_AT, PORT_ANYWHERE_OFF, PORT_AT_OFF, PORT_LOOPBACK, PORT_LOCAL, PORT_LOCAL_AT, PORT_LAN, PORT_LAN_AT, LINK, ON_LIMITED, ON_LINK_FROM, ON_MARK, ON_HAIRPIN, ON_RETURN, ON_ISOLATED, ON_ISOLATED_OFF, ON_MASQ,
	ON_SNAT, ON_ICC, ON_NO_ICC, ON_EXTERNAL, ON_INTERNAL, ON_RAW, ON_TRUSTED, ON_ROUTED, ON_CLOSED, ON_UNPROTECTED };
enum { F4 = 1 << FW_V4, F6 = 1 << FW_V6 };

struct shape {
	int families;
	enum fw_table table;
	const char *chain;
	const char *text;
	int cls, k;
	bool host;
	enum when when;
};

#define FW_LAN "DOCKER-LAN"

/* What stands at the %s of a shape. */
struct blanks {
	char device[KIFNAME], trusted[KIFNAME];
	const char *mark;
	struct prefix subnet;
	struct ip source;
	char proto[8];
	struct ip ip, host;
	unsigned port, host_port, count;
};

/* What a network has of them. */
struct blanks fw_blanks_of(const struct network *n, enum fw_family f);
/* Appends the rule. */
int fw_shape_want(const struct shape *s, enum fw_family f, struct unit u, struct fw_rank rank, const struct blanks *v, struct kstate *out, struct err *e);
/* Is the text (of iptables-save, without "-A CHAIN ") one of the shape's? Then *v is what stood at its blanks. */
bool fw_shape_matches(const struct shape *s, enum fw_family f, const char *text, struct blanks *v);
bool fw_shape_is_port(const struct shape *s);

/* fw_port.c: the shapes, and the part of the host's skeleton that judges those with scope lan. */
const struct shape *fw_port_shapes(size_t *n);
int fw_port_want_host(const struct world *w, const struct netconf *c, enum fw_family f, struct kstate *out, struct err *e);
struct fw_rank fw_port_rank(const struct shape *s, const struct network *n, const struct blanks *v);
/* A drop for a loopback address names nothing but the port: it is ours while that is published, or claimed (fw_port_claims). */
bool fw_port_is_known(const struct world *known, const struct strv *marked, const struct blanks *v, struct arena *a);
