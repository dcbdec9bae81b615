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

int rootfs_mount(struct engine *en, const char *id, const struct engine_layers *l, struct err *e)
{
	OWN(own_buf) struct buf o = {0};
	char cwd[PATH_SIZE], upper[PATH_SIZE], work[PATH_SIZE], merged[PATH_SIZE];
	pthread_t t;
	snprintf(cwd, sizeof(cwd), "%s/image/layers", en->conf.data_root);
	path_container(en, id, "merged", merged);
	if (path_is_mounted(merged))
		try(rootfs_umount(en, id, e));
	buf_puts(&o, "lowerdir=../init");
	for (size_t i = l->n; i-- > 0;)
		buf_printf(&o, ":%s/diff", l->dirs[i]);
	buf_printf(&o, ",upperdir=%s,workdir=%s", path_container(en, id, "upper", upper), path_container(en, id, "work", work));
	if (o.bad)
		return err_nomem(e);
	struct mounting m = {.cwd = cwd, .options = o.data, .target = merged};
	int r = pthread_create(&t, NULL, mount_main, &m);
	if (r)
		return err_errno(e, -r, "start a thread");
	pthread_join(t, NULL);
	return m.result < 0 ? err_errno(e, m.result, "mount the root file system of container %.12s", id) : 0;
}

int rootfs_umount(struct engine *en, const char *id, struct err *e)
{
	char merged[PATH_SIZE];
	path_container(en, id, "merged", merged);
	while (umount2(merged, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	return errno == EINVAL || errno == ENOENT ? 0 : err_errno(e, -errno, "unmount %s", merged);
}
