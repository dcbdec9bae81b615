/* limits: everything that a client, container or archive can grow has its bound here, with the reason. */
#pragma once

#define LIMIT_JSON_DEPTH      64
#define LIMIT_BODY_JSON       (4u << 20)    /* bytes of a JSON request body */
#define LIMIT_HEADERS         (36u << 10)   /* bytes of a request's head, one connection's memory pool: above 32 KiB it is mapped, and given back when the connection ends */
#define LIMIT_FDS_KEPT        640           /* descriptors, of many, that nothing new is begun with: 512 connections and what works for them */
#define LIMIT_CONNECTIONS     512           /* HTTP connections at once */
#define LIMIT_CHILD_OUTPUT    (16u << 20)   /* bytes of a helper program's output kept */
#define LIMIT_FDS_PER_MESSAGE 64            /* descriptors in one SCM_RIGHTS message (the kernel's own limit is 253) */
#define LIMIT_BRIDGE_PORTS    1023          /* BR_MAX_PORTS - 1: net/bridge/br_private.h, BR_PORT_BITS 10 */
#define LIMIT_PORT_RUN        256           /* published ports in a row that get a socket and a rule each; more get one of both together */
#define LIMIT_PORT_BINDINGS   64            /* bindings of one port of a container: those that share a number are compared with each other */
#define LIMIT_PORTS_AT_ONCE   32768         /* ports that one request adds to, or takes from, a container that there is */
#define LIMIT_PORT_EDIT       20000000      /* comparisons when live ports are changed: ports in the request times ports of the container */
#define LIMIT_ATTEMPTS        1000          /* at one transfer of a layer */
#define LIMIT_NETWORKS        4096
#define LIMIT_CONTAINERS      20000
#define LIMIT_ENDPOINTS_PER_CONTAINER 64
#define LIMIT_EXECS_PER_CONTAINER 256
#define LIMIT_EXECS_KEPT      64            /* of these, ended ones that can still be asked for their exit code */
#define LIMIT_PROBES          16            /* health checks under way at once, all containers */
#define LIMIT_LAYERS          127           /* as Docker: the lowerdir string of overlayfs must fit a page when shortened */
#define LIMIT_NAME            128           /* bytes of a container or network name */
#define LIMIT_VOLUME_NAME     255           /* bytes: it is the name of a directory */
#define LIMIT_VOLUMES         20000
#define LIMIT_LABELS          1024          /* entries of one label or option map */
#define LIMIT_EVENTS_KEPT     256           /* past events that `events --since` can replay, as Docker */
#define LIMIT_REF             255           /* bytes of a repository name, domain included */
#define LIMIT_TAG             128           /* bytes of a tag */

/* Archives (pontoon-image). Generous for real images, final for hostile ones: a few bytes of compressed data can claim any of these. */
#define LIMIT_IMAGE_BYTES      (256ull << 30) /* plain bytes read, spooled and written in one job: the zip bomb bound */
#define LIMIT_IMAGE_FILE       (64ull << 30)  /* size of one file, holes included */
#define LIMIT_IMAGE_ENTRIES    4000000        /* archive entries in one job: inodes */
#define LIMIT_IMAGE_PATH       4095           /* bytes of a name in a layer, or of a link's target (PATH_MAX - 1) */
#define LIMIT_IMAGE_DEPTH      256            /* directories above a file in a layer's name */
#define LIMIT_IMAGE_DIR_TEXT   (256u << 20)   /* bytes kept in memory for times of directories that are set last */
#define LIMIT_IMAGE_XATTR      65536          /* bytes of one extended attribute (XATTR_SIZE_MAX) */
#define LIMIT_IMAGE_XATTRS     64             /* extended attributes of one file */
#define LIMIT_IMAGE_SPOOL      20000          /* files in a saved archive: blobs and metadata */
#define LIMIT_IMAGE_JSON       (4u << 20)     /* bytes of one manifest, index or image configuration */
#define LIMIT_IMAGE_IMAGES     1000           /* images in one archive */
#define LIMIT_IMAGE_INDEX_DEPTH 4             /* OCI index inside an index */
#define LIMIT_SEARCH           100            /* results of a search, as Docker */
#define LIMIT_IMAGE_HAVE       (64u << 20)    /* bytes of the --have file: 70 a layer */
#define LIMIT_IMAGE_MEMORY     (2ull << 30)   /* address space of the program: an xz or zstd window cannot take the host's memory */

/* pontoon-relay: everything in it that a container, a resolver or a peer of a published port can grow. */
#define LIMIT_RELAY_MESSAGE    (64u << 20)   /* bytes of one message of the daemon: the names of a full network with many aliases are 1 MiB */
#define LIMIT_RELAY_QUERY      4096          /* bytes of a client's question: 300 are long */
#define LIMIT_RELAY_CACHE      (1u << 20)    /* bytes of upstream answers kept */
#define LIMIT_RELAY_CACHED     4096          /* bytes of one answer kept */
#define LIMIT_RELAY_FORWARDS   8192          /* queries under way upstream, all containers: 8 busy ones, see below */
#define LIMIT_RELAY_FORWARDS_SANDBOX 1024    /* of one container; further ones wait, as many again, and then the oldest fails */
#define LIMIT_RELAY_LANES      128           /* UDP sockets in use toward upstreams in the host's namespace */
#define LIMIT_RELAY_LANES_SANDBOX 16         /* in one container's namespace */
#define LIMIT_RELAY_LANE_LOAD  64            /* queries under way on one of them */
#define LIMIT_RELAY_TCP_UPSTREAM 32          /* TCP connections to upstreams for one container */
#define LIMIT_RELAY_CLIENTS    32            /* TCP connections of one container to its DNS server */
#define LIMIT_RELAY_PIPELINE   32            /* questions under way on one of them */
#define LIMIT_RELAY_UNSENT     (192u << 10)  /* bytes of answers that such a client has not read: then it is not read either */
#define LIMIT_RELAY_STREAMS    16384         /* connections through published ports; two descriptors each, and never more than half of all that the relay may have */
#define LIMIT_RELAY_STREAMS_PORT 4096        /* through one of them, and never more than half of the above: further ones wait to be taken */
#define LIMIT_RELAY_SESSIONS   8192          /* UDP clients of published ports; never more than an eighth of the descriptors, of which they use one each, or two in a long run */
#define LIMIT_RELAY_SESSIONS_PORT 4096       /* of one of them, and never more than half of the above: the one silent longest makes place */
#define LIMIT_RELAY_PIPES      256           /* with bytes that wait for a slow reader: the kernel makes those after the 64th small (fs.pipe-user-pages-soft), so some 70 MiB at most */
#define LIMIT_RELAY_FROM       4096          /* prefixes that may use one port */
#define LIMIT_RELAY_LETTER     (1u << 20)   /* bytes of one SCTP message */
