/* scan: what is there of containers, whatever the store says. Bundles are named by 24 digits of the id; conmon's command line in the bundle's
 * config tells nothing, so the full id comes from the runtime's state directory or the container's directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/engine_int.h"

struct list {
	struct arena *a;
	struct map by_id; /* one more than the place in v */
	struct engine_found *v;
	size_t n, cap;
};

static struct engine_found *found(struct list *l, const char *id)
{
	uintptr_t at = (uintptr_t)map_gets(&l->by_id, id);
	if (at)
		return &l->v[at - 1];
	if (arena_room(l->a, l->v, l->n, l->cap) < 0)
		return NULL;
	STR_COPY(l->v[l->n].id, id);
	const char *key = arena_dup(l->a, id);
	if (!key || map_puts(&l->by_id, key, (void *)(l->n + 1)) < 0)
		return NULL;
	return &l->v[l->n++];
}

static bool is_id(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int each_entry(const char *dir, struct list *l, void (*mark)(struct engine_found *f), struct err *e)
{
	OWN(own_dir) DIR *d = opendir(dir);
	struct dirent *entry;
	if (!d)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "open %s", dir);
	while ((entry = readdir(d))) {
		if (!is_id(entry->d_name))
			continue;
		struct engine_found *f = found(l, entry->d_name);
		if (!f)
			return err_nomem(e);
		mark(f);
	}
	return 0;
}

static void mark_dir(struct engine_found *f)
{
	f->has_dir = true;
}

static void mark_bundle(struct engine_found *f)
{
	f->has_bundle = true;
}

static void mark_mount(struct engine_found *f)
{
	f->has_mount = true; /* or what is left of one */
}

static void mark_exit(struct engine_found *f)
{
	f->exited = true;
}

static int64_t number_in(const char *path)
{
	OWN(own_buf) struct buf b = {0};
	return read_file(path, 64, &b, NULL) < 0 ? -1 : atoll(buf_str(&b));
}

/* Is the process conmon, and of this container? A pid may have been given to another one since. */
static bool is_monitor_of(int64_t pid, const char *id)
{
	OWN(own_buf) struct buf b = {0};
	char path[64];
	snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
	return pid > 0 && read_file(path, 65536, &b, NULL) >= 0 && b.len && memmem(b.data, b.len, id, 64);
}

static void look(const struct engine *en, struct engine_found *f)
{
	char bundle[PATH_SIZE], path[PATH_SIZE + 16];
	struct stat st;
	path_bundle(en, f->id, bundle);
	f->has_bundle |= access(bundle, F_OK) == 0;
	if (f->exited && stat(path_exit(en, f->id, path), &st) == 0) {
		f->exit_code = (int)number_in(path);
		f->exit_time = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	}
	snprintf(path, sizeof(path), "%s/conmon.pid", bundle);
	f->monitor_pid = number_in(path);
	snprintf(path, sizeof(path), "%s/pid", bundle);
	f->pid = number_in(path);
	f->running = !f->exited && is_monitor_of(f->monitor_pid, f->id) && f->pid > 0;
}

static int scan_dirs(const struct engine *en, struct list *l, struct err *e)
{
	char dir[PATH_SIZE];
	snprintf(dir, sizeof(dir), "%s/containers", en->conf.data_root);
	try(each_entry(dir, l, mark_dir, e));
	try(each_entry(en->root_rt, l, mark_bundle, e));
	try(each_entry(en->root_m, l, mark_mount, e));
	return each_entry(en->root_exit, l, mark_exit, e);
}

int engine_scan(struct engine *en, struct arena *a, struct engine_found **out, size_t *n, struct err *e)
{
	struct list l = {.a = a};
	int r = scan_dirs(en, &l, e);
	map_free(&l.by_id);
	for (size_t i = 0; r >= 0 && i < l.n; i++)
		look(en, &l.v[i]);
	if (r < 0)
		return r;
	*out = l.v;
	*n = l.n;
	return 0;
}

/* --- strays: what an earlier daemon's death left running --- */

#define STRAY_ROUNDS 200
#define STRAY_PAUSE_MS 25

