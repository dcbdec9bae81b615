/* The host's resolv.conf and hosts file, and a client's --add-host: read for a container on docker0, on a network of a
 * user's, and on the host. */
#include <stdint.h>
#include <string.h>

#include "net/names.h"

static void write_one(const struct netconf *c, const char *mode, const char *extra)
{
	static const char id[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
			  net[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct world *w = world_new();
	struct arena mem = {0};
	struct container_spec *s = arena_new(&mem, struct container_spec, 1);
	struct network *n = network_new(net, mode, streq(mode, "host") ? DRIVER_HOST : DRIVER_BRIDGE);
	struct endpoint *ep = endpoint_new(id, net);
	if (!w || !s || !n || !ep)
		abort();
	spec_defaults(s);
	s->host.network_mode = mode;
	n->is_default = streq(mode, "bridge");
	ep->joined = true;
	ep->ip4 = ip4(0xac110002);
	if (strv_add(&mem, &s->host.extra_hosts, extra) < 0 || world_put(w, n, NULL) < 0 || world_put(w, ep, NULL) < 0)
		abort();
	struct container *ct = container_new(id, "web", s, &mem);
	if (!ct || world_put(w, ct, NULL) < 0)
		abort();
	OWN(own_buf) struct buf a = {0};
	OWN(own_buf) struct buf b = {0};
	if (names_resolv(w, c, world_container(w, id), &a, NULL) < 0)
		abort();
	(void)names_hosts(w, c, world_container(w, id), &b, NULL);
	world_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	struct netconf c = {.bridge = "docker0",
		.hostname = "thehost",
		.host_resolv = text,
		.host_hosts = text,
		.host_resolv_path = "/etc/resolv.conf"};
	write_one(&c, "bridge", text);
	write_one(&c, "mine", text);
	write_one(&c, "host", text);
	free(text);
	return 0;
}
