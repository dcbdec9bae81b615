/* paths: where things are unless told otherwise. */
#pragma once

#define PONTOON_DEFAULT_SOCKET "/run/pontoon/pontoon.sock"
#define PONTOON_DATA_ROOT      "/var/lib/pontoon"
#define PONTOON_EXEC_ROOT      "/run/pontoon"
#define PONTOON_PIDFILE        "/run/pontoon/pontoon.pid"
#define PONTOON_RELAY_USER     "pontoon-relay"
#define PONTOON_RELAY_UID      64537 /* without that user: an id that nobody has */
#define PONTOON_FETCH_UID      64538 /* of what speaks with registries: an id that nobody has */
#define PONTOON_CONFIG_FILE    "/etc/pontoon/daemon.json"
#define PONTOON_CERT_PATH      "/etc/pontoon"
