/* engine_int: what the files of engine/ share. */
#pragma once

#include <limits.h>
#include <pthread.h>

#include "engine/image_job.h"
#include "model/tree.h"

#define PATH_SIZE 1024 /* of our own paths: roots are at most 256 bytes, ids 64 */

struct watched { /* a process whose end is of interest: conmon, or the process of an exec session */
	struct tree_node of_pid, of_id;
	int pidfd;
	pid_t pid;
	void (*ended)(struct engine *en, struct watched *w, int status); /* status as of waitid for our own children, else -1 */
	char id[ID_TEXT];                                                /* container or exec session */
	bool of_the_past; /* a monitor whose container has begun another run; under the engine's lock */
	void *arg;
};

struct exec;
struct seccomp_cache;

struct runtime { /* the default one, as it was found; immutable, kept until the end */
	struct runtime *before;
	char name[64], version[64], path[PATH_SIZE];
};

struct engine {
	struct engine_conf conf;
	struct arena mem; /* of conf's strings and paths */
	const struct kvs *_Atomic runtimes; /* name -> path */
	const char *default_runtime; /* as configured; of the thread that reloads */
	struct engine_info info;
	struct runtime *_Atomic runtime;
	char conmon[PATH_SIZE], image_program[PATH_SIZE], init[PATH_SIZE], room_program[PATH_SIZE];
	char root_c[PATH_SIZE];    /* <exec-root>/c: bundles */
	char root_exit[PATH_SIZE]; /* <exec-root>/exit: exit files of conmon */
	char root_m[PATH_SIZE];    /* <exec-root>/root: mounted roots */
	char root_rt[PATH_SIZE];   /* <exec-root>/runtime: state of the OCI runtime */
	pthread_t thread;
	bool has_thread, stop;
	int epoll, wake, inotify, child_signal, room; /* room.c: an empty mount namespace; -1: runtimes are run as they are */
	unsigned launching; /* processes that will become our children and be watched: orphans must wait */
	pthread_mutex_t lock; /* watched, attaches, left_inputs, execs, followers, held */
	pthread_cond_t cond;  /* a root's turn has ended: rootfs.c */
	struct tree watched, watched_ids;
	struct engine_attach *attaches; /* attach.c, as the next */
	struct left_input *left_inputs;
	struct exec *execs;
	struct follower *followers; /* follow.c */
	int growth;              /* its inotify instance */
	struct held_root *held;  /* rootfs.c */
	struct rotated *rotated; /* rotate.c */
	_Atomic int rotate_ms;   /* until their sizes are looked at; 0: there is none */
	int64_t rotate_looked;   /* when they were; the watching thread's */
	struct seccomp_cache *seccomp;
};

/* paths */
const char *path_bundle(const struct engine *en, const char *id, char out[static PATH_SIZE]);    /* <exec-root>/c/<24 of id> */
const char *path_container(const struct engine *en, const char *id, const char *sub, char out[static PATH_SIZE]); /* <data-root>/containers/<id>[/sub] */
const char *path_root(const struct engine *en, const char *id, char out[static PATH_SIZE]);   /* <exec-root>/root/<id>: the overlay, while it is mounted */
const char *path_exit(const struct engine *en, const char *id, char out[static PATH_SIZE]);

/* watch.c: the one thread: exits of containers (inotify on exit files) and of watched processes (pidfds) */
int watch_start(struct engine *en, struct err *e);
void watch_stop(struct engine *en);
/* Between these no orphan is reaped: a process that ends at once must still be there to be watched. */
void watch_launch_begin(struct engine *en);
void watch_launch_end(struct engine *en);
int watch_pid(struct engine *en, pid_t pid, const char *id, void (*ended)(struct engine *, struct watched *, int), void *arg, struct err *e);
/* Before a container's new run leaves its first trace: the monitor of the run before may end only now, and that says nothing of this one. */
void watch_new_run(struct engine *en, const char *id);

/* runtime.c */
int runtime_find(struct engine *en, const struct kvs *runtimes, const char *name, struct err *e); /* name "": the first known one that works */
void runtime_free_all(struct engine *en);
int runtime_keep(const struct engine *en, const struct container *c, struct err *e); /* beside the bundle, for runtime_of */
const char *runtime_of(const struct engine *en, const char *id, char out[static PATH_SIZE]);
bool program_in_path(const char *name, char out[static PATH_SIZE]);
/* Runs "<runtime> --root R args..." to its end; a failure's text is the runtime's own. */
int runtime_run(struct engine *en, const char *runtime, const char *const *args, struct err *e);
int runtime_delete(struct engine *en, const char *id, bool force, struct err *e);
/* Docker's text and kind for what a runtime said. program: what was to be run, which crun does not always name; NULL = nothing was. */
int runtime_error(const char *prefix, const char *program, const char *text, struct err *e);

