/* pontoon-runtime: runs an OCI runtime in a room: a mount namespace that has the host's mounts and of all containers' only those that are named.
 *
 * Theory of operation
 *
 * A runtime copies the mount namespace it is in, reads its table and takes the copy apart again: with a thousand containers much of a start is work on other
 * containers' mounts. pontoond keeps these below two directories that are mounted on themselves, unbindable (engine/room.c). A recursive copy of "/"
 * (open_tree) leaves such mounts out with all that is on them, at no cost for each; every other mount it has as it is at this moment, and a shared one stays
 * shared with the host's. The copy needs a namespace to be put into, and unshare(2) would copy all of the host's: so the way leads through an empty one that pontoond
 * keeps open, and that is what is copied. All of it ends with the runtime; the container has a copy of its own by then.
 *
 *   pontoon-runtime NAMESPACE [PATH]... -- RUNTIME [ARG]...
 *
 * The test: tests/scenario/test_room.py. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATHS_MOST 8

struct mounted {
	const char *path;
	int tree;
};

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "pontoon-runtime: %s %s: %s\n", what, name, strerror(errno));
	return 1;
}

/* A copy of the mount at the path, not yet in any namespace. */
static int take(const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

static int put(int tree, const char *path)
{
	return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

int main(int argc, char **argv)
{
	struct mounted own[PATHS_MOST];
	size_t n = 0;
	int at = 2;
	for (; at < argc && strcmp(argv[at], "--") != 0 && n < PATHS_MOST; at++)
		own[n++].path = argv[at];
	if (at >= argc - 1 || strcmp(argv[at], "--") != 0) {
		fprintf(stderr, "usage: pontoon-runtime NAMESPACE [PATH]... -- RUNTIME [ARG]...\n");
		return 2;
	}
	int host = take("/", AT_RECURSIVE), empty = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (host < 0)
		return fail("copy the mounts of", "/");
	if (empty < 0)
		return fail("open", argv[1]);
	for (size_t i = 0; i < n; i++) {
		own[i].tree = take(own[i].path, 0);
		if (own[i].tree < 0)
			return fail("copy the mount", own[i].path);
	}
	if (setns(empty, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
		return fail("enter a copy of", argv[1]);
	if (put(host, "/") < 0 || fchdir(host) < 0 || chroot(".") < 0)
		return fail("mount", "/");
	for (size_t i = 0; i < n; i++)
		if (put(own[i].tree, own[i].path) < 0)
			return fail("mount", own[i].path);
	execv(argv[at + 1], argv + at + 1);
	return fail("run", argv[at + 1]);
}
