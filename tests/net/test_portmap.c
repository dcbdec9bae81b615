#include "fixture.h"
#include "net/portmap.h"

struct lab {
	struct world *w;
	struct netconf conf;
	struct port_cursor cursor;
	struct port_facts facts;
	struct arena a;
};

static struct lab lab_open(void)
{
	struct lab l = {.w = fix_world(), .conf = fix_conf(), .facts = {.first = 32768, .last = 32799, .host_v6 = true}};
	struct network *n = fix_network('a', "six", "172.18.0.0/16", 10);
	n->enable_v6 = true;
	n->v6.net = n->v6.range = fix_prefix("fd00:1::/64");
	n->v6.gateway = fix_ip("fd00:1::1");
	fix_put(l.w, n);
	n = fix_network('b', "routed", "172.19.0.0/16", 11);
	n->gw_mode4 = GW_ROUTED;
	fix_put(l.w, n);
	n = fix_network('c', "inside", "172.20.0.0/16", 12);
	n->internal = true;
	fix_put(l.w, n);
	n = fix_network('e', "mixed", "172.21.0.0/16", 13);
	n->enable_v6 = true;
	n->v6.net = n->v6.range = fix_prefix("fd00:2::/64");
	n->v6.gateway = fix_ip("fd00:2::1");
	n->gw_mode4 = GW_ROUTED;
	fix_put(l.w, n);
	n = fix_network('f', "only6", "fd00:3::/64", 14);
	fix_put(l.w, n);
	n = fix_network('7', "bound", "172.22.0.0/16", 15);
	kvs_set(&n->thing.mem, &n->options, "com.docker.network.bridge.host_binding_ipv4", "192.0.2.7");
	fix_put(l.w, n);
	n = fix_network('0', "bound6", "172.23.0.0/16", 16);
	kvs_set(&n->thing.mem, &n->options, "com.docker.network.bridge.host_binding_ipv4", "fd00::7");
	fix_put(l.w, n);
	n = fix_network('2', "mapped", "172.24.0.0/16", 17);
	kvs_set(&n->thing.mem, &n->options, "com.docker.network.bridge.host_binding_ipv4", "::ffff:192.0.2.7");
	fix_put(l.w, n);
	n = fix_network('3', "crossed", "172.25.0.0/16", 18);
	n->enable_v6 = true;
	n->v6.net = n->v6.range = fix_prefix("fd00:4::/64");
	n->v6.gateway = fix_ip("fd00:4::1");
	n->gw_mode6 = GW_ROUTED;
	fix_put(l.w, n);
	n = fix_network('4', "routed6", "172.26.0.0/16", 19);
	n->enable_v6 = true;
	n->v6.net = n->v6.range = fix_prefix("fd00:5::/64");
	n->v6.gateway = fix_ip("fd00:5::1");
	n->gw_mode4 = n->gw_mode6 = GW_ROUTED;
	fix_put(l.w, n);
	return l;
}

static void lab_close(struct lab *l)
{
	world_free(l->w);
	arena_free(&l->a);
}

