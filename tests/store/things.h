/* things: random worlds whose rules hold (names and addresses are unique), and their text, for comparing. */
#pragma once

#include "base/buf.h"
#include "model/world.h"

static unsigned things_seed = 1;

static inline unsigned roll(unsigned n)
{
	return (unsigned)rand_r(&things_seed) % n;
}

static inline void things_id(char out[static ID_TEXT], unsigned k)
{
	snprintf(out, ID_TEXT, "%08x%056x", k * 2654435761u, k);
}

static inline struct container *things_container(unsigned k, const char *name)
{
	static const char *const bodies[] = {"{}",
		"{\"Cmd\":[\"sleep\",\"1h\"],\"Env\":[\"A=b\",\"\\u00fc=1\"],\"HostConfig\":{\"Memory\":8388608}}",
		"{\"Entrypoint\":[\"/bin/"
		"sh\"],\"Labels\":{\"x\":\"\"},\"HostConfig\":{\"CapAdd\":[\"NET_ADMIN\"],\"PortBindings\":{\"80/"
		"tcp\":[{}]},"
		"\"MaskedPaths\":[],\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2}]},"
		"\"NetworkingConfig\":{\"EndpointsConfig\":{\"mine\":{\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.9\"},"
		"\"Aliases\":[\"a\"]}}}}"};
	const char *body = bodies[k % ARRAY_LEN(bodies)];
	struct arena mem = {0};
	char id[ID_TEXT];
	json_t *j = NULL;
	struct container_spec *spec = arena_new(&mem, struct container_spec, 1);
	if (!spec || json_parse(body, strlen(body), &j, NULL) < 0 || spec_parse(j, &mem, spec, NULL) < 0)
		abort();
	json_decref(j);
	things_id(id, k);
	struct container *c = container_new(id, name, spec, &mem);
	arena_free(&mem);
	return c;
}

static inline struct network *things_network(unsigned k, const char *name)
{
	char id[ID_TEXT];
	things_id(id, k);
	struct network *n = network_new(id, name, roll(4) ? DRIVER_BRIDGE : DRIVER_NULL);
	n->created = 1700000000000000000 + k;
	n->enable_v4 = true;
	prefix_parse("10.0.0.0/24", &n->v4.net);
	n->v4.range = n->v4.net;
	ip_parse("10.0.0.1", &n->v4.gateway);
	n->mtu = (int)roll(2000);
	n->internal = roll(2);
	kvs_set(&n->thing.mem, &n->options, "com.docker.network.bridge.enable_icc", "true");
	return n;
}

static inline void things_join(struct world *w, struct endpoint *ep)
{
	struct ip from, to;
	ip_parse("10.0.0.2", &from);
	ip_parse("10.0.0.254", &to);
	ep->joined = world_address_free(w, ep->network, &from, &to, &ep->ip4);
	if (!ep->joined)
		return;
	random_id(ep->id);
	endpoint_veth_name(ep->id, ep->veth);
	ep->mac = mac_from_ip4(&ep->ip4);
	STR_COPY(ep->ifname, "eth0");
}

static inline const void *things_any(const struct world *w, enum noun noun)
{
	size_t n = world_count(w, noun), k = n ? roll((unsigned)n) : 0;
	const void *t = NULL;
	for (size_t i = 0; n && (t = world_next(w, noun, &i)) && k--;)
		;
	return t;
}

/* Published ports of a container, or none of its any more. */
static inline void things_publish(struct world *w, const struct container *c)
{
	OWN(own_arena) struct arena a = {0};
	static const char *const hosts[] = {"0.0.0.0", "::", "127.0.0.1", "127.0.0.2", "fd00::1"};
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	char id[ID_TEXT];
	size_t n;
	STR_COPY(id, c->id);
	const struct port **had = world_ports_of_container(w, &a, id, &n);
	for (size_t i = 0; i < n; i++)
		if (roll(2))
			world_del(w, NOUN_PORT, had[i]->key, NULL);
	for (unsigned k = roll(6); k; k--) {
		struct port *p = port_new(id, roll(8));
		STR_COPY(p->network, id);
		p->proto = protos[roll(3)];
		p->count = (uint16_t)(1 + (roll(3) ? 0 : roll(20)));
		p->host_port = roll(10) ? (uint16_t)(8000 + roll(60)) : 0;
		p->port = (uint16_t)(80 + roll(9));
		ip_parse(hosts[roll(ARRAY_LEN(hosts))], &p->host_ip);
		ip_parse("10.0.0.9", &p->ip);
		world_del(w, NOUN_PORT, p->key, NULL);
		if (p->host_port && world_port_overlapping(w, p->proto, &p->host_ip, p->host_port, p->count))
			thing_unref(p);
		else
			world_put(w, p, NULL);
	}
}

