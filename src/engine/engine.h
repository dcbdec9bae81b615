/* engine: containers as processes: root file systems, OCI configuration, the OCI runtime, conmon, logs, attach, exec, image jobs.
 * Makes no network decision and keeps no truth: what it is told (container, image, layers, namespace path) comes from the world; what it learns (exit) goes out by callback.
 * Thread safe; calls for one container are ordered by the caller (ops/ holds a lock a container). Errors carry Docker's texts where Docker has one. */
#pragma once

#include "base/json.h"
#include "model/container.h"
#include "model/image.h"
#include "model/spec_host.h"

struct engine;
struct engine_conf {
	const char *data_root, *exec_root;
	const char *default_runtime;   /* "crun", "runc", a name of `runtimes`, or "" = the first of crun, runc that runs `true` */
	struct kvs runtimes;           /* name -> path, from daemon.json and --add-runtime */
	const char *conmon;            /* path or "" = found in PATH */
	const char *image_program;     /* path of pontoon-image or "" = beside this program, else in PATH */
	const char *init_path;         /* "" = docker-init, tini-static or catatonit found in PATH and libexec */
	const char *cgroup_parent;     /* "" = "/pontoon" ; a container's cgroup is <parent>/<id> */
	bool init_default;
	const char *seccomp_profile;   /* JSON, of containers that bring none; "" = the built-in one, "unconfined" = none */
	/* Called on the engine's own thread when a container's process has ended (also for those that ended while no daemon ran). */
	void (*on_exit)(void *arg, const char *container, int code, bool oom_killed, int64_t when_ns);
	/* An exec session ended / began / failed: for events and waiters. what = "exec_die" ... */
	void (*on_exec)(void *arg, const char *container, const char *exec, const char *what, int code);
	void *arg;
};
/* Finds programs, probes the runtime by running `true` once (missing: UNAVAILABLE naming what to install), makes directories, starts its watcher thread. */
int engine_new(const struct engine_conf *conf, struct engine **out, struct err *e);
void engine_free(struct engine *en); /* containers go on running */
struct engine_info {
	char runtime[64], runtime_version[64], runtime_path[256], conmon_version[64], init_binary[128], cgroup_driver[16];
	int cgroup_version;
};
void engine_info(const struct engine *en, struct engine_info *out);
/* What a request is judged by, as it is now; but for the API version. Texts live in a. */
void engine_host(const struct engine *en, struct arena *a, struct spec_host *out);
/* Instead of those of the configuration; both live as long as the engine, and so do the ones before. A new default is tried first: containers that run keep what runs them. On error all stays. */
int engine_set_runtimes(struct engine *en, const struct kvs *runtimes, const char *default_name, struct err *e);
/* NULL name = default. INVALID `unknown or invalid runtime name: x`. */
int engine_check_runtime(const struct engine *en, const char *name, struct err *e);
/* What --runtime may name: those of the search path, of the configuration, and the default. */
void engine_runtimes(const struct engine *en, struct arena *a, struct kvs *out);

/* --- root file system: data_root/containers/<id>/{upper,work,...}, mounted at exec_root/root/<id>; lower: image layers under data_root/image/layers/<dir>, top last --- */
struct engine_layers { /* names below data_root/image/layers, bottom first */
	const char *const *dirs;
	size_t n;
};
int engine_container_make(struct engine *en, const char *id, struct err *e);   /* directories; nothing mounted; undone by _unmake */
int engine_container_unmake(struct engine *en, const char *id, struct err *e); /* unmounts, removes the container's whole directory; absent is fine */

/* --- process --- */
struct engine_run {
	const struct container *c;
	const struct image *image;
	struct engine_layers layers;
	const char *netns_path;   /* namespace to join; NULL = the host's */
	const char *hosts, *hostname, *resolv; /* files to bind over /etc/...; NULL = leave */
	const char *uts_hostname;
	struct {int64_t pid; char id[ID_TEXT];} join_pid, join_ipc; /* for container:<x> modes; 0 = own */
};
/* Mounts the root, writes the bundle, runs conmon, which runs `runtime create`. On error nothing is left. *pid: of the container's first process, stopped before exec; *monitor: of conmon.
 * Errors of the runtime in Docker's words: INVALID `failed to create task for container: ... exec: "x": executable file not found in $PATH: unknown` (the CLI makes 127 of it), permission denied -> 126. */
