#include "net/driver.h"

static const struct driver *const drivers[] = {
	[DRIVER_BRIDGE] = &driver_bridge, [DRIVER_HOST] = &driver_host, [DRIVER_NULL] = &driver_null};
static_assert(ARRAY_LEN(drivers) == DRIVER_N, "drivers[] is missing a kind");

const struct driver *driver_of(enum driver_kind k)
{
	return drivers[k];
}

/* host and null: nothing of their own in the kernel. */
static int check_nothing(const struct network *n, struct err *e)
{
	(void)n;
	(void)e;
	return 0;
}

static int want_no_network(
	const struct world *w, const struct netconf *c, const struct network *n, struct kstate *out, struct err *e)
{
	(void)w;
	(void)c;
	(void)n;
	(void)out;
	(void)e;
	return 0;
}

static int want_no_endpoint(
	const struct world *w, const struct netconf *c, const struct endpoint *ep, struct kstate *out, struct err *e)
{
	(void)w;
	(void)c;
	(void)ep;
	(void)out;
	(void)e;
	return 0;
}

const struct driver driver_host = {
	.name = "host", .check = check_nothing, .want_network = want_no_network, .want_endpoint = want_no_endpoint};
const struct driver driver_null = {
	.name = "null", .check = check_nothing, .want_network = want_no_network, .want_endpoint = want_no_endpoint};
