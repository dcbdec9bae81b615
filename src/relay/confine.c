/* Theory of operation
 *
 * The relay reads what containers, resolvers and peers of published ports send. It holds sockets that others have opened for it, opens UDP, TCP and SCTP sockets toward
 * upstreams and targets of ports, pipes between them, and needs nothing else: no file, no process, no privilege. So, once, before the loop starts:
 *
 *   root       an empty directory without a name becomes "/": chroot into a directory that has been removed.
 *   user       setresgid, setresuid to an id of its own; with it all capabilities are gone, and no exec can bring one back.
 *   limits     descriptors for many containers, no core file.
 *   filter     what the loop calls, each from a reading of the code; anything else ends the process, and the
 *              daemon starts another. No executable memory.
 *
 * A sanitized build adds what the sanitizers call; the filter is never off. */
#include "relay/confine.h"

#include <errno.h>
#include <grp.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "base/own.h"
#include "base/sanitized.h"
#include "relay/sctp.h"

#define DESCRIPTORS 65536

static int confine_root(struct err *e)
{
	char dir[] = "/tmp/pontoon-relay-XXXXXX";
	if (!mkdtemp(dir) || chdir(dir) < 0)
		return err_errno(e, -errno, "make an empty directory");
	if (rmdir(dir) < 0 || chroot(".") < 0)
		return err_errno(e, -errno, "chroot");
	return 0;
}

static int confine_user(uid_t uid, gid_t gid, struct err *e)
{
	if (uid == 0 || gid == 0)
		return err_set(e, -EINVAL, "the relay does not run as root");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_errno(e, -errno, "become user %u", uid);
	return 0;
}

static int confine_limits(struct err *e)
{
	struct rlimit now, core = {0, 0};
	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return err_errno(e, -errno, "getrlimit");
	if (now.rlim_max > DESCRIPTORS)
		now.rlim_max = DESCRIPTORS;
	now.rlim_cur = now.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &now) < 0 || setrlimit(RLIMIT_CORE, &core) < 0 ? err_errno(e, -errno, "setrlimit") : (int)now.rlim_cur;
}

static const int calls[] = {
	/* the loop */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall),
	/* sockets that are given, and those toward upstreams */
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(close), SCMP_SYS(shutdown), SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg),
	/* published ports */
	SCMP_SYS(splice), SCMP_SYS(pipe2),
	/* a message in a memfd */
	SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(lseek),
	/* memory, log, end */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(futex), SCMP_SYS(exit_group), SCMP_SYS(exit), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(getpid), SCMP_SYS(gettid),
};

/* Options of sockets toward targets, and the reset of a connection. */
static const struct {
	int level, option;
} options[] = {
	{SOL_SOCKET, SO_LINGER}, {SOL_SOCKET, SO_REUSEADDR}, {IPPROTO_IPV6, IPV6_V6ONLY}, {SOL_SOCKET, SO_KEEPALIVE}, {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL},
	{IPPROTO_SCTP, SCTP_INITMSG}, {IPPROTO_SCTP, SCTP_NODELAY}, {IPPROTO_SCTP, SCTP_RECVRCVINFO},
};

static const int sanitizer_calls[] = {
	SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield), SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(prctl), SCMP_SYS(ptrace), SCMP_SYS(wait4), SCMP_SYS(openat), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(getppid), SCMP_SYS(getdents64), SCMP_SYS(process_vm_readv), SCMP_SYS(tgkill), SCMP_SYS(rt_sigaction), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(prlimit64), SCMP_SYS(getrusage),
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(ioctl),
};

static void own_filter(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static int confine_calls(struct err *e)
{
	OWN(own_filter) scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0), self = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	const struct scmp_arg_cmp inet = SCMP_A0(SCMP_CMP_EQ, 2 /* AF_INET */), inet6 = SCMP_A0(SCMP_CMP_EQ, 10 /* AF_INET6 */);
	int r = f ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	for (size_t i = 0; SANITIZED && r == 0 && i < ARRAY_LEN(sanitizer_calls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, sanitizer_calls[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(options); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)options[i].level), SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)options[i].option));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, inet);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, inet6);
	if (r == 0 && !SANITIZED) /* raise(SIGABRT) of abort() */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self);
	if (r == 0)
		r = seccomp_load(f);
	return r < 0 ? err_errno(e, r, "load the system call filter") : 0;
}

int relay_confine(uid_t uid, gid_t gid, struct err *e)
{
	tzset(); /* the log's times would have it read /etc/localtime later */
	int descriptors = confine_limits(e);
	if (descriptors < 0 || confine_root(e) < 0 || confine_user(uid, gid, e) < 0 || confine_calls(e) < 0)
		return err_ctx(e, "confinement");
	return descriptors;
}