static inline void things_drop_container(struct world *w, const struct container *c)
{
	OWN(own_arena) struct arena a = {0};
	char id[ID_TEXT];
	size_t n;
	const struct port **ports = world_ports_of_container(w, &a, c->id, &n);
	for (size_t i = 0; i < n; i++)
		world_del(w, NOUN_PORT, ports[i]->key, NULL);
	const struct endpoint **eps = world_endpoints_of_container(w, &a, c->id, &n);
	STR_COPY(id, c->id);
	for (size_t i = 0; i < n; i++)
		world_del(w, NOUN_ENDPOINT, eps[i]->key, NULL);
	world_del(w, NOUN_CONTAINER, id, NULL);
}

/* Two containers trade names, or two endpoints of a network addresses. */
static inline void things_trade(struct world *w)
{
	const struct container *a = things_any(w, NOUN_CONTAINER), *b = things_any(w, NOUN_CONTAINER);
	const struct endpoint *x = things_any(w, NOUN_ENDPOINT), *y = things_any(w, NOUN_ENDPOINT);
	if (a && a != b) {
		struct container *c = container_copy(a), *d = container_copy(b);
		STR_COPY(c->name, b->name);
		STR_COPY(d->name, a->name);
		world_put(w, c, NULL);
		world_put(w, d, NULL);
	}
	if (x && x != y && x->joined && y->joined && streq(x->network, y->network)) {
		struct endpoint *p = endpoint_copy(x), *q = endpoint_copy(y);
		p->ip4 = y->ip4;
		q->ip4 = x->ip4;
		world_put(w, p, NULL);
		world_put(w, q, NULL);
	}
}

