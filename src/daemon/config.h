/* config: dockerd's flags and daemon.json keys that Pontoon has, in one table. Parser, --help, --validate and the man page come from it.
 * All errors are reported, not only the first. A flag given on the command line and in the file is a conflict, as in dockerd. */
#pragma once

#include "daemon/host.h"
#include "ops/core.h"

struct config_daemon {
	struct arena mem;
	struct core_conf core;
	struct strv hosts; /* -H, in order; default unix socket when empty */
	const char *pidfile, *config_file, *log_level, *group;
	bool validate, version, help, take_down;
	/* as given, before they are parsed into core */
	const char *bip, *fixed_cidr, *bridge, *default_gateway, *bip6, *fixed_cidr6, *default_gateway6, *accept_mark, *host_binding, *publish_scope;
	const char *shm_size, *storage_driver, *http_proxy, *https_proxy, *no_proxy;
	struct strv dns, add_runtime, labels, host_gateway_ip, address_pools, network_opts, registry_mirrors, log_opts, ulimits, exec_opts, storage_opts;
	int64_t mtu, shutdown_timeout, relay_uid, oom_score;
	bool tls, tlsverify;
	const char *tlscacert, *tlscert, *tlskey;
	/* what follows from them */
	const struct host *listen; /* of hosts */
	size_t nlisten;
	bool tls_clients;   /* clients must show a certificate */
	bool plain_allowed; /* TCP without TLS has been asked for in so many words */
	bool group_set;     /* not the default */
	bool oom_score_set;
	struct strv errors; /* everything wrong, in order */
	struct strv passed_over; /* sentences: options of dockerd's without a meaning here */
};

/* Reads the command line and the configuration file. 0 when usable; -EINVAL with *errors filled. */
int config_read(struct config_daemon *c, int argc, char **argv);
/* 0 if what listens without TLS beyond this host has been asked for; else INVALID with what to do instead. */
int config_allow_plain(const struct config_daemon *c, const char *what, struct err *e);
/* The keys in which two configurations differ: those that may change in a running daemon (SIGHUP), and the others. */
int config_compare(const struct config_daemon *a, const struct config_daemon *b, struct arena *mem, struct strv *live, struct strv *fixed);
void config_usage(struct buf *out);
void config_free(struct config_daemon *c);
