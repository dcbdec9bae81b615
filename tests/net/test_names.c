#include "fixture.h"

struct lab {
	struct world *w;
	struct netconf c;
	struct arena mem; /* of the spec; taken over by the container */
	struct container_spec *s;
	const struct container *ct;
};

static void open_lab(struct lab *l, const char *mode)
{
	*l = (struct lab){.w = fix_world(), .c = fix_conf()};
	fix_put(l->w, fix_network('a', "mine", "172.18.0.0/16", 10));
	fix_put(l->w, fix_network('6', "six", "fd00:1::/64", 11));
	struct network *dual = fix_network('4', "dual", "172.19.0.0/16", 12);
	dual->enable_v6 = true;
	dual->v6.net = dual->v6.range = fix_prefix("fd00:2::/64");
	dual->v6.gateway = fix_ip("fd00:2::1");
	fix_put(l->w, dual);
	l->s = fix_spec(&l->mem, mode);
}

/* The container with its endpoints joined, after the test has changed the spec. */
static void start(struct lab *l)
{
	struct err e = {0};
	char ids[4][ID_TEXT], id[ID_TEXT];
	for (int i = 0; i < 4; i++)
		fix_id(ids[i], (char)('1' + i));
	fix_id(id, 'c');
	l->ct = fix_container(l->w, 'c', "web", l->s, &l->mem);
	if (join_configure(l->w, l->ct, 51, &e) < 0 || join_all(l->w, &l->c, id, ids, 4, &e) < 0) {
		printf("# %s\n", e.msg);
		abort();
	}
}

static void close_lab(struct lab *l)
{
	world_free(l->w);
}

typedef int (*names_fn)(
	const struct world *, const struct netconf *, const struct container *, struct buf *, struct err *);

static char *text_of(struct lab *l, names_fn fn)
{
	struct buf b = {0};
	struct err e = {0};
	if (fn(l->w, &l->c, l->ct, &b, &e) < 0) {
		buf_free(&b);
		return strdup(e.msg);
	}
	return buf_steal(&b);
}

/* --- resolv.conf: the host's text in, the directives out ("|" between lines, comments left out) --- */

static char *directives(char *text)
{
	struct buf b = {0};
	char *save;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (*line != '#')
			buf_printf(&b, "%s%s", b.len ? "|" : "", line);
	free(text);
	return buf_steal(&b);
}

struct resolv_case {
	const char *name, *mode, *host;
	const char *dns[4], *search[4], *options[4]; /* the container's */
	const char *daemon_dns, *daemon_search, *daemon_option;
	const char *want;
};