/* A joined container with these PortBindings. `more`: further members of the body. */
static void container(struct lab *l, char id, const char *mode, const char *bindings, const char *more)
{
	struct arena mem = {0};
	struct err e = {0};
	char text[ID_TEXT], ids[4][ID_TEXT], name[2] = {id};
	json_t *j = NULL;
	const char *body = arena_printf(&l->a, "{\"HostConfig\":{\"NetworkMode\":\"%s\",\"PortBindings\":%s}%s}", mode, bindings, more);
	struct container_spec *s = arena_new(&mem, struct container_spec, 1);
	if (json_parse(body, strlen(body), &j, &e) < 0 || spec_parse(j, &mem, s, &e) < 0) {
		printf("# %s: %s\n", body, e.msg);
		abort();
	}
	json_decref(j);
	const struct container *ct = fix_container(l->w, id, name, s, &mem);
	fix_id(text, id);
	for (int i = 0; i < 4; i++) {
		fix_id(ids[i], (char)('1' + i));
		ids[i][0] = id;
	}
	if (join_configure(l->w, ct, 51, &e) < 0 || join_all(l->w, &l->conf, text, ids, 4, &e) < 0)
		abort();
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "tcp 0.0.0.0:8080 172.17.0.2:80" a run, sorted, or the error. In a fork, merged on success. */
static const char *publish(struct lab *l, char id)
{
	char text[ID_TEXT], h[IP_TEXT], c[IP_TEXT];
	struct err e = {0};
	const char *lines[64], *out = "";
	size_t n;
	struct world *f = world_fork(l->w);
	fix_id(text, id);
	l->facts.cursor = &l->cursor;
	if (portmap_publish(f, &l->conf, &l->facts, text, &e) < 0) {
		world_free(f);
		return arena_dup(&l->a, e.msg);
	}
	world_merge(l->w, f);
	const struct port **v = world_ports_of_container(l->w, &l->a, text, &n);
	for (size_t i = 0; i < n && i < ARRAY_LEN(lines); i++) {
		const char *count = v[i]->count > 1 ? arena_printf(&l->a, "+%u", v[i]->count) : "";
		lines[i] = arena_printf(&l->a, "%s %s:%u%s %s:%u", port_proto_name(v[i]->proto), ip_format(&v[i]->host_ip, h), v[i]->host_port, count, ip_format(&v[i]->ip, c), v[i]->port);
	}
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 0; i < n; i++)
		out = arena_printf(&l->a, "%s%s%s", out, i ? "; " : "", lines[i]);
	return out;
}

#define FAILED "driver failed programming external connectivity on endpoint 1 (1111111111111111111111111111111111111111111111111111111111111111): "

