/* Theory of operation
 *
 * A container's root is an overlay: its own upper directory on the image's layers. mount(2) takes at most a page of options, and 127
 * layers with full paths do not fit: the mount is made on a thread with a working directory of its own (unshare(CLONE_FS)) in the layers'
 * directory, so that each is named in 22 bytes. Between upper and image lies one shared `init` layer with the mount points that the
 * runtime needs, so that the upper directory holds only what the container itself changed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/engine_int.h"

int rootfs_init(struct engine *en, struct err *e)
{
	static const char *const dirs[] = {"dev", "dev/pts", "dev/shm", "proc", "sys", "etc"}, *const files[] = {".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf"};
	char path[PATH_SIZE];
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/image/init/%s", en->conf.data_root, dirs[i]);
		try(mkdir_p(path, 0755, e));
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/image/init/%s", en->conf.data_root, files[i]);
		if (access(path, F_OK) < 0)
			try(write_file(path, "", 0, 0755, e));
	}
	return 0;
}

struct mounting {
	const char *cwd, *options, *target;
	int result;
};

static void *mount_main(void *arg)
{
	struct mounting *m = arg;
	if (unshare(CLONE_FS) < 0 || chdir(m->cwd) < 0 || mount("overlay", m->target, "overlay", 0, m->options) < 0)
		m->result = -errno;
	return NULL;
}

bool path_is_mounted(const char *path)
{
	struct statx st;
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 && (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* A root that somebody holds, or that is being mounted or unmounted at this moment: by one thread at a time, or a mount that was found would be gone when it
 * is used. */
struct held_root {
	struct held_root *next;
	char id[ID_TEXT];
	unsigned users, turns; /* turns: threads that are at it or wait for that */
	bool busy;
};

static struct held_root *find_held(struct engine *en, const char *id)
{
	struct held_root *h = en->held;
	while (h && !streq(h->id, id))
		h = h->next;
	return h;
}

static int turn_begin(struct engine *en, const char *id, struct held_root **out, struct err *e)
{
	pthread_mutex_lock(&en->lock);
	struct held_root *h = find_held(en, id);
	if (!h && (h = calloc(1, sizeof(*h)))) {
		STR_COPY(h->id, id);
		h->next = en->held;
		en->held = h;
	}
	if (h) {
		h->turns++;
		while (h->busy)
			pthread_cond_wait(&en->cond, &en->lock);
		h->busy = true;
	}
	pthread_mutex_unlock(&en->lock);
	*out = h;
	return h ? 0 : err_nomem(e);
}

static void turn_end(struct engine *en, struct held_root *h)
{
	pthread_mutex_lock(&en->lock);
	h->busy = false;
	pthread_cond_broadcast(&en->cond);
	if (--h->turns == 0 && h->users == 0) {
		struct held_root **p = &en->held;
		while (*p != h)
			p = &(*p)->next;
		*p = h->next;
		free(h);
	}
	pthread_mutex_unlock(&en->lock);
}

static int mount_root(struct engine *en, const char *id, const struct engine_layers *l, struct err *e)
{
	OWN(own_buf) struct buf o = {0};
	char cwd[PATH_SIZE], upper[PATH_SIZE], work[PATH_SIZE], root[PATH_SIZE];
	pthread_t t;
	snprintf(cwd, sizeof(cwd), "%s/image/layers", en->conf.data_root);
	path_root(en, id, root);
	buf_puts(&o, "lowerdir=../init");
	for (size_t i = l->n; i-- > 0;)
		buf_printf(&o, ":%s/diff", l->dirs[i]);
	buf_printf(&o, ",upperdir=%s,workdir=%s", path_container(en, id, "upper", upper), path_container(en, id, "work", work));
	buf_puts(&o, ",redirect_dir=off,metacopy=off"); /* the upper directory alone says what the container changed: for commit and diff */
	if (o.bad)
		return err_nomem(e);
	try(mkdir_p(root, 0700, e));
	struct mounting m = {.cwd = cwd, .options = o.data, .target = root};
	int r = pthread_create(&t, NULL, mount_main, &m);
	if (r)
		return err_errno(e, -r, "start a thread");
	pthread_join(t, NULL);
	return m.result < 0 ? err_errno(e, m.result, "mount the root file system of container %.12s", id) : 0;
}

static bool is_mounted(const struct engine *en, const char *id)
{
	char root[PATH_SIZE];
	return path_is_mounted(path_root(en, id, root));
}

int rootfs_mount(struct engine *en, const char *id, const struct engine_layers *l, struct err *e)
{
	struct held_root *h;
	try(turn_begin(en, id, &h, e));
	bool there = is_mounted(en, id);
	int r = there && !h->users ? rootfs_umount_now(en, id, e) : 0; /* of an earlier run */
	if (r >= 0 && !(there && h->users))
		r = mount_root(en, id, l, e);
	turn_end(en, h);
	return r;
}

int rootfs_umount(struct engine *en, const char *id, struct err *e)
{
	struct held_root *h;
	try(turn_begin(en, id, &h, e));
	int r = h->users ? 0 : rootfs_umount_now(en, id, e);
	turn_end(en, h);
	return r;
}

int root_hold(struct engine *en, const char *id, const struct engine_layers *l, struct err *e)
{
	struct held_root *h;
	try(turn_begin(en, id, &h, e));
	int r = is_mounted(en, id) ? 0 : mount_root(en, id, l, e);
	if (r >= 0)
		h->users++;
	turn_end(en, h);
	return r;
}

/* A container that runs, or starts at this moment, has a bundle: then its root is its own again. */
void root_release(struct engine *en, const char *id)
{
	char bundle[PATH_SIZE];
	struct err e = {0};
	struct held_root *h;
	if (turn_begin(en, id, &h, &e) < 0) /* never: it is there */
		return;
	if (--h->users == 0 && access(path_bundle(en, id, bundle), F_OK) < 0 && rootfs_umount_now(en, id, &e) < 0)
		log_warn("%s", e.msg);
	turn_end(en, h);
}

int rootfs_umount_now(struct engine *en, const char *id, struct err *e)
{
	char root[PATH_SIZE];
	path_root(en, id, root);
	while (umount2(root, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return err_errno(e, -errno, "unmount %s", root);
	return rmdir(root) < 0 && errno != ENOENT ? err_errno(e, -errno, "remove %s", root) : 0;
}