#define FALLBACK "nameserver 8.8.8.8|nameserver 8.8.4.4"
#define LONG "x123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static const struct resolv_case cases[] = {
	{.name = "plain", .mode = "bridge", .host = "nameserver 192.0.2.1\n", .want = "nameserver 192.0.2.1"},
	{.name = "no trailing newline",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1",
		.want = "nameserver 192.0.2.1"},
	{.name = "empty host file", .mode = "bridge", .host = "", .want = FALLBACK},
	{.name = "only comments",
		.mode = "bridge",
		.host = "# nameserver 1.1.1.1\n; nameserver 1.1.1.1\n\n",
		.want = FALLBACK},
	{.name = "crlf",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\r\nsearch a\r\n",
		.want = "nameserver 192.0.2.1|search a"},
	{.name = "tabs and blanks",
		.mode = "bridge",
		.host = "  nameserver\t 192.0.2.1  \n",
		.want = "nameserver 192.0.2.1"},
	{.name = "order is kept",
		.mode = "bridge",
		.host = "nameserver 192.0.2.2\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.2|nameserver 192.0.2.1"},
	{.name = "loopback goes",
		.mode = "bridge",
		.host = "nameserver 127.0.0.1\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "only loopback", .mode = "bridge", .host = "nameserver 127.0.0.1\n", .want = FALLBACK},
	{.name = "127.0.0.53",
		.mode = "bridge",
		.host = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n",
		.want = FALLBACK "|search lan|options edns0 trust-ad"},
	{.name = "127.255", .mode = "bridge", .host = "nameserver 127.255.255.254\n", .want = FALLBACK},
	{.name = "::1 goes",
		.mode = "bridge",
		.host = "nameserver ::1\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "v6 goes on a v4 network",
		.mode = "bridge",
		.host = "nameserver 2001:db8::1\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "only v6 on a v4 network", .mode = "bridge", .host = "nameserver 2001:db8::1\n", .want = FALLBACK},
	{.name = "link-local with zone",
		.mode = "bridge",
		.host = "nameserver fe80::1%eth0\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "bad address",
		.mode = "bridge",
		.host = "nameserver one.one.one.one\nnameserver 1.2.3\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "nameserver without address",
		.mode = "bridge",
		.host = "nameserver\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "a second word is ignored",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1 192.0.2.2\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "unlike directive",
		.mode = "bridge",
		.host = "nameservers 192.0.2.9\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1|nameservers 192.0.2.9"},
	{.name = "search",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\nsearch a.example b.example\n",
		.want = "nameserver 192.0.2.1|search a.example b.example"},
	{.name = "the last search counts",
		.mode = "bridge",
		.host = "search a\nnameserver 192.0.2.1\nsearch b\n",
		.want = "nameserver 192.0.2.1|search b"},
	{.name = "domain is search",
		.mode = "bridge",
		.host = "search a b\ndomain c\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1|search c"},
	{.name = "search after domain",
		.mode = "bridge",
		.host = "domain c\nsearch a b\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1|search a b"},
	{.name = "an empty search clears",
		.mode = "bridge",
		.host = "search a b\nsearch\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "options add up",
		.mode = "bridge",
		.host = "options ndots:2\noptions timeout:1 rotate\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1|options ndots:2 timeout:1 rotate"},
	{.name = "unknown directives pass",
		.mode = "bridge",
		.host = "sortlist 10.0.0.0\nnameserver 192.0.2.1\nfamily inet4\n",
		.want = "nameserver 192.0.2.1|sortlist 10.0.0.0|family inet4"},
	{.name = "line too long",
		.mode = "bridge",
		.host = "search " LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG "\nnameserver 192.0.2.1\n",
		.want = "nameserver 192.0.2.1"},
	{.name = "--dns",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\nsearch a\noptions rotate\n",
		.dns = {"203.0.113.1", "203.0.113.2"},
		.want = "nameserver 203.0.113.1|nameserver 203.0.113.2|search a|options rotate"},
	{.name = "--dns loopback is the user's choice",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\n",
		.dns = {"127.0.0.1"},
		.want = "nameserver 127.0.0.1"},
	{.name = "--dns-search",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\nsearch a\n",
		.search = {"x", "y"},
		.want = "nameserver 192.0.2.1|search x y"},
	{.name = "--dns-search . is none",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\nsearch a\n",
		.search = {"."},
		.want = "nameserver 192.0.2.1"},
	{.name = "--dns-option replaces",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\noptions rotate\n",
		.options = {"ndots:3"},
		.want = "nameserver 192.0.2.1|options ndots:3"},
	{.name = "daemon's dns",
		.mode = "bridge",
		.host = "nameserver 192.0.2.1\n",
		.daemon_dns = "203.0.113.9",
		.want = "nameserver 203.0.113.9"},
	{.name = "the container's before the daemon's",
		.mode = "bridge",
		.host = "",
		.dns = {"203.0.113.1"},
		.daemon_dns = "203.0.113.9",
		.daemon_search = "d",
		.daemon_option = "rotate",
		.want = "nameserver 203.0.113.1|search d|options rotate"},
	{.name = "user-defined network",
		.mode = "mine",
		.host = "nameserver 192.0.2.1\nsearch a\noptions rotate\n",
		.want = "nameserver 127.0.0.11|search a|options rotate ndots:0"},
	{.name = "user-defined, ndots kept",
		.mode = "mine",
		.host = "nameserver 192.0.2.1\noptions ndots:2\n",
		.want = "nameserver 127.0.0.11|options ndots:2"},
	{.name = "user-defined, invalid ndots of the host",
		.mode = "mine",
		.host = "options ndots:many rotate\n",
		.want = "nameserver 127.0.0.11|options rotate ndots:0"},
	{.name = "user-defined, negative ndots of the host",
		.mode = "mine",
		.host = "options ndots:-1\n",
		.want = "nameserver 127.0.0.11|options ndots:0"},
	{.name = "user-defined, empty host file",
		.mode = "mine",
		.host = "",
		.want = "nameserver 127.0.0.11|options ndots:0"},
	{.name = "user-defined with --dns",
		.mode = "mine",
		.host = "nameserver 192.0.2.1\n",
		.dns = {"203.0.113.1"},
		.want = "nameserver 127.0.0.11|options ndots:0"},
	{.name = "user-defined, own ndots",
		.mode = "mine",
		.host = "options ndots:2\n",
		.options = {"ndots:5"},
		.want = "nameserver 127.0.0.11|options ndots:5"},
	{.name = "v6 network", .mode = "six", .host = "", .want = "nameserver 127.0.0.11|options ndots:0"},
	{.name = "none", .mode = "none", .host = "nameserver 127.0.0.1\n", .want = FALLBACK},
	{.name = "host mode copies",
		.mode = "host",
		.host = "nameserver 127.0.0.1\noptions ndots:-1\n",
		.want = "nameserver 127.0.0.1|options ndots:-1"},
	{.name = "host mode with --dns",
		.mode = "host",
		.host = "nameserver 127.0.0.1\nsearch a\n",
		.dns = {"203.0.113.1"},
		.want = "nameserver 203.0.113.1|search a"},
	{.name = "host mode with --dns-search",
		.mode = "host",
		.host = "nameserver 127.0.0.1\nsearch a\n",
		.search = {"b"},
		.want = "nameserver 127.0.0.1|search b"},
};

static struct strv list(struct arena *a, const char *const v[4])
{
	struct strv l = {0};
	for (int i = 0; i < 4 && v[i]; i++)
		strv_add(a, &l, v[i]);
	return l;
}

TEST(resolv_cases)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct resolv_case *t = &cases[i];
		struct arena daemon = {0};
		struct lab l;
		open_lab(&l, t->mode);
		l.c.host_resolv = t->host;
		l.s->host.dns = list(&l.mem, t->dns);
		l.s->host.dns_search = list(&l.mem, t->search);
		l.s->host.dns_options = list(&l.mem, t->options);
		l.c.dns = list(&daemon, (const char *[4]){t->daemon_dns});
		l.c.dns_search = list(&daemon, (const char *[4]){t->daemon_search});
		l.c.dns_options = list(&daemon, (const char *[4]){t->daemon_option});
		start(&l);
		char *got = directives(text_of(&l, names_resolv));
		if (!streq(got, t->want)) {
			printf("# %s\n", t->name);
			CHECK_STR(got, t->want);
		}
		free(got);
		close_lab(&l);
		arena_free(&daemon);
	}
}