struct stray_hunt {
	struct engine *en;
	bool (*known)(void *arg, const char *id);
	void *arg;
	struct stat *boxes; /* network namespaces of unknown containers */
	size_t nboxes;
};

/* The container's id in the command line of a conmon or runtime of ours: it names our directories. */
static bool ours_by_command(const struct stray_hunt *h, const char *pid, char id[static ID_TEXT])
{
	OWN(own_buf) struct buf b = {0};
	char path[64];
	bool ours = false, has_id = false;
	snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
	if (read_file(path, 65536, &b, NULL) < 0)
		return false;
	for (size_t i = 0; i < b.len; i += strlen(b.data + i) + 1) {
		const char *arg = b.data + i;
		ours |= streq(arg, h->en->root_rt) || streq(arg, h->en->root_exit);
		if (!has_id && is_id(arg)) {
			memcpy(id, arg, ID_TEXT);
			has_id = true;
		}
	}
	return ours && has_id;
}

static bool in_unknown_box(const struct stray_hunt *h, const char *pid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%.16s/ns/net", pid);
	if (!h->nboxes || stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < h->nboxes; i++)
		if (h->boxes[i].st_dev == st.st_dev && h->boxes[i].st_ino == st.st_ino)
			return true;
	return false;
}

static int unknown_boxes(struct stray_hunt *h, struct arena *a, struct err *e)
{
	char dir[PATH_SIZE], path[PATH_SIZE + 300];
	struct dirent *entry;
	size_t cap = 0;
	snprintf(dir, sizeof(dir), "%s/netns", h->en->conf.exec_root);
	OWN(own_dir) DIR *d = opendir(dir);
	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.' || h->known(h->arg, entry->d_name))
			continue;
		if (arena_room(a, h->boxes, h->nboxes, cap) < 0)
			return err_nomem(e);
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (stat(path, &h->boxes[h->nboxes]) == 0)
			h->nboxes++;
	}
	return a->bad ? err_nomem(e) : 0;
}

/* Kills what is found. How many there were. */
static size_t hunt(const struct stray_hunt *h)
{
	OWN(own_dir) DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t n = 0;
	while (proc && (entry = readdir(proc))) {
		char id[ID_TEXT];
		long pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 1 || pid == getpid())
			continue;
		bool by_command = ours_by_command(h, entry->d_name, id);
		if (!(by_command && !h->known(h->arg, id)) && !in_unknown_box(h, entry->d_name))
			continue;
		n += kill((pid_t)pid, SIGKILL) == 0;
	}
	return n;
}

int engine_end_strays(struct engine *en, bool (*known)(void *arg, const char *id), void *arg, struct err *e)
{
	OWN(arena_free) struct arena a = {0};
	struct stray_hunt h = {.en = en, .known = known, .arg = arg};
	try(unknown_boxes(&h, &a, e));
	for (int i = 0; i < STRAY_ROUNDS; i++) {
		struct timespec pause = {.tv_nsec = STRAY_PAUSE_MS * 1000000L};
		if (!hunt(&h))
			return 0;
		nanosleep(&pause, NULL);
	}
	return err_set(e, -EIO, "processes of containers that the store does not know as running do not end after SIGKILL");
}

int engine_layers_scan(struct engine *en, struct arena *a, struct strv *dirs, struct err *e)
{
	char path[PATH_SIZE];
	struct dirent *entry;
	snprintf(path, sizeof(path), "%s/image/tmp", en->conf.data_root);
	try(remove_tree(path, e));
	try(mkdir_p(path, 0710, e));
	snprintf(path, sizeof(path), "%s/image/layers", en->conf.data_root);
	OWN(own_dir) DIR *d = opendir(path);
	if (!d)
		return err_errno(e, -errno, "open %s", path);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.' && strv_add(a, dirs, entry->d_name) < 0)
			return err_nomem(e);
	return 0;
}

int engine_layer_remove(struct engine *en, const char *dir, struct err *e)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof(path), "%s/image/layers/%s", en->conf.data_root, dir);
	return remove_tree(path, e);
}