TEST(grammar)
{
	static const struct {
		const char *mode, *bindings, *more, *want;
	} rows[] = {
		{"bridge", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:8080 172.17.0.2:80; tcp :::8080 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:8080 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"192.0.2.1\",\"HostPort\":\"8080\"},{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"}]}", "",
			"tcp 127.0.0.1:8080 172.17.0.2:80; tcp 192.0.2.1:8080 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"::ffff:192.0.2.1\",\"HostPort\":\"8080\"}]}", "", "tcp 192.0.2.1:8080 172.17.0.2:80"},
		{"bridge", "{\"53/UDP\":[{\"HostPort\":\"53\"}],\"53/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"53\"}]}", "",
			"tcp ::1:53 172.17.0.2:53; udp 0.0.0.0:53 172.17.0.2:53; udp :::53 172.17.0.2:53"},
		{"six", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:8080 172.18.0.2:80; tcp :::8080 fd00:1::2:80"},
		{"only6", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:8080 fd00:3::2:80; tcp :::8080 fd00:3::2:80"},
		/* nothing leads to an internal network; without a network there is nothing to lead to */
		{"inside", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", ""},
		{"none", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", ""},
		/* mode routed: opened, whatever host port was asked for; once */
		{"routed", "{\"80/tcp\":[{\"HostPort\":\"8080\"},{\"HostPort\":\"8081\"}],\"81/tcp\":[],\"83/tcp\":[{}]}", "",
			"tcp 0.0.0.0:0 172.19.0.2:83; tcp 0.0.0.0:0+2 172.19.0.2:80"},
		{"mixed", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:0 172.21.0.2:80; tcp :::8080 fd00:2::2:80"},
		{"bound", "{\"80/tcp\":[{\"HostPort\":\"8080\"}],\"81/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8081\"}]}", "",
			"tcp 0.0.0.0:8081 172.22.0.2:81; tcp 192.0.2.7:8080 172.22.0.2:80"},
		/* where the network says; an IPv4 address in IPv6's clothes is one */
		{"bound6", "{\"80/tcp\":[{\"HostPort\":\"8080\"}],\"81/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8081\"}]}", "",
			"tcp 127.0.0.1:8081 172.23.0.2:81; tcp fd00::7:8080 172.23.0.2:80"},
		{"mapped", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "tcp 192.0.2.7:8080 172.24.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"::ffff:0.0.0.0\",\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:8080 172.17.0.2:80"},
		/* one family routed, the other not; both */
		{"crossed", "{\"80/tcp\":[{\"HostPort\":\"8080\"}],\"81/udp\":[{\"HostIp\":\"fd00::5\",\"HostPort\":\"8081\"}]}", "",
			"tcp 0.0.0.0:8080 172.25.0.2:80; tcp :::0 fd00:4::2:80; udp :::0 fd00:4::2:81"},
		{"crossed", "{\"80/tcp\":[{}]}", "", "tcp 0.0.0.0:32768 172.25.0.2:80; tcp :::0 fd00:4::2:80"},
		{"routed6", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "tcp 0.0.0.0:0 172.26.0.2:80; tcp :::0 fd00:5::2:80"},
		/* to a container of the other family: the proxy's, at one address, too */
		{"only6", "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"}]}", "", "tcp 127.0.0.1:8080 fd00:3::2:80"},
		{"bridge", "{\"80/sctp\":[{\"HostIp\":\"::\",\"HostPort\":\"8080\"}]}", "", "sctp :::8080 172.17.0.2:80"},
		/* in a row: one run; not in step: two */
		{"bridge", "{\"81/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8081\"}],\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"}],\"82/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"9000\"}]}", "",
			"tcp 0.0.0.0:8080+2 172.17.0.2:80; tcp 0.0.0.0:9000 172.17.0.2:82"},
		{"bridge", "{\"8000-17999/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8000-17999\"}]}", "", "tcp 0.0.0.0:8000+10000 172.17.0.2:8000"},
		/* ephemeral: from the beginning, the same in both families and at several addresses; two for two equal wishes */
		{"bridge", "{\"80/tcp\":[{}]}", "", "tcp 0.0.0.0:32768 172.17.0.2:80; tcp :::32768 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[]}", "", "tcp 0.0.0.0:32768 172.17.0.2:80; tcp :::32768 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":null}", "", "tcp 0.0.0.0:32768 172.17.0.2:80; tcp :::32768 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostPort\":\"0\"},{}]}", "",
			"tcp 0.0.0.0:32768 172.17.0.2:80; tcp 0.0.0.0:32769 172.17.0.2:80; tcp :::32768 172.17.0.2:80; tcp :::32769 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"192.0.2.1\"},{\"HostIp\":\"192.0.2.2\"}]}", "", "tcp 192.0.2.1:32768 172.17.0.2:80; tcp 192.0.2.2:32768 172.17.0.2:80"},
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\"},{\"HostIp\":\"127.0.0.1\"}]}", "", "tcp 0.0.0.0:32768 172.17.0.2:80; tcp 127.0.0.1:32769 172.17.0.2:80"},
		/* any one of a range; exact ones first */
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8000-8002\"}],\"81/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8000\"}]}", "",
			"tcp 0.0.0.0:8000 172.17.0.2:81; tcp 0.0.0.0:8001 172.17.0.2:80"},
		{"bridge", "{\"80-82/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8000-8001\"}]}", "", FAILED "all ports are allocated"},
		/* -P: what is exposed and not bound */
		{"bridge", "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"80\"}]}", ",\"ExposedPorts\":{\"80/tcp\":{},\"81/udp\":{}}", "tcp 0.0.0.0:80 172.17.0.2:80"},
		/* conflicts */
		{"bridge", "{\"80/tcp\":[{\"HostPort\":\"80\"},{\"HostPort\":\"80\"}]}", "", FAILED "Bind for 0.0.0.0:80 failed: port is already allocated"},
		{"bridge", "{\"80/tcp\":[{\"HostPort\":\"80\"}],\"81/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"80\"}]}", "", FAILED "Bind for 127.0.0.1:80 failed: port is already allocated"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct lab l = lab_open();
		container(&l, '1', rows[i].mode, rows[i].bindings, rows[i].more);
		CHECK_STR(publish(&l, '1'), rows[i].want);
		lab_close(&l);
	}
}