TEST(resolv_text)
{
	struct lab l;
	open_lab(&l, "bridge");
	l.c.host_resolv = "# the host's\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch example.org lan\noptions "
			  "edns0\nsortlist 10.0.0.0\n";
	start(&l);
	char *t = text_of(&l, names_resolv);
	GOLDEN("net/resolv_bridge.txt", t);
	free(t);
	close_lab(&l);
	open_lab(&l, "mine");
	strv_add(&l.mem, &l.s->host.dns_options, "timeout:1");
	start(&l);
	t = text_of(&l, names_resolv);
	GOLDEN("net/resolv_user.txt", t);
	free(t);
	close_lab(&l);
}

TEST(hosts_text)
{
	static const char *const extra[] = {
		"db:192.0.2.7", "six=[2001:db8::7]", "gw:host-gateway", "colon:2001:db8::8"};
	struct lab l;
	open_lab(&l, "bridge");
	start(&l);
	char *t = text_of(&l, names_hosts);
	GOLDEN("net/hosts_bridge.txt", t);
	free(t);
	close_lab(&l);
	open_lab(&l, "dual");
	l.s->config.hostname = "web";
	l.s->config.domainname = "example.org";
	for (size_t i = 0; i < ARRAY_LEN(extra); i++)
		strv_add(&l.mem, &l.s->host.extra_hosts, extra[i]);
	start(&l);
	t = text_of(&l, names_hosts);
	GOLDEN("net/hosts_dual.txt", t);
	free(t);
	close_lab(&l);
}

static void check_hosts(const char *mode, const char *hostname, const char *extra, const char *want)
{
	struct lab l;
	open_lab(&l, mode);
	l.s->config.hostname = hostname;
	if (extra)
		strv_add(&l.mem, &l.s->host.extra_hosts, extra);
	start(&l);
	char *t = text_of(&l, names_hosts);
	CHECK_STR(t, want);
	free(t);
	close_lab(&l);
}