/* rootfs.c */
int rootfs_init(struct engine *en, struct err *e);
int rootfs_mount(struct engine *en, const char *id, const struct engine_layers *l, struct err *e);
int rootfs_umount(struct engine *en, const char *id, struct err *e);
bool path_is_mounted(const char *path);
/* The root stays mounted between these, whether the container runs or not. */
int root_hold(struct engine *en, const char *id, const struct engine_layers *l, struct err *e);
void root_release(struct engine *en, const char *id);
int rootfs_umount_now(struct engine *en, const char *id, struct err *e); /* held or not: it is removed */

/* oci.c: everything it needs is in here, but for the kernel's version, which a seccomp profile may ask for */
struct oci_in {
	const struct engine_run *run;
	const char *root;        /* of the container, mounted */
	int cgroup_version;
	const char *cgroup_path; /* below the controllers */
	const char *init;        /* host path of the init program; "" = none */
	uint32_t uid, gid;
	size_t ngroups;
	const uint32_t *groups;
	const char *home, *terminal;
	const struct bind_from *sources; /* of the mount points */
	const char *seccomp;        /* the daemon's own profile, "unconfined", or "" */
	const char *shm;            /* on the host, to be bound on /dev/shm; NULL: one of its own */
};
json_t *oci_config(const struct oci_in *in, struct arena *a, struct err *e); /* NULL on error */
json_t *oci_process(const struct oci_in *in, const struct strv *args, const struct strv *env, const char *cwd, bool tty, bool privileged, struct arena *a);
char *oci_text(const json_t *j); /* for a runtime, to be freed; NULL: no memory */
json_t *oci_capabilities(const struct host_config *h, bool privileged);
bool oci_wants_all_caps(const struct host_config *h, bool privileged);
json_t *oci_seccomp(const struct host_config *h, const char *fallback, const json_t *caps, struct err *e); /* fallback: of the daemon; json_null() when unconfined */
/* seccomp_bpf.c: the filter as the kernel takes it, in base64; NULL: left to the runtime. Any thread. The caller frees it. */
struct seccomp_cache *seccomp_cache_new(void);
void seccomp_cache_free(struct seccomp_cache *c); /* NULL is fine */
char *seccomp_bpf(struct seccomp_cache *c, json_t *profile);
ssize_t seccomp_compile(json_t *profile, void *out, size_t size); /* raw, in bytes; -1: not understood, or larger */
json_t *oci_resources(const struct host_config *h, int cgroup_version);
json_t *oci_devices(const struct host_config *h, struct err *e); /* --device and, privileged, those of the host */
int oci_block_io(const struct host_config *h, json_t *resources, struct err *e); /* sets "blockIO" if anything of it was asked for */
json_t *oci_mounts(const struct oci_in *in, struct arena *a, struct err *e);
/* monitor.c */
int monitor_create(struct engine *en, const struct engine_run *r, const char *bundle, int64_t *pid, int64_t *monitor, struct err *e);
int monitor_connect(struct engine *en, const char *id, struct err *e); /* an attach socket of conmon */
void attach_connect_pending(struct engine *en, const char *id, int64_t pid);
void attach_forget(struct engine *en, const char *id); /* the container goes; NULL: all */

/* stream.c: frames and detach keys */
int frame_send(int sock, bool multiplex, int stream, const void *p, size_t n); /* stream 1 stdout, 2 stderr */
void frame_put(struct buf *out, bool multiplex, int stream, const void *p, size_t n);
struct keys {
	unsigned char seq[16];
	size_t n, at; /* at: how many of seq have been seen */
};
int keys_parse(const char *s, struct keys *out, struct err *e); /* "" = ctrl-p,ctrl-q */
bool keys_filter(struct keys *k, const unsigned char *in, size_t n, struct buf *out); /* *out gets what is to be passed on; true: the sequence is complete */

void exec_free_all(struct engine *en); /* exec.c */
int cgroup_version(void); /* cgroup.c, as the next three */
const char *cgroup_path_of(const struct engine *en, const struct container *c, struct arena *a);
/* The directory of the process's cgroup: of a controller of v1, or "": of the one hierarchy of v2. */
int cgroup_directory(int64_t pid, const char *controller, char out[static PATH_SIZE], struct err *e);
int cgroup_pids(int64_t pid, struct arena *a, pid_t **out, size_t *n, struct err *e); /* process ids in the container's cgroup */
