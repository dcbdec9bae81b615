#include "cli/globals.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/paths.h"
#include "base/strv.h"
#include "cli/context.h"
#include "cli/http.h"

static const char *default_host(void)
{
	const char *h = getenv("PONTOON_HOST");
	if (str_empty(h))
		h = getenv("DOCKER_HOST");
	return str_empty(h) ? "unix://" PONTOON_DEFAULT_SOCKET : h;
}

static const char *in_cert_path(struct arena *a, const char *name)
{
	const char *dir = getenv("DOCKER_CERT_PATH"), *home = getenv("HOME");
	return str_empty(dir) ? arena_printf(a, "%s/.docker/%s", home ? home : "", name) : arena_printf(a, "%s/%s", dir, name);
}

static const struct {
	const char *name;
	char letter;
	const char *help;
} global_flags[] = {{"config", 0, "Directory of credentials and contexts (default $DOCKER_CONFIG, ~/.docker)"}, {"context", 'c', "Context whose daemon is meant (default $PONTOON_CONTEXT, $DOCKER_CONTEXT, that of `pontoon context use`)"}, {"host", 'H', "Daemon socket: unix:///PATH or tcp://HOST:PORT (default $PONTOON_HOST, $DOCKER_HOST, unix://" PONTOON_DEFAULT_SOCKET ")"}, {"tls", 0, "Use TLS over TCP"},
	{"tlsverify", 0, "Use TLS over TCP and verify the daemon (default $DOCKER_TLS_VERIFY)"}, {"tlscacert", 0, "Authority of the daemon's certificate (default $DOCKER_CERT_PATH/ca.pem, ~/.docker/ca.pem)"},
	{"tlscert", 0, "Own certificate (default cert.pem there)"}, {"tlskey", 0, "Its key (default key.pem there)"}, {"version", 'v', "Print the version"}, {"help", 'h', "Print this text"}};

static void set_global(struct globals *g, const char *name, const char *value)
{
	if (streq(name, "host")) {
		http_host = value;
		context_host_asked = true;
	} else if (streq(name, "context"))
		context_asked = value;
	else if (streq(name, "config"))
		(void)setenv("DOCKER_CONFIG", value, 1); /* out of memory: the next call says it */
	else if (streq(name, "tls"))
		g->tls = value;
	else if (streq(name, "tlsverify"))
		g->tlsverify = value;
	else if (streq(name, "tlscacert"))
		http_tls.ca = value;
	else if (streq(name, "tlscert"))
		http_tls.cert = value;
	else if (streq(name, "tlskey"))
		http_tls.key = value;
	else if (streq(name, "version"))
		g->version = true;
	else
		g->help = true;
}

static bool is_switch(const char *name)
{
	return streq(name, "tls") || streq(name, "tlsverify") || streq(name, "version") || streq(name, "help");
}

/* The index of the first argument that is no option; -1 after a message. */
static int read_words(int argc, char **argv, struct globals *g)
{
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		bool is_long = argv[i][1] == '-';
		const char *word = argv[i] + 1 + is_long, *eq = is_long ? strchr(word, '=') : NULL;
		size_t n = eq ? (size_t)(eq - word) : strlen(word), k = 0;
		while (k < ARRAY_LEN(global_flags) && !(is_long ? strlen(global_flags[k].name) == n && strncmp(global_flags[k].name, word, n) == 0 : global_flags[k].letter && *word == global_flags[k].letter))
			k++;
		if (k == ARRAY_LEN(global_flags)) {
			fprintf(stderr, "unknown flag: %s\nSee 'pontoon --help'.\n", argv[i]);
			return -1;
		}
		const char *value = eq ? eq + 1 : !is_long && word[1] ? word + 1 : is_switch(global_flags[k].name) ? "true" : i + 1 < argc ? argv[++i] : NULL;
		if (!value) {
			fprintf(stderr, "flag needs an argument: %s\nSee 'pontoon --help'.\n", argv[i]);
			return -1;
		}
		set_global(g, global_flags[k].name, value);
	}
	return i;
}

static bool is_on(const char *value, const char *variable)
{
	return value ? streq(value, "true") || streq(value, "1") : !str_empty(getenv(variable));
}

static void set_tls(const struct globals *g, struct arena *a)
{
	bool ca = http_tls.ca != NULL;
	http_tls.cert_given = http_tls.cert || http_tls.key;
	http_tls.verify = is_on(g->tlsverify, "DOCKER_TLS_VERIFY");
	http_tls.on = http_tls.verify || is_on(g->tls, "DOCKER_TLS") || ca || http_tls.cert_given;
	http_tls.verify |= ca && !g->tlsverify; /* who names an authority wants it to be asked */
	if (!http_tls.ca)
		http_tls.ca = in_cert_path(a, "ca.pem");
	if (!http_tls.cert)
		http_tls.cert = in_cert_path(a, "cert.pem");
	if (!http_tls.key)
		http_tls.key = in_cert_path(a, "key.pem");
}

int globals_read(int argc, char **argv, struct arena *a, struct globals *g)
{
	*g = (struct globals){0};
	http_host = default_host();
	int i = read_words(argc, argv, g);
	if (i >= 0)
		set_tls(g, a);
	return i;
}

void globals_usage(void)
{
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++) {
		char left[64];
		snprintf(left, sizeof(left), global_flags[i].letter ? "-%c, --%s%s" : "%c   --%s%s", global_flags[i].letter ? global_flags[i].letter : ' ', global_flags[i].name, is_switch(global_flags[i].name) ? "" : " string");
		printf("  %-25s %s\n", left, global_flags[i].help);
	}
}
