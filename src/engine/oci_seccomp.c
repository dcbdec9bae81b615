/* The default system call filter: what an ordinary program needs is allowed, the rest fails with EPERM (facts: Docker's documentation of its
 * default profile lists what is blocked and why). Calls that a capability governs are allowed together with that capability. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "engine/engine_int.h"
#include "engine/seccomp_profile.h"

static const char always[] =
	"accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	"clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
	"eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync "
	"fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd "
	"getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 "
	"getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 "
	"inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset "
	"landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore "
	"mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal "
	"msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free "
	"pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv "
	"recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
	"rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
	"sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 "
	"send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 "
	"setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack "
	"signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create "
	"timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate "
	"truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev process_vm_readv process_vm_writev ptrace arch_prctl modify_ldt";

static const struct {
	const char *cap, *calls;
} governed[] = {
	{"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
	{"CAP_SYS_ADMIN", "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open "
			  "quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
	{"CAP_SYS_BOOT", "reboot"},
	{"CAP_SYS_CHROOT", "chroot"},
	{"CAP_SYS_MODULE", "delete_module init_module finit_module"},
	{"CAP_SYS_PACCT", "acct"},
	{"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
	{"CAP_SYS_RAWIO", "iopl ioperm"},
	{"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
	{"CAP_SYS_TTY_CONFIG", "vhangup"},
	{"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
	{"CAP_SYSLOG", "syslog"},
	{"CAP_BPF", "bpf"},
	{"CAP_PERFMON", "perf_event_open"},
};

/* CLONE_NEW*: a process without CAP_SYS_ADMIN must not make namespaces, but must make threads. */
#define CLONE_NAMESPACES 2114060288u
#define AF_VSOCK_VALUE   40

static json_t *rule(const char *calls, const char *action)
{
	json_t *names = json_array();
	while (*calls) {
		size_t n = strcspn(calls, " ");
		json_array_append_new(names, json_stringn(calls, n));
		calls += n + (calls[n] == ' ');
	}
	return json_pack("{s:o, s:s}", "names", names, "action", action);
}

static void with_arg(json_t *r, int index, int64_t value, int64_t two, const char *op)
{
	json_t *arg = json_pack("{s:i, s:I, s:s}", "index", index, "value", (json_int_t)value, "op", op);
	if (two)
		json_object_set_new(arg, "valueTwo", json_integer(two));
	if (streq(op, "SCMP_CMP_MASKED_EQ"))
		json_object_set_new(arg, "valueTwo", json_integer(two));
	json_object_set_new(r, "args", json_pack("[o]", arg));
}

static bool has_cap(const json_t *caps, const char *name)
{
	size_t i;
	json_t *c;
	json_array_foreach(caps, i, c)
		if (streq(json_string_value(c), name))
			return true;
	return false;
}

static void special(json_t *list, const json_t *caps)
{
	static const int64_t personalities[] = {0x0, 0x0008, 0x20000, 0x20008, 0xffffffff};
	for (size_t i = 0; i < ARRAY_LEN(personalities); i++) {
		json_t *r = rule("personality", "SCMP_ACT_ALLOW");
		with_arg(r, 0, personalities[i], 0, "SCMP_CMP_EQ");
		json_array_append_new(list, r);
	}
	json_t *s = rule("socket", "SCMP_ACT_ALLOW");
	with_arg(s, 0, AF_VSOCK_VALUE, 0, "SCMP_CMP_NE");
	json_array_append_new(list, s);
	if (has_cap(caps, "CAP_SYS_ADMIN"))
		return;
	json_t *c = rule("clone", "SCMP_ACT_ALLOW");
	with_arg(c, 0, CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ");
	json_array_append_new(list, c);
	/* clone3 passes its flags in memory that a filter cannot read: ENOSYS makes the C library use clone. */
	json_t *c3 = rule("clone3", "SCMP_ACT_ERRNO");
	json_object_set_new(c3, "errnoRet", json_integer(ENOSYS));
	json_array_append_new(list, c3);
}

static json_t *architectures(void)
{
#if defined(__x86_64__)
	return json_pack("[s,s,s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32");
#elif defined(__aarch64__)
	return json_pack("[s,s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
#elif defined(__riscv)
	return json_pack("[s]", "SCMP_ARCH_RISCV64");
#else
	return json_array();
#endif
}

static json_t *default_profile(const json_t *caps)
{
	json_t *list = json_array();
	json_array_append_new(list, rule(always, "SCMP_ACT_ALLOW"));
	for (size_t i = 0; i < ARRAY_LEN(governed); i++)
		if (has_cap(caps, governed[i].cap))
			json_array_append_new(list, rule(governed[i].calls, "SCMP_ACT_ALLOW"));
	special(list, caps);
	return json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet", EPERM, "architectures", architectures(), "syscalls", list);
}

/* The profile that the container brings: the file's content, since clients read the file themselves; NULL: none. */
static const char *own_profile(const struct host_config *h)
{
	static const char key[] = "seccomp";
	size_t n = strlen(key);
	for (size_t i = 0; i < h->security_opt.n; i++) {
		const char *o = h->security_opt.v[i];
		if (strncmp(o, key, n) == 0 && (o[n] == '=' || o[n] == ':'))
			return o + n + 1;
	}
	return NULL;
}

json_t *oci_seccomp(const struct host_config *h, const char *fallback, const json_t *caps, struct err *e)
{
	const char *text = own_profile(h);
	OWN(own_json) json_t *j = NULL;
	if (!text && h->privileged)
		return json_null();
	if (!text)
		text = fallback ? fallback : "";
	if (streq(text, "unconfined"))
		return json_null();
	if (!*text || streq(text, "builtin"))
		return h->privileged ? json_null() : default_profile(caps);
	if (json_parse(text, strlen(text), &j, e) < 0) {
		err_as(e, ERR_INVALID, "opening seccomp profile failed: it is not JSON");
		return NULL;
	}
	return seccomp_profile(j, caps, e);
}
