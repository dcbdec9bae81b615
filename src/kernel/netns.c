#include "kernel/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

struct making {
	const char *path;
	int result;
	struct err err;
};

static void *make_main(void *arg)
{
	struct making *m = arg;
	if (unshare(CLONE_NEWNET) < 0)
		m->result = err_errno(&m->err, -errno, "make a network namespace");
	else if (mount("/proc/thread-self/ns/net", m->path, NULL, MS_BIND, NULL) < 0)
		m->result = err_errno(&m->err, -errno, "bind the network namespace at %s", m->path);
	return NULL;
}

int netns_make(const char *path, struct err *e)
{
	struct making m = {.path = path};
	pthread_t t;
	OWN(own_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return err_errno(e, -errno, "create %s", path);
	int r = pthread_create(&t, NULL, make_main, &m);
	if (r) {
		unlink(path);
		return err_errno(e, -r, "start a thread");
	}
	pthread_join(t, NULL);
	if (m.result < 0) {
		unlink(path);
		if (e)
			*e = m.err;
	}
	return m.result;
}

int netns_drop(const char *path, struct err *e)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return err_errno(e, -errno, "unmount %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(e, -errno, "remove %s", path);
	return 0;
}

int netns_open(const char *path, struct err *e)
{
	struct statfs fs;
	OWN(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open %s", path);
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC)
		return err_set(e, -ESTALE, "%s is not a network namespace", path);
	return STEAL_FD(fd);
}

int netns_home(struct err *e)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return home < 0 ? err_errno(e, -errno, "open /proc/thread-self/ns/net") : home;
}

int netns_run_from(int home_fd, int ns_fd, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return err_errno(e, -errno, "enter a network namespace");
	int r = fn(arg, e);
	if (setns(home_fd, CLONE_NEWNET) < 0)
		abort();
	return r;
}

int netns_run(int ns_fd, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	OWN(own_fd) int home = netns_home(e);
	return home < 0 ? home : netns_run_from(home, ns_fd, fn, arg, e);
}
