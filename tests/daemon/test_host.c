#include "daemon/host.h"
#include "test.h"

TEST(what_can_be_listened_on)
{
	static const struct {
		const char *text;
		bool tls;
		enum host_kind kind;
		const char *name, *port;
	} rows[] = {
		{"unix:///run/x.sock", false, HOST_UNIX, "/run/x.sock", NULL},
		{"/run/x.sock", false, HOST_UNIX, "/run/x.sock", NULL},
		{"unix://", false, HOST_UNIX, "/run/pontoon/pontoon.sock", NULL},
		{"fd://", false, HOST_FD, "", NULL},
		{"fd://*", false, HOST_FD, "*", NULL},
		{"fd://api", false, HOST_FD, "api", NULL},
		{"tcp://", false, HOST_TCP, "localhost", "2375"},
		{"tcp://", true, HOST_TCP, "localhost", "2376"},
		{"tcp://:7777", true, HOST_TCP, "localhost", "7777"},
		{"tcp://0.0.0.0:2376", true, HOST_TCP, "0.0.0.0", "2376"},
		{"tcp://192.0.2.1", true, HOST_TCP, "192.0.2.1", "2376"},
		{"tcp://[2001:db8::1]:65535", true, HOST_TCP, "2001:db8::1", "65535"},
		{"tcp://[::1]", false, HOST_TCP, "::1", "2375"},
		{"example.com:1", false, HOST_TCP, "example.com", "1"},
		{":2375", false, HOST_TCP, "localhost", "2375"},
	};
	struct arena a = {0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host h;
		struct err e = {0};
		CHECK_INT(host_parse(rows[i].text, rows[i].tls, &a, &h, &e), 0);
		if (e.code)
			continue;
		CHECK_INT(h.kind, rows[i].kind);
		CHECK_STR(h.name, rows[i].name);
		CHECK((h.port != NULL) == (rows[i].port != NULL));
		if (rows[i].port)
			CHECK_STR(h.port, rows[i].port);
	}
	arena_free(&a);
}

TEST(what_cannot)
{
	static const char *const rows[] = {"", "x", "unix://run/x.sock", "tcp://h:", "tcp://h:0", "tcp://h:65536", "tcp://h:http", "tcp://h:80/v1", "tcp://[::1", "tcp://[::1]80", "tcp://::1:80", "npipe:////./pipe/x",
		"http://h:80", "ssh://h"};
	struct arena a = {0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host h;
		struct err e = {0};
		char text[256];
		snprintf(text, sizeof(text), "invalid bind address (%s): ", rows[i]);
		CHECK(host_parse(rows[i], false, &a, &h, &e) < 0);
		CHECK_INT(e.kind, ERR_INVALID);
		CHECK(strncmp(e.msg, text, strlen(text)) == 0);
	}
	arena_free(&a);
}

TESTS(T(what_can_be_listened_on), T(what_cannot));
