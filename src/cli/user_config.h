/* user_config: the directory that the docker command keeps a user's settings in, $DOCKER_CONFIG or ~/.docker, and its file config.json. Both commands may write it: what
 * is not understood stays as it is. The file may hold secrets: its text is not printed. */
#pragma once

#include "base/json.h"

const char *user_config_dir(struct arena *a);
const char *user_config_path(struct arena *a);
/* An absent file is an empty object. */
int user_config_read(struct arena *a, json_t **out, struct err *e);
int user_config_write(const json_t *j, struct arena *a, struct err *e);
