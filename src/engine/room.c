/* Theory of operation
 *
 * What a start costs must not grow with the containers that run, but a runtime copies, reads and drops all mounts of the namespace it is in. So it is run by
 * pontoon-runtime (src/runtime/main.c) in a namespace of its own, which lacks the mounts of all other containers. They are kept apart here: the
 * directories of roots and of network namespaces are each mounted on themselves twice. The upper mount is unbindable: copies of a tree leave it out with
 * all that is on it, also those that a container with `-v /:/host` gets, which would hold the roots of others for as long as it runs. The lower one is private: what the
 * runtime's namespace has mounted there must not come back to the host, whose mounts may be shared. In the host's namespace all is where it always was.
 *
 * Nothing here has to be cleaned after a crash: the two mounts are found again, the runtime's namespace ends with the runtime. Where the kernel or the host does not have
 * what this needs, the runtime is run as it is, and a start costs more the more containers there are. tests/scenario/test_room.py */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/room.h"

#define ROOM_DIRS 2

struct emptying {
	const char *dir; /* where the root of the namespace is made */
	int fd, result;
};

/* On a thread of its own, whose namespace this becomes. */
static void *make_empty(void *arg)
{
	struct emptying *m = arg;
	OWN(own_fd) int fd = unshare(CLONE_FS | CLONE_NEWNS) < 0 ? -1 : open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("empty", m->dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0555") < 0 || chdir(m->dir) < 0 ||
		syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		m->result = -errno;
	else
		m->fd = STEAL_FD(fd);
	return NULL;
}

static int empty_namespace(const char *dir, struct err *e)
{
	struct emptying m = {.dir = dir, .fd = -1};
	pthread_t t;
	int r = pthread_create(&t, NULL, make_empty, &m);
	if (r)
		return err_errno(e, -r, "start a thread");
	pthread_join(t, NULL);
	return m.result < 0 ? err_errno(e, m.result, "make an empty mount namespace") : m.fd;
}

static bool is_unbindable(const char *dir)
{
	OWN(own_fd) int tree = (int)syscall(SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree < 0 && errno == EINVAL;
}

static int keep_apart(const char *dir, struct err *e)
{
	if (!path_is_mounted(dir) && (mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0 || mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0))
		return err_errno(e, -errno, "mount %s on itself", dir);
	if (!is_unbindable(dir) && (mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0 || mount(NULL, dir, NULL, MS_UNBINDABLE, NULL) < 0))
		return err_errno(e, -errno, "keep the mounts of %s apart", dir);
	return 0;
}

static void directories(const struct engine *en, char out[static ROOM_DIRS][PATH_SIZE])
{
	snprintf(out[0], PATH_SIZE, "%s", en->root_m);
	snprintf(out[1], PATH_SIZE, "%s/netns", en->conf.exec_root);
}

static int prepare(struct engine *en, struct err *e)
{
	char dirs[ROOM_DIRS][PATH_SIZE];
	directories(en, dirs);
	for (size_t i = 0; i < ROOM_DIRS; i++) {
		try(mkdir_p(dirs[i], 0755, e));
		try(keep_apart(dirs[i], e));
	}
	int fd = empty_namespace(en->root_c, e);
	if (fd < 0)
		return fd;
	en->room = fd;
	return 0;
}

void room_open(struct engine *en)
{
	struct err e = {0};
	en->room = -1;
	if (!en->room_program[0])
		log_warn("pontoon-runtime was not found: starts become slower with the number of containers");
	else if (prepare(en, &e) < 0)
		log_warn("starts become slower with the number of containers: %s", e.msg);
}

void room_close(struct engine *en)
{
	char dirs[ROOM_DIRS][PATH_SIZE];
	if (en->room < 0)
		return;
	close(STEAL_FD(en->room));
	directories(en, dirs);
	for (size_t i = 0; i < ROOM_DIRS; i++)
		while (umount2(dirs[i], UMOUNT_NOFOLLOW) == 0) /* busy: containers go on */
			;
}

size_t room_words(const struct engine *en, const char *const *paths, struct arena *a, const char **out)
{
	size_t n = 0;
	if (en->room < 0)
		return 0;
	out[n++] = en->room_program;
	out[n++] = arena_printf(a, "/proc/%d/fd/%d", (int)getpid(), en->room);
	for (; *paths; paths++)
		out[n++] = *paths;
	out[n++] = "--";
	return n;
}
