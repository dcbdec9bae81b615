/* The confinement from inside: what a program that was taken over could try. Each attempt runs in a child that is
 * confined first. */
#include "image/confine.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "test.h"

#define CONFINED_FAILED 99

/* Exit status of `attempt` in a confined child; -signal when a signal ended it. */
static int attempt_in_child(int (*attempt)(void))
{
	char dir[] = "/var/tmp/pontoon-confine.XXXXXX";
	int status = 0;
	if (!mkdtemp(dir))
		return CONFINED_FAILED;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct err e = {};
		if (confine(dir, 3, CONFINE_UNPACK, &e) < 0) {
			dprintf(1, "# %s\n", e.msg);
			_exit(CONFINED_FAILED);
		}
		_exit(attempt());
	}
	waitpid(pid, &status, 0);
	remove_tree(dir, NULL);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int nothing(void)
{
	return 0;
}
static int use_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static int use_exec(void)
{
	char *const argv[] = {NULL};
	return execve("/bin/true", argv, argv);
}
static int use_fork(void)
{
	return fork() >= 0;
}
static int use_mount(void)
{
	return mount("none", "/", "tmpfs", 0, NULL);
}
static int use_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}
static int use_chroot(void)
{
	return chroot("/");
}
static int use_kill(void)
{
	return kill(1, 0);
}
static int use_ptrace(void)
{
	return (int)ptrace(PTRACE_ATTACH, 1, NULL, NULL);
}
static int use_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static int use_mprotect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

TEST(forbidden_calls_kill)
{
	int (*const attempts[])(void) = {use_socket, use_exec, use_fork, use_mount, use_unshare, use_chroot, use_kill,
		use_ptrace, use_code, use_mprotect};
	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_INT(attempt_in_child(nothing), 0);
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		int r = attempt_in_child(attempts[i]);
		if (r != -SIGSYS)
			printf("# attempt %zu\n", i);
		CHECK_INT(r, -SIGSYS);
	}
}

/* A device can be stored, and neither opened nor used. */
static int open_device(void)
{
	if (mknodat(AT_FDCWD, "/null", S_IFCHR | 0666, makedev(1, 3)) < 0)
		return 1;
	return openat(AT_FDCWD, "/null", O_RDWR | O_CLOEXEC) >= 0 ? 2 : errno == EACCES ? 0 : 3;
}

static int see_outside(void)
{
	if (openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ||
		openat(AT_FDCWD, "/proc/self/root", O_PATH | O_CLOEXEC) >= 0)
		return 1;
	return openat(AT_FDCWD, "../../../../etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? 2 : 0;
}

static int write_layer(void)
{
	int fd = openat(AT_FDCWD, "/f", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	if (fd < 0 || fchown(fd, 12, 34) < 0 || fchmod(fd, 06755) < 0 || futimens(fd, times) < 0 || close(fd) < 0)
		return 1;
	if (mkdirat(AT_FDCWD, "/d", 0) < 0 || (fd = openat(AT_FDCWD, "/d", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 2;
	return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? 3 : 0;
}

TEST(allowed_things_work)
{
	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_INT(attempt_in_child(open_device), 0);
	CHECK_INT(attempt_in_child(see_outside), 0);
	CHECK_INT(attempt_in_child(write_layer), 0);
}

TESTS(T(forbidden_calls_kill), T(allowed_things_work))
