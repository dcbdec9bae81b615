/* reload: SIGHUP. Reads the command line and the file again; what may change in a running daemon changes, what is wrong changes nothing. */
#pragma once

#include "daemon/config.h"

struct reload;

/* argv as main got it; first: the configuration that the daemon started with. */
struct reload *reload_new(int argc, char **argv, const struct config_daemon *first);
void reload_free(struct reload *r); /* after core_close */
void reload_run(struct reload *r, struct core *core);