TEST(without_what_the_host_may_lack)
{
	struct lab l = lab_open();
	l.conf.userland_proxy = false;
	container(&l, '1', "bridge", "{\"80/tcp\":[{\"HostPort\":\"8080\"},{\"HostIp\":\"fd00::9\",\"HostPort\":\"8081\"}]}", "");
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:8080 172.17.0.2:80");
	container(&l, '2', "six", "{\"80/tcp\":[{\"HostPort\":\"80\"}]}", "");
	CHECK_STR(publish(&l, '2'), "tcp 0.0.0.0:80 172.18.0.2:80; tcp :::80 fd00:1::2:80");
	l.facts.host_v6 = false;
	CHECK_STR(publish(&l, '2'), "tcp 0.0.0.0:80 172.18.0.2:80");
	l.facts.host_v6 = true;
	container(&l, '3', "only6", "{\"80/tcp\":[{\"HostPort\":\"81\"},{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"82\"}]}", "");
	CHECK_STR(publish(&l, '3'), "tcp :::81 fd00:3::2:80");
	container(&l, '4', "crossed", "{\"80/tcp\":[{\"HostPort\":\"83\"}]}", "");
	CHECK_STR(publish(&l, '4'), "tcp 0.0.0.0:83 172.25.0.2:80; tcp :::0 fd00:4::2:80");
	container(&l, '5', "bound6", "{\"80/tcp\":[{\"HostPort\":\"84\"}]}", "");
	CHECK_STR(publish(&l, '5'), "");
	lab_close(&l);
}

