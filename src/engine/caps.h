/* caps: capabilities of the daemon itself. Private to engine/. */
#pragma once

#include "base/json.h"

void caps_keep_own(json_t *process); /* takes from an OCI process what the daemon has not */
