#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "engine/binds.h"
#include "engine/caps.h"
#include "engine/follow.h"
#include "engine/journal.h"
#include "engine/room.h"
#include "engine/rotate.h"
#include "engine/user.h"

const char *path_bundle(const struct engine *en, const char *id, char out[static PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/%.24s", en->root_c, id);
	return out;
}

const char *path_container(const struct engine *en, const char *id, const char *sub, char out[static PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/containers/%s%s%s", en->conf.data_root, id, sub ? "/" : "", sub ? sub : "");
	return out;
}

const char *path_root(const struct engine *en, const char *id, char out[static PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/%s", en->root_m, id);
	return out;
}

const char *path_exit(const struct engine *en, const char *id, char out[static PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/%s", en->root_exit, id);
	return out;
}

bool program_in_path(const char *name, char out[static PATH_SIZE])
{
	const char *path = getenv("PATH");
	if (!path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	for (; *path; path += strcspn(path, ":"), path += *path == ':') {
		int n = (int)strcspn(path, ":");
		if (n && snprintf(out, PATH_SIZE, "%.*s/%s", n, path, name) < PATH_SIZE && access(out, X_OK) == 0)
			return true;
	}
	out[0] = '\0';
	return false;
}

static void beside_us(const char *name, char out[static PATH_SIZE])
{
	char self[PATH_SIZE];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	out[0] = '\0';
	if (n <= 0)
		return;
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	if (snprintf(out, PATH_SIZE, "%s/%s", self, name) >= PATH_SIZE || access(out, X_OK) < 0)
		out[0] = '\0';
}

static int find_programs(struct engine *en, struct err *e)
{
	static const char *const inits[] = {"docker-init", "tini-static", "catatonit"};
	static const char *const libexec[] = {"/usr/libexec/docker/docker-init", "/usr/libexec/catatonit/catatonit", "/usr/libexec/podman/catatonit"};
	if (!str_empty(en->conf.conmon))
		STR_COPY(en->conmon, en->conf.conmon);
	else if (!program_in_path("conmon", en->conmon))
		return err_as(e, ERR_UNAVAILABLE, "conmon was not found: install the package conmon, or name its path with --conmon");
	if (access(en->conmon, X_OK) < 0)
		return err_as(e, ERR_UNAVAILABLE, "conmon: %s cannot be executed", en->conmon);
	if (!str_empty(en->conf.image_program))
		STR_COPY(en->image_program, en->conf.image_program);
	else
		beside_us("pontoon-image", en->image_program);
	beside_us("pontoon-runtime", en->room_program);
	if (!en->room_program[0])
		(void)program_in_path("pontoon-runtime", en->room_program);
	if (!en->image_program[0] && !program_in_path("pontoon-image", en->image_program))
		log_debug("pontoon-image was not found: images cannot be imported");
	if (!str_empty(en->conf.init_path))
		STR_COPY(en->init, en->conf.init_path);
	for (size_t i = 0; !en->init[0] && i < ARRAY_LEN(inits); i++)
		(void)program_in_path(inits[i], en->init);
	for (size_t i = 0; !en->init[0] && i < ARRAY_LEN(libexec); i++)
		if (access(libexec[i], X_OK) == 0)
			STR_COPY(en->init, libexec[i]);
	STR_COPY(en->info.init_binary, en->init);
	return 0;
}

static int make_dirs(struct engine *en, struct err *e)
{
	static const char *const data[] = {"containers", "image/layers", "image/tmp", "volumes"};
	char path[PATH_SIZE];
	snprintf(en->root_c, sizeof(en->root_c), "%s/c", en->conf.exec_root);
	snprintf(en->root_exit, sizeof(en->root_exit), "%s/exit", en->conf.exec_root);
	snprintf(en->root_rt, sizeof(en->root_rt), "%s/runtime", en->conf.exec_root);
	snprintf(en->root_m, sizeof(en->root_m), "%s/root", en->conf.exec_root);
	const char *const exec[] = {en->root_c, en->root_exit, en->root_rt, en->root_m};
	for (size_t i = 0; i < ARRAY_LEN(exec); i++)
		try(mkdir_p(exec[i], 0711, e));
	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		snprintf(path, sizeof(path), "%s/%s", en->conf.data_root, data[i]);
		try(mkdir_p(path, 0710, e));
	}
	return rootfs_init(en, e);
}

static void conmon_version(struct engine *en)
{
	OWN(own_buf) struct buf out = {0};
	const char *argv[] = {en->conmon, "--version", NULL};
	struct spawn s = {.argv = argv};
	struct spawn_io io = {.out = &out, .max = 4096, .timeout_ms = 5000};
	int status;
	if (spawn_run(&s, &io, &status, NULL) < 0 || sscanf(buf_str(&out), "conmon version %63s", en->info.conmon_version) != 1)
		STR_COPY(en->info.conmon_version, "unknown");
}

static int find_runtime(struct engine *en, struct err *e)
{
	struct err first = {0};
	const char *name = en->default_runtime ? en->default_runtime : "";
	if (en->room < 0 || runtime_find(en, en->runtimes, name, &first) >= 0)
		return en->room < 0 ? runtime_find(en, en->runtimes, name, e) : 0;
	room_close(en);
	try(runtime_find(en, en->runtimes, name, e));
	log_warn("starts become slower with the number of containers: %s", first.msg);
	return 0;
}

int engine_new(const struct engine_conf *conf, struct engine **out, struct err *e)
{
	struct engine *en = calloc(1, sizeof(*en));
	if (!en)
		return err_nomem(e);
	en->conf = *conf;
	en->runtimes = &en->conf.runtimes;
	en->default_runtime = conf->default_runtime;
	en->growth = en->epoll = en->wake = en->inotify = en->child_signal = en->room = -1;
	pthread_mutex_init(&en->lock, NULL);
	pthread_cond_init(&en->cond, NULL);
	if (str_empty(en->conf.cgroup_parent))
		en->conf.cgroup_parent = "/pontoon";
	int r = strlen(conf->data_root) > 256 || strlen(conf->exec_root) > 256 ? err_as(e, ERR_INVALID, "data-root and exec-root must be shorter than 256 bytes") : 0;
	en->seccomp = seccomp_cache_new();
	if (r >= 0 && !en->seccomp)
		r = err_nomem(e);
	if (r >= 0)
		r = find_programs(en, e);
	if (r >= 0)
		r = make_dirs(en, e);
	if (r >= 0)
		room_open(en);
	if (r >= 0)
		r = find_runtime(en, e);
	if (r >= 0) {
		conmon_version(en);
		en->info.cgroup_version = cgroup_version();
		STR_COPY(en->info.cgroup_driver, "cgroupfs");
		/* conmon and the processes of exec sessions become our children when what started them has ended. */
		if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
			r = err_errno(e, -errno, "prctl");
	}
	if (r >= 0)
		r = watch_start(en, e);
	if (r < 0) {
		engine_free(en);
		return r;
	}
	*out = en;
	return 0;
}

void engine_free(struct engine *en)
{
	if (!en)
		return;
	watch_stop(en);
	exec_free_all(en);
	attach_forget(en, NULL);
	rotate_free(en);
	runtime_free_all(en);
	seccomp_cache_free(en->seccomp);
	room_close(en);
	pthread_mutex_destroy(&en->lock);
	pthread_cond_destroy(&en->cond);
	arena_free(&en->mem);
	free(en);
}

void engine_info(const struct engine *en, struct engine_info *out)
{
	const struct runtime *r = en->runtime;
	*out = en->info;
	STR_COPY(out->runtime, r->name);
	STR_COPY(out->runtime_version, r->version);
	STR_COPY(out->runtime_path, r->path);
}

static const char *init_of(const struct engine *en, const struct host_config *h)
{
	bool want = h->init == 1 || (h->init < 0 && en->conf.init_default);
	return want ? en->init : "";
}

/* crun(1): run.oci.seccomp_bpf_data. */
static int add_filter(struct engine *en, const struct container *c, json_t *config, struct err *e)
{
	char path[PATH_SIZE];
	json_t *profile = json_object_get(json_object_get(config, "linux"), "seccomp");
	const char *runtime = runtime_of(en, c->id, path), *name = strrchr(runtime, '/');
	OWN(own_free) char *bpf = profile && streq(name ? name + 1 : runtime, "crun") ? seccomp_bpf(en->seccomp, profile) : NULL;
	if (!bpf)
		return 0;
	json_t *all = json_object_get(config, "annotations");
	if (!all && json_object_set_new(config, "annotations", json_object()) == 0)
		all = json_object_get(config, "annotations");
	return json_object_set_new(all, "run.oci.seccomp_bpf_data", json_string(bpf)) < 0 ? err_nomem(e) : 0;
}

static const char *shm_of(struct engine *en, const struct engine_run *r, char out[static PATH_SIZE + 8])
{
	return streq(r->c->spec->host.ipc_mode, "shareable") ? path_shm(en, r->c->id, out) : r->join_ipc.pid ? path_shm(en, r->join_ipc.id, out) : NULL;
}

/* A profile or label that is asked for is applied or refused, never forgotten; without SELinux a label means nothing, to dockerd neither. */
static int check_profiles(const struct host_config *h, struct err *e)
{
	OWN(own_buf) struct buf on = {0};
	for (size_t i = 0; i < h->security_opt.n; i++) {
		const char *o = h->security_opt.v[i];
		bool label = str_starts(o, "label=") || str_starts(o, "label:");
		if (label && !streq(o + strlen("label="), "disable") && access("/sys/fs/selinux/enforce", F_OK) == 0)
			return err_as(e, ERR_INVALID, "SELinux labels are not in this version of Pontoon: %s", o);
		if (!str_starts(o, "apparmor=") && !str_starts(o, "apparmor:"))
			continue;
		if (streq(o + strlen("apparmor="), "unconfined"))
			continue;
		(void)read_file("/sys/module/apparmor/parameters/enabled", 16, &on, NULL); /* absent: the kernel has none */
		return err_as(e, ERR_INVALID, *buf_str(&on) == 'Y' ? "AppArmor profiles are not in this version of Pontoon: %s" : "AppArmor is not enabled on this host: %s", o);
	}
	return 0;
}

static int write_bundle(struct engine *en, const struct engine_run *r, const char *bundle, const struct bind_from *sources, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	char root[PATH_SIZE], path[PATH_SIZE + 16], shm[PATH_SIZE + 8];
	struct user_found user;
	const struct container *c = r->c;
	bool tty = c->spec->config.tty;
	path_root(en, c->id, root);
	try(check_profiles(&c->spec->host, e));
	if (streq(c->spec->host.log_type, "journald") && !journal_is_there())
		return err_set(e, -ENODEV, "failed to initialize logging driver: journald is not enabled on this host");
	try(user_resolve(root, c->spec->config.user, &c->spec->host.group_add, &user, e));
	if (c->spec->host.init == 1 && !en->init[0])
		return err_as(e, ERR_UNAVAILABLE, "--init: no init program was found: install the package tini, or name one with --init-path");
	struct oci_in in = {.run = r, .root = root, .cgroup_version = en->info.cgroup_version, .cgroup_path = cgroup_path_of(en, c, &a), .init = init_of(en, &c->spec->host), .uid = user.uid,
		.gid = user.gid, .groups = user.groups, .ngroups = user.ngroups, .home = user.home, .terminal = tty ? "xterm" : NULL, .sources = sources, .seccomp = en->conf.seccomp_profile, .shm = shm_of(en, r, shm)};
	OWN(own_json) json_t *j = oci_config(&in, &a, e);
	if (j && oci_wants_all_caps(&c->spec->host, c->spec->host.privileged))
		caps_keep_own(json_object_get(j, "process"));
	if (j)
		try(add_filter(en, c, j, e));
	OWN(own_free) char *text = j ? oci_text(j) : NULL;
	if (!j && e && e->code)
		return e->code;
	if (!text)
		return err_nomem(e);
	snprintf(path, sizeof(path), "%s/config.json", bundle);
	return write_file(path, text, strlen(text), 0600, e);
}

int engine_create(struct engine *en, const struct engine_run *r, int64_t *pid, int64_t *monitor, struct err *e)
{
	char bundle[PATH_SIZE], exit_file[PATH_SIZE];
	const char *id = r->c->id;
	path_bundle(en, id, bundle);
	watch_new_run(en, id);
	(void)unlink(path_exit(en, id, exit_file)); /* of an earlier run */
	OWN(arena_free) struct arena a = {0};
	const struct bind_from *sources = NULL;
	int rc = mkdir_p(bundle, 0700, e);
	if (rc >= 0)
		rc = runtime_keep(en, r->c, e);
	if (rc >= 0)
		rc = binds_prepare(en, r->c, &a, &sources, e);
	if (rc >= 0)
		rc = shm_make(en, r->c, e);
	if (rc >= 0)
		rc = rootfs_mount(en, id, &r->layers, e);
	if (rc >= 0)
		rc = write_bundle(en, r, bundle, sources, e);
	if (rc >= 0)
		rc = monitor_create(en, r, bundle, pid, monitor, e);
	if (rc < 0) {
		struct err undo = {0};
		if (engine_delete(en, id, true, &undo) < 0)
			log_debug("after a failed create: %s", undo.msg);
		return rc;
	}
	attach_connect_pending(en, id, *pid);
	rotate_watch(en, r->c);
	return 0;
}

int engine_start(struct engine *en, const char *id, struct err *e)
{
	char runtime[PATH_SIZE];
	const char *args[] = {"start", id, NULL};
	return runtime_run(en, runtime_of(en, id, runtime), args, e);
}

int engine_delete(struct engine *en, const char *id, bool force, struct err *e)
{
	char bundle[PATH_SIZE], exit_file[PATH_SIZE];
	path_bundle(en, id, bundle);
	rotate_forget(en, id);
	int r = access(bundle, F_OK) == 0 ? runtime_delete(en, id, force, e) : 0;
	int m = rootfs_umount(en, id, r < 0 ? NULL : e);
	if (r >= 0)
		r = m;
	if (r >= 0)
		r = bundle_umount(en, id, e);
	if (r >= 0)
		r = remove_tree(bundle, e);
	if (r >= 0)
		r = rootfs_umount(en, id, e); /* somebody may have held it, and let it go while there was a bundle */
	(void)unlink(path_exit(en, id, exit_file)); /* absent is fine */
	follow_wake(en, id);
	return r;
}

int engine_kill(struct engine *en, const struct container *c, int sig, struct err *e)
{
	/* The process itself, by a descriptor: a pid may have been given to another one since. */
	OWN(own_fd) int fd = c->pid > 0 ? pidfd_open((pid_t)c->pid, 0) : -1;
	(void)en;
	if (fd < 0)
		return err_as(e, ERR_CONFLICT, "container %s is not running", c->id);
	if (pidfd_send_signal(fd, sig, NULL, 0) < 0)
		return errno == ESRCH ? err_as(e, ERR_CONFLICT, "container %s is not running", c->id) : err_errno(e, -errno, "send signal %d to container %s", sig, c->id);
	return 0;
}

bool engine_lives(const struct container *c)
{
	OWN(own_fd) int fd = c->pid > 0 ? pidfd_open((pid_t)c->pid, 0) : -1;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return fd >= 0 && poll(&p, 1, 0) == 0;
}

int engine_pause(struct engine *en, const char *id, bool pause, struct err *e)
{
	char runtime[PATH_SIZE];
	const char *args[] = {pause ? "pause" : "resume", id, NULL};
	return runtime_run(en, runtime_of(en, id, runtime), args, e);
}

#define PIDS_MOST 4194304 /* the kernel's PID_MAX_LIMIT */

int engine_update(struct engine *en, const struct container *c, struct err *e)
{
	char bundle[PATH_SIZE], path[PATH_SIZE + 16], runtime[PATH_SIZE];
	OWN(own_json) json_t *r = oci_resources(&c->spec->host, en->info.cgroup_version);
	if (!r)
		return err_nomem(e);
	json_object_del(r, "devices");
	if (c->spec->host.pids_limit < 0) /* crun writes a -1 as it is, which the kernel refuses: the bound of all pids is as good as none */
		json_object_set_new(r, "pids", json_pack("{s:i}", "limit", PIDS_MOST));
	try(oci_block_io(&c->spec->host, r, e));
	OWN(own_free) char *text = json_text(r);
	if (!text)
		return err_nomem(e);
	snprintf(path, sizeof(path), "%s/update.json", path_bundle(en, c->id, bundle));
	try(write_file(path, text, strlen(text), 0600, e));
	const char *args[] = {"update", "--resources", path, c->id, NULL};
	int rc = runtime_run(en, runtime_of(en, c->id, runtime), args, e);
	(void)unlink(path);
	return rc;
}

int engine_container_make(struct engine *en, const char *id, struct err *e)
{
	static const char *const subs[] = {"upper", "work"};
	char path[PATH_SIZE];
	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		try(mkdir_p(path_container(en, id, subs[i], path), 0755, e));
	/* The directory above them keeps others out; what is inside the upper directory belongs to the container. */
	return chmod(path_container(en, id, NULL, path), 0710) < 0 ? err_errno(e, -errno, "chmod %s", path) : 0;
}

int engine_container_unmake(struct engine *en, const char *id, struct err *e)
{
	char path[PATH_SIZE];
	attach_forget(en, id);
	try(rootfs_umount_now(en, id, e));
	return remove_tree(path_container(en, id, NULL, path), e);
}

const char *engine_root_path(const struct engine *en, const char *id, struct arena *a)
{
	char path[PATH_SIZE];
	return arena_dup(a, path_root(en, id, path));
}

const char *engine_log_path(const struct engine *en, const char *id, struct arena *a)
{
	return arena_printf(a, "%s/containers/%s/%s-json.log", en->conf.data_root, id, id);
}