int engine_create(struct engine *en, const struct engine_run *r, int64_t *pid, int64_t *monitor, struct err *e);
int engine_start(struct engine *en, const char *id, struct err *e);
/* Removes runtime state, bundle, mount of a container that is not running (or kills it first with force). Idempotent. */
int engine_delete(struct engine *en, const char *id, bool force, struct err *e);
int engine_kill(struct engine *en, const struct container *c, int sig, struct err *e);
bool engine_lives(const struct container *c); /* its process has not ended, whatever has been told of it */
int engine_update(struct engine *en, const struct container *c, struct err *e); /* its limits, while it runs */
int engine_pause(struct engine *en, const char *id, bool pause, struct err *e);
int engine_resize(struct engine *en, const char *id, int h, int w, struct err *e);
int engine_top(struct engine *en, const struct container *c, const char *ps_args, json_t **out, struct err *e); /* {"Titles":[..],"Processes":[[..]]}; ps_args "" = "-ef" */
/* What is there, for reconcile: containers with a live monitor (adopted by engine_adopt), with leftover mounts, bundles or directories. */
struct engine_found {
	char id[ID_TEXT];
	bool running, exited; /* conmon and the process are alive; an exit file is there */
	int exit_code;
	int64_t exit_time, pid, monitor_pid;
	bool has_dir, has_mount, has_bundle;
};
/* Before it: kills monitors, runtimes and processes of containers that are not known() as running (id: 64 digits, or the first 12). A start that was cut short may still be
 * going on in a runtime that nobody waits for. */
int engine_end_strays(struct engine *en, bool (*known)(void *arg, const char *id), void *arg, struct err *e);
int engine_scan(struct engine *en, struct arena *a, struct engine_found **out, size_t *n, struct err *e);
/* Its run has ended and nobody has cleaned up after it: false for an end that is told a second time. */
bool engine_has_exit(const struct engine *en, const char *id);
/* Watches a container that an earlier daemon started: its exit will be reported. */
int engine_adopt(struct engine *en, const struct container *c, struct err *e);

/* --- streams --- */
/* A pump between a client's socket and a container or exec session. Owns nothing; blocks until the end, detach or client gone.
 * sock: the hijacked connection (both ways), or for a plain answer only written. */
struct engine_stream {
	int sock;
	bool want_stdin, want_stdout, want_stderr;
	bool multiplex;            /* 8-byte frames (no terminal) */
	const char *detach_keys;   /* "" = ctrl-p,ctrl-q */
	const void *early; size_t early_len; /* bytes that came with the request */
};
int engine_detach_keys_check(const char *s, struct err *e);
enum engine_stream_end { STREAM_ENDED, STREAM_DETACHED, STREAM_CLIENT_GONE };
/* Attach works in every state: before start it connects between create and start. */
struct engine_attach;
int engine_attach_open(struct engine *en, const struct container *c, struct engine_attach **out, struct err *e);
void engine_attach_close(struct engine_attach *at);
/* Before engine_attach_run: what comes first, the log. False: the client has gone. */
bool engine_attach_put(struct engine_attach *at, const struct engine_stream *s, const void *data, size_t n);
int engine_attach_run(struct engine_attach *at, const struct engine_stream *s, enum engine_stream_end *end, struct err *e);

/* --- logs --- (k8s-file lines joined again) */
struct engine_logs {
	bool want_stdout, want_stderr, follow, timestamps, multiplex;
	bool journal; /* it is in the journal, not in a file */
	int64_t tail, since, until; /* -1 = all lines; ns, 0 = open */
	const char *details;        /* stands before every line; NULL */
};
/* Calls put() with pieces ready to send (framed when multiplex). put returns false to end. idle() is called while waiting in follow mode with the time to wait; it
 * returns false when the client is gone. Ends when the container has stopped and all is sent, or until is past. */
int engine_logs(struct engine *en, const char *id, const struct engine_logs *o, bool (*put)(void *arg, const void *p, size_t n), bool (*idle)(void *arg, int wake_fd), void *arg, struct err *e);
const char *engine_root_path(const struct engine *en, const char *id, struct arena *a); /* where its root is mounted when it is */
const char *engine_log_path(const struct engine *en, const char *id, struct arena *a);

/* --- exec --- */
struct exec_spec {
	bool attach_stdin, attach_stdout, attach_stderr, tty, privileged;
	struct strv cmd, env;
	const char *working_dir, *user, *detach_keys;
	int64_t console_h, console_w;
};
extern const struct json_field exec_spec_table[];
/* INVALID "No exec command specified"; CONFLICT "container ID is not running" is the caller's check. out_id: 64 hex. Sessions end with their container; limit LIMIT_EXECS_PER_CONTAINER. */
int engine_exec_create(struct engine *en, const struct container *c, const struct exec_spec *s, char out_id[static ID_TEXT], struct err *e);
struct exec_info {
	char id[ID_TEXT], container[ID_TEXT];
	bool started, running, ended;
	int exit_code;
	int64_t pid;
	struct exec_spec spec; /* strings valid until the arena given goes */
};
int engine_exec_info(struct engine *en, const char *exec_id, struct arena *a, struct exec_info *out, struct err *e); /* NOT_FOUND "No such exec instance: x" */
/* Runs it. Detached: returns when it has started. Otherwise `ready` is called once the process exists (then the 101 may go), and the call pumps until the end. Errors before ready are ordinary ones. */
int engine_exec_start(struct engine *en, const char *exec_id, const struct container *c, bool detach, bool (*ready)(void *arg, struct engine_stream *s), void *arg, struct err *e);
int engine_exec_resize(struct engine *en, const char *exec_id, int h, int w, struct err *e);
size_t engine_exec_ids(struct engine *en, const char *container, struct arena *a, const char ***out);
void engine_exec_forget(struct engine *en, const char *container);