static inline void things_image(struct world *w, unsigned k)
{
	static const char config[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"]},"
				     "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
	char id[ID_TEXT], ref[32];
	struct image *img;
	things_id(id, k);
	if (image_new(id, config, &img, NULL) < 0)
		abort();
	img->size = k;
	world_put(w, img, NULL);
	snprintf(ref, sizeof(ref), "i%u:latest", roll(10)); /* often takes the name from another image */
	world_put(w, tag_new(ref, id), NULL);
	snprintf(ref, sizeof(ref), "sha256:%.20s", id);
	world_put(w, layer_new(ref, id + 30, k), NULL);
}

static inline void things_drop_image(struct world *w)
{
	OWN(own_arena) struct arena a = {0};
	const struct image *img = things_any(w, NOUN_IMAGE);
	char id[ID_TEXT];
	size_t n;
	if (!img)
		return;
	STR_COPY(id, img->id);
	const struct tag **tags = world_tags_of_image(w, &a, id, &n);
	for (size_t i = 0; i < n; i++)
		world_del(w, NOUN_TAG, tags[i]->ref, NULL);
	world_del(w, NOUN_IMAGE, id, NULL);
}

static inline void things_volume(struct world *w, unsigned k)
{
	const struct volume *old = roll(3) ? NULL : things_any(w, NOUN_VOLUME);
	char name[32];
	snprintf(name, sizeof(name), "v%u", k);
	struct volume *v = volume_new(old ? old->name : name);
	v->created = 1700000000000000000 + k;
	if (roll(2))
		kvs_set(&v->thing.mem, &v->labels, "k", name);
	if (roll(2))
		kvs_set(&v->thing.mem, &v->options, "device", "\u00fc \"x\"");
	world_put(w, v, NULL);
	old = roll(3) ? NULL : things_any(w, NOUN_VOLUME);
	if (old) {
		snprintf(name, sizeof(name), "%.31s", old->name);
		world_del(w, NOUN_VOLUME, name, NULL);
	}
}

static inline void things_change(struct world *w)
{
	static unsigned k;
	char name[32];
	const struct container *c = things_any(w, NOUN_CONTAINER);
	const struct network *n = things_any(w, NOUN_NETWORK);
	const struct endpoint *ep = things_any(w, NOUN_ENDPOINT);
	struct container *cc;
	struct network *nn;
	struct endpoint *ee;
	snprintf(name, sizeof(name), "t%u", ++k);
	switch (roll(13)) {
	case 0:
		nn = things_network(k, name);
		nn->seq = world_next_seq(w);
		world_put(w, nn, NULL);
		break;
	case 1:
	case 2:
		cc = things_container(k, name);
		cc->seq = world_next_seq(w);
		world_put(w, cc, NULL);
		break;
	case 3:
	case 4:
		if (!c || !n || world_endpoint(w, c->id, n->id))
			break;
		ee = endpoint_new(c->id, n->id);
		if (roll(3))
			things_join(w, ee);
		world_put(w, ee, NULL);
		break;
	case 5:
		if (!ep)
			break;
		ee = endpoint_copy(ep);
		ee->joined = false;
		world_put(w, ee, NULL);
		break;
	case 6:
		if (!c)
			break;
		cc = container_copy(c);
		cc->state = (enum container_state)roll(STATE_N);
		cc->exit_code = roll(256);
		STR_COPY(cc->error, "it \"failed\"\n");
		world_put(w, cc, NULL);
		break;
	case 7:
		things_trade(w);
		break;
	case 8:
		things_image(w, k);
		break;
	case 9:
	case 10:
		if (c)
			things_publish(w, c);
		break;
	case 11:
		things_volume(w, k);
		break;
	default:
		if (roll(2))
			things_drop_image(w);
		else if (c)
			things_drop_container(w, c);
	}
}

static inline void things_line(struct buf *b, const char *what, const char *key, int64_t n, json_t *j)
{
	char *text = json_text(j);
	json_decref(j);
	buf_printf(b, "%s %s %lld %s\n", what, key, (long long)n, text ? text : "?");
	free(text);
}

/* Everything that the store keeps, as text. The caller frees. */
static inline char *things_text(const struct world *w)
{
	struct buf b = {0};
	const struct network *n;
	const struct container *c;
	const struct endpoint *ep;
	const struct image *img;
	const struct tag *t;
	const struct layer *l;
	const struct port *p;
	const struct volume *v;
	for (size_t i = 0; (n = world_next(w, NOUN_NETWORK, &i));) {
		buf_printf(&b, "%s %s %lld ", n->name, driver_kind_name(n->driver), (long long)n->created);
		things_line(&b, "network", n->id, n->seq, network_to_json(n));
	}
	for (size_t i = 0; (c = world_next(w, NOUN_CONTAINER, &i));) {
		buf_printf(&b, "%s %s ", c->name, c->image);
		things_line(&b, "container", c->id, c->seq, spec_to_json(c->spec));
		things_line(&b, "state", c->id, 0, container_state_to_json(c));
	}
	for (size_t i = 0; (ep = world_next(w, NOUN_ENDPOINT, &i));)
		things_line(&b, "endpoint", ep->key, 0, endpoint_to_json(ep));
	for (size_t i = 0; (img = world_next(w, NOUN_IMAGE, &i));)
		buf_printf(&b, "image %s %lld %lld %s\n", img->id, (long long)img->size, (long long)img->stored,
			img->config_text);
	for (size_t i = 0; (t = world_next(w, NOUN_TAG, &i));)
		buf_printf(&b, "tag %s %s\n", t->ref, t->image);
	for (size_t i = 0; (l = world_next(w, NOUN_LAYER, &i));)
		buf_printf(&b, "layer %s %s %lld\n", l->diff_id, l->dir, (long long)l->size);
	for (size_t i = 0; (p = world_next(w, NOUN_PORT, &i));) {
		char host[IP_TEXT], ip[IP_TEXT];
		buf_printf(&b, "port %s %s %s %s:%u+%u %s:%u\n", p->key, p->network, port_proto_name(p->proto),
			ip_format(&p->host_ip, host), p->host_port, p->count, ip_format(&p->ip, ip), p->port);
	}
	for (size_t i = 0; (v = world_next(w, NOUN_VOLUME, &i));)
		things_line(&b, "volume", v->name, 0, volume_to_json(v));
	return buf_steal(&b);
}
