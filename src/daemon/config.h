/* config: dockerd's flags and daemon.json keys that Pontoon has, in one table. Parser, --help, --validate and the man page come from it.
 * All errors are reported, not only the first. A flag given on the command line and in the file is a conflict, as in dockerd. */
#pragma once

#include "ops/core.h"

struct config_daemon {
	struct arena mem;
	struct core_conf core;
	struct strv hosts; /* -H, in order; default unix socket when empty */
	const char *pidfile, *config_file, *log_level, *group;
	bool validate, version, help;
	/* as given, before they are parsed into core */
	const char *bip, *fixed_cidr, *bridge, *default_gateway;
	struct strv dns, add_runtime, labels, host_gateway_ip, address_pools, network_opts;
	int64_t mtu, shutdown_timeout, relay_uid;
	bool tls, tlsverify;
	struct strv errors; /* everything wrong, in order */
};

/* Reads the command line and the configuration file. 0 when usable; -EINVAL with *errors filled. */
int config_read(struct config_daemon *c, int argc, char **argv);
void config_usage(struct buf *out);
void config_free(struct config_daemon *c);
