/* Theory of operation
 *
 * The daemon runs pontoon-image as root, because a layer has owners, devices and file capabilities. An archive that
 * takes over libarchive or one of the decompressors would be root too. So the process gives up what it can, in stages,
 * each useful without the others:
 *
 *   1 confine_fds         only 0, 1, 2 and 3 stay open: no other door of the daemon leads in.
 *   2 confine_namespaces  own mount, network, IPC and UTS name spaces. No own PID name space: it needs a second
 * process, and the filter of stage 6 already lets no process be seen, traced or signalled. 3 confine_root        the
 * job's directory becomes "/" (pivot_root), the rest of the file system is unmounted. nosuid, nodev, noexec: what an
 *                         archive brings can be stored but neither run nor, if it is a device, opened.
 *   4 confine_caps        only what writing a layer takes, see `kept`. No new privileges through exec, ever.
 *   5 confine_limits      memory (decompressors' windows), descriptors, no core file.
 *   6 confine_syscalls    a list of what is really called. Everything else ends the process at once (SIGSYS). No
 * executable memory can be made, so no library can be loaded any more either; what glibc might want to load (character
 * sets) is gone with the old root.
 *
 * CAP_SYS_ADMIN is the sore point: the kernel asks for it to set trusted.overlay.opaque. It is the key to mount, setns
 * and much else, but none of those calls is in the list of stage 6, so what remains of it is the right to set trusted
 * attributes in this one directory.
 *
 * Proven by tests/image/test_program.py (confinement, seen from outside through /proc) and tests/image/test_confine.c
 * (each stage, from inside).
 */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/limits.h"
#include "base/sanitized.h"

#define OPEN_FILES 256

static int confine_fds(unsigned keep, struct err *e)
{
	if (syscall(SYS_close_range, keep, ~0u, 0) < 0)
		return err_errno(e, -errno, "close descriptors");
	return 0;
}

static int confine_namespaces(struct err *e)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return err_errno(e, -errno, "make name spaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(e, -errno, "make mounts private");
	return 0;
}

static int confine_root(const char *dir, struct err *e)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (mount(dir, dir, NULL, MS_BIND, NULL) < 0)
		return err_errno(e, -errno, "bind %s", dir);
	if (mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0)
		return err_errno(e, -errno, "restrict the mount of %s", dir);
	if (chdir(dir) < 0)
		return err_errno(e, -errno, "enter %s", dir);
	/* The old root ends up on top of the new one at the same place: "." is then the old one, and is unmounted with
	 * all below it. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_errno(e, -errno, "make %s the root", dir);
	return 0;
}

static const unsigned kept[] = {
	CAP_CHOWN,        /* owners of files */
	CAP_DAC_OVERRIDE, /* files in directories of other owners and without write permission */
	CAP_FOWNER,       /* modes and times of files that now have another owner; hard links to them */
	CAP_FSETID,       /* setgid of files whose group is not ours */
	CAP_MKNOD,        /* devices, and whiteouts, which are devices */
	CAP_SETFCAP,      /* security.capability */
	CAP_SYS_ADMIN,    /* trusted.overlay.opaque: see above */
};

static int confine_caps(struct err *e)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {};
	bool keep[64] = {};

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		keep[kept[i]] = true;
		data[kept[i] / 32].permitted |= 1u << (kept[i] % 32);
	}
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	for (unsigned c = 0; c < ARRAY_LEN(keep); c++)
		if (!keep[c] && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 &&
			errno != EINVAL) /* EINVAL: beyond the last one */
			return err_errno(e, -errno, "drop capability %u", c);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || syscall(SYS_capset, &head, data) < 0)
		return err_errno(e, -errno, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, -errno, "forbid new privileges");
	return 0;
}

static int confine_limits(struct err *e)
{
	const struct {
		int what;
		rlim_t value;
	} limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_NOFILE, OPEN_FILES},
#if !SANITIZED /* the sanitizers reserve terabytes of address space */
		{RLIMIT_AS, LIMIT_IMAGE_MEMORY},
