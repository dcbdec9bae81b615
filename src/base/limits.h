/* limits: everything that a client, container or archive can grow has its bound here, with the reason. */
#pragma once

#define LIMIT_JSON_DEPTH      64
#define LIMIT_BODY_JSON       (4u << 20)    /* bytes of a JSON request body */
#define LIMIT_HEADERS         (64u << 10)   /* bytes of a request's head, one connection's memory pool */
#define LIMIT_CONNECTIONS     512           /* HTTP connections at once */
#define LIMIT_CHILD_OUTPUT    (16u << 20)   /* bytes of a helper program's output kept */
#define LIMIT_FDS_PER_MESSAGE 64            /* descriptors in one SCM_RIGHTS message (the kernel's own limit is 253) */
#define LIMIT_BRIDGE_PORTS    1023          /* BR_MAX_PORTS - 1: net/bridge/br_private.h, BR_PORT_BITS 10 */
#define LIMIT_NETWORKS        4096
#define LIMIT_CONTAINERS      20000
#define LIMIT_ENDPOINTS_PER_CONTAINER 64
#define LIMIT_EXECS_PER_CONTAINER 256
#define LIMIT_LAYERS          127           /* as Docker: the lowerdir string of overlayfs must fit a page when shortened */
#define LIMIT_NAME            128           /* bytes of a container or network name */
#define LIMIT_LABELS          1024          /* entries of one label or option map */
#define LIMIT_EVENTS_KEPT     256           /* past events that `events --since` can replay, as Docker */
#define LIMIT_REF             255           /* bytes of a repository name, domain included */
#define LIMIT_TAG             128           /* bytes of a tag */