TEST(who_was_first)
{
	struct lab l = lab_open();
	container(&l, '2', "bridge", "{\"80/tcp\":[{\"HostIp\":\"192.0.2.1\",\"HostPort\":\"8080\"}],\"81/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"100-110\"}]}", "");
	CHECK_STR(publish(&l, '2'), "tcp 127.0.0.1:100 172.17.0.2:81; tcp 192.0.2.1:8080 172.17.0.2:80");
	container(&l, '1', "six", "{\"80/tcp\":[{\"HostIp\":\"192.0.2.2\",\"HostPort\":\"8080\"},{\"HostIp\":\"::\",\"HostPort\":\"8080\"}],\"80/udp\":[{\"HostPort\":\"8080\"}]}", "");
	CHECK_STR(publish(&l, '1'), "tcp 192.0.2.2:8080 172.18.0.2:80; tcp :::8080 fd00:1::2:80; udp 0.0.0.0:8080 172.18.0.2:80; udp :::8080 fd00:1::2:80");
	container(&l, '3', "six", "{\"80/tcp\":[{\"HostIp\":\"fd00::5\",\"HostPort\":\"8080\"}]}", "");
	CHECK(strstr(publish(&l, '3'), "Bind for [fd00::5]:8080 failed: port is already allocated"));
	container(&l, '4', "bridge", "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "");
	CHECK(strstr(publish(&l, '4'), "Bind for 0.0.0.0:8080 failed: port is already allocated"));
	container(&l, '5', "bridge", "{\"1-200/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"1-200\"}]}", "");
	CHECK(strstr(publish(&l, '5'), "Bind for 0.0.0.0:100 failed: port is already allocated"));
	struct err e = {0};
	char id[ID_TEXT];
	fix_id(id, '2');
	CHECK_INT(portmap_release(l.w, id, &e), 0);
	CHECK_STR(publish(&l, '5'), "tcp 0.0.0.0:1+200 172.17.0.4:1");
	lab_close(&l);
}

/* What another program has: the next of a range, and of an exact one there is no next. */
TEST(busy_ports)
{
	struct lab l = lab_open();
	struct port_busy busy[] = {{IPPROTO_TCP, fix_ip("0.0.0.0"), 8000}, {IPPROTO_TCP, fix_ip("127.0.0.1"), 8001}, {IPPROTO_TCP, fix_ip("::"), 8002}, {IPPROTO_UDP, fix_ip("0.0.0.0"), 8003}};
	l.facts.busy = busy;
	l.facts.nbusy = ARRAY_LEN(busy);
	container(&l, '1', "bridge", "{\"80/tcp\":[{\"HostPort\":\"8000-8009\"}]}", "");
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:8003 172.17.0.2:80; tcp :::8003 172.17.0.2:80"); /* in both families the same */
	container(&l, '2', "bridge", "{\"80/tcp\":[{\"HostIp\":\"127.0.0.2\",\"HostPort\":\"8000-8009\"}],\"81/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"8000-8009\"}]}", "");
	CHECK_STR(publish(&l, '2'), "tcp 127.0.0.2:8001 172.17.0.3:80; tcp ::1:8000 172.17.0.3:81");
	container(&l, '4', "bridge", "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8000-8001\"}]}", "");
	CHECK(strstr(publish(&l, '4'), "all ports are allocated"));
	lab_close(&l);
}

/* The search goes on after the last one given out, wraps, leaves out what is reserved, what is taken and what is busy, and ends. */
TEST(ephemeral_ports)
{
	struct lab l = lab_open();
	struct port_run kept[] = {{32769, 32770}, {32780, 32798}};
	struct port_busy busy[] = {{IPPROTO_TCP, fix_ip("0.0.0.0"), 32772}, {IPPROTO_UDP, fix_ip("0.0.0.0"), 32773}};
	l.facts.kept = kept;
	l.facts.nkept = ARRAY_LEN(kept);
	l.facts.busy = busy;
	l.facts.nbusy = ARRAY_LEN(busy);
	container(&l, '1', "bridge", "{\"80-82/tcp\":[{\"HostIp\":\"0.0.0.0\"}]}", "");
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:32768 172.17.0.2:80; tcp 0.0.0.0:32771 172.17.0.2:81; tcp 0.0.0.0:32773 172.17.0.2:82");
	/* again: the same */
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:32768 172.17.0.2:80; tcp 0.0.0.0:32771 172.17.0.2:81; tcp 0.0.0.0:32773 172.17.0.2:82");
	char id[ID_TEXT];
	struct err e = {0};
	fix_id(id, '1');
	portmap_release(l.w, id, &e);
	container(&l, '2', "bridge", "{\"1-7/tcp\":[{\"HostIp\":\"0.0.0.0\"}]}", "");
	/* 74 to 79, then 99, then from the beginning */
	CHECK_STR(publish(&l, '2'),
		"tcp 0.0.0.0:32774 172.17.0.3:1; tcp 0.0.0.0:32775 172.17.0.3:2; tcp 0.0.0.0:32776 172.17.0.3:3; tcp 0.0.0.0:32777 172.17.0.3:4; "
		"tcp 0.0.0.0:32778 172.17.0.3:5; tcp 0.0.0.0:32779 172.17.0.3:6; tcp 0.0.0.0:32799 172.17.0.3:7");
	container(&l, '3', "bridge", "{\"1-3/tcp\":[{\"HostIp\":\"127.0.0.1\"}]}", "");
	CHECK_STR(publish(&l, '3'), "tcp 127.0.0.1:32768 172.17.0.4:1; tcp 127.0.0.1:32771 172.17.0.4:2; tcp 127.0.0.1:32773 172.17.0.4:3");
	container(&l, '4', "bridge", "{\"1/tcp\":[{\"HostIp\":\"0.0.0.0\"}]}", "");
	CHECK(strstr(publish(&l, '4'), "all ports are allocated"));
	container(&l, '6', "bridge", "{\"1/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"32768-32772\"}]}", "");
	CHECK_STR(publish(&l, '6'), "tcp 0.0.0.0:32769 172.17.0.6:1"); /* who names it may have a reserved one */
	lab_close(&l);
}

/* Another gateway: the same numbers, other addresses; what stays is the same thing. */
TEST(moves_with_the_gateway)
{
	struct lab l = lab_open();
	struct err e = {0};
	char id[ID_TEXT], ep[ID_TEXT], net[ID_TEXT];
	size_t n;
	container(&l, '1', "bridge", "{\"80/tcp\":[{\"HostPort\":\"8080\"}],\"81/tcp\":[{\"HostIp\":\"0.0.0.0\"}]}", "");
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:32768 172.17.0.2:81; tcp 0.0.0.0:8080 172.17.0.2:80; tcp :::8080 172.17.0.2:80");
	fix_id(id, '1');
	fix_id(net, 'a');
	fix_id(ep, '4');
	CHECK_INT(join_connect(l.w, world_container(l.w, id), world_network(l.w, net), NULL, &e), 0);
	CHECK_INT(join_add(l.w, id, net, ep, &e), 0);
	/* both families: better than docker0 */
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:32768 172.18.0.2:81; tcp 0.0.0.0:8080 172.18.0.2:80; tcp :::8080 fd00:1::2:80");
	struct world *f = world_fork(l.w);
	struct change *ch;
	CHECK_INT(portmap_publish(f, &l.conf, &l.facts, id, &e), 0);
	CHECK(world_changes(f, &l.a, &ch, &n) == 0 && n == 0);
	world_free(f);
	CHECK_INT(join_disconnect(l.w, world_container(l.w, id), world_network(l.w, net), &e), 0);
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:32768 172.17.0.2:81; tcp 0.0.0.0:8080 172.17.0.2:80; tcp :::8080 172.17.0.2:80");
	lab_close(&l);
}

TEST(published_all)
{
	struct lab l = lab_open();
	const char *body = "{\"HostConfig\":{\"PublishAllPorts\":true,\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"80\"}]}},\"ExposedPorts\":{\"80/tcp\":{},\"82-83/tcp\":{},\"81/udp\":{}}}";
	struct arena mem = {0};
	json_t *j = NULL;
	struct err e = {0};
	char id[ID_TEXT], ids[1][ID_TEXT];
	struct container_spec *s = arena_new(&mem, struct container_spec, 1);
	REQUIRE(json_parse(body, strlen(body), &j, &e) == 0 && spec_parse(j, &mem, s, &e) == 0);
	json_decref(j);
	const struct container *ct = fix_container(l.w, '1', "one", s, &mem);
	CHECK(portmap_wants(ct));
	fix_id(id, '1');
	fix_id(ids[0], '1');
	REQUIRE(join_configure(l.w, ct, 51, &e) == 0 && join_all(l.w, &l.conf, id, ids, 1, &e) == 0);
	l.facts.host_v6 = false;
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:32768 172.17.0.2:82; tcp 0.0.0.0:32769 172.17.0.2:83; tcp 0.0.0.0:80 172.17.0.2:80; udp 0.0.0.0:32770 172.17.0.2:81");
	lab_close(&l);
}

/* Ten thousand given one by one are one thing, and cost no more than sorting them. */
TEST(many_ports)
{
	struct lab l = lab_open();
	struct buf b = {0};
	for (int i = 9999; i >= 0; i--)
		buf_printf(&b, "%s\"%d/tcp\":[{\"HostPort\":\"%d\"}]", b.len ? "," : "{", 20000 + i, 30000 + i);
	buf_puts(&b, "}");
	container(&l, '1', "bridge", buf_str(&b), "");
	CHECK_STR(publish(&l, '1'), "tcp 0.0.0.0:30000+10000 172.17.0.2:20000; tcp :::30000+10000 172.17.0.2:20000");
	buf_free(&b);
	lab_close(&l);
}

/* Each may have any number that another may have, at two addresses; and keeps what it got. Were each search to begin anew, this would take minutes. */
TEST(many_choices)
{
	enum { N = 20000 };
	struct lab l = lab_open();
	struct buf b = {0};
	struct world *f;
	struct err e = {0};
	char id[ID_TEXT];
	size_t n = 0;
	for (int i = 0; i < N; i++)
		buf_printf(&b, "%s\"%d/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"30000-%d\"},{\"HostIp\":\"127.0.0.2\",\"HostPort\":\"30000-%d\"}]", i ? "," : "{", 1 + i, 30000 + N - 1, 30000 + N - 1);
	buf_puts(&b, "}");
	container(&l, '1', "bridge", buf_str(&b), "");
	fix_id(id, '1');
	l.facts.cursor = &l.cursor;
	for (int round = 0; round < 2; round++) {
		f = world_fork(l.w);
		REQUIRE(portmap_publish(f, &l.conf, &l.facts, id, &e) >= 0);
		struct change *changes;
		REQUIRE(world_changes(f, &l.a, &changes, &n) >= 0 && (round ? n == 0 : n == 2 * N));
		world_merge(l.w, f);
	}
	const struct port **v = world_ports_of_container(l.w, &l.a, id, &n);
	uint8_t *seen = arena_new(&l.a, uint8_t, 65536);
	REQUIRE(v && n == 2 * N && seen);
	for (size_t i = 0; i < n; i++)
		seen[v[i]->host_port] |= (uint8_t)v[i]->host_ip.b[3];
	for (int i = 0; i < N; i++)
		REQUIRE(seen[30000 + i] == 3);
	buf_free(&b);
	lab_close(&l);
}

/* -P beside as many bindings; and ports that are only opened, none next to another. */
TEST(many_exposed_and_opened)
{
	struct lab l = lab_open();
	struct buf bound = {0}, exposed = {0}, opened = {0};
	for (int i = 0; i < 20000; i++) {
		buf_printf(&bound, "%s\"%d/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"%d\"}]", i ? "," : "{", 20000 + i, 30000 + i);
		buf_printf(&exposed, "%s\"%d/tcp\":{}", i ? "," : ",\"ExposedPorts\":{", 20000 + i);
		buf_printf(&opened, "%s\"%d/tcp\":[]", i ? "," : "{", 1 + 2 * i);
	}
	buf_puts(&bound, "},\"PublishAllPorts\":true");
	buf_puts(&exposed, "}");
	buf_puts(&opened, "}");
	container(&l, '1', "bridge", buf_str(&bound), buf_str(&exposed));
	CHECK_STR(publish(&l, '1'), "tcp 127.0.0.1:30000+20000 172.17.0.2:20000");
	container(&l, '2', "routed", buf_str(&opened), "");
	for (int round = 0; round < 2; round++) {
		struct world *f = world_fork(l.w);
		struct change *changes;
		struct err e = {0};
		char id[ID_TEXT];
		size_t n;
		fix_id(id, '2');
		REQUIRE(portmap_publish(f, &l.conf, &l.facts, id, &e) >= 0);
		CHECK(world_changes(f, &l.a, &changes, &n) >= 0 && n == (round ? 0 : 20000));
		world_merge(l.w, f);
	}
	buf_free(&bound);
	buf_free(&exposed);
	buf_free(&opened);
	lab_close(&l);
}

TESTS(T(grammar), T(without_what_the_host_may_lack), T(who_was_first), T(busy_ports), T(ephemeral_ports), T(moves_with_the_gateway), T(published_all), T(many_ports),
	T(many_choices), T(many_exposed_and_opened))