TEST(hosts_cases)
{
	check_hosts("bridge", "web.example.org", NULL, "127.0.0.1\tlocalhost\n172.17.0.2\tweb.example.org web\n");
	check_hosts("none", NULL, NULL, "127.0.0.1\tlocalhost\n");
	check_hosts("host", NULL, NULL, "127.0.0.1 localhost thehost\n");
	check_hosts("host", NULL, "db:192.0.2.7", "127.0.0.1\tlocalhost\n192.0.2.7\tdb\n");
	check_hosts("six", NULL, NULL,
		"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost "
		"ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-"
		"allrouters\n"
		"fd00:1::2\tcccccccccccc\n");
}

TEST(host_gateway)
{
	struct lab l;
	struct arena a = {0};
	open_lab(&l, "mine");
	strv_add(&l.mem, &l.s->host.extra_hosts, "gw:host-gateway");
	strv_add(&a, &l.c.host_gateway_ips, "198.51.100.1");
	strv_add(&a, &l.c.host_gateway_ips, "2001:db8::1");
	start(&l);
	char *t = text_of(&l, names_hosts);
	CHECK_STR(t, "127.0.0.1\tlocalhost\n198.51.100.1\tgw\n2001:db8::1\tgw\n172.18.0.2\tcccccccccccc\n");
	free(t);
	/* --bridge none and nothing configured: there is none */
	char id[ID_TEXT];
	struct err e = {0};
	fix_id(id, 'd');
	l.c.host_gateway_ips = (struct strv){0};
	REQUIRE(world_del(l.w, NOUN_NETWORK, id, &e) == 0);
	t = text_of(&l, names_hosts);
	CHECK_STR(t, "unable to derive the IP value for host-gateway");
	free(t);
	close_lab(&l);
	arena_free(&a);
}

static void check_name(const char *mode, const char *hostname, const char *uts, const char *want)
{
	struct lab l;
	struct arena a = {0};
	open_lab(&l, mode);
	l.s->config.hostname = hostname;
	l.s->host.uts_mode = uts;
	start(&l);
	CHECK_STR(names_uts(&l.c, l.ct, &a), want);
	char *t = text_of(&l, names_hostname);
	CHECK(strncmp(t, want, strlen(want)) == 0 && streq(t + strlen(want), "\n"));
	free(t);
	close_lab(&l);
	arena_free(&a);
}

TEST(hostname)
{
	check_name("bridge", NULL, NULL, "cccccccccccc");
	check_name("bridge", "", NULL, "cccccccccccc");
	check_name("bridge", "web", NULL, "web");
	check_name("host", NULL, NULL, "thehost");
	check_name("host", "web", NULL, "web");
	check_name("bridge", NULL, "host", "thehost");
	check_name("none", NULL, NULL, "cccccccccccc");
}

TEST(extra_host_syntax)
{
	static const struct {
		const char *s, *error; /* NULL: good */
	} t[] = {
		{"a:1.2.3.4", NULL},
		{"a=1.2.3.4", NULL},
		{"a:host-gateway", NULL},
		{"a:::1", NULL},
		{"a:[::1]", NULL},
		{"a=[::1]", NULL},
		{"a=::1", NULL},
		{"a", "bad format for add-host: \"a\""},
		{"", "bad format for add-host: \"\""},
		{":1.2.3.4", "bad format for add-host: \":1.2.3.4\""},
		{"a:", "bad format for add-host: \"a:\""},
		{"a b:1.2.3.4", "bad format for add-host: \"a b:1.2.3.4\""},
		{"a\n1.1.1.1 b:1.2.3.4", "bad format for add-host: \"a\n1.1.1.1 b:1.2.3.4\""},
		{"a:1.2.3", "invalid IP address in add-host: \"1.2.3\""},
		{"a:[1.2.3.4", "invalid IP address in add-host: \"[1.2.3.4\""},
		{"a:b", "invalid IP address in add-host: \"b\""},
		{"a:[]", "invalid IP address in add-host: \"[]\""},
		{"a:1.2.3.4 ", "invalid IP address in add-host: \"1.2.3.4 \""},
	};
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct err e = {0};
		int r = names_check_extra_host(t[i].s, &e);
		CHECK_INT(r == 0, t[i].error == NULL);
		if (r < 0) {
			CHECK_STR(e.msg, t[i].error ? t[i].error : "");
			CHECK(e.kind == ERR_INVALID);
		}
	}
}

TESTS(T(resolv_cases), T(resolv_text), T(hosts_text), T(hosts_cases), T(host_gateway), T(hostname),
	T(extra_host_syntax))