#endif
	};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit l = {limits[i].value, limits[i].value}, old;
		if (getrlimit(limits[i].what, &old) == 0 && old.rlim_max < l.rlim_max)
			l.rlim_cur = l.rlim_max = old.rlim_max;
		if (setrlimit(limits[i].what, &l) < 0)
			return err_errno(e, -errno, "set a resource limit");
	}
	return 0;
}

static const int calls[] = {
	/* the archive, the report, files */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pread64),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(sendto), /* the report, when it is a socket */
	SCMP_SYS(fcntl),
	/* the layer: tree.c, job.c, spool.c, base/fd.c */
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat),
	SCMP_SYS(linkat),
	SCMP_SYS(symlinkat),
	SCMP_SYS(unlinkat),
	SCMP_SYS(fchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(fchmod),
	SCMP_SYS(fsetxattr),
	SCMP_SYS(utimensat),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(getdents64),
	SCMP_SYS(syncfs),
	/* memory, time, chance; ending */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	/* abort() and its message */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(writev),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
};

/* Reading a tree: tar_tree.c */
static const int pack_calls[] = {
	SCMP_SYS(readlinkat),
	SCMP_SYS(flistxattr),
	SCMP_SYS(fgetxattr),
	SCMP_SYS(fstatfs),
	SCMP_SYS(sysinfo), /* qsort() of glibc asks for the memory there is, from 128 names on */
};

/* Asking the fetcher, and giving it descriptors: registry.c. It has been started before: no sockets are made here. */
static const int errand_calls[] = {
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
};

/* Workers and their end: pull_blobs.c. They are signalled by descriptor: kill() would reach every process of root. */
static const int worker_calls[] = {
	SCMP_SYS(wait4),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(getppid),
	SCMP_SYS(pipe2),
};

/* What the runtime of ASan and UBSan adds; in no other build. */
static const int sanitizer_calls[] = {
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sched_yield),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(prctl),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(pipe2),
	SCMP_SYS(ioctl),
	SCMP_SYS(tgkill),
	SCMP_SYS(getuid),
	SCMP_SYS(sysinfo),
	SCMP_SYS(open),
	SCMP_SYS(stat),
	SCMP_SYS(access),
	SCMP_SYS(set_robust_list),
};

static void own_filter(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static int allow(scmp_filter_ctx f, const int *v, size_t n)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, v[i], 0);
	return r;
}

static int allow_workers(scmp_filter_ctx f)
{
	/* a child, and nothing that makes a name space */
	const scmp_datum_t flags = CLONE_PIDFD | SIGCHLD;
	int r = allow(f, worker_calls, ARRAY_LEN(worker_calls));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_EQ, flags));
	if (r == 0 && !SANITIZED) /* there all of prctl is */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
	return r;
}

static int confine_syscalls(unsigned needs, struct err *e)
{
	OWN(own_filter) scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f ? allow(f, calls, ARRAY_LEN(calls)) : -ENOMEM;

	if (r == 0 && (needs & CONFINE_PACK))
		r = allow(f, pack_calls, ARRAY_LEN(pack_calls));
	if (r == 0 && (needs & CONFINE_ERRANDS))
		r = allow(f, errand_calls, ARRAY_LEN(errand_calls));
	if (r == 0 && (needs & CONFINE_WORKERS))
		r = allow_workers(f);
	if (r == 0 && SANITIZED)
		r = allow(f, sanitizer_calls, ARRAY_LEN(sanitizer_calls));
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
	/* raise(SIGABRT) of abort(): to this thread of this process */
	const struct scmp_arg_cmp self = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	if (r == 0 && !SANITIZED)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self);
	if (r == 0)
		r = seccomp_load(f);
	return r < 0 ? err_errno(e, r, "load the system call filter") : 0;
}

int confine(const char *dir, unsigned keep, unsigned needs, struct err *e)
{
	umask(0); /* modes are the archive's */
	if (confine_fds(keep, e) < 0 || confine_namespaces(e) < 0 || confine_root(dir, e) < 0 || confine_caps(e) < 0 ||
		confine_limits(e) < 0 || confine_syscalls(needs, e) < 0)
		return err_ctx(e, "confinement");
	return 0;
}
