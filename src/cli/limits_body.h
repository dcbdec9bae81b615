/* limits_body: the flags about resources and health, of run, create and update, as parts of a request. */
#pragma once

#include "cli/cmd.h"

/* Into HostConfig, or the body of an update. */
int limits_numbers(const struct parsed *p, json_t *host, struct err *e);
int limits_devices(const struct parsed *p, json_t *host, struct err *e); /* --blkio-weight-device, --device-read-bps ... */
int limits_restart(const struct parsed *p, json_t *host, struct err *e);
int limits_health(const struct parsed *p, json_t *config, struct err *e); /* Healthcheck */
